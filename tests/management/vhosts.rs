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
