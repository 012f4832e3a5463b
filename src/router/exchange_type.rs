//! What every exchange type can do, and the table of them.

use std::cell::OnceCell;
use std::hash::Hash;

use super::{Queue, consistent_hash, direct, fanout, headers, modulus_hash, random, topic};
use crate::spec::{BindingSpec, ExchangeKind, ExchangeSpec};
use crate::types::{ExchangeName, FieldTable};

/// Where a binding leads to.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Target<Q> {
    Queue(Q),
    Exchange(ExchangeName),
}

/// A message's headers, decoded when the first exchange asks for them.
pub struct Headers<'a> {
    raw: Option<&'a [u8]>,
    table: OnceCell<FieldTable>,
}

impl<'a> Headers<'a> {
    /// Headers as in the content header: a field table with its length, or none.
    pub fn new(raw: Option<&'a [u8]>) -> Self {
        Self {
            raw,
            table: OnceCell::new(),
        }
    }

    /// The table; empty when there is none or it cannot be read.
    pub fn table(&self) -> &FieldTable {
        self.table.get_or_init(|| {
            self.raw
                .and_then(|raw| FieldTable::decode(raw).ok())
                .map(|(table, _)| table)
                .unwrap_or_default()
        })
    }
}

/// What of a message decides its way.
pub struct RouteInput<'a> {
    pub exchange: &'a str,
    /// The routing key, then those of the CC and BCC headers.
    pub keys: &'a [&'a [u8]],
    pub headers: Headers<'a>,
    pub message_id: Option<&'a [u8]>,
    pub correlation_id: Option<&'a [u8]>,
    /// Seconds since the Unix epoch.
    pub timestamp: Option<u64>,
    /// The message comes back from waiting in an `x-delayed-message` exchange.
    pub delayed: bool,
}

/// The bindings of one exchange in the shape its type looks them up by.
pub trait ExchangeType<Q>: Send + Sync {
    /// Takes a binding in. Bindings that differ only in arguments count separately.
    fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>);
    /// Takes it out again. Unknown ones are ignored.
    fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>);
    /// Calls `hit` for each target; the same one may come more than once.
    fn route(&self, input: &RouteInput<'_>, random: &mut dyn FnMut() -> u64, hit: &mut dyn FnMut(&Target<Q>));
    /// Whether routes depend on nothing but the routing key and the bindings.
    fn by_key_alone(&self) -> bool;
}

/// THE table: what makes the bindings of an exchange. Adding a type starts here.
pub fn build<Q: Queue>(spec: &ExchangeSpec) -> Box<dyn ExchangeType<Q>> {
    build_kind(spec.kind, &spec.arguments)
}

pub(super) fn build_kind<Q: Queue>(kind: ExchangeKind, arguments: &FieldTable) -> Box<dyn ExchangeType<Q>> {
    match kind {
        ExchangeKind::Direct => Box::new(direct::Direct::new()),
        // History is kept beside the bindings; see `Router::remember`.
        ExchangeKind::Fanout | ExchangeKind::RecentHistory => Box::new(fanout::Fanout::new()),
        ExchangeKind::Topic => Box::new(topic::Topic::new()),
        ExchangeKind::Headers => Box::new(headers::HeadersExchange::new()),
        ExchangeKind::ConsistentHash => Box::new(consistent_hash::ConsistentHash::new(arguments)),
        ExchangeKind::Random => Box::new(random::Random::new()),
        ExchangeKind::LocalRandom => Box::new(random::LocalRandom::new()),
        ExchangeKind::ModulusHash => Box::new(modulus_hash::ModulusHash::new()),
        ExchangeKind::DelayedMessage => build_kind(ExchangeKind::delayed(arguments), &FieldTable::new()),
    }
}

/// Targets with the number of bindings that lead to each.
#[derive(Debug)]
pub struct Bucket<Q>(Vec<(Target<Q>, u32)>);

impl<Q> Default for Bucket<Q> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Q: Clone + Eq> Bucket<Q> {
    /// One binding more.
    pub fn add(&mut self, target: &Target<Q>) {
        match self.0.iter_mut().find(|(own, _)| own == target) {
            Some((_, count)) => *count += 1,
            None => self.0.push((target.clone(), 1)),
        }
    }

    /// One binding less.
    pub fn remove(&mut self, target: &Target<Q>) {
        if let Some(at) = self.0.iter().position(|(own, _)| own == target) {
            self.0[at].1 -= 1;
            if self.0[at].1 == 0 {
                self.0.remove(at);
            }
        }
    }

    /// Whether nothing is bound.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The targets.
    pub fn each(&self, hit: &mut dyn FnMut(&Target<Q>)) {
        self.0.iter().for_each(|(target, _)| hit(target));
    }
}
