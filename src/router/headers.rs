//! `headers`: a binding's arguments against the message's headers (spec section 3.1.3.4, with
//! RabbitMQ's `all-with-x` and `any-with-x`).

use super::exchange_type::{ExchangeType, RouteInput, Target};
use crate::spec::BindingSpec;
use crate::types::{FieldTable, FieldValue};

/// The bindings, each looked at for each message.
pub struct HeadersExchange<Q>(Vec<Bound<Q>>);

struct Bound<Q> {
    arguments: FieldTable,
    matching: Matching,
    target: Target<Q>,
}

#[derive(Clone, Copy)]
enum Matching {
    All { with_x: bool },
    Any { with_x: bool },
}

impl<Q> HeadersExchange<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self(Vec::new())
    }
}

impl Matching {
    fn of(arguments: &FieldTable) -> Self {
        match arguments.get("x-match").and_then(FieldValue::as_str) {
            Some("any") => Self::Any { with_x: false },
            Some("all-with-x") => Self::All { with_x: true },
            Some("any-with-x") => Self::Any { with_x: true },
            _ => Self::All { with_x: false },
        }
    }

    fn accepts(self, wanted: &FieldTable, headers: &FieldTable) -> bool {
        let (Self::All { with_x } | Self::Any { with_x }) = self;
        let compared = |name: &str| name != "x-match" && (with_x || !name.starts_with("x-"));
        let mut entries = wanted.iter().filter(|(name, _)| compared(name));
        let present = |(name, value): (&str, &FieldValue)| headers.get(name).is_some_and(|own| equals(value, own));
        match self {
            Self::All { .. } => entries.all(present),
            Self::Any { .. } => entries.any(present),
        }
    }
}

/// A void value asks only for the header to be there. Integers are equal by value whatever their
/// type; everything else needs the same type.
fn equals(wanted: &FieldValue, own: &FieldValue) -> bool {
    match (wanted, own) {
        (FieldValue::Void, _) => true,
        (wanted, own) => match (wanted.as_int(), own.as_int()) {
            (Some(wanted), Some(own)) => wanted == own,
            (None, None) => wanted == own,
            _ => false,
        },
    }
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for HeadersExchange<Q> {
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.0.push(Bound {
            matching: Matching::of(&binding.arguments),
            arguments: binding.arguments.clone(),
            target: target.clone(),
        });
    }

    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        if let Some(at) = self
            .0
            .iter()
            .position(|own| own.target == *target && own.arguments == binding.arguments)
        {
            self.0.remove(at);
        }
    }

    fn route(&self, input: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        let headers = input.headers.table();
        for bound in self
            .0
            .iter()
            .filter(|bound| bound.matching.accepts(&bound.arguments, headers))
        {
            hit(&bound.target);
        }
    }

    fn by_key_alone(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(wanted: &[(&str, FieldValue)], headers: &[(&str, FieldValue)]) -> bool {
        let wanted = FieldTable::of(wanted);
        Matching::of(&wanted).accepts(&wanted, &FieldTable::of(headers))
    }

    fn x_match(text: &str) -> (&'static str, FieldValue) {
        ("x-match", FieldValue::text(text))
    }

    #[test]
    fn all_needs_every_header_and_any_needs_one() {
        let (a, b, c) = (
            ("a", FieldValue::I32(1)),
            ("b", FieldValue::I32(2)),
            ("c", FieldValue::I32(3)),
        );
        assert!(accepts(&[a.clone(), b.clone()], &[b.clone(), a.clone(), c.clone()]));
        assert!(!accepts(
            &[x_match("all"), a.clone(), b.clone()],
            std::slice::from_ref(&a)
        ));
        assert!(accepts(
            &[x_match("any"), a.clone(), b.clone()],
            std::slice::from_ref(&b)
        ));
        assert!(!accepts(&[x_match("any"), a, b], &[c]));
    }

    #[test]
    fn all_of_nothing_matches_and_any_of_nothing_does_not() {
        assert!(accepts(&[x_match("all")], &[]));
        assert!(!accepts(&[x_match("any")], &[("a", FieldValue::Void)]));
    }

    #[test]
    fn names_with_x_count_only_where_asked() {
        let key = ("x-k", FieldValue::text("v"));
        assert!(accepts(&[x_match("all"), key.clone()], &[]));
        assert!(!accepts(&[x_match("all-with-x"), key.clone()], &[]));
        assert!(!accepts(&[x_match("any"), key.clone()], std::slice::from_ref(&key)));
        assert!(accepts(&[x_match("any-with-x"), key.clone()], &[key]));
    }

    #[test]
    fn integers_compare_by_value_and_nothing_else_does() {
        let wanted = [("n", FieldValue::I32(5))];
        for same in [
            FieldValue::I8(5),
            FieldValue::U8(5),
            FieldValue::U16(5),
            FieldValue::U32(5),
            FieldValue::I64(5),
        ] {
            assert!(accepts(&wanted, &[("n", same)]));
        }
        for other in [
            FieldValue::Timestamp(5),
            FieldValue::F64(5.0),
            FieldValue::text("5"),
            FieldValue::I32(6),
        ] {
            assert!(!accepts(&wanted, &[("n", other)]));
        }
        assert!(accepts(
            &[("n", FieldValue::Void)],
            &[("n", FieldValue::Boolean(false))]
        ));
    }
}
