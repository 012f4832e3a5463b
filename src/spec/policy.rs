//! Policies: settings that an operator gives to queues and exchanges by name (RabbitMQ,
//! "Parameters and Policies").
//!
//! One policy and one operator policy apply to a thing at a time, each the one of highest
//! priority. The keys, what they take and which of several values counts are in the table of
//! [`arguments`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use super::argument::PolicyKey;
use super::arguments;
use super::queue::{QueueSettings, QueueSpec, QueueType};
use crate::pattern::{BadPattern, Pattern};
use crate::types::{FieldValue, VhostName};

/// What a policy is meant for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApplyTo {
    #[default]
    All,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
    Exchanges,
}

/// What a policy is looked up for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    Queue(QueueType),
    Exchange,
}

/// A policy or an operator policy as it was put.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PolicySpec {
    pub vhost: VhostName,
    pub name: String,
    pub pattern: String,
    #[serde(rename = "apply-to")]
    pub apply_to: ApplyTo,
    pub priority: i64,
    pub definition: Map<String, Value>,
}

/// A policy whose pattern is compiled.
#[derive(Clone, Debug)]
pub struct Policy {
    pub spec: PolicySpec,
    pattern: Pattern,
}

/// Who puts a policy: operators may set fewer keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum PolicyKind {
    User,
    Operator,
}

/// Why a policy is refused, in RabbitMQ's words.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PolicyError {
    #[error("no policy provided")]
    Empty,
    #[error("[{{<<\"{0}\">>,{1}}}] are not recognised policy settings")]
    UnknownKey(String, String),
    #[error("{0} is not a valid {1}")]
    BadValue(String, &'static str),
    #[error("{}{}", INVALID_PATTERN, .0.in_column(INVALID_PATTERN.len()))]
    BadPattern(#[from] BadPattern),
    /// Not RabbitMQ's: its bound on the steps of a match is 200 times ours.
    #[error("pattern needs too many steps for names such as {0}")]
    TooManySteps(String),
}

/// Names for which a pattern may run into its bound: some 50 milliseconds of steps.
const SLOW_NAMES: usize = 32;

const INVALID_PATTERN: &str = "pattern should be regular expression but is invalid: ";

impl Policy {
    /// Checks and compiles a policy.
    ///
    /// # Errors
    /// The first thing RabbitMQ would refuse.
    pub fn new(kind: PolicyKind, spec: PolicySpec) -> Result<Self, PolicyError> {
        let pattern = Pattern::new(&spec.pattern)?;
        if spec.definition.is_empty() {
            return Err(PolicyError::Empty);
        }
        for (name, value) in &spec.definition {
            let known = key(name).filter(|key| key.is_operators || kind == PolicyKind::User);
            let key = known.ok_or_else(|| PolicyError::UnknownKey(name.clone(), term(value)))?;
            if !key.takes.accepts(value) {
                return Err(PolicyError::BadValue(term(value), key.called));
            }
        }
        Ok(Self { spec, pattern })
    }

    /// Looks whether the pattern can be asked about all these names.
    ///
    /// # Errors
    /// When it runs into its bound for many of them: that would hold up whatever asks about all of them.
    pub fn check_steps<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), PolicyError> {
        let mut slow = names.into_iter().filter(|name| self.pattern.find(name).is_err());
        slow.nth(SLOW_NAMES)
            .map_or(Ok(()), |name| Err(PolicyError::TooManySteps(name.to_owned())))
    }

    /// Whether it is meant for a thing of that name.
    pub fn matches(&self, subject: Subject, name: &str) -> bool {
        let meant = match (self.spec.apply_to, subject) {
            (ApplyTo::All, _) | (ApplyTo::Exchanges, Subject::Exchange) => true,
            (ApplyTo::Queues, Subject::Queue(_)) => true,
            (ApplyTo::ClassicQueues, Subject::Queue(kind)) => kind == QueueType::Classic,
            (ApplyTo::QuorumQueues, Subject::Queue(kind)) => kind == QueueType::Quorum,
            (ApplyTo::Streams, Subject::Queue(kind)) => kind == QueueType::Stream,
            _ => false,
        };
        // One such key, and RabbitMQ does not apply the others either.
        let fits = match subject {
            Subject::Queue(QueueType::Stream) => !self
                .spec
                .definition
                .keys()
                .any(|key| arguments::is_not_for_streams(key)),
            Subject::Queue(_) | Subject::Exchange => true,
        };
        meant && fits && self.pattern.matches(name)
    }
}

/// The policy that applies: the one of highest priority, of equals the first by name.
pub fn applying<'a>(
    policies: impl IntoIterator<Item = &'a Policy>,
    subject: Subject,
    name: &str,
) -> Option<&'a Policy> {
    policies
        .into_iter()
        .filter(|policy| policy.matches(subject, name))
        .min_by(|a, b| {
            b.spec
                .priority
                .cmp(&a.spec.priority)
                .then_with(|| a.spec.name.cmp(&b.spec.name))
        })
}

impl PolicySpec {
    /// Whether it sets anything of mirrored queues, which are not there.
    pub fn has_mirrors(&self) -> bool {
        self.definition.keys().any(|key| key.starts_with(arguments::MIRRORED))
    }
}

/// The row of a policy key.
fn key(name: &str) -> Option<&'static PolicyKey> {
    arguments::policy_keys().find(|key| key.name == name)
}

/// Policy and operator policy as one definition.
pub fn merged(policy: Option<&Policy>, operator: Option<&Policy>) -> Map<String, Value> {
    let mut merged = policy.map(|policy| policy.spec.definition.clone()).unwrap_or_default();
    for (name, value) in operator.iter().flat_map(|policy| &policy.spec.definition) {
        let keeps = |own: &Value| key(name).is_none_or(|key| key.merge.policy_counts(own.as_i64(), value.as_i64()));
        if !merged.get(name).is_some_and(keeps) {
            merged.insert(name.clone(), value.clone());
        }
    }
    merged
}

/// What a queue's arguments and its merged policies make of it.
pub fn queue_settings(spec: &QueueSpec, definition: &Map<String, Value>) -> QueueSettings {
    let mut effective = spec.arguments.clone();
    for row in arguments::taken_by(spec.queue_type) {
        let Some(key) = &row.policy else {
            continue;
        };
        let Some(set) = definition.get(key.name).and_then(field) else {
            continue;
        };
        // What a policy says of a stream counts, whatever its arguments say.
        let keeps = |own: &FieldValue| {
            spec.queue_type != QueueType::Stream && key.merge.argument_counts(own.as_int(), set.as_int())
        };
        if !spec.arguments.get(row.name).is_some_and(keeps) {
            effective.set(row.name, set);
        }
    }
    arguments::settings(spec.queue_type, &effective)
}

/// A JSON value as an argument's value.
fn field(value: &Value) -> Option<FieldValue> {
    match value {
        Value::Bool(value) => Some(FieldValue::Boolean(*value)),
        Value::Number(number) => number.as_i64().map(FieldValue::I64),
        Value::String(text) => Some(FieldValue::text(text)),
        _ => None,
    }
}

/// A JSON value as RabbitMQ prints it in texts, as an Erlang term.
pub fn term(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<\"{text}\">>"),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{FieldTable, Millis, NodeId, QueueId};

    #[test]
    fn texts_are_binaries_in_terms() {
        assert_eq!(term(&json!("x")), "<<\"x\">>");
        assert_eq!(term(&json!(5)), "5");
    }

    fn put(kind: PolicyKind, priority: i64, apply_to: ApplyTo, definition: Value) -> Result<Policy, PolicyError> {
        let Value::Object(definition) = definition else {
            panic!("an object")
        };
        let name = format!("p{priority}");
        Policy::new(
            kind,
            PolicySpec {
                vhost: "v".into(),
                name,
                pattern: "^q".into(),
                apply_to,
                priority,
                definition,
            },
        )
    }

    fn user(priority: i64, definition: Value) -> Policy {
        put(PolicyKind::User, priority, ApplyTo::Queues, definition).expect("a good policy")
    }

    fn queue(arguments: &[(&str, FieldValue)]) -> QueueSpec {
        QueueSpec {
            id: QueueId(1),
            vhost: "v".into(),
            name: "q".into(),
            queue_type: QueueType::Classic,
            durable: true,
            auto_delete: false,
            exclusive_owner: None,
            home: NodeId::default(),
            members: Vec::new(),
            generations: 0,
            arguments: FieldTable(
                arguments
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), value.clone()))
                    .collect(),
            ),
            user: "guest".into(),
        }
    }

    #[test]
    fn bad_definitions_are_refused_in_rabbitmqs_words() {
        let text = |kind, definition| {
            put(kind, 0, ApplyTo::All, definition)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        use PolicyKind::{Operator, User};
        let refused = |text: &str| Err(text.to_owned());
        assert_eq!(text(User, json!({})), refused("no policy provided"));
        assert_eq!(
            text(User, json!({"nonsense": 1})),
            refused("[{<<\"nonsense\">>,1}] are not recognised policy settings")
        );
        assert_eq!(
            text(User, json!({"max-length": "abc"})),
            refused("<<\"abc\">> is not a valid maximum length")
        );
        assert_eq!(
            text(User, json!({"max-length": -1})),
            refused("-1 is not a valid maximum length")
        );
        assert_eq!(
            text(User, json!({"overflow": "x"})),
            refused("<<\"x\">> is not a valid overflow value")
        );
        assert_eq!(
            text(User, json!({"dead-letter-exchange": 5})),
            refused("5 is not a valid dead letter exchange name")
        );
        assert_eq!(text(User, json!({"delivery-limit": -1})), Ok(()));
        assert_eq!(
            text(Operator, json!({"alternate-exchange": "x"})),
            refused("[{<<\"alternate-exchange\">>,<<\"x\">>}] are not recognised policy settings")
        );
        assert_eq!(text(Operator, json!({"max-length": 3})), Ok(()));
    }

    #[test]
    fn the_highest_priority_applies_to_what_it_is_meant_for() {
        let low = user(1, json!({"max-length": 1}));
        let high = user(5, json!({"max-length": 2}));
        let quorum = put(PolicyKind::User, 9, ApplyTo::QuorumQueues, json!({"max-length": 3})).expect("good");
        let all = [low, high, quorum];
        let name = |subject, queue| applying(&all, subject, queue).map(|policy| policy.spec.name.as_str());
        assert_eq!(name(Subject::Queue(QueueType::Classic), "q1"), Some("p5"));
        assert_eq!(name(Subject::Queue(QueueType::Quorum), "q1"), Some("p9"));
        assert_eq!(name(Subject::Queue(QueueType::Classic), "other"), None);
        assert_eq!(name(Subject::Exchange, "q1"), None);
    }

    #[test]
    fn a_delivery_limit_counts_before_none() {
        let limit = |limit| json!({"delivery-limit": limit});
        let operator = |limit_of| put(PolicyKind::Operator, 1, ApplyTo::Queues, limit(limit_of)).expect("good");
        let merge =
            |own, operators| merged(Some(&user(1, limit(own))), Some(&operator(operators)))["delivery-limit"].clone();
        assert_eq!(merge(-1, 4), 4);
        assert_eq!(merge(6, -1), 6);
        assert_eq!(merge(6, 4), 4);
        let made = |argument: i64, policy: i64| {
            let mut spec = queue(&[("x-delivery-limit", FieldValue::I64(argument))]);
            spec.queue_type = QueueType::Quorum;
            queue_settings(&spec, &merged(Some(&user(1, limit(policy))), None)).delivery_limit
        };
        assert_eq!(made(-1, 2), Some(2));
        assert_eq!(made(3, -1), Some(3));
        assert_eq!(made(5, 2), Some(2));
        assert_eq!(made(2, 5), Some(2));
        assert_eq!(made(-1, -1), None);
    }

    #[test]
    fn the_lowest_number_and_otherwise_the_argument_wins() {
        let policy = user(
            1,
            json!({"max-length": 10, "message-ttl": 500, "dead-letter-exchange": "policy"}),
        );
        let operator = put(
            PolicyKind::Operator,
            1,
            ApplyTo::Queues,
            json!({"max-length": 5, "expires": 70}),
        );
        let definition = merged(Some(&policy), Some(&operator.expect("good")));
        let spec = queue(&[
            ("x-max-length", FieldValue::I32(7)),
            ("x-message-ttl", FieldValue::I32(100)),
            ("x-dead-letter-exchange", FieldValue::text("argument")),
        ]);
        let settings = queue_settings(&spec, &definition);
        assert_eq!(settings.max_length, Some(5));
        assert_eq!(settings.message_ttl, Some(Millis(100)));
        assert_eq!(settings.expires, Some(Millis(70)));
        assert_eq!(settings.dead_letter_exchange, Some("argument".into()));
        assert_eq!(
            queue_settings(&queue(&[]), &definition).dead_letter_exchange,
            Some("policy".into())
        );
    }

    #[test]
    fn the_shorter_consumer_timeout_counts() {
        let policy = user(1, json!({"consumer-timeout": 60_000}));
        let spec = queue(&[("x-consumer-timeout", FieldValue::I32(1000))]);
        assert_eq!(
            queue_settings(&spec, &merged(Some(&policy), None)).consumer_timeout,
            Some(Millis(1000))
        );
        assert_eq!(queue_settings(&queue(&[]), &Map::new()).consumer_timeout, None);
    }
}
