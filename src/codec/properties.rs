//! The properties of a content header, read in one walk without taking memory.
//!
//! They stay as the publisher encoded them; here the broker finds the few it needs. Flags and
//! fields are those of class basic (spec section 4.2.6.1); RabbitMQ's texts for bad expirations.

use thiserror::Error;

use crate::types::{Millis, Refusal, Reply, ReplyCode, Traits};

const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;
const MESSAGE_ID: u16 = 1 << 7;
const TIMESTAMP: u16 = 1 << 6;
const TYPE: u16 = 1 << 5;
const USER_ID: u16 = 1 << 4;
const APP_ID: u16 = 1 << 3;
const CLUSTER_ID: u16 = 1 << 2;

/// What a walk over the properties finds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PropertyScan<'a> {
    pub traits: Traits,
    /// The headers with their length, as `FieldTable::decode` takes them.
    pub headers: Option<&'a [u8]>,
    pub correlation_id: Option<&'a [u8]>,
    pub reply_to: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    pub user_id: Option<&'a [u8]>,
}

/// Why properties are refused.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PropertyError {
    /// They end early, go on after the last, or use flags that do not exist.
    #[error("malformed content header")]
    Malformed,
    #[error("invalid expiration '{text}': {reason}")]
    Expiration { text: String, reason: String },
}

impl Refusal for PropertyError {
    fn reply(&self) -> Reply {
        match self {
            Self::Malformed => Reply::connection(ReplyCode::InternalError, ""),
            Self::Expiration { .. } => Reply::channel(ReplyCode::PreconditionFailed, self.to_string()),
        }
    }
}

/// Walks property flags and property list, as they follow the body size in the content header.
///
/// # Errors
/// When they are malformed, or the expiration is no number.
pub fn scan_properties(properties: &[u8]) -> Result<PropertyScan<'_>, PropertyError> {
    let mut walk = Walk(properties);
    let flags = u16::from_be_bytes(walk.fixed()?);
    let mut found = PropertyScan::default();
    // Most messages carry none, or delivery mode alone.
    if flags == 0 {
        return walk.end(found);
    }
    if flags & 0b11 != 0 {
        return Err(PropertyError::Malformed);
    }
    let has = |flag| flags & flag != 0;
    if has(CONTENT_TYPE) {
        walk.short()?;
    }
    if has(CONTENT_ENCODING) {
        walk.short()?;
    }
    if has(HEADERS) {
        found.headers = Some(walk.table()?);
    }
    if has(DELIVERY_MODE) {
        found.traits.persistent = walk.fixed()? == [2];
    }
    if has(PRIORITY) {
        let [priority] = walk.fixed()?;
        found.traits.priority = Some(priority);
    }
    if has(CORRELATION_ID) {
        found.correlation_id = Some(walk.short()?);
    }
    if has(REPLY_TO) {
        found.reply_to = Some(walk.short()?);
    }
    let expiration = if has(EXPIRATION) { Some(walk.short()?) } else { None };
    if has(MESSAGE_ID) {
        found.message_id = Some(walk.short()?);
    }
    if has(TIMESTAMP) {
        found.timestamp = Some(u64::from_be_bytes(walk.fixed()?));
    }
    if has(TYPE) {
        walk.short()?;
    }
    if has(USER_ID) {
        found.user_id = Some(walk.short()?);
    }
    if has(APP_ID) {
        walk.short()?;
    }
    if has(CLUSTER_ID) {
        walk.short()?;
    }
    // Last: what is malformed is refused before what is only wrong.
    let mut found = walk.end(found)?;
    found.traits.expiration = expiration.map(parse_expiration).transpose()?;
    Ok(found)
}

/// Reads an expiration as RabbitMQ does: an optional sign, digits, nothing else.
fn parse_expiration(bytes: &[u8]) -> Result<Millis, PropertyError> {
    let text = String::from_utf8_lossy(bytes);
    let refuse = |reason: String| PropertyError::Expiration {
        text: text.clone().into_owned(),
        reason,
    };
    let unsigned = bytes.strip_prefix(b"+").or(bytes.strip_prefix(b"-")).unwrap_or(bytes);
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return Err(refuse("no_integer".into()));
    }
    if digits < unsigned.len() {
        let rest = String::from_utf8_lossy(&unsigned[digits..]);
        return Err(refuse(format!("{{leftover_string,\"{rest}\"}}")));
    }
    let number = String::from_utf8_lossy(unsigned);
    // A number beyond 64 bits is longer than any message will wait.
    let value = number.parse().unwrap_or(u64::MAX);
    if bytes.starts_with(b"-") && value > 0 {
        return Err(refuse(format!("{{value_negative,-{value}}}")));
    }
    Ok(Millis(value))
}

struct Walk<'a>(&'a [u8]);

impl<'a> Walk<'a> {
    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], PropertyError> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(PropertyError::Malformed)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], PropertyError> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(PropertyError::Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn short(&mut self) -> Result<&'a [u8], PropertyError> {
        let [length] = self.fixed()?;
        self.take(length.into())
    }

    fn table(&mut self) -> Result<&'a [u8], PropertyError> {
        let length = self.0.first_chunk::<4>().ok_or(PropertyError::Malformed)?;
        self.take((u32::from_be_bytes(*length) as usize).saturating_add(4))
    }

    fn end(self, found: PropertyScan<'a>) -> Result<PropertyScan<'a>, PropertyError> {
        if self.0.is_empty() {
            Ok(found)
        } else {
            Err(PropertyError::Malformed)
        }
    }
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::basic::{AMQPProperties, gen_properties};
    use proptest::prelude::*;

    use super::*;

    fn encoded(properties: &AMQPProperties) -> Vec<u8> {
        let write = gen_properties(properties);
        let context: amq_protocol::frame::WriteContext<Vec<u8>> = Vec::new().into();
        write(context).expect("writes to memory").write
    }

    #[test]
    fn what_the_broker_needs_is_found_among_all_properties() {
        let properties = AMQPProperties::default()
            .with_content_type("text/plain".into())
            .with_delivery_mode(2)
            .with_priority(7)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("60000".into())
            .with_message_id("m".into())
            .with_timestamp(9)
            .with_type("t".into())
            .with_user_id("u".into())
            .with_app_id("a".into());
        let bytes = encoded(&properties);
        let found = scan_properties(&bytes).expect("well-formed");
        let traits = Traits {
            persistent: true,
            priority: Some(7),
            expiration: Some(Millis(60_000)),
        };
        assert_eq!(found.traits, traits);
        assert_eq!(
            (found.correlation_id, found.reply_to),
            (Some(&b"c"[..]), Some(&b"r"[..]))
        );
        assert_eq!((found.message_id, found.user_id), (Some(&b"m"[..]), Some(&b"u"[..])));
        assert_eq!((found.timestamp, found.headers), (Some(9), None));
        for cut in 0..bytes.len() {
            assert_eq!(scan_properties(&bytes[..cut]), Err(PropertyError::Malformed));
        }
    }

    #[test]
    fn expirations_are_refused_in_rabbitmqs_words() {
        let text = |expiration: &str| parse_expiration(expiration.as_bytes()).map_err(|error| error.to_string());
        let refused = |expiration: &str, reason: &str| Err(format!("invalid expiration '{expiration}': {reason}"));
        assert_eq!(text("+60000"), Ok(Millis(60_000)));
        assert_eq!(text("0"), Ok(Millis(0)));
        assert_eq!(text("4294967296"), Ok(Millis(4_294_967_296)));
        assert_eq!(text(""), refused("", "no_integer"));
        assert_eq!(text(" 60000"), refused(" 60000", "no_integer"));
        assert_eq!(text("soon"), refused("soon", "no_integer"));
        assert_eq!(text("100ms"), refused("100ms", "{leftover_string,\"ms\"}"));
        assert_eq!(text("1.5"), refused("1.5", "{leftover_string,\".5\"}"));
        assert_eq!(text("-1"), refused("-1", "{value_negative,-1}"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = scan_properties(&bytes);
        }
    }
}
