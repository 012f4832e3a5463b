//! Why a document is not taken.

use thiserror::Error;

use crate::metadata::json::NotATable;
use crate::spec::arguments::SpecError;
use crate::types::VhostName;
use crate::types::names::MAX_NAME_BYTES;

/// Why a document is not taken. Nothing of it has happened then.
#[derive(Debug, Error)]
pub enum DefinitionError {
    #[error("failed_to_parse_json")]
    NotAnObject,
    #[error("{section} should be a list")]
    NotAList { section: &'static str },
    #[error("an item of {section} has no usable '{key}'")]
    Missing { section: &'static str, key: &'static str },
    #[error("'{key}' of {item} should be {expected}, actually was {value}")]
    Value {
        /// The section and, where it has one, the name.
        item: String,
        key: String,
        expected: &'static str,
        value: String,
    },
    #[error("'{key}' of an item of {section} is longer than {MAX_NAME_BYTES} bytes")]
    LongName { section: &'static str, key: &'static str },
    #[error("Please create virtual host \"{0}\" prior to importing definitions.")]
    NoVhost(String),
    #[error("exchange '{0}' has the unknown type '{1}'")]
    ExchangeType(String, String),
    #[error("the password hash of user '{0}' is not base64")]
    PasswordHash(String),
    #[error("user '{0}' has the unknown hashing algorithm '{1}'")]
    Hashing(String, String),
    #[error("'rabbitmq_version', which says how hashes were made, should be a text, actually was {0}")]
    Version(String),
    #[error("both_password_and_password_hash_are_provided")]
    TwoPasswords,
    #[error("credential_validation_failed")]
    PasswordRule,
    #[error("tags_not_present")]
    NoTags,
    #[error("Validation failed\n\n{why}\n ({vhost}/{name})")]
    Invalid {
        vhost: VhostName,
        name: String,
        why: String,
    },
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the arguments of {0}: {1}")]
    Arguments(String, NotATable),
}
