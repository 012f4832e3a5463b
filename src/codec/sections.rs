//! A message as a stream keeps it: sections of AMQP 1.0, so that each protocol reads what the other wrote.
//!
//! ```text
//! 0x70 header │ 0x72 annotations │ 0x73 properties │ 0x74 application properties │ 0x75 data
//! ```
//! Exchange and routing key are annotations. Headers that begin with `x-` are annotations too, the others
//! application properties, which hold no tables and no arrays. Back from there everything that 0-9-1 has a
//! place for is given back; what cannot be read as sections at all is delivered as it is. So nothing that a
//! message holds can make its reader fail.

mod value;

use bytes::Bytes;

use self::value::{
    Reader, Term, put_bytes, put_list, put_map, put_symbol, put_text, put_timestamp, put_uint, put_value,
};
use super::properties::{Properties, PropertyScan, scan};
use crate::types::{FieldTable, FieldValue, Message, MessageParts, Millis, Traits};
use value::{put_octets, uuid_text};

const HEADER: u8 = 0x70;
const DELIVERY_ANNOTATIONS: u8 = 0x71;
const ANNOTATIONS: u8 = 0x72;
const PROPERTIES: u8 = 0x73;
const APPLICATION_PROPERTIES: u8 = 0x74;
const DATA: u8 = 0x75;
const SEQUENCE: u8 = 0x76;
const VALUE: u8 = 0x77;
const FOOTER: u8 = 0x78;

const EXCHANGE: &str = "x-exchange";
const ROUTING_KEY: &str = "x-routing-key";
const TYPE: &str = "x-basic-type";
const COPIES: &str = "x-cc";
const DEATHS: &str = "x-death";
/// Where a delivery says which offset it has.
pub const OFFSET: &str = "x-stream-offset";
/// Where a publisher says what a filter goes by.
pub const FILTER_VALUE: &str = "x-stream-filter-value";
/// The type of a message whose body is no data.
const OTHER_BODY: &str = "amqp-1.0";

/// Writes a message behind what is in `into`, and says what filters go by.
pub fn write(into: &mut Vec<u8>, message: &Message) -> Option<Vec<u8>> {
    // Messages are made of properties that were checked.
    let properties = scan(message.properties()).unwrap_or_default();
    let headers = properties.headers.and_then(|raw| FieldTable::decode(raw).ok());
    let headers = headers.map(|(table, _)| table).unwrap_or_default();
    write_header(into, &properties);
    write_annotations(into, message, &properties, &headers);
    write_properties(into, &properties);
    let is_own = |name: &str| name.starts_with("x-") || name == "CC";
    let plain = headers.iter().filter(|(name, value)| !is_own(name) && is_simple(value));
    let plain: Vec<_> = plain.collect();
    if !plain.is_empty() {
        begin(into, APPLICATION_PROPERTIES);
        put_map(into, 2 * plain.len() as u32, |into| {
            for (name, value) in &plain {
                put_text(into, name);
                put_value(into, value);
            }
        });
    }
    begin(into, DATA);
    put_bytes(into, message.body());
    match headers.get(FILTER_VALUE) {
        Some(FieldValue::LongString(value)) => Some(value.clone()),
        _ => None,
    }
}

fn begin(into: &mut Vec<u8>, section: u8) {
    into.extend_from_slice(&[0, 0x53, section]);
}

fn is_simple(value: &FieldValue) -> bool {
    !matches!(value, FieldValue::Array(_) | FieldValue::Table(_))
}

fn write_header(into: &mut Vec<u8>, properties: &PropertyScan<'_>) {
    begin(into, HEADER);
    put_list(into, 5, |into| {
        let Traits {
            persistent,
            priority,
            expiration,
        } = properties.traits;
        into.push(if persistent { value::TRUE } else { value::FALSE });
        match priority {
            Some(priority) => into.extend_from_slice(&[value::UBYTE, priority]),
            None => into.push(value::NULL),
        }
        match expiration {
            Some(ttl) => put_uint(into, u32::try_from(ttl.0).unwrap_or(u32::MAX)),
            None => into.push(value::NULL),
        }
        // Nobody got it before, and it was never delivered.
        into.extend_from_slice(&[value::TRUE, value::UINT_0]);
    });
}

fn write_annotations(into: &mut Vec<u8>, message: &Message, properties: &PropertyScan<'_>, headers: &FieldTable) {
    // What a client calls a death is none.
    let is_kept = |name: &str| match name {
        EXCHANGE | ROUTING_KEY | TYPE | COPIES | OFFSET => false,
        DEATHS => message.died(),
        name => name.starts_with("x-"),
    };
    let kept: Vec<_> = headers.iter().filter(|(name, _)| is_kept(name)).collect();
    let copies = headers.get("CC");
    let kind = properties.kind;
    let pairs = kept.len() + 2 + usize::from(copies.is_some()) + usize::from(kind.is_some());
    begin(into, ANNOTATIONS);
    put_map(into, 2 * pairs as u32, |into| {
        for (name, value) in kept {
            put_symbol(into, name.as_bytes());
            put_value(into, value);
        }
        if let Some(kind) = kind {
            put_symbol(into, TYPE.as_bytes());
            put_octets(into, kind);
        }
        if let Some(copies) = copies {
            put_symbol(into, COPIES.as_bytes());
            put_value(into, copies);
        }
        put_symbol(into, EXCHANGE.as_bytes());
        put_octets(into, message.exchange());
        put_symbol(into, ROUTING_KEY.as_bytes());
        put_octets(into, message.routing_key());
    });
}

fn write_properties(into: &mut Vec<u8>, properties: &PropertyScan<'_>) {
    let fields: [(usize, Option<&[u8]>); 7] = [
        (0, properties.message_id),
        (1, properties.user_id),
        (4, properties.reply_to),
        (5, properties.correlation_id),
        (6, properties.content_type),
        (7, properties.content_encoding),
        (10, properties.app_id),
    ];
    let last = fields
        .iter()
        .filter(|(_, value)| value.is_some())
        .map(|(at, _)| *at)
        .max();
    let last = last.max(properties.timestamp.map(|_| 9));
    let Some(last) = last else { return };
    begin(into, PROPERTIES);
    put_list(into, last as u32 + 1, |into| {
        for at in 0..=last {
            let value = fields
                .iter()
                .find(|(field, _)| *field == at)
                .and_then(|(_, value)| *value);
            match (at, value, properties.timestamp) {
                (9, _, Some(seconds)) => put_timestamp(into, seconds),
                (0 | 5, Some(id), _) => match uuid(id) {
                    Some(uuid) => {
                        into.push(value::UUID);
                        into.extend_from_slice(&uuid);
                    }
                    None => put_octets(into, id),
                },
                (1, Some(user), _) => put_bytes(into, user),
                (6 | 7, Some(symbol), _) => put_symbol(into, symbol),
                (_, Some(octets), _) => put_octets(into, octets),
                _ => into.push(value::NULL),
            }
        }
    });
}

fn uuid(id: &[u8]) -> Option<[u8; 16]> {
    let text = std::str::from_utf8(id).ok()?.strip_prefix(value::UUID_TEXT)?;
    let is_dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| match is_dash(at) {
        true => byte == b'-',
        false => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
    };
    if text.len() != 36 || !text.bytes().enumerate().all(fits) {
        return None;
    }
    let digits: String = text.chars().filter(|digit| *digit != '-').collect();
    u128::from_str_radix(&digits, 16).ok().map(u128::to_be_bytes)
}

/// The message that these bytes are, with its offset in its headers. `stream` is the routing key of one that
/// names none.
pub fn read(bytes: &Bytes, offset: u64, stream: &str) -> Message {
    let mut found = Found::default();
    let body = match found.read(bytes) {
        Some(()) => found.body(bytes),
        None => {
            found = Found::default();
            bytes.clone()
        }
    };
    let Found {
        mut properties,
        mut headers,
        exchange,
        routing_key,
        ttl,
        ..
    } = found;
    headers.0.push((OFFSET.to_owned(), FieldValue::I64(offset as i64)));
    properties.headers = Some(headers);
    // A message without a header is durable.
    let mode = *properties.delivery_mode.get_or_insert(2);
    let traits = Traits {
        persistent: mode == 2,
        priority: properties.priority,
        expiration: ttl.map(|ttl| Millis(ttl.into())),
    };
    let parts = MessageParts {
        exchange: &exchange,
        routing_key: routing_key.as_deref().unwrap_or(stream.as_bytes()),
        properties: &properties.encode(),
        traits,
    };
    Message::with_body(parts, body)
}

/// What sections say.
#[derive(Default)]
struct Found {
    properties: Properties,
    headers: FieldTable,
    exchange: Vec<u8>,
    routing_key: Option<Vec<u8>>,
    ttl: Option<u32>,
    /// Where data lies, or a whole section that is no data.
    bodies: Vec<std::ops::Range<usize>>,
}

impl Found {
    /// `None` when these are no sections.
    fn read(&mut self, bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let start = reader.at();
            match reader.section()? {
                HEADER => self.header(&reader.list()?),
                ANNOTATIONS => self.annotations(reader.map()?),
                PROPERTIES => self.basic(&reader.list()?),
                APPLICATION_PROPERTIES => {
                    let pairs = reader.map()?;
                    self.headers
                        .0
                        .extend(pairs.into_iter().filter(|(_, value)| is_simple(value)));
                }
                DATA => self.bodies.push(reader.binary()?),
                SEQUENCE | VALUE => {
                    reader.skip()?;
                    self.properties.kind = Some(OTHER_BODY.to_owned());
                    self.bodies.push(start..reader.at());
                }
                DELIVERY_ANNOTATIONS | FOOTER => reader.skip()?,
                _ => return None,
            }
        }
        Some(())
    }

    fn body(&self, bytes: &Bytes) -> Bytes {
        match self.bodies.as_slice() {
            [] => Bytes::new(),
            [one] => bytes.slice(one.clone()),
            many => many.iter().flat_map(|one| &bytes[one.clone()]).copied().collect(),
        }
    }

    fn header(&mut self, fields: &[Term]) {
        let durable = matches!(fields.first(), Some(Term::Field(FieldValue::Boolean(true))));
        self.properties.delivery_mode = Some(if durable { 2 } else { 1 });
        if let Some(Term::Field(FieldValue::U8(priority))) = fields.get(1) {
            self.properties.priority = Some(*priority);
        }
        if let Some(Term::Field(FieldValue::U32(ttl))) = fields.get(2) {
            self.ttl = Some(*ttl);
            self.properties.expiration = Some(ttl.to_string());
        }
    }

    fn annotations(&mut self, pairs: Vec<(String, FieldValue)>) {
        let short = |value: FieldValue| match value {
            FieldValue::LongString(octets) if octets.len() <= 255 => Some(octets),
            _ => None,
        };
        for (name, value) in pairs {
            match name.as_str() {
                // Names of exchanges are text.
                EXCHANGE => {
                    self.exchange = short(value)
                        .filter(|name| std::str::from_utf8(name).is_ok())
                        .unwrap_or_default();
                }
                ROUTING_KEY => self.routing_key = short(value),
                TYPE => self.properties.kind = short(value).map(|kind| String::from_utf8_lossy(&kind).into_owned()),
                COPIES => self.headers.0.push(("CC".to_owned(), value)),
                OFFSET => {}
                name if name.starts_with("x-") => self.headers.0.push((name.to_owned(), value)),
                _ => {}
            }
        }
    }

    fn basic(&mut self, fields: &[Term]) {
        self.properties.message_id = self.id(fields.first(), "x-message-id");
        self.properties.correlation_id = self.id(fields.get(5), "x-correlation-id");
        let text = |at: usize| match fields.get(at)? {
            Term::Field(FieldValue::LongString(text)) | Term::Binary(text) if text.len() <= 255 => {
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        };
        self.properties.user_id = text(1);
        self.properties.reply_to = text(4);
        self.properties.content_type = text(6);
        self.properties.content_encoding = text(7);
        self.properties.app_id = text(10);
        if let Some(Term::Field(FieldValue::Timestamp(seconds))) = fields.get(9) {
            self.properties.timestamp = Some(*seconds);
        }
    }

    /// An id; one that has no place among the properties becomes a header.
    fn id(&mut self, term: Option<&Term>, header: &str) -> Option<String> {
        let other = match term? {
            Term::Field(FieldValue::LongString(text)) => match std::str::from_utf8(text) {
                Ok(text) if text.len() <= 255 => return Some(text.to_owned()),
                _ => FieldValue::LongString(text.clone()),
            },
            Term::Field(FieldValue::I64(number)) => return Some((*number as u64).to_string()),
            Term::Uuid(uuid) => return Some(uuid_text(*uuid)),
            Term::Binary(bytes) => FieldValue::Bytes(bytes.clone()),
            Term::Field(_) => return None,
        };
        self.headers.0.push((header.to_owned(), other));
        None
    }
}

#[cfg(test)]
mod tests;
