//! What the catalogue says, carried out on what is live, on every node.
//!
//! A change is carried out while the catalogue is locked for it, so live queues and routers always
//! change in the order of the log, and nobody sees a thing declared that is not live yet.

use std::sync::Arc;

use super::declarations::Declarations;
use crate::broker::Forced;
use crate::broker::delivery::control::Control;
use crate::broker::publish::delayed;
use crate::broker::publish::vhosts::{QueueRef, Vhost};
use crate::broker::queue::deferred::Deferred;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::kept_dead_letters::warn_of_fallback;
use crate::broker::queue::recovery::{entries, mark};
use crate::broker::queue::settings::settings_of;
use crate::exchange::{ExchangeSpec, Target};
use crate::metadata::replicated::{Afterwards, News};
use crate::metadata::{Catalogue, Change};
use crate::queue::{Publish, Queue};
use crate::spec::{BindingSpec, Destination, QueueSpec, QueueType};
use crate::statistics::{Measure, Scope};
use crate::store::OwnerId;
use crate::types::{Refusal, UserName, VhostName};

/// Effects on queues that wait for the other changes of a command.
type Effects = Vec<(Arc<QueueHandle>, Deferred)>;

impl Declarations {
    /// Carries out what is new in the catalogue, which is locked meanwhile.
    pub(in crate::broker) fn on_news(self: &Arc<Self>, catalogue: &Catalogue, news: News) -> Afterwards {
        self.vhosts.set_rights_version(catalogue.rights_version());
        // While the log is read again, what it says is not how things are: a limit that was lifted
        // long ago must not drop messages that came after it.
        if !self.is_live() {
            return None;
        }
        let changes = match news {
            News::Changed(changes) => changes,
            News::Replaced(before) => catalogue.changes_since(&before),
        };
        let mut effects = Effects::new();
        for change in changes {
            self.carry_out_change(catalogue, change, &mut effects);
        }
        self.look_for_observers(catalogue);
        if effects.is_empty() {
            return None;
        }
        let declarations = self.clone();
        Some(Box::new(move || declarations.carry_out_all(effects)))
    }

    /// Makes everything live that is declared; from now on the catalogue's changes are carried out.
    pub(in crate::broker) fn go_live(self: &Arc<Self>) {
        let mut effects = Effects::new();
        {
            // Nothing is applied meanwhile.
            let catalogue = self.catalogue.read();
            for change in catalogue.changes_since(&Catalogue::new()) {
                self.carry_out_change(&catalogue, change, &mut effects);
            }
            self.look_for_observers(&catalogue);
            self.live.send_replace(true);
        }
        self.carry_out_all(effects);
    }

    fn carry_out_all(self: &Arc<Self>, effects: Effects) {
        for (queue, deferred) in effects {
            self.queues.carry_out(&queue, deferred);
        }
    }

    fn carry_out_change(self: &Arc<Self>, catalogue: &Catalogue, change: Change, effects: &mut Effects) {
        match change {
            Change::VhostAdded(name) => {
                let scope = Arc::new(Scope::new(self.statistics.clone()));
                self.vhosts.insert(Vhost::new(name, scope));
            }
            Change::VhostDeleted(name) => self.drop_vhost(&name, effects),
            Change::ExchangeDeclared(spec) => self.live_exchange(catalogue, &spec),
            Change::ExchangeDeleted(spec) => {
                if let Some(vhost) = self.vhosts.get(&spec.vhost) {
                    vhost.router.write().delete(&spec.name);
                    vhost.changed();
                    vhost.forget_exchange(&spec.name);
                    if spec.kind.spec().holds_messages {
                        self.vhosts.delayed.drop_exchange(&self.store, &vhost.name, &spec.name);
                    }
                }
            }
            Change::NodesChanged => {
                if let Some(above) = self.above() {
                    above.on_nodes(catalogue);
                }
            }
            Change::QueueDeclared(spec) => {
                self.count_churn(&spec, Measure::QueueCreated);
                self.live_queue(catalogue, spec);
            }
            Change::QueueMembersChanged(spec) => {
                if let Some(queue) = self.vhosts.get(&spec.vhost).and_then(|vhost| vhost.queue(&spec.name)) {
                    *queue.members.write() = spec.members;
                    if let Some(above) = self.above() {
                        above.on_members(&queue);
                    }
                }
            }
            Change::QueueDeleted(spec) => {
                let queue = self.vhosts.get(&spec.vhost).and_then(|vhost| vhost.remove(&spec.name));
                self.count_churn(&spec, Measure::QueueDeleted);
                if let Some(queue) = queue {
                    self.drop_queue(queue, effects);
                }
            }
            Change::Bound(vhost, binding) => {
                if let Some(vhost) = self.vhosts.get(&vhost) {
                    self.live_binding(&vhost, &binding, effects);
                }
            }
            Change::Unbound(vhost, binding) => {
                if let Some(vhost) = self.vhosts.get(&vhost) {
                    if let Some(target) = target_of(&vhost, &binding) {
                        vhost.router.write().unbind(&binding, &target);
                    }
                    vhost.changed();
                }
            }
            Change::PoliciesChanged(name) => self.apply_policies(catalogue, &name, effects),
            Change::UserDeleted(name) => self.drop_user(&name),
        }
    }

    /// Queues come and go on all nodes at once: each counts those of its own.
    fn count_churn(&self, spec: &QueueSpec, what: Measure) {
        // Not those that were there when the node started.
        if self.is_live() && spec.home == self.nodes.us() {
            self.statistics.node().add(what, 1);
        }
    }

    /// Takes an exchange into its vhost's router.
    pub(super) fn live_exchange(&self, catalogue: &Catalogue, spec: &ExchangeSpec) {
        let Some(vhost) = self.vhosts.get(&spec.vhost) else {
            return;
        };
        if spec.name.is_empty() {
            return;
        }
        let alternate = catalogue.vhost(&spec.vhost).and_then(|own| own.alternate_of(spec));
        let mut router = vhost.router.write();
        router.declare(spec);
        router.set_alternate(&spec.name, alternate);
        drop(router);
        vhost.changed();
        let owner = delayed::owner_of(&spec.vhost, &spec.name);
        if spec.kind.spec().holds_messages
            && let Some(ledger) = self.recovered.take(owner)
        {
            self.vhosts
                .delayed
                .recover(Some((&spec.vhost, &spec.name)), owner, ledger);
        }
    }

    /// Makes a queue live: its machine where it lives on this node, else the way to it.
    fn live_queue(self: &Arc<Self>, catalogue: &Catalogue, spec: QueueSpec) {
        let Some(vhost) = self.vhosts.get(&spec.vhost) else {
            return;
        };
        let spec = Arc::new(spec);
        let scope = vhost.scope.clone();
        let handle = match spec.queue_type {
            QueueType::Quorum | QueueType::Stream => QueueHandle::elsewhere(self.nodes.us(), spec, scope, None),
            _ if spec.home != self.nodes.us() => {
                let home = spec.home;
                QueueHandle::elsewhere(self.nodes.us(), spec, scope, Some(home))
            }
            _ => self.recover_queue(catalogue, spec, scope),
        };
        let handle = Arc::new(handle);
        if handle.spec.queue_type == QueueType::Stream {
            self.queues.streams.open(&handle, &settings_of(catalogue, &handle.spec));
        }
        self.queues.insert(&handle);
        vhost.insert(handle.clone());
        self.queues.moves(&handle);
        if handle.is_replicated()
            && let Some(above) = self.above()
        {
            above.open_member(&handle);
        }
    }

    /// A queue that lives here, with what the store kept of it.
    fn recover_queue(&self, catalogue: &Catalogue, spec: Arc<QueueSpec>, scope: Arc<Scope>) -> QueueHandle {
        let settings = settings_of(catalogue, &spec);
        let owner = OwnerId(spec.id.0);
        let ledger = self.recovered.take(owner);
        let may_be_lost = ledger.is_none() && !spec.is_transient() && self.recovered.has_lost_records();
        let ledger = ledger.unwrap_or_default();
        let damaged = ledger.damaged || may_be_lost;
        if may_be_lost {
            self.store.note_damage([owner]);
        }
        if damaged {
            tracing::error!(queue = %spec.name, vhost = %spec.vhost, "records of the queue are damaged: it is not served");
        }
        let mut machine = match spec.is_transient() {
            false => Queue::recover(
                spec.queue_type,
                settings,
                self.queues.now(),
                entries(ledger.entries),
                ledger.next_seq.max(1),
                mark(ledger.mark.as_deref()),
            ),
            true => Queue::new(spec.queue_type, false, settings, self.queues.now()),
        };
        machine.set_consumer_timeout(self.queues.now(), self.config.queues.consumer_timeout);
        QueueHandle::here(self.nodes.us(), spec, scope, machine, damaged)
    }

    /// Makes a binding live. A queue bound to an exchange with a memory gets what it remembers.
    pub(super) fn live_binding(self: &Arc<Self>, vhost: &Vhost, binding: &BindingSpec, effects: &mut Effects) {
        let Some(target) = target_of(vhost, binding) else {
            return;
        };
        let mut router = vhost.router.write();
        router.bind(binding, &target);
        let history = router.history_for(&binding.source);
        drop(router);
        vhost.changed();
        if let Target::Queue(QueueRef(queue)) = target
            && !history.is_empty()
        {
            let batch = history.into_iter().map(|message| Publish { message, publish: None });
            effects.push((queue.clone(), queue.publish_deferred(&self.queues, batch)));
        }
    }

    fn drop_queue(self: &Arc<Self>, queue: Arc<QueueHandle>, effects: &mut Effects) {
        queue.mark_deleted();
        queue.uncount();
        let ((), deferred) = queue.input_deferred(&self.queues, |machine, now, sink| machine.delete(now, sink));
        if let Some(stream) = self.queues.streams.forget(&queue) {
            stream.delete();
        }
        self.queues.forget(&queue);
        if queue.is_replicated() {
            if let Some(above) = self.above() {
                above.drop_member(&queue);
            }
        } else if queue.spec.home == self.nodes.us() {
            self.store.forget(queue.owner());
        }
        // Somebody may wait for what will not come.
        queue.changed.notify_waiters();
        effects.push((queue, deferred));
    }

    fn drop_vhost(self: &Arc<Self>, name: &VhostName, effects: &mut Effects) {
        let Some(vhost) = self.vhosts.remove(name) else {
            return;
        };
        for queue in vhost.queues() {
            vhost.remove(&queue.spec.name);
            self.count_churn(&queue.spec, Measure::QueueDeleted);
            self.drop_queue(queue, effects);
        }
        let gone = Forced::VhostDeleted(name.clone()).reply();
        for connection in self.connections.all() {
            if connection.vhost().as_ref() == Some(name) {
                connection.outbox.control(Control::Close(gone.clone()));
            }
        }
    }

    fn drop_user(&self, name: &UserName) {
        let gone = Forced::UserDeleted(name.clone()).reply();
        for connection in self.connections.all() {
            if connection.user().as_ref() == Some(name) {
                connection.outbox.control(Control::Close(gone.clone()));
            }
        }
    }

    fn apply_policies(self: &Arc<Self>, catalogue: &Catalogue, name: &VhostName, effects: &mut Effects) {
        let (Some(declared), Some(vhost)) = (catalogue.vhost(name), self.vhosts.get(name)) else {
            return;
        };
        for queue in vhost.queues() {
            if queue.is_quarantined() {
                continue;
            }
            let settings = settings_of(catalogue, &queue.spec);
            if let Some(stream) = self.queues.streams.of(&queue) {
                stream.set_settings(&queue, &settings);
                continue;
            }
            let (_, deferred) = queue.with_deferred(&self.queues, |machine, now, sink| {
                if machine.settings() != &settings {
                    machine.set_settings(now, settings, sink);
                    warn_of_fallback(&queue, machine);
                }
            });
            effects.push((queue, deferred));
        }
        let mut router = vhost.router.write();
        for exchange in declared.exchanges() {
            router.set_alternate(&exchange.name, declared.alternate_of(exchange));
        }
        drop(router);
        vhost.changed();
    }
}

fn target_of(vhost: &Vhost, binding: &BindingSpec) -> Option<Target<QueueRef>> {
    Some(match &binding.destination {
        Destination::Queue(name) => Target::Queue(QueueRef(vhost.queue(name)?)),
        Destination::Exchange(name) => Target::Exchange(name.clone()),
    })
}
