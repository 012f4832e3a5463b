//! Queues as lists sort and filter them, without the JSON of each.

use std::cell::OnceCell;
use std::sync::Arc;

use serde_json::Value;

use super::super::call::Call;
use super::super::figures;
use super::super::key::Key;
use super::super::list::Item;
use super::super::views::queue_type;
use super::counts::{numbers, stream_numbers};
use crate::broker::QueueHandle;
use crate::broker::report::QueueReport;
use crate::broker::reports::standing::Standing;
use crate::metadata::Vhost;
use crate::queue::Counts;
use crate::spec::policy::{self, Policy, Subject};
use crate::spec::{QueueSpec, QueueType};

/// How one queue is shown.
pub type View = fn(&Listed<'_>) -> Value;

/// One queue of a list.
pub struct Listed<'a> {
    pub call: &'a Call,
    pub vhost: &'a Vhost,
    pub spec: &'a QueueSpec,
    /// How it is shown.
    pub view: View,
    live: OnceCell<Option<Arc<QueueHandle>>>,
    standing: OnceCell<Option<Box<Standing>>>,
    counts: OnceCell<Option<Counts>>,
    report: OnceCell<Option<Box<QueueReport>>>,
    policies: OnceCell<Policies<'a>>,
}

/// The names of the policy and the operator policy that apply.
type Policies<'a> = (Option<&'a str>, Option<&'a str>);

impl<'a> Listed<'a> {
    /// A queue that is shown in this way.
    pub fn new(call: &'a Call, vhost: &'a Vhost, spec: &'a QueueSpec, view: View) -> Self {
        Self {
            call,
            vhost,
            spec,
            view,
            live: OnceCell::new(),
            standing: OnceCell::new(),
            counts: OnceCell::new(),
            report: OnceCell::new(),
            policies: OnceCell::new(),
        }
    }

    /// The queue itself.
    pub fn live(&self) -> Option<&Arc<QueueHandle>> {
        let live = self.live.get_or_init(|| live(self.call, self.vhost, self.spec));
        live.as_ref()
    }

    /// Where it is.
    pub fn standing(&self) -> Option<&Standing> {
        let find = || {
            Some(Box::new(
                self.call.broker.reports().standing(self.live()?, &self.call.gathered),
            ))
        };
        self.standing.get_or_init(find).as_deref()
    }

    /// How long it is.
    pub fn counts(&self) -> Option<Counts> {
        *self.counts.get_or_init(|| self.call.gathered.counts(self.live()?))
    }

    /// All that is known of it where its machine is.
    pub fn report(&self) -> Option<&QueueReport> {
        let ask = || self.call.gathered.queue(self.live()?).map(Box::new);
        self.report.get_or_init(ask).as_deref()
    }

    /// How it gets on, in one word.
    pub fn health(&self) -> Option<&'static str> {
        Some(self.call.gathered.health(self.live()?, self.standing()?))
    }

    /// The name of the node that has it, or leads it.
    pub fn node(&self) -> String {
        let leader = self.standing().map_or(self.spec.home, |standing| standing.leader);
        self.call.gathered.name(leader)
    }

    /// Whether it is served.
    pub fn state(&self) -> &'static str {
        self.standing().map_or("down", |standing| standing.health.name())
    }

    /// What applies to it.
    pub fn policies(&self) -> Policies<'a> {
        *self.policies.get_or_init(|| policies(self.vhost, self.spec))
    }
}

impl Item for Listed<'_> {
    fn key(&self, field: &str) -> Option<Key> {
        let spec = self.spec;
        let text = |text: Option<&str>| text.map_or(Key::Nothing, Key::from);
        Some(match field {
            "name" => Key::from(spec.name.as_str()),
            "vhost" => Key::from(spec.vhost.as_str()),
            "type" => Key::from(queue_type(spec.queue_type)),
            "durable" => Key::from(spec.durable),
            "auto_delete" => Key::from(spec.auto_delete),
            "exclusive" => Key::from(spec.exclusive_owner.is_some()),
            "policy" => text(self.policies().0),
            "operator_policy" => text(self.policies().1),
            "state" => Key::from(self.state()),
            "health" => text(self.health()),
            "node" => Key::Text(self.node()),
            _ if field.starts_with("message_stats.") => {
                let figures = self.call.gathered.figures_of_queue(spec.id);
                Key::Number(figures::number(&figures, field)?)
            }
            _ => {
                let counts = self.counts().unwrap_or_default();
                let of_stream = stream_numbers(counts).filter(|_| spec.queue_type == QueueType::Stream);
                let mut numbers = numbers(spec.queue_type, counts).chain(of_stream);
                let found = numbers.find(|(name, _)| *name == field);
                Key::from(found.map(|(_, number)| number)?)
            }
        })
    }

    fn view(&self) -> Value {
        (self.view)(self)
    }

    fn full_name(field: &str) -> &str {
        match field {
            "ready" => "messages_ready",
            "unacked" => "messages_unacknowledged",
            "in" => "message_stats.publish_details.rate",
            "out" => "message_stats.deliver_get_details.rate",
            "ack" => "message_stats.ack_details.rate",
            field => field,
        }
    }
}

/// The names of the policy and the operator policy that apply.
fn policies<'a>(vhost: &'a Vhost, spec: &QueueSpec) -> Policies<'a> {
    let subject = Subject::Queue(spec.queue_type);
    let own = policy::applying(vhost.policies.values(), subject, &spec.name);
    let operators = policy::applying(vhost.operator_policies.values(), subject, &spec.name);
    let name = |policy: &'a Policy| policy.spec.name.as_str();
    (own.map(name), operators.map(name))
}

/// The queue itself, if it is there.
pub fn live(call: &Call, vhost: &Vhost, spec: &QueueSpec) -> Option<Arc<QueueHandle>> {
    call.broker.vhost(vhost.name())?.queue(&spec.name)
}
