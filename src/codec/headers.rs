//! A headers table looked at where it lies: checked and searched without building it.
//!
//! Accepts exactly what [`FieldTable::decode`] accepts; a property test holds the two together.
//! All functions take the table with its length prefix.

use crate::types::table::{MAX_DEPTH, TableError};
use crate::types::{FieldTable, FieldValue};

/// Whether `input` begins with a table that can be decoded; nothing is allocated.
///
/// # Errors
/// What [`FieldTable::decode`] would say.
pub fn check(input: &[u8]) -> Result<(), TableError> {
    skip_table(input, 0).map(drop)
}

/// The first value under `name` in a checked table.
pub fn find(table: &[u8], name: &str) -> Option<FieldValue> {
    let (mut body, _) = prefixed(table).ok()?;
    while !body.is_empty() {
        let (key, rest) = short(body).ok()?;
        let after = skip_value(rest, 0).ok()?;
        if key == name.as_bytes() {
            return value_of(body, after);
        }
        body = after;
    }
    None
}

/// The value of the first entry of `body`, which ends where `after` begins.
fn value_of(body: &[u8], after: &[u8]) -> Option<FieldValue> {
    let entry = &body[..body.len() - after.len()];
    let mut alone = Vec::with_capacity(entry.len() + 4);
    alone.extend_from_slice(&(entry.len() as u32).to_be_bytes());
    alone.extend_from_slice(entry);
    let (table, _) = FieldTable::decode(&alone).ok()?;
    table.0.into_iter().next().map(|(_, value)| value)
}

fn skip_table(input: &[u8], depth: usize) -> Result<&[u8], TableError> {
    if depth >= MAX_DEPTH {
        return Err(TableError::TooDeep);
    }
    let (mut body, rest) = prefixed(input)?;
    while !body.is_empty() {
        let (_, after) = short(body)?;
        body = skip_value(after, depth)?;
    }
    Ok(rest)
}

fn skip_value(input: &[u8], depth: usize) -> Result<&[u8], TableError> {
    let (&tag, rest) = input.split_first().ok_or(TableError::Truncated)?;
    let fixed = match tag {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' => return prefixed(rest).map(|(_, rest)| rest),
        b'F' => return skip_table(rest, depth + 1),
        b'A' => {
            if depth + 1 >= MAX_DEPTH {
                return Err(TableError::TooDeep);
            }
            let (mut items, rest) = prefixed(rest)?;
            while !items.is_empty() {
                items = skip_value(items, depth + 1)?;
            }
            return Ok(rest);
        }
        other => return Err(TableError::UnknownType(other)),
    };
    rest.get(fixed..).ok_or(TableError::Truncated)
}

fn short(input: &[u8]) -> Result<(&[u8], &[u8]), TableError> {
    let (&length, rest) = input.split_first().ok_or(TableError::Truncated)?;
    rest.split_at_checked(length.into()).ok_or(TableError::Truncated)
}

fn prefixed(input: &[u8]) -> Result<(&[u8], &[u8]), TableError> {
    let (length, rest) = input.split_first_chunk::<4>().ok_or(TableError::Truncated)?;
    let length = u32::from_be_bytes(*length) as usize;
    rest.split_at_checked(length).ok_or(TableError::Truncated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_between_others() {
        let entries = [
            ("first", FieldValue::text("x")),
            ("CC", FieldValue::Array(vec![FieldValue::text("a"), FieldValue::Void])),
            ("CC", FieldValue::Void),
        ];
        let table = FieldTable(entries.map(|(key, value)| (key.to_owned(), value)).to_vec());
        let mut bytes = Vec::new();
        table.encode(&mut bytes);
        assert_eq!(check(&bytes), Ok(()));
        assert_eq!(find(&bytes, "CC").as_ref(), table.get("CC"));
        assert_eq!(find(&bytes, "BCC"), None);
    }
}
