//! Sorting of lists that people look at: one sorting routine for all types, where the standard library's takes
//! eight kilobytes of the program for each kind of item and each way of comparing.
//!
//! Stable, as the standard library's is. What is on the way of a message sorts by that.

use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Sorts by a comparison; items that are equal stay in order.
pub fn sort_by<T>(items: &mut [T], mut compare: impl FnMut(&T, &T) -> Ordering) {
    let mut sources: Vec<usize> = (0..items.len()).collect();
    sort_places(&mut sources, &mut |one, other| compare(&items[one], &items[other]));
    // Each circle of places is gone round once; a place that is done names itself.
    for start in 0..items.len() {
        let mut place = start;
        loop {
            let source = std::mem::replace(&mut sources[place], place);
            if source == start || source == place {
                break;
            }
            items.swap(place, source);
            place = source;
        }
    }
}

/// Sorts by a key; items whose keys are equal stay in order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], mut key: impl FnMut(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts by the items' own order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// A map of pairs; of equal keys the last one counts. Collecting into one sorts first.
pub fn map_of<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    map.extend(pairs);
    map
}

#[inline(never)]
fn sort_places(places: &mut [usize], compare: &mut dyn FnMut(usize, usize) -> Ordering) {
    places.sort_by(|one, other| compare(*one, *other));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn items_are_sorted_as_the_standard_library_sorts_them(keys in prop::collection::vec(0..20_u8, 0..60)) {
            let mut items: Vec<(u8, String)> = keys.iter().zip(0..).map(|(key, n)| (*key, format!("{n}"))).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|(key, _)| *key);
            sort_by_key(&mut items, |(key, _)| *key);
            prop_assert_eq!(&items, &expected);
            expected.sort_by(|(_, one), (_, other)| other.cmp(one));
            sort_by(&mut items, |(_, one), (_, other)| other.cmp(one));
            prop_assert_eq!(&items, &expected);
            sort(&mut items);
            expected.sort();
            prop_assert_eq!(items, expected);
        }
    }

    #[test]
    fn of_equal_keys_the_last_one_counts() {
        assert_eq!(
            map_of([(1, "a"), (0, "b"), (1, "c")]).into_iter().collect::<Vec<_>>(),
            [(0, "b"), (1, "c")]
        );
    }
}
