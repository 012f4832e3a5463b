//! Until when a certificate is valid (RFC 5280, section 4.1): as much of DER as leads to that.

/// The last second of a certificate, as Unix time. `None` when the bytes are none.
pub(super) fn end(certificate: &[u8]) -> Option<u64> {
    let mut outer = Der(certificate);
    let mut whole = Der(outer.value(SEQUENCE)?);
    let mut fields = Der(whole.value(SEQUENCE)?);
    if fields.0.first() == Some(&VERSION) {
        fields.value(VERSION)?;
    }
    fields.value(INTEGER)?; // serial number
    fields.value(SEQUENCE)?; // algorithm
    fields.value(SEQUENCE)?; // issuer
    let mut validity = Der(fields.value(SEQUENCE)?);
    validity.any()?; // not before
    let (tag, time) = validity.any()?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
/// The first field, where there is one.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is left to read of a value.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its value.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // So many bytes hold the length; no certificate needs more than four.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                (length, rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, which has that tag.
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (own, value) = self.any()?;
        (own == tag).then_some(value)
    }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`; nothing else is allowed in certificates.
fn seconds(tag: u8, time: &str) -> Option<u64> {
    let digits = time.strip_suffix('Z')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year: u64 = digits[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (digits[..4].parse().ok()?, &digits[4..]),
        _ => return None,
    };
    let two = |at: usize| rest[at..at + 2].parse::<u64>().ok();
    let (month, day) = (two(0)?, two(2)?);
    let in_range = (1..=12).contains(&month) && (1..=31).contains(&day);
    let days = days_before(year, month)?
        .checked_add(day)?
        .checked_sub(1)
        .filter(|_| in_range)?;
    Some(((days * 24 + two(4)?) * 60 + two(6)?) * 60 + two(8)?)
}

/// Days from 1970 to the first of a month.
fn days_before(year: u64, month: u64) -> Option<u64> {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let years: u64 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    let months = [
        31,
        if leap(year) { 29 } else { 28 },
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    let before = usize::try_from(month.checked_sub(1)?).ok()?;
    // Nothing ended before 1970.
    (year >= 1970).then_some(years + months.iter().take(before).sum::<u64>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn a_certificate_says_when_it_ends() {
        for (year, expected) in [(2030, 1_897_516_800), (2049, 2_497_132_800), (2096, 3_980_275_200)] {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(year, 2, 17);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(end(certificate.der()), Some(expected), "{year}");
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "000301000001Z"), Some(951_868_801));
        assert_eq!(seconds(GENERALIZED_TIME, "21000301000000Z"), Some(4_107_542_400));
        for (tag, time) in [
            (UTC_TIME, "7001010000Z"),
            (UTC_TIME, "700101000000"),
            (UTC_TIME, "701301000000Z"),
            (GENERALIZED_TIME, "700101000000Z"),
            (GENERALIZED_TIME, "19690101000000Z"),
            (INTEGER, "700101000000Z"),
        ] {
            assert_eq!(seconds(tag, time), None, "{time}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = end(&bytes);
        }
    }
}
