//! What the first bytes of a body say: who sent it, its sequence number, and when.
//!
//! Eight bytes of publisher (16 bits) and sequence (48 bits), then eight bytes of time in nanoseconds since the Unix
//! epoch; a body too short for one of them goes without it.

/// Bytes of publisher and sequence number.
pub const SEQ_BYTES: usize = 8;
/// Bytes of the whole stamp.
pub const STAMP_BYTES: usize = 16;

const SEQ_BITS: u32 = 48;

/// A stamp as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u16,
    pub seq: u64,
    /// When it was sent, in nanoseconds since the Unix epoch; `None` in bodies under 16 bytes.
    pub sent_ns: Option<u64>,
}

/// Writes what goes into a body of `body_bytes` at the front of `out`, which is at least that long or holds at
/// least the body's first frame.
#[inline]
pub fn write(out: &mut [u8], body_bytes: usize, publisher: u16, seq: u64, sent_ns: u64) {
    if body_bytes >= SEQ_BYTES {
        let word = u64::from(publisher) << SEQ_BITS | seq & ((1 << SEQ_BITS) - 1);
        out[..SEQ_BYTES].copy_from_slice(&word.to_be_bytes());
    }
    if body_bytes >= STAMP_BYTES {
        out[SEQ_BYTES..STAMP_BYTES].copy_from_slice(&sent_ns.to_be_bytes());
    }
}

/// Reads the front of a body; `None` when it is too short.
#[inline]
pub fn read(body: &[u8]) -> Option<Stamp> {
    let (word, rest) = body.split_first_chunk::<SEQ_BYTES>()?;
    let word = u64::from_be_bytes(*word);
    Some(Stamp {
        publisher: (word >> SEQ_BITS) as u16,
        seq: word & ((1 << SEQ_BITS) - 1),
        sent_ns: rest.first_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_reads_back(publisher: u16, seq in 0..1u64 << 48, sent_ns: u64) {
            let mut body = [0; STAMP_BYTES];
            write(&mut body, STAMP_BYTES, publisher, seq, sent_ns);
            prop_assert_eq!(read(&body), Some(Stamp { publisher, seq, sent_ns: Some(sent_ns) }));
        }
    }

    #[test]
    fn a_short_body_keeps_its_bytes() {
        let mut body = [5; 7];
        write(&mut body, 7, 1, 2, 3);
        assert_eq!(body, [5; 7]);
        assert_eq!(read(&body), None);
    }
}
