//! Definitions, out of one broker and into another.

use serde_json::{Value, json};

use crate::support::Broker;
use crate::{header, reason};

fn filled() -> Broker {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/vhosts/v", r#"{"description":"d","tags":"a"}"#)
        .expect_status(201);
    http.put("/api/users/app", r#"{"password":"secret","tags":"management"}"#)
        .expect_status(201);
    http.put("/api/permissions/v/app", r#"{"configure":"","write":"","read":".*"}"#)
        .expect_status(201);
    http.put("/api/policies/v/p", r#"{"pattern":"^q","definition":{"max-length":5}}"#)
        .expect_status(201);
    http.put(
        "/api/queues/v/q",
        r#"{"durable":true,"arguments":{"x-max-priority":5}}"#,
    )
    .expect_status(201);
    http.put("/api/exchanges/v/e", r#"{"type":"topic","durable":true}"#)
        .expect_status(201);
    http.post("/api/bindings/v/e/e/q/q", r#"{"routing_key":"a.#"}"#)
        .expect_status(201);
    broker
}

fn without_head(mut document: Value) -> Value {
    let object = document.as_object_mut().expect("an object");
    for key in [
        "original_cluster_name",
        "explanation",
        "original_vhost_name",
        "global_parameters",
    ] {
        object.remove(key);
    }
    document
}

#[test]
fn what_one_broker_gives_another_takes() {
    let from = filled();
    let exported = from.http().get("/api/definitions");
    exported.expect_status(200);
    let to = Broker::start();
    to.http().post("/api/definitions", &exported.body).expect_status(204);
    let again = to.http().get("/api/definitions").json();
    assert_eq!(without_head(again), without_head(exported.json()));
    let address = to.management.as_ref().expect("the HTTP API");
    crate::support::Http::as_user(address, "app", "secret")
        .get("/api/whoami")
        .expect_status(200);
    assert_eq!(to.http().get("/api/queues/v/q").json()["policy"], "p");
}

#[test]
fn a_vhost_is_copied() {
    let broker = filled();
    let http = broker.http();
    let exported = http.get("/api/definitions/v?download=v.json");
    assert_eq!(
        header(exported.expect_status(200), "content-disposition"),
        Some("attachment; filename=v.json")
    );
    http.put("/api/vhosts/w", "").expect_status(201);
    http.post("/api/definitions/w", &exported.body).expect_status(204);
    let (copied, original) = (http.get("/api/definitions/w").json(), exported.json());
    for section in ["queues", "exchanges", "bindings", "policies"] {
        assert_eq!(copied[section], original[section], "{section}");
    }
    let missing = http.post("/api/definitions/no-such", "{}");
    assert_eq!(reason(missing.expect_status(404)), "vhost_not_found");
}

#[test]
fn bad_documents_are_refused_whole() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = |body: &str| reason(http.post("/api/definitions", body).expect_status(400));
    assert_eq!(refused(r#"{"vhosts": ["#), "failed_to_parse_json");
    assert_eq!(refused("[]"), "failed_to_parse_json");
    let nowhere = json!({"vhosts": [{"name": "new"}], "queues": [{"name": "q", "vhost": "no-such"}]});
    assert_eq!(
        refused(&nowhere.to_string()),
        "Please create virtual host \"no-such\" prior to importing definitions."
    );
    http.get("/api/vhosts/new").expect_status(404);
    http.post("/api/definitions", "{}").expect_status(204);
}

#[test]
fn a_node_starts_with_the_definitions_of_its_configuration() {
    let exported = filled().http().get("/api/definitions").body;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("definitions.json");
    std::fs::write(&file, exported).expect("written");
    let config = dir.path().join("rabbitmq.conf");
    let line = format!("load_definitions = {}\n", file.display());
    std::fs::write(&config, line).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    assert_eq!(broker.http().get("/api/queues/v/q").json()["durable"], true);
}

#[test]
fn many_things_come_in_their_order_and_survive() {
    let queues: Vec<_> = (0..1500)
        .map(|number| json!({"name": format!("q{number:04}"), "vhost": "/", "durable": true, "auto_delete": false, "arguments": {}}))
        .collect();
    let bindings: Vec<_> = (0..1500)
        .map(|number| {
            json!({
                "source": "amq.topic", "vhost": "/", "destination": format!("q{number:04}"), "destination_type": "queue",
                "routing_key": "#", "arguments": {},
            })
        })
        .collect();
    let mut broker = Broker::start();
    let document = json!({"queues": queues, "bindings": bindings});
    broker
        .http()
        .post("/api/definitions", &document.to_string())
        .expect_status(204);
    broker.kill9();
    broker.restart();
    let again = broker.http().get("/api/definitions").json();
    assert_eq!(again["bindings"].as_array().map(Vec::len), Some(1500));
    let names = again["queues"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|queue| queue["name"].clone());
    assert!(names.eq(queues.iter().map(|queue| queue["name"].clone())));
}

#[test]
fn a_form_is_a_document_too() {
    let broker = Broker::start();
    let http = broker.http();
    let document = r#"{"vhosts":[{"name":"form"}]}"#;
    http.post_form("/api/definitions", &[("file", document)])
        .expect_status(204);
    http.get("/api/vhosts/form").expect_status(200);
    let sent = http.post_form("/api/definitions", &[("redirect", "../#/done"), ("file", document)]);
    assert_eq!(header(sent.expect_status(303), "location"), Some("../#/done"));
    for parts in [&[("other", document)][..], &[("file", "{")]] {
        let refused = http.post_form("/api/definitions", parts);
        assert_eq!(reason(refused.expect_status(400)), "failed_to_parse_json");
    }
    http.post("/api/all-configuration", document).expect_status(204);
}

#[test]
fn a_vhost_that_is_imported_is_its_importers() {
    let broker = Broker::start();
    let http = broker.http();
    http.post("/api/definitions", r#"{"vhosts":[{"name":"new"}]}"#)
        .expect_status(204);
    let permissions = http.get("/api/vhosts/new/permissions").json();
    assert_eq!(
        (&permissions[0]["user"], &permissions[0]["configure"]),
        (&json!("guest"), &json!(".*"))
    );
    // One that was there is left as it is.
    http.delete("/api/permissions/new/guest").expect_status(204);
    http.post("/api/definitions", r#"{"vhosts":[{"name":"new"}]}"#)
        .expect_status(204);
    assert_eq!(http.get("/api/vhosts/new/permissions").json(), json!([]));
}

#[test]
fn new_vhosts_get_what_the_configuration_says_however_they_are_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let lines = "default_limits.vhosts.1.max_queues = 7\ndefault_policies.operator.cap.max_length = 9\n\
                 default_users.bob.password = pw\ndefault_users.bob.vhost_pattern = ^bobs\n";
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let http = broker.http();
    http.post("/api/definitions", r#"{"vhosts":[{"name":"bobs-1"}]}"#)
        .expect_status(204);
    http.put("/api/vhosts/bobs-2", "{}").expect_status(201);
    for vhost in ["bobs-1", "bobs-2"] {
        let limits = http.get(&format!("/api/vhost-limits/{vhost}")).json();
        assert_eq!(limits[0]["value"]["max-queues"], 7, "{vhost}");
        http.get(&format!("/api/operator-policies/{vhost}/cap"))
            .expect_status(200);
        http.get(&format!("/api/permissions/{vhost}/bob")).expect_status(200);
    }
}

#[test]
fn what_is_imported_is_not_changed_in_silence() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = |document: Value| reason(http.post("/api/definitions", &document.to_string()).expect_status(400));
    let policy = json!({"vhost": "/", "name": "p", "pattern": ".*", "definition": {"max-length": 1}, "priority": "5"});
    assert_eq!(
        refused(json!({"policies": [policy]})),
        "Validation failed\n\npriority should be a number, actually was \"5\"\n (//p)"
    );
    assert_eq!(
        refused(json!({"users": [{"name": "u", "password": "x"}]})),
        "tags_not_present"
    );
    let queue = json!({"vhost": "/", "name": "q", "durable": "true"});
    assert!(refused(json!({"queues": [queue]})).starts_with("'durable' of 'q' in queues should be true or false"));
    assert_eq!(http.get("/api/queues").json(), json!([]));
    // What cannot be made keeps nothing else out, and the log says so.
    let document = json!({"queues": [
        {"vhost": "/", "name": "s", "arguments": {"x-queue-type": "stream"}},
        {"vhost": "/", "name": "amq.mine", "arguments": []},
    ]});
    http.post("/api/definitions", &document.to_string()).expect_status(204);
    let stream = http.get("/api/queues/%2f/s").expect_status(200).json();
    assert_eq!(stream["type"], json!("stream"));
    http.get("/api/queues/%2f/amq.mine").expect_status(404);
    let told = "not imported: queue 'amq.mine' in vhost '/': names that begin with amq. are reserved";
    let end = std::time::Instant::now() + crate::support::PATIENCE;
    while !broker.log().contains(told) {
        assert!(std::time::Instant::now() < end, "{}", broker.log());
        std::thread::yield_now();
    }
}

#[test]
fn users_of_old_versions_log_in() {
    let broker = Broker::start();
    let http = broker.http();
    let md5 = json!({
        "name": "old", "password_hash": "AQIDBJR91gt1SAWTmvD+VzA7MFU=", "tags": "management",
        "hashing_algorithm": "rabbit_password_hashing_md5",
    });
    let broken = json!({
        "name": "new", "password_hash": "CgsMDVrcG++K++KJKY0jFhUfxawUhn6nLLTLqR+Z7R0Fdhnn\n", "tags": "management",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
    });
    http.post("/api/definitions", &json!({"users": [md5, broken]}).to_string())
        .expect_status(204);
    let address = broker.management.as_ref().expect("the HTTP API");
    for user in ["old", "new"] {
        crate::support::Http::as_user(address, user, "pw")
            .get("/api/whoami")
            .expect_status(200);
        crate::support::Http::as_user(address, user, "no")
            .get("/api/whoami")
            .expect_status(401);
    }
    assert_eq!(
        http.get("/api/users/old").json()["hashing_algorithm"],
        "rabbit_password_hashing_md5"
    );
}

#[test]
fn configured_definitions_take_the_place_of_the_default_user() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("definitions.json");
    let document = json!({
        "users": [{"name": "app", "password": "pw", "tags": "administrator"}],
        "vhosts": [{"name": "shop"}],
        "permissions": [{"user": "app", "vhost": "shop", "configure": ".*", "write": ".*", "read": ".*"}],
    });
    std::fs::write(&file, document.to_string()).expect("written");
    for key in ["load_definitions", "definitions.local.path"] {
        let config = dir.path().join("rabbitmq.conf");
        std::fs::write(&config, format!("{key} = {}\n", file.display())).expect("written");
        let mut broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
        for _ in 0..2 {
            broker.http().get("/api/whoami").expect_status(401);
            let address = broker.management.as_ref().expect("the HTTP API");
            let app = crate::support::Http::as_user(address, "app", "pw");
            assert_eq!(crate::names(&app.get("/api/vhosts")), ["shop"], "{key}");
            assert_eq!(crate::names(&app.get("/api/users")), ["app"], "{key}");
            // And so it stays.
            assert!(broker.stop().success());
            broker.restart();
        }
    }
}

#[test]
fn passwords_of_definitions_follow_the_rule_of_the_configuration() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let lines = "credential_validator.validation_backend = rabbit_credential_validator_min_password_length\n\
                 credential_validator.min_length = 10\n";
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let http = broker.http();
    let good = r#"{"users":[{"name":"long","password":"abcdefghijkl","tags":""},{"name":"hashed","password_hash":"","tags":""}]}"#;
    http.post("/api/definitions", good).expect_status(204);
    for user in [
        r#"{"name":"new","password":"abc","tags":""}"#,
        r#"{"name":"new","password":"","tags":""}"#,
        r#"{"name":"new","tags":""}"#,
        r#"{"name":"long","password":"abc","tags":""}"#,
    ] {
        let refused = http.post("/api/definitions", &format!(r#"{{"users":[{user}]}}"#));
        assert_eq!(
            reason(refused.expect_status(400)),
            "credential_validation_failed",
            "{user}"
        );
        let refused = http.put("/api/users/new", user);
        assert_eq!(
            reason(refused.expect_status(400)),
            "credential_validation_failed",
            "{user}"
        );
    }
    // One that is there loses its password.
    let without = r#"{"users":[{"name":"long","tags":"monitoring"}]}"#;
    http.post("/api/definitions", without).expect_status(204);
    http.get("/api/users/new").expect_status(404);
    http.put("/api/users/long", r#"{"tags":"management"}"#)
        .expect_status(204);
}
