//! Arguments of exchanges: what one is, and those that every exchange takes. The others stand in the file
//! of the exchange type that takes them.
//!
//! An argument that a type does not take is ignored, as are unknown ones.

use std::borrow::Cow;

use super::argument::{Merge, PolicyKey};
use super::error::{SpecError, exchange_in_vhost};
use super::shape::{Kind, Shape};
use super::takes::Takes;
use crate::types::{FieldTable, FieldValue};

/// An exchange argument.
pub struct ExchangeArgument {
    pub name: &'static str,
    /// It must be the same when the exchange is declared again.
    pub is_compared: bool,
    /// The policy key that sets the same.
    pub policy: Option<PolicyKey>,
    /// What a form asks for.
    pub shape: Shape,
    /// A sentence for forms.
    pub help: &'static str,
    check: fn(&FieldValue) -> Result<(), Bad>,
}

/// What is wrong with a value.
pub enum Bad {
    /// It has the wrong type.
    Type,
    /// Anything else.
    Whole(SpecError),
}

impl ExchangeArgument {
    /// An argument that no policy sets, and that may differ when the exchange is declared again.
    pub const fn new(name: &'static str, check: fn(&FieldValue) -> Result<(), Bad>) -> Self {
        Self {
            name,
            is_compared: false,
            policy: None,
            shape: Shape::any(Kind::Text),
            help: "",
            check,
        }
    }

    /// What a form asks for, and what it says.
    pub const fn asks(mut self, shape: Shape, help: &'static str) -> Self {
        self.shape = shape;
        self.help = help;
        self
    }

    /// Checks the value that an exchange is declared with.
    ///
    /// # Errors
    /// With RabbitMQ's text.
    pub fn check(&self, vhost: &str, name: &str, value: &FieldValue) -> Result<(), SpecError> {
        (self.check)(value).map_err(|bad| match bad {
            Bad::Type => bad_type(self.name, vhost, name, value),
            Bad::Whole(error) => error,
        })
    }

    const fn compared(mut self) -> Self {
        self.is_compared = true;
        self
    }

    const fn policy(mut self, key: PolicyKey) -> Self {
        self.policy = Some(key);
        self
    }
}

/// The arguments of every exchange.
pub static OF_EVERY_EXCHANGE: &[ExchangeArgument] = &[ExchangeArgument::new(ALTERNATE_EXCHANGE, text)
    .compared()
    .asks(
        Shape::any(Kind::Text),
        "The exchange that gets the messages which no binding takes.",
    )
    .policy(PolicyKey::new(
        ALTERNATE_EXCHANGE,
        Merge::First,
        Takes::Text,
        "alternate exchange name",
    ))];

/// Names the exchange that gets what has nowhere to go; the policy key has the same name.
pub const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// The alternate exchange that the arguments name.
///
/// # Errors
/// When it is not a text.
pub fn alternate_exchange<'a>(
    vhost: &str,
    name: &str,
    arguments: &'a FieldTable,
) -> Result<Option<Cow<'a, str>>, SpecError> {
    match arguments.get(ALTERNATE_EXCHANGE) {
        None => Ok(None),
        Some(FieldValue::LongString(text)) => Ok(Some(String::from_utf8_lossy(text))),
        Some(other) => Err(bad_type(ALTERNATE_EXCHANGE, vhost, name, other)),
    }
}

fn bad_type(argument: &str, vhost: &str, name: &str, value: &FieldValue) -> SpecError {
    SpecError::BadType {
        name: argument.into(),
        target: exchange_in_vhost(vhost, name),
        type_name: value.type_name(),
    }
}

/// A text.
///
/// # Errors
/// When it is none.
pub fn text(value: &FieldValue) -> Result<(), Bad> {
    match value {
        FieldValue::LongString(_) => Ok(()),
        _ => Err(Bad::Type),
    }
}
