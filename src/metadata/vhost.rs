//! What is declared in one virtual host.
//!
//! Holds: a binding stands in its source's `outgoing` and its source in the destination's
//! `sources`, or in neither; an auto-delete exchange that lost its last binding is gone.

use std::collections::BTreeMap;

use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::{Map, Value};

use super::command::{Change, PermissionSpec, TopicPermissionSpec, VhostLimit, VhostSpec};
use super::error::CatalogueError;
use crate::auth::{Permission, TopicPermission};
use crate::exchange::{ExchangeKind, ExchangeSpec};
use crate::spec::exchange_arguments::ALTERNATE_EXCHANGE;
use crate::spec::policy::{self, Policy, Subject};
use crate::spec::{BindingSpec, Destination, Member, QueueSpec};
use crate::types::sorting::sort;
use crate::types::{ExchangeName, FieldTable, FieldValue, NodeId, QueueId, QueueName, UserName, VhostName};

/// The exchanges every vhost has; the last argument says whether clients may not publish to it.
const PREDECLARED: [(&str, ExchangeKind, bool); 7] = [
    ("", ExchangeKind::Direct, false),
    ("amq.direct", ExchangeKind::Direct, false),
    ("amq.fanout", ExchangeKind::Fanout, false),
    ("amq.headers", ExchangeKind::Headers, false),
    ("amq.match", ExchangeKind::Headers, false),
    ("amq.rabbitmq.trace", ExchangeKind::Topic, true),
    ("amq.topic", ExchangeKind::Topic, false),
];

/// Whether every vhost has an exchange of that name.
pub(super) fn is_in_every_vhost(exchange: &str) -> bool {
    PREDECLARED.iter().any(|(own, ..)| *own == exchange)
}

/// A virtual host.
#[derive(Debug)]
pub struct Vhost {
    pub spec: VhostSpec,
    pub limits: BTreeMap<VhostLimit, i64>,
    pub permissions: BTreeMap<UserName, (PermissionSpec, Permission)>,
    pub topic_permissions: BTreeMap<(UserName, ExchangeName), (TopicPermissionSpec, TopicPermission)>,
    pub policies: BTreeMap<String, Policy>,
    pub operator_policies: BTreeMap<String, Policy>,
    /// By component and name.
    pub parameters: BTreeMap<(String, String), Value>,
    exchanges: FxHashMap<ExchangeName, Exchange>,
    queues: FxHashMap<QueueName, Queue>,
}

#[derive(Debug)]
struct Exchange {
    spec: ExchangeSpec,
    outgoing: FxHashMap<Destination, Vec<BindingSpec>>,
    sources: FxHashSet<ExchangeName>,
}

#[derive(Debug)]
struct Queue {
    spec: QueueSpec,
    sources: FxHashSet<ExchangeName>,
}

impl Vhost {
    /// With the predeclared exchanges and nothing else.
    pub(super) fn new(spec: VhostSpec, changes: &mut Vec<Change>) -> Self {
        let mut vhost = Self {
            limits: BTreeMap::new(),
            permissions: BTreeMap::new(),
            topic_permissions: BTreeMap::new(),
            policies: BTreeMap::new(),
            operator_policies: BTreeMap::new(),
            parameters: BTreeMap::new(),
            exchanges: FxHashMap::default(),
            queues: FxHashMap::default(),
            spec,
        };
        changes.push(Change::VhostAdded(vhost.spec.name.clone()));
        for (name, kind, internal) in PREDECLARED {
            let spec = ExchangeSpec {
                vhost: vhost.spec.name.clone(),
                name: name.into(),
                kind,
                durable: true,
                auto_delete: false,
                internal,
                home: NodeId::default(),
                arguments: FieldTable::new(),
                user: "rmq-internal".into(),
            };
            // It has none yet.
            let _ = vhost.declare_exchange(&spec, changes);
        }
        vhost
    }

    /// The vhost's name.
    pub fn name(&self) -> &VhostName {
        &self.spec.name
    }

    /// An exchange.
    pub fn exchange(&self, name: &str) -> Option<&ExchangeSpec> {
        self.exchanges.get(name).map(|exchange| &exchange.spec)
    }

    /// All exchanges, in no order.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeSpec> {
        self.exchanges.values().map(|exchange| &exchange.spec)
    }

    /// The names of all queues and exchanges, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let queues = self.queues.values().map(|queue| &*queue.spec.name);
        queues.chain(self.exchanges.values().map(|exchange| &*exchange.spec.name))
    }

    /// A queue.
    pub fn queue(&self, name: &str) -> Option<&QueueSpec> {
        self.queues.get(name).map(|queue| &queue.spec)
    }

    /// All queues, in no order.
    pub fn queues(&self) -> impl Iterator<Item = &QueueSpec> {
        self.queues.values().map(|queue| &queue.spec)
    }

    /// The bindings from an exchange, without those of the default exchange, which are not kept.
    pub fn bindings_from(&self, name: &str) -> impl Iterator<Item = &BindingSpec> {
        self.exchanges
            .get(name)
            .into_iter()
            .flat_map(|exchange| exchange.outgoing.values().flatten())
    }

    /// The bindings that lead to a queue or an exchange.
    pub fn bindings_to<'a>(&'a self, to: &'a Destination) -> impl Iterator<Item = &'a BindingSpec> {
        let sources = match to {
            Destination::Queue(name) => self.queues.get(name).map(|queue| &queue.sources),
            Destination::Exchange(name) => self.exchanges.get(name).map(|exchange| &exchange.sources),
        };
        let sources = sources.into_iter().flatten();
        sources
            .filter_map(|name| self.exchanges.get(name)?.outgoing.get(to))
            .flatten()
    }

    /// All bindings, in no order.
    pub fn bindings(&self) -> impl Iterator<Item = &BindingSpec> {
        self.exchanges
            .values()
            .flat_map(|exchange| exchange.outgoing.values().flatten())
    }

    /// Whether the limit lets one more queue be declared.
    ///
    /// # Errors
    /// When it is reached.
    pub fn check_queue_limit(&self, name: &QueueName) -> Result<(), CatalogueError> {
        match self.limits.get(&VhostLimit::MaxQueues) {
            Some(&limit) if limit >= 0 && self.queues.len() as i64 >= limit => Err(CatalogueError::QueueLimit {
                vhost: self.name().clone(),
                name: name.clone(),
                limit,
            }),
            _ => Ok(()),
        }
    }

    /// The merged definition of the policies that apply to a thing.
    pub fn definition_for(&self, subject: Subject, name: &str) -> Map<String, Value> {
        policy::merged(
            policy::applying(self.policies.values(), subject, name),
            policy::applying(self.operator_policies.values(), subject, name),
        )
    }

    /// The alternate exchange of an exchange: its argument, else its policy's.
    pub fn alternate_of(&self, spec: &ExchangeSpec) -> Option<ExchangeName> {
        let argument = spec
            .arguments
            .get(ALTERNATE_EXCHANGE)
            .and_then(FieldValue::as_str)
            .map(ExchangeName::from);
        argument.or_else(|| {
            let definition = self.definition_for(Subject::Exchange, &spec.name);
            definition
                .get(ALTERNATE_EXCHANGE)
                .and_then(Value::as_str)
                .map(ExchangeName::from)
        })
    }

    /// Declares an exchange; the same again is no change.
    pub(super) fn declare_exchange(
        &mut self,
        spec: &ExchangeSpec,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        if let Some(Exchange { spec: known, .. }) = self.exchanges.get(&spec.name) {
            let is_same = known.kind == spec.kind
                && (known.durable, known.auto_delete, known.internal)
                    == (spec.durable, spec.auto_delete, spec.internal)
                && known.arguments == spec.arguments;
            return match is_same {
                true => Ok(()),
                false => Err(CatalogueError::Raced(spec.name.to_string())),
            };
        }
        let exchange = Exchange {
            spec: spec.clone(),
            outgoing: FxHashMap::default(),
            sources: FxHashSet::default(),
        };
        self.exchanges.insert(spec.name.clone(), exchange);
        changes.push(Change::ExchangeDeclared(spec.clone()));
        Ok(())
    }

    /// Ends what was declared for a run of that node, or, with `all`, what lived on it.
    pub(super) fn end_run(&mut self, node: NodeId, all: bool, changes: &mut Vec<Change>) {
        let of_node = |spec: &QueueSpec| {
            let lives_there = spec.home == node && spec.members.is_empty();
            lives_there && (all || spec.is_transient())
        };
        let mut queues: Vec<_> = self
            .queues()
            .filter(|spec| of_node(spec))
            .map(|spec| (spec.name.clone(), spec.id))
            .collect();
        // In the order of names: what is replicated must not depend on a hash's order.
        sort(&mut queues);
        for (name, id) in queues {
            // It was just found.
            let _ = self.delete_queue(&name, id, changes);
        }
        let ended = self.exchanges().filter(|spec| !spec.durable && spec.home == node);
        let mut exchanges: Vec<_> = ended.map(|spec| spec.name.clone()).collect();
        sort(&mut exchanges);
        for name in exchanges {
            self.remove_exchange(name, changes);
        }
    }

    /// A node is, or is not any more, to be in the group of a replicated queue.
    pub(super) fn change_members(
        &mut self,
        name: &QueueName,
        node: NodeId,
        is_member: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        let vhost = self.name().clone();
        let queue = self.queues.get_mut(name);
        let spec = queue
            .map(|queue| &mut queue.spec)
            .filter(|spec| !spec.members.is_empty());
        let spec = spec.ok_or_else(|| CatalogueError::NoQueue(vhost, name.clone()))?;
        let known = spec.members.iter().any(|member| member.node == node);
        if known == is_member {
            return Ok(());
        }
        match is_member {
            true => {
                spec.generations += 1;
                let generation = spec.generations;
                spec.members.push(Member { node, generation });
            }
            // The last one stays: a queue without members would be another kind of queue.
            false if spec.members.len() > 1 => {
                spec.generations += 1;
                spec.members.retain(|member| member.node != node);
            }
            false => return Ok(()),
        }
        changes.push(Change::QueueMembersChanged(spec.clone()));
        Ok(())
    }

    /// A member of the group of a replicated queue makes way for a new one on its node; one that has
    /// done so already, or left, is no change.
    pub(super) fn renew_member(
        &mut self,
        name: &QueueName,
        old: Member,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        let vhost = self.name().clone();
        let queue = self.queues.get_mut(name);
        let spec = &mut queue.ok_or_else(|| CatalogueError::NoQueue(vhost, name.clone()))?.spec;
        if let Some(member) = spec.members.iter_mut().find(|member| **member == old) {
            spec.generations += 1;
            member.generation = spec.generations;
            changes.push(Change::QueueMembersChanged(spec.clone()));
        }
        Ok(())
    }

    /// Declares a queue under that id and says whether it is new; the same again is no change.
    pub(super) fn declare_queue(
        &mut self,
        spec: &QueueSpec,
        id: QueueId,
        changes: &mut Vec<Change>,
    ) -> Result<bool, CatalogueError> {
        if let Some(Queue { spec: known, .. }) = self.queues.get(&spec.name) {
            let is_same = known.queue_type == spec.queue_type
                && (known.durable, known.auto_delete, known.exclusive_owner)
                    == (spec.durable, spec.auto_delete, spec.exclusive_owner)
                && known.arguments == spec.arguments;
            return match is_same {
                true => Ok(false),
                false => Err(CatalogueError::Raced(spec.name.to_string())),
            };
        }
        self.check_queue_limit(&spec.name)?;
        let spec = QueueSpec { id, ..spec.clone() };
        changes.push(Change::QueueDeclared(spec.clone()));
        let queue = Queue {
            spec,
            sources: FxHashSet::default(),
        };
        self.queues.insert(queue.spec.name.clone(), queue);
        Ok(true)
    }

    /// Deletes an exchange; a missing one is no error.
    pub(super) fn delete_exchange(
        &mut self,
        name: &ExchangeName,
        if_unused: bool,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        if name.is_empty() {
            return Err(CatalogueError::DefaultExchange);
        }
        if name.starts_with("amq.") {
            return Err(CatalogueError::SystemExchange(self.name().clone(), name.clone()));
        }
        if if_unused
            && self
                .exchanges
                .get(name)
                .is_some_and(|exchange| !exchange.outgoing.is_empty())
        {
            return Err(CatalogueError::ExchangeInUse(self.name().clone(), name.clone()));
        }
        self.remove_exchange(name.clone(), changes);
        Ok(())
    }

    /// Deletes a queue and its bindings. When it is gone, or another has taken its name, somebody
    /// else was faster.
    pub(super) fn delete_queue(
        &mut self,
        name: &QueueName,
        id: QueueId,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        let is_there = self.queues.get(name).is_some_and(|queue| queue.spec.id == id);
        let queue = is_there.then(|| self.queues.remove(name)).flatten();
        let queue = queue.ok_or_else(|| CatalogueError::Raced(name.to_string()))?;
        let destination = Destination::Queue(name.clone());
        changes.push(Change::QueueDeleted(queue.spec));
        self.detach(&destination, queue.sources, changes);
        Ok(())
    }

    /// Binds; the same binding again is no change.
    pub(super) fn bind(&mut self, binding: &BindingSpec, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        self.check_ends(binding)?;
        let vhost = self.spec.name.clone();
        let Some(source) = self.exchanges.get_mut(&binding.source) else {
            return Ok(());
        };
        let bindings = source.outgoing.entry(binding.destination.clone()).or_default();
        if bindings.contains(binding) {
            return Ok(());
        }
        bindings.push(binding.clone());
        if let Some(sources) = self.sources_mut(&binding.destination) {
            sources.insert(binding.source.clone());
        }
        changes.push(Change::Bound(vhost, binding.clone()));
        Ok(())
    }

    /// Unbinds; a missing binding, queue or exchange is no error.
    pub(super) fn unbind(&mut self, binding: &BindingSpec, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        if binding.source.is_empty() || binding.destination == Destination::Exchange("".into()) {
            return Err(CatalogueError::DefaultExchange);
        }
        let Some(source) = self.exchanges.get_mut(&binding.source) else {
            return Ok(());
        };
        let Some(bindings) = source.outgoing.get_mut(&binding.destination) else {
            return Ok(());
        };
        let Some(at) = bindings.iter().position(|own| own == binding) else {
            return Ok(());
        };
        bindings.remove(at);
        let last = bindings.is_empty();
        if last {
            source.outgoing.remove(&binding.destination);
        }
        changes.push(Change::Unbound(self.name().clone(), binding.clone()));
        if last {
            if let Some(sources) = self.sources_mut(&binding.destination) {
                sources.remove(&binding.source);
            }
            self.drop_if_unbound(&binding.source, changes);
        }
        Ok(())
    }

    fn check_ends(&self, binding: &BindingSpec) -> Result<(), CatalogueError> {
        let vhost = || self.name().clone();
        if binding.source.is_empty() || binding.destination == Destination::Exchange("".into()) {
            return Err(CatalogueError::DefaultExchange);
        }
        if !self.exchanges.contains_key(&binding.source) {
            return Err(CatalogueError::NoExchange(vhost(), binding.source.clone()));
        }
        match &binding.destination {
            Destination::Queue(name) if !self.queues.contains_key(name) => {
                Err(CatalogueError::NoQueue(vhost(), name.clone()))
            }
            Destination::Exchange(name) if !self.exchanges.contains_key(name) => {
                Err(CatalogueError::NoExchange(vhost(), name.clone()))
            }
            _ => Ok(()),
        }
    }

    fn sources_mut(&mut self, of: &Destination) -> Option<&mut FxHashSet<ExchangeName>> {
        match of {
            Destination::Queue(name) => self.queues.get_mut(name).map(|queue| &mut queue.sources),
            Destination::Exchange(name) => self.exchanges.get_mut(name).map(|exchange| &mut exchange.sources),
        }
    }

    fn remove_exchange(&mut self, name: ExchangeName, changes: &mut Vec<Change>) {
        let Some(exchange) = self.exchanges.remove(&name) else {
            return;
        };
        for destination in exchange.outgoing.keys() {
            if let Some(sources) = self.sources_mut(destination) {
                sources.remove(&name);
            }
        }
        changes.push(Change::ExchangeDeleted(exchange.spec));
        self.detach(&Destination::Exchange(name), exchange.sources, changes);
    }

    /// Takes the bindings to something that is gone out of their sources.
    fn detach(&mut self, gone: &Destination, sources: FxHashSet<ExchangeName>, changes: &mut Vec<Change>) {
        // In the order of names: what is replicated must not depend on a hash's order.
        let mut sources: Vec<_> = sources.into_iter().collect();
        sort(&mut sources);
        for source in sources {
            if let Some(exchange) = self.exchanges.get_mut(&source) {
                exchange.outgoing.remove(gone);
            }
            self.drop_if_unbound(&source, changes);
        }
    }

    fn drop_if_unbound(&mut self, name: &ExchangeName, changes: &mut Vec<Change>) {
        let unbound = |exchange: &Exchange| exchange.spec.auto_delete && exchange.outgoing.is_empty();
        if self.exchanges.get(name).is_some_and(unbound) {
            self.remove_exchange(name.clone(), changes);
        }
    }

    /// Walks the invariants; tests call it after every step.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for (name, exchange) in &self.exchanges {
            for (destination, bindings) in &exchange.outgoing {
                assert!(!bindings.is_empty(), "an empty list of bindings");
                let sources = match destination {
                    Destination::Queue(queue) => &self.queues[queue].sources,
                    Destination::Exchange(other) => &self.exchanges[other].sources,
                };
                assert!(sources.contains(name), "{destination:?} does not know {name}");
            }
        }
        let queues = self
            .queues
            .iter()
            .map(|(name, queue)| (Destination::Queue(name.clone()), &queue.sources));
        let exchanges = self
            .exchanges
            .iter()
            .map(|(name, own)| (Destination::Exchange(name.clone()), &own.sources));
        for (destination, sources) in queues.chain(exchanges) {
            for source in sources {
                assert!(
                    self.exchanges[source].outgoing.contains_key(&destination),
                    "{source} lost {destination:?}"
                );
            }
        }
    }
}
