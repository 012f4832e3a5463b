//! Where a reader begins.

use crate::types::Timestamp;

/// As a reader says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// With the oldest chunk there is.
    First,
    /// With the newest chunk, whole.
    Last,
    /// With what comes from now on.
    Next,
    /// With that message, or the oldest if it is gone.
    Offset(u64),
    /// With the first chunk of that time or later, whole.
    Time(Timestamp),
}

impl OffsetSpec {
    /// As two numbers, for another node.
    pub fn parts(self) -> (u8, u64) {
        match self {
            Self::First => (1, 0),
            Self::Last => (2, 0),
            Self::Next => (3, 0),
            Self::Offset(offset) => (4, offset),
            Self::Time(at) => (5, at.0),
        }
    }

    /// Of these numbers.
    pub fn of_parts((kind, value): (u8, u64)) -> Option<Self> {
        Some(match kind {
            1 => Self::First,
            2 => Self::Last,
            3 => Self::Next,
            4 => Self::Offset(value),
            5 => Self::Time(Timestamp(value)),
            _ => return None,
        })
    }
}
