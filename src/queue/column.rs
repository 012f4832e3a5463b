//! One number of each message of a block, in as little memory as it takes.
//!
//! What neighbours have in common, or what grows evenly from one to the next, takes no memory of its
//! own; anything else takes four bytes a message.

/// As many numbers as the block has messages, which it knows.
#[derive(Clone)]
pub(super) struct Column {
    first: u64,
    step: u64,
    /// From `first`; empty when `step` says it all.
    offsets: Box<[u32]>,
}

impl Column {
    /// `None` when the numbers are too far apart.
    pub fn of(values: impl Iterator<Item = u64> + Clone) -> Option<Self> {
        let mut ahead = values.clone();
        let first = ahead.next()?;
        let step = ahead.next().map_or(0, |second| second.wrapping_sub(first));
        let evenly = std::iter::successors(Some(first), |value| Some(value.wrapping_add(step)));
        if values.clone().eq(evenly.take(values.clone().count())) {
            return Some(Self {
                first,
                step,
                offsets: Box::default(),
            });
        }
        let first = values.clone().min()?;
        let offsets: Option<Box<[u32]>> = values.map(|value| u32::try_from(value - first).ok()).collect();
        Some(Self {
            first,
            step: 0,
            offsets: offsets?,
        })
    }

    pub fn get(&self, at: usize) -> u64 {
        match self.offsets.get(at) {
            Some(offset) => self.first + u64::from(*offset),
            None => self.first.wrapping_add(self.step.wrapping_mul(at as u64)),
        }
    }
}

/// The first of so many places that `is_below` is not true of; it is of all before it and of none after.
pub(super) fn first_not(len: usize, is_below: impl Fn(usize) -> bool) -> usize {
    let (mut from, mut to) = (0, len);
    while from < to {
        let middle = from.midpoint(to);
        match is_below(middle) {
            true => from = middle + 1,
            false => to = middle,
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(values: &[u64]) -> Option<Column> {
        let column = Column::of(values.iter().copied())?;
        assert!((0..values.len()).map(|at| column.get(at)).eq(values.iter().copied()));
        Some(column)
    }

    #[test]
    fn what_is_alike_or_grows_evenly_takes_no_memory() {
        let even: [&[u64]; 5] = [&[7, 7, 7], &[1, 2, 3], &[9, 6, 3], &[u64::MAX, u64::MAX], &[5]];
        for values in even {
            assert_eq!(column(values).map(|column| column.offsets.len()), Some(0), "{values:?}");
        }
        assert_eq!(column(&[1, 2, 4]).map(|column| column.offsets.len()), Some(3));
        assert!(column(&[0, 0, 1 << 32]).is_none());
    }

    proptest! {
        #[test]
        fn what_went_in_comes_out(base: u64, values in proptest::collection::vec(any::<u32>(), 1..20)) {
            let near: Vec<u64> = values.iter().map(|value| base.saturating_add((*value).into())).collect();
            prop_assert!(column(&near).is_some());
        }
    }
}
