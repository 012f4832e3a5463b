//! The most that can be asked for.

/// Most bindings a topic exchange is given: their numbers have five digits.
pub const MAX_BINDINGS: usize = 100_000;

/// Most publishers whose messages can be told apart.
pub const MAX_PUBLISHERS: u16 = 10_000;
