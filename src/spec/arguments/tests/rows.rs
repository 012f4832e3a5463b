//! Walks the table: what a row says is so wherever it is read.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Map, json};

use super::*;
use crate::spec::QueueSpec;
use crate::spec::equivalence::{self, QueueAgain};
use crate::spec::policy::{ApplyTo, Policy, PolicyError, PolicyKind, PolicySpec, merged, queue_settings};
use crate::types::{NodeId, QueueId};

/// Two values that the argument may have, the lower one first; none where the type itself is meant.
fn two_values(row: &Argument) -> Option<[FieldValue; 2]> {
    let numbers = |low| [FieldValue::I64(low), FieldValue::I64(low + 1)];
    let texts = |low, high| [low, high].map(FieldValue::text);
    Some(match row.value {
        Value::Integer { from, .. } | Value::Time { from } => numbers(from + 1),
        Value::Boolean => [FieldValue::Boolean(false), FieldValue::Boolean(true)],
        Value::OneOf(words, _) | Value::OneOfShown(words, _) => texts(words[0], words[1]),
        Value::Version(versions) => [FieldValue::I64(versions[0]), FieldValue::I64(versions[1])],
        Value::ExchangeName | Value::DeadLetterKey => texts("a", "b"),
        Value::Age => texts("1D", "2D"),
        Value::SegmentSize => numbers(1000),
        Value::FilterSize => numbers(16),
        Value::Any if row.again == Again::SameType => return None,
        Value::Any => match row.policy.map(|key| key.takes) {
            Some(Takes::Text) => texts("a", "b"),
            _ => numbers(5),
        },
    })
}

/// Each row with a queue type that takes it, and two values.
fn all() -> impl Iterator<Item = (&'static Argument, QueueType, [FieldValue; 2])> {
    let rows = ARGUMENTS.iter().filter_map(|row| Some((row, two_values(row)?)));
    rows.flat_map(|(row, values)| row.types.iter().map(move |kind| (row, *kind, values.clone())))
}

/// The argument, and what it is refused without.
fn with(row: &Argument, value: &FieldValue) -> FieldTable {
    let mut arguments = FieldTable::of(&[(row.name, value.clone())]);
    if matches!(row.value, Value::DeadLetterKey) {
        arguments.set(DEAD_LETTER_EXCHANGE, FieldValue::text("dlx"));
    }
    arguments
}

fn queue(kind: QueueType, arguments: FieldTable) -> QueueSpec {
    QueueSpec {
        id: QueueId(1),
        vhost: "v".into(),
        name: "q".into(),
        queue_type: kind,
        durable: true,
        auto_delete: false,
        exclusive_owner: None,
        home: NodeId::default(),
        members: Vec::new(),
        generations: 0,
        arguments,
        user: "guest".into(),
    }
}

fn policy(kind: PolicyKind, key: &str, value: &FieldValue) -> Result<Policy, PolicyError> {
    let value = match value {
        FieldValue::I64(number) => json!(number),
        FieldValue::Boolean(on) => json!(on),
        other => json!(other.as_str()),
    };
    Policy::new(
        kind,
        PolicySpec {
            vhost: "v".into(),
            name: "p".into(),
            pattern: ".*".into(),
            apply_to: ApplyTo::Queues,
            priority: 0,
            definition: Map::from_iter([(key.to_owned(), value)]),
        },
    )
}

#[test]
fn rows_are_complete_and_told_apart() {
    let names: BTreeSet<_> = ARGUMENTS.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), ARGUMENTS.len());
    let keys: BTreeSet<_> = policy_keys().map(|key| key.name).collect();
    assert_eq!(keys.len(), policy_keys().count());
    for row in ARGUMENTS {
        assert!(row.name.starts_with("x-"), "{}", row.name);
        assert!(!row.types.is_empty() && row.help.ends_with('.'), "{}", row.name);
    }
}

#[test]
fn an_argument_is_taken_by_its_types_and_no_other() {
    for (row, _, values) in all() {
        for kind in [QueueType::Classic, QueueType::Quorum, QueueType::Stream] {
            for value in &values {
                let checked = validate(kind, "v", "q", &with(row, value));
                let is_taken = row.types.contains(&kind) || row.again == Again::Free;
                assert_eq!(checked.is_ok(), is_taken, "{} {kind:?} {checked:?}", row.name);
            }
        }
    }
}

#[test]
fn an_argument_must_be_the_same_again_unless_its_row_says_otherwise() {
    for (row, kind, [low, high]) in all() {
        let existing = queue(kind, with(row, &low));
        let again = |value| {
            let arguments = with(row, value);
            let again = QueueAgain {
                durable: true,
                auto_delete: false,
                default_type: kind,
                arguments: &arguments,
                relaxed: false,
            };
            equivalence::queue(&existing, &again).is_ok()
        };
        assert!(again(&low), "{}", row.name);
        assert_eq!(again(&high), row.again == Again::Free, "{}", row.name);
    }
}

#[test]
fn a_policy_key_is_for_those_its_row_names_and_sets_what_the_argument_sets() {
    for (row, kind, values) in all() {
        let Some(key) = &row.policy else {
            continue;
        };
        for value in &values {
            let by_user = policy(PolicyKind::User, key.name, value).expect("taken");
            let by_operator = policy(PolicyKind::Operator, key.name, value);
            assert_eq!(by_operator.is_ok(), key.is_operators, "{}", key.name);
            let definition = merged(Some(&by_user), None);
            let made = queue_settings(&queue(kind, FieldTable::new()), &definition);
            let argument = FieldTable::of(&[(row.name, value.clone())]);
            assert_eq!(made, settings(kind, &argument), "{}", key.name);
        }
    }
}

#[test]
fn of_two_values_the_one_counts_that_the_row_says() {
    for (row, kind, [low, high]) in all() {
        let Some(key) = &row.policy else {
            continue;
        };
        let put = |value: &FieldValue| policy(PolicyKind::User, key.name, value).expect("taken");
        let made = |argument: &FieldValue, set: &FieldValue| {
            let spec = queue(kind, FieldTable::of(&[(row.name, argument.clone())]));
            queue_settings(&spec, &merged(Some(&put(set)), None))
        };
        let alone = |value: &FieldValue| settings(kind, &FieldTable::of(&[(row.name, value.clone())]));
        let counts = |argument: &FieldValue| match key.merge {
            Merge::First => alone(argument),
            Merge::Largest => alone(&high),
            Merge::Smallest | Merge::SmallestLimit | Merge::SmallestTimeout => alone(&low),
        };
        // What a policy says of a stream counts.
        let (of_low, of_high) = match kind {
            QueueType::Stream => (alone(&high), alone(&low)),
            QueueType::Classic | QueueType::Quorum => (counts(&low), counts(&high)),
        };
        assert_eq!(made(&low, &high), of_low, "{}", row.name);
        assert_eq!(made(&high, &low), of_high, "{}", row.name);
        // Of two policies the lower number counts whatever the argument's rule is.
        let Ok(operators) = policy(PolicyKind::Operator, key.name, &low) else {
            continue;
        };
        let both = merged(Some(&put(&high)), Some(&operators));
        let first = if key.merge == Merge::First { &high } else { &low };
        let expected = merged(Some(&put(first)), None);
        assert_eq!(both, expected, "{}", key.name);
    }
}

#[test]
fn the_page_of_arguments_is_written_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/arguments.md");
    let page = page();
    if std::env::var_os("WARREN_WRITE_SAMPLE").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/arguments.md is out of date: run `make sample`");
}

fn page() -> String {
    let mut page = String::from(HEAD);
    for row in ARGUMENTS {
        let types: Vec<_> = row.types.iter().map(|kind| type_name(*kind)).collect();
        let key = row.policy.map_or(String::new(), |key| match key.is_operators {
            true => format!("`{}` (operators too)", key.name),
            false => format!("`{}`", key.name),
        });
        let counts = row.policy.map_or("", |key| match key.merge {
            Merge::First => "the argument",
            Merge::Smallest | Merge::SmallestLimit | Merge::SmallestTimeout => "the lowest",
            Merge::Largest => "the highest",
        });
        let mut types = types.join(", ");
        if row.again == Again::Free {
            types.push('*');
        }
        let (name, help) = (row.name, row.help);
        writeln!(page, "| `{name}` | {types} | {key} | {counts} | {help} |").expect("a text takes all");
    }
    page
}

const HEAD: &str = "\
# Arguments of queues

What clients can ask for when they declare a queue, and the policy key that sets the same for many. Where
both are set, and by an operator policy too, one value counts, as the fourth column says; of a policy and an
operator policy it is the lower number, else the policy's. A queue type that is not named refuses the argument,
and a queue that is declared again must have the same. With a star others ignore it, and it may differ.
Of a stream what a policy says counts always.

This page is written by `make sample` from the table in `src/spec/arguments.rs`.

| argument | queue types | policy key | which counts | what it does |
|---|---|---|---|---|
";
