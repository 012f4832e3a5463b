//! Primitive values of the wire: numbers big-endian, strings and bytes behind their length, arrays behind
//! their count.

use thiserror::Error;

/// Length of a string that is null.
const NULL_STRING: u16 = u16::MAX;
/// Length of bytes that are null.
const NULL_BYTES: u32 = u32::MAX;

/// A body that is too short, too long, or not what its key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed")]
pub struct Malformed;

/// Reads values one after the other from unchecked input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (value, rest) = self.0.split_first_chunk::<N>().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*value)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (value, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(value)
    }

    pub fn u8(&mut self) -> Result<u8, Malformed> {
        self.fixed().map(|[octet]| octet)
    }

    pub fn u16(&mut self) -> Result<u16, Malformed> {
        self.fixed().map(u16::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.fixed().map(i16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.fixed().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, Malformed> {
        self.fixed().map(u64::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.fixed().map(i64::from_be_bytes)
    }

    /// A string, which may be null. Lengths above 32,767 are read as unsigned, as RabbitMQ does.
    pub fn nullable_string(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.u16()? {
            NULL_STRING => Ok(None),
            length => self.take(length.into()).map(Some),
        }
    }

    /// A string; null is empty.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.nullable_string().map(Option::unwrap_or_default)
    }

    /// Bytes, which may be null.
    pub fn bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.u32()? {
            NULL_BYTES => Ok(None),
            length => self.take(length as usize).map(Some),
        }
    }

    /// So many strings, which are all there.
    pub fn strings(&mut self) -> Result<Strings<'a>, Malformed> {
        let count = self.u32()?;
        let start = self.0;
        for _ in 0..count {
            self.string()?;
        }
        Ok(Strings(&start[..start.len() - self.0.len()]))
    }

    /// So many keys with their values, which are all there.
    pub fn map(&mut self) -> Result<Map<'a>, Malformed> {
        let count = self.u32()?;
        let start = self.0;
        for _ in 0..count {
            self.string()?;
            self.string()?;
        }
        Ok(Map(Strings(&start[..start.len() - self.0.len()])))
    }

    /// Says that nothing follows.
    pub fn end(self) -> Result<(), Malformed> {
        self.0.is_empty().then_some(()).ok_or(Malformed)
    }
}

/// Strings one after the other, walked once already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Strings<'a>(&'a [u8]);

/// By what they say: one that is null is read as an empty one.
impl PartialEq for Strings<'_> {
    fn eq(&self, other: &Self) -> bool {
        Iterator::eq(*self, *other)
    }
}

impl Eq for Strings<'_> {}

impl<'a> Iterator for Strings<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let mut reader = Reader(self.0);
        let string = reader.string().ok()?;
        self.0 = reader.0;
        Some(string)
    }
}

/// Keys and values, walked once already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Map<'a>(Strings<'a>);

impl<'a> Map<'a> {
    /// What a client says of itself or asks for: `bytes` holds it.
    pub fn of<'s>(bytes: &'a mut Vec<u8>, pairs: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        bytes.clear();
        for (key, value) in pairs {
            bytes.string(key.as_bytes());
            bytes.string(value.as_bytes());
        }
        Self(Strings(bytes))
    }
}

impl<'a> Iterator for Map<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.0.next()?, self.0.next()?))
    }
}

/// Writes values one after the other at the end of a buffer.
pub(super) trait Write {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    /// A string, cut where its length cannot say more.
    fn string(&mut self, bytes: &[u8]) {
        let bytes = &bytes[..bytes.len().min(usize::from(NULL_STRING) - 1)];
        self.u16(bytes.len() as u16);
        self.put(bytes);
    }

    fn nullable_string(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.string(bytes),
            None => self.u16(NULL_STRING),
        }
    }

    fn bytes(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.u32(bytes.len() as u32);
                self.put(bytes);
            }
            None => self.u32(NULL_BYTES),
        }
    }

    fn strings<'s>(&mut self, strings: impl ExactSizeIterator<Item = &'s [u8]>) {
        self.u32(strings.len() as u32);
        strings.for_each(|string| self.string(string));
    }

    fn map<'s>(&mut self, map: impl ExactSizeIterator<Item = (&'s [u8], &'s [u8])>) {
        self.u32(map.len() as u32);
        for (key, value) in map {
            self.string(key);
            self.string(value);
        }
    }
}

impl Write for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
