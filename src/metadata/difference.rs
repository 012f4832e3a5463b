//! What has to change where one catalogue takes the place of another.

use rustc_hash::FxHashSet;

use super::{Catalogue, Change, Vhost};
use crate::exchange::ExchangeSpec;
use crate::spec::{BindingSpec, Destination, QueueSpec};
use crate::types::{ExchangeName, QueueName};

/// What has been replaced under its name: what hangs on it begins anew.
struct Replaced<'a> {
    exchanges: FxHashSet<&'a ExchangeName>,
    queues: FxHashSet<&'a QueueName>,
}

impl Replaced<'_> {
    fn is_end_of(&self, binding: &BindingSpec) -> bool {
        self.exchanges.contains(&binding.source)
            || match &binding.destination {
                Destination::Queue(name) => self.queues.contains(name),
                Destination::Exchange(name) => self.exchanges.contains(name),
            }
    }
}

impl Catalogue {
    /// The changes that lead from `before` to this catalogue, in an order that can be carried out.
    pub fn changes_since(&self, before: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.nodes != before.nodes {
            changes.push(Change::NodesChanged);
        }
        let gone = before.users.keys().filter(|name| !self.users.contains_key(*name));
        changes.extend(gone.cloned().map(Change::UserDeleted));
        let gone = before.vhosts.keys().filter(|name| !self.vhosts.contains_key(*name));
        changes.extend(gone.cloned().map(Change::VhostDeleted));
        for (name, vhost) in &self.vhosts {
            let old = before.vhosts.get(name);
            if old.is_none() {
                changes.push(Change::VhostAdded(name.clone()));
            }
            vhost.changes_since(old, &mut changes);
            if old.is_some() {
                changes.push(Change::PoliciesChanged(name.clone()));
            }
        }
        changes
    }
}

impl Vhost {
    fn changes_since(&self, before: Option<&Self>, changes: &mut Vec<Change>) {
        let mut replaced = Replaced {
            exchanges: FxHashSet::default(),
            queues: FxHashSet::default(),
        };
        for old in before.into_iter().flat_map(Self::queues) {
            if self.queue(&old.name).is_none_or(|new| new.id != old.id) {
                replaced.queues.insert(&old.name);
                changes.push(Change::QueueDeleted(old.clone()));
            }
        }
        for old in before.into_iter().flat_map(Self::exchanges) {
            if self.exchange(&old.name).is_none_or(|new| !is_same(new, old)) {
                replaced.exchanges.insert(&old.name);
                changes.push(Change::ExchangeDeleted(old.clone()));
            }
        }
        for new in self.exchanges() {
            let is_known = before.is_some_and(|before| before.exchange(&new.name).is_some());
            if !is_known || replaced.exchanges.contains(&new.name) {
                changes.push(Change::ExchangeDeclared(new.clone()));
            }
        }
        for new in self.queues() {
            match before.and_then(|before| before.queue(&new.name)) {
                Some(old) if old.id == new.id => members_changed(old, new, changes),
                _ => changes.push(Change::QueueDeclared(new.clone())),
            }
        }
        self.bindings_since(before, &replaced, changes);
    }

    fn bindings_since(&self, before: Option<&Self>, replaced: &Replaced<'_>, changes: &mut Vec<Change>) {
        let mut kept = FxHashSet::default();
        for old in before.into_iter().flat_map(Self::bindings) {
            // It went with its ends.
            if replaced.is_end_of(old) {
                continue;
            }
            match self.bindings_to(&old.destination).find(|new| *new == old) {
                Some(new) => {
                    kept.insert(std::ptr::from_ref(new));
                }
                None => changes.push(Change::Unbound(self.name().clone(), old.clone())),
            }
        }
        for new in self.bindings().filter(|new| !kept.contains(&std::ptr::from_ref(*new))) {
            changes.push(Change::Bound(self.name().clone(), new.clone()));
        }
    }
}

fn members_changed(old: &QueueSpec, new: &QueueSpec, changes: &mut Vec<Change>) {
    if old.members != new.members {
        changes.push(Change::QueueMembersChanged(new.clone()));
    }
}

fn is_same(one: &ExchangeSpec, other: &ExchangeSpec) -> bool {
    one.kind == other.kind
        && (one.durable, one.auto_delete, one.internal) == (other.durable, other.auto_delete, other.internal)
        && (one.home, &one.arguments) == (other.home, &other.arguments)
}
