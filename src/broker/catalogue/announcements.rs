//! What is told of commands to the catalogue: an event for whoever listens, a line in the log for who looks back.
//!
//! It is told once, by the node that a user asked.

use serde_json::{Value, json};

use super::declarations::Declarations;
use crate::broker::observers::{self, Event, number, text};
use crate::exchange::ExchangeSpec;
use crate::metadata::{self, Catalogue, Command, PermissionSpec, UserLimit, VhostLimit};
use crate::spec::policy::PolicySpec;
use crate::spec::{BindingSpec, Destination, QueueSpec};
use crate::types::{FieldTable, FieldValue, UserName, VhostName};

/// Who does what no user asked for, in RabbitMQ's words.
const NOBODY: &str = "rmq-internal";

/// What is to be told of a command if it is taken.
pub(super) struct Announcement {
    events: Vec<(&'static str, FieldTable)>,
    subject: Option<Subject>,
}

/// What a command is about.
struct Subject {
    text: String,
    /// It belongs to definitions: it stays when its clients are gone.
    stays: bool,
}

impl Declarations {
    /// What is to be told of a command. To be asked before it is carried out: what is deleted is not known
    /// afterwards.
    pub(super) fn announcement_of(&self, command: &Command) -> Announcement {
        let catalogue = self.catalogue();
        Announcement {
            events: match self.observers.wants_events() {
                true => events_of(&catalogue, command),
                false => Vec::new(),
            },
            subject: subject(&catalogue, command),
        }
    }

    /// A command was carried out.
    pub(super) fn announce(&self, command: &Command, announcement: Announcement, by: Option<&UserName>) {
        let by = by.map_or(NOBODY, UserName::as_str);
        match announcement.subject {
            Some(subject) if subject.stays => tracing::info!(by, "definitions: {} {}", verb(command), subject.text),
            Some(subject) => tracing::debug!(by, "{} {}", verb(command), subject.text),
            None => {}
        }
        let at = self.queues.now();
        for (kind, mut fields) in announcement.events {
            fields.set("user_who_performed_action", text(by));
            self.observers.hand_in_event(Event { kind, fields, at });
        }
    }
}

/// What a command does to it.
fn verb(command: &Command) -> &'static str {
    match command {
        Command::DeleteVhost(_)
        | Command::DeleteUser(_)
        | Command::ClearPermission { .. }
        | Command::ClearTopicPermissions { .. }
        | Command::DeletePolicy { .. }
        | Command::DeleteOperatorPolicy { .. }
        | Command::DeleteGlobalParameter(_)
        | Command::DeleteParameter { .. }
        | Command::DeleteExchange { .. }
        | Command::DeleteQueue { .. }
        | Command::Unbind { .. } => "deleted",
        _ => "set",
    }
}

/// What a command is about; nothing of those that nobody asks for.
fn subject(catalogue: &Catalogue, command: &Command) -> Option<Subject> {
    let stays = |vhost: &VhostName, queue: &str| {
        let spec = catalogue.vhost(vhost).and_then(|vhost| vhost.queue(queue));
        spec.is_some_and(|spec| spec.durable && spec.exclusive_owner.is_none())
    };
    let in_vhost = |vhost: &VhostName, what: &str, name: &str| format!("{what} '{name}' in vhost '{vhost}'");
    let (text, stays) = match command {
        Command::PutNode { .. } | Command::RemoveNode(_) | Command::EndRun(_) => return None,
        Command::AddQueueMember { vhost, name, .. }
        | Command::RemoveQueueMember { vhost, name, .. }
        | Command::RenewQueueMember { vhost, name, .. } => (in_vhost(vhost, "members of queue", name), true),
        Command::PutVhost(spec) => (format!("vhost '{}'", spec.name), true),
        Command::DeleteVhost(name) => (format!("vhost '{name}'"), true),
        Command::SetVhostLimit { vhost, .. } => (format!("limits of vhost '{vhost}'"), true),
        Command::PutUser(spec) => (format!("user '{}' with tags {:?}", spec.name, spec.tags), true),
        Command::DeleteUser(name) => (format!("user '{name}'"), true),
        Command::SetUserLimit { user, .. } => (format!("limits of user '{user}'"), true),
        Command::SetPermission { user, vhost, .. }
        | Command::ClearPermission { user, vhost }
        | Command::SetTopicPermission { user, vhost, .. }
        | Command::ClearTopicPermissions { user, vhost, .. } => (in_vhost(vhost, "permissions of user", user), true),
        Command::PutPolicy(spec) => (in_vhost(&spec.vhost, "policy", &spec.name), true),
        Command::DeletePolicy { vhost, name } => (in_vhost(vhost, "policy", name), true),
        Command::PutOperatorPolicy(spec) => (in_vhost(&spec.vhost, "operator policy", &spec.name), true),
        Command::DeleteOperatorPolicy { vhost, name } => (in_vhost(vhost, "operator policy", name), true),
        Command::PutGlobalParameter { name, .. } | Command::DeleteGlobalParameter(name) => {
            (format!("global parameter '{name}'"), true)
        }
        Command::PutParameter {
            vhost, component, name, ..
        }
        | Command::DeleteParameter { vhost, component, name } => (in_vhost(vhost, component, name), true),
        Command::DeclareExchange(spec) => (in_vhost(&spec.vhost, "exchange", &spec.name), spec.durable),
        Command::DeleteExchange { vhost, name, .. } => (in_vhost(vhost, "exchange", name), true),
        Command::DeclareQueue(spec) => {
            let is_kept = spec.durable && spec.exclusive_owner.is_none();
            (in_vhost(&spec.vhost, "queue", &spec.name), is_kept)
        }
        Command::DeleteQueue { vhost, name, .. } => (in_vhost(vhost, "queue", name), stays(vhost, name)),
        Command::Bind { vhost, binding } | Command::Unbind { vhost, binding } => {
            let (kind, to) = destination(binding);
            let is_kept = kind == "exchange" || stays(vhost, to);
            let key = &binding.key;
            let what = format!("binding of '{to}' with '{key}' to exchange");
            (in_vhost(vhost, &what, &binding.source), is_kept)
        }
    };
    Some(Subject { text, stays })
}

fn events_of(catalogue: &Catalogue, command: &Command) -> Vec<(&'static str, FieldTable)> {
    let one = |kind, fields: &[(&str, FieldValue)]| vec![(kind, FieldTable::of(fields))];
    match command {
        Command::PutVhost(spec) if catalogue.vhost(&spec.name).is_none() => one(
            "vhost.created",
            &[
                ("name", text(&spec.name)),
                ("description", text(&spec.description)),
                ("tags", texts(&spec.tags)),
                ("tracing", FieldValue::Boolean(false)),
            ],
        ),
        Command::DeleteVhost(name) => vhost_deleted(catalogue, name),
        Command::SetVhostLimit { vhost, limit, value } => {
            let mut limits = catalogue
                .vhost(vhost)
                .map(|vhost| vhost.limits.clone())
                .unwrap_or_default();
            match value {
                Some(value) => limits.insert(*limit, *value),
                None => limits.remove(limit),
            };
            let mut fields = FieldTable::of(&[("name", text("limits")), ("vhost", text(vhost))]);
            for (limit, value) in limits {
                fields.set(vhost_limit(limit), number(value));
            }
            vec![("vhost.limits.set", fields)]
        }
        Command::PutUser(spec) => {
            let old = catalogue.user(&spec.name);
            let mut events = match old {
                None => one("user.created", &[("name", text(&spec.name))]),
                Some(old) if old.spec.password != spec.password => {
                    one("user.password.changed", &[("name", text(&spec.name))])
                }
                Some(_) => Vec::new(),
            };
            let fields = [("name", text(&spec.name)), ("tags", texts(&spec.tags))];
            events.extend(one("user.tags.set", &fields));
            events
        }
        Command::DeleteUser(name) => one("user.deleted", &[("name", text(name))]),
        Command::SetUserLimit { user, limit, value } => {
            let mut limits = catalogue.user(user).map(|user| user.limits.clone()).unwrap_or_default();
            match value {
                Some(value) => limits.insert(*limit, *value),
                None => limits.remove(limit),
            };
            let mut fields = FieldTable::of(&[("name", text("limits")), ("username", text(user))]);
            let kind = if limits.is_empty() {
                "user.limits.cleared"
            } else {
                "user.limits.set"
            };
            for (limit, value) in limits {
                fields.set(user_limit(limit), number(value));
            }
            vec![(kind, fields)]
        }
        Command::SetPermission { user, vhost, patterns } => {
            let PermissionSpec { configure, write, read } = patterns;
            one(
                "permission.created",
                &[
                    ("user", text(user)),
                    ("vhost", text(vhost)),
                    ("configure", text(configure)),
                    ("write", text(write)),
                    ("read", text(read)),
                ],
            )
        }
        Command::ClearPermission { user, vhost } => {
            one("permission.deleted", &[("user", text(user)), ("vhost", text(vhost))])
        }
        Command::SetTopicPermission {
            user,
            vhost,
            exchange,
            patterns,
        } => one(
            "topic.permission.created",
            &[
                ("user", text(user)),
                ("vhost", text(vhost)),
                ("exchange", text(exchange)),
                ("write", text(&patterns.write)),
                ("read", text(&patterns.read)),
            ],
        ),
        Command::ClearTopicPermissions { user, vhost, .. } => one(
            "topic.permission.deleted",
            &[("user", text(user)), ("vhost", text(vhost))],
        ),
        Command::PutPolicy(spec) | Command::PutOperatorPolicy(spec) => vec![("policy.set", policy(spec))],
        Command::DeletePolicy { vhost, name } | Command::DeleteOperatorPolicy { vhost, name } => {
            one("policy.cleared", &[("name", text(name)), ("vhost", text(vhost))])
        }
        Command::PutGlobalParameter { name, value } => one(
            "parameter.set",
            &[
                ("component", text("global")),
                ("name", text(name)),
                ("value", field(value)),
            ],
        ),
        Command::DeleteGlobalParameter(name) => one(
            "parameter.cleared",
            &[("component", text("global")), ("name", text(name))],
        ),
        Command::PutParameter {
            vhost,
            component,
            name,
            value,
        } => one(
            "parameter.set",
            &[
                ("vhost", text(vhost)),
                ("component", text(component)),
                ("name", text(name)),
                ("value", field(value)),
            ],
        ),
        Command::DeleteParameter { vhost, component, name } => one(
            "parameter.cleared",
            &[
                ("vhost", text(vhost)),
                ("component", text(component)),
                ("name", text(name)),
            ],
        ),
        Command::DeclareExchange(spec) => vec![("exchange.created", exchange_created(spec))],
        Command::DeleteExchange { vhost, name, .. } => {
            one("exchange.deleted", &[("name", text(name)), ("vhost", text(vhost))])
        }
        Command::DeclareQueue(spec) => vec![("queue.created", queue_created(catalogue, spec))],
        Command::DeleteQueue { vhost, name, .. } => {
            let spec = catalogue.vhost(vhost).and_then(|vhost| vhost.queue(name));
            spec.map(|spec| vec![("queue.deleted", queue_deleted(spec))])
                .unwrap_or_default()
        }
        Command::Bind { vhost, binding } => vec![("binding.created", bound(vhost, binding))],
        Command::Unbind { vhost, binding } => vec![("binding.deleted", bound(vhost, binding))],
        Command::PutVhost(_)
        | Command::PutNode { .. }
        | Command::RemoveNode(_)
        | Command::EndRun(_)
        | Command::AddQueueMember { .. }
        | Command::RemoveQueueMember { .. }
        | Command::RenewQueueMember { .. } => Vec::new(),
    }
}

fn vhost_deleted(catalogue: &Catalogue, name: &VhostName) -> Vec<(&'static str, FieldTable)> {
    let mut events = Vec::new();
    if let Some(vhost) = catalogue.vhost(name) {
        events.extend(vhost.queues().map(|spec| ("queue.deleted", queue_deleted(spec))));
        events.extend(vhost.exchanges().map(|spec| {
            let fields = [("name", text(&spec.name)), ("vhost", text(name))];
            ("exchange.deleted", FieldTable::of(&fields))
        }));
    }
    events.push(("vhost.deleted", FieldTable::of(&[("name", text(name))])));
    events
}

fn exchange_created(spec: &ExchangeSpec) -> FieldTable {
    FieldTable::of(&[
        ("name", text(&spec.name)),
        ("vhost", text(&spec.vhost)),
        ("type", text(spec.kind.name())),
        ("durable", FieldValue::Boolean(spec.durable)),
        ("auto_delete", FieldValue::Boolean(spec.auto_delete)),
        ("internal", FieldValue::Boolean(spec.internal)),
        ("arguments", observers::arguments(&spec.arguments)),
    ])
}

fn queue_created(catalogue: &Catalogue, spec: &QueueSpec) -> FieldTable {
    let name = |node| catalogue.nodes().get(node).map(|node| text(&node.name));
    let members = spec.members.iter().map(|member| &member.node);
    let members: Vec<_> = match spec.members.is_empty() {
        true => name(&spec.home).into_iter().collect(),
        false => members.filter_map(name).collect(),
    };
    let mut fields = queue_deleted(spec);
    for (field, value) in [
        ("durable", FieldValue::Boolean(spec.durable)),
        ("auto_delete", FieldValue::Boolean(spec.auto_delete)),
        ("exclusive", FieldValue::Boolean(spec.exclusive_owner.is_some())),
        ("arguments", observers::arguments(&spec.arguments)),
        ("leader", name(&spec.home).unwrap_or(FieldValue::Void)),
        ("members", FieldValue::Array(members)),
    ] {
        fields.set(field, value);
    }
    fields
}

/// Which queue it is.
fn queue_deleted(spec: &QueueSpec) -> FieldTable {
    let kind = crate::spec::arguments::type_name(spec.queue_type);
    FieldTable::of(&[
        ("name", text(&spec.name)),
        ("vhost", text(&spec.vhost)),
        ("type", text(&format!("rabbit_{kind}_queue"))),
    ])
}

fn bound(vhost: &VhostName, binding: &BindingSpec) -> FieldTable {
    let (kind, name) = destination(binding);
    FieldTable::of(&[
        ("vhost", text(vhost)),
        ("source_kind", text("exchange")),
        ("source_name", text(&binding.source)),
        ("destination_kind", text(kind)),
        ("destination_name", text(name)),
        ("routing_key", text(&binding.key)),
        ("arguments", observers::arguments(&binding.arguments)),
    ])
}

fn destination(binding: &BindingSpec) -> (&'static str, &str) {
    match &binding.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    }
}

fn policy(spec: &PolicySpec) -> FieldTable {
    FieldTable::of(&[
        ("name", text(&spec.name)),
        ("vhost", text(&spec.vhost)),
        ("pattern", text(&spec.pattern)),
        ("apply-to", field(&json!(spec.apply_to))),
        ("priority", number(spec.priority)),
        ("definition", field(&Value::Object(spec.definition.clone()))),
    ])
}

fn vhost_limit(limit: VhostLimit) -> &'static str {
    match limit {
        VhostLimit::MaxConnections => "max-connections",
        VhostLimit::MaxQueues => "max-queues",
    }
}

fn user_limit(limit: UserLimit) -> &'static str {
    match limit {
        UserLimit::MaxConnections => "max-connections",
        UserLimit::MaxChannels => "max-channels",
    }
}

fn texts(all: &[String]) -> FieldValue {
    FieldValue::Array(all.iter().map(|one| text(one)).collect())
}

/// JSON as a field; what no field can hold is its text.
fn field(value: &Value) -> FieldValue {
    let table = metadata::json::to_table(Some(&json!({"value": value}))).ok();
    let field = table.and_then(|mut table| table.take("value"));
    field.unwrap_or_else(|| text(&value.to_string()))
}
