//! Message properties: read where they lie, rewritten with the rest kept byte for byte, or decoded.
//!
//! On the wire they are two octets of flags, highest bit first, then the values of those present
//! (AMQP 0-9-1 section 4.2.6.1). The broker passes them on as the publisher encoded them; [`scan`]
//! is the one walk a publish makes, [`rewrite_properties`] serves dead-lettering, direct reply-to
//! and delivery counts, [`Properties`] the HTTP API and clients.

use thiserror::Error;

use super::wire::put_short;
use super::{erlang, headers};
use crate::types::{FieldTable, Millis, Refusal, Reply, ReplyCode, Traits};

/// How many properties there are, in the order of their flags.
const COUNT: usize = 14;
/// The flags that say "more flags follow" and "reserved"; no property has them.
const NOT_PROPERTIES: u16 = 0b11;

const CONTENT_TYPE: usize = 0;
const CONTENT_ENCODING: usize = 1;
const HEADERS: usize = 2;
const DELIVERY_MODE: usize = 3;
const PRIORITY: usize = 4;
const CORRELATION_ID: usize = 5;
const REPLY_TO: usize = 6;
const EXPIRATION: usize = 7;
const MESSAGE_ID: usize = 8;
const TIMESTAMP: usize = 9;
const TYPE: usize = 10;
const USER_ID: usize = 11;
const APP_ID: usize = 12;
const CLUSTER_ID: usize = 13;

const PERSISTENT: u8 = 2;

/// What is wrong with a message's properties.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PropertyError {
    #[error("malformed properties")]
    Malformed,
    #[error("invalid expiration '{}': {reason}", text.escape_ascii())]
    Expiration { text: Vec<u8>, reason: BadExpiration },
}

/// Why an expiration is not one, as RabbitMQ prints it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadExpiration {
    #[error("no_integer")]
    NotANumber,
    #[error("{{leftover_string,{}}}", erlang::quoted(.0))]
    Leftover(Vec<u8>),
    #[error("{{value_negative,-{0}}}")]
    Negative(u64),
    /// Its digits; they may be more than fit into a number.
    #[error("{}", erlang::pair(*.column, "value_too_large", .digits))]
    TooLarge { digits: String, column: usize },
}

impl Refusal for PropertyError {
    fn reply(&self) -> Reply {
        match self {
            // RabbitMQ's channel crashes on these and says no more than this.
            Self::Malformed => Reply::connection(ReplyCode::InternalError, ""),
            Self::Expiration { text, reason } => {
                let text = String::from_utf8_lossy(text);
                Reply::channel(
                    ReplyCode::PreconditionFailed,
                    format!("invalid expiration '{text}': {reason}"),
                )
            }
        }
    }
}

/// A checked expiration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiration {
    pub ttl: Millis,
    /// Whether it was written as RabbitMQ passes it on: no sign, no leading zeros. Others are to be
    /// rewritten as the plain number.
    pub is_canonical: bool,
}

/// Properties where they lie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PropertyScan<'a> {
    pub traits: Traits,
    /// The headers with their length prefix, checked; see [`headers`].
    pub headers: Option<&'a [u8]>,
    pub expiration: Option<Expiration>,
    pub content_type: Option<&'a [u8]>,
    pub content_encoding: Option<&'a [u8]>,
    pub correlation_id: Option<&'a [u8]>,
    pub reply_to: Option<&'a [u8]>,
    pub message_id: Option<&'a [u8]>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    pub kind: Option<&'a [u8]>,
    pub user_id: Option<&'a [u8]>,
    pub app_id: Option<&'a [u8]>,
    pub cluster_id: Option<&'a [u8]>,
}

/// Walks the properties once and checks all of them, the headers inside too.
///
/// # Errors
/// [`PropertyError`]; malformed ones end the connection, a bad expiration the channel.
#[inline]
pub fn scan(properties: &[u8]) -> Result<PropertyScan<'_>, PropertyError> {
    match *properties {
        [0, 0] => return Ok(PropertyScan::default()),
        // Delivery mode alone, which is what most publishers send.
        [0x10, 0, mode] => {
            let traits = Traits {
                persistent: mode == PERSISTENT,
                ..Traits::default()
            };
            return Ok(PropertyScan {
                traits,
                ..PropertyScan::default()
            });
        }
        _ => {}
    }
    scan_any(properties)
}

fn scan_any(properties: &[u8]) -> Result<PropertyScan<'_>, PropertyError> {
    let raw = Raw::split(properties)?;
    if let Some(table) = raw.get(HEADERS) {
        headers::check(table).map_err(|_| PropertyError::Malformed)?;
    }
    let expiration = raw.short(EXPIRATION).map(parse_expiration).transpose()?;
    Ok(PropertyScan {
        traits: Traits {
            persistent: raw.octet(DELIVERY_MODE) == Some(PERSISTENT),
            priority: raw.octet(PRIORITY),
            expiration: expiration.map(|expiration| expiration.ttl),
        },
        headers: raw.get(HEADERS),
        expiration,
        content_type: raw.short(CONTENT_TYPE),
        content_encoding: raw.short(CONTENT_ENCODING),
        correlation_id: raw.short(CORRELATION_ID),
        reply_to: raw.short(REPLY_TO),
        message_id: raw.short(MESSAGE_ID),
        timestamp: raw.long(TIMESTAMP),
        kind: raw.short(TYPE),
        user_id: raw.short(USER_ID),
        app_id: raw.short(APP_ID),
        cluster_id: raw.short(CLUSTER_ID),
    })
}

/// Reads an expiration as RabbitMQ does: an optional sign, digits, nothing else; ten years at most.
///
/// # Errors
/// [`PropertyError::Expiration`] with RabbitMQ's reason.
pub fn parse_expiration(text: &[u8]) -> Result<Expiration, PropertyError> {
    let bad = |reason| {
        let text = text.to_vec();
        Err(PropertyError::Expiration { text, reason })
    };
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    let digits = unsigned.iter().take_while(|octet| octet.is_ascii_digit()).count();
    let (number, leftover) = unsigned.split_at(digits);
    if number.is_empty() {
        return bad(BadExpiration::NotANumber);
    }
    if !leftover.is_empty() {
        return bad(BadExpiration::Leftover(leftover.to_vec()));
    }
    let value = number.iter().fold(0u64, |value, digit| {
        value.saturating_mul(10).saturating_add((digit - b'0').into())
    });
    if is_negative && value > 0 {
        return bad(BadExpiration::Negative(value));
    }
    if value > Millis::TEN_YEARS.0 {
        let digits = String::from_utf8_lossy(number).trim_start_matches('0').to_owned();
        let column = "invalid expiration '': ".len() + text.len();
        return bad(BadExpiration::TooLarge { digits, column });
    }
    let has_leading_zero = number.len() > 1 && number[0] == b'0';
    Ok(Expiration {
        ttl: Millis(value),
        is_canonical: number.len() == text.len() && !has_leading_zero,
    })
}

/// What becomes of one property when others are rewritten.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Edit<T> {
    #[default]
    Keep,
    Remove,
    Set(T),
}

/// Changes to a message's properties; everything not named here is kept as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Edits<'a> {
    pub headers: Edit<&'a FieldTable>,
    /// Short strings; cut at 255 bytes.
    pub reply_to: Edit<&'a [u8]>,
    pub expiration: Edit<&'a [u8]>,
    pub user_id: Edit<&'a [u8]>,
    pub delivery_mode: Edit<u8>,
    /// Seconds since the Unix epoch.
    pub timestamp: Edit<u64>,
}

/// The properties with `edits` made and all other values kept byte for byte.
///
/// # Errors
/// [`PropertyError::Malformed`]; properties that passed [`scan`] are never that.
pub fn rewrite_properties(properties: &[u8], edits: &Edits<'_>) -> Result<Vec<u8>, PropertyError> {
    let raw = Raw::split(properties)?;
    let mut out = Vec::with_capacity(properties.len() + 64);
    out.extend_from_slice(&[0, 0]);
    let mut flags = 0;
    for at in 0..COUNT {
        let old = raw.get(at);
        let present = match at {
            HEADERS => put(&mut out, old, edits.headers, |out, table| table.encode(out)),
            REPLY_TO => put(&mut out, old, edits.reply_to, put_short),
            EXPIRATION => put(&mut out, old, edits.expiration, put_short),
            USER_ID => put(&mut out, old, edits.user_id, put_short),
            DELIVERY_MODE => put(&mut out, old, edits.delivery_mode, |out, mode| out.push(mode)),
            TIMESTAMP => put(&mut out, old, edits.timestamp, put_long),
            _ => put(&mut out, old, Edit::Keep, |_, ()| {}),
        };
        flags |= if present { flag(at) } else { 0 };
    }
    out[..2].copy_from_slice(&flags.to_be_bytes());
    Ok(out)
}

/// Writes what a property becomes; says whether it is there at all.
fn put<T>(out: &mut Vec<u8>, old: Option<&[u8]>, edit: Edit<T>, write: impl FnOnce(&mut Vec<u8>, T)) -> bool {
    match (edit, old) {
        (Edit::Keep, Some(raw)) => out.extend_from_slice(raw),
        (Edit::Set(value), _) => write(out, value),
        (Edit::Keep, None) | (Edit::Remove, _) => return false,
    }
    true
}

fn put_long(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// All fourteen properties, decoded. Octets that are not UTF-8 are replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    pub headers: Option<FieldTable>,
    /// 1 is transient, 2 is persistent.
    pub delivery_mode: Option<u8>,
    pub priority: Option<u8>,
    pub correlation_id: Option<String>,
    pub reply_to: Option<String>,
    pub expiration: Option<String>,
    pub message_id: Option<String>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    pub kind: Option<String>,
    pub user_id: Option<String>,
    pub app_id: Option<String>,
    pub cluster_id: Option<String>,
}

impl Properties {
    /// Reads flags and values.
    ///
    /// # Errors
    /// [`PropertyError::Malformed`]; the expiration is not looked at.
    pub fn decode(properties: &[u8]) -> Result<Self, PropertyError> {
        let raw = Raw::split(properties)?;
        let text = |at| raw.short(at).map(|octets| String::from_utf8_lossy(octets).into_owned());
        let headers = match raw.get(HEADERS).map(FieldTable::decode) {
            Some(Ok((table, _))) => Some(table),
            Some(Err(_)) => return Err(PropertyError::Malformed),
            None => None,
        };
        Ok(Self {
            content_type: text(CONTENT_TYPE),
            content_encoding: text(CONTENT_ENCODING),
            headers,
            delivery_mode: raw.octet(DELIVERY_MODE),
            priority: raw.octet(PRIORITY),
            correlation_id: text(CORRELATION_ID),
            reply_to: text(REPLY_TO),
            expiration: text(EXPIRATION),
            message_id: text(MESSAGE_ID),
            timestamp: raw.long(TIMESTAMP),
            kind: text(TYPE),
            user_id: text(USER_ID),
            app_id: text(APP_ID),
            cluster_id: text(CLUSTER_ID),
        })
    }

    /// Flags and values as they go on the wire. Short strings are cut at 255 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0, 0];
        let mut flags = 0;
        for at in 0..COUNT {
            let text = match at {
                CONTENT_TYPE => &self.content_type,
                CONTENT_ENCODING => &self.content_encoding,
                CORRELATION_ID => &self.correlation_id,
                REPLY_TO => &self.reply_to,
                EXPIRATION => &self.expiration,
                MESSAGE_ID => &self.message_id,
                TYPE => &self.kind,
                USER_ID => &self.user_id,
                APP_ID => &self.app_id,
                CLUSTER_ID => &self.cluster_id,
                _ => &None,
            };
            let before = out.len();
            if let Some(text) = text {
                put_short(&mut out, text.as_bytes());
            }
            match (at, &self.headers, self.delivery_mode, self.priority, self.timestamp) {
                (HEADERS, Some(table), ..) => table.encode(&mut out),
                (DELIVERY_MODE, _, Some(octet), ..) | (PRIORITY, _, _, Some(octet), _) => out.push(octet),
                (TIMESTAMP, .., Some(seconds)) => put_long(&mut out, seconds),
                _ => {}
            }
            // Every value has at least one octet.
            flags |= if out.len() > before { flag(at) } else { 0 };
        }
        out[..2].copy_from_slice(&flags.to_be_bytes());
        out
    }
}

/// The encoded values of the properties present, each with its length prefix.
struct Raw<'a> {
    flags: u16,
    values: [&'a [u8]; COUNT],
}

impl<'a> Raw<'a> {
    fn split(properties: &'a [u8]) -> Result<Self, PropertyError> {
        let (flags, mut rest) = properties.split_first_chunk::<2>().ok_or(PropertyError::Malformed)?;
        let flags = u16::from_be_bytes(*flags);
        // Consumers would read on where these are set, so they are not passed on.
        if flags & NOT_PROPERTIES != 0 {
            return Err(PropertyError::Malformed);
        }
        let mut values = [&[][..]; COUNT];
        let mut left = flags;
        while left != 0 {
            let at = left.leading_zeros() as usize;
            left &= !flag(at);
            let length = encoded_length(at, rest).ok_or(PropertyError::Malformed)?;
            (values[at], rest) = rest.split_at_checked(length).ok_or(PropertyError::Malformed)?;
        }
        match rest {
            [] => Ok(Self { flags, values }),
            _ => Err(PropertyError::Malformed),
        }
    }

    fn get(&self, at: usize) -> Option<&'a [u8]> {
        (self.flags & flag(at) != 0).then_some(self.values[at])
    }

    fn short(&self, at: usize) -> Option<&'a [u8]> {
        self.get(at).and_then(|raw| raw.get(1..))
    }

    fn octet(&self, at: usize) -> Option<u8> {
        self.get(at).and_then(|raw| raw.first().copied())
    }

    fn long(&self, at: usize) -> Option<u64> {
        let octets = self.get(at)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*octets))
    }
}

fn flag(at: usize) -> u16 {
    0x8000 >> at
}

/// Bytes that the value of property `at` takes at the front of `input`, prefix included.
fn encoded_length(at: usize, input: &[u8]) -> Option<usize> {
    match at {
        DELIVERY_MODE | PRIORITY => Some(1),
        TIMESTAMP => Some(8),
        HEADERS => {
            let length = u32::from_be_bytes(*input.first_chunk::<4>()?);
            (length as usize).checked_add(4)
        }
        _ => Some(1 + usize::from(*input.first()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldValue;

    fn full() -> Properties {
        let text = |text: &str| Some(text.to_owned());
        let mut headers = FieldTable::new();
        headers.set("a", FieldValue::I32(1));
        Properties {
            content_type: text("text/plain"),
            content_encoding: text("gzip"),
            headers: Some(headers),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: text("c"),
            reply_to: text("r"),
            expiration: text("60000"),
            message_id: text("m"),
            timestamp: Some(1 << 33),
            kind: text("t"),
            user_id: text("guest"),
            app_id: text("app"),
            cluster_id: text(""),
        }
    }

    #[test]
    fn all_fourteen_come_back() {
        let encoded = full().encode();
        assert_eq!(Properties::decode(&encoded), Ok(full()));
        let scan = scan(&encoded).expect("good properties");
        let traits = Traits {
            persistent: true,
            priority: Some(9),
            expiration: Some(Millis(60000)),
        };
        assert_eq!(scan.traits, traits);
        assert_eq!((scan.user_id, scan.timestamp), (Some(&b"guest"[..]), Some(1 << 33)));
        assert_eq!(scan.cluster_id, Some(&b""[..]));
        for cut in 0..encoded.len() {
            assert_eq!(super::scan(&encoded[..cut]), Err(PropertyError::Malformed));
        }
    }

    #[test]
    fn the_short_cuts_see_what_the_walk_sees() {
        for properties in [&[0, 0][..], &[0x10, 0, 1], &[0x10, 0, 2]] {
            assert_eq!(scan(properties), scan_any(properties));
        }
    }

    #[test]
    fn malformed_properties_are_an_internal_error_without_a_text() {
        let mut bad_headers = vec![0x20, 0, 0, 0, 0, 3, 1, b'a', b'Z'];
        for bad in [&[0x80, 0, 5, 0x61][..], &[0, 1, 0, 0], &[0, 0, 9], &[0]] {
            assert_eq!(scan(bad), Err(PropertyError::Malformed));
        }
        assert_eq!(scan(&bad_headers), Err(PropertyError::Malformed));
        bad_headers[8] = b'V';
        assert!(scan(&bad_headers).is_ok());
        assert_eq!(PropertyError::Malformed.reply().wire_text(), "INTERNAL_ERROR");
    }

    #[test]
    fn expirations_are_judged_as_rabbitmq_does() {
        for (text, words) in [
            ("", "invalid expiration '': no_integer"),
            ("1.5", "invalid expiration '1.5': {leftover_string,\".5\"}"),
            ("-1", "invalid expiration '-1': {value_negative,-1}"),
            (" 60000", "invalid expiration ' 60000': no_integer"),
            ("soon", "invalid expiration 'soon': no_integer"),
            ("100ms", "invalid expiration '100ms': {leftover_string,\"ms\"}"),
            (
                "315360000001",
                "invalid expiration '315360000001': {value_too_large,315360000001}",
            ),
            (
                "99999999999999999999999",
                "invalid expiration '99999999999999999999999': {value_too_large,\n                                               99999999999999999999999}",
            ),
        ] {
            let error = parse_expiration(text.as_bytes()).expect_err(text);
            assert_eq!(error.reply().text, words);
        }
        for (text, ttl, is_canonical) in [
            ("60000", 60000, true),
            ("+60000", 60000, false),
            ("060", 60, false),
            ("0", 0, true),
            ("4294967296", 4294967296, true),
            ("315360000000", 315_360_000_000, true),
        ] {
            let ttl = Millis(ttl);
            assert_eq!(
                parse_expiration(text.as_bytes()),
                Ok(Expiration { ttl, is_canonical }),
                "{text}"
            );
        }
    }

    #[test]
    fn an_edit_leaves_the_rest_alone() {
        let mut headers = FieldTable::new();
        headers.set("x-death", FieldValue::Void);
        let edits = Edits {
            headers: Edit::Set(&headers),
            expiration: Edit::Remove,
            reply_to: Edit::Set(b"elsewhere"),
            ..Edits::default()
        };
        let edited = rewrite_properties(&full().encode(), &edits).expect("good properties");
        let expected = Properties {
            headers: Some(headers.clone()),
            expiration: None,
            reply_to: Some("elsewhere".into()),
            ..full()
        };
        assert_eq!(edited, expected.encode());
        let added = rewrite_properties(&[0, 0], &edits).expect("good properties");
        let decoded = Properties::decode(&added).expect("good properties");
        assert_eq!((decoded.headers, decoded.expiration), (Some(headers.clone()), None));
        let kept = rewrite_properties(&full().encode(), &Edits::default());
        assert_eq!(kept, Ok(full().encode()));
    }
}
