//! Values that are set one by one under names, such as `listeners.tcp.$name`.

use crate::types::sorting::map_of;
use std::collections::BTreeMap;

/// Values under names, in the order of the names. The defaults stand until the first value is
/// set, and then go: who sets one listener does not want the default one as well.
#[derive(Clone, Debug)]
pub struct Named<T> {
    entries: BTreeMap<String, T>,
    is_default: bool,
}

impl<T> Named<T> {
    /// What was set so far are the values that stand when none is set.
    pub(super) fn stand_by_default(&mut self) {
        self.is_default = true;
    }

    /// Sets one value.
    pub fn set(&mut self, name: &str, value: T) {
        self.drop_defaults();
        self.entries.insert(name.to_owned(), value);
    }

    /// The value of that name, made first if need be.
    pub fn entry(&mut self, name: &str) -> &mut T
    where
        T: Default,
    {
        self.drop_defaults();
        self.entries.entry(name.to_owned()).or_default()
    }

    /// Takes these values instead of all that were there; they are named by their position.
    pub fn replace(&mut self, values: impl IntoIterator<Item = T>) {
        let named = values.into_iter().enumerate();
        self.entries = map_of(named.map(|(at, value)| (format!("{:06}", at + 1), value)));
        self.is_default = false;
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The values, in the order of their names.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn drop_defaults(&mut self) {
        if std::mem::take(&mut self.is_default) {
            self.entries.clear();
        }
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            is_default: true,
        }
    }
}

/// Equal when they hold the same; that one holds it by default makes no difference.
impl<T: PartialEq> PartialEq for Named<T> {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_set_replaces_the_defaults_and_the_second_joins_it() {
        let mut named = Named::default();
        named.set("default", 1);
        named.stand_by_default();
        assert_eq!(named.values().collect::<Vec<_>>(), [&1]);
        named.set("b", 2);
        named.set("a", 3);
        assert_eq!(named.iter().collect::<Vec<_>>(), [("a", &3), ("b", &2)]);
        named.replace([]);
        assert!(named.is_empty());
    }
}
