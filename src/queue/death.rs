//! What dead-lettering does to a message: the `x-death` header and its companions.
//!
//! `x-death` is an array of tables, newest first, one for each queue and reason. Dying again for
//! the same reason in the same queue raises the count and moves the table to the front; the rest
//! of it tells of the first time. The expiration property goes, so that the message does not
//! expire again where it is going; all other properties and headers stay as they were, byte for
//! byte. Death headers that a client sent mean nothing and are replaced ([`Message::died`]).

use crate::types::{FieldTable, FieldValue, Message, MessageParts, Timestamp, Traits};

use super::sink::DeathReason;

/// One death: where, why and when.
#[derive(Clone, Copy, Debug)]
pub struct Death<'a> {
    /// The queue it died in.
    pub queue: &'a str,
    pub reason: DeathReason,
    pub at: Timestamp,
}

/// Where a dead message goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The dead letter exchange.
    pub exchange: &'a str,
    /// The queue's dead letter routing key; without one the message keeps its own.
    pub routing_key: Option<&'a str>,
}

/// The message as the dead letter exchange gets it. It is routed by [`routing_keys`] of itself, or
/// by the target's routing key alone where it has one.
pub fn dead_letter(message: &Message, death: Death<'_>, target: Target<'_>) -> Message {
    let properties = rewrite(message, death);
    message.rewritten_by_death(MessageParts {
        exchange: target.exchange.as_bytes(),
        routing_key: target.routing_key.map_or(message.routing_key(), str::as_bytes),
        properties: &properties,
        traits: Traits {
            expiration: None,
            ..message.traits()
        },
    })
}

/// The message's routing key and those in its CC header.
pub fn routing_keys(message: &Message) -> Vec<Vec<u8>> {
    let mut keys = vec![message.routing_key().to_vec()];
    let headers = Properties::read(message.properties()).headers;
    if let Some(FieldValue::Array(copies)) = header(headers, "CC") {
        keys.extend(copies.into_iter().filter_map(|key| match key {
            FieldValue::LongString(key) => Some(key),
            _ => None,
        }));
    }
    keys
}

/// Whether this dead letter must not enter a queue: it died there before, and on its way since then
/// no client rejected it, so that it would go round for ever.
pub fn is_cycle(dead_letter: &Message, queue: &str) -> bool {
    let deaths = earlier_deaths(dead_letter);
    let text = |death: &FieldTable, name| death.get(name).and_then(FieldValue::as_str).map(str::to_owned);
    let since = deaths
        .iter()
        .position(|death| text(death, "queue").as_deref() == Some(queue));
    since.is_some_and(|since| {
        let rejected = Some(DeathReason::Rejected.name());
        deaths[..=since]
            .iter()
            .all(|death| text(death, "reason").as_deref() != rejected)
    })
}

/// The properties of the dead letter: flags and list as on the wire.
fn rewrite(message: &Message, death: Death<'_>) -> Vec<u8> {
    let old = Properties::read(message.properties());
    let mut flags = (old.flags | HEADERS) & !EXPIRATION;
    if old.broken {
        // Checked when it was published; whatever happened to it since, the message goes on.
        flags = HEADERS;
    }
    let mut out = Vec::with_capacity(message.properties().len() + 512);
    out.extend_from_slice(&flags.to_be_bytes());
    if !old.broken {
        out.extend_from_slice(old.before_headers);
    }
    let length_at = out.len();
    out.extend_from_slice(&[0; 4]);
    for (name, whole) in Headers(old.headers) {
        if !DEATH_HEADERS.contains(&name) {
            out.extend_from_slice(whole);
        }
    }
    for (name, value) in death_headers(message, death) {
        out.push(name.len() as u8);
        out.extend_from_slice(name);
        value.encode(&mut out);
    }
    let length = (out.len() - length_at - 4) as u32;
    out[length_at..length_at + 4].copy_from_slice(&length.to_be_bytes());
    if !old.broken {
        out.extend_from_slice(old.before_expiration);
        out.extend_from_slice(old.after_expiration);
    }
    out
}

/// The seven headers, in the order of [`DEATH_HEADERS`].
fn death_headers(message: &Message, death: Death<'_>) -> Vec<(&'static [u8], FieldValue)> {
    let mut deaths = earlier_deaths(message);
    let text = FieldValue::text;
    let (queue, reason) = (text(death.queue), text(death.reason.name()));
    let same = |entry: &FieldTable| entry.get("queue") == Some(&queue) && entry.get("reason") == Some(&reason);
    let entry = match deaths.iter().position(same) {
        Some(at) => {
            let mut entry = deaths.remove(at);
            let count = entry.get("count").and_then(FieldValue::as_int).unwrap_or(0);
            entry.set("count", FieldValue::I64(count.saturating_add(1)));
            entry
        }
        None => first_time(message, death),
    };
    deaths.insert(0, entry);
    let exchange = text(message.exchange_str());
    let last = [exchange, queue.clone(), reason.clone()];
    let headers = Properties::read(message.properties()).headers;
    let first = match message.died() {
        true => FIRST.map(|name| header(headers, name).unwrap_or(FieldValue::Void)),
        false => last.clone(),
    };
    let deaths = FieldValue::Array(deaths.into_iter().map(FieldValue::Table).collect());
    let values = [deaths].into_iter().chain(first).chain(last);
    DEATH_HEADERS.into_iter().zip(values).collect()
}

/// The table of a first death for this reason in this queue.
fn first_time(message: &Message, death: Death<'_>) -> FieldTable {
    let keys = routing_keys(message).into_iter().map(FieldValue::LongString).collect();
    let mut entry = FieldTable(vec![
        ("count".into(), FieldValue::I64(1)),
        ("reason".into(), FieldValue::text(death.reason.name())),
        ("queue".into(), FieldValue::text(death.queue)),
        ("time".into(), FieldValue::Timestamp(death.at.seconds())),
        ("exchange".into(), FieldValue::text(message.exchange_str())),
        ("routing-keys".into(), FieldValue::Array(keys)),
    ]);
    if let Some(ttl) = message.traits().expiration {
        entry.set("original-expiration", FieldValue::text(&ttl.to_string()));
    }
    entry
}

/// What the broker wrote when the message died before, newest first.
fn earlier_deaths(message: &Message) -> Vec<FieldTable> {
    if !message.died() {
        return Vec::new();
    }
    match header(Properties::read(message.properties()).headers, "x-death") {
        Some(FieldValue::Array(deaths)) => deaths
            .into_iter()
            .filter_map(|death| match death {
                FieldValue::Table(death) => Some(death),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    }
}

const FIRST: [&str; 3] = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];

const DEATH_HEADERS: [&[u8]; 7] = [
    b"x-death",
    b"x-first-death-exchange",
    b"x-first-death-queue",
    b"x-first-death-reason",
    b"x-last-death-exchange",
    b"x-last-death-queue",
    b"x-last-death-reason",
];

/// Property flags (AMQP 0-9-1, basic class).
const CONTENT_TYPE: u16 = 1 << 15;
const CONTENT_ENCODING: u16 = 1 << 14;
const HEADERS: u16 = 1 << 13;
const DELIVERY_MODE: u16 = 1 << 12;
const PRIORITY: u16 = 1 << 11;
const CORRELATION_ID: u16 = 1 << 10;
const REPLY_TO: u16 = 1 << 9;
const EXPIRATION: u16 = 1 << 8;

/// The pieces of a property list around what dead-lettering changes.
#[derive(Default)]
struct Properties<'a> {
    flags: u16,
    before_headers: &'a [u8],
    /// The header table without its length.
    headers: &'a [u8],
    before_expiration: &'a [u8],
    after_expiration: &'a [u8],
    broken: bool,
}

impl<'a> Properties<'a> {
    fn read(raw: &'a [u8]) -> Self {
        Self::walk(raw).unwrap_or(Self {
            broken: true,
            ..Self::default()
        })
    }

    fn walk(raw: &'a [u8]) -> Option<Self> {
        let (flags, list) = raw.split_first_chunk::<2>()?;
        let flags = u16::from_be_bytes(*flags);
        let short = |has: u16, at: &'a [u8]| match flags & has {
            0 => Some(at),
            _ => at.get(1 + usize::from(*at.first()?)..),
        };
        let octet = |has: u16, at: &'a [u8]| if flags & has == 0 { Some(at) } else { at.get(1..) };
        let headers_at = short(CONTENT_ENCODING, short(CONTENT_TYPE, list)?)?;
        let (headers, after_headers) = match flags & HEADERS {
            0 => (&[][..], headers_at),
            _ => {
                let (length, rest) = headers_at.split_first_chunk::<4>()?;
                rest.split_at_checked(u32::from_be_bytes(*length) as usize)?
            }
        };
        let numbers = octet(PRIORITY, octet(DELIVERY_MODE, after_headers)?)?;
        let expiration_at = short(REPLY_TO, short(CORRELATION_ID, numbers)?)?;
        Some(Self {
            flags,
            before_headers: &list[..list.len() - headers_at.len()],
            headers,
            before_expiration: &after_headers[..after_headers.len() - expiration_at.len()],
            after_expiration: short(EXPIRATION, expiration_at)?,
            broken: false,
        })
    }
}

/// The headers of a table: name, and the whole of it as on the wire.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let all = self.0;
        let name_end = 1 + usize::from(*all.first()?);
        let value = all.get(name_end..)?;
        let end = name_end + 1 + value_bytes(value)?;
        let (whole, rest) = all.split_at_checked(end)?;
        self.0 = rest;
        Some((&all[1..name_end], whole))
    }
}

/// Bytes of a value after its type letter.
fn value_bytes(value: &[u8]) -> Option<usize> {
    Some(match value.first()? {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'A' | b'F' => {
            let length: [u8; 4] = value.get(1..5)?.try_into().ok()?;
            4 + u32::from_be_bytes(length) as usize
        }
        _ => return None,
    })
}

/// The first header of that name.
fn header(headers: &[u8], name: &str) -> Option<FieldValue> {
    let (_, whole) = Headers(headers).find(|(own, _)| *own == name.as_bytes())?;
    let mut table = (whole.len() as u32).to_be_bytes().to_vec();
    table.extend_from_slice(whole);
    FieldTable::decode(&table).ok()?.0.take(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Millis;

    /// content-type "t", the given headers, delivery-mode 2, an expiration, message-id "m".
    fn message(headers: FieldTable, expiration: Option<u64>) -> Message {
        let mut properties = Vec::new();
        let flag = if expiration.is_some() { EXPIRATION } else { 0 };
        properties.extend_from_slice(&(CONTENT_TYPE | HEADERS | DELIVERY_MODE | 1 << 7 | flag).to_be_bytes());
        properties.extend_from_slice(b"\x01t");
        headers.encode(&mut properties);
        properties.push(2);
        if let Some(ttl) = expiration {
            let ttl = ttl.to_string();
            properties.push(ttl.len() as u8);
            properties.extend_from_slice(ttl.as_bytes());
        }
        properties.extend_from_slice(b"\x01m");
        let parts = MessageParts {
            exchange: b"ex",
            routing_key: b"key",
            properties: &properties,
            traits: Traits {
                persistent: true,
                expiration: expiration.map(Millis),
                ..Traits::default()
            },
        };
        Message::new(parts, b"body", &mut Vec::new())
    }

    fn death(queue: &str, reason: DeathReason, seconds: u64) -> Death<'_> {
        let at = Timestamp(seconds * 1000 + 7);
        Death { queue, reason, at }
    }

    fn to(exchange: &str) -> Target<'_> {
        Target {
            exchange,
            routing_key: None,
        }
    }

    fn headers(message: &Message) -> FieldTable {
        let raw = Properties::read(message.properties());
        assert!(!raw.broken);
        let mut table = (raw.headers.len() as u32).to_be_bytes().to_vec();
        table.extend_from_slice(raw.headers);
        FieldTable::decode(&table).expect("headers").0
    }

    fn deaths(message: &Message) -> Vec<(String, String, i64)> {
        let Some(FieldValue::Array(deaths)) = headers(message).take("x-death") else {
            panic!("no x-death");
        };
        let text = |table: &FieldTable, name| table.get(name).and_then(FieldValue::as_str).map(str::to_owned);
        let entry = |death: FieldValue| match death {
            FieldValue::Table(table) => (
                text(&table, "queue").expect("queue"),
                text(&table, "reason").expect("reason"),
                table.get("count").and_then(FieldValue::as_int).expect("count"),
            ),
            _ => panic!("not a table"),
        };
        deaths.into_iter().map(entry).collect()
    }

    #[test]
    fn a_death_is_told_and_everything_else_stays_as_it_was() {
        let mine = FieldTable(vec![
            ("mine".into(), FieldValue::I32(1)),
            (
                "CC".into(),
                FieldValue::Array(vec![
                    FieldValue::text("one"),
                    FieldValue::Boolean(true),
                    FieldValue::text("two"),
                ]),
            ),
            ("mine".into(), FieldValue::Decimal(2, 3)),
        ]);
        let dead = dead_letter(
            &message(mine.clone(), Some(200)),
            death("q", DeathReason::Expired, 5),
            to("dlx"),
        );
        assert_eq!(dead.exchange(), b"dlx");
        assert_eq!(dead.routing_key(), b"key");
        assert_eq!(dead.traits().expiration, None);
        assert!(dead.traits().persistent && dead.died());
        let keys = ["key", "one", "two"].map(FieldValue::text).to_vec();
        let entry = FieldTable(vec![
            ("count".into(), FieldValue::I64(1)),
            ("reason".into(), FieldValue::text("expired")),
            ("queue".into(), FieldValue::text("q")),
            ("time".into(), FieldValue::Timestamp(5)),
            ("exchange".into(), FieldValue::text("ex")),
            ("routing-keys".into(), FieldValue::Array(keys)),
            ("original-expiration".into(), FieldValue::text("200")),
        ]);
        let mut expected = mine;
        expected.set("x-death", FieldValue::Array(vec![FieldValue::Table(entry)]));
        for place in ["first", "last"] {
            expected.set(&format!("x-{place}-death-exchange"), FieldValue::text("ex"));
            expected.set(&format!("x-{place}-death-queue"), FieldValue::text("q"));
            expected.set(&format!("x-{place}-death-reason"), FieldValue::text("expired"));
        }
        let mut properties = (CONTENT_TYPE | HEADERS | DELIVERY_MODE | 1 << 7).to_be_bytes().to_vec();
        properties.extend_from_slice(b"\x01t");
        expected.encode(&mut properties);
        properties.extend_from_slice(b"\x02\x01m");
        assert_eq!(dead.properties(), properties);
    }

    #[test]
    fn going_round_again_raises_the_count_and_comes_first() {
        let fresh = message(FieldTable::new(), None);
        let one = dead_letter(&fresh, death("q", DeathReason::Rejected, 1), to("a"));
        let two = dead_letter(&one, death("wait", DeathReason::Expired, 2), to("b"));
        let three = dead_letter(&two, death("q", DeathReason::Rejected, 3), to("a"));
        let expected = [("q", "rejected", 2), ("wait", "expired", 1)];
        assert_eq!(
            deaths(&three),
            expected.map(|(queue, reason, count)| (queue.into(), reason.into(), count))
        );
        let headers = headers(&three);
        let text = |name| headers.get(name).and_then(FieldValue::as_str);
        assert_eq!(text("x-first-death-exchange"), Some("ex"));
        assert_eq!(text("x-last-death-exchange"), Some("b"));
        assert_eq!(text("x-last-death-queue"), Some("q"));
    }

    #[test]
    fn death_headers_that_a_client_sent_mean_nothing() {
        let died = dead_letter(
            &message(FieldTable::new(), None),
            death("q", DeathReason::Expired, 1),
            to("a"),
        );
        let again = message(headers(&died), None);
        assert!(!is_cycle(&again, "q"));
        let dead = dead_letter(&again, death("q", DeathReason::Expired, 9), to("a"));
        assert_eq!(deaths(&dead), [("q".into(), "expired".into(), 1)]);
    }

    #[test]
    fn a_message_without_headers_gets_them() {
        let parts = MessageParts {
            exchange: b"",
            routing_key: b"q",
            properties: &[0, 0],
            traits: Traits::default(),
        };
        let bare = Message::new(parts, b"", &mut Vec::new());
        let target = Target {
            exchange: "",
            routing_key: Some("dead"),
        };
        let dead = dead_letter(&bare, death("q", DeathReason::MaxLen, 1), target);
        assert_eq!(dead.routing_key(), b"dead");
        assert_eq!(deaths(&dead), [("q".into(), "maxlen".into(), 1)]);
        assert_eq!(headers(&dead).0.len(), 7);
    }

    #[test]
    fn a_cycle_without_a_reject_in_it_is_a_cycle() {
        let fresh = message(FieldTable::new(), None);
        let one = dead_letter(&fresh, death("q", DeathReason::Rejected, 1), to("a"));
        assert!(!is_cycle(&one, "q"), "a client rejected it");
        let two = dead_letter(&one, death("wait", DeathReason::Expired, 2), to("b"));
        assert!(!is_cycle(&two, "q"), "a client rejected it on this round");
        assert!(is_cycle(&two, "wait"));
        let three = dead_letter(&two, death("q", DeathReason::MaxLen, 3), to("a"));
        assert!(is_cycle(&three, "q") && is_cycle(&three, "wait"));
        assert!(!is_cycle(&three, "elsewhere"));
    }

    #[test]
    fn damaged_properties_do_no_harm() {
        let full = message(FieldTable(vec![("a".into(), FieldValue::text("b"))]), Some(5));
        for end in 0..full.properties().len() {
            let parts = MessageParts {
                exchange: b"",
                routing_key: b"",
                properties: &full.properties()[..end],
                traits: Traits::default(),
            };
            let broken = Message::new(parts, b"", &mut Vec::new());
            let dead = dead_letter(&broken, death("q", DeathReason::Expired, 1), to("a"));
            assert_eq!(routing_keys(&dead).len(), 1);
        }
    }
}
