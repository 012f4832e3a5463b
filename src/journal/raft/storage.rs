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
        let found = self.shared().find(range, usize::MAX);
        self.shared().load(found).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared().mark().vote)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let found = self.shared().find(start..end, BATCH_BYTES);
        self.shared().load(found).await
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
                let found = log.find((Bound::Included(from?), end), BATCH_BYTES);
                let (last, ..) = found.last()?;
                let next = last + 1;
                match log.load(found).await {
                    Ok(entries) => Some((entries.into_iter().map(Ok).collect(), Some(next))),
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        });
        batches.flat_map(stream::iter)
    }

    /// The last entry of each term in the range.
    async fn get_key_log_ids(&mut self, range: RangeInclusive<LogId>) -> io::Result<Vec<LogId>> {
        Ok(self.shared().last_of_terms(range.into_inner()))
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
        self.shared().append(entries, callback)
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
