//! What a document of definitions would change, found out on a copy of the catalogue.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::metadata::definitions::{self, Import, Writer};
use crate::metadata::{Catalogue, Command};
use crate::types::sorting::map_of;

/// The sections of a document, what a thing of each is called, and the fields that name it.
const SECTIONS: &[(&str, &str, &[&str])] = &[
    ("vhosts", "vhost", &["name"]),
    ("users", "user", &["name"]),
    ("permissions", "permission", &["vhost", "user"]),
    ("topic_permissions", "topic_permission", &["vhost", "user", "exchange"]),
    ("parameters", "parameter", &["vhost", "component", "name"]),
    ("global_parameters", "global_parameter", &["name"]),
    ("policies", "policy", &["vhost", "name"]),
    ("exchanges", "exchange", &["vhost", "name"]),
    ("queues", "queue", &["vhost", "name"]),
    (
        "bindings",
        "binding",
        &[
            "vhost",
            "source",
            "destination_type",
            "destination",
            "routing_key",
            "arguments",
        ],
    ),
];
/// Fields that are not shown.
const SECRET: &str = "password_hash";
/// Things that stay as they are when they are declared otherwise.
const FIXED: [(&str, &[&str]); 2] = [
    (
        "exchanges",
        &["type", "durable", "auto_delete", "internal", "arguments"],
    ),
    ("queues", &["durable", "auto_delete", "arguments"]),
];

/// What the commands of an import, and the document they are of, would change.
pub fn would_change(catalogue: &Catalogue, import: &Import, document: &Value, writer: &Writer<'_>) -> Value {
    let before = definitions::export(catalogue, writer);
    let mut conflicts: Vec<_> = import
        .skipped
        .iter()
        .map(|what| json!({"name": null, "why": what}))
        .collect();
    let mut copy = match Catalogue::restore(&catalogue.snapshot()) {
        Ok(copy) => copy,
        // What this very version wrote it reads.
        Err(error) => {
            return json!({"create": [], "change": [], "conflict": [{"name": null, "why": error.to_string()}]});
        }
    };
    for command in &import.commands {
        if let Err(error) = copy.apply(command, &mut Vec::new()) {
            conflicts.push(json!({"name": name_of(command), "why": error.to_string()}));
        }
    }
    let after = definitions::export(&copy, writer);
    let (mut create, mut change) = (Vec::new(), Vec::new());
    for (section, kind, fields) in SECTIONS {
        let (old, new) = (by_name(&before[*section], fields), by_name(&after[*section], fields));
        for (name, is) in &new {
            match old.get(name) {
                None => create.push(json!({"kind": kind, "name": name.join(" "), "to": shown(is)})),
                Some(was) if was != is => {
                    change.push(json!({"kind": kind, "name": name.join(" "), "from": shown(was), "to": shown(is)}));
                }
                Some(_) => {}
            }
        }
        let fixed = FIXED.iter().find(|(own, _)| own == section);
        if let Some((_, compared)) = fixed {
            for (name, wanted) in by_name(&document[*section], fields) {
                let differs = |is: &&Value| {
                    let mut fields = compared.iter().filter(|field| wanted.get(**field).is_some());
                    fields.any(|field| plain(&wanted[*field]) != plain(&is[*field]))
                };
                if old.get(&name).is_some_and(differs) {
                    let why = format!("the {kind} is there with other settings, and stays as it is");
                    conflicts.push(json!({"name": name.join(" "), "why": why}));
                }
            }
        }
    }
    json!({"create": create, "change": change, "conflict": conflicts})
}

/// The items of a section by what names them.
fn by_name<'a>(section: &'a Value, fields: &[&str]) -> BTreeMap<Vec<String>, &'a Value> {
    let items = section.as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    map_of(items.map(|item| (fields.iter().map(|field| text(&item[*field])).collect(), item)))
}

/// A field as it is compared: documents need not say the type of a queue among its arguments.
fn plain(field: &Value) -> Value {
    let mut field = field.clone();
    if let Some(arguments) = field.as_object_mut() {
        arguments.remove("x-queue-type");
    }
    field
}

fn shown(item: &Value) -> Value {
    let mut item = item.clone();
    if let Some(fields) = item.as_object_mut() {
        fields.remove(SECRET);
    }
    item
}

fn name_of(command: &Command) -> Value {
    match command {
        Command::DeclareQueue(spec) => json!(spec.name),
        Command::DeclareExchange(spec) => json!(spec.name),
        Command::PutPolicy(spec) | Command::PutOperatorPolicy(spec) => json!(spec.name),
        Command::Bind { binding, .. } => json!(format!("{} {}", binding.source, binding.key)),
        Command::SetPermission { user, vhost, .. } | Command::SetTopicPermission { user, vhost, .. } => {
            json!(format!("{vhost} {user}"))
        }
        Command::PutUser(spec) => json!(spec.name),
        Command::PutVhost(spec) => json!(spec.name),
        Command::PutParameter { name, .. } | Command::PutGlobalParameter { name, .. } => json!(name),
        _ => Value::Null,
    }
}
