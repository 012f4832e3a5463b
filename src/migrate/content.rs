//! The content header of a message on its way to another broker.
//!
//! It goes as it came, but for two headers: a copy of `CC` would have the target route the message to further queues, so it is
//! called `x-original-cc` there; and the source's count of deliveries is not the target's.

use crate::types::FieldTable;

/// The first bytes of a content header: class, weight and size of the body; then flags.
const FLAGS_AT: usize = 12;
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;

/// The size of the body that a content header announces, in bytes; `None` when it is none.
pub fn body_size(header: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*header.get(4..FLAGS_AT)?.first_chunk()?))
}

/// The content header as the target gets it; `None` when it makes no sense.
pub fn for_target(header: &[u8]) -> Option<Vec<u8>> {
    let flags = u16::from_be_bytes(*header.get(FLAGS_AT..)?.first_chunk()?);
    if flags & HEADERS == 0 {
        return Some(header.to_vec());
    }
    let mut at = FLAGS_AT + 2;
    for flag in [CONTENT_TYPE, CONTENT_ENCODING] {
        if flags & flag != 0 {
            at += 1 + usize::from(*header.get(at)?);
        }
    }
    let (mut table, _) = FieldTable::decode(header.get(at..)?).ok()?;
    let length = u32::from_be_bytes(*header.get(at..)?.first_chunk()?) as usize;
    let rest = header.get(at + 4 + length..)?;
    let changes = |name: &str| matches!(name, "CC" | "x-delivery-count");
    if !table.0.iter().any(|(name, _)| changes(name)) {
        return Some(header.to_vec());
    }
    table.0.retain(|(name, _)| name != "x-delivery-count");
    for (name, _) in &mut table.0 {
        if name == "CC" {
            *name = "x-original-cc".into();
        }
    }
    let mut out = header[..at].to_vec();
    table.encode(&mut out);
    out.extend_from_slice(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::FieldValue;

    fn header(flags: u16, before: &[u8], table: Option<FieldTable>, after: &[u8]) -> Vec<u8> {
        let mut out = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        out.extend(flags.to_be_bytes());
        out.extend(before);
        if let Some(table) = table {
            table.encode(&mut out);
        }
        out.extend(after);
        out
    }

    fn table(names: &[&str]) -> Option<FieldTable> {
        let field = |name: &&str| ((*name).into(), FieldValue::text("v"));
        Some(FieldTable(names.iter().map(field).collect()))
    }

    #[test]
    fn headers_that_would_be_acted_on_are_called_otherwise() {
        let before = [&[1, b't'][..], &[2, b'e', b'n']].concat();
        let flags = CONTENT_TYPE | CONTENT_ENCODING | HEADERS | 1 << 12;
        let came = header(flags, &before, table(&["a", "CC", "x-delivery-count"]), &[2]);
        let goes = header(flags, &before, table(&["a", "x-original-cc"]), &[2]);
        assert_eq!(for_target(&came), Some(goes));
        let plain = header(HEADERS, &[], table(&["a", "cc"]), &[]);
        assert_eq!(for_target(&plain), Some(plain.clone()));
        let without = header(1 << 12, &[], None, &[2]);
        assert_eq!(for_target(&without), Some(without.clone()));
        assert_eq!(body_size(&without), Some(7));
        assert_eq!(body_size(&without[..11]), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (body_size(&bytes), for_target(&bytes));
        }
    }
}
