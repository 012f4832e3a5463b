//! Patterns of policies, permissions and lists: PCRE's, over bytes.

use serde_json::json;

use crate::support::{Broker, refused};
use crate::{names, reason};

#[test]
fn policies_take_look_ahead() {
    let broker = Broker::start();
    let http = broker.http();
    for name in ["orders", "tmp.x"] {
        http.put(&format!("/api/queues/%2f/{name}"), "{}").expect_status(201);
    }
    let policy = r#"{"pattern":"^(?!tmp\\.).*","apply-to":"queues","definition":{"max-length":9}}"#;
    http.put("/api/policies/%2f/lasting", policy).expect_status(201);
    http.put("/api/operator-policies/%2f/lasting", policy)
        .expect_status(201);
    let applied = |name| http.get(&format!("/api/queues/%2f/{name}")).json()["policy"].clone();
    assert_eq!((applied("orders"), applied("tmp.x")), (json!("lasting"), json!(null)));
}

#[test]
fn definitions_with_look_ahead_are_taken_and_survive_a_restart() {
    let mut broker = Broker::start();
    let file = json!({
        "vhosts": [{"name": "v"}],
        "users": [{"name": "app", "password": "pw", "tags": ""}],
        "permissions": [{"user": "app", "vhost": "v", "configure": "^(?!secret\\.).*$", "write": "(?<=a)b", "read": "(a)\\1"}],
        "topic_permissions": [{"user": "app", "vhost": "v", "exchange": "amq.topic", "write": "^(?!{username})", "read": ".*"}],
        "policies": [{
            "vhost": "v", "name": "p", "pattern": "^(?!amq\\.)", "apply-to": "all", "priority": 0,
            "definition": {"max-length": 1},
        }],
    });
    broker
        .http()
        .post("/api/definitions", &file.to_string())
        .expect_status(204);
    broker.kill9();
    broker.restart();
    let kept = broker.http().get("/api/definitions/v").expect_status(200).json();
    assert_eq!(kept["policies"][0]["pattern"], "^(?!amq\\.)");
    let permission = broker.http().get("/api/permissions/v/app").json();
    assert_eq!(permission["configure"], "^(?!secret\\.).*$");
}

#[tokio::test]
async fn permissions_match_bytes() {
    let broker = Broker::start();
    let http = broker.http();
    http.put("/api/users/app", r#"{"password":"pw","tags":""}"#)
        .expect_status(201);
    for (pattern, name, allowed) in [
        ("^\\w+$", "caf\u{e9}", false),
        ("^\\w+$", "cafe", true),
        ("^.$", "\u{e9}", false),
        ("^..$", "\u{e9}", true),
        ("^\\d$", "\u{664}", false),
        ("^[a&&b]$", "&", true),
        ("^(?!secret)", "secret.x", false),
        ("^(?!secret)", "open.x", true),
        ("^(a|aa)+(?!b)$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", false),
    ] {
        let patterns = json!({"configure": pattern, "write": "", "read": ""}).to_string();
        http.put("/api/permissions/%2f/app", &patterns);
        let connection = broker
            .try_connect(&format!("amqp://app:pw@{}/%2f", broker.amqp))
            .await
            .expect("logged in");
        let channel = connection.create_channel().await.expect("a channel");
        let declared = channel.queue_declare(name.into(), Default::default(), Default::default());
        let declared = declared.await;
        assert_eq!(declared.is_ok(), allowed, "{pattern} {name}");
        if !allowed {
            assert!(refused(declared).contains("ACCESS_REFUSED"));
        }
    }
}

#[test]
fn what_is_no_pattern_is_refused_in_rabbitmqs_words() {
    let broker = Broker::start();
    let http = broker.http();
    let permission = r#"{"configure":"é(","write":"","read":""}"#;
    let words = json!(["invalid_regexp", [195, 169, 40], ["missing )".as_bytes(), 3]]);
    let answer = http.put("/api/permissions/%2f/guest", permission);
    assert_eq!(answer.expect_status(400).json()["reason"], words);
    let topic = r#"{"exchange":"amq.topic","write":"é(","read":""}"#;
    let words = json!(["invalid_regexp", "é(", ["missing )".as_bytes(), 3]]);
    let answer = http.put("/api/topic-permissions/%2f/guest", topic);
    assert_eq!(answer.expect_status(400).json()["reason"], words);
    let policy = r#"{"pattern":"(","definition":{"max-length":3}}"#;
    let answer = http.put("/api/policies/%2f/p", policy);
    assert_eq!(
        reason(answer.expect_status(400)),
        "Validation failed\n\npattern should be regular expression but is invalid: {\"missing )\",1}\n"
    );
}

#[test]
fn lists_take_look_ahead_and_no_pattern_holds_them_up() {
    let broker = Broker::start();
    let http = broker.http();
    let long = format!("{}c", "a".repeat(200));
    for name in ["amq.x", "orders", &long] {
        http.put(&format!("/api/queues/%2f/{name}"), "{}");
    }
    let listed = |pattern: &str| http.get(&format!("/api/queues?page=1&use_regex=true&name={pattern}"));
    assert_eq!(names(&listed("%5E(%3F!a)")), ["orders"]);
    let answer = listed("%5E(%3F%3Da)(a%7Caa)%2B$");
    assert_eq!(reason(answer.expect_status(400)), "the pattern needs too many steps");
    let answer = listed("(");
    assert_eq!(reason(answer.expect_status(400)), "Pagination parameters are invalid");
}

#[test]
fn a_policy_that_would_hold_up_everything_is_refused() {
    let broker = Broker::start();
    let http = broker.http();
    for number in 0..40 {
        http.put(&format!("/api/queues/%2f/{}{number}", "a".repeat(200)), "{}");
    }
    let policy = r#"{"pattern": "^(?=a)(a|aa)+$", "definition": {"max-length": 5}}"#;
    let told = "Validation failed\n\npattern needs too many steps for names such as aaa";
    for kind in ["policies", "operator-policies"] {
        let answer = http.put(&format!("/api/{kind}/%2f/slow"), policy);
        let said = reason(answer.expect_status(400));
        assert!(said.starts_with(told), "{said}");
        let preview = http.post(&format!("/api/{kind}/%2f/slow/preview"), policy).json();
        assert!(
            preview["errors"][0]
                .as_str()
                .is_some_and(|error| error.starts_with("pattern needs too many")),
            "{preview}"
        );
    }
    let definitions = r#"{"policies": [{"vhost": "/", "name": "slow", "pattern": "^(?=a)(a|aa)+$", "apply-to": "all", "priority": 0, "definition": {"max-length": 5}}]}"#;
    assert!(reason(http.post("/api/definitions", definitions).expect_status(400)).contains("too many steps"));
    // Of names that it can be asked about it may be put, and it matches them.
    http.put("/api/vhosts/other", "{}");
    http.put("/api/policies/other/slow", policy).expect_status(201);
    http.put("/api/queues/other/aaa", "{}");
    assert_eq!(http.get("/api/queues/other/aaa").json()["policy"], "slow");
}
