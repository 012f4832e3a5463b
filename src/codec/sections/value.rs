//! Values of AMQP 1.0 and what they are in 0-9-1.
//!
//! A constructor's high half says how wide the value is, so that those which mean nothing here are passed over.

use std::ops::Range;

use crate::types::{FieldTable, FieldValue};

pub const NULL: u8 = 0x40;
pub const TRUE: u8 = 0x41;
pub const FALSE: u8 = 0x42;
pub const UINT_0: u8 = 0x43;
pub const UBYTE: u8 = 0x50;
pub const UUID: u8 = 0x98;
const DESCRIBED: u8 = 0x00;
const SMALL_ULONG: u8 = 0x53;
const ULONG: u8 = 0x80;
/// Deepest nesting that is read; what lies deeper is none.
const MOST_DEPTH: usize = 32;

/// A value as it is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    Field(FieldValue),
    Binary(Vec<u8>),
    Uuid([u8; 16]),
}

impl Term {
    /// What a header has: bytes are a long string there.
    fn into_field(self) -> FieldValue {
        match self {
            Self::Field(field) => field,
            Self::Binary(bytes) => FieldValue::LongString(bytes),
            Self::Uuid(uuid) => FieldValue::LongString(uuid_text(uuid).into_bytes()),
        }
    }
}

/// A length in one byte or four, and the constructors for each.
fn put_sized(into: &mut Vec<u8>, (short, long): (u8, u8), bytes: &[u8]) {
    match u8::try_from(bytes.len()) {
        Ok(len) => into.extend_from_slice(&[short, len]),
        Err(_) => {
            into.push(long);
            into.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
        }
    }
    into.extend_from_slice(bytes);
}

pub fn put_text(into: &mut Vec<u8>, text: &str) {
    put_sized(into, (0xa1, 0xb1), text.as_bytes());
}

pub fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    put_sized(into, (0xa0, 0xb0), bytes);
}

pub fn put_symbol(into: &mut Vec<u8>, symbol: &[u8]) {
    put_sized(into, (0xa3, 0xb3), symbol);
}

pub fn put_uint(into: &mut Vec<u8>, value: u32) {
    match value {
        0 => into.push(UINT_0),
        1..=255 => into.extend_from_slice(&[0x52, value as u8]),
        _ => put_wide(into, 0x70, &value.to_be_bytes()),
    }
}

/// Of a time in seconds since 1970.
pub fn put_timestamp(into: &mut Vec<u8>, seconds: u64) {
    put_wide(into, 0x83, &seconds.saturating_mul(1000).to_be_bytes());
}

fn put_wide(into: &mut Vec<u8>, constructor: u8, value: &[u8]) {
    into.push(constructor);
    into.extend_from_slice(value);
}

pub fn put_list(into: &mut Vec<u8>, count: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_compound(into, (0xc0, 0xd0), count, write);
}

/// `count` names and values.
pub fn put_map(into: &mut Vec<u8>, count: u32, write: impl FnOnce(&mut Vec<u8>)) {
    put_compound(into, (0xc1, 0xd1), count, write);
}

/// The length counts the count, and is not known before: it is made wider where it has to be.
fn put_compound(into: &mut Vec<u8>, (short, long): (u8, u8), count: u32, write: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&[short, 0, 0]);
    write(into);
    let len = into.len() - start - 3;
    match (u8::try_from(len + 1), u8::try_from(count)) {
        (Ok(len), Ok(count)) => into[start + 1..start + 3].copy_from_slice(&[len, count]),
        _ => {
            let mut head = [long; 9];
            head[1..5].copy_from_slice(&(len as u32 + 4).to_be_bytes());
            head[5..].copy_from_slice(&count.to_be_bytes());
            into.splice(start..start + 3, head);
        }
    }
}

/// Any value of a field table. A decimal, for which there is no place, is its text.
pub fn put_value(into: &mut Vec<u8>, value: &FieldValue) {
    match value {
        FieldValue::Boolean(true) => into.push(TRUE),
        FieldValue::Boolean(false) => into.push(FALSE),
        FieldValue::I8(number) => into.extend_from_slice(&[0x51, *number as u8]),
        FieldValue::U8(number) => into.extend_from_slice(&[UBYTE, *number]),
        FieldValue::I16(number) => put_wide(into, 0x61, &number.to_be_bytes()),
        FieldValue::U16(number) => put_wide(into, 0x60, &number.to_be_bytes()),
        FieldValue::I32(number) => match i8::try_from(*number) {
            Ok(small) => into.extend_from_slice(&[0x54, small as u8]),
            Err(_) => put_wide(into, 0x71, &number.to_be_bytes()),
        },
        FieldValue::U32(number) => put_uint(into, *number),
        FieldValue::I64(number) => match i8::try_from(*number) {
            Ok(small) => into.extend_from_slice(&[0x55, small as u8]),
            Err(_) => put_wide(into, 0x81, &number.to_be_bytes()),
        },
        FieldValue::F32(number) => put_wide(into, 0x72, &number.to_be_bytes()),
        FieldValue::F64(number) => put_wide(into, 0x82, &number.to_be_bytes()),
        FieldValue::Decimal(scale, unscaled) => put_text(into, &format!("{unscaled}e-{scale}")),
        FieldValue::LongString(octets) => put_octets(into, octets),
        FieldValue::Bytes(bytes) => put_bytes(into, bytes),
        FieldValue::Timestamp(seconds) => put_timestamp(into, *seconds),
        FieldValue::Void => into.push(NULL),
        FieldValue::Array(items) => put_list(into, items.len() as u32, |into| {
            items.iter().for_each(|item| put_value(into, item));
        }),
        FieldValue::Table(table) => put_map(into, 2 * table.0.len() as u32, |into| {
            for (name, value) in table.iter() {
                put_text(into, name);
                put_value(into, value);
            }
        }),
    }
}

/// Reads values one behind the other.
pub struct Reader<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(all: &'a [u8]) -> Self {
        Self { all, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_empty(&self) -> bool {
        self.at >= self.all.len()
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.all.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn octet(&mut self) -> Option<u8> {
        self.take(1).map(|octets| octets[0])
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// The number of a section, whose value follows.
    pub fn section(&mut self) -> Option<u8> {
        if self.octet()? != DESCRIBED {
            return None;
        }
        match self.octet()? {
            SMALL_ULONG => self.octet(),
            ULONG => u8::try_from(u64::from_be_bytes(self.fixed()?)).ok(),
            _ => None,
        }
    }

    /// Where the bytes of a binary value lie.
    pub fn binary(&mut self) -> Option<Range<usize>> {
        let len = match self.octet()? {
            0xa0 => usize::from(self.octet()?),
            0xb0 => u32::from_be_bytes(self.fixed()?) as usize,
            _ => return None,
        };
        let start = self.at;
        self.take(len)?;
        Some(start..start + len)
    }

    /// Passes over a value.
    pub fn skip(&mut self) -> Option<()> {
        self.skip_at(0)
    }

    fn skip_at(&mut self, depth: usize) -> Option<()> {
        let constructor = self.octet()?;
        if constructor == DESCRIBED {
            if depth >= MOST_DEPTH {
                return None;
            }
            self.skip_at(depth + 1)?;
            return self.skip_at(depth + 1);
        }
        let len = self.width(constructor)?;
        self.take(len).map(drop)
    }

    /// Bytes of a value behind its constructor, and behind its length where it has one.
    fn width(&mut self, constructor: u8) -> Option<usize> {
        Some(match constructor >> 4 {
            4 => 0,
            5 => 1,
            6 => 2,
            7 => 4,
            8 => 8,
            9 => 16,
            0xa | 0xc | 0xe => usize::from(self.octet()?),
            0xb | 0xd | 0xf => u32::from_be_bytes(self.fixed()?) as usize,
            _ => return None,
        })
    }

    /// The items of a list.
    pub fn list(&mut self) -> Option<Vec<Term>> {
        match self.octet()? {
            0x45 => Some(Vec::new()),
            0xc0 | 0xd0 => {
                self.at -= 1;
                self.items(0)
            }
            _ => None,
        }
    }

    /// Names and values of a map; those whose name is no text are left out.
    pub fn map(&mut self) -> Option<Vec<(String, FieldValue)>> {
        match self.octet()? {
            0xc1 | 0xd1 => {
                self.at -= 1;
                Some(pairs(self.items(0)?))
            }
            _ => None,
        }
    }

    /// What a compound holds.
    fn items(&mut self, depth: usize) -> Option<Vec<Term>> {
        if depth >= MOST_DEPTH {
            return None;
        }
        let constructor = self.octet()?;
        let is_short = matches!(constructor >> 4, 0xc);
        let len = self.width(constructor)?;
        let mut inside = Reader::new(self.take(len)?);
        let count = match is_short {
            true => u32::from(inside.octet()?),
            false => u32::from_be_bytes(inside.fixed()?),
        };
        // Each takes a byte at least.
        let mut items = Vec::with_capacity((count as usize).min(len));
        for _ in 0..count {
            items.push(inside.term(depth + 1)?);
        }
        Some(items)
    }

    fn term(&mut self, depth: usize) -> Option<Term> {
        let constructor = self.octet()?;
        let field = match constructor {
            DESCRIBED => {
                if depth >= MOST_DEPTH {
                    return None;
                }
                self.skip_at(depth)?;
                return self.term(depth + 1);
            }
            TRUE => FieldValue::Boolean(true),
            FALSE => FieldValue::Boolean(false),
            0x56 => FieldValue::Boolean(self.octet()? != 0),
            UBYTE => FieldValue::U8(self.octet()?),
            0x51 => FieldValue::I8(self.octet()? as i8),
            0x60 => FieldValue::U16(u16::from_be_bytes(self.fixed()?)),
            0x61 => FieldValue::I16(i16::from_be_bytes(self.fixed()?)),
            UINT_0 => FieldValue::U32(0),
            0x52 => FieldValue::U32(self.octet()?.into()),
            0x70 => FieldValue::U32(u32::from_be_bytes(self.fixed()?)),
            0x54 => FieldValue::I32((self.octet()? as i8).into()),
            0x71 => FieldValue::I32(i32::from_be_bytes(self.fixed()?)),
            0x44 => FieldValue::I64(0),
            SMALL_ULONG => FieldValue::I64(self.octet()?.into()),
            ULONG | 0x81 => FieldValue::I64(i64::from_be_bytes(self.fixed()?)),
            0x55 => FieldValue::I64((self.octet()? as i8).into()),
            0x72 => FieldValue::F32(f32::from_be_bytes(self.fixed()?)),
            0x82 => FieldValue::F64(f64::from_be_bytes(self.fixed()?)),
            0x83 => FieldValue::Timestamp(u64::from_be_bytes(self.fixed()?) / 1000),
            0x73 => {
                let letter = char::from_u32(u32::from_be_bytes(self.fixed()?)).unwrap_or(char::REPLACEMENT_CHARACTER);
                FieldValue::LongString(letter.to_string().into_bytes())
            }
            UUID => return Some(Term::Uuid(self.fixed()?)),
            0xa0 | 0xb0 => {
                let len = self.width(constructor)?;
                return Some(Term::Binary(self.take(len)?.to_vec()));
            }
            0xa1 | 0xb1 | 0xa3 | 0xb3 => {
                let len = self.width(constructor)?;
                FieldValue::LongString(self.take(len)?.to_vec())
            }
            0x45 => FieldValue::Array(Vec::new()),
            0xc0 | 0xd0 => {
                self.at -= 1;
                FieldValue::Array(self.items(depth)?.into_iter().map(Term::into_field).collect())
            }
            0xc1 | 0xd1 => {
                self.at -= 1;
                FieldValue::Table(FieldTable(pairs(self.items(depth)?)))
            }
            // No value, or one that has no place in 0-9-1.
            other => {
                let len = self.width(other)?;
                self.take(len)?;
                FieldValue::Void
            }
        };
        Some(Term::Field(field))
    }
}

fn pairs(items: Vec<Term>) -> Vec<(String, FieldValue)> {
    let mut pairs = Vec::with_capacity(items.len() / 2);
    let mut items = items.into_iter();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        if let FieldValue::LongString(name) = name.into_field()
            && let Ok(name) = String::from_utf8(name)
            && name.len() <= 255
        {
            pairs.push((name, value.into_field()));
        }
    }
    pairs
}

/// As text, where it is one.
pub(super) fn put_octets(into: &mut Vec<u8>, octets: &[u8]) {
    match std::str::from_utf8(octets) {
        Ok(text) => put_text(into, text),
        Err(_) => put_bytes(into, octets),
    }
}

/// How the text of a UUID begins in a message id.
pub const UUID_TEXT: &str = "urn:uuid:";

/// The text of a UUID, as a message id has it.
pub(super) fn uuid_text(uuid: [u8; 16]) -> String {
    let digits = format!("{:032x}", u128::from_be_bytes(uuid));
    let parts = [
        &digits[..8],
        &digits[8..12],
        &digits[12..16],
        &digits[16..20],
        &digits[20..],
    ];
    format!("{UUID_TEXT}{}", parts.join("-"))
}
