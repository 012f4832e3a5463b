//! The `x-delay` header of messages for `x-delayed-message` exchanges.
//!
//! Read as RabbitMQ's plugin reads it: an integer, a float that is cut off, or a text of an integer.
//! What waits longer than Erlang's timers can goes on at once.

use crate::types::{FieldTable, FieldValue};

const NAME: &str = "x-delay";
/// Milliseconds of Erlang's longest timer.
const LONGEST: i64 = u32::MAX as i64;

/// Milliseconds that a message with these headers is held back; `None` when it is not.
pub fn of(headers: &FieldTable) -> Option<u64> {
    let delay = match headers.get(NAME)? {
        FieldValue::LongString(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        FieldValue::Decimal(scale, value) => {
            let unit = 10_u32.checked_pow((*scale).into());
            unit.map_or(0, |unit| i64::from(value / unit))
        }
        // Beyond what fits it is the nearest that does.
        other => match other.as_float() {
            Some(delay) => delay as i64,
            None => other.as_int()?,
        },
    };
    u64::try_from(delay).ok().filter(|_| (1..=LONGEST).contains(&delay))
}

/// Negates the delay, once it is over: a message that is published on as it is waits no second time.
pub fn negate(headers: &mut FieldTable) {
    if let Some(delay) = of(headers) {
        let past = -(delay as i64);
        let short = i32::try_from(past).map(FieldValue::I32);
        headers.set(NAME, short.unwrap_or(FieldValue::I64(past)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_read_from_integers_floats_and_texts() {
        let of = |value: FieldValue| of(&FieldTable::of(&[("x-delay", value)]));
        let text = FieldValue::text;
        for (value, delay) in [
            (FieldValue::I8(50), Some(50)),
            (FieldValue::U8(50), Some(50)),
            (FieldValue::I16(50), Some(50)),
            (FieldValue::U16(50), Some(50)),
            (FieldValue::I32(50), Some(50)),
            (FieldValue::U32(u32::MAX), Some(u32::MAX.into())),
            (FieldValue::I64(50), Some(50)),
            (FieldValue::F32(50.9), Some(50)),
            (FieldValue::F64(50.9), Some(50)),
            (FieldValue::Decimal(0, 50), Some(50)),
            (FieldValue::Decimal(1, 509), Some(50)),
            (text("50"), Some(50)),
            (text("+50"), Some(50)),
            (FieldValue::I32(0), None),
            (FieldValue::I32(-50), None),
            (FieldValue::I64(1 << 32), None),
            (FieldValue::F64(0.9), None),
            (FieldValue::F64(f64::NAN), None),
            (FieldValue::F64(f64::INFINITY), None),
            (FieldValue::Decimal(255, 50), None),
            (text("-50"), None),
            (text("50.5"), None),
            (text(" 50"), None),
            (text("soon"), None),
            (text(""), None),
            (text("99999999999999999999"), None),
            (FieldValue::Bytes(b"50".to_vec()), None),
            (FieldValue::Timestamp(50), None),
            (FieldValue::Boolean(true), None),
            (FieldValue::Void, None),
        ] {
            assert_eq!(of(value.clone()), delay, "{value:?}");
        }
        assert_eq!(super::of(&FieldTable::new()), None);
    }

    #[test]
    fn a_delay_that_is_over_is_negated_in_its_place() {
        let after = |value| {
            let mut headers = FieldTable::of(&[("x-delay", value), ("b", FieldValue::Void)]);
            negate(&mut headers);
            headers
        };
        let with = |value| FieldTable::of(&[("x-delay", value), ("b", FieldValue::Void)]);
        assert_eq!(after(FieldValue::text("500")), with(FieldValue::I32(-500)));
        assert_eq!(
            after(FieldValue::U32(u32::MAX)),
            with(FieldValue::I64(-i64::from(u32::MAX)))
        );
        assert_eq!(after(FieldValue::I32(-500)), with(FieldValue::I32(-500)));
    }
}
