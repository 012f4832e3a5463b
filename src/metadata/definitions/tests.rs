//! Documents in and out.

use serde_json::{Value, json};

use super::*;
use crate::metadata::Command;
use crate::spec::QueueType;
use crate::types::UserName;

fn writer() -> Writer<'static> {
    Writer {
        version: "4.0.5",
        product_name: "Warren",
        product_version: "0",
        cluster_name: "c",
        default_queue_type: "classic",
    }
}

fn setting<'a>(catalog: &'a Catalog, by: &'a UserName) -> Setting<'a> {
    Setting {
        catalog,
        by,
        default_type: QueueType::Classic,
        salt: || [1, 2, 3, 4],
    }
}

fn commands(catalog: &Catalog, document: &Value) -> Result<Vec<Command>, String> {
    import(setting(catalog, &"me".into()), document).map_err(|error| error.to_string())
}

fn apply(catalog: &mut Catalog, document: &Value) {
    for command in commands(catalog, document).expect("a good document") {
        catalog.apply(&command, &mut Vec::new()).expect("applies");
    }
}

/// One of everything.
fn document() -> Value {
    json!({
        "users": [{
            "name": "app",
            "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["management"],
            "limits": {"max-channels": 100},
        }],
        "vhosts": [{
            "name": "v",
            "description": "d",
            "metadata": {"description": "d", "tags": ["a"], "default_queue_type": "quorum"},
            "tags": ["a"],
            "default_queue_type": "quorum",
        }],
        "permissions": [{"user": "app", "vhost": "v", "configure": "^app", "write": ".*", "read": ""}],
        "topic_permissions": [{"user": "app", "vhost": "v", "exchange": "amq.topic", "write": "^a", "read": "^b"}],
        "parameters": [
            {
                "value": {"pattern": ".*", "apply-to": "quorum_queues", "definition": {"delivery-limit": 50}, "priority": 0},
                "component": "operator_policy", "name": "guard", "vhost": "v",
            },
            {"value": {"uri": "amqp://x"}, "component": "federation-upstream", "name": "up", "vhost": "v"},
            {"value": {"max-queues": 1000}, "component": "vhost-limits", "name": "limits", "vhost": "v"},
        ],
        "global_parameters": [{"name": "cluster_name", "value": "c"}],
        "policies": [{
            "name": "limits", "pattern": "^q", "apply-to": "queues", "definition": {"max-length": 5}, "priority": 2,
            "vhost": "v",
        }],
        "queues": [
            {
                "name": "q", "durable": true, "auto_delete": false,
                "arguments": {"x-dead-letter-exchange": "e", "x-queue-type": "classic"}, "vhost": "v",
            },
        ],
        "exchanges": [{
            "name": "e", "type": "topic", "durable": true, "auto_delete": false, "internal": true,
            "arguments": {"alternate-exchange": "amq.fanout"}, "vhost": "v",
        }],
        "bindings": [
            {"source": "e", "destination": "amq.fanout", "destination_type": "exchange", "routing_key": "#", "arguments": {}, "vhost": "v"},
            {"source": "e", "destination": "q", "destination_type": "queue", "routing_key": "a.*", "arguments": {"x": 1}, "vhost": "v"},
        ],
    })
}

#[test]
fn what_is_imported_is_exported_again() {
    let mut catalog = Catalog::new();
    apply(&mut catalog, &document());
    let exported = export(&catalog, &writer());
    for (section, items) in document().as_object().expect("an object") {
        let mut got = exported[section].as_array().expect("a list").clone();
        let mut want = items.as_array().expect("a list").clone();
        got.sort_by_key(Value::to_string);
        want.sort_by_key(Value::to_string);
        assert_eq!(got, want, "{section}");
    }
    assert_eq!(exported["rabbitmq_definition_format"], "cluster");
}

#[test]
fn a_second_import_changes_nothing() {
    let mut catalog = Catalog::new();
    apply(&mut catalog, &document());
    let before = export(&catalog, &writer());
    let id = catalog
        .vhost("v")
        .and_then(|vhost| vhost.queue("q"))
        .expect("the queue")
        .id;
    apply(&mut catalog, &document());
    assert_eq!(export(&catalog, &writer()), before);
    let again = catalog
        .vhost("v")
        .and_then(|vhost| vhost.queue("q"))
        .expect("the queue");
    assert_eq!(again.id, id);
}

#[test]
fn a_vhost_moves_into_another() {
    let mut catalog = Catalog::new();
    apply(&mut catalog, &document());
    apply(&mut catalog, &json!({"vhosts": [{"name": "w"}]}));
    let exported = export_vhost(catalog.vhost("v").expect("there"), &writer());
    assert_eq!(exported["limits"], json!({"max-queues": 1000}));
    let commands = import_vhost(setting(&catalog, &"me".into()), &exported, &"w".into());
    for command in commands.expect("a good document") {
        catalog.apply(&command, &mut Vec::new()).expect("applies");
    }
    let moved = export_vhost(catalog.vhost("w").expect("there"), &writer());
    for section in ["queues", "exchanges", "bindings", "policies", "parameters", "limits"] {
        assert_eq!(moved[section], exported[section], "{section}");
    }
    let ids = ["v", "w"].map(|vhost| {
        catalog
            .vhost(vhost)
            .and_then(|own| own.queue("q"))
            .expect("the queue")
            .id
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_queue_without_a_type_gets_the_default_of_its_vhost() {
    let mut catalog = Catalog::new();
    let document = json!({
        "vhosts": [{"name": "v", "default_queue_type": "quorum"}],
        "queues": [
            {"name": "a", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {}},
            {"name": "b", "vhost": "v", "durable": false, "auto_delete": false, "arguments": []},
        ],
    });
    apply(&mut catalog, &document);
    let kind = |name| {
        catalog
            .vhost("v")
            .and_then(|own| own.queue(name))
            .expect("there")
            .queue_type
    };
    assert_eq!(kind("a"), QueueType::Quorum);
    assert_eq!(kind("b"), QueueType::Classic);
}

#[test]
fn what_cannot_be_taken_is_named() {
    let catalog = Catalog::new();
    let refused = |document: Value| commands(&catalog, &document).expect_err("refused");
    assert_eq!(refused(json!([])), "failed_to_parse_json");
    assert_eq!(refused(json!({"users": {}})), "users should be a list");
    assert_eq!(
        refused(json!({"queues": [{"name": "q"}]})),
        "an item of queues has no usable 'vhost'"
    );
    assert_eq!(
        refused(json!({"queues": [{"name": "q", "vhost": "no-such"}]})),
        "Please create virtual host \"no-such\" prior to importing definitions."
    );
    let in_v = |section: &str, item: Value| refused(json!({"vhosts": [{"name": "v"}], section: [item]}));
    assert_eq!(
        in_v("exchanges", json!({"name": "e", "vhost": "v", "type": "nope"})),
        "exchange 'e' has the unknown type 'nope'"
    );
    assert!(
        in_v(
            "queues",
            json!({"name": "q", "vhost": "v", "arguments": {"x-queue-type": "stream"}})
        )
        .contains("stream")
    );
    assert!(
        in_v(
            "queues",
            json!({"name": "q", "vhost": "v", "arguments": {"x-expires": 0}})
        )
        .contains("value_zero")
    );
}
