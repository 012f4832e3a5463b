//! Scopes of tokens, as RabbitMQ's OAuth 2 plug-in reads them: `read:vhost/name/routing-key`, with `configure` and
//! `write` in the place of `read`, and `tag:administrator`.
//!
//! A `*` stands for any letters, and other letters may be written in percent-encoding; a part that is not there is `*`. A scope that is
//! not of this shape grants nothing.

use serde::{Deserialize, Serialize};

use super::Access;
use super::question::Question;

/// What a token grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes {
    granted: Vec<Scope>,
    tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Scope {
    access: Access,
    vhost: Wildcard,
    name: Wildcard,
    key: Wildcard,
}

/// Letters with anything between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wildcard(Vec<String>);

impl Scopes {
    /// Reads scopes whose prefix was taken off.
    pub fn of<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for scope in scopes {
            if let Some(tag) = scope.strip_prefix("tag:") {
                if !all.tags.iter().any(|known| known == tag) {
                    all.tags.push(tag.to_owned());
                }
            } else if let Some(scope) = Scope::of(scope) {
                all.granted.push(scope);
            }
        }
        all
    }

    /// Tags of the user.
    pub fn tags(&self) -> &[String] {
        &self.tags
    }

    /// Whether one of them allows this. RabbitMQ: whoever may do anything in a vhost may come in.
    pub fn allow(&self, question: &Question) -> bool {
        let mut granted = self.granted.iter();
        match question {
            Question::Vhost(vhost) => granted.any(|scope| scope.vhost.matches(vhost)),
            Question::Resource {
                vhost, name, access, ..
            } => granted.any(|scope| scope.is_about(*access, vhost, name)),
            Question::Topic {
                vhost,
                exchange,
                key,
                access,
            } => granted.any(|scope| scope.is_about(*access, vhost, exchange) && scope.key.matches(key)),
        }
    }
}

impl Scope {
    fn of(text: &str) -> Option<Self> {
        let (access, patterns) = text.split_once(':')?;
        let access = match access {
            "configure" => Access::Configure,
            "write" => Access::Write,
            "read" => Access::Read,
            _ => return None,
        };
        let parts: Vec<_> = patterns.split('/').collect();
        let (vhost, name, key) = match parts.as_slice() {
            [vhost, name] => (vhost, name, &"*"),
            [vhost, name, key] => (vhost, name, key),
            _ => return None,
        };
        Some(Self {
            access,
            vhost: Wildcard::of(vhost),
            name: Wildcard::of(name),
            key: Wildcard::of(key),
        })
    }

    fn is_about(&self, access: Access, vhost: &str, name: &str) -> bool {
        self.access == access && self.vhost.matches(vhost) && self.name.matches(name)
    }
}

impl Wildcard {
    pub(super) fn of(text: &str) -> Self {
        Self(text.split('*').map(percent_decoded).collect())
    }

    /// Whether that is all of a text.
    pub(super) fn matches(&self, text: &str) -> bool {
        let [first, between @ .., last] = self.0.as_slice() else {
            return self.0.first().is_none_or(|only| only == text);
        };
        let Some(mut rest) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        for part in between {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        rest.ends_with(last.as_str())
    }
}

/// A text whose `%2F` stand for letters. What is no such code stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = bytes
            .get(at + 1..at + 3)
            .and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match byte.filter(|_| bytes[at] == b'%') {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::auth::question::ResourceKind;

    fn reads(scope: &str, vhost: &str, name: &str) -> bool {
        Scopes::of([scope]).allow(&Question::Resource {
            vhost: vhost.into(),
            kind: ResourceKind::Queue,
            name: name.to_owned(),
            access: Access::Read,
        })
    }

    #[test]
    fn patterns_are_of_vhost_and_name() {
        assert!(reads("read:*/*", "/", "q"));
        assert!(reads("read:%2F/q*", "/", "queue"));
        assert!(!reads("read:%2F/q*", "/", "a-queue"));
        assert!(!reads("write:*/*", "/", "q"));
        assert!(reads("read:v/*-in-*", "v", "a-in-b"));
        assert!(!reads("read:v/*-in-*", "v", "a-out-b"));
        assert!(!reads("read:v/ab*ba", "v", "aba"), "letters count once");
        assert!(reads("read:v/%2A", "v", "*"));
        assert!(!reads("read:v/%2A", "v", "x"));
    }

    #[test]
    fn what_is_no_scope_grants_nothing() {
        for scope in [
            "",
            "read",
            "read:",
            "read:*",
            "read:a/b/c/d",
            "openid",
            "reads:*/*",
            "Read:*/*",
        ] {
            assert!(!reads(scope, "/", "q"), "{scope}");
        }
    }

    #[test]
    fn any_scope_in_a_vhost_lets_in_and_the_key_counts_for_topics() {
        let scopes = Scopes::of(["write:v/logs/a.*", "tag:monitoring", "tag:monitoring"]);
        assert!(scopes.allow(&Question::Vhost("v".into())));
        assert!(!scopes.allow(&Question::Vhost("w".into())));
        let topic = |key: &str| Question::Topic {
            vhost: "v".into(),
            exchange: "logs".into(),
            key: key.to_owned(),
            access: Access::Write,
        };
        assert!(scopes.allow(&topic("a.b")));
        assert!(!scopes.allow(&topic("b.a")));
        assert_eq!(scopes.tags(), ["monitoring"]);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(scope in "(read|write|x):[a%2*/é]{0,12}", name in "[a2é]{0,6}") {
            let _ = reads(&scope, &name, &name);
        }
    }
}
