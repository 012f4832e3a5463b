//! What was said of things that are tried again and again, so that it is said once, and again when it changes or
//! was over in between. Whoever tries keeps one of these, and asks it before it logs.

use std::hash::Hash;

use rustc_hash::FxHashMap;

/// The last words about each of several things; about one alone when nothing tells them apart.
pub struct Said<K = ()> {
    last: FxHashMap<K, String>,
}

impl<K: Eq + Hash> Said<K> {
    /// It is so now. Returns whether something else was said of it, or nothing.
    pub fn is_news(&mut self, of: K, words: impl ToString) -> bool {
        let words = words.to_string();
        if self.last.get(&of) == Some(&words) {
            return false;
        }
        // Others choose what there is to be said of: then it is said twice.
        if self.last.len() >= MOST {
            self.last.clear();
        }
        self.last.insert(of, words);
        true
    }

    /// All is well with it. Returns whether something was said of it before.
    pub fn is_over(&mut self, of: &K) -> bool {
        self.last.remove(of).is_some()
    }
}

impl<K> Default for Said<K> {
    fn default() -> Self {
        let last = FxHashMap::default();
        Self { last }
    }
}

/// Things that are remembered.
const MOST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_until_it_changes_or_is_over() {
        let mut said = Said::default();
        let mut tried = |of: u8, words: &str| said.is_news(of, words);
        assert!(tried(1, "no name"));
        assert!(!tried(1, "no name"));
        assert!(tried(2, "no name"), "of another");
        assert!(tried(1, "no answer"), "something else");
        assert!(!tried(1, "no answer"));
        assert!(said.is_over(&1));
        assert!(!said.is_over(&1));
        assert!(said.is_news(1, "no answer"), "once more");
        assert!(!said.is_news(2, "no name"), "it is not over there");
    }

    #[test]
    fn it_does_not_remember_without_end() {
        let mut said = Said::default();
        for of in 0..3 * MOST {
            assert!(said.is_news(of, ""));
        }
        assert!(said.last.len() <= MOST);
    }
}
