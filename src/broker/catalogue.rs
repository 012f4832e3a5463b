//! Commands to the catalogue: applied, written down, and carried out on what is live.
//!
//! All three happen under the catalogue's lock, so live queues and routers always change in the
//! order of the commands; whoever asked then waits for the sync without the lock.

use std::sync::Arc;

use super::outbox::Control;
use super::runner::{Deferred, Machine, QueueHandle};
use super::vhosts::{QueueRef, Vhost};
use super::{Broker, BrokerError};
use crate::metadata::{Catalog, Change, Command};
use crate::queue::{Publish, Queue};
use crate::router::Target;
use crate::spec::policy::{Subject, queue_settings};
use crate::spec::{BindingSpec, Destination, ExchangeKind, ExchangeSpec, QueueSettings, QueueSpec};
use crate::store::Lsn;
use crate::types::{Reply, ReplyCode, UserName, VhostName};

/// Effects on queues that wait for the catalogue's lock to be free.
type Effects = Vec<(Arc<QueueHandle>, Deferred)>;

impl Broker {
    /// Applies a command, carries it out, and waits until it survives a crash.
    ///
    /// # Errors
    /// When the catalogue refuses it; nothing has changed then. Or when the store failed.
    pub async fn command(self: &Arc<Self>, command: Command) -> Result<(), BrokerError> {
        self.decide(|_| Ok::<_, BrokerError>((Some(command), ()))).await
    }

    /// Looks at the catalogue, decides on a command, and applies it with nothing happening in
    /// between; then waits until it survives a crash. With no command nothing happens.
    ///
    /// # Errors
    /// What `decide` said, or what [`Broker::command`] says.
    pub async fn decide<T, E>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Catalog) -> Result<(Option<Command>, T), E>,
    ) -> Result<T, BrokerError>
    where
        E: Into<BrokerError>,
    {
        let (position, answer) = self.apply(decide)?;
        if let Some(position) = position {
            self.store.synced(position).await?;
        }
        Ok(answer)
    }

    /// How often rights changed: a cached permission of an older count is dead.
    pub fn rights_version(&self) -> u64 {
        self.rights.load(std::sync::atomic::Ordering::Acquire)
    }

    pub(super) fn apply<T, E>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Catalog) -> Result<(Option<Command>, T), E>,
    ) -> Result<(Option<Lsn>, T), BrokerError>
    where
        E: Into<BrokerError>,
    {
        let mut effects = Effects::new();
        let mut position = None;
        let answer;
        {
            let mut catalog = self.catalog.write();
            let (command, decided) = decide(&catalog).map_err(Into::into)?;
            answer = decided;
            if let Some(command) = command {
                let mut changes = Vec::new();
                catalog.apply(&command, &mut changes)?;
                let written = self.store.command(&command.encode())?;
                *self.catalogue_lsn.lock() = written;
                position = Some(written);
                for change in changes {
                    self.carry_out_change(&catalog, change, &mut effects);
                }
                self.rights
                    .store(catalog.rights_version(), std::sync::atomic::Ordering::Release);
            }
        }
        for (queue, deferred) in effects {
            self.carry_out(&queue, deferred);
        }
        Ok((position, answer))
    }

    fn carry_out_change(self: &Arc<Self>, catalog: &Catalog, change: Change, effects: &mut Effects) {
        match change {
            Change::NodesChanged | Change::QueueMembersChanged(_) => {}
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
            Change::QueueDeclared(spec) => {
                let settings = settings_of(catalog, &spec);
                let machine = Queue::new(spec.queue_type, survives(&spec), settings, self.now());
                self.live_queue(spec, machine, false);
            }
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
    pub(super) fn live_exchange(&self, catalog: &Catalog, spec: &ExchangeSpec) {
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
    }

    /// Makes a queue live.
    pub(super) fn live_queue(&self, spec: QueueSpec, mut machine: Machine, quarantined: bool) {
        machine.set_consumer_timeout(self.now(), self.config.queues.consumer_timeout);
        let Some(vhost) = self.vhost(&spec.vhost) else {
            return;
        };
        let handle = Arc::new(QueueHandle::new(Arc::new(spec), machine, quarantined));
        self.owners.write().insert(handle.owner(), handle.clone());
        if let Some(deadline) = handle.deadline() {
            self.timers.schedule(&handle, deadline);
        }
        vhost.insert(handle);
    }

    /// Makes a binding live. A queue bound to an exchange with a memory gets what it remembers.
    pub(super) fn live_binding(&self, vhost: &Vhost, binding: &BindingSpec, effects: &mut Effects) {
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

/// Whether persistent messages of the queue are kept on disk.
pub(super) fn survives(spec: &QueueSpec) -> bool {
    spec.durable && spec.exclusive_owner.is_none()
}

/// What the queue goes by: its arguments merged with the policies.
pub(super) fn settings_of(catalog: &Catalog, spec: &QueueSpec) -> QueueSettings {
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
