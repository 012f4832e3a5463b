//! Definitions files: what is declared as one JSON document, and back (RabbitMQ, "Schema
//! Definition Export and Import").
//!
//! Export reads the catalogue. Import gives the commands that make what the document says, in an
//! order that applies; what is there already stays as it is where RabbitMQ leaves it.

mod import;

pub use import::{DefinitionError, Import, Setting, import, import_vhost};

use serde_json::{Map, Value, json};

use super::json::from_table;
use super::{Catalogue, User, Vhost, is_predeclared};
use crate::exchange::ExchangeSpec;
use crate::spec::arguments::type_name;
use crate::spec::policy::PolicySpec;
use crate::spec::{BindingSpec, Destination, QueueSpec};
use crate::types::sorting::sort_by;

/// What the head of a document says about who wrote it.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The version of RabbitMQ whose format this is.
    pub version: &'a str,
    pub product_name: &'a str,
    pub product_version: &'a str,
    pub cluster_name: &'a str,
    /// Of queues in vhosts that do not say.
    pub default_queue_type: &'a str,
}

/// Everything declared, but for what ends with a connection.
pub fn export(catalogue: &Catalogue, writer: &Writer<'_>) -> Value {
    let cluster = writer.cluster_name;
    let mut document = head(writer);
    document.extend(object(json!({
        "rabbitmq_definition_format": "cluster",
        "original_cluster_name": cluster,
        "explanation": format!("Definitions of cluster '{cluster}'"),
    })));
    let vhosts = || catalogue.vhosts();
    let globals = catalogue.global_parameters();
    let sections = [
        ("users", catalogue.users().map(user).collect()),
        ("vhosts", vhosts().map(|own| vhost(own, writer)).collect()),
        ("permissions", vhosts().flat_map(permissions).collect()),
        ("topic_permissions", vhosts().flat_map(topic_permissions).collect()),
        ("parameters", within(catalogue, parameters)),
        (
            "global_parameters",
            globals
                .iter()
                .map(|(name, value)| json!({"name": name, "value": value}))
                .collect(),
        ),
        ("policies", within(catalogue, policies)),
        ("queues", within(catalogue, queues)),
        ("exchanges", within(catalogue, exchanges)),
        ("bindings", within(catalogue, bindings)),
    ];
    document.extend(sections.map(|(name, items): (_, Vec<Value>)| (name.to_owned(), items.into())));
    document.into()
}

/// What is declared in one vhost.
pub fn export_vhost(own: &Vhost, writer: &Writer<'_>) -> Value {
    let mut document = head(writer);
    let described = vhost(own, writer);
    document.extend(object(json!({
        "rabbitmq_definition_format": "single_virtual_host",
        "original_vhost_name": own.name(),
        "explanation": format!("Definitions of virtual host '{}'", own.name()),
        "metadata": described["metadata"],
        "description": described["description"],
        "default_queue_type": described["default_queue_type"],
        "limits": own.limits,
        "parameters": parameters(own),
        "policies": policies(own),
        "queues": queues(own),
        "exchanges": exchanges(own),
        "bindings": bindings(own),
    })));
    document.into()
}

/// A user as definitions have it.
pub fn user(user: &User) -> Value {
    json!({
        "name": user.spec.name,
        "password_hash": user.spec.password.to_base64(),
        "hashing_algorithm": user.spec.password.algorithm,
        "tags": user.spec.tags,
        "limits": user.limits,
    })
}

fn head(writer: &Writer<'_>) -> Map<String, Value> {
    object(json!({
        "rabbit_version": writer.version,
        "rabbitmq_version": writer.version,
        "product_name": writer.product_name,
        "product_version": writer.product_version,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The items of all vhosts, each with the vhost's name.
fn within(catalogue: &Catalogue, items: impl Fn(&Vhost) -> Vec<Value>) -> Vec<Value> {
    let of = |vhost: &Vhost| {
        let name = vhost.name().clone();
        items(vhost).into_iter().map(move |mut item| {
            item["vhost"] = json!(name);
            item
        })
    };
    catalogue.vhosts().flat_map(of).collect()
}

fn vhost(own: &Vhost, writer: &Writer<'_>) -> Value {
    let spec = &own.spec;
    let default_type = spec
        .default_queue_type
        .map_or(writer.default_queue_type, |kind| type_name(kind));
    let mut metadata = json!({
        "description": spec.description,
        "tags": spec.tags,
        "default_queue_type": default_type,
    });
    if spec.protected {
        metadata["protected_from_deletion"] = json!(true);
    }
    json!({
        "name": spec.name,
        "description": spec.description,
        "metadata": metadata,
        "tags": spec.tags,
        "default_queue_type": default_type,
    })
}

fn permissions(own: &Vhost) -> impl Iterator<Item = Value> {
    own.permissions.iter().map(|(user, (patterns, _))| {
        json!({
            "user": user, "vhost": own.name(),
            "configure": patterns.configure, "write": patterns.write, "read": patterns.read,
        })
    })
}

fn topic_permissions(own: &Vhost) -> impl Iterator<Item = Value> {
    own.topic_permissions.iter().map(|((user, exchange), (patterns, _))| {
        json!({
            "user": user, "vhost": own.name(), "exchange": exchange,
            "write": patterns.write, "read": patterns.read,
        })
    })
}

/// Operator policies and limits are parameters here.
fn parameters(own: &Vhost) -> Vec<Value> {
    let item =
        |component: &str, name: &str, value: Value| json!({"value": value, "component": component, "name": name});
    let operator = own.operator_policies.values().map(|policy| {
        let mut value = policy_item(&policy.spec);
        if let Value::Object(value) = &mut value {
            value.shift_remove("name");
        }
        item("operator_policy", &policy.spec.name, value)
    });
    let kept = own.parameters.iter();
    let kept = kept.map(|((component, name), value)| item(component, name, value.clone()));
    let limits = (!own.limits.is_empty()).then(|| item("vhost-limits", "limits", json!(own.limits)));
    operator.chain(kept).chain(limits).collect()
}

fn policies(own: &Vhost) -> Vec<Value> {
    own.policies.values().map(|policy| policy_item(&policy.spec)).collect()
}

fn policy_item(spec: &PolicySpec) -> Value {
    json!({
        "name": spec.name,
        "pattern": spec.pattern,
        "apply-to": spec.apply_to,
        "definition": spec.definition,
        "priority": spec.priority,
    })
}

fn queues(own: &Vhost) -> Vec<Value> {
    let shared = |spec: &&QueueSpec| spec.exclusive_owner.is_none();
    let mut items: Vec<_> = own.queues().filter(shared).collect();
    sort_by(&mut items, |a, b| a.name.cmp(&b.name));
    let item = |spec: &QueueSpec| {
        json!({
            "name": spec.name,
            "durable": spec.durable,
            "auto_delete": spec.auto_delete,
            "arguments": from_table(&spec.arguments),
        })
    };
    items.into_iter().map(item).collect()
}

fn exchanges(own: &Vhost) -> Vec<Value> {
    let mut items: Vec<_> = own.exchanges().filter(|spec| !is_predeclared(&spec.name)).collect();
    sort_by(&mut items, |a, b| a.name.cmp(&b.name));
    let item = |spec: &ExchangeSpec| {
        json!({
            "name": spec.name,
            "type": spec.kind.name(),
            "durable": spec.durable,
            "auto_delete": spec.auto_delete,
            "internal": spec.internal,
            "arguments": from_table(&spec.arguments),
        })
    };
    items.into_iter().map(item).collect()
}

fn bindings(own: &Vhost) -> Vec<Value> {
    let shared = |binding: &&BindingSpec| match &binding.destination {
        Destination::Queue(name) => own.queue(name).is_some_and(|spec| spec.exclusive_owner.is_none()),
        Destination::Exchange(_) => true,
    };
    let mut items: Vec<_> = own.bindings().filter(shared).collect();
    sort_by(&mut items, |a, b| {
        (&a.source, &a.destination, &a.key).cmp(&(&b.source, &b.destination, &b.key))
    });
    let item = |binding: &BindingSpec| {
        let (name, kind) = match &binding.destination {
            Destination::Queue(name) => (name.as_str(), "queue"),
            Destination::Exchange(name) => (name.as_str(), "exchange"),
        };
        json!({
            "source": binding.source,
            "destination": name,
            "destination_type": kind,
            "routing_key": binding.key,
            "arguments": from_table(&binding.arguments),
        })
    };
    items.into_iter().map(item).collect()
}

#[cfg(test)]
mod tests;
