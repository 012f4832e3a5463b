//! What is declared, carried out on live queues and routers.
//!
//! Under the catalogue's lock, so that live things always change in the order of its log and are
//! there when somebody finds them in it. What follows on queues is carried out without the lock.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use super::outbox::Control;
use super::recovery::{entries, mark};
use super::runner::{Deferred, Machine, QueueHandle};
use super::vhosts::{QueueRef, Vhost};
use super::{Broker, delayed};
use crate::metadata::replicated::{Afterwards, Listener, News};
use crate::metadata::{Catalog, Change};
use crate::queue::{Publish, Queue};
use crate::router::Target;
use crate::spec::policy::{Subject, queue_settings};
use crate::spec::{BindingSpec, Destination, ExchangeKind, ExchangeSpec, QueueSettings, QueueSpec};
use crate::store::OwnerId;
use crate::types::{Reply, ReplyCode, UserName, VhostName};

/// Effects on queues that wait for the catalogue's lock to be free.
type Effects = Vec<(Arc<QueueHandle>, Deferred)>;

/// Lets the broker hear of the catalogue, once there is one.
pub(super) fn listener(broker: Arc<OnceLock<Weak<Broker>>>) -> Listener {
    Box::new(move |catalog, news| {
        let broker = broker.get()?.upgrade()?;
        broker.on_news(catalog, news)
    })
}

impl Broker {
    /// How often rights changed: a cached permission of an older count is dead.
    pub fn rights_version(&self) -> u64 {
        self.rights.load(Ordering::Acquire)
    }

    fn on_news(self: &Arc<Self>, catalog: &Catalog, news: News) -> Afterwards {
        self.rights.store(catalog.rights_version(), Ordering::Release);
        // While the log is read again, what it says is not how things are.
        if !self.is_live() {
            return None;
        }
        let changes = match news {
            News::Changed(changes) => changes,
            News::Replaced(before) => catalog.changes_since(&before),
        };
        let mut effects = Effects::new();
        for change in changes {
            self.carry_out_change(catalog, change, &mut effects);
        }
        if effects.is_empty() {
            return None;
        }
        let broker = self.clone();
        Some(Box::new(move || broker.carry_out_all(effects)))
    }

    /// Makes everything live that is declared; from now on the catalogue's changes are carried out.
    pub(super) fn go_live(self: &Arc<Self>) {
        let mut effects = Effects::new();
        {
            // Nothing is applied meanwhile.
            let catalog = self.catalog.read();
            for change in catalog.changes_since(&Catalog::new()) {
                self.carry_out_change(&catalog, change, &mut effects);
            }
            self.live.store(true, Ordering::Release);
        }
        self.carry_out_all(effects);
        self.forget_left_over();
    }

    fn carry_out_all(self: &Arc<Self>, effects: Effects) {
        for (queue, deferred) in effects {
            self.carry_out(&queue, deferred);
        }
    }

    fn carry_out_change(self: &Arc<Self>, catalog: &Catalog, change: Change, effects: &mut Effects) {
        match change {
            Change::NodesChanged => self.nodes.know(catalog),
            Change::QueueMembersChanged(_) => {}
            Change::VhostAdded(name) => {
                let vhost = Arc::new(Vhost::new(name.clone()));
                self.vhosts.write().insert(name, vhost);
            }
            Change::VhostDeleted(name) => self.drop_vhost(&name, effects),
            Change::ExchangeDeclared(spec) => self.live_exchange(catalog, &spec),
            Change::ExchangeDeleted(spec) => {
                if let Some(vhost) = self.vhost(&spec.vhost) {
                    vhost.router.write().delete(&spec.name);
                    vhost.changed();
                    if spec.kind == ExchangeKind::DelayedMessage {
                        self.delayed.drop_exchange(self, &vhost.name, &spec.name);
                    }
                }
            }
            Change::QueueDeclared(spec) => self.live_queue(catalog, spec),
            Change::QueueDeleted(spec) => {
                let queue = self.vhost(&spec.vhost).and_then(|vhost| vhost.remove(&spec.name));
                if let Some(queue) = queue {
                    self.drop_queue(queue, effects);
                }
            }
            Change::Bound(vhost, binding) => {
                if let Some(vhost) = self.vhost(&vhost) {
                    self.live_binding(&vhost, &binding, effects);
                }
            }
            Change::Unbound(vhost, binding) => {
                if let Some(vhost) = self.vhost(&vhost) {
                    if let Some(target) = target_of(&vhost, &binding) {
                        vhost.router.write().unbind(&binding, &target);
                    }
                    vhost.changed();
                }
            }
            Change::PoliciesChanged(name) => self.apply_policies(catalog, &name, effects),
            Change::UserDeleted(name) => self.drop_user(&name),
        }
    }

    /// Takes an exchange into its vhost's router.
    fn live_exchange(&self, catalog: &Catalog, spec: &ExchangeSpec) {
        let Some(vhost) = self.vhost(&spec.vhost) else {
            return;
        };
        if spec.name.is_empty() {
            return;
        }
        let alternate = catalog.vhost(&spec.vhost).and_then(|own| own.alternate_of(spec));
        let mut router = vhost.router.write();
        router.declare(spec);
        router.set_alternate(&spec.name, alternate);
        drop(router);
        vhost.changed();
        let owner = delayed::owner_of(&spec.vhost, &spec.name);
        if spec.kind == ExchangeKind::DelayedMessage
            && let Some(ledger) = self.take_recovered(owner)
        {
            self.delayed
                .recover(self, Some((&spec.vhost, &spec.name)), owner, ledger);
        }
    }

    /// Whether this node has the machine of a queue.
    fn lives_here(&self, spec: &QueueSpec) -> bool {
        let us = self.nodes.us();
        match spec.members.is_empty() {
            true => spec.home == us,
            false => spec.members.iter().any(|member| member.node == us),
        }
    }

    /// Makes a queue live, with what survived of it.
    fn live_queue(&self, catalog: &Catalog, spec: QueueSpec) {
        let Some(vhost) = self.vhost(&spec.vhost).filter(|_| self.lives_here(&spec)) else {
            return;
        };
        let ledger = self.take_recovered(OwnerId(spec.id.0)).unwrap_or_default();
        let damaged = ledger.damaged;
        if damaged {
            tracing::error!(queue = %spec.name, vhost = %spec.vhost, "records of the queue are damaged: it is not served");
        }
        let settings = settings_of(catalog, &spec);
        let mut machine: Machine = match spec.is_transient() {
            true => Queue::new(spec.queue_type, false, settings, self.now()),
            false => Queue::recover(
                spec.queue_type,
                settings,
                self.now(),
                entries(ledger.entries),
                ledger.next_seq.max(1),
                mark(ledger.mark.as_deref()),
            ),
        };
        machine.set_consumer_timeout(self.now(), self.config.queues.consumer_timeout);
        let handle = Arc::new(QueueHandle::new(Arc::new(spec), machine, damaged));
        self.owners.write().insert(handle.owner(), handle.clone());
        if let Some(deadline) = handle.deadline() {
            self.timers.schedule(&handle, deadline);
        }
        vhost.insert(handle);
    }

    /// Makes a binding live. A queue bound to an exchange with a memory gets what it remembers.
    fn live_binding(&self, vhost: &Vhost, binding: &BindingSpec, effects: &mut Effects) {
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
            effects.push((queue.clone(), queue.publish(self, batch)));
        }
    }

    fn drop_queue(&self, queue: Arc<QueueHandle>, effects: &mut Effects) {
        let ((), deferred) = queue.with_deferred(self, |machine, _, sink| {
            queue.mark_deleted();
            machine.delete(sink);
        });
        self.owners.write().remove(&queue.owner());
        self.store.forget(queue.owner());
        // Somebody may wait for a body that will not come.
        queue.fetched.notify_waiters();
        effects.push((queue, deferred));
    }

    fn drop_vhost(self: &Arc<Self>, name: &VhostName, effects: &mut Effects) {
        let Some(vhost) = self.vhosts.write().remove(name) else {
            return;
        };
        for queue in vhost.queues() {
            vhost.remove(&queue.spec.name);
            self.drop_queue(queue, effects);
        }
        self.delayed.drop_vhost(self, name);
        let gone = Reply::connection(ReplyCode::ConnectionForced, format!("vhost '{name}' is down"));
        for connection in self.connections.all() {
            if connection.vhost().as_ref() == Some(name) {
                connection.outbox.control(Control::Close(gone.clone()));
            }
        }
    }

    fn drop_user(&self, name: &UserName) {
        let gone = Reply::connection(ReplyCode::ConnectionForced, format!("user '{name}' is deleted"));
        for connection in self.connections.all() {
            if connection.user().as_ref() == Some(name) {
                connection.outbox.control(Control::Close(gone.clone()));
            }
        }
    }

    fn apply_policies(&self, catalog: &Catalog, name: &VhostName, effects: &mut Effects) {
        let (Some(declared), Some(vhost)) = (catalog.vhost(name), self.vhost(name)) else {
            return;
        };
        for queue in vhost.queues() {
            if queue.is_quarantined() {
                continue;
            }
            let settings = settings_of(catalog, &queue.spec);
            let ((), deferred) = queue.with_deferred(self, |machine, now, sink| {
                if machine.settings() != &settings {
                    machine.set_settings(now, settings, sink);
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

/// What the queue goes by: its arguments merged with the policies.
fn settings_of(catalog: &Catalog, spec: &QueueSpec) -> QueueSettings {
    let definition = catalog
        .vhost(&spec.vhost)
        .map(|vhost| vhost.definition_for(Subject::Queue(spec.queue_type), &spec.name))
        .unwrap_or_default();
    queue_settings(spec, &definition)
}

fn target_of(vhost: &Vhost, binding: &BindingSpec) -> Option<Target<QueueRef>> {
    Some(match &binding.destination {
        Destination::Queue(name) => Target::Queue(QueueRef(vhost.queue(name)?)),
        Destination::Exchange(name) => Target::Exchange(name.clone()),
    })
}
