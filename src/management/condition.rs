//! Conditions that items of a list are to meet: `ready>1000,consumers=0,type:quorum`.
//!
//! A condition is a field, a comparison and a value; all must hold. `:` is for parts of texts in any case,
//! `=` and `!=` for whole values, the others for numbers where the value is one, else for texts. A comma in a
//! value has a backslash before it. A field that an item has not meets only what is asked with `!=`.

use super::answer::Failure;
use super::key::Key;

/// Conditions of one request.
const MOST: usize = 32;

/// All of them.
pub struct Conditions(Vec<Condition>);

struct Condition {
    field: String,
    comparison: Comparison,
    value: String,
    /// The value, where it is a number.
    number: Option<f64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Comparison {
    Contains,
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// By how they are written, longer ones first.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("!=", Comparison::IsNot),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("=", Comparison::Is),
    (":", Comparison::Contains),
];

impl Conditions {
    /// Reads them; none in an empty text.
    ///
    /// # Errors
    /// When one is none, or there are too many.
    pub fn of(text: &str) -> Result<Self, Failure> {
        let parts = parts(text);
        if parts.len() > MOST {
            return Err(Failure::bad(format!("where: more than {MOST} conditions")));
        }
        let read = |part: String| {
            let read = Condition::of(&part);
            read.ok_or_else(|| Failure::bad(format!("where: '{part}' is no condition")))
        };
        Ok(Self(parts.into_iter().map(read).collect::<Result<_, _>>()?))
    }

    /// Whether all hold for an item with these keys.
    pub fn hold(&self, key: impl Fn(&str) -> Key) -> bool {
        self.0.iter().all(|condition| condition.holds(&key(&condition.field)))
    }
}

/// What stands between commas.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            (',', _) => parts.push(String::new()),
            ('\\', Some(',' | '\\')) => parts.last_mut().expect("one is there").extend(characters.next()),
            _ => parts.last_mut().expect("one is there").push(character),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

impl Condition {
    fn of(text: &str) -> Option<Self> {
        let at = text.find(['!', '<', '>', '=', ':'])?;
        let (field, rest) = text.split_at(at);
        let mut comparisons = COMPARISONS.iter();
        let (sign, comparison) = comparisons.find(|(sign, _)| rest.starts_with(sign))?;
        let value = &rest[sign.len()..];
        (!field.is_empty()).then(|| Self {
            field: field.to_owned(),
            comparison: *comparison,
            value: value.to_owned(),
            number: value.parse().ok().filter(|number: &f64| number.is_finite()),
        })
    }

    fn holds(&self, key: &Key) -> bool {
        use Comparison::{Above, AtLeast, AtMost, Below, Contains, Is, IsNot};
        let ordering = match key {
            Key::Number(number) => self.number.and_then(|value| number.partial_cmp(&value)),
            Key::Bool(value) => (self.value == value.to_string()).then_some(std::cmp::Ordering::Equal),
            Key::Text(text) if self.comparison == Contains => {
                return text.to_lowercase().contains(&self.value.to_lowercase());
            }
            Key::Text(text) => Some(text.as_str().cmp(&self.value)),
            Key::Nothing | Key::Other => None,
        };
        let Some(ordering) = ordering else {
            return self.comparison == IsNot;
        };
        match self.comparison {
            Contains | Is => ordering.is_eq(),
            IsNot => ordering.is_ne(),
            Below => ordering.is_lt(),
            AtMost => ordering.is_le(),
            Above => ordering.is_gt(),
            AtLeast => ordering.is_ge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(field: &str) -> Key {
        match field {
            "ready" => Key::Number(10.0),
            "type" => Key::from("Quorum"),
            "durable" => Key::Bool(true),
            "name" => Key::from("a,b\\c"),
            _ => Key::Nothing,
        }
    }

    fn hold(text: &str) -> bool {
        match Conditions::of(text) {
            Ok(conditions) => conditions.hold(key),
            Err(error) => panic!("{error:?}"),
        }
    }

    #[test]
    fn conditions_are_about_numbers_texts_and_truth() {
        for (text, holds) in [
            ("", true),
            ("ready>9", true),
            ("ready>10", false),
            ("ready>=10", true),
            ("ready<10.5", true),
            ("ready=10", true),
            ("ready!=10", false),
            ("ready:10", true),
            ("ready=ten", false),
            ("ready!=ten", true),
            ("ready>NaN", false),
            ("type:quor", true),
            ("type=quorum", false),
            ("type=Quorum", true),
            ("type!=classic", true),
            ("type>A", true),
            ("durable=true", true),
            ("durable!=true", false),
            ("durable=yes", false),
            ("none=1", false),
            ("none!=1", true),
            ("none:", false),
            ("ready>9,type:QUORUM", true),
            ("ready>9,type:classic", false),
            (",ready>9,", true),
            (r"name=a\,b\\c", true),
        ] {
            assert_eq!(hold(text), holds, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_is_named() {
        for text in ["ready", ">1", "ready>1,x", "!", "ready!"] {
            assert!(Conditions::of(text).is_err(), "{text}");
        }
        assert!(Conditions::of(&"a=1,".repeat(MOST)).is_ok());
        assert!(Conditions::of(&"a=1,".repeat(MOST + 1)).is_err());
    }
}
