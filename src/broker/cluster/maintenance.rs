//! A node that its operator takes out of service, and puts back: it stays a member, and its members of
//! queues go on voting and keeping what they have.
//!
//! ```text
//!            suspend                       drain
//! In service ───────→ takes no new clients ─────→ drained: no clients at all, leads nothing it need not
//!     ↑                                             │
//!     └─────────────── resume, revive ──────────────┘
//! ```
//! It holds until the process ends or the broker is started again, as with RabbitMQ. Others hear of a
//! drained node by its notices (`shortages.rs`): it gets no new leaders, and asks for votes only after
//! all others.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::iter;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::Membership;
use super::majority::Reach;
use crate::broker::Forced;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::replicas::members::MemberChange;
use crate::logging::Said;
use crate::tasks;
use crate::types::{NodeId, QueueId};

/// What the operator wants of the node.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Duty {
    /// No new clients.
    pub is_suspended: bool,
    /// No clients, and no leaders where another member can lead.
    pub is_drained: bool,
}

/// What an operator says of a node's service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Order {
    Drain,
    Revive,
    SuspendListeners,
    ResumeListeners,
    /// Free disk under the limit is an alarm, or none.
    WatchDisk(bool),
}

/// Whether a node is in service.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Service {
    pub is_drained: bool,
    pub takes_clients: bool,
}

/// How long clients have to go, and then leaders, before whoever drains is answered.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks of a drained node at what it leads all the same.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Queues whose leaders are handed over side by side.
const AT_ONCE: usize = 16;

impl Membership {
    /// Whether a node is in service; `None` when another does not answer.
    pub async fn service_of(&self, node: NodeId) -> Option<Service> {
        match node == self.us() {
            true => Some(self.service()),
            false => self.ask_for_service(node).await,
        }
    }

    pub(super) fn service(&self) -> Service {
        Service {
            is_drained: self.is_drained(),
            takes_clients: self.takes_clients(),
        }
    }

    /// Has a node do as it is told; how many queues it leads still, once it is drained. `None` when another does not
    /// answer.
    pub async fn order(self: &Arc<Self>, node: NodeId, order: Order) -> Option<usize> {
        match node == self.us() {
            true => Some(self.obey(order).await),
            // Its clients have to go first, and then its leaders.
            false => self.give_order(node, order, 2 * PATIENCE + RETRY_PAUSE).await,
        }
    }

    pub(super) async fn obey(self: &Arc<Self>, order: Order) -> usize {
        match order {
            Order::Drain => return self.enter_maintenance().await,
            Order::Revive => self.leave_maintenance(),
            Order::SuspendListeners => self.suspend_listeners(),
            Order::ResumeListeners => self.resume_listeners(),
            Order::WatchDisk(watches) => self.alarms.watch_disk(watches),
        }
        0
    }

    /// Whether the node is out of service.
    pub fn is_drained(&self) -> bool {
        self.duty.borrow().is_drained
    }

    /// Whether it takes new clients: it neither pauses nor is told not to.
    pub fn takes_clients(&self) -> bool {
        *self.takes_clients.borrow()
    }

    /// To wait for changes of that.
    pub fn subscribe_takes_clients(&self) -> watch::Receiver<bool> {
        self.takes_clients.subscribe()
    }

    /// Takes no new clients; those that are there stay.
    pub fn suspend_listeners(&self) {
        tracing::warn!("no new clients are taken from now on");
        self.set_duty(|duty| duty.is_suspended = true);
    }

    /// Takes new clients again.
    pub fn resume_listeners(&self) {
        tracing::info!("new clients are taken again");
        self.set_duty(|duty| duty.is_suspended = false);
    }

    /// Takes the node out of service: clients are sent away, and leaders go to other nodes. Returns how
    /// many queues it leads still, for want of another member that runs, or of time.
    pub async fn enter_maintenance(self: &Arc<Self>) -> usize {
        tracing::warn!("the node is taken out of service: its clients are sent away");
        let began = self.set_duty(|duty| {
            *duty = Duty {
                is_suspended: true,
                is_drained: true,
            };
        });
        self.alarms.set_drained(true);
        let why = Forced::Ordered("Node was put into maintenance mode".to_owned());
        self.connections.close_all(&why);
        // Those that do not answer are cut off by their own deadline.
        self.connections.gone(PATIENCE).await;
        let left = timeout(PATIENCE, self.lead_nothing(&Mutex::default())).await;
        if began {
            tasks::spawn("draining", keep_drained(Arc::downgrade(self)));
        }
        left.unwrap_or_else(|_| self.led_here().len())
    }

    /// Puts the node back into service.
    pub fn leave_maintenance(&self) {
        tracing::info!("the node is in service again");
        self.set_duty(|duty| *duty = Duty::default());
        self.alarms.set_drained(false);
    }

    /// Whether the node was not drained before.
    fn set_duty(&self, change: impl FnOnce(&mut Duty)) -> bool {
        let mut was_drained = false;
        self.duty.send_modify(|duty| {
            was_drained = duty.is_drained;
            change(duty);
        });
        self.settle_listeners();
        !was_drained
    }

    /// Opens or closes the listeners to clients, after what else is known.
    pub(super) fn settle_listeners(&self) {
        let takes = !self.duty.borrow().is_suspended && *self.reach.borrow() != Reach::Paused;
        self.takes_clients
            .send_if_modified(|known| std::mem::replace(known, takes) != takes);
    }

    /// Hands over what it leads to members on nodes that are in service; how much is left.
    async fn lead_nothing(self: &Arc<Self>, said: &Mutex<Said<QueueId>>) -> usize {
        let drained = self.alarms.drained(self.us());
        let handed = iter(self.led_here()).map(|queue| {
            let drained = &drained;
            async move {
                let incomplete = self.replicas.is_incomplete(&queue).then(|| self.us());
                let online = self.replicas.online_of(&queue.member_nodes(), incomplete.as_slice());
                let Some(next_leader) = online.into_iter().find(|node| !drained.contains(node)) else {
                    return;
                };
                let spec = &queue.spec;
                if let Err(error) = self
                    .replicas
                    .change_member(spec.id, MemberChange::LeadOn(next_leader))
                    .await
                    && said.lock().is_news(spec.id, &error)
                {
                    tracing::warn!(queue = %spec.name, vhost = %spec.vhost, %error, "the queue is led here still");
                }
            }
        });
        handed.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
        let other = self.replicas.next_leader_of(self.declarations.group());
        let other = other.filter(|node| !drained.contains(node));
        self.declarations.hand_over(other).await;
        self.led_here().len()
    }

    /// Replicated queues that are led here.
    fn led_here(&self) -> Vec<Arc<QueueHandle>> {
        let queues = self.queues.all().into_iter();
        queues
            .filter(|queue| queue.is_replicated() && queue.leader() == self.us())
            .collect()
    }
}

/// What it comes to lead while it is drained goes on to others, until it is in service again.
async fn keep_drained(membership: Weak<Membership>) {
    let said = Mutex::default();
    loop {
        sleep(RETRY_PAUSE).await;
        match membership.upgrade().filter(|here| here.is_drained()) {
            Some(membership) => membership.lead_nothing(&said).await,
            None => return,
        };
    }
}
