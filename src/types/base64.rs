//! Base64 as RabbitMQ reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Bytes as text.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of a text; `None` when it is not base64. White space means nothing, wherever it
/// stands: the tools that write base64 break its lines and end it with one.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let letters: Vec<u8> = text.bytes().filter(|byte| !is_space(byte)).collect();
    STANDARD.decode(letters).ok()
}

/// Bytes in JSON, by `#[serde(with = "base64::in_json")]`: as numbers they would take four times as much.
pub mod in_json {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Writes them as text.
    pub fn serialize<B: AsRef<[u8]>, S: Serializer>(bytes: &B, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::encode(bytes.as_ref()))
    }

    /// Reads them from text; refuses what is no base64, or of another length than the type has.
    pub fn deserialize<'de, B: TryFrom<Vec<u8>>, D: Deserializer<'de>>(from: D) -> Result<B, D::Error> {
        let bytes = super::decode(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("not base64"))?;
        B::try_from(bytes).map_err(|_| D::Error::custom("of another length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_means_nothing_and_padding_must_be_there() {
        assert_eq!(decode("YWJj\r\nZGVm\n").as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(decode(" Y Q =\t= ").as_deref(), Some(&b"a"[..]));
        assert_eq!(decode("").as_deref(), Some(&b""[..]));
        assert_eq!(decode("YQ"), None);
        assert_eq!(decode("%%%"), None);
        assert_eq!(decode(&encode(&[0, 255, 1])).as_deref(), Some(&[0, 255, 1][..]));
    }
}
