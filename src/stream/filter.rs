//! Which values of `x-stream-filter-value` may be in a chunk: a Bloom filter that lies beside the chunk.
//!
//! Two bits for each value; bit 0, the highest of the first byte, stands for messages without one. The filter
//! is empty where no message has a value. Two hashes, each a half of 64-bit FNV-1a, are part of what is on disk.

/// Bytes of a filter where nothing is said.
pub const DEFAULT_BYTES: u8 = 16;

/// A filter that is being made.
#[derive(Clone, Debug)]
pub struct Building {
    bits: Vec<u8>,
    has_value: bool,
}

impl Building {
    /// Of so many bytes, 16 to 255.
    pub fn new(bytes: u8) -> Self {
        Self {
            bits: vec![0; bytes.max(DEFAULT_BYTES).into()],
            has_value: false,
        }
    }

    /// Takes in a message with this value, or none; an empty one is none.
    pub fn add(&mut self, value: Option<&[u8]>) {
        match value.filter(|value| !value.is_empty()) {
            None => set(&mut self.bits, 0),
            Some(value) => {
                self.has_value = true;
                for bit in places(value, self.bits.len()) {
                    set(&mut self.bits, bit);
                }
            }
        }
    }

    /// The filter, and begins anew.
    pub fn take(&mut self) -> Vec<u8> {
        let empty = vec![0; self.bits.len()];
        let bits = std::mem::replace(&mut self.bits, empty);
        match std::mem::take(&mut self.has_value) {
            true => bits,
            false => Vec::new(),
        }
    }
}

/// Which chunks a reader wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matcher {
    /// None of them: all chunks.
    pub values: Vec<Vec<u8>>,
    /// Also those with messages that have no value.
    pub unfiltered: bool,
}

impl Matcher {
    /// Whether a chunk with this filter may have something for the reader.
    pub fn takes(&self, filter: &[u8]) -> bool {
        if self.values.is_empty() {
            return true;
        }
        if filter.is_empty() {
            return self.unfiltered;
        }
        let may_hold = |value: &Vec<u8>| match value.is_empty() {
            true => is_set(filter, 0),
            false => places(value, filter.len()).into_iter().all(|bit| is_set(filter, bit)),
        };
        self.values.iter().any(may_hold) || self.unfiltered && is_set(filter, 0)
    }
}

/// The two bits of a value, never bit 0.
fn places(value: &[u8], bytes: usize) -> [usize; 2] {
    let hash = value.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let others = (bytes * 8 - 1) as u64;
    [hash >> 32, hash & 0xffff_ffff].map(|half| (half % others + 1) as usize)
}

fn set(bits: &mut [u8], bit: usize) {
    bits[bit / 8] |= 0x80 >> (bit % 8);
}

fn is_set(bits: &[u8], bit: usize) -> bool {
    bits[bit / 8] & 0x80 >> (bit % 8) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut building = Building::new(DEFAULT_BYTES);
        values.iter().for_each(|value| building.add(*value));
        building.take()
    }

    fn wanting(values: &[&str], unfiltered: bool) -> Matcher {
        Matcher {
            values: values.iter().map(|value| value.as_bytes().to_vec()).collect(),
            unfiltered,
        }
    }

    #[test]
    fn a_chunk_is_taken_for_each_of_its_values() {
        let filter = of(&[Some(b"a"), Some(b"b"), None]);
        assert!(wanting(&["a"], false).takes(&filter));
        assert!(wanting(&["x", "b"], false).takes(&filter));
        assert!(!wanting(&["x"], false).takes(&filter));
        assert!(wanting(&["x"], true).takes(&filter), "it has one without");
        assert!(wanting(&[], false).takes(&filter), "nothing is filtered");
    }

    #[test]
    fn a_chunk_without_values_is_for_those_who_take_unfiltered_ones() {
        let filter = of(&[None, Some(b"")]);
        assert!(filter.is_empty());
        assert!(!wanting(&["a"], false).takes(&filter));
        assert!(wanting(&["a"], true).takes(&filter));
        assert!(!wanting(&["a"], true).takes(&of(&[Some(b"b")])), "all have values");
    }
}
