//! Policies, operator policies and parameters.

use serde_json::json;

use crate::support::{Broker, Http};
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
fn parameters_of_what_nothing_acts_on_are_refused() {
    let broker = Broker::start();
    let http = broker.http();
    for component in ["nosuch", "shovel", "federation-upstream"] {
        let refused = http.put(
            &format!("/api/parameters/{component}/%2f/x"),
            r#"{"value":{"uri":"amqp://x"}}"#,
        );
        assert_eq!(
            reason(refused.expect_status(400)),
            format!("Validation failed\n\ncomponent {component} not found\n")
        );
    }
}

#[test]
fn parameters_that_definitions_bring_are_kept() {
    let broker = Broker::start();
    let http = broker.http();
    let parameter =
        json!({"value": {"uri": "amqp://x"}, "vhost": "/", "component": "federation-upstream", "name": "up"});
    let definitions = json!({"parameters": [parameter]}).to_string();
    http.post("/api/definitions", &definitions).expect_status(204);
    let path = "/api/parameters/federation-upstream/%2f/up";
    assert_eq!(http.get(path).json(), parameter);
    http.delete(path).expect_status(204);
    http.get(path).expect_status(404);
}

#[test]
fn operator_policies_and_limits_are_parameters_too() {
    let broker = Broker::start();
    let http = broker.http();
    let refused = |path: &str, value: &str| {
        let answer = http.put(&format!("/api/parameters/{path}"), &format!(r#"{{"value":{value}}}"#));
        reason(answer.expect_status(400))
    };
    let policy = r#"{"value":{"pattern":"^z","definition":{"max-length":5},"priority":1,"apply-to":"queues"}}"#;
    let path = "/api/parameters/operator_policy/%2f/z";
    http.put(path, policy).expect_status(201);
    http.put(path, policy).expect_status(204);
    assert_eq!(
        http.get("/api/operator-policies/%2f/z").json()["definition"],
        json!({"max-length": 5})
    );
    assert_eq!(http.get("/api/parameters").json()[0]["component"], "operator_policy");
    assert_eq!(
        refused("operator_policy/%2f/z", r#"{"pattern":"^z"}"#),
        "Validation failed\n\nKey \"definition\" not found in z\nKey \"priority\" not found in z\n"
    );
    assert_eq!(
        refused("operator_policy/%2f/z", "[]"),
        "Validation failed\n\nKey \"pattern\" not found in z\nKey \"definition\" not found in z\nKey \"priority\" not \
         found in z\n"
    );
    assert_eq!(
        refused("operator_policy/%2f/z", "5"),
        "Validation failed\n\nz not a list 5\n"
    );
    http.delete(path).expect_status(204);
    http.get("/api/operator-policies/%2f/z").expect_status(404);

    let path = "/api/parameters/vhost-limits/%2f/limits";
    http.put(path, r#"{"value":{"max-queues":50,"max-connections":9}}"#)
        .expect_status(201);
    // How PHP and Erlang write an empty object.
    http.put(path, r#"{"value":[]}"#).expect_status(204);
    assert_eq!(http.get("/api/vhost-limits").json(), json!([]));
    http.put(path, r#"{"value":{"max-queues":51}}"#).expect_status(201);
    assert_eq!(
        http.get("/api/vhost-limits").json(),
        json!([{"vhost": "/", "value": {"max-queues": 51}}])
    );
    assert_eq!(http.get(path).json()["value"], json!({"max-queues": 51}));
    assert_eq!(
        refused("vhost-limits/%2f/limits", r#"{"max-queues":"x"}"#),
        "Validation failed\n\nmax-queues should be a number, actually was &lt;&lt;\"x\"&gt;&gt;\n"
    );
    assert_eq!(
        refused("vhost-limits/%2f/limits", r#"{"max-things":3}"#),
        "Validation failed\n\nUnrecognised terms [{&lt;&lt;\"max-things\"&gt;&gt;,3}] in limits\n"
    );
    http.delete(path).expect_status(204);
    assert_eq!(http.get("/api/vhost-limits").json(), json!([]));

    assert_eq!(
        refused("policy/%2f/p", "{}"),
        "policies may not be set using this method"
    );
}

#[test]
fn parameters_are_no_way_around_the_rights_of_others_paths() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/users/maker", r#"{"password":"secret","tags":"policymaker"}"#)
        .expect_status(201);
    let all = r#"{"configure":".*","write":".*","read":".*"}"#;
    http.put("/api/permissions/%2f/maker", all).expect_status(201);
    let maker = Http::as_user(broker.management.as_ref().expect("the HTTP API"), "maker", "secret");
    let policy = r#"{"value":{"pattern":"^z","definition":{"max-length":5},"priority":1}}"#;
    maker
        .put("/api/parameters/operator_policy/%2f/z", policy)
        .expect_status(401);
    maker
        .put(
            "/api/parameters/vhost-limits/%2f/limits",
            r#"{"value":{"max-queues":5}}"#,
        )
        .expect_status(401);
}

#[test]
fn global_parameters_are_kept() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/global-parameters/mine", r#"{"value":{"a":1}}"#)
        .expect_status(201);
    assert!(names(&http.get("/api/global-parameters")).contains(&"mine".to_owned()));
    http.put("/api/cluster-name", r#"{"name":"warren-of-mine"}"#)
        .expect_status(204);
    assert_eq!(http.get("/api/cluster-name").json(), json!({"name": "warren-of-mine"}));
    assert_eq!(http.get("/api/overview").json()["cluster_name"], "warren-of-mine");
}
