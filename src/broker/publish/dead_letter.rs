//! What dead-lettering does to a message: the `x-death` header and its companions.
//!
//! `x-death` is an array of tables, newest first, one for each queue and reason. Dying again for
//! the same reason in the same queue raises the count and moves the table to the front; the rest
//! of it tells of the first time. The expiration goes, so that the message does not expire again
//! where it is going; all other properties stay as they were. Death headers that a client sent
//! mean nothing and are replaced ([`Message::died`]).

use crate::codec::headers;
use crate::codec::properties::{Edit, Edits, rewrite_properties, scan};
use crate::queue::DeathReason;
use crate::types::{FieldTable, FieldValue, Message, MessageParts, Timestamp, Traits};

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
    let mut table = header_table(message);
    add_death(&mut table, message, death);
    let edits = Edits {
        headers: Edit::Set(&table),
        expiration: Edit::Remove,
        ..Edits::default()
    };
    // They were checked when the message was published. Should they be damaged all the same, the
    // message goes on with its death headers alone.
    let properties = rewrite_properties(message.properties(), &edits)
        .or_else(|_| rewrite_properties(NO_PROPERTIES, &edits))
        .unwrap_or_else(|_| NO_PROPERTIES.to_vec());
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
    if let Some(FieldValue::Array(copies)) = header(message, "CC") {
        keys.extend(copies.into_iter().filter_map(|key| match key {
            FieldValue::LongString(key) => Some(key),
            _ => None,
        }));
    }
    keys
}

/// Where a message was before it died last.
pub struct LastDeath {
    pub queue: String,
    /// What it had been published with when it came there.
    pub exchange: String,
    pub routing_key: Vec<u8>,
    /// When it died there first, to a second.
    pub at: Timestamp,
}

/// Where a message died last, if the broker says that it did.
pub fn last_death(message: &Message) -> Option<LastDeath> {
    let death = earlier_deaths(message).into_iter().next()?;
    let text = |name| death.get(name).and_then(FieldValue::as_str).map(str::to_owned);
    let key = match death.get("routing-keys") {
        Some(FieldValue::Array(keys)) => keys.first().and_then(FieldValue::as_bytes).map(<[u8]>::to_vec),
        _ => None,
    };
    Some(LastDeath {
        queue: text("queue")?,
        exchange: text("exchange")?,
        routing_key: key.unwrap_or_else(|| message.routing_key().to_vec()),
        at: match death.get("time") {
            Some(FieldValue::Timestamp(seconds)) => Timestamp(seconds.saturating_mul(1000)),
            _ => Timestamp(0),
        },
    })
}

/// Whether this dead letter must not enter a queue: it died there before, and on its way since then
/// no client rejected it, so that it would go round for ever.
pub fn is_cycle(dead_letter: &Message, queue: &str) -> bool {
    let deaths = earlier_deaths(dead_letter);
    let is = |death: &FieldTable, name, text| death.get(name).and_then(FieldValue::as_str) == Some(text);
    let since = deaths.iter().position(|death| is(death, "queue", queue));
    since.is_some_and(|since| {
        let mut round = deaths[..=since].iter();
        !round.any(|death| is(death, "reason", DeathReason::Rejected.name()))
    })
}

/// Puts the seven headers behind the others; those that were there give way.
fn add_death(table: &mut FieldTable, message: &Message, death: Death<'_>) {
    let died = message.died();
    let deaths = deaths_of(table.take(DEATHS).filter(|_| died));
    let text = FieldValue::text;
    let last = [
        text(message.exchange_str()),
        text(death.queue),
        text(death.reason.name()),
    ];
    let first: Vec<_> = FIRST
        .into_iter()
        .zip(&last)
        .map(|(name, now)| table.take(name).filter(|_| died).unwrap_or_else(|| now.clone()))
        .collect();
    for name in LAST {
        table.take(name);
    }
    let deaths = count_death(deaths, message, death);
    let deaths = FieldValue::Array(deaths.into_iter().map(FieldValue::Table).collect());
    table.0.push((DEATHS.to_owned(), deaths));
    let companions = FIRST.into_iter().chain(LAST).zip(first.into_iter().chain(last));
    table.0.extend(companions.map(|(name, value)| (name.to_owned(), value)));
}

/// The deaths with this one in front.
fn count_death(mut deaths: Vec<FieldTable>, message: &Message, death: Death<'_>) -> Vec<FieldTable> {
    let (queue, reason) = (FieldValue::text(death.queue), FieldValue::text(death.reason.name()));
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
    deaths
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
    deaths_of(header(message, DEATHS).filter(|_| message.died()))
}

fn deaths_of(header: Option<FieldValue>) -> Vec<FieldTable> {
    let Some(FieldValue::Array(deaths)) = header else {
        return Vec::new();
    };
    let table = |death| match death {
        FieldValue::Table(death) => Some(death),
        _ => None,
    };
    deaths.into_iter().filter_map(table).collect()
}

/// All headers; none where there are none or the properties are damaged.
pub fn header_table(message: &Message) -> FieldTable {
    let headers = scan(message.properties()).ok().and_then(|scan| scan.headers);
    let table = headers.and_then(|headers| FieldTable::decode(headers).ok());
    table.map(|(table, _)| table).unwrap_or_default()
}

/// The first header of that name.
fn header(message: &Message, name: &str) -> Option<FieldValue> {
    headers::find(scan(message.properties()).ok()?.headers?, name)
}

const DEATHS: &str = "x-death";
const FIRST: [&str; 3] = ["x-first-death-exchange", "x-first-death-queue", "x-first-death-reason"];
const LAST: [&str; 3] = ["x-last-death-exchange", "x-last-death-queue", "x-last-death-reason"];

/// Properties of a message that has none: no flag, no value.
const NO_PROPERTIES: &[u8] = &[0, 0];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Properties;

    fn properties(headers: FieldTable, expiration: Option<u64>) -> Properties {
        Properties {
            content_type: Some("t".into()),
            headers: Some(headers),
            delivery_mode: Some(2),
            expiration: expiration.map(|ttl| ttl.to_string()),
            message_id: Some("m".into()),
            ..Properties::default()
        }
    }

    fn published(properties: &[u8]) -> Message {
        let parts = MessageParts {
            exchange: b"ex",
            routing_key: b"key",
            properties,
            traits: scan(properties).map(|scan| scan.traits).unwrap_or_default(),
        };
        Message::new(parts, b"body", &mut Vec::new())
    }

    fn message(headers: FieldTable, expiration: Option<u64>) -> Message {
        published(&properties(headers, expiration).encode())
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

    fn deaths(message: &Message) -> Vec<(String, String, i64)> {
        let text = |table: &FieldTable, name| table.get(name).and_then(FieldValue::as_str).map(str::to_owned);
        let told = |table: FieldTable| {
            (
                text(&table, "queue").expect("queue"),
                text(&table, "reason").expect("reason"),
                table.get("count").and_then(FieldValue::as_int).expect("count"),
            )
        };
        deaths_of(header(message, DEATHS)).into_iter().map(told).collect()
    }

    #[test]
    fn a_death_is_told_and_everything_else_stays_as_it_was() {
        let copies = vec![
            FieldValue::text("one"),
            FieldValue::Boolean(true),
            FieldValue::text("two"),
        ];
        let mine = FieldTable(vec![
            ("mine".into(), FieldValue::I32(1)),
            ("CC".into(), FieldValue::Array(copies)),
            ("mine".into(), FieldValue::Decimal(2, 3)),
        ]);
        let dead = dead_letter(
            &message(mine.clone(), Some(200)),
            death("q", DeathReason::Expired, 5),
            to("dlx"),
        );
        assert_eq!(
            (dead.exchange(), dead.routing_key(), dead.body()),
            (&b"dlx"[..], &b"key"[..], &b"body"[..])
        );
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
        assert_eq!(dead.properties(), properties(expected, None).encode());
        assert_eq!(
            routing_keys(&dead),
            [&b"key"[..], b"one", b"two"],
            "it is routed as it was published"
        );
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
        let headers = header_table(&three);
        let text = |name| headers.get(name).and_then(FieldValue::as_str);
        assert_eq!(text("x-first-death-exchange"), Some("ex"));
        assert_eq!(text("x-first-death-reason"), Some("rejected"));
        assert_eq!(text("x-last-death-exchange"), Some("b"));
        assert_eq!(text("x-last-death-queue"), Some("q"));
        let FieldValue::Array(told) = headers.get(DEATHS).expect("deaths") else {
            panic!("not an array");
        };
        let FieldValue::Table(newest) = &told[0] else {
            panic!("not a table");
        };
        assert_eq!(
            (newest.get("time"), newest.get("exchange")),
            (Some(&FieldValue::Timestamp(1)), Some(&FieldValue::text("ex"))),
            "the table tells of the first time"
        );
        assert_eq!(headers.0.len(), 7);
    }

    #[test]
    fn death_headers_that_a_client_sent_mean_nothing() {
        let died = dead_letter(
            &message(FieldTable::new(), None),
            death("q", DeathReason::Expired, 1),
            to("a"),
        );
        let again = message(header_table(&died), None);
        assert!(is_cycle(&died, "q") && !is_cycle(&again, "q"));
        let dead = dead_letter(&again, death("q", DeathReason::Expired, 9), to("a"));
        assert_eq!(deaths(&dead), [("q".into(), "expired".into(), 1)]);
        let first = header(&dead, "x-first-death-exchange");
        assert_eq!(first, Some(FieldValue::text("ex")));
        assert_eq!(header_table(&dead).0.len(), 7);
    }

    #[test]
    fn a_message_without_headers_gets_them() {
        let target = Target {
            exchange: "",
            routing_key: Some("dead"),
        };
        let dead = dead_letter(&published(NO_PROPERTIES), death("q", DeathReason::MaxLen, 1), target);
        assert_eq!((dead.exchange(), dead.routing_key()), (&b""[..], &b"dead"[..]));
        assert_eq!(deaths(&dead), [("q".into(), "maxlen".into(), 1)]);
        assert_eq!(header_table(&dead).0.len(), 7);
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
        let headers = FieldTable(vec![("a".into(), FieldValue::text("b"))]);
        let full = properties(headers, Some(5)).encode();
        for end in 0..full.len() {
            let dead = dead_letter(&published(&full[..end]), death("q", DeathReason::Expired, 1), to("a"));
            assert_eq!(routing_keys(&dead), [b"key"]);
            assert_eq!(deaths(&dead), [("q".into(), "expired".into(), 1)]);
        }
    }
}
