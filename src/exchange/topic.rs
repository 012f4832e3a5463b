//! `topic`: words between dots; `*` is one word, `#` any number (spec section 3.1.3.3).
//!
//! A trie of binding keys. Matching walks it breadth first with a set of nodes per word of the
//! routing key, so the work is bounded by words × nodes whatever the pattern: `#.#.#…` does not
//! branch. Holds: a node without targets and children is free, except the root.

use rustc_hash::{FxHashMap, FxHashSet};

use super::exchange_type::{Bucket, Deciding, ExchangeType, ExchangeTypeSpec, Queue, RouteInput, Target, Why};
use crate::spec::BindingSpec;
use crate::types::FieldTable;

pub(super) static TYPE: ExchangeTypeSpec = ExchangeTypeSpec::new(
    "topic",
    "AMQP topic exchange, as per the AMQP specification",
    Deciding::Each(Why::PatternDiffers),
);

/// The bindings of such an exchange: none yet.
pub(super) fn bindings<Q: Queue>(_: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    Box::new(Topic::new())
}

const ROOT: u32 = 0;

/// The trie, its nodes in one arena.
pub struct Topic<Q> {
    nodes: Vec<Node<Q>>,
    free: Vec<u32>,
}

struct Node<Q> {
    parent: u32,
    /// The word that leads here.
    word: Box<[u8]>,
    children: FxHashMap<Box<[u8]>, u32>,
    star: Option<u32>,
    hash: Option<u32>,
    targets: Bucket<Q>,
}

/// The nodes reached after some words, each once.
#[derive(Default)]
struct Frontier {
    list: Vec<u32>,
    seen: FxHashSet<u32>,
}

impl Frontier {
    fn insert(&mut self, node: u32) -> bool {
        // Few nodes are the rule; the set is for the others.
        let new = if self.list.len() < 16 {
            !self.list.contains(&node)
        } else {
            self.insert_seen(node)
        };
        if new {
            self.list.push(node);
        }
        new
    }

    fn insert_seen(&mut self, node: u32) -> bool {
        if self.seen.is_empty() {
            self.seen.extend(&self.list);
        }
        self.seen.insert(node)
    }

    fn clear(&mut self) {
        self.list.clear();
        self.seen.clear();
    }
}

impl<Q> Node<Q> {
    fn new(parent: u32, word: &[u8]) -> Self {
        Self {
            parent,
            word: word.into(),
            children: FxHashMap::default(),
            star: None,
            hash: None,
            targets: Bucket::default(),
        }
    }
}

impl<Q: Clone + Eq> Topic<Q> {
    /// Without bindings.
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(ROOT, b"")],
            free: Vec::new(),
        }
    }

    /// The nodes that match the routing key, each once, and how many steps that took.
    fn matches(&self, key: &[u8], mut found: impl FnMut(&Node<Q>)) -> usize {
        let (mut now, mut next) = (Frontier::default(), Frontier::default());
        let mut steps = self.enter(ROOT, &mut now);
        for word in words(key) {
            next.clear();
            for &at in &now.list {
                let node = &self.nodes[at as usize];
                steps += 1;
                if self.is_hash(at) {
                    steps += self.enter(at, &mut next);
                }
                for child in [node.children.get(word).copied(), node.star].into_iter().flatten() {
                    steps += self.enter(child, &mut next);
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.list.iter().for_each(|at| found(&self.nodes[*at as usize]));
        steps
    }

    /// Reaches a node, and with it the `#` below it, which may stand for no word at all.
    fn enter(&self, mut at: u32, frontier: &mut Frontier) -> usize {
        let mut steps = 1;
        while frontier.insert(at) {
            let Some(hash) = self.nodes[at as usize].hash else {
                break;
            };
            at = hash;
            steps += 1;
        }
        steps
    }

    fn is_hash(&self, at: u32) -> bool {
        at != ROOT && self.nodes[self.nodes[at as usize].parent as usize].hash == Some(at)
    }

    fn child(&self, at: u32, word: &[u8]) -> Option<u32> {
        let node = &self.nodes[at as usize];
        match word {
            b"*" => node.star,
            b"#" => node.hash,
            word => node.children.get(word).copied(),
        }
    }

    fn add_child(&mut self, at: u32, word: &[u8]) -> u32 {
        let new = Node::new(at, word);
        let id = match self.free.pop() {
            Some(id) => {
                self.nodes[id as usize] = new;
                id
            }
            None => {
                self.nodes.push(new);
                (self.nodes.len() - 1) as u32
            }
        };
        let node = &mut self.nodes[at as usize];
        match word {
            b"*" => node.star = Some(id),
            b"#" => node.hash = Some(id),
            word => {
                node.children.insert(word.into(), id);
            }
        }
        id
    }

    /// Frees the node and those above it that nothing needs any more.
    fn prune(&mut self, mut at: u32) {
        while at != ROOT {
            let node = &mut self.nodes[at as usize];
            if !node.targets.is_empty() || !node.children.is_empty() || node.star.is_some() || node.hash.is_some() {
                return;
            }
            let (parent, word) = (node.parent, std::mem::take(&mut node.word));
            let above = &mut self.nodes[parent as usize];
            match &*word {
                b"*" => above.star = None,
                b"#" => above.hash = None,
                word => {
                    above.children.remove(word);
                }
            }
            self.free.push(at);
            at = parent;
        }
    }
}

/// The words of a key; the empty key has none (`#` matches it, `*` does not).
fn words(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let none = key.is_empty();
    key.split(|byte| *byte == b'.').filter(move |_| !none)
}

impl<Q: Clone + Eq + Send + Sync> ExchangeType<Q> for Topic<Q> {
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        let mut at = ROOT;
        for word in words(binding.key.as_bytes()) {
            at = self.child(at, word).unwrap_or_else(|| self.add_child(at, word));
        }
        self.nodes[at as usize].targets.add(target);
    }

    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        let mut at = ROOT;
        for word in words(binding.key.as_bytes()) {
            let Some(next) = self.child(at, word) else { return };
            at = next;
        }
        self.nodes[at as usize].targets.remove(target);
        self.prune(at);
    }

    fn route(&self, input: &RouteInput<'_>, _: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>)) {
        for key in input.keys {
            self.matches(key, |node| node.targets.each(hit));
        }
    }

    fn by_key_alone(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::spec::Destination;

    fn binding(key: &str) -> BindingSpec {
        BindingSpec {
            source: "t".into(),
            destination: Destination::Queue("q".into()),
            key: key.into(),
            arguments: Default::default(),
        }
    }

    fn bound(keys: &[&str]) -> Topic<String> {
        let mut topic = Topic::new();
        keys.iter()
            .for_each(|key| topic.bind(&binding(key), &Target::Queue((*key).to_owned())));
        topic
    }

    fn matched(topic: &Topic<String>, key: &str) -> Vec<String> {
        let mut hits = Vec::new();
        topic.matches(key.as_bytes(), |node| {
            node.targets.each(&mut |target| {
                if let Target::Queue(queue) = target {
                    hits.push(queue.clone());
                }
            });
        });
        hits.sort();
        hits
    }

    fn naive(pattern: &[&str], key: &[&str]) -> bool {
        match pattern.split_first() {
            None => key.is_empty(),
            Some((&"#", rest)) => (0..=key.len()).any(|skip| naive(rest, &key[skip..])),
            Some((word, rest)) => key
                .split_first()
                .is_some_and(|(first, others)| (*word == "*" || word == first) && naive(rest, others)),
        }
    }

    fn split(key: &str) -> Vec<&str> {
        if key.is_empty() {
            Vec::new()
        } else {
            key.split('.').collect()
        }
    }

    #[test]
    fn empty_words_are_words() {
        let topic = bound(&["", "#", "*", "*.*", "*.", ".", "a.*", "a..b", "a.*.b", "#.#"]);
        assert_eq!(matched(&topic, ""), ["", "#", "#.#"]);
        assert_eq!(matched(&topic, "."), ["#", "#.#", "*.", "*.*", "."]);
        assert_eq!(matched(&topic, "a."), ["#", "#.#", "*.", "*.*", "a.*"]);
        assert_eq!(matched(&topic, "a..b"), ["#", "#.#", "a.*.b", "a..b"]);
    }

    #[test]
    fn a_hash_in_the_middle_of_a_word_is_literal() {
        let topic = bound(&["a#", "*", "a.#"]);
        assert_eq!(matched(&topic, "a#"), ["*", "a#"]);
    }

    #[test]
    fn many_hashes_cost_words_times_nodes() {
        let pattern = vec!["#"; 60].join(".");
        let topic = bound(&[&pattern, "#.a.#.a.#.a.#.b"]);
        let key = vec!["a"; 100].join(".");
        let steps = topic.matches(key.as_bytes(), |_| {});
        assert!(steps < 100 * 70 * 6, "{steps} steps");
    }

    #[test]
    fn unbinding_leaves_an_empty_trie() {
        let mut topic = bound(&["a.b.c", "a.*.#", "#"]);
        for key in ["a.b.c", "a.*.#", "#"] {
            topic.unbind(&binding(key), &Target::Queue(key.to_owned()));
        }
        assert_eq!(topic.nodes.len(), topic.free.len() + 1);
        assert_eq!(matched(&topic, "a.b.c"), [""; 0]);
    }

    proptest! {
        #[test]
        fn the_trie_agrees_with_a_naive_matcher(
            patterns in proptest::collection::hash_set("([ab*#](\\.[ab*#]?){0,4})?", 1..12),
            gone in proptest::collection::vec(any::<bool>(), 12),
            key in "([ab](\\.[ab]?){0,5})?",
        ) {
            let patterns: Vec<String> = patterns.into_iter().collect();
            let mut topic = bound(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
            let mut expected = Vec::new();
            for (pattern, gone) in patterns.iter().zip(gone) {
                if gone {
                    topic.unbind(&binding(pattern), &Target::Queue(pattern.clone()));
                } else if naive(&split(pattern), &split(&key)) {
                    expected.push(pattern.clone());
                }
            }
            expected.sort();
            prop_assert_eq!(matched(&topic, &key), expected);
        }
    }
}
