//! Many records in one entry of the log: the unit of cost in Raft is the append round.
//!
//! ```text
//! u8 version │ u32 length, record │ u32 length, record │ …      little endian
//! ```

use std::fmt;

use bytes::{Buf, Bytes};

use crate::machine::{Machine, Unreadable};

/// The body of a normal entry.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Bytes);

impl Packed {
    /// Of these records, in order.
    pub fn of<'a>(records: impl Iterator<Item = &'a Bytes> + Clone) -> Self {
        let bytes = records.clone().map(|record| 4 + record.len()).sum::<usize>();
        let mut packed = Vec::with_capacity(1 + bytes);
        packed.push(VERSION);
        for record in records {
            packed.extend_from_slice(&(record.len() as u32).to_le_bytes());
            packed.extend_from_slice(record);
        }
        Self(packed.into())
    }

    /// As it was read from the log or from a peer; not looked at yet.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// As it is written.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The records in order; ends after the first error.
    pub fn records(&self) -> Records {
        Records::new(self.0.clone())
    }

    /// Whether this program can read it and every record in it.
    pub fn check<M: Machine>(&self) -> Result<(), Unreadable> {
        self.records().try_for_each(|record| M::check(&record?))
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packed({} bytes)", self.0.len())
    }
}

impl fmt::Display for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Goes through the records of an entry.
pub struct Records {
    rest: Bytes,
    version_read: bool,
}

impl Records {
    fn new(rest: Bytes) -> Self {
        Self {
            rest,
            version_read: false,
        }
    }

    fn version(&mut self) -> Result<(), Unreadable> {
        self.version_read = true;
        match self.rest.try_get_u8() {
            Ok(VERSION) => Ok(()),
            Ok(other) => {
                self.rest.clear();
                Err(Unreadable::new(format!(
                    "log entry of format {other}; this program knows {VERSION}"
                )))
            }
            Err(_) => Err(Unreadable::new("empty log entry")),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Bytes, Unreadable>;

    fn next(&mut self) -> Option<Self::Item> {
        if !self.version_read
            && let Err(error) = self.version()
        {
            return Some(Err(error));
        }
        if self.rest.is_empty() {
            return None;
        }
        match self.rest.try_get_u32_le() {
            Ok(len) if len as usize <= self.rest.len() => Some(Ok(self.rest.split_to(len as usize))),
            _ => {
                self.rest.clear();
                Some(Err(Unreadable::new("a log entry ends within a record")))
            }
        }
    }
}

/// First byte of an entry.
pub const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_in_order() {
        let records: Vec<Bytes> = ["a", "", "ccc"].map(Bytes::from).into();
        let packed = Packed::of(records.iter());
        let back: Result<Vec<_>, _> = packed.records().collect();
        assert_eq!(back, Ok(records));
    }

    #[test]
    fn a_later_version_and_a_cut_entry_are_refused_once() {
        let later = Packed::from_bytes(Bytes::from_static(&[VERSION + 1, 0, 0, 0, 0]));
        assert_eq!(later.records().filter(Result::is_err).count(), 1);
        assert_eq!(later.records().count(), 1);

        let whole = Packed::of([Bytes::from_static(b"abc")].iter());
        for cut in 0..whole.bytes().len() {
            let packed = Packed::from_bytes(whole.bytes().slice(..cut));
            // The version alone is an entry without records.
            let errors = packed.records().filter(Result::is_err).count();
            assert_eq!(errors, usize::from(cut != 1), "cut at {cut}");
        }
    }
}
