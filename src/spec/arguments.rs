//! THE table of queue arguments and of the policy keys that set the same: who takes which, what a
//! value may be, which one counts of several, what must be the same when a queue is declared again,
//! and what each makes of [`QueueSettings`].
//!
//! To add an argument, add a row, and the code that reads the setting. Everything else reads this
//! table: declares, definitions, policies, redeclares ([`equivalence`](super::equivalence)),
//! `docs/arguments.md`. The order of the rows is the order in which RabbitMQ looks at arguments.

use std::borrow::Cow;

use super::argument::{Again, Argument, Merge, PolicyKey};
pub use super::error::SpecError;
use super::error::queue_in_vhost;
use super::exchange_arguments::OF_EVERY_EXCHANGE;
use super::queue::{DeadLetterStrategy, Overflow, QueueSettings, QueueType};
use super::takes::Takes;
use super::value::{Value, age, unacceptable};
use crate::config::LeaderLocator;
use crate::types::{FieldTable, FieldValue};

const ALL: &[QueueType] = &[QueueType::Classic, QueueType::Quorum, QueueType::Stream];
const QUEUES: &[QueueType] = &[QueueType::Classic, QueueType::Quorum];
const CLASSIC: &[QueueType] = &[QueueType::Classic];
const QUORUM: &[QueueType] = &[QueueType::Quorum];
const STREAM: &[QueueType] = &[QueueType::Stream];

/// The table.
pub static ARGUMENTS: &[Argument] = &[
    Argument::time("x-message-ttl", 0)
        .on(QUEUES)
        .policy("message-ttl", Merge::Smallest, "message TTL")
        .operators_too()
        .help("Milliseconds that a message may wait before it is dropped or dead-lettered.")
        .sets(|settings, time| settings.message_ttl = Some(time)),
    Argument::time("x-expires", 1)
        .on(QUEUES)
        .policy("expires", Merge::Smallest, "queue expiry")
        .operators_too()
        .help("Milliseconds without use after which the queue deletes itself.")
        .sets(|settings, time| settings.expires = Some(time)),
    Argument::count("x-max-length")
        .on(QUEUES)
        .policy("max-length", Merge::Smallest, "maximum length")
        .operators_too()
        .help("Most messages the queue keeps ready.")
        .sets(|settings, count| settings.max_length = Some(count)),
    Argument::count("x-max-length-bytes")
        .on(ALL)
        .policy("max-length-bytes", Merge::Smallest, "maximum length in bytes")
        .operators_too()
        .help("Most bytes of bodies the queue keeps ready.")
        .sets(|settings, bytes| settings.max_length_bytes = Some(bytes)),
    Argument::integer("x-max-priority", 0, 255)
        .on(CLASSIC)
        .help("The highest priority that is told apart; 0 is none.")
        .sets(|settings, most| settings.max_priority = u8::try_from(most).ok().filter(|most| *most > 0)),
    Argument::text(
        "x-overflow",
        Value::OneOf(
            &["drop-head", "reject-publish", "reject-publish-dlx"],
            "invalid_overflow",
        ),
    )
    .on(QUEUES)
    .policy("overflow", Merge::First, "overflow value")
    .operators_too()
    .help("What a full queue does: drop its oldest messages, or refuse new ones.")
    .sets(|settings, word| {
        settings.overflow = match word {
            "reject-publish" => Overflow::RejectPublish,
            "reject-publish-dlx" => Overflow::RejectPublishDlx,
            _ => Overflow::DropHead,
        };
    }),
    Argument::text(DEAD_LETTER_EXCHANGE, Value::ExchangeName)
        .on(QUEUES)
        .policy("dead-letter-exchange", Merge::First, "dead letter exchange name")
        .help("The exchange that messages go to which expire, are rejected, or do not fit.")
        .sets(|settings, name| settings.dead_letter_exchange = Some(name.into())),
    Argument::text("x-dead-letter-routing-key", Value::DeadLetterKey)
        .on(QUEUES)
        .policy("dead-letter-routing-key", Merge::First, "dead letter routing key")
        .help("The routing key they get; without it they keep their own.")
        .sets(|settings, key| settings.dead_letter_routing_key = Some(key.into())),
    Argument::text(
        "x-dead-letter-strategy",
        Value::OneOf(&["at-most-once", "at-least-once"], "invalid_dlx_strategy"),
    )
    .on(QUORUM)
    .policy("dead-letter-strategy", Merge::First, "dead letter strategy")
    .help("Whether a dead letter stays in the queue until its new queues have it.")
    .sets(|settings, word| {
        settings.dead_letter_strategy = match word {
            "at-least-once" => DeadLetterStrategy::AtLeastOnce,
            _ => DeadLetterStrategy::AtMostOnce,
        };
    }),
    Argument::any_number("x-delivery-limit")
        .on(QUORUM)
        .policy("delivery-limit", Merge::SmallestLimit, "delivery limit")
        .operators_too()
        .help("Returns of a message after which it is dropped or dead-lettered; below 0 is no limit.")
        .sets(|settings, limit| settings.delivery_limit = u32::try_from(limit).ok()),
    Argument::flag("x-single-active-consumer")
        .on(QUEUES)
        .help("One consumer gets all messages, and the next one when it goes.")
        .sets(|settings, on| settings.single_active_consumer = on),
    Argument::checked(QUEUE_TYPE, Value::Any)
        .on(ALL)
        .again(Again::SameType)
        .help("classic, quorum or stream.")
        .sets_nothing(),
    Argument::checked(
        "x-queue-mode",
        Value::OneOfShown(&["default", "lazy"], "unsupported queue mode"),
    )
    .on(CLASSIC)
    .policy("queue-mode", Merge::First, "queue mode")
    .help("default or lazy; no effect, as in RabbitMQ 4.")
    .sets_nothing(),
    Argument::checked("x-queue-version", Value::Version(&[1, 2]))
        .on(CLASSIC)
        .policy("queue-version", Merge::Smallest, "queue version")
        .operators_too()
        .help("1 or 2; no effect: there is one way to keep messages.")
        .sets_nothing(),
    Argument::checked("x-queue-master-locator", Value::Any)
        .on(CLASSIC)
        .policy("queue-master-locator", Merge::First, "queue master locator")
        .policy_takes(Takes::Text)
        .operators_too()
        .help("No effect, as in RabbitMQ 4.")
        .sets_nothing(),
    Argument::text(
        "x-queue-leader-locator",
        Value::OneOf(
            &["client-local", "balanced", "random", "least-leaders", "min-masters"],
            "invalid_queue_locator_arg",
        ),
    )
    .on(ALL)
    .policy("queue-leader-locator", Merge::First, "queue leader locator")
    .policy_takes(Takes::Text)
    .help("The node that the queue begins on: the client's (client-local), or one with few leaders (balanced).")
    .sets(|settings, word| {
        settings.leader_locator = Some(match word {
            // The other words are RabbitMQ's of before, which mean the same there.
            "balanced" | "random" | "least-leaders" | "min-masters" => LeaderLocator::Balanced,
            _ => LeaderLocator::ClientLocal,
        });
    }),
    Argument::count("x-max-in-memory-length")
        .on(QUORUM)
        .policy("max-in-memory-length", Merge::Smallest, "maximum memory in length")
        .operators_too()
        .help("No effect, as in RabbitMQ 4.")
        .sets_nothing(),
    Argument::count("x-max-in-memory-bytes")
        .on(QUORUM)
        .policy("max-in-memory-bytes", Merge::Smallest, "maximum memory in bytes")
        .operators_too()
        .help("No effect, as in RabbitMQ 4.")
        .sets_nothing(),
    Argument::positive("x-quorum-initial-group-size")
        .on(QUORUM)
        .help("Members the queue begins with.")
        .sets(|settings, members| settings.initial_group_size = Some(members)),
    Argument::positive("x-initial-cluster-size")
        .on(STREAM)
        .policy("initial-cluster-size", Merge::Smallest, "initial cluster size")
        .help("Members the stream begins with; all nodes where nothing is said.")
        .sets(|settings, members| settings.initial_group_size = Some(members)),
    Argument::text("x-max-age", Value::Age)
        .on(STREAM)
        .policy("max-age", Merge::First, "max age")
        .help("Time that messages are kept, such as 7D; whole segments go.")
        .sets(|settings, text| settings.max_age = age(text.as_bytes())),
    Argument::number("x-stream-max-segment-size-bytes", Value::SegmentSize)
        .on(STREAM)
        .policy("stream-max-segment-size-bytes", Merge::Smallest, "segment size")
        .help("Bytes of chunks that are dropped together.")
        .sets(|settings, bytes| settings.segment_bytes = Some(bytes)),
    Argument::number("x-stream-filter-size-bytes", Value::FilterSize)
        .on(STREAM)
        .again(Again::Free)
        .policy(
            "stream-filter-size-bytes",
            Merge::Smallest,
            "filter size. Valid range is 16-255",
        )
        .help("Bytes of the filter beside each chunk.")
        .sets(|settings, bytes| settings.filter_bytes = u8::try_from(bytes).ok()),
    Argument::any_time("x-consumer-timeout")
        .on(ALL)
        .again(Again::Free)
        .policy("consumer-timeout", Merge::SmallestTimeout, "consumer timeout")
        .policy_takes(Takes::Count)
        .help("Milliseconds a consumer may hold a message without settling it.")
        .sets(|settings, time| settings.consumer_timeout = Some(time).filter(|time| time.0 > 0)),
    Argument::any_count("x-quorum-target-group-size")
        .on(QUORUM)
        .again(Again::Free)
        .policy("target-group-size", Merge::Largest, "target group size")
        .policy_takes(Takes::Positive)
        .operators_too()
        .help("Members the queue gets when there are nodes for them.")
        .sets(|settings, members| settings.target_group_size = Some(members)),
];

/// Policy keys that are no argument of anything.
pub static OTHER_POLICY_KEYS: &[PolicyKey] = &[
    PolicyKey::new("federation-upstream", Merge::First, Takes::Text, "federation upstream"),
    PolicyKey::new(
        "federation-upstream-set",
        Merge::First,
        Takes::Text,
        "federation upstream set",
    ),
    PolicyKey::new(
        "federation-upstream-pattern",
        Merge::First,
        Takes::Text,
        "federation upstream pattern",
    ),
    mirrored("ha-mode", Takes::OneOf(&["all", "exactly", "nodes"]), "ha mode"),
    mirrored("ha-params", Takes::Any, "ha params"),
    mirrored("ha-sync-mode", Takes::OneOf(&["automatic", "manual"]), "ha sync mode"),
    mirrored("ha-sync-batch-size", Takes::Positive, "ha sync batch size"),
    mirrored(
        "ha-promote-on-shutdown",
        Takes::OneOf(&["always", "when-synced"]),
        "ha promote on shutdown",
    ),
    mirrored(
        "ha-promote-on-failure",
        Takes::OneOf(&["always", "when-synced"]),
        "ha promote on failure",
    ),
];

/// A key of mirrored queues, which RabbitMQ had before version 4: accepted, so that what was written for them
/// goes on to work, and without effect.
const fn mirrored(name: &'static str, takes: Takes, called: &'static str) -> PolicyKey {
    PolicyKey {
        is_operators: true,
        ..PolicyKey::new(name, Merge::First, takes, called)
    }
}

/// How the names of those keys begin.
pub const MIRRORED: &str = "ha-";

/// Read before the queue type is known.
const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
/// Decides which of the others are taken.
const QUEUE_TYPE: &str = "x-queue-type";

/// Returns after which RabbitMQ 4.0 gives up on a message of a quorum queue.
const DEFAULT_DELIVERY_LIMIT: u32 = 20;

/// All policy keys, of queues and of exchanges.
pub fn policy_keys() -> impl Iterator<Item = &'static PolicyKey> {
    let of_queues = ARGUMENTS.iter().filter_map(|row| row.policy.as_ref());
    // What only one exchange type takes no policy sets.
    let of_exchanges = OF_EVERY_EXCHANGE.iter().filter_map(|row| row.policy.as_ref());
    of_queues.chain(of_exchanges).chain(OTHER_POLICY_KEYS)
}

/// Whether a policy that sets this key is not for streams at all: what it sets has no place there.
pub fn is_not_for_streams(key: &str) -> bool {
    let of_key = |row: &&Argument| row.policy.as_ref().is_some_and(|policy| policy.name == key);
    let row = ARGUMENTS.iter().find(of_key);
    row.is_some_and(|row| row.again != Again::Free && !row.types.contains(&QueueType::Stream))
}

/// The arguments that a queue type takes.
pub fn taken_by(kind: QueueType) -> impl Iterator<Item = &'static Argument> {
    ARGUMENTS.iter().filter(move |row| row.types.contains(&kind))
}

/// The queue type that the arguments ask for, or the default of the vhost.
///
/// # Errors
/// When `x-queue-type` is not a text or not a type.
pub fn queue_type(arguments: &FieldTable, default: QueueType, vhost: &str, name: &str) -> Result<QueueType, SpecError> {
    let Some(value) = arguments.get(QUEUE_TYPE) else {
        return Ok(default);
    };
    let reason = match value {
        FieldValue::LongString(text) => match text.as_slice() {
            b"classic" => return Ok(QueueType::Classic),
            b"quorum" => return Ok(QueueType::Quorum),
            b"stream" => return Ok(QueueType::Stream),
            other => format!("\"unsupported queue type '{}'\"", String::from_utf8_lossy(other)),
        },
        other => unacceptable(other),
    };
    Err(SpecError::BadValue {
        name: QUEUE_TYPE.into(),
        queue: queue_in_vhost(vhost, name),
        reason,
    })
}

/// The dead letter exchange that the arguments name. RabbitMQ looks at it before it knows the
/// queue type.
///
/// # Errors
/// When it is not a text.
pub fn dead_letter_exchange<'a>(
    vhost: &str,
    name: &str,
    arguments: &'a FieldTable,
) -> Result<Option<Cow<'a, str>>, SpecError> {
    match arguments.get(DEAD_LETTER_EXCHANGE) {
        None => Ok(None),
        Some(FieldValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text))),
        Some(other) => Err(SpecError::BadType {
            name: DEAD_LETTER_EXCHANGE.into(),
            target: queue_in_vhost(vhost, name),
            type_name: other.type_name(),
        }),
    }
}

/// Checks the arguments of a queue that is to be declared. Unknown ones are ignored.
///
/// # Errors
/// The first argument that RabbitMQ would refuse, with its text.
pub fn validate(kind: QueueType, vhost: &str, name: &str, arguments: &FieldTable) -> Result<(), SpecError> {
    let queue = || queue_in_vhost(vhost, name);
    dead_letter_exchange(vhost, name, arguments)?;
    let is_refused = |row: &&Argument| row.again != Again::Free && !row.types.contains(&kind);
    let mut refused = ARGUMENTS.iter().filter(is_refused);
    if let Some(row) = refused.find(|row| arguments.get(row.name).is_some()) {
        return Err(SpecError::NotForType {
            name: row.name.into(),
            queue: queue(),
            kind: type_module(kind),
        });
    }
    let mut known = taken_by(kind).filter_map(|row| Some((row, arguments.get(row.name)?)));
    known.try_for_each(|(row, value)| {
        let checked = row.value.check(value, arguments);
        checked.map_err(|bad| bad.of(row.name, queue()))
    })
}

/// Checks what a quorum queue or a stream must be besides its arguments.
///
/// # Errors
/// The property that RabbitMQ would refuse.
pub fn validate_properties(
    kind: QueueType,
    vhost: &str,
    name: &str,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
) -> Result<(), SpecError> {
    if kind == QueueType::Classic {
        return Ok(());
    }
    let broken = [
        (auto_delete, "auto-delete"),
        (exclusive, "exclusive-owner"),
        (!durable, "non-durable"),
    ];
    match broken.into_iter().find(|(is, _)| *is) {
        Some((_, property)) => Err(SpecError::BadProperty {
            property,
            queue: queue_in_vhost(vhost, name),
        }),
        None => Ok(()),
    }
}

/// What the arguments alone make of a queue.
pub fn settings(kind: QueueType, arguments: &FieldTable) -> QueueSettings {
    let mut settings = QueueSettings {
        delivery_limit: (kind == QueueType::Quorum).then_some(DEFAULT_DELIVERY_LIMIT),
        ..QueueSettings::default()
    };
    for row in taken_by(kind) {
        if let Some(value) = arguments.get(row.name) {
            row.apply(&mut settings, value);
        }
    }
    settings
}

/// The name of a queue type on the wire.
pub fn type_name(kind: QueueType) -> &'static str {
    match kind {
        QueueType::Classic => "classic",
        QueueType::Quorum => "quorum",
        QueueType::Stream => "stream",
    }
}

/// What RabbitMQ calls a queue type in its texts.
pub fn type_module(kind: QueueType) -> &'static str {
    match kind {
        QueueType::Classic => "rabbit_classic_queue",
        QueueType::Quorum => "rabbit_quorum_queue",
        QueueType::Stream => "rabbit_stream_queue",
    }
}

#[cfg(test)]
mod tests;
