//! The bytes read from one socket and not yet taken by the protocol machine.
//!
//! The buffers of idle connections are given back to a pool, so that only connections with
//! something under way hold one.

use parking_lot::Mutex;

/// Bytes of an ordinary buffer.
const SIZE: usize = 64 * 1024;
/// Buffers kept for the next connection that reads.
const POOLED: usize = 64;
/// A read into less room than this is not worth it: the buffer is moved to its front first.
const LEAST_ROOM: usize = SIZE / 4;

static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// Bytes from `start` to `end` are filled.
#[derive(Default)]
pub struct ReadBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    /// What is there.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Takes bytes off the front.
    pub fn consume(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room to read into, enough for `least` bytes more, or for as many again as there are: what
    /// a frame's head promises may never come.
    pub fn room(&mut self, least: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = POOL.lock().pop().unwrap_or_else(|| vec![0; SIZE]);
        }
        let least = least.min(self.bytes.len());
        if self.start > 0 && self.bytes.len() - self.end < least.max(LEAST_ROOM) {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = self.end + least;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted.next_multiple_of(SIZE), 0);
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into the room.
    pub fn filled_more(&mut self, count: usize) {
        self.end += count;
    }

    /// Gives the buffer back when there is nothing in it.
    pub fn rest(&mut self) {
        if self.start < self.end || self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        let mut pool = POOL.lock();
        if bytes.len() == SIZE && pool.len() < POOLED {
            pool.push(bytes);
        }
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.end = self.start;
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(buffer: &mut ReadBuffer, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = buffer.room(bytes.len());
            let part = room.len().min(bytes.len());
            room[..part].copy_from_slice(&bytes[..part]);
            buffer.filled_more(part);
            bytes = &bytes[part..];
        }
    }

    #[test]
    fn a_promise_takes_no_memory() {
        let mut buffer = ReadBuffer::default();
        put(&mut buffer, b"head");
        assert!(buffer.room(1 << 30).len() <= 2 * SIZE);
    }

    #[test]
    fn bytes_come_out_in_order_however_they_came_in() {
        let mut buffer = ReadBuffer::default();
        let all: Vec<u8> = (0..300_000_u32).map(|at| at as u8).collect();
        let (mut given, mut taken) = (0, 0);
        for size in [1, 70_000, 30, 65_536, 3, 100_000].into_iter().cycle() {
            let next = all.len().min(given + size);
            put(&mut buffer, &all[given..next]);
            given = next;
            let part = buffer.filled().len() / 2 + 1;
            assert_eq!(&buffer.filled()[..part], &all[taken..taken + part]);
            buffer.consume(part);
            taken += part;
            if given == all.len() && buffer.filled().is_empty() {
                break;
            }
        }
        buffer.rest();
        assert!(buffer.bytes.is_empty());
    }
}
