//! Primitive values of the wire: a cursor that reads them and a writer.
//!
//! Consecutive bits share octets, lowest bit first (AMQP 0-9-1 section 4.2.5.2); any other value
//! ends the run.

use crate::types::FieldTable;
use crate::types::table::TableError;

/// Why a value could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The input ends inside a value.
    Truncated,
    /// A short string that must be text is not UTF-8.
    NotUtf8,
    /// What is inside a table is not a table.
    Table(TableError),
}

/// A short string of any octets: routing keys and exchange names in content methods, where
/// RabbitMQ does not insist on UTF-8. At most 255 bytes go on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShortBytes(pub Vec<u8>);

impl From<&[u8]> for ShortBytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl From<&str> for ShortBytes {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

/// Reads values one after the other from unchecked input.
#[derive(Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    /// The octet that bits are taken from, and how many are used; 8 when a new one is needed.
    bits: u8,
    bits_used: u8,
}

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            bits: 0,
            bits_used: 8,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.input.is_empty()
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.bits_used = 8;
        let (value, rest) = self.input.split_first_chunk::<N>().ok_or(WireError::Truncated)?;
        self.input = rest;
        Ok(*value)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (value, rest) = self.input.split_at_checked(length).ok_or(WireError::Truncated)?;
        self.input = rest;
        Ok(value)
    }

    /// Skips the reserved octets of an access ticket.
    pub fn ticket(&mut self) -> Result<(), WireError> {
        self.u16().map(drop)
    }

    pub fn u8(&mut self) -> Result<u8, WireError> {
        self.fixed::<1>().map(|[octet]| octet)
    }

    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, WireError> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, WireError> {
        self.fixed().map(u64::from_be_bytes)
    }

    pub fn bit(&mut self) -> Result<bool, WireError> {
        if self.bits_used == 8 {
            self.bits = self.u8()?;
            self.bits_used = 0;
        }
        let bit = self.bits & (1 << self.bits_used) != 0;
        self.bits_used += 1;
        Ok(bit)
    }

    pub fn short_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u8()?;
        self.take(length.into())
    }

    pub fn long_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.u32()?;
        self.take(usize::try_from(length).map_err(|_| WireError::Truncated)?)
    }
}

/// Writes values one after the other at the end of a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Bits written into the last octet; 8 when the next bit begins an octet.
    bits_used: u8,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, bits_used: 8 }
    }

    /// Writes the reserved octets of an access ticket.
    pub fn ticket(&mut self) {
        self.u16(0);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bits_used = 8;
        self.out.extend_from_slice(bytes);
    }

    pub fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn bit(&mut self, value: bool) {
        if self.bits_used == 8 {
            self.out.push(0);
            self.bits_used = 0;
        }
        if let (true, Some(last)) = (value, self.out.last_mut()) {
            *last |= 1 << self.bits_used;
        }
        self.bits_used += 1;
    }

    fn short_bytes(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(255)];
        self.put(&[bytes.len() as u8]);
        self.put(bytes);
    }
}

/// A type that can be a field of a method.
pub trait Field: Sized {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError>;
    fn write(&self, to: &mut Writer<'_>);
}

macro_rules! integer_field {
    ($($type:ident)*) => {$(
        impl Field for $type {
            fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
                from.$type()
            }
            fn write(&self, to: &mut Writer<'_>) {
                to.put(&self.to_be_bytes());
            }
        }
    )*};
}
integer_field!(u8 u16 u32 u64);

impl Field for bool {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        from.bit()
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.bit(*self);
    }
}

/// A short string of text, cut at a character when longer than 255 bytes.
impl Field for String {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let bytes = from.short_bytes()?;
        let text = std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)?;
        Ok(text.to_owned())
    }
    fn write(&self, to: &mut Writer<'_>) {
        let mut end = self.len().min(255);
        while !self.is_char_boundary(end) {
            end -= 1;
        }
        to.short_bytes(&self.as_bytes()[..end]);
    }
}

impl Field for ShortBytes {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self(from.short_bytes()?.to_vec()))
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.short_bytes(&self.0);
    }
}

/// A long string.
impl Field for Vec<u8> {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(from.long_bytes()?.to_vec())
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.put(&(self.len() as u32).to_be_bytes());
        to.put(self);
    }
}

impl Field for FieldTable {
    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let whole = from.input;
        // The length is checked before the inside: a table longer than the method is another
        // mistake, with another answer, than a table with rubbish in it.
        from.long_bytes()?;
        let (table, _) = Self::decode(whole).map_err(WireError::Table)?;
        Ok(table)
    }
    fn write(&self, to: &mut Writer<'_>) {
        to.bits_used = 8;
        self.encode(to.out);
    }
}

#[inline]
pub(super) fn put_short(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(255)];
    out.push(bytes.len() as u8);
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_share_an_octet_until_another_value_comes() {
        let mut out = Vec::new();
        let mut to = Writer::new(&mut out);
        for bit in [true, false, true] {
            bit.write(&mut to);
        }
        7u8.write(&mut to);
        true.write(&mut to);
        assert_eq!(out, [0b101, 7, 1]);
        let mut from = Reader::new(&out);
        let bits = [bool::read(&mut from), bool::read(&mut from), bool::read(&mut from)];
        assert_eq!(bits, [Ok(true), Ok(false), Ok(true)]);
        assert_eq!(u8::read(&mut from), Ok(7));
        assert_eq!(bool::read(&mut from), Ok(true));
        assert_eq!(bool::read(&mut from), Ok(false));
        assert!(from.is_empty());
    }

    #[test]
    fn nine_bits_take_two_octets() {
        let mut out = Vec::new();
        let mut to = Writer::new(&mut out);
        for _ in 0..9 {
            true.write(&mut to);
        }
        assert_eq!(out, [0xff, 1]);
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let mut out = Vec::new();
        "é".repeat(200).write(&mut Writer::new(&mut out));
        assert_eq!(out[0], 254);
        assert_eq!(out.len(), 255);
    }
}
