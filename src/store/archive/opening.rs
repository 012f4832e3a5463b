//! What the files of an archive hold, at a start.

use std::io;

use super::format::{FILE_HEAD, HEAD, Head, MARK, STRIDE, file_head, index_name, mark, segment_name};
use super::{Archive, Segment, Writing};
use crate::store::files::{CHUNK, Window};

impl Archive {
    /// Finds out what these files hold, at a start.
    pub(super) fn read(&self, numbers: &[u32]) {
        let mut writing = self.writing.lock();
        let mut state = self.state.lock();
        writing.number = numbers.last().copied().unwrap_or(0);
        for &number in numbers {
            let newest = numbers.last() == Some(&number);
            let first = self.first_head(number);
            let follows = state.segments.back().is_none_or(|before| before.number + 1 == number);
            match first {
                Ok(Some((first, len))) if follows => {
                    state.bytes += len - FILE_HEAD as u64;
                    state.segments.push_back(Segment {
                        number,
                        first,
                        end: len,
                    });
                }
                // It was begun and nothing is in it: it is begun again.
                Ok(None) if newest => writing.number = number - 1,
                Ok(_) => {
                    tracing::error!(
                        owner = self.owner.0,
                        number,
                        "a segment of a stream is damaged or missing before it"
                    );
                    state.is_damaged = true;
                }
                Err(error) => {
                    tracing::error!(owner = self.owner.0, number, %error, "a segment of a stream cannot be read");
                    state.is_damaged = true;
                }
            }
        }
        let Some(newest) = state.segments.back().map(Segment::copy) else {
            return;
        };
        match self.read_end(&newest, &mut writing) {
            Ok((last, end)) => {
                state.bytes -= newest.end - end;
                if let Some(segment) = state.segments.back_mut() {
                    segment.end = end;
                }
                state.last = Some(last);
            }
            Err(error) => {
                tracing::error!(owner = self.owner.0, %error, "the newest segment of a stream cannot be read");
                state.is_damaged = true;
            }
        }
    }

    /// The first record of a segment, if there is one, and the bytes of the file.
    pub(super) fn first_head(&self, number: u32) -> io::Result<Option<(Head, u64)>> {
        let file = self.files.open(&segment_name(self.owner, number))?;
        let seed = self.seed(number);
        let mut window = Window::over(&*file);
        let head = window.bytes(0, FILE_HEAD + HEAD, FILE_HEAD + HEAD)?;
        let head = head.filter(|bytes| bytes[..FILE_HEAD] == file_head(self.owner, number, seed));
        let head = head.and_then(|bytes| Head::decode(&bytes[FILE_HEAD..], seed));
        Ok(head.zip(Some(file.len()?)))
    }

    /// The last record of the newest segment, and where it ends: what is torn off behind it is in the log.
    pub(super) fn read_end(&self, segment: &Segment, writing: &mut Writing) -> io::Result<(Head, u64)> {
        let seed = self.seed(segment.number);
        let file = self.files.open(&segment_name(self.owner, segment.number))?;
        let name = index_name(self.owner, segment.number);
        let index = match self.files.open(&name) {
            Ok(index) => index,
            Err(_) => self.files.create(&name, 0)?,
        };
        let mut window = Window::over(&*file);
        // The last place of the index that is true.
        let mut indexed = index.len()? / MARK as u64;
        let mut at = FILE_HEAD as u64;
        while indexed > 0 {
            if let Some((head, place)) = self.mark_at(&*index, segment.number, indexed - 1)
                && window
                    .bytes(place, HEAD, HEAD)?
                    .and_then(|bytes| Head::decode(bytes, seed))
                    == Some(head)
            {
                at = place;
                indexed -= 1;
                break;
            }
            indexed -= 1;
        }
        let (mut last, mut since, mut marks) = (segment.first, STRIDE, Vec::new());
        let begin = at;
        while let Some(head) = window
            .bytes(at, HEAD, CHUNK)?
            .and_then(|bytes| Head::decode(bytes, seed))
        {
            let body = window.bytes(at + HEAD as u64, head.len as usize, CHUNK)?;
            let is_whole = body.is_some_and(|body| crc32c::crc32c(body) == head.checksum);
            if !is_whole || at > begin && head.number() != last.number() + 1 {
                break;
            }
            if since >= STRIDE {
                marks.extend_from_slice(&mark(&head, at, seed));
                since = 0;
            }
            since += head.record_len();
            last = head;
            at += head.record_len();
        }
        index.write_at(&marks, indexed * MARK as u64)?;
        // What a process wrote that was ended before it synced.
        file.sync()?;
        // What is behind a damaged file stays there, and is not gone on with.
        if writing.number == segment.number {
            writing.indexed = indexed + (marks.len() / MARK) as u64;
            writing.since = since;
            writing.files = Some((file, index));
        }
        Ok((last, at))
    }
}
