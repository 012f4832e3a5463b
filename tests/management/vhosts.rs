//! Vhosts and their limits.

use serde_json::json;

use crate::reason;
use crate::support::Broker;

#[test]
fn a_vhost_is_put_changed_and_deleted() {
    let broker = Broker::start();
    let http = broker.http();
    let body = r#"{"description":"second","tags":"production,eu","default_queue_type":"quorum"}"#;
    http.put("/api/vhosts/web", body).expect_status(201);
    http.put("/api/vhosts/web", r#"{"description":"changed","tags":"production"}"#)
        .expect_status(204);
    let view = http.get("/api/vhosts/web").expect_status(200).json();
    assert_eq!(view["description"], "changed");
    assert_eq!(view["tags"], json!(["production"]));
    assert_eq!(view["default_queue_type"], "quorum");
    assert_eq!(view["metadata"]["default_queue_type"], "quorum");
    // Who makes a vhost may use it.
    let permission = http.get("/api/permissions/web/guest").expect_status(200).json();
    assert_eq!(permission["configure"], ".*");
    http.put("/api/queues/web/q", r#"{"durable":true}"#).expect_status(201);
    assert_eq!(http.get("/api/queues/web/q").json()["type"], "quorum");
    http.delete("/api/vhosts/web").expect_status(204);
    http.delete("/api/vhosts/web").expect_status(404);
    http.get("/api/queues/web").expect_status(404);
}

#[test]
fn limits_are_kept_and_their_names_checked() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/vhosts/v", "").expect_status(201);
    // What clients without a body write, and RabbitMQ takes for none.
    http.put("/api/vhosts/v", "null").expect_status(204);
    http.put("/api/vhost-limits/v/max-queues", r#"{"value":1}"#)
        .expect_status(204);
    assert_eq!(
        http.get("/api/vhost-limits/v").body,
        r#"[{"value":{"max-queues":1},"vhost":"v"}]"#
    );
    http.put("/api/queues/v/a", "{}").expect_status(201);
    let refused = http.put("/api/queues/v/b", "{}");
    assert_eq!(
        reason(refused.expect_status(400)),
        "cannot declare queue 'b': queue limit in vhost 'v' (1) is reached"
    );
    let unknown = http.put("/api/vhost-limits/v/nonsense", r#"{"value":5}"#);
    assert_eq!(
        reason(unknown.expect_status(400)),
        "Validation failed\n\nUnrecognised terms [{<<\"nonsense\">>,5}] in limits\n"
    );
    let text = http.put("/api/vhost-limits/v/max-queues", r#"{"value":"x"}"#);
    assert_eq!(
        reason(text.expect_status(400)),
        "Validation failed\n\nmax-queues should be a number, actually was <<\"x\">>\n"
    );
    let missing = http.put("/api/vhost-limits/v/max-queues", "{}");
    assert_eq!(reason(missing.expect_status(400)), "[{key_missing,value}]");
    http.delete("/api/vhost-limits/v/max-queues").expect_status(204);
    assert_eq!(http.get("/api/vhost-limits/v").body, "[]");
}

#[test]
fn the_first_vhost_gets_what_the_configuration_says_of_new_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let lines = "default_limits.vhosts.1.max_queues = 7\ndefault_limits.vhosts.1.pattern = ^/$\n\
                 default_policies.operator.guard.max_length = 100\n\
                 default_policies.operator.other.vhost_pattern = ^other\n\
                 default_policies.operator.other.max_length = 5\n\
                 default_users.bob.password = pw\ndefault_users.bob.vhost_pattern = ^bobs\n\
                 default_users.ann.password = pw\ndefault_users.ann.configure = ^ann\n";
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let http = broker.http();
    assert_eq!(
        http.get("/api/vhost-limits").body,
        r#"[{"value":{"max-queues":7},"vhost":"/"}]"#
    );
    assert_eq!(
        http.get("/api/operator-policies").json(),
        json!([{"vhost": "/", "name": "guard", "pattern": ".*", "apply-to": "all",
                "definition": {"max-length": 100}, "priority": 0}])
    );
    assert_eq!(http.get("/api/permissions/%2F/ann").json()["configure"], "^ann");
    // A user of other vhosts comes with them.
    http.get("/api/users/bob").expect_status(404);
    http.put("/api/vhosts/bobs", "").expect_status(201);
    http.get("/api/users/bob").expect_status(200);
}
