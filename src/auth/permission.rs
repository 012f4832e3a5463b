//! What a user may do in a vhost: regular expressions over names (RabbitMQ, "Access Control").
//!
//! Patterns are found anywhere in the name unless anchored, as RabbitMQ does it, and the empty
//! pattern matches only the empty name.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::pattern::{BadPattern, Pattern, escaped};

/// What an operation needs on a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, Serialize, Deserialize)]
pub enum Access {
    Configure,
    Write,
    Read,
}

/// A user's rights in one vhost.
#[derive(Clone, Debug)]
pub struct Permission {
    pub configure: Pattern,
    pub write: Pattern,
    pub read: Pattern,
}

/// A user's rights on the routing keys of one topic exchange. Patterns may hold `{username}` and
/// `{vhost}`, so they are compiled for each user's names.
#[derive(Clone, Debug)]
pub struct TopicPermission {
    pub write: Pattern,
    pub read: Pattern,
}

/// Compiles the pattern of a permission. RabbitMQ: an empty one is `^$`, so that it grants nothing.
///
/// # Errors
/// When it is none.
pub fn pattern(text: &str) -> Result<Pattern, BadPattern> {
    Pattern::new(if text.is_empty() { "^$" } else { text })
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        })
    }
}

impl Permission {
    /// Compiles the three patterns.
    ///
    /// # Errors
    /// The first that is no regular expression.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Self, BadPattern> {
        Ok(Self {
            configure: pattern(configure)?,
            write: pattern(write)?,
            read: pattern(read)?,
        })
    }

    /// Whether a resource of that name may be accessed so. The default exchange is `amq.default`
    /// here as in RabbitMQ's texts.
    pub fn allows(&self, access: Access, name: &str) -> bool {
        let pattern = match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        };
        pattern.matches(name)
    }
}

impl TopicPermission {
    /// Compiles the patterns for a user and a vhost.
    ///
    /// # Errors
    /// The first that is no regular expression once the names are in it.
    pub fn new(write: &str, read: &str, user: &str, vhost: &str) -> Result<Self, BadPattern> {
        let expand = |text: &str| {
            text.replace("{username}", &escaped(user))
                .replace("{vhost}", &escaped(vhost))
        };
        Ok(Self {
            write: pattern(&expand(write))?,
            read: pattern(&expand(read))?,
        })
    }

    /// Whether a routing key (write) or a binding key (read) may be used.
    pub fn allows(&self, access: Access, key: &str) -> bool {
        match access {
            Access::Write => self.write.matches(key),
            Access::Read => self.read.matches(key),
            Access::Configure => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_searched_for_and_the_empty_one_grants_nothing() {
        let permission = Permission::new("^mine", "queue", "").expect("good patterns");
        assert!(permission.allows(Access::Configure, "mine-1"));
        assert!(!permission.allows(Access::Configure, "not-mine"));
        assert!(permission.allows(Access::Write, "my-queue-1"));
        assert!(!permission.allows(Access::Read, "anything"));
        assert!(permission.allows(Access::Read, ""));
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        assert!(Permission::new("(", "", "").is_err());
    }

    #[test]
    fn topic_patterns_hold_the_users_name_literally() {
        let topic = TopicPermission::new("^{username}\\.", "^{vhost}$", "a.b", "v").expect("good patterns");
        assert!(topic.allows(Access::Write, "a.b.c"));
        assert!(!topic.allows(Access::Write, "axb.c"));
        assert!(topic.allows(Access::Read, "v"));
    }
}
