//! AMQP field tables that keep order, duplicates and exact types.
//!
//! amq-protocol's table is a sorted map; message headers must survive unchanged (RabbitMQ passes
//! them through as sent), so tables that are read and written back use this one. Decoding never
//! takes memory beyond what the input holds and never nests deeper than [`MAX_DEPTH`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Deepest nesting of tables and arrays that is decoded.
pub const MAX_DEPTH: usize = 64;

/// A field value with its type letter as RabbitMQ reads it (the errata of the 0-9-1 grammar).
#[derive(Clone, Debug, PartialEq)]
pub enum FieldValue {
    /// `t`
    Boolean(bool),
    /// `b`
    I8(i8),
    /// `B`
    U8(u8),
    /// `s`
    I16(i16),
    /// `u`
    U16(u16),
    /// `I`
    I32(i32),
    /// `i`
    U32(u32),
    /// `l` (and `L` when read)
    I64(i64),
    /// `f`
    F32(f32),
    /// `d`
    F64(f64),
    /// `D`: scale, unscaled value
    Decimal(u8, u32),
    /// `S`
    LongString(Vec<u8>),
    /// `A`
    Array(Vec<FieldValue>),
    /// `T`, seconds since the Unix epoch
    Timestamp(u64),
    /// `F`
    Table(FieldTable),
    /// `V`
    Void,
    /// `x`
    Bytes(Vec<u8>),
}

/// Why bytes are not a field table.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
pub enum TableError {
    #[error("field table ends early")]
    Truncated,
    #[error("unknown field type {0:#04x}")]
    UnknownType(u8),
    #[error("field tables nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

/// Names and values in the order they were sent.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct FieldTable(pub Vec<(String, FieldValue)>);

impl FieldTable {
    /// A table without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// A table of these.
    pub fn of(entries: &[(&str, FieldValue)]) -> Self {
        let entries = entries.iter();
        Self(
            entries
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect(),
        )
    }

    /// The first value under `name`.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The last value under `name`.
    pub fn last(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Whether the two are the same map: the order of the names does not count, that of equal names
    /// and that in nested tables does.
    pub fn is_same_map(&self, other: &Self) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        if self.0.iter().zip(&other.0).all(|(a, b)| is_same_entry(a, b)) {
            return true;
        }
        let (own, others) = (self.by_name(), other.by_name());
        own.iter().zip(others).all(|(a, b)| is_same_entry(a, b))
    }

    fn by_name(&self) -> Vec<&(String, FieldValue)> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries
    }

    /// The table in the order of its names; equal ones and nested tables stay as they are.
    pub fn sorted(&self) -> Self {
        Self(self.by_name().into_iter().cloned().collect())
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Replaces the first entry of that name in place, or adds one at the end.
    pub fn set(&mut self, name: &str, value: FieldValue) {
        match self.0.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Takes every entry of that name out and returns the first value.
    pub fn take(&mut self, name: &str) -> Option<FieldValue> {
        let value = self
            .0
            .iter()
            .position(|(key, _)| key == name)
            .map(|at| self.0.remove(at).1);
        self.0.retain(|(key, _)| key != name);
        value
    }

    /// Reads a table, with its length prefix, from the front of `input`; returns it and the rest.
    pub fn decode(input: &[u8]) -> Result<(Self, &[u8]), TableError> {
        decode_table(input, 0)
    }

    /// Writes the table with its length prefix.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        for (key, value) in &self.0 {
            let key = &key.as_bytes()[..key.len().min(255)];
            out.push(key.len() as u8);
            out.extend_from_slice(key);
            value.encode(out);
        }
        patch_length(out, start);
    }
}

// Written down in its wire form: JSON has no NaN, and its nesting is limited otherwise than ours,
// so a table a client sent could become unreadable.
impl Serialize for FieldTable {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes);
        to.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for FieldTable {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = STANDARD.decode(String::deserialize(from)?).map_err(D::Error::custom)?;
        Self::decode(&bytes).map(|(table, _)| table).map_err(D::Error::custom)
    }
}

impl FieldValue {
    /// A long string.
    pub fn text(text: &str) -> Self {
        Self::LongString(text.as_bytes().to_vec())
    }

    /// The text of a long string that is UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::LongString(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The value of any integer type (timestamps are not integers).
    pub fn as_int(&self) -> Option<i64> {
        Some(match *self {
            Self::I8(v) => v.into(),
            Self::U8(v) => v.into(),
            Self::I16(v) => v.into(),
            Self::U16(v) => v.into(),
            Self::I32(v) => v.into(),
            Self::U32(v) => v.into(),
            Self::I64(v) => v,
            _ => return None,
        })
    }

    /// The value of either type of float.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Self::F32(v) => Some(v.into()),
            Self::F64(v) => Some(v),
            _ => None,
        }
    }

    /// The bytes of a long string or a byte array.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::LongString(bytes) | Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Boolean(v) => Some(*v),
            _ => None,
        }
    }

    /// The name RabbitMQ gives the type in reply texts.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "bool",
            Self::I8(_) => "byte",
            Self::U8(_) => "unsignedbyte",
            Self::I16(_) => "short",
            Self::U16(_) => "unsignedshort",
            Self::I32(_) => "signedint",
            Self::U32(_) => "unsignedint",
            Self::I64(_) => "long",
            Self::F32(_) => "float",
            Self::F64(_) => "double",
            Self::Decimal(..) => "decimal",
            Self::LongString(_) => "longstr",
            Self::Array(_) => "array",
            Self::Timestamp(_) => "timestamp",
            Self::Table(_) => "table",
            Self::Void => "void",
            Self::Bytes(_) => "binary",
        }
    }

    /// Writes the type letter and the value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Boolean(v) => out.extend_from_slice(&[b't', u8::from(*v)]),
            Self::I8(v) => tagged(out, b'b', &v.to_be_bytes()),
            Self::U8(v) => tagged(out, b'B', &v.to_be_bytes()),
            Self::I16(v) => tagged(out, b's', &v.to_be_bytes()),
            Self::U16(v) => tagged(out, b'u', &v.to_be_bytes()),
            Self::I32(v) => tagged(out, b'I', &v.to_be_bytes()),
            Self::U32(v) => tagged(out, b'i', &v.to_be_bytes()),
            Self::I64(v) => tagged(out, b'l', &v.to_be_bytes()),
            Self::F32(v) => tagged(out, b'f', &v.to_be_bytes()),
            Self::F64(v) => tagged(out, b'd', &v.to_be_bytes()),
            Self::Decimal(scale, v) => {
                tagged(out, b'D', &[*scale]);
                out.extend_from_slice(&v.to_be_bytes());
            }
            Self::LongString(v) => {
                tagged(out, b'S', &(v.len() as u32).to_be_bytes());
                out.extend_from_slice(v);
            }
            Self::Array(items) => {
                out.push(b'A');
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                for item in items {
                    item.encode(out);
                }
                patch_length(out, start);
            }
            Self::Timestamp(v) => tagged(out, b'T', &v.to_be_bytes()),
            Self::Table(table) => {
                out.push(b'F');
                table.encode(out);
            }
            Self::Void => out.push(b'V'),
            Self::Bytes(v) => {
                tagged(out, b'x', &(v.len() as u32).to_be_bytes());
                out.extend_from_slice(v);
            }
        }
    }
}

/// The same name, and a value of the same type. What is not equal to itself, as floats can be, is
/// still the same.
fn is_same_entry((a, own): &(String, FieldValue), (b, other): &(String, FieldValue)) -> bool {
    let bytes = |value: &FieldValue| {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        bytes
    };
    a == b && (own == other || bytes(own) == bytes(other))
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn patch_length(out: &mut [u8], start: usize) {
    let length = (out.len() - start - 4) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn split(input: &[u8], length: usize) -> Result<(&[u8], &[u8]), TableError> {
    input.split_at_checked(length).ok_or(TableError::Truncated)
}

fn fixed<const N: usize>(input: &[u8]) -> Result<([u8; N], &[u8]), TableError> {
    let (bytes, rest) = input.split_first_chunk::<N>().ok_or(TableError::Truncated)?;
    Ok((*bytes, rest))
}

fn prefixed(input: &[u8]) -> Result<(&[u8], &[u8]), TableError> {
    let (length, rest) = fixed::<4>(input)?;
    split(rest, u32::from_be_bytes(length) as usize)
}

fn decode_table(input: &[u8], depth: usize) -> Result<(FieldTable, &[u8]), TableError> {
    if depth >= MAX_DEPTH {
        return Err(TableError::TooDeep);
    }
    let (mut body, rest) = prefixed(input)?;
    let mut table = FieldTable::new();
    while !body.is_empty() {
        let ([length], after) = fixed::<1>(body)?;
        let (key, after) = split(after, length.into())?;
        let (value, after) = decode_value(after, depth)?;
        table.0.push((String::from_utf8_lossy(key).into_owned(), value));
        body = after;
    }
    Ok((table, rest))
}

fn decode_value(input: &[u8], depth: usize) -> Result<(FieldValue, &[u8]), TableError> {
    let ([tag], rest) = fixed::<1>(input)?;
    macro_rules! number {
        ($variant:ident, $type:ty) => {{
            let (bytes, rest) = fixed::<{ size_of::<$type>() }>(rest)?;
            (FieldValue::$variant(<$type>::from_be_bytes(bytes)), rest)
        }};
    }
    Ok(match tag {
        b't' => {
            let ([v], rest) = fixed::<1>(rest)?;
            (FieldValue::Boolean(v != 0), rest)
        }
        b'b' => number!(I8, i8),
        b'B' => number!(U8, u8),
        b's' => number!(I16, i16),
        b'u' => number!(U16, u16),
        b'I' => number!(I32, i32),
        b'i' => number!(U32, u32),
        b'l' | b'L' => number!(I64, i64),
        b'f' => number!(F32, f32),
        b'd' => number!(F64, f64),
        b'T' => number!(Timestamp, u64),
        b'D' => {
            let ([scale], rest) = fixed::<1>(rest)?;
            let (value, rest) = fixed::<4>(rest)?;
            (FieldValue::Decimal(scale, u32::from_be_bytes(value)), rest)
        }
        b'S' => {
            let (bytes, rest) = prefixed(rest)?;
            (FieldValue::LongString(bytes.to_vec()), rest)
        }
        b'x' => {
            let (bytes, rest) = prefixed(rest)?;
            (FieldValue::Bytes(bytes.to_vec()), rest)
        }
        b'A' => {
            if depth + 1 >= MAX_DEPTH {
                return Err(TableError::TooDeep);
            }
            let (mut body, rest) = prefixed(rest)?;
            let mut items = Vec::new();
            while !body.is_empty() {
                let (item, after) = decode_value(body, depth + 1)?;
                items.push(item);
                body = after;
            }
            (FieldValue::Array(items), rest)
        }
        b'F' => {
            let (table, rest) = decode_table(rest, depth + 1)?;
            (FieldValue::Table(table), rest)
        }
        b'V' => (FieldValue::Void, rest),
        other => return Err(TableError::UnknownType(other)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_keeps_order_and_duplicates() {
        let mut bytes = Vec::new();
        let table = FieldTable(vec![
            ("b".into(), FieldValue::I32(1)),
            ("a".into(), FieldValue::text("x")),
            (
                "b".into(),
                FieldValue::Array(vec![FieldValue::Void, FieldValue::Boolean(true)]),
            ),
            (
                "t".into(),
                FieldValue::Table(FieldTable(vec![("d".into(), FieldValue::Decimal(2, 7))])),
            ),
        ]);
        table.encode(&mut bytes);
        assert_eq!(FieldTable::decode(&bytes), Ok((table, &[][..])));
    }

    #[test]
    fn two_tables_are_the_same_map_whatever_the_order_of_their_names() {
        let (one, two) = (FieldValue::I32(1), FieldValue::text("2"));
        let ab = FieldTable::of(&[("a", one.clone()), ("b", two.clone())]);
        let ba = FieldTable::of(&[("b", two.clone()), ("a", one.clone())]);
        assert!(ab.is_same_map(&ba));
        assert_ne!(ab, ba);
        assert_eq!(ab.sorted(), ba.sorted());
        assert!(!ab.is_same_map(&FieldTable::of(&[("a", one.clone())])));
        assert!(!ab.is_same_map(&FieldTable::of(&[("a", one.clone()), ("b", one.clone())])));
    }

    #[test]
    fn in_a_map_types_order_within_tables_and_order_of_equal_names_count() {
        let of = |value: FieldValue| FieldTable::of(&[("a", value)]);
        let nested = |first: &str, second: &str| {
            let entry = |name: &str| (name.to_owned(), FieldValue::Void);
            of(FieldValue::Table(FieldTable(vec![entry(first), entry(second)])))
        };
        let twice =
            |first: i32, second: i32| FieldTable::of(&[("a", FieldValue::I32(first)), ("a", FieldValue::I32(second))]);
        let different = [
            (of(FieldValue::I32(1)), of(FieldValue::I64(1))),
            (of(FieldValue::I32(1)), of(FieldValue::F64(1.0))),
            (of(FieldValue::F32(0.5)), of(FieldValue::F64(0.5))),
            (of(FieldValue::text("x")), of(FieldValue::Bytes(b"x".to_vec()))),
            (nested("p", "q"), nested("q", "p")),
            (twice(1, 2), twice(2, 1)),
            (twice(1, 1), of(FieldValue::I32(1))),
        ];
        for (a, b) in different {
            assert!(!a.is_same_map(&b), "{a:?} {b:?}");
        }
        assert!(of(FieldValue::F64(0.0)).is_same_map(&of(FieldValue::F64(-0.0))));
        assert!(of(FieldValue::F64(f64::NAN)).is_same_map(&of(FieldValue::F64(f64::NAN))));
    }

    #[test]
    fn nesting_beyond_the_limit_is_refused() {
        let mut value = FieldValue::Void;
        for _ in 0..MAX_DEPTH + 1 {
            value = FieldValue::Array(vec![value]);
        }
        let mut bytes = Vec::new();
        FieldTable(vec![("a".into(), value)]).encode(&mut bytes);
        assert_eq!(FieldTable::decode(&bytes), Err(TableError::TooDeep));
    }

    #[test]
    fn a_length_beyond_the_input_is_truncation() {
        assert_eq!(
            FieldTable::decode(&[0xff, 0xff, 0xff, 0xff, 1]),
            Err(TableError::Truncated)
        );
    }
}
