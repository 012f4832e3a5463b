//! Which backends there are.

use crate::auth::rights::Source;
use crate::config::AuthBackend;

/// Who says who somebody is, or what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Internal,
    Ldap,
    Http,
    Oauth2,
}

impl Kind {
    pub fn of(backend: AuthBackend) -> Self {
        match backend {
            AuthBackend::Ldap => Self::Ldap,
            AuthBackend::Http => Self::Http,
            AuthBackend::Oauth2 => Self::Oauth2,
            AuthBackend::Internal | AuthBackend::Cache => Self::Internal,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Ldap => "ldap",
            Self::Http => "http",
            Self::Oauth2 => "oauth2",
        }
    }

    /// It as a source of rights.
    pub fn asked(self, is_cached: bool) -> Source {
        match self {
            Self::Internal | Self::Oauth2 => Source::Internal,
            Self::Ldap => Source::Asked(usize::from(is_cached)),
            Self::Http => Source::Asked(2 + usize::from(is_cached)),
        }
    }

    pub fn of_asked(backend: usize) -> Option<(Self, bool)> {
        let kinds = [
            (Self::Ldap, false),
            (Self::Ldap, true),
            (Self::Http, false),
            (Self::Http, true),
        ];
        kinds.get(backend).copied()
    }
}
