//! The value of a sample.

use std::fmt;

use prometheus_client::encoding::{CounterValueEncoder, EncodeCounterValue, EncodeGaugeValue, GaugeValueEncoder};

/// A number as it is told: counts stay exact, and what is not known has no sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    Count(u64),
    Real(f64),
    Unknown,
}

impl Number {
    /// Both together; what is not known does not count.
    pub fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, known) | (known, Self::Unknown) => known,
            (Self::Count(a), Self::Count(b)) => Self::Count(a.saturating_add(b)),
            (a, b) => Self::Real(a.real() + b.real()),
        }
    }

    fn real(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Real(real) => real,
            Self::Unknown => 0.0,
        }
    }
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Number {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl From<bool> for Number {
    fn from(is_so: bool) -> Self {
        Self::Count(is_so.into())
    }
}

impl<N: Into<Self>> From<Option<N>> for Number {
    fn from(known: Option<N>) -> Self {
        known.map_or(Self::Unknown, Into::into)
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match *self {
            Self::Count(count) => EncodeGaugeValue::encode(&count, encoder),
            other => EncodeGaugeValue::encode(&other.real(), encoder),
        }
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match *self {
            Self::Count(count) => EncodeCounterValue::encode(&count, encoder),
            other => EncodeCounterValue::encode(&other.real(), encoder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_does_not_count() {
        assert_eq!(Number::Unknown.plus(3_u64.into()), Number::Count(3));
        assert_eq!(Number::from(None::<u64>), Number::Unknown);
        assert_eq!(Number::Count(2).plus(Number::Real(0.5)), Number::Real(2.5));
        assert_eq!(Number::Count(u64::MAX).plus(Number::Count(1)), Number::Count(u64::MAX));
    }
}
