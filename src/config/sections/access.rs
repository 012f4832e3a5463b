//! Users of the first start, and how clients log in.

use std::collections::BTreeMap;

use super::Secret;
use crate::config::Named;

/// Who may come in, and who is there at the first start.
#[derive(Clone, Debug, PartialEq)]
pub struct Auth {
    /// The first user, made when the node starts with an empty data directory.
    pub default_user: String,
    pub default_pass: Secret,
    pub default_vhost: String,
    /// Tags of the first user, each true or false.
    pub default_user_tags: Named<bool>,
    pub default_permissions: Permissions,
    /// Further users at the first start.
    pub default_users: BTreeMap<String, DefaultUser>,
    /// Users that may come from the loopback interface only, each true or false.
    pub loopback_users: Named<bool>,
    pub mechanisms: Named<Mechanism>,
    /// Whom ANONYMOUS logs in as; `None` turns it off.
    pub anonymous_user: Option<String>,
    pub anonymous_pass: Secret,
    pub password_hashing: PasswordHashing,
    pub password_rule: PasswordRule,
    /// The part of a client's certificate that names the user.
    pub certificate_name: CertificateName,
}

/// Regular expressions over resource names.
#[derive(Clone, Debug, PartialEq)]
pub struct Permissions {
    pub configure: String,
    pub read: String,
    pub write: String,
}

/// A user of `default_users.$name`.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct DefaultUser {
    /// Regular expression over the vhosts it gets its permissions in; none is all.
    pub vhost_pattern: Option<String>,
    /// `None` lets nobody log in with a password.
    pub password: Option<Secret>,
    pub permissions: Permissions,
    pub tags: Vec<String>,
}

/// SASL mechanisms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Amqplain,
    Anonymous,
    External,
}

/// How new passwords are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordHashing {
    Sha256,
    Sha512,
    Md5,
}

/// What new passwords must be like.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordRule {
    pub check: PasswordCheck,
    pub min_length: usize,
    /// A regular expression.
    pub regexp: Option<String>,
}

/// Which part of [`PasswordRule`] is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordCheck {
    None,
    MinLength,
    Regexp,
}

/// The part of a certificate that EXTERNAL takes as the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateName {
    DistinguishedName,
    CommonName,
    SubjectAlternativeName,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            default_user: "guest".to_owned(),
            default_pass: Secret::from("guest"),
            default_vhost: "/".to_owned(),
            default_user_tags: Named::defaults([("administrator", true)]),
            default_permissions: Permissions::everything(),
            default_users: BTreeMap::new(),
            loopback_users: Named::defaults([("guest", true)]),
            // Named as RabbitMQ numbers them.
            mechanisms: Named::defaults([
                ("1", Mechanism::Plain),
                ("2", Mechanism::Amqplain),
                ("3", Mechanism::Anonymous),
            ]),
            anonymous_user: Some("guest".to_owned()),
            anonymous_pass: Secret::from("guest"),
            password_hashing: PasswordHashing::Sha256,
            password_rule: PasswordRule {
                check: PasswordCheck::None,
                min_length: 8,
                regexp: None,
            },
            certificate_name: CertificateName::DistinguishedName,
        }
    }
}

impl Permissions {
    fn everything() -> Self {
        Self {
            configure: ".*".to_owned(),
            read: ".*".to_owned(),
            write: ".*".to_owned(),
        }
    }
}

/// A user of `default_users` may do everything in its vhosts unless something else is said.
impl Default for Permissions {
    fn default() -> Self {
        Self::everything()
    }
}
