//! Users, permissions, and limits of users.

use serde_json::json;

use crate::support::{Broker, Http};
use crate::{names, reason};

#[test]
fn a_user_logs_in_with_the_password_it_was_given() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/users/app", r#"{"password":"one","tags":"management"}"#)
        .expect_status(201);
    let address = broker.management.as_ref().expect("the HTTP API");
    let whoami = |password| Http::as_user(address, "app", password).get("/api/whoami");
    assert_eq!(
        whoami("one").expect_status(200).json(),
        json!({"name": "app", "tags": ["management"], "is_internal_user": true})
    );
    http.put("/api/users/app", r#"{"password":"two","tags":["management","custom"]}"#)
        .expect_status(204);
    whoami("one").expect_status(401);
    whoami("two").expect_status(200);
    // The worked example of RabbitMQ's documentation.
    let hash = r#"{"password_hash":"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR","tags":"management"}"#;
    http.put("/api/users/app", hash).expect_status(204);
    whoami("test12").expect_status(200);
    http.put("/api/users/app", r#"{"password_hash":"","tags":"management"}"#)
        .expect_status(204);
    whoami("").expect_status(401);
    http.delete("/api/users/app").expect_status(204);
    http.delete("/api/users/app").expect_status(404);
    whoami("test12").expect_status(401);
}

#[test]
fn what_is_missing_is_told() {
    let broker = Broker::start();
    let http = broker.http();
    let no_tags = http.put("/api/users/app", r#"{"password":"a"}"#);
    assert_eq!(reason(no_tags.expect_status(400)), "tags_not_present");
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    let nobody = http.put("/api/permissions/%2f/nobody", all);
    assert_eq!(reason(nobody.expect_status(400)), "vhost_or_user_not_found");
    http.put("/api/permissions/missing/guest", all).expect_status(400);
    let part = http.put("/api/permissions/%2f/guest", r#"{"configure":".*"}"#);
    assert_eq!(
        reason(part.expect_status(400)),
        "[{key_missing,write},{key_missing,read}]"
    );
    http.put(
        "/api/permissions/%2f/guest",
        r#"{"configure":"(","write":"","read":""}"#,
    )
    .expect_status(400);
}

#[test]
fn permissions_come_and_go() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/users/app", r#"{"password":"a","tags":""}"#)
        .expect_status(201);
    assert_eq!(names(&http.get("/api/users/without-permissions")), ["app"]);
    let path = "/api/permissions/%2f/app";
    http.put(path, r#"{"configure":"^app","write":".*","read":""}"#)
        .expect_status(201);
    let own = json!({"user": "app", "vhost": "/", "configure": "^app", "write": ".*", "read": ""});
    assert_eq!(http.get(path).json(), own);
    assert_eq!(http.get("/api/users/app/permissions").json(), json!([own]));
    assert_eq!(http.get("/api/users/without-permissions").json(), json!([]));
    let topics = "/api/topic-permissions/%2f/app";
    http.put(topics, r#"{"exchange":"amq.topic","write":"^a","read":"^b"}"#)
        .expect_status(201);
    assert_eq!(http.get(topics).json()[0]["write"], "^a");
    http.delete(topics).expect_status(204);
    assert_eq!(http.get(topics).json(), json!([]));
    http.delete(path).expect_status(204);
    http.delete(path).expect_status(404);
}

#[test]
fn users_are_deleted_in_bulk() {
    let broker = Broker::start();
    let http = broker.http();
    for name in ["a", "b", "c"] {
        let path = format!("/api/users/{name}");
        http.put(&path, r#"{"tags":""}"#).expect_status(201);
    }
    http.post("/api/users/bulk-delete", r#"{"users":["a","c","never"]}"#)
        .expect_status(204);
    assert_eq!(names(&http.get("/api/users")), ["b", "guest"]);
    let bad = http.post("/api/users/bulk-delete", "{}");
    assert_eq!(reason(bad.expect_status(400)), "[{key_missing,users}]");
}

#[test]
fn limits_of_users_are_kept() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/user-limits/guest/max-channels", r#"{"value":100}"#)
        .expect_status(204);
    assert_eq!(
        http.get("/api/user-limits/guest").body,
        r#"[{"user":"guest","value":{"max-channels":100}}]"#
    );
    let unknown = http.put("/api/user-limits/guest/nonsense", r#"{"value":5}"#);
    assert_eq!(
        reason(unknown.expect_status(400)),
        "Unrecognised terms [{<<\"nonsense\">>,5}] in user-limits"
    );
    http.delete("/api/user-limits/guest/max-channels").expect_status(204);
    assert_eq!(http.get("/api/user-limits").body, "[]");
}
