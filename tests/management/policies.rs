//! Policies, operator policies and parameters.

use serde_json::json;

use crate::support::Broker;
use crate::{names, reason};

#[test]
fn policies_show_on_the_queues_they_apply_to() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/queues/%2f/q1", "{}").expect_status(201);
    let body = r#"{"pattern":"^q","definition":{"max-length":9},"priority":1,"apply-to":"queues"}"#;
    http.put("/api/policies/%2f/limits", body).expect_status(201);
    http.put("/api/policies/%2f/limits", body).expect_status(204);
    let operator = r#"{"pattern":".*","definition":{"max-length":5}}"#;
    http.put("/api/operator-policies/%2f/guard", operator)
        .expect_status(201);
    let queue = http.get("/api/queues/%2f/q1").json();
    assert_eq!(
        (&queue["policy"], &queue["operator_policy"]),
        (&json!("limits"), &json!("guard"))
    );
    assert_eq!(queue["effective_policy_definition"], json!({"max-length": 5}));
    let policy = http.get("/api/policies/%2f/limits").json();
    assert_eq!(
        policy,
        json!({
            "vhost": "/", "name": "limits", "pattern": "^q", "apply-to": "queues",
            "definition": {"max-length": 9}, "priority": 1,
        })
    );
    http.delete("/api/policies/%2f/limits").expect_status(204);
    http.delete("/api/policies/%2f/limits").expect_status(404);
    assert_eq!(http.get("/api/queues/%2f/q1").json()["policy"], json!(null));
}

#[test]
fn bad_policies_are_refused_in_rabbitmqs_words() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = |body: &str| reason(http.put("/api/policies/%2f/p", body).expect_status(400));
    assert_eq!(refused("{}"), "[{key_missing,pattern},{key_missing,definition}]");
    assert_eq!(
        refused(r#"{"pattern":"x","definition":{"nonsense":1}}"#),
        "Validation failed\n\n[{&lt;&lt;\"nonsense\"&gt;&gt;,1}] are not recognised policy settings\n"
    );
    assert_eq!(
        refused(r#"{"pattern":"x","definition":{"max-length":1},"priority":"high"}"#),
        "Validation failed\n\npriority should be a number, actually was &lt;&lt;\"high\"&gt;&gt;\n"
    );
    let operator = http.put(
        "/api/operator-policies/%2f/p",
        r#"{"pattern":"x","definition":{"nonsense":1}}"#,
    );
    assert_eq!(
        reason(operator.expect_status(400)),
        "Validation failed\n\n[{<<\"nonsense\">>,1}] are not recognised policy settings\n"
    );
    assert_eq!(
        refused(r#"{"pattern":"x","definition":{"max-length":1},"apply-to":"nothing"}"#),
        "Validation failed\n\napply-to 'nothing' unrecognised; should be one of: 'queues', 'classic_queues',  \
         'quorum_queues', 'streams', 'exchanges', or 'all'\n"
    );
}

#[test]
fn parameters_are_kept() {
    let broker = Broker::start();
    let http = broker.http();
    let path = "/api/parameters/federation-upstream/%2f/up";
    http.put(path, r#"{"value":{"uri":"amqp://x"}}"#).expect_status(201);
    assert_eq!(
        http.get(path).json(),
        json!({"value": {"uri": "amqp://x"}, "vhost": "/", "component": "federation-upstream", "name": "up"})
    );
    http.delete(path).expect_status(204);
    http.get(path).expect_status(404);
    let unknown = http.put("/api/parameters/nosuch/%2f/x", r#"{"value":{}}"#);
    assert_eq!(
        reason(unknown.expect_status(400)),
        "Validation failed\n\ncomponent nosuch not found\n"
    );
    http.put("/api/global-parameters/mine", r#"{"value":{"a":1}}"#)
        .expect_status(201);
    assert!(names(&http.get("/api/global-parameters")).contains(&"mine".to_owned()));
    http.put("/api/cluster-name", r#"{"name":"warren-of-mine"}"#)
        .expect_status(204);
    assert_eq!(http.get("/api/cluster-name").json(), json!({"name": "warren-of-mine"}));
    assert_eq!(http.get("/api/overview").json()["cluster_name"], "warren-of-mine");
}
