//! A group's log as openraft asks for it: [`RaftLog`] behind openraft's traits.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds, RangeInclusive};
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use openraft::storage::{LogState, RaftLogReader, RaftLogStorage};

use super::log::{BATCH_BYTES, RaftLog};
use super::types::{Entry, IOFlushed, LogId, Types, Vote};

impl RaftLogReader<Types> for RaftLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        self.shared().load(range, usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared().mark().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.shared().load(start..end, BATCH_BYTES).await
    }

    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let log = Arc::clone(self.shared());
        let from = match range.start_bound() {
            Bound::Included(&index) => index,
            Bound::Excluded(&index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = range.end_bound().cloned();
        let batches = stream::unfold(Some(from), move |from| {
            let log = Arc::clone(&log);
            async move {
                match log.load((Bound::Included(from?), end), BATCH_BYTES).await {
                    Ok(entries) => {
                        let next = entries.last()?.log_id.index + 1;
                        Some((entries.into_iter().map(Ok).collect(), Some(next)))
                    }
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        });
        batches.flat_map(stream::iter)
    }

    /// The last entry of each term in the range.
    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> io::Result<Vec<LogId>> {
        let log = Arc::clone(self.shared());
        let read = crate::tasks::blocking(move || log.last_of_terms(range.into_inner()));
        read.await.map_err(io::Error::other)?
    }
}

impl RaftLogStorage<Types> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<Types>> {
        Ok(LogState {
            last_purged_log_id: self.shared().mark().purged,
            last_log_id: self.shared().last(),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.shared().room().await?;
        self.shared().write_vote(*vote).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        self.shared().set_committed(committed);
        self.shared().put_away_if_worth();
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared().mark().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries = entries.into_iter();
        self.shared().room().await?;
        self.shared().append(entries, callback)?;
        self.shared().put_away_if_worth();
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        self.shared().room().await?;
        self.shared()
            .truncate_from(last_log_id.map_or(0, |last| last.index + 1));
        Ok(())
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.shared().room().await?;
        self.shared().purge(log_id);
        Ok(())
    }
}
