//! Browsers that sign in, and what their cookie can do.

use serde_json::json;

use crate::reason;
use crate::support::{Answer, Broker, Http};

const CONSOLE: &str = "X-Warren-Session: 1\r\n";
const GUEST: &str = r#"{"username":"guest","password":"guest"}"#;

/// The API without a user.
fn nobody(broker: &Broker) -> Http {
    Http::anonymous(broker.management.as_ref().expect("the HTTP API"))
}

/// Signs in; the cookie as it is sent back.
fn sign_in(broker: &Broker, body: &str) -> String {
    let answer = nobody(broker).call_with("POST", "/api/session", CONSOLE, body);
    cookie(answer.expect_status(200))
}

fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    let (pair, rest) = set.split_once(';').expect("attributes");
    assert!(rest.contains("HttpOnly") && rest.contains("SameSite=Strict"), "{set}");
    format!("Cookie: {pair}\r\n")
}

#[test]
fn a_browser_signs_in_and_out() {
    let broker = Broker::start();
    let http = nobody(&broker);
    let answer = http.call_with("POST", "/api/session", CONSOLE, GUEST);
    let all = json!({"name": "/", "configure": ".*", "write": ".*", "read": ".*"});
    let expected = json!({"user": "guest", "tags": ["administrator"], "vhosts": [all]});
    assert_eq!(answer.expect_status(200).json(), expected);
    let cookie = cookie(&answer);
    let proxied = format!("{CONSOLE}X-Forwarded-Proto: https\r\n");
    let secure = http.call_with("POST", "/api/session", &proxied, GUEST);
    assert!(secure.header("set-cookie").is_some_and(|set| set.ends_with("; Secure")));
    assert!(!cookie.contains("guest") && !cookie.contains("Z3Vlc3Q"), "{cookie}");
    let asked = |method: &str, path: &str, headers: &str| http.call_with(method, path, headers, "");
    assert_eq!(
        asked("GET", "/api/session", &cookie).expect_status(200).json(),
        expected
    );
    assert_eq!(asked("GET", "/api/whoami", &cookie).json()["name"], "guest");
    let both = format!("{cookie}{CONSOLE}");
    let out = asked("DELETE", "/api/session", &both);
    assert!(
        out.expect_status(204)
            .header("set-cookie")
            .is_some_and(|set| set.contains("Max-Age=0"))
    );
    let refused = asked("GET", "/api/whoami", &cookie);
    assert_eq!(refused.expect_status(401).header("www-authenticate"), None);
}

#[test]
fn what_changes_something_needs_more_than_the_cookie() {
    let broker = Broker::start();
    let http = nobody(&broker);
    let cookie = sign_in(&broker, GUEST);
    http.call_with("PUT", "/api/queues/%2f/q", &cookie, "{}")
        .expect_status(403);
    broker.http().get("/api/queues/%2f/q").expect_status(404);
    let both = format!("{cookie}{CONSOLE}");
    http.call_with("PUT", "/api/queues/%2f/q", &both, "{}")
        .expect_status(201);
    http.call_with("DELETE", "/api/session", &cookie, "").expect_status(403);
    http.call_with("POST", "/api/session", "", GUEST).expect_status(403);
}

#[test]
fn a_wrong_password_opens_no_session() {
    let broker = Broker::start();
    let http = nobody(&broker);
    let sign_in = |body: &str| http.call_with("POST", "/api/session", CONSOLE, body);
    let refused = sign_in(r#"{"username":"guest","password":"nope"}"#);
    assert_eq!(refused.expect_status(401).header("set-cookie"), None);
    sign_in(r#"{"username":"guest"}"#).expect_status(400);
    sign_in(r#"{"username":1,"password":[]}"#).expect_status(400);
    sign_in("[").expect_status(400);
    let user = r#"{"password":"secret","tags":""}"#;
    broker.http().put("/api/users/plain", user).expect_status(201);
    let untagged = sign_in(r#"{"username":"plain","password":"secret"}"#);
    assert_eq!(reason(untagged.expect_status(401)), "Not management user");
    // A browser does not ask for a password where the console does.
    let asked = http.call_with("GET", "/api/whoami", CONSOLE, "");
    assert_eq!(asked.expect_status(401).header("www-authenticate"), None);
}

#[test]
fn a_session_ends_with_the_password_it_began_with() {
    let broker = Broker::start();
    let (admin, http) = (broker.http(), nobody(&broker));
    let put = |password: &str, tags: &str| {
        let body = json!({"password": password, "tags": tags}).to_string();
        admin.put("/api/users/ann", &body)
    };
    put("one", "monitoring").expect_status(201);
    let cookie = sign_in(&broker, r#"{"username":"ann","password":"one"}"#);
    let asked = |path: &str| http.call_with("GET", path, &cookie, "");
    let seen = asked("/api/session");
    let none = json!({"name": "/", "configure": null, "write": null, "read": null});
    assert_eq!(seen.expect_status(200).json()["vhosts"], json!([none]));
    let open = admin.get("/api/sessions").json();
    assert_eq!((&open[0]["user"], &open[0]["is_own"]), (&json!("ann"), &json!(false)));
    put("two", "monitoring").expect_status(204);
    asked("/api/session").expect_status(401);
    assert_eq!(admin.get("/api/sessions").json(), json!([]));
}

#[test]
fn an_administrator_signs_others_out() {
    let broker = Broker::start();
    let (admin, http) = (broker.http(), nobody(&broker));
    let cookie = sign_in(&broker, GUEST);
    let id = admin.get("/api/sessions").json()[0]["id"].clone();
    admin.delete(&format!("/api/sessions/{id}")).expect_status(204);
    admin.delete(&format!("/api/sessions/{id}")).expect_status(404);
    admin.delete("/api/sessions/x").expect_status(404);
    http.call_with("GET", "/api/whoami", &cookie, "").expect_status(401);
}

#[test]
fn the_login_of_rabbitmq_puts_no_password_into_its_cookie() {
    let broker = Broker::start();
    let http = nobody(&broker);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = http.call_with("POST", "/api/login", form, "username=guest&password=guest");
    assert_eq!(answer.expect_status(200).body, "\"ok\"");
    let cookie = cookie(&answer);
    assert_eq!(
        http.call_with("GET", "/api/whoami", &cookie, "").json()["name"],
        "guest"
    );
    http.call_with("POST", "/api/login", form, "username=guest&password=no")
        .expect_status(401);
}

#[test]
fn attempts_to_log_in_are_counted() {
    let broker = Broker::start();
    let http = broker.http();
    let node = http.get("/api/overview").json()["node"]
        .as_str()
        .expect("a name")
        .to_owned();
    let path = format!("/api/auth/attempts/{node}");
    http.delete(&path).expect_status(204);
    let wrong = Http::as_user(broker.management.as_ref().expect("the HTTP API"), "guest", "nope");
    wrong.get("/api/overview").expect_status(401);
    let counted = json!([{
        "protocol": "http", "auth_attempts": 2, "auth_attempts_failed": 1, "auth_attempts_succeeded": 1,
    }]);
    assert_eq!(http.get(&path).json(), counted);
    assert_eq!(http.get(&format!("{path}/source")).json(), json!([]));
    http.get("/api/auth/attempts/none@nowhere").expect_status(404);
}
