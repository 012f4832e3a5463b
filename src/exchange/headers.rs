//! `headers`: a binding's arguments against the message's headers (spec section 3.1.3.4, with
//! RabbitMQ's `all-with-x` and `any-with-x`).

use super::exchange_type::{Deciding, ExchangeType, ExchangeTypeSpec, NewBinding, Queue, RouteInput, Target, Why};
use crate::spec::term::{binary, term};
use crate::spec::{BindingSpec, SpecError};
use crate::types::{FieldTable, FieldValue};

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "headers",
    "AMQP headers exchange, as per the AMQP specification",
    Deciding::Each(Why::HeadersDiffer),
)
.checks_bindings(check_x_match);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(HeadersExchange::new())
}

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
        let present = |(name, value): (&str, &FieldValue)| headers.last(name).is_some_and(|own| equals(value, own));
        match self {
            Self::All { .. } => entries.all(present),
            Self::Any { .. } => entries.any(present),
        }
    }
}

/// A void value asks only for the header to be there. Of numbers, floats and texts the values count
/// and not the types; everything else needs the same type.
fn equals(wanted: &FieldValue, own: &FieldValue) -> bool {
    if let (Some(wanted), Some(own)) = (wanted.as_float(), own.as_float()) {
        return wanted.to_bits() == own.to_bits();
    }
    if let (Some(wanted), Some(own)) = (number(wanted, 1), number(own, MILLIS)) {
        return wanted == own;
    }
    if let (Some(wanted), Some(own)) = (wanted.as_bytes(), own.as_bytes()) {
        return wanted == own;
    }
    *wanted == FieldValue::Void || wanted == own
}

/// RabbitMQ takes a message's timestamps as milliseconds, a binding's as they are.
const MILLIS: i128 = 1000;

fn number(value: &FieldValue, of_second: i128) -> Option<i128> {
    match value {
        FieldValue::Timestamp(seconds) => Some(i128::from(*seconds) * of_second),
        other => other.as_int().map(i128::from),
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
            .position(|own| own.target == *target && own.arguments.is_same_map(&binding.arguments))
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

/// What `x-match` may be.
fn check_x_match(binding: &NewBinding<'_>) -> Result<(), SpecError> {
    match binding.arguments.get("x-match") {
        None => Ok(()),
        Some(FieldValue::LongString(text)) => match text.as_slice() {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => Ok(()),
            other => Err(SpecError::MatchValue(binary(other))),
        },
        Some(other) => Err(SpecError::MatchType(other.type_name(), term(other))),
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

    /// What RabbitMQ 4.0.5 answered: for a header, the bindings that take it besides a void one.
    #[test]
    fn values_are_compared_as_rabbitmq_compares_them() {
        use FieldValue::{Boolean, Bytes, Decimal, F32, F64, I8, I16, I32, I64, Timestamp, U8, U16, U32, Void};
        let text = FieldValue::text;
        let bytes = |text: &str| Bytes(text.as_bytes().to_vec());
        let list = |value: FieldValue| FieldValue::Array(vec![value]);
        let table = |entries: &[(&str, FieldValue)]| FieldValue::Table(FieldTable::of(entries));
        let (p, q) = (("p", I32(5)), ("q", I32(6)));
        // Within a group all are taken by all; the timestamp is one of a binding.
        let groups = [
            vec![I32(5), I8(5), U8(5), I16(5), U16(5), U32(5), I64(5)],
            vec![F64(5.0), F32(5.0)],
            vec![F64(5.5), F32(5.5)],
            vec![F64(0.1)],
            vec![F32(0.1)],
            vec![text("5"), bytes("5")],
            vec![text("abc"), bytes("abc")],
            vec![text(""), bytes("")],
            vec![Decimal(0, 5)],
            vec![Decimal(1, 50)],
            vec![Boolean(true)],
            vec![Boolean(false)],
            vec![list(I32(5))],
            vec![list(I64(5))],
            vec![list(text("a"))],
            vec![list(bytes("a"))],
            vec![list(Timestamp(5))],
            vec![table(std::slice::from_ref(&p))],
            vec![table(&[("p", I64(5))])],
            vec![table(&[("p", F64(5.0))])],
            vec![table(&[p.clone(), q.clone()])],
            vec![table(&[q, p])],
            vec![I32(0)],
            vec![F64(0.0)],
            vec![F64(-0.0)],
            vec![I64(1 << 40)],
            vec![F64((1_u64 << 40) as f64)],
            vec![I32(-5), I8(-5)],
            vec![U32(u32::MAX - 4)],
            vec![text("true")],
            vec![Decimal(0, 0)],
            vec![U8(200)],
            vec![I8(-56)],
        ];
        for (at, own) in groups.iter().enumerate() {
            for header in own {
                assert!(equals(&Void, header), "{header:?}");
                assert!(!equals(header, &Void), "{header:?}");
                for (group, wanted) in groups.iter().enumerate() {
                    for wanted in wanted {
                        assert_eq!(equals(wanted, header), at == group, "{wanted:?} {header:?}");
                    }
                }
            }
        }
        assert!(equals(&Void, &Void));
        assert!(equals(&Timestamp(5), &I32(5)));
        assert!(!equals(&I32(5), &Timestamp(5)));
        assert!(!equals(&Timestamp(5), &Timestamp(5)));
        assert!(equals(&I32(5000), &Timestamp(5)));
        assert!(equals(&Timestamp(5000), &Timestamp(5)));
        assert!(equals(&Timestamp(0), &Timestamp(0)));
        assert!(!equals(&Timestamp(u64::MAX), &I64(-1)));
    }

    #[test]
    fn of_a_header_that_is_there_twice_the_last_counts() {
        let (one, two) = (("n", FieldValue::I32(1)), ("n", FieldValue::I32(2)));
        let twice = [one.clone(), two.clone()];
        assert!(!accepts(std::slice::from_ref(&one), &twice));
        assert!(accepts(std::slice::from_ref(&two), &twice));
        assert!(!accepts(&twice, std::slice::from_ref(&two)));
        assert!(accepts(&[x_match("any"), one.clone(), two.clone()], &[one]));
        assert!(accepts(
            &[x_match("any"), x_match("all"), two.clone(), ("m", FieldValue::Void)],
            &[two]
        ));
    }

    #[test]
    fn a_headers_binding_needs_a_known_x_match() {
        let refusal = |arguments: &FieldTable| {
            let binding = NewBinding {
                key: "",
                arguments,
                destination: None,
            };
            check_x_match(&binding).err().map(|error| error.to_string())
        };
        let with = |value| refusal(&FieldTable::of(&[("x-match", value)]));
        for good in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(with(FieldValue::text(good)), None);
        }
        assert_eq!(refusal(&FieldTable::new()), None);
        assert_eq!(
            with(FieldValue::text("some")).as_deref(),
            Some("Invalid x-match field value <<\"some\">>; expected all, any, all-with-x, or any-with-x")
        );
        assert_eq!(
            with(FieldValue::I32(1)).as_deref(),
            Some("Invalid x-match field type signedint (value 1); expected longstr")
        );
    }
}
