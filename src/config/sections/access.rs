//! Users of the first start, and how clients log in.

use std::collections::BTreeMap;

use super::{AuthBackends, Secret};
use crate::config::Named;

/// Who may come in, and who is there at the first start.
#[derive(Clone, Debug, PartialEq, Default)]
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
    /// Where users are looked up.
    pub backends: AuthBackends,
    /// Where that is a subject alternative name: of which type,
    pub alternative_name: AlternativeName,
    /// and which of those, counted from 0.
    pub alternative_name_index: usize,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PasswordHashing {
    #[default]
    Sha256,
    Sha512,
    Md5,
}

/// What new passwords must be like.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PasswordRule {
    pub check: PasswordCheck,
    pub min_length: usize,
    /// A regular expression.
    pub regexp: Option<String>,
}

/// Which part of [`PasswordRule`] is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum PasswordCheck {
    #[default]
    None,
    MinLength,
    Regexp,
}

/// The part of a certificate that EXTERNAL takes as the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum CertificateName {
    #[default]
    DistinguishedName,
    CommonName,
    SubjectAlternativeName,
}

/// Types of subject alternative names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AlternativeName {
    #[default]
    Dns,
    Ip,
    Email,
    Uri,
    Other,
}

/// A user of `default_users` may do everything in its vhosts unless something else is said.
impl Default for Permissions {
    fn default() -> Self {
        Self {
            configure: ".*".to_owned(),
            read: ".*".to_owned(),
            write: ".*".to_owned(),
        }
    }
}
