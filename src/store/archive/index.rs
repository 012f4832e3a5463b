//! Where a record is in its segment, as the index knows, which is made anew where it does not.

use std::io;

use super::format::{FILE_HEAD, HEAD, Head, MARK, STRIDE, index_name, mark, u32_at, u64_at};
use super::{Archive, Segment, read_whole};
use crate::store::files::{CHUNK, LogFile, Window};

impl Archive {
    /// Where the last record begins that the index knows and that is before what is looked for, or the first.
    pub(super) fn position(
        &self,
        segment: &Segment,
        file: &dyn LogFile,
        is_before: impl Fn(&Head) -> bool,
    ) -> io::Result<u64> {
        match self.look_up(segment, &is_before) {
            Some(at) => Ok(at),
            None => {
                tracing::warn!(owner = self.owner.0, segment = segment.number, "an index is made anew");
                self.make_index(segment, file)?;
                Ok(self.look_up(segment, &is_before).unwrap_or(FILE_HEAD as u64))
            }
        }
    }

    /// The same, as the index has it; `None` where that is missing or damaged.
    pub(super) fn look_up(&self, segment: &Segment, is_before: impl Fn(&Head) -> bool) -> Option<u64> {
        let index = self.files.open(&index_name(self.owner, segment.number)).ok()?;
        let (mut low, mut high) = (0, index.len().ok()? / MARK as u64);
        if high == 0 {
            return None;
        }
        let mut found = FILE_HEAD as u64;
        while low < high {
            let middle = low.midpoint(high);
            let (head, at) = self.mark_at(&*index, segment.number, middle)?;
            // It may be ahead of what is known to be written.
            match at < segment.end && is_before(&head) {
                true => {
                    found = at;
                    low = middle + 1;
                }
                false => high = middle,
            }
        }
        Some(found)
    }

    pub(super) fn mark_at(&self, index: &dyn LogFile, number: u32, which: u64) -> Option<(Head, u64)> {
        let mut bytes = [0; MARK];
        read_whole(index, &mut bytes, which * MARK as u64).ok()?;
        let seed = self.seed(number);
        let (head, at) = bytes.split_at(HEAD);
        let head = Head::decode(head, seed)?;
        let at = u64_at(at, 0);
        let is_right = u32_at(&bytes, HEAD + 8) == crc32c::crc32c_append(seed, &bytes[..HEAD + 8]);
        (is_right && at >= FILE_HEAD as u64).then_some((head, at))
    }

    pub(super) fn make_index(&self, segment: &Segment, file: &dyn LogFile) -> io::Result<()> {
        let seed = self.seed(segment.number);
        let mut window = Window::over(file);
        let (mut at, mut since, mut marks) = (FILE_HEAD as u64, STRIDE, Vec::new());
        while at < segment.end
            && let Some(head) = window
                .bytes(at, HEAD, CHUNK)?
                .and_then(|bytes| Head::decode(bytes, seed))
        {
            if since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            at += head.record_len();
        }
        let mut writing = self.writing.lock();
        let name = index_name(self.owner, segment.number);
        let index = self.files.create(&name, 0)?;
        index.write_at(&marks, 0)?;
        if writing.number == segment.number
            && let Some((file, _)) = writing.files.take()
        {
            writing.indexed = (marks.len() / MARK) as u64;
            writing.since = since;
            writing.files = Some((file, index));
        }
        Ok(())
    }
}
