//! What a replicated queue writes down: outcomes, many in one batch.
//!
//! A batch is a format byte and records one after the other, each a tag and its fields; numbers
//! are variable in length, seven bits to a byte. It is built in the order that costs least: what
//! came in, what came back, what is dead and what is gone as ranges, how far was delivered; nothing a queue decides
//! in one go needs another. A message lies in it as [`Message::stored`] gives it, and readers get
//! its place, so that no body is copied.
//!
//! Dropping and purging are ranges of what is gone. Settings are not here: they are the
//! catalogue's, and what was decided by them is an outcome like any other.

use std::ops::Range;

use bytes::Bytes;

use crate::machine::Unreadable;
use crate::types::Message;
use crate::types::message::STORED_HEAD;

use super::sink::{DeathReason, META_LEN};

/// Beyond it nothing is numbered: there is always a next number, and a damaged one shows.
pub(super) const MAX_SEQ: u64 = u64::MAX >> 1;

/// First byte of a batch.
const FORMAT: u8 = 1;
/// First byte of one with discarded messages, which the version before cannot read.
const FORMAT_DISCARDED: u8 = 2;
/// The oldest and the newest that are written and read.
pub const FORMATS: [u8; 2] = [FORMAT, FORMAT_DISCARDED];

const APPEND: u8 = 1;
const APPEND_FROM: u8 = 2;
const GONE: u8 = 3;
const RETURNED: u8 = 4;
const DELIVERED: u8 = 5;
const FORGET: u8 = 6;
const DISCARDED: u8 = 7;

/// Somebody who publishes and may send again what was not answered: one channel, on one node,
/// while it is open. Random.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProducerId(pub u64);

/// Where a message came from: its producer, and the producer's own number for it. The numbers of
/// one producer grow, and arrive in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    pub producer: ProducerId,
    pub number: u64,
}

/// Messages from `first` to `last`, both of them included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seqs {
    pub first: u64,
    pub last: u64,
}

/// One outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    Append(Append),
    /// Those of the range that are there are gone: settled, dropped or purged.
    Gone(Seqs),
    /// Came back; the delivery count is now this.
    Returned(Seqs, u32),
    /// Dead, with this delivery count, and kept until the dead letter is confirmed.
    Discarded(Seqs, u32, DeathReason),
    /// Messages up to this one, and no others, may have been delivered.
    DeliveredUpTo(u64),
    /// The producer will send nothing again.
    Forget(ProducerId),
}

/// A message that came in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    pub seq: u64,
    pub meta: [u8; META_LEN],
    /// Present where the publisher may send it again.
    pub origin: Option<Origin>,
    /// Where in the batch its stored form is.
    pub stored: Range<usize>,
    /// Bytes of its body.
    pub body_len: u32,
}

/// A batch in the making. Used again and again, it allocates only what is handed out.
#[derive(Default)]
pub struct Records {
    bytes: Vec<u8>,
    /// The last message appended in this batch.
    appended: u64,
    gone: Vec<u64>,
    returned: Vec<(u64, u32)>,
    discarded: Vec<(u64, u32, DeathReason)>,
    delivered: Option<u64>,
}

impl Records {
    /// A message came in; numbers grow.
    pub fn append(&mut self, seq: u64, meta: &[u8; META_LEN], origin: Option<Origin>, message: &Message) {
        debug_assert!(seq > self.appended, "messages come in order");
        let (head, [rest, large]) = message.stored();
        let len = head.len() + rest.len() + large.len();
        self.begin(if origin.is_some() { APPEND_FROM } else { APPEND });
        put_number(&mut self.bytes, seq.wrapping_sub(self.appended));
        self.appended = seq;
        if let Some(Origin { producer, number }) = origin {
            self.bytes.extend_from_slice(&producer.0.to_le_bytes());
            put_number(&mut self.bytes, number);
        }
        self.bytes.extend_from_slice(meta);
        put_number(&mut self.bytes, len as u64);
        for piece in [&head, rest, large] {
            self.bytes.extend_from_slice(piece);
        }
    }

    /// A message is gone.
    pub fn gone(&mut self, seq: u64) {
        self.gone.push(seq);
    }

    /// A message came back; `count` is absolute.
    pub fn returned(&mut self, seq: u64, count: u32) {
        self.returned.push((seq, count));
    }

    /// See [`Record::Discarded`].
    pub fn discarded(&mut self, seq: u64, count: u32, reason: DeathReason) {
        self.discarded.push((seq, count, reason));
    }

    /// See [`Record::DeliveredUpTo`]; the last one of a batch counts.
    pub fn delivered_up_to(&mut self, mark: u64) {
        self.delivered = Some(mark);
    }

    /// The mark of the batch in the making.
    pub fn mark(&self) -> Option<u64> {
        self.delivered
    }

    /// See [`Record::Forget`].
    pub fn forget(&mut self, producer: ProducerId) {
        self.begin(FORGET);
        self.bytes.extend_from_slice(&producer.0.to_le_bytes());
    }

    /// Whether there is nothing to write down.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty() && self.may_wait()
    }

    /// Whether nobody waits for what there is: messages that are gone, and nothing else.
    pub fn may_wait(&self) -> bool {
        self.bytes.is_empty() && self.returned.is_empty() && self.discarded.is_empty() && self.delivered.is_none()
    }

    /// About how many bytes the batch has by now.
    pub fn len(&self) -> usize {
        self.bytes.len() + 12 * self.gone.len() + 16 * (self.returned.len() + self.discarded.len())
    }

    /// The batch, and begins the next one. `None` when there is nothing to write down.
    pub fn take(&mut self) -> Option<Bytes> {
        if self.is_empty() {
            return None;
        }
        self.finish_returned();
        self.finish_discarded();
        self.finish_gone();
        if let Some(mark) = self.delivered.take() {
            self.begin(DELIVERED);
            put_number(&mut self.bytes, mark);
        }
        self.appended = 0;
        Some(Bytes::from(std::mem::take(&mut self.bytes)))
    }

    fn finish_returned(&mut self) {
        let mut returned = std::mem::take(&mut self.returned);
        // The sort keeps the order of those with one number: the last of them counts.
        returned.sort_by_key(|(seq, _)| *seq);
        returned.reverse();
        returned.dedup_by_key(|(seq, _)| *seq);
        returned.reverse();
        for run in returned.chunk_by(|one, next| one.0.checked_add(1) == Some(next.0) && one.1 == next.1) {
            if let (Some((first, count)), Some((last, _))) = (run.first(), run.last()) {
                self.range(RETURNED, *first, *last);
                put_number(&mut self.bytes, (*count).into());
            }
        }
        returned.clear();
        self.returned = returned;
    }

    fn finish_discarded(&mut self) {
        if self.discarded.is_empty() {
            return;
        }
        let mut discarded = std::mem::take(&mut self.discarded);
        discarded.sort_by_key(|(seq, ..)| *seq);
        for run in
            discarded.chunk_by(|one, next| one.0.checked_add(1) == Some(next.0) && (one.1, one.2) == (next.1, next.2))
        {
            if let (Some((first, count, reason)), Some((last, ..))) = (run.first(), run.last()) {
                self.range(DISCARDED, *first, *last);
                put_number(&mut self.bytes, (*count).into());
                self.bytes.push(reason.code());
            }
        }
        self.bytes[0] = FORMAT_DISCARDED;
        discarded.clear();
        self.discarded = discarded;
    }

    fn finish_gone(&mut self) {
        let mut gone = std::mem::take(&mut self.gone);
        gone.sort_unstable();
        gone.dedup();
        for run in gone.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                self.range(GONE, *first, *last);
            }
        }
        gone.clear();
        self.gone = gone;
    }

    fn range(&mut self, tag: u8, first: u64, last: u64) {
        self.begin(tag);
        put_number(&mut self.bytes, first);
        put_number(&mut self.bytes, last - first);
    }

    fn begin(&mut self, tag: u8) {
        if self.bytes.is_empty() {
            self.bytes.push(FORMAT);
        }
        self.bytes.push(tag);
    }
}

/// The records of a batch, in order; ends after the first that cannot be read.
pub fn records(batch: &[u8]) -> Result<Reader<'_>, Unreadable> {
    match batch.first() {
        Some(&(FORMAT | FORMAT_DISCARDED)) => Ok(Reader {
            input: Input { bytes: batch, at: 1 },
            appended: 0,
        }),
        Some(version) => Err(Unreadable(format!(
            "format version {version} of a queue's records is unknown; this version reads up to {FORMAT_DISCARDED}"
        ))),
        None => Err(Unreadable::new("a queue's batch of records is empty")),
    }
}

/// See [`records`].
pub struct Reader<'a> {
    input: Input<'a>,
    appended: u64,
}

impl Iterator for Reader<'_> {
    type Item = Result<Record, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.input.is_at_end() {
            return None;
        }
        let record = self.read();
        if record.is_none() {
            self.input.at = self.input.bytes.len();
        }
        Some(record.ok_or_else(|| Unreadable::new("a queue's batch of records is damaged")))
    }
}

impl Reader<'_> {
    fn read(&mut self) -> Option<Record> {
        let input = &mut self.input;
        Some(match input.byte()? {
            tag @ (APPEND | APPEND_FROM) => {
                let seq = self.appended.checked_add(input.number()?)?;
                if seq <= self.appended || seq > MAX_SEQ {
                    return None;
                }
                self.appended = seq;
                let origin = match tag {
                    APPEND => None,
                    _ => Some(Origin {
                        producer: ProducerId(input.fixed()?),
                        number: input.number()?,
                    }),
                };
                let meta = *input.take(META_LEN)?.first_chunk()?;
                let (stored, body_len) = input.message()?;
                Record::Append(Append {
                    seq,
                    meta,
                    origin,
                    stored,
                    body_len,
                })
            }
            GONE => Record::Gone(input.seqs()?),
            RETURNED => Record::Returned(input.seqs()?, input.number()?.try_into().ok()?),
            DISCARDED if input.bytes.first() == Some(&FORMAT_DISCARDED) => Record::Discarded(
                input.seqs()?,
                input.number()?.try_into().ok()?,
                DeathReason::from_code(input.byte()?)?,
            ),
            DELIVERED => Record::DeliveredUpTo(input.number().filter(|mark| *mark <= MAX_SEQ)?),
            FORGET => Record::Forget(ProducerId(input.fixed()?)),
            _ => return None,
        })
    }
}

/// Unchecked bytes, read from the front. `None` is the end, or nonsense.
pub struct Input<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl<'a> Input<'a> {
    pub fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub fn fixed(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    pub fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn seqs(&mut self) -> Option<Seqs> {
        let first = self.number()?;
        let last = first.checked_add(self.number()?).filter(|last| *last <= MAX_SEQ)?;
        Some(Seqs { first, last })
    }

    /// The place of a message in its stored form, and the bytes of its body.
    pub fn message(&mut self) -> Option<(Range<usize>, u32)> {
        let len = u32::try_from(self.number()?).ok()?;
        let begin = self.at;
        let stored = self.take(len as usize)?;
        let head: &[u8; STORED_HEAD] = stored.first_chunk()?;
        let properties = u32::from_le_bytes(*head[2..].first_chunk()?);
        let before = (STORED_HEAD as u32 + u32::from(head[0]) + u32::from(head[1])).checked_add(properties)?;
        Some((begin..self.at, len.checked_sub(before)?))
    }
}

/// Writes a number, seven bits to a byte, lowest first.
pub fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

#[cfg(test)]
mod tests;
