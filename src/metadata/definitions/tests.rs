//! Documents in and out.

use serde_json::{Value, json};

use super::*;
use crate::auth::HashAlgorithm;
use crate::metadata::{Command, PermissionSpec};
use crate::spec::QueueType;
use crate::types::{UserName, VhostName};

fn writer() -> Writer<'static> {
    Writer {
        version: "4.0.5",
        product_name: "Warren",
        product_version: "0",
        cluster_name: "c",
        default_queue_type: "classic",
    }
}

fn setting<'a>(catalogue: &'a Catalogue, by: &'a UserName) -> Setting<'a> {
    Setting {
        catalogue,
        by,
        default_type: QueueType::Classic,
        hashing: HashAlgorithm::Sha512,
        salt: || [1, 2, 3, 4],
        first_of: &|_| Vec::new(),
        takes_password: &|password| password != "bad",
    }
}

fn read(catalogue: &Catalogue, document: &Value) -> Result<Import, String> {
    import(setting(catalogue, &"me".into()), document).map_err(|error| error.to_string())
}

fn commands(catalogue: &Catalogue, document: &Value) -> Result<Vec<Command>, String> {
    read(catalogue, document).map(|read| read.commands)
}

fn apply(catalogue: &mut Catalogue, document: &Value) {
    for command in commands(catalogue, document).expect("a good document") {
        catalogue.apply(&command, &mut Vec::new()).expect("applies");
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
    let mut catalogue = Catalogue::new();
    apply(&mut catalogue, &document());
    let exported = export(&catalogue, &writer());
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
    let mut catalogue = Catalogue::new();
    apply(&mut catalogue, &document());
    let before = export(&catalogue, &writer());
    let id = catalogue
        .vhost("v")
        .and_then(|vhost| vhost.queue("q"))
        .expect("the queue")
        .id;
    apply(&mut catalogue, &document());
    assert_eq!(export(&catalogue, &writer()), before);
    let again = catalogue
        .vhost("v")
        .and_then(|vhost| vhost.queue("q"))
        .expect("the queue");
    assert_eq!(again.id, id);
}

#[test]
fn a_vhost_moves_into_another() {
    let mut catalogue = Catalogue::new();
    apply(&mut catalogue, &document());
    apply(&mut catalogue, &json!({"vhosts": [{"name": "w"}]}));
    let exported = export_vhost(catalogue.vhost("v").expect("there"), &writer());
    assert_eq!(exported["limits"], json!({"max-queues": 1000}));
    let commands = import_vhost(setting(&catalogue, &"me".into()), &exported, &"w".into());
    for command in commands.expect("a good document").commands {
        catalogue.apply(&command, &mut Vec::new()).expect("applies");
    }
    let moved = export_vhost(catalogue.vhost("w").expect("there"), &writer());
    for section in ["queues", "exchanges", "bindings", "policies", "parameters", "limits"] {
        assert_eq!(moved[section], exported[section], "{section}");
    }
    let ids = ["v", "w"].map(|vhost| {
        catalogue
            .vhost(vhost)
            .and_then(|own| own.queue("q"))
            .expect("the queue")
            .id
    });
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_queue_without_a_type_gets_the_default_of_its_vhost() {
    let mut catalogue = Catalogue::new();
    let document = json!({
        "vhosts": [{"name": "v", "default_queue_type": "quorum"}],
        "queues": [
            {"name": "a", "vhost": "v", "durable": true, "auto_delete": false, "arguments": {}},
            {"name": "b", "vhost": "v", "durable": false, "auto_delete": false, "arguments": []},
        ],
    });
    apply(&mut catalogue, &document);
    let kind = |name| {
        catalogue
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
    let catalogue = Catalogue::new();
    let refused = |document: Value| commands(&catalogue, &document).expect_err("refused");
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
            json!({"name": "q", "vhost": "v", "arguments": {"x-expires": 0}})
        )
        .contains("value_zero")
    );
}

#[test]
fn no_value_is_taken_for_another() {
    let catalogue = Catalogue::new();
    let refused = |section: &str, item: Value| {
        let document = json!({"vhosts": [{"name": "v"}], section: [item]});
        commands(&catalogue, &document).expect_err("refused")
    };
    let policy = |key: &str, value: Value| {
        let mut item = json!({"vhost": "v", "name": "p", "pattern": ".*", "definition": {"max-length": 1}});
        item[key] = value;
        item
    };
    assert_eq!(
        refused("policies", policy("priority", json!("5"))),
        "Validation failed\n\npriority should be a number, actually was \"5\"\n (v/p)"
    );
    for (section, item) in [
        ("policies", policy("priority", json!(1.5))),
        ("policies", policy("apply-to", json!("nothing"))),
        ("policies", policy("pattern", json!(5))),
        ("policies", policy("definition", json!("x"))),
        ("users", json!({"name": "u", "password": "p"})),
        ("users", json!({"name": "u", "password": "p", "tags": [5]})),
        ("users", json!({"name": "u", "password": "p", "administrator": "yes"})),
        ("users", json!({"name": "u", "password": "p", "administrator": 1})),
        ("users", json!({"name": "u", "password": 5, "tags": ""})),
        (
            "users",
            json!({"name": "u", "password": "p", "password_hash": "", "tags": ""}),
        ),
        (
            "users",
            json!({"name": "u", "password_hash": "AAAA", "hashing_algorithm": "rot13", "tags": ""}),
        ),
        ("users", json!({"name": "u", "password_hash": "%", "tags": ""})),
        (
            "users",
            json!({"name": "u", "tags": "", "limits": {"max-channels": "5"}}),
        ),
        ("users", json!({"name": "u", "tags": "", "limits": {"max-hopes": 5}})),
        ("users", json!({"name": "u".repeat(256), "tags": ""})),
        ("queues", json!({"vhost": "v", "name": "q", "durable": "true"})),
        ("queues", json!({"vhost": "v", "name": "q", "auto_delete": 1})),
        ("queues", json!({"vhost": "v", "name": "q", "arguments": [1]})),
        (
            "queues",
            json!({"vhost": "v", "name": "q", "arguments": {"x": 9_223_372_036_854_775_808_u64}}),
        ),
        (
            "exchanges",
            json!({"vhost": "v", "name": "e", "type": "direct", "internal": "x"}),
        ),
        (
            "exchanges",
            json!({"vhost": "v", "name": "e", "type": "direct", "arguments": {"alternate-exchange": 5}}),
        ),
        ("exchanges", json!({"vhost": "v", "name": "e"})),
        (
            "bindings",
            json!({"vhost": "v", "source": "e", "destination": "q", "destination_type": "thing", "routing_key": ""}),
        ),
        (
            "bindings",
            json!({"vhost": "v", "source": "e", "destination": "q", "destination_type": "queue", "routing_key": 5}),
        ),
        (
            "parameters",
            json!({"vhost": "v", "component": "vhost-limits", "name": "limits", "value": {"max-queues": "x"}}),
        ),
        (
            "parameters",
            json!({"vhost": "v", "component": "vhost-limits", "name": "limits", "value": {"max-x": 5}}),
        ),
        (
            "permissions",
            json!({"vhost": "v", "user": "u", "configure": 5, "write": "", "read": ""}),
        ),
        ("vhosts", json!({"name": "w", "description": 5})),
        ("vhosts", json!({"name": "w", "tags": 5})),
        ("vhosts", json!({"name": "w", "default_queue_type": "fast"})),
        (
            "vhosts",
            json!({"name": "w", "metadata": {"protected_from_deletion": "no"}}),
        ),
        ("global_parameters", json!({"name": "x"})),
    ] {
        assert!(!refused(section, item.clone()).is_empty(), "{section} {item}");
    }
}

#[test]
fn hashes_keep_the_algorithm_that_they_were_made_with() {
    let user = |mut document: Value, item: Value| {
        document["users"] = json!([item]);
        let mut catalogue = Catalogue::new();
        apply(&mut catalogue, &document);
        export(&catalogue, &writer())["users"][0].clone()
    };
    let hash = "AQIDBJR91gt1SAWTmvD+VzA7MFU=";
    let item = |algorithm: Option<&str>| json!({"name": "u", "password_hash": format!("{hash}\n"), "hashing_algorithm": algorithm, "tags": ""});
    for (document, algorithm, expected) in [
        (
            json!({}),
            Some("rabbit_password_hashing_md5"),
            "rabbit_password_hashing_md5",
        ),
        (
            json!({}),
            Some("rabbit_password_hashing_sha256"),
            "rabbit_password_hashing_sha256",
        ),
        (json!({}), None, "rabbit_password_hashing_sha512"),
        (json!({"rabbit_version": "3.5.7"}), None, "rabbit_password_hashing_md5"),
        (
            json!({"rabbit_version": "3.6.0"}),
            None,
            "rabbit_password_hashing_sha256",
        ),
        (
            json!({"rabbitmq_version": "4.0.5"}),
            None,
            "rabbit_password_hashing_sha512",
        ),
    ] {
        let user = user(document, item(algorithm));
        assert_eq!(
            (&user["hashing_algorithm"], &user["password_hash"]),
            (&json!(expected), &json!(hash))
        );
    }
    let plain = user(
        json!({}),
        json!({"name": "u", "password": "x", "administrator": "true"}),
    );
    assert_eq!(plain["hashing_algorithm"], "rabbit_password_hashing_sha512");
    assert_eq!(plain["tags"], json!(["administrator"]));
    let not_one = json!({"name": "u", "password": "x", "administrator": "false"});
    assert_eq!(user(json!({}), not_one)["tags"], json!([]));
    // A version that is none would say nothing of the hash.
    let mut document = json!({"rabbitmq_version": 3.5, "users": [item(None)]});
    assert_eq!(
        commands(&Catalogue::new(), &document).expect_err("refused"),
        "'rabbitmq_version', which says how hashes were made, should be a text, actually was 3.5"
    );
    document["users"] = json!([item(Some("rabbit_password_hashing_md5"))]);
    commands(&Catalogue::new(), &document).expect("it says so itself");
}

#[test]
fn what_cannot_be_made_is_told_and_keeps_nothing_else_out() {
    let catalogue = Catalogue::new();
    let binding = |queue: &str| json!({"vhost": "v", "source": "amq.topic", "destination": queue, "destination_type": "queue", "routing_key": "#"});
    let document = json!({
        "vhosts": [{"name": "v", "default_queue_type": "undefined"}],
        "queues": [
            {"vhost": "v", "name": "s", "arguments": {"x-queue-type": "stream"}},
            {"vhost": "v", "name": "q", "arguments": []},
            {"vhost": "v", "name": "amq.gen-1"},
        ],
        "exchanges": [{"vhost": "v", "name": "amq.mine", "type": "direct"}],
        "bindings": [binding("s"), binding("q")],
    });
    let read = read(&catalogue, &document).expect("a good document");
    assert_eq!(
        read.skipped,
        [
            "exchange 'amq.mine' in vhost 'v': names that begin with amq. are reserved",
            "queue 'amq.gen-1' in vhost 'v': names that begin with amq. are reserved",
        ]
    );
    let mut catalogue = Catalogue::new();
    for command in read.commands {
        catalogue.apply(&command, &mut Vec::new()).expect("applies");
    }
    let own = catalogue.vhost("v").expect("the vhost");
    assert!(own.queue("q").is_some() && own.queue("s").is_some());
    assert_eq!(own.bindings().count(), 2);
}

#[test]
fn empty_lists_are_empty_objects() {
    let mut catalogue = Catalogue::new();
    let document = json!({
        "vhosts": [{"name": "v", "metadata": [], "limits": []}],
        "users": [{"name": "u", "tags": [], "limits": []}],
        "parameters": [{"vhost": "v", "component": "vhost-limits", "name": "limits", "value": []}],
        "exchanges": [{"vhost": "v", "name": "e", "type": "direct", "arguments": []}],
        "bindings": [{"vhost": "v", "source": "e", "destination": "amq.fanout", "destination_type": "exchange",
            "routing_key": "", "arguments": []}],
    });
    apply(&mut catalogue, &document);
    assert!(catalogue.vhost("v").expect("the vhost").limits.is_empty());
}

#[test]
fn a_new_vhost_gets_what_it_begins_with_before_what_the_document_says() {
    let catalogue = Catalogue::new();
    let me = UserName::from("me");
    let grant = |vhost: &VhostName| {
        vec![Command::SetPermission {
            user: "me".into(),
            vhost: vhost.clone(),
            patterns: PermissionSpec {
                configure: ".*".into(),
                write: ".*".into(),
                read: ".*".into(),
            },
        }]
    };
    let setting = Setting {
        first_of: &grant,
        ..setting(&catalogue, &me)
    };
    let document = json!({
        "vhosts": [{"name": "v"}],
        "permissions": [{"vhost": "v", "user": "me", "configure": "^a", "write": "", "read": ""}],
    });
    let commands = import(setting, &document).expect("a good document").commands;
    let granted = commands.iter().filter_map(|command| match command {
        Command::SetPermission { patterns, .. } => Some(patterns.configure.as_str()),
        _ => None,
    });
    assert_eq!(granted.collect::<Vec<_>>(), [".*", "^a"]);
}

#[test]
fn limits_of_a_vhost_are_those_of_the_document() {
    let mut catalogue = Catalogue::new();
    let limits = |value: Value| {
        json!({
            "vhosts": [{"name": "v"}],
            "parameters": [{"vhost": "v", "component": "vhost-limits", "name": "limits", "value": value}],
        })
    };
    apply(&mut catalogue, &limits(json!({"max-queues": 5, "max-connections": 6})));
    apply(&mut catalogue, &limits(json!({"max-queues": 7})));
    let exported = export(&catalogue, &writer());
    assert_eq!(exported["parameters"][0]["value"], json!({"max-queues": 7}));
}
