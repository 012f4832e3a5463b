//! What an exchange type says of itself, and what the bindings of every one can do.

use std::cell::OnceCell;
use std::hash::Hash;

use super::ExchangeKind;
use crate::spec::exchange_arguments::ExchangeArgument;
use crate::spec::{BindingSpec, QueueType, SpecError};
use crate::types::{ExchangeName, FieldTable};

/// What can be said of an exchange type before a message comes.
pub struct ExchangeTypeSpec {
    /// The name on the wire.
    pub name: &'static str,
    /// In RabbitMQ's words, for the HTTP API.
    pub description: &'static str,
    /// The arguments it takes besides those of every exchange.
    pub arguments: &'static [ExchangeArgument],
    /// How its bindings decide.
    pub deciding: Deciding,
    /// Looks at the arguments together, before it is looked at each.
    pub check: fn(&FieldTable) -> Result<(), SpecError>,
    /// Looks at a binding from such an exchange.
    pub check_binding: fn(&NewBinding<'_>) -> Result<(), SpecError>,
    /// What is done with a message before the bindings are asked; `None` where that is nothing.
    pub before: Option<fn(&RouteInput<'_>) -> Before>,
    /// The type that decides where a message goes, where that is another.
    pub routes_as: Option<fn(&FieldTable) -> ExchangeKind>,
    /// Messages wait in such an exchange.
    pub holds_messages: bool,
}

impl ExchangeTypeSpec {
    /// A type that takes no arguments and any binding.
    pub(super) const fn new(name: &'static str, description: &'static str, deciding: Deciding) -> Self {
        Self {
            name,
            description,
            arguments: &[],
            deciding,
            check: |_| Ok(()),
            check_binding: |_| Ok(()),
            before: None,
            routes_as: None,
            holds_messages: false,
        }
    }

    pub(super) const fn takes(mut self, arguments: &'static [ExchangeArgument]) -> Self {
        self.arguments = arguments;
        self
    }

    pub(super) const fn checks(mut self, check: fn(&FieldTable) -> Result<(), SpecError>) -> Self {
        self.check = check;
        self
    }

    pub(super) const fn checks_bindings(mut self, check: fn(&NewBinding<'_>) -> Result<(), SpecError>) -> Self {
        self.check_binding = check;
        self
    }

    pub(super) const fn before(mut self, before: fn(&RouteInput<'_>) -> Before) -> Self {
        self.before = Some(before);
        self
    }

    pub(super) const fn routes_as(mut self, kind: fn(&FieldTable) -> ExchangeKind) -> Self {
        self.routes_as = Some(kind);
        self
    }

    pub(super) const fn holds_messages(mut self) -> Self {
        self.holds_messages = true;
        self
    }
}

/// What an exchange does with a message before its bindings are asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Before {
    Nothing,
    /// Keeps it for queues that are bound later.
    Remember,
    /// Holds it back for so many milliseconds; then it comes again.
    Hold(u64),
}

/// How the bindings of an exchange decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deciding {
    /// Each by itself; that is why one does not take a message.
    Each(Why),
    /// Together: one of them is chosen, by a hash.
    Together,
    /// One of them is chosen by chance.
    Chance,
}

/// Why a binding does not take a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// The routing key is another.
    OtherKey,
    /// The routing key does not fit the pattern.
    PatternDiffers,
    /// The headers are not as its arguments say.
    HeadersDiffer,
    /// The hash chose another.
    OtherHash,
    /// Its queue is on another node.
    NotHere,
}

/// A binding that is to be made, as the type of its source looks at it.
pub struct NewBinding<'a> {
    pub key: &'a str,
    pub arguments: &'a FieldTable,
    /// The type of the queue it leads to; `None` when that is an exchange.
    pub destination: Option<QueueType>,
}

/// A queue as exchanges need it.
pub trait Queue: Clone + Eq + Hash + Send + Sync + 'static {
    /// Whether its messages are given out on this node.
    fn is_here(&self) -> bool;
}

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

/// What of a message decides its route.
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
