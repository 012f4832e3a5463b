//! What the value of a policy key may be.

use super::value::is_age;

/// What the value of a policy key may be.
#[derive(Clone, Copy)]
pub enum Takes {
    Count,
    Positive,
    Text,
    /// A number from the one to the other.
    Within(u64, u64),
    /// A duration such as `7D`.
    Age,
    OneOf(&'static [&'static str]),
    Any,
}

impl Takes {
    /// Whether a policy may set this.
    pub fn accepts(self, value: &serde_json::Value) -> bool {
        match self {
            Self::Count => value.as_u64().is_some(),
            Self::Within(from, to) => value.as_u64().is_some_and(|count| (from..=to).contains(&count)),
            Self::Positive => value.as_u64().is_some_and(|count| count > 0),
            Self::Text => value.is_string(),
            Self::Age => value.as_str().is_some_and(|text| is_age(text.as_bytes())),
            Self::OneOf(allowed) => value.as_str().is_some_and(|text| allowed.contains(&text)),
            Self::Any => true,
        }
    }
}
