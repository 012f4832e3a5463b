//! Whether letters of either case are the same.

/// Whether letters of either case are the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Case {
    Matters,
    Ignored,
}
