//! Commands about which policies are for what, and about policies of RabbitMQ's that do nothing here.

use serde_json::{Map, Value, json};

use super::column::Column;
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use super::policies::columns;
use crate::pattern::Pattern;
use crate::types::sorting::sort_by_key;

/// What can be asked of that.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "list_policies_that_match",
        tools: &[Tool::Diagnostics],
        group: Group::Policies,
        usage: "[--object-type <type>] <name>",
        help: "Lists the policies that match a queue or an exchange, the one that counts first",
        arguments: 1..=1,
        options: &["object-type"],
        banner: |call| {
            format!(
                "Listing policies that match {} '{}' in vhost '{}' ...",
                object_type(call),
                call.argument(0),
                call.vhost()
            )
        },
        run: that_match,
        ..Command::ROW
    },
    Command {
        name: "list_policies_with_classic_queue_mirroring",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        help: "Lists the policies with keys of mirrored queues, which do nothing here",
        banner: |_| "Listing policies with classic queue mirroring ...".to_owned(),
        run: |call| mirroring(call, "policies").map(|found| Output::rows(columns(), found)),
        ..Command::ROW
    },
    Command {
        name: "list_operator_policies_with_classic_queue_mirroring",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        help: "Lists the operator policies with keys of mirrored queues, which do nothing here",
        banner: |_| "Listing operator policies with classic queue mirroring ...".to_owned(),
        run: |call| mirroring(call, "operator-policies").map(|found| Output::rows(columns(), found)),
        ..Command::ROW
    },
    Command {
        name: "check_if_cluster_has_classic_queue_mirroring_policy",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Monitoring,
        help: "Fails while some policy has keys of mirrored queues, which do nothing here",
        banner: |_| "Checking if cluster has any classic queue mirroring policy ...".to_owned(),
        run: |call| {
            let mut found = mirroring(call, "policies")?;
            found.extend(mirroring(call, "operator-policies")?);
            if found.is_empty() {
                return Ok(Output::well(
                    "Cluster reported no policies that enable classic queue mirroring",
                ));
            }
            let names = found.iter().filter_map(|policy| policy["name"].as_str());
            let names: Vec<_> = names.collect();
            Err(Failed::told(
                exit::UNAVAILABLE,
                format!("There are policies with keys of mirrored queues: {}", names.join(", ")),
            ))
        },
        ..Command::ROW
    },
    Command {
        name: "remove_classic_queue_mirroring_from_policies",
        tools: &[Tool::Ctl],
        group: Group::Operations,
        help: "Takes the keys of mirrored queues out of all policies, and policies away that have no others",
        banner: |_| {
            "Will remove keys that enable classic queue mirroring from all regular and operator policies".to_owned()
        },
        run: |call| {
            for kind in ["policies", "operator-policies"] {
                for policy in mirroring(call, kind)? {
                    without_mirroring(call, kind, &policy)?;
                }
            }
            Ok(Output::Nothing)
        },
        ..Command::ROW
    },
    Command {
        name: "check_if_node_is_mirror_sync_critical",
        tools: &[Tool::Diagnostics, Tool::Queues],
        group: Group::Deprecated,
        help: "Does nothing: there are no mirrored queues",
        run: |_| {
            Ok(Output::message(
                "This command is DEPRECATED and is a no-op. It will be removed in a future version.\nok",
            ))
        },
        ..Command::ROW
    },
];

fn object_type(call: &Call) -> &str {
    call.options.object_type.as_deref().unwrap_or("queue")
}

fn that_match(call: &Call) -> Result<Output, Failed> {
    let kind = match object_type(call) {
        "queue" => "queues",
        "exchange" => "exchanges",
        other => return Err(Failed::arguments(format!("'{other}' is no type of queue and exchange"))),
    };
    let name = call.argument(0);
    let missing = || Failed::bare(exit::DATA, "Object (queue, stream, exchange, etc) was not found");
    let object = call.find(&[kind, call.vhost(), name])?.ok_or_else(missing)?;
    let mut policies = call.list(&["policies", call.vhost()])?;
    policies.retain(|policy| is_for(policy, kind, object["type"].as_str()) && is_named(policy, name));
    sort_by_key(&mut policies, |policy| std::cmp::Reverse(policy["priority"].as_i64()));
    if policies.is_empty() {
        return Ok(Output::Drawn {
            columns: vec![Column::plain("Output")],
            items: vec![json!({"Output": "[]"})],
            json: json!({"policies": [], "result": "ok"}),
        });
    }
    let shown = policies.iter().map(|policy| {
        let pairs = policy["definition"].as_object().into_iter().flatten();
        let mut shown = policy.clone();
        shown["definition"] = pairs.map(|(key, value)| json!([key, value])).collect();
        shown
    });
    Ok(Output::Drawn {
        json: json!({"policies": shown.collect::<Vec<_>>(), "result": "ok"}),
        columns: columns(),
        items: policies,
    })
}

/// Whether a policy is for things of that kind, and of that type.
fn is_for(policy: &Value, kind: &str, own_type: Option<&str>) -> bool {
    match policy["apply-to"].as_str() {
        Some("all") => true,
        Some("classic_queues") => kind == "queues" && own_type == Some("classic"),
        Some("quorum_queues") => kind == "queues" && own_type == Some("quorum"),
        Some("streams") => kind == "queues" && own_type == Some("stream"),
        Some(own) => own == kind && !(own == "queues" && own_type == Some("stream")),
        None => false,
    }
}

fn is_named(policy: &Value, name: &str) -> bool {
    let pattern = policy["pattern"].as_str().and_then(|text| Pattern::new(text).ok());
    pattern.is_some_and(|pattern| pattern.matches(name))
}

/// The policies of that kind, in all virtual hosts, with keys of mirrored queues.
fn mirroring(call: &Call, kind: &str) -> Result<Vec<Value>, Failed> {
    let mut policies = call.list(&[kind])?;
    policies.retain(|policy| {
        let mut keys = policy["definition"].as_object().into_iter().flatten();
        keys.any(|(key, _)| key.starts_with("ha-"))
    });
    Ok(policies)
}

fn without_mirroring(call: &Call, kind: &str, policy: &Value) -> Result<(), Failed> {
    let text = |field: &str| policy[field].as_str().unwrap_or_default();
    let path = [kind, text("vhost"), text("name")];
    let fields = policy["definition"].as_object().into_iter().flatten();
    let fields = fields.filter(|(key, _)| !key.starts_with("ha-"));
    let rest: Map<_, _> = fields.map(|(key, value)| (key.clone(), value.clone())).collect();
    if rest.is_empty() {
        return call.delete(&path).map(|_| ());
    }
    let mut body = policy.clone();
    body["definition"] = Value::Object(rest);
    call.put(&path, &body).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_for_some_kinds_of_things() {
        let is_for = |apply_to: &str, kind, own_type| is_for(&json!({"apply-to": apply_to}), kind, Some(own_type));
        assert!(is_for("all", "exchanges", "topic") && is_for("all", "queues", "quorum"));
        assert!(is_for("queues", "queues", "classic") && !is_for("queues", "exchanges", "topic"));
        assert!(is_for("quorum_queues", "queues", "quorum") && !is_for("quorum_queues", "queues", "classic"));
        assert!(is_for("exchanges", "exchanges", "topic") && !is_for("exchanges", "queues", "classic"));
    }
}
