//! Which queues get a message: the exchanges of one vhost and their bindings.
//!
//! [`Router::route`] follows exchange-to-exchange bindings (each exchange once, so cycles end) and
//! alternate exchanges, and names each queue once, in the order first reached. The default
//! exchange is not here: its routing key is a queue's name. Declared by the broker in the order of
//! the catalogue's changes; nothing here is checked again.

pub mod explain;

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::exchange::{Before, ExchangeKind, ExchangeSpec, ExchangeType, Queue, RouteInput, Target};
use crate::spec::BindingSpec;
use crate::types::{ExchangeName, FieldTable, FieldValue, Message};

/// Messages an `x-recent-history` exchange keeps when its arguments say nothing.
const HISTORY_LENGTH: usize = 20;
/// Messages it keeps at most, whatever its arguments say: they are in memory.
const MOST_HISTORY: usize = 10_000;

/// The exchanges of a vhost. `Q` is a queue as the broker holds it.
pub struct Router<Q> {
    exchanges: FxHashMap<ExchangeName, Exchange<Q>>,
    /// The bindings that lead to a target, to take them out with it.
    bindings_of: FxHashMap<Target<Q>, Vec<BindingSpec>>,
}

struct Exchange<Q> {
    bindings: Box<dyn ExchangeType<Q>>,
    /// The bindings as made, to take their targets' lists along when the exchange goes.
    list: Vec<(BindingSpec, Target<Q>)>,
    alternate: Option<ExchangeName>,
    kind: ExchangeKind,
    /// The type that decides, once any delay is over.
    routes_as: ExchangeKind,
    arguments: FieldTable,
    history: VecDeque<Message>,
    history_length: usize,
}

/// Where a message goes. Reused from message to message.
#[derive(Debug)]
pub struct Routed<Q> {
    /// Each queue once.
    pub queues: Vec<Q>,
    /// The same exchange and routing key lead to the same queues until a binding changes.
    pub cacheable: bool,
    /// Exchanges that hold the message back first, with the delay in milliseconds.
    pub delayed: Vec<(ExchangeName, u64)>,
    /// Exchanges that want to remember the message; see [`Router::remember`].
    pub remembered: Vec<ExchangeName>,
    seen: FxHashSet<Q>,
}

impl<Q> Default for Routed<Q> {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            cacheable: true,
            delayed: Vec::new(),
            remembered: Vec::new(),
            seen: FxHashSet::default(),
        }
    }
}

impl<Q: Clone + Eq + Hash> Routed<Q> {
    /// Forgets the last message.
    pub fn clear(&mut self) {
        self.queues.clear();
        self.seen.clear();
        self.delayed.clear();
        self.remembered.clear();
        self.cacheable = true;
    }

    fn push(&mut self, queue: &Q) {
        // A few queues are compared, many are hashed.
        let new = match self.queues.len() {
            0..FEW => !self.queues.contains(queue),
            _ => {
                if self.seen.is_empty() {
                    self.seen.extend(self.queues.iter().cloned());
                }
                self.seen.insert(queue.clone())
            }
        };
        if new {
            self.queues.push(queue.clone());
        }
    }
}

const FEW: usize = 16;

impl<Q: Queue> Router<Q> {
    /// Without exchanges.
    pub fn new() -> Self {
        Self {
            exchanges: FxHashMap::default(),
            bindings_of: FxHashMap::default(),
        }
    }

    /// Takes an exchange in.
    pub fn declare(&mut self, spec: &ExchangeSpec) {
        let length = spec
            .arguments
            .get("x-recent-history-length")
            .and_then(FieldValue::as_int);
        let exchange = Exchange {
            bindings: spec.kind.bindings(&spec.arguments),
            list: Vec::new(),
            alternate: None,
            kind: spec.kind,
            routes_as: spec.routes_as(),
            arguments: spec.arguments.clone(),
            history: VecDeque::new(),
            history_length: length
                .and_then(|length| usize::try_from(length).ok())
                .map_or(HISTORY_LENGTH, |length| length.min(MOST_HISTORY)),
        };
        self.exchanges.insert(spec.name.clone(), exchange);
    }

    /// Takes an exchange out, with the bindings from it and to it.
    pub fn delete(&mut self, name: &ExchangeName) {
        let Some(exchange) = self.exchanges.remove(name) else {
            return;
        };
        for (binding, target) in &exchange.list {
            self.forget(binding, target);
        }
        self.remove_target(&Target::Exchange(name.clone()));
    }

    /// Takes a binding in. The same one twice is one.
    pub fn bind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        let Some(exchange) = self.exchanges.get_mut(&binding.source) else {
            return;
        };
        let bindings = self.bindings_of.entry(target.clone()).or_default();
        if bindings.contains(binding) {
            return;
        }
        bindings.push(binding.clone());
        exchange.list.push((binding.clone(), target.clone()));
        exchange.bindings.bind(binding, target);
    }

    /// Takes a binding out.
    pub fn unbind(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        if !self.forget(binding, target) {
            return;
        }
        if let Some(exchange) = self.exchanges.get_mut(&binding.source) {
            exchange.remove(binding, target);
        }
    }

    /// Takes out every binding that leads to a queue.
    pub fn remove_queue(&mut self, queue: &Q) {
        self.remove_target(&Target::Queue(queue.clone()));
    }

    /// Where an exchange's messages go that it has no target for.
    pub fn set_alternate(&mut self, name: &str, alternate: Option<ExchangeName>) {
        if let Some(exchange) = self.exchanges.get_mut(name) {
            exchange.alternate = alternate;
        }
    }

    /// Finds the queues of a message. False when the exchange does not exist.
    pub fn route(&self, input: &RouteInput<'_>, random: &mut dyn FnMut() -> u64, out: &mut Routed<Q>) -> bool {
        out.clear();
        let Some((start, exchange)) = self.exchanges.get_key_value(input.exchange) else {
            return false;
        };
        // One exchange without detours is the rule and needs no list.
        let mut waiting = Vec::new();
        self.visit(start, exchange, input, random, out, &mut waiting);
        if waiting.is_empty() {
            return true;
        }
        let mut visited: FxHashSet<ExchangeName> = FxHashSet::from_iter([start.clone()]);
        while let Some(name) = waiting.pop() {
            if !visited.contains(&name)
                && let Some(exchange) = self.exchanges.get(&name)
            {
                self.visit(&name, exchange, input, random, out, &mut waiting);
                visited.insert(name);
            }
        }
        true
    }

    /// Keeps a message for the queues that will be bound to an `x-recent-history` exchange.
    pub fn remember(&mut self, name: &str, message: &Message) {
        if let Some(exchange) = self.exchanges.get_mut(name) {
            exchange.history.push_back(message.clone());
            while exchange.history.len() > exchange.history_length {
                exchange.history.pop_front();
            }
        }
    }

    /// What a queue gets when it is bound to that exchange, oldest first.
    pub fn history_for(&self, name: &str) -> Vec<Message> {
        self.exchanges
            .get(name)
            .map(|exchange| exchange.history.iter().cloned().collect())
            .unwrap_or_default()
    }

    fn visit(
        &self,
        name: &ExchangeName,
        exchange: &Exchange<Q>,
        input: &RouteInput<'_>,
        random: &mut dyn FnMut() -> u64,
        out: &mut Routed<Q>,
        waiting: &mut Vec<ExchangeName>,
    ) {
        out.cacheable &= exchange.bindings.by_key_alone();
        if let Some(before) = exchange.kind.spec().before {
            out.cacheable = false;
            match before(input) {
                Before::Nothing => {}
                Before::Remember => out.remembered.push(name.clone()),
                Before::Hold(delay) => {
                    out.delayed.push((name.clone(), delay));
                    return;
                }
            }
        }
        let mut hit = false;
        exchange.bindings.route(input, random, &mut |target| {
            hit = true;
            match target {
                Target::Queue(queue) => out.push(queue),
                Target::Exchange(next) => waiting.push(next.clone()),
            }
        });
        if !hit {
            waiting.extend(exchange.alternate.clone());
        }
    }

    fn remove_target(&mut self, target: &Target<Q>) {
        for binding in self.bindings_of.remove(target).unwrap_or_default() {
            if let Some(exchange) = self.exchanges.get_mut(&binding.source) {
                exchange.remove(&binding, target);
            }
        }
    }

    /// Takes a binding out of its target's list; false when it was not there.
    fn forget(&mut self, binding: &BindingSpec, target: &Target<Q>) -> bool {
        let Some(bindings) = self.bindings_of.get_mut(target) else {
            return false;
        };
        let Some(at) = bindings.iter().position(|own| own == binding) else {
            return false;
        };
        bindings.swap_remove(at);
        if bindings.is_empty() {
            self.bindings_of.remove(target);
        }
        true
    }
}

impl<Q: Queue> Default for Router<Q> {
    fn default() -> Self {
        Self::new()
    }
}

impl<Q: Clone + Eq> Exchange<Q> {
    fn remove(&mut self, binding: &BindingSpec, target: &Target<Q>) {
        self.bindings.unbind(binding, target);
        if let Some(at) = self.list.iter().position(|(own, to)| own == binding && to == target) {
            self.list.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests;
