//! A server that is asked over HTTP.

use lapin::types::FieldTable;
use warren::stream_protocol::codec::{Code, Request as Ask, StartAt};

use super::Configured;
use crate::support::stream::Stream;
use crate::support::web::{Request, Server};
use crate::support::*;

/// A server that knows `ann` (password `p w`, tag `management`), who may do everything but what is called
/// `forbidden`, and into the vhost `/` only.
fn server() -> Server {
    Server::start(|request: &Request| {
        let allowed = match request.path.as_str() {
            "/user" => request.field("username") == "ann" && request.field("password") == "p w",
            "/vhost" => request.field("vhost") == "/",
            "/resource" if request.field("name") == "broken" => return (500, "allow".to_owned()),
            "/resource" if request.field("name") == "odd" => return (200, "perhaps".to_owned()),
            "/resource" => request.field("name") != "forbidden",
            _ => !request.field("routing_key").starts_with("secret"),
        };
        let answer = match (request.path.as_str(), allowed) {
            ("/user", true) => "allow management",
            (_, true) => "allow",
            (_, false) => "deny",
        };
        (200, answer.to_owned())
    })
}

fn lines(server: &Server, more: &[&str]) -> Vec<String> {
    let mut lines = vec![
        format!("auth_http.user_path = {}", server.url("user")),
        format!("auth_http.vhost_path = {}", server.url("vhost")),
        format!("auth_http.resource_path = {}", server.url("resource")),
        format!("auth_http.topic_path = {}", server.url("topic")),
    ];
    lines.extend(more.iter().map(|&line| line.to_owned()));
    lines
}

const CHAIN: &[&str] = &["auth_backends.1 = http", "auth_backends.2 = internal"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_allows_is_allowed_and_what_it_denies_is_refused() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    let connection = configured.connect("ann", "p%20w", "%2f").await.expect("she is let in");
    let mut client = Client::new(connection).await;
    client.queue("q", FieldTable::default()).await;
    client.bind("q", "amq.topic", "a.b", FieldTable::default()).await;
    assert!(client.publish("amq.topic", "a.b", "one", persistent()).await.is_ack());
    assert!(client.send("q", "two").await.is_ack());
    assert_eq!(client.wait_for("q", 2).await, ["one", "two"]);
    let declared = client
        .queue_declare("forbidden".into(), Default::default(), FieldTable::default())
        .await;
    assert_eq!(
        refused(declared),
        "403 ACCESS_REFUSED - configure access to queue 'forbidden' in vhost '/' refused for user 'ann'"
    );
    client.again().await;
    let options = lapin::options::BasicPublishOptions::default();
    let published = client.basic_publish("amq.topic".into(), "secret.a".into(), options, b"x", persistent());
    assert_eq!(
        refused_publish(published).await,
        "403 ACCESS_REFUSED - write access to topic 'secret.a' in exchange 'amq.topic' in vhost '/' refused for user \
         'ann'"
    );
    let asked = server.requests();
    let topic = asked
        .iter()
        .find(|request| request.path == "/topic")
        .expect("it is asked");
    let shown: Vec<_> = topic
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        shown,
        [
            "username=ann",
            "vhost=/",
            "resource=topic",
            "name=amq.topic",
            "permission=read",
            "tags=management",
            "routing_key=a.b",
            "variable_map.username=ann",
            "variable_map.vhost=/",
        ]
    );
    let vhost = asked
        .iter()
        .find(|request| request.path == "/vhost")
        .expect("it is asked");
    assert_eq!((vhost.field("ip"), vhost.field("tags")), ("127.0.0.1", "management"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_many_frames_waits_for_the_answer_and_arrives_whole() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    let client = Client::new(configured.connect("ann", "p%20w", "%2f").await.expect("she is let in")).await;
    client.queue("q", FieldTable::default()).await;
    let body = "x".repeat(300_000);
    assert!(client.send("q", &body).await.is_ack());
    assert_eq!(client.wait_for("q", 1).await, [body]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_none_refuses_and_is_logged() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    let mut client = Client::new(configured.connect("ann", "p%20w", "%2f").await.expect("she is let in")).await;
    for name in ["broken", "odd"] {
        let declared = client
            .queue_declare(name.into(), Default::default(), FieldTable::default())
            .await;
        assert!(refused(declared).starts_with("403 ACCESS_REFUSED"));
        client.again().await;
    }
    configured.logged("answered with the status 500");
    configured.logged("neither allow nor deny: \"perhaps\"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_backend_is_tried_and_nobody_else_gets_in() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    configured
        .connect("guest", "guest", "%2f")
        .await
        .expect("he is in the catalogue");
    for (user, password) in [("ann", "other"), ("bob", "x"), ("guest", "x")] {
        let refusal = refused(configured.connect(user, password, "%2f").await);
        assert!(
            refusal.starts_with("403 ACCESS_REFUSED - Login was refused using"),
            "{refusal}"
        );
    }
    configured.logged("http: denied; internal: no such user");
    configured
        .http("guest", "guest")
        .put("/api/vhosts/other", "{}")
        .expect_status(201);
    let refusal = refused(configured.connect("ann", "p%20w", "other").await);
    assert_eq!(
        refusal,
        "530 NOT_ALLOWED - access to vhost 'other' refused for user 'ann'"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_answer_refuses_within_its_deadline() {
    // It takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("its address");
    let configured = Configured::start(&[
        "auth_backends.1 = http".to_owned(),
        format!("auth_http.user_path = http://{address}/user"),
        "auth_http.request_timeout = 300".to_owned(),
    ]);
    let refusal = refused(configured.connect("ann", "x", "%2f").await);
    assert!(refusal.starts_with("403 ACCESS_REFUSED"), "{refusal}");
    configured.logged("did not answer within 300ms");
    drop(silent);
    assert!(refused(configured.connect("ann", "x", "%2f").await).starts_with("403"));
    configured.logged("no connection to");
}

#[test]
fn the_http_api_asks_too() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    let guest = configured.http("guest", "guest");
    guest.put("/api/vhosts/other", "{}").expect_status(201);
    let ann = configured.http("ann", "p w");
    let who = ann.get("/api/whoami").json();
    assert_eq!(
        who,
        serde_json::json!({"name": "ann", "tags": ["management"], "is_internal_user": false})
    );
    let vhosts = ann.get("/api/vhosts").json();
    let names: Vec<_> = vhosts
        .as_array()
        .expect("a list")
        .iter()
        .map(|vhost| &vhost["name"])
        .collect();
    assert_eq!(names, ["/"]);
    ann.put("/api/queues/%2f/q", r#"{"durable": true}"#).expect_status(201);
    ann.get("/api/queues/%2f/q").expect_status(200);
    let queue = ann.put("/api/queues/%2f/forbidden", r#"{"durable": true}"#);
    queue.expect_status(401);
    ann.get("/api/queues/other").expect_status(401);
    ann.get("/api/users").expect_status(401);
    configured.http("ann", "wrong").get("/api/whoami").expect_status(401);
    // A browser that has signed in.
    let form = r#"{"username": "ann", "password": "p w"}"#;
    let address = configured.broker.management.as_ref().expect("the HTTP API");
    let signed_in = Http::anonymous(address).call_with(
        "POST",
        "/api/session",
        "X-Warren-Session: 1\r\nContent-Type: application/json\r\n",
        form,
    );
    let cookie = signed_in
        .expect_status(200)
        .header("set-cookie")
        .expect("a cookie")
        .to_owned();
    let cookie = cookie.split(';').next().expect("a pair");
    let headers = format!("Cookie: {cookie}\r\nX-Warren-Session: 1\r\n");
    let queues = Http::anonymous(address).call_with("GET", "/api/queues/%2f", &headers, "");
    assert_eq!(queues.expect_status(200).json().as_array().map(Vec::len), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn post_is_a_form_and_permissions_may_be_the_catalogues() {
    let server = server();
    let more = [
        "auth_backends.1.authn = http",
        "auth_backends.1.authz = internal",
        "auth_backends.2 = internal",
        "auth_http.http_method = post",
    ];
    let configured = Configured::start(&lines(&server, &more));
    let refusal = refused(configured.connect("ann", "p%20w", "%2f").await);
    assert!(refusal.starts_with("403 ACCESS_REFUSED"), "{refusal}");
    let guest = configured.http("guest", "guest");
    guest
        .put("/api/users/ann", r#"{"password_hash": "", "tags": ""}"#)
        .expect_status(201);
    let permission = r#"{"configure": "^a", "write": "", "read": ""}"#;
    guest.put("/api/permissions/%2f/ann", permission).expect_status(201);
    let client = Client::new(configured.connect("ann", "p%20w", "%2f").await.expect("she is let in")).await;
    client.queue("a", FieldTable::default()).await;
    let declared = client
        .queue_declare("forbidden".into(), Default::default(), FieldTable::default())
        .await;
    assert!(refused(declared).starts_with("403 ACCESS_REFUSED - configure access to queue 'forbidden'"));
    guest
        .put("/api/queues/%2f/z", r#"{"durable": true}"#)
        .expect_status(201);
    let ann = configured.http("ann", "p w");
    ann.delete("/api/queues/%2f/z").expect_status(401);
    ann.delete("/api/queues/%2f/a").expect_status(204);
    assert_eq!(server.count("/resource"), 0);
    assert_eq!(server.count("/vhost"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_kept_where_that_is_configured() {
    let server = server();
    let more = [
        "auth_backends.1 = cache",
        "auth_cache.cached_backend = http",
        "auth_cache.cache_ttl = 600000",
    ];
    let configured = Configured::start(&lines(&server, &more));
    for _ in 0..3 {
        let client = Client::new(configured.connect("ann", "p%20w", "%2f").await.expect("she is let in")).await;
        client.queue("q", FieldTable::default()).await;
        assert!(client.send("q", "one").await.is_ack());
        assert!(refused(configured.connect("ann", "wrong", "%2f").await).starts_with("403"));
    }
    let wrong = server.requests();
    let wrong = wrong
        .iter()
        .filter(|request| request.field("password") == "wrong")
        .count();
    assert_eq!(wrong, 3, "refusals are not kept");
    assert_eq!(server.count("/user") - wrong, 1);
    assert_eq!(server.count("/vhost"), 1);
    let resources = server.requests();
    let resources = resources.iter().filter(|request| request.path == "/resource");
    assert_eq!(
        resources.count(),
        2,
        "configure the queue, write to the default exchange"
    );
}

#[test]
fn clients_of_the_stream_protocol_wait_for_the_servers_answer() {
    let server = server();
    let configured = Configured::start(&lines(&server, CHAIN));
    let mut client = Stream::open_as(&configured.broker, "ann", "p w");
    client.create("s");
    client.declare("", "s");
    client.publish(&[1, 2]);
    client.subscribe("s", StartAt::First, &[]);
    assert_eq!(client.read(2).len(), 2);
    let partitions = [("p1", "1"), ("p2", "2"), ("p3", "3")];
    assert_eq!(client.create_super("super", &partitions), 1);
    client.expect_ok(Ask::DeleteSuperStream { name: b"super" });
    let refused = client.ask(Ask::Create {
        stream: b"forbidden",
        arguments: Default::default(),
    });
    assert_eq!(refused.code(), Code::AccessRefused as u16);
    assert!(server.count("/resource") > 0);
}
