//! One row of the table of queue arguments, and the policy key that sets the same.
//!
//! A row is built as it is read:
//! ```text
//! Argument::count("x-max-length").on(QUEUES).policy("max-length", Merge::Smallest)…sets(|settings, count| …)
//! ```
//! What the value must be decides what the setter gets: a count, a time, a text, a flag.

use std::marker::PhantomData;

use super::queue::{QueueSettings, QueueType};
use super::shape::{Kind, Shape};
use super::takes::Takes;
use super::value::{MAX_SEGMENT, Value};
use crate::types::{FieldValue, Millis};

/// A queue argument.
pub struct Argument {
    pub name: &'static str,
    /// The queue types that take it; see [`Again`] for the others.
    pub types: &'static [QueueType],
    pub value: Value,
    pub again: Again,
    /// The policy key that sets the same.
    pub policy: Option<PolicyKey>,
    /// A sentence for `docs/arguments.md`.
    pub help: &'static str,
    sets: Sets,
}

/// What of an argument counts when its queue is declared again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// It must be the same. Queue types that do not take it refuse it.
    Same,
    /// The queue type that it stands for must be the same.
    SameType,
    /// Nothing: it is on none of the lists of arguments that RabbitMQ's queue types have. Those that
    /// do not take it ignore it.
    Free,
}

/// A key of policy definitions.
#[derive(Clone, Copy)]
pub struct PolicyKey {
    pub name: &'static str,
    pub merge: Merge,
    pub takes: Takes,
    /// What RabbitMQ calls a value that it refuses.
    pub called: &'static str,
    /// Operator policies may set it too.
    pub is_operators: bool,
}

/// Which value counts where argument, policy and operator policy each have one. Of values that are
/// no numbers it is always the argument's, then the policy's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Merge {
    /// The argument's, then the policy's: values of this key are no numbers.
    First,
    /// The lowest number.
    Smallest,
    /// The lowest number, where one below 0 is no limit and counts only if there is no other.
    SmallestLimit,
    /// The policies' lowest number, or the argument's if that is lower; an argument that is not above 0
    /// is none.
    SmallestTimeout,
    /// The policies' lowest number, or the argument's if that is higher.
    Largest,
}

/// What becomes of a value.
enum Sets {
    /// Nothing here: RabbitMQ knows the argument, and it is accepted.
    Nothing,
    Count(fn(&mut QueueSettings, u64)),
    Number(fn(&mut QueueSettings, i64)),
    Time(fn(&mut QueueSettings, Millis)),
    Text(fn(&mut QueueSettings, &str)),
    Flag(fn(&mut QueueSettings, bool)),
}

/// A row that does not yet say what it sets; its setter gets a `T`.
pub struct Draft<T> {
    row: Argument,
    setter_gets: PhantomData<fn(T)>,
}

/// A number of any sign.
pub struct Number;
/// A text.
pub struct Text;
/// Nothing that could be set.
pub struct Nothing;

impl Argument {
    /// A number from 0.
    pub const fn count(name: &'static str) -> Draft<u64> {
        Self::integer(name, 0, i64::MAX)
    }

    /// A number from 1.
    pub const fn positive(name: &'static str) -> Draft<u64> {
        Self::integer(name, 1, i64::MAX)
    }

    /// A number within bounds.
    pub const fn integer(name: &'static str, from: i64, to: i64) -> Draft<u64> {
        draft(name, Value::Integer { from, to })
    }

    /// A number that must be as `value` says.
    pub const fn number(name: &'static str, value: Value) -> Draft<u64> {
        draft(name, value)
    }

    /// Any number; what is none is accepted and ignored.
    pub const fn any_number(name: &'static str) -> Draft<Number> {
        draft(name, Value::Any)
    }

    /// Like [`Argument::any_number`]; what is below 0 is ignored too.
    pub const fn any_count(name: &'static str) -> Draft<u64> {
        draft(name, Value::Any)
    }

    /// Milliseconds, that many at least.
    pub const fn time(name: &'static str, from: i64) -> Draft<Millis> {
        draft(name, Value::Time { from })
    }

    /// Like [`Argument::time`]; what is no time is accepted and ignored.
    pub const fn any_time(name: &'static str) -> Draft<Millis> {
        draft(name, Value::Any)
    }

    /// True or false.
    pub const fn flag(name: &'static str) -> Draft<bool> {
        draft(name, Value::Boolean)
    }

    /// A text that must be as `value` says.
    pub const fn text(name: &'static str, value: Value) -> Draft<Text> {
        draft(name, value)
    }

    /// Something that only has to be as `value` says.
    pub const fn checked(name: &'static str, value: Value) -> Draft<Nothing> {
        draft(name, value)
    }

    /// What a form asks for.
    pub fn shape(&self) -> Shape {
        Shape::of_value(self.value).unwrap_or_else(|| match (self.again, &self.sets) {
            (Again::SameType, _) => Shape::one_of(&["classic", "quorum", "stream"]),
            (_, Sets::Count(_)) => Shape::at_least(Kind::Integer, 0),
            (_, Sets::Number(_)) => Shape::any(Kind::Integer),
            (_, Sets::Time(_)) => Shape::at_least(Kind::Milliseconds, 0),
            (_, Sets::Flag(_)) => Shape::any(Kind::Boolean),
            (_, Sets::Text(_) | Sets::Nothing) => Shape::any(Kind::Text),
        })
    }

    /// Puts a value where it goes; one of another type than the setter's goes nowhere.
    pub fn apply(&self, settings: &mut QueueSettings, value: &FieldValue) {
        let count = || value.as_int().and_then(|number| u64::try_from(number).ok());
        match self.sets {
            Sets::Nothing => {}
            Sets::Count(set) => count().into_iter().for_each(|count| set(settings, count)),
            Sets::Number(set) => value.as_int().into_iter().for_each(|number| set(settings, number)),
            Sets::Time(set) => count().into_iter().for_each(|time| set(settings, Millis(time))),
            Sets::Text(set) => value.as_str().into_iter().for_each(|text| set(settings, text)),
            Sets::Flag(set) => value.as_bool().into_iter().for_each(|on| set(settings, on)),
        }
    }
}

const fn draft<T>(name: &'static str, value: Value) -> Draft<T> {
    Draft {
        row: Argument {
            name,
            types: &[],
            value,
            again: Again::Same,
            policy: None,
            help: "",
            sets: Sets::Nothing,
        },
        setter_gets: PhantomData,
    }
}

impl<T> Draft<T> {
    /// The queue types that take it.
    pub const fn on(mut self, types: &'static [QueueType]) -> Self {
        self.row.types = types;
        self
    }

    /// What of it counts when the queue is declared again.
    pub const fn again(mut self, again: Again) -> Self {
        self.row.again = again;
        self
    }

    /// The policy key that sets the same, and what RabbitMQ calls its value when it refuses one. The
    /// value may be what the argument may be, unless [`Draft::policy_takes`] says otherwise.
    pub const fn policy(mut self, name: &'static str, merge: Merge, called: &'static str) -> Self {
        let takes = match self.row.value {
            Value::Integer { from: 1.., .. } | Value::Time { from: 1.. } => Takes::Positive,
            Value::Integer { .. } | Value::Time { .. } => Takes::Count,
            Value::OneOf(words, _) | Value::OneOfShown(words, _) => Takes::OneOf(words),
            Value::ExchangeName | Value::DeadLetterKey => Takes::Text,
            Value::SegmentSize => Takes::Within(0, MAX_SEGMENT as u64),
            Value::FilterSize => Takes::Within(16, 255),
            Value::Age => Takes::Age,
            Value::Boolean | Value::Version(_) | Value::Any => Takes::Any,
        };
        self.row.policy = Some(PolicyKey::new(name, merge, takes, called));
        self
    }

    /// The values that the policy key takes.
    pub const fn policy_takes(mut self, takes: Takes) -> Self {
        match &mut self.row.policy {
            Some(policy) => policy.takes = takes,
            None => panic!("there is no policy key"),
        }
        self
    }

    /// Operator policies may set the key too.
    pub const fn operators_too(mut self) -> Self {
        match &mut self.row.policy {
            Some(policy) => policy.is_operators = true,
            None => panic!("there is no policy key"),
        }
        self
    }

    /// A sentence for `docs/arguments.md`.
    pub const fn help(mut self, help: &'static str) -> Self {
        self.row.help = help;
        self
    }

    /// The row of an argument that is accepted and has no effect.
    pub const fn sets_nothing(self) -> Argument {
        self.becomes(Sets::Nothing)
    }

    const fn becomes(mut self, sets: Sets) -> Argument {
        self.row.sets = sets;
        self.row
    }
}

impl Draft<u64> {
    /// Where the count goes.
    pub const fn sets(self, set: fn(&mut QueueSettings, u64)) -> Argument {
        self.becomes(Sets::Count(set))
    }
}

impl Draft<Number> {
    /// Where the number goes.
    pub const fn sets(self, set: fn(&mut QueueSettings, i64)) -> Argument {
        self.becomes(Sets::Number(set))
    }
}

impl Draft<Millis> {
    /// Where the time goes.
    pub const fn sets(self, set: fn(&mut QueueSettings, Millis)) -> Argument {
        self.becomes(Sets::Time(set))
    }
}

impl Draft<Text> {
    /// Where the text goes.
    pub const fn sets(self, set: fn(&mut QueueSettings, &str)) -> Argument {
        self.becomes(Sets::Text(set))
    }
}

impl Draft<bool> {
    /// Where the flag goes.
    pub const fn sets(self, set: fn(&mut QueueSettings, bool)) -> Argument {
        self.becomes(Sets::Flag(set))
    }
}

impl PolicyKey {
    /// What a form asks for, where nothing else says it.
    pub fn shape(&self) -> Shape {
        Shape::of_policy(self.takes)
    }

    /// A key that only policies of users may set.
    pub const fn new(name: &'static str, merge: Merge, takes: Takes, called: &'static str) -> Self {
        Self {
            name,
            merge,
            takes,
            called,
            is_operators: false,
        }
    }
}

impl Merge {
    /// Whether the policy's value counts and not the operator policy's; `None` is no number.
    pub fn policy_counts(self, policy: Option<i64>, operators: Option<i64>) -> bool {
        let (Some(policy), Some(operators)) = (policy, operators) else {
            return true;
        };
        match self {
            Self::First => true,
            Self::SmallestLimit if policy < 0 || operators < 0 => policy >= operators,
            Self::Smallest | Self::SmallestLimit | Self::SmallestTimeout | Self::Largest => policy <= operators,
        }
    }

    /// Whether the argument's value counts and not that of the policies; `None` is no number.
    pub fn argument_counts(self, argument: Option<i64>, policies: Option<i64>) -> bool {
        match (self, argument, policies) {
            (Self::SmallestTimeout, argument, policies) => {
                let time = |number: Option<i64>| number.filter(|time| *time > 0);
                time(argument).is_some_and(|argument| time(policies).is_none_or(|policies| argument <= policies))
            }
            (Self::Largest, argument, Some(policies)) => argument.is_some_and(|argument| argument >= policies),
            _ => self.policy_counts(argument, policies),
        }
    }
}
