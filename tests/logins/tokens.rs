//! Tokens of an issuer, which is the test.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use lapin::types::FieldTable;
use serde_json::{Value, json};
use warren::stream_protocol::codec::{Code, Key, Request};

use super::Configured;
use crate::support::authority::Authority;
use crate::support::stream::Stream;
use crate::support::web::Server;
use crate::support::*;

/// Somebody who signs.
struct Issuer {
    name: &'static str,
    keys: rcgen::KeyPair,
}

impl Issuer {
    fn new(name: &'static str) -> Self {
        let keys = rcgen::KeyPair::generate().expect("keys");
        Self { name, keys }
    }

    /// A token for this broker that is good for that many seconds, with further claims or other ones.
    fn token(&self, scope: &str, seconds: i64, claims: Value) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970")
            .as_secs() as i64;
        let mut all = json!({"sub": "ann", "aud": "rabbitmq", "scope": scope, "exp": now + seconds});
        for (name, value) in claims.as_object().into_iter().flatten() {
            all[name] = value.clone();
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.name.to_owned());
        let key = EncodingKey::from_ec_pem(self.keys.serialize_pem().as_bytes()).expect("a key");
        encode(&header, &all, &key).expect("a token")
    }

    /// A file with the public key, and the line that names it.
    fn file(&self, directory: &Path) -> String {
        let path = directory.join(format!("{}.pem", self.name));
        std::fs::write(&path, self.keys.public_key_pem()).expect("written");
        format!("auth_oauth2.signing_keys.{} = {}", self.name, path.display())
    }

    /// The public key as issuers give it.
    fn jwk(&self) -> Value {
        use rcgen::PublicKeyData;
        let point = self.keys.der_bytes();
        let (x, y) = point[1..].split_at(32);
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.name,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

const ALL: &str = "rabbitmq.read:*/* rabbitmq.write:*/* rabbitmq.configure:*/a*";

fn lines(issuer: &Issuer, directory: &Path, more: &[&str]) -> Vec<String> {
    let mut lines = vec![
        "auth_backends.1 = oauth2".to_owned(),
        "auth_backends.2 = internal".to_owned(),
        "auth_oauth2.resource_server_id = rabbitmq".to_owned(),
        issuer.file(directory),
    ];
    lines.extend(more.iter().map(|&line| line.to_owned()));
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authorization_details_say_what_is_allowed() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let more = ["auth_oauth2.resource_server_type = broker"];
    let configured = Configured::start(&lines(&issuer, directory.path(), &more));
    let details = json!({"authorization_details": [
        {"type": "broker", "locations": ["cluster:rabbit*/vhost:%2F/queue:a*"], "actions": ["configure", "write"]},
        {"type": "other", "locations": ["cluster:rabbit*"], "actions": ["read", "configure"]},
    ]});
    let token = issuer.token("", 600, details);
    let mut client = Client::new(configured.connect("x", &token, "%2f").await.expect("she is let in")).await;
    client.queue("aq", FieldTable::default()).await;
    let read = client
        .basic_get("aq".into(), Default::default())
        .await
        .expect_err("only the other type grants it");
    assert!(read.to_string().contains("ACCESS_REFUSED"), "{read}");
    client.again().await;
    let declared = client
        .queue_declare("bq".into(), Default::default(), FieldTable::default())
        .await;
    assert!(declared.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scopes_say_what_is_allowed() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let configured = Configured::start(&lines(&issuer, directory.path(), &[]));
    let token = issuer.token(ALL, 600, json!({}));
    let mut client = Client::new(configured.connect("x", &token, "%2f").await.expect("she is let in")).await;
    client.queue("aq", FieldTable::default()).await;
    assert!(client.send("aq", "one").await.is_ack());
    assert_eq!(client.wait_for("aq", 1).await, ["one"]);
    let declared = client
        .queue_declare("bq".into(), Default::default(), FieldTable::default())
        .await;
    assert_eq!(
        refused(declared),
        "403 ACCESS_REFUSED - configure access to queue 'bq' in vhost '/' refused for user 'ann'"
    );
    client.again().await;
    let narrow = issuer.token("rabbitmq.write:*/amq.topic/a.* rabbitmq.read:*/*", 600, json!({}));
    let narrow = Client::new(configured.connect("", &narrow, "%2f").await.expect("let in")).await;
    narrow.publish("amq.topic", "a.b", "x", persistent()).await;
    let options = lapin::options::BasicPublishOptions::default();
    let publish = narrow.basic_publish("amq.topic".into(), "b.a".into(), options, b"x", persistent());
    assert!(
        refused_publish(publish)
            .await
            .contains("write access to topic 'b.a' in exchange 'amq.topic'")
    );
    let nowhere = issuer.token("", 600, json!({}));
    assert_eq!(
        refused(configured.connect("x", &nowhere, "%2f").await),
        "530 NOT_ALLOWED - access to vhost '/' refused for user 'ann'"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_not_good_lets_nobody_in() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let stranger = Issuer::new("k1");
    let unknown = Issuer::new("k2");
    let configured = Configured::start(&lines(&issuer, directory.path(), &[]));
    let good = issuer.token(ALL, 600, json!({}));
    let parts: Vec<_> = good.split('.').collect();
    let header = |header: Value| URL_SAFE_NO_PAD.encode(header.to_string());
    let unsigned = format!("{}.{}.", header(json!({"alg": "none", "kid": "k1"})), parts[1]);
    // The public key as a secret that both know.
    let mut shared = Header::new(Algorithm::HS256);
    shared.kid = Some("k1".to_owned());
    let secret = EncodingKey::from_secret(issuer.keys.public_key_pem().as_bytes());
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("base64")).expect("JSON");
    let shared = encode(&shared, &claims, &secret).expect("a token");
    for (token, reason) in [
        (issuer.token(ALL, -5, json!({})), "the token has expired at"),
        (issuer.token(ALL, 600, json!({"aud": "other"})), "for another audience"),
        (issuer.token(ALL, 600, json!({"aud": null})), "for another audience"),
        (
            stranger.token(ALL, 600, json!({})),
            "the token is not good: InvalidSignature",
        ),
        (unknown.token(ALL, 600, json!({})), "the key 'k2' is not known"),
        (shared, "signatures by HS256 are not taken"),
        (unsigned, "the token cannot be read"),
        ("nothing".to_owned(), "what was given is no token"),
    ] {
        let refusal = refused(configured.connect("x", &token, "%2f").await);
        assert!(
            refusal.starts_with("403 ACCESS_REFUSED - Login was refused using"),
            "{reason}: {refusal}"
        );
        configured.logged(reason);
    }
    configured.connect("x", &good, "%2f").await.expect("the good one");
    assert!(!configured.broker.log().contains(&good), "tokens are not logged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_token_has_expired_nothing_is_allowed_until_another_comes() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let configured = Configured::start(&lines(&issuer, directory.path(), &[]));
    let short = issuer.token(ALL, 3, json!({}));
    let mut client = Client::new(configured.connect("x", &short, "%2f").await.expect("let in")).await;
    client.queue("aq", FieldTable::default()).await;
    let end = std::time::Instant::now() + PATIENCE;
    // The route is known by then: what was allowed before is looked at again.
    let refusal = loop {
        assert!(std::time::Instant::now() < end, "the token does not expire");
        let options = lapin::options::BasicPublishOptions::default();
        let publish = client.basic_publish("".into(), "aq".into(), options, b"x", persistent());
        let refusal = match publish.await {
            Ok(confirm) => confirm.await.err(),
            Err(error) => Some(error),
        };
        if let Some(refusal) = refusal {
            break refused::<()>(Err(refusal));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(
        refusal.starts_with("403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'ann', backend rabbit_auth_backend_oauth2 returned an error: \"Provided JWT token has expired at timestamp "),
        "{refusal}"
    );
    let fresh = issuer.token(ALL, 600, json!({}));
    client
        .connection
        .update_secret(fresh.as_str().into(), "expired".into())
        .await
        .expect("taken");
    client.again().await;
    assert!(client.send("aq", "again").await.is_ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_secret_changes_rights_and_a_bad_one_ends_the_connection() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let configured = Configured::start(&lines(&issuer, directory.path(), &[]));
    let token = issuer.token(ALL, 600, json!({}));
    let client = Client::new(configured.connect("x", &token, "%2f").await.expect("let in")).await;
    client.queue("aq", FieldTable::default()).await;
    assert!(client.send("aq", "x").await.is_ack());
    let less = issuer.token("rabbitmq.read:*/*", 600, json!({}));
    client
        .connection
        .update_secret(less.as_str().into(), "less".into())
        .await
        .expect("taken");
    let options = lapin::options::BasicPublishOptions::default();
    let publish = client.basic_publish("".into(), "aq".into(), options, b"x", persistent());
    assert!(
        refused_publish(publish)
            .await
            .starts_with("403 ACCESS_REFUSED - write access to exchange 'amq.default'")
    );
    for bad in ["zzz".to_owned(), issuer.token(ALL, 600, json!({"sub": "bob"}))] {
        let connection = configured.connect("x", &token, "%2f").await.expect("let in");
        let answer = connection.update_secret(bad.as_str().into(), "bad".into()).await;
        assert_eq!(
            refused(answer),
            "530 NOT_ALLOWED - New secret was refused by one of the backends"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_from_the_issuer_and_new_ones_are_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, second) = (Issuer::new("first"), Issuer::new("second"));
    let keys = std::sync::Arc::new(std::sync::Mutex::new(json!({"keys": [first.jwk()]})));
    let (shown, place) = (keys.clone(), std::sync::Arc::new(std::sync::OnceLock::new()));
    let address = place.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/.well-known/openid-configuration" => {
            (200, json!({"jwks_uri": address.get().expect("it is set")}).to_string())
        }
        "/keys" => (200, shown.lock().expect("not poisoned").to_string()),
        _ => (404, String::new()),
    });
    place.set(server.url("keys")).expect("it was not set");
    let file = Issuer::new("file");
    let more = format!("auth_oauth2.issuer = http://{}/", server.address);
    let configured = Configured::start(&lines(&file, directory.path(), &[&more]));
    for _ in 0..2 {
        let token = first.token(ALL, 600, json!({}));
        configured.connect("x", &token, "%2f").await.expect("let in");
    }
    assert_eq!(server.count("/keys"), 1, "keys are kept");
    *keys.lock().expect("not poisoned") = json!({"keys": [first.jwk(), second.jwk()]});
    let end = std::time::Instant::now() + PATIENCE;
    while configured
        .connect("x", &second.token(ALL, 600, json!({})), "%2f")
        .await
        .is_err()
    {
        assert!(std::time::Instant::now() < end, "the new key is not found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_provider_has_its_own_keys_and_authorities() {
    let directory = tempfile::tempdir().expect("a directory");
    let place = directory.path();
    let papers = Authority::new("keys").issue_for("issuer", &["127.0.0.1"], place);
    let (served, filed) = (Issuer::new("served"), Issuer::new("filed"));
    let keys = json!({"keys": [served.jwk()]}).to_string();
    let server = Server::start_tls(&papers, move |_| (200, keys.clone()));
    filed.file(place);
    let lines = [
        "auth_backends.1 = oauth2".to_owned(),
        "auth_backends.2 = internal".to_owned(),
        "auth_oauth2.resource_servers.one.id = one".to_owned(),
        "auth_oauth2.resource_servers.one.oauth_provider_id = web".to_owned(),
        "auth_oauth2.resource_servers.one.scope_prefix = rabbitmq.".to_owned(),
        "auth_oauth2.resource_servers.one.preferred_username_claims.1 = mail".to_owned(),
        format!("auth_oauth2.oauth_providers.web.jwks_uri = {}", server.url("keys")),
        format!(
            "auth_oauth2.oauth_providers.web.https.cacertfile = {}",
            papers.cacertfile.display()
        ),
        "auth_oauth2.resource_servers.two.id = two".to_owned(),
        "auth_oauth2.resource_servers.two.oauth_provider_id = file".to_owned(),
        "auth_oauth2.resource_servers.two.scope_prefix = rabbitmq.".to_owned(),
        format!(
            "auth_oauth2.oauth_providers.file.signing_keys.filed = {}/filed.pem",
            place.display()
        ),
        "auth_oauth2.oauth_providers.file.algorithms.1 = ES256".to_owned(),
        "auth_oauth2.resource_servers.three.id = three".to_owned(),
        "auth_oauth2.resource_servers.three.oauth_provider_id = strict".to_owned(),
        format!(
            "auth_oauth2.oauth_providers.strict.signing_keys.filed = {}/filed.pem",
            place.display()
        ),
        "auth_oauth2.oauth_providers.strict.algorithms.1 = RS256".to_owned(),
        "auth_oauth2.resource_servers.four.id = four".to_owned(),
        "auth_oauth2.resource_servers.four.oauth_provider_id = unknown".to_owned(),
        format!("auth_oauth2.oauth_providers.unknown.jwks_uri = {}", server.url("keys")),
    ];
    let configured = Configured::start(&lines);
    let log_in = async |issuer: &Issuer, audience: &str| {
        let token = issuer.token(ALL, 600, json!({"aud": audience, "mail": "ann@x"}));
        configured.connect("x", &token, "%2f").await
    };
    let connection = log_in(&served, "one").await;
    let _open = connection.expect("its key comes over TLS that is trusted");
    let end = std::time::Instant::now() + PATIENCE;
    while configured.broker.http().get("/api/connections").json()[0]["user"] != "ann@x" {
        assert!(std::time::Instant::now() < end, "the claim is not the user's name");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    log_in(&filed, "two").await.expect("its key is in the file");
    for (issuer, audience, why) in [
        (&filed, "one", "the key is another provider's"),
        (&served, "two", "the key is another provider's"),
        (&filed, "three", "the signature is not of the kind that is taken"),
        (&served, "four", "the certificate is not trusted"),
    ] {
        assert!(log_in(issuer, audience).await.is_err(), "{audience}: {why}");
    }
}

#[test]
fn the_http_api_takes_tokens_and_tags_by_scope() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let more = [
        "auth_oauth2.preferred_username_claims.1 = mail",
        "auth_oauth2.additional_scopes_key = roles",
        "auth_oauth2.scope_aliases.boss = rabbitmq.tag:administrator",
    ];
    let configured = Configured::start(&lines(&issuer, directory.path(), &more));
    let address = configured.broker.management.as_ref().expect("the HTTP API");
    let ask = |token: &str, path: &str| {
        let header = format!("Authorization: Bearer {token}\r\n");
        Http::anonymous(address).call_with("GET", path, &header, "")
    };
    let token = issuer.token("boss", 600, json!({"mail": "ann@x"}));
    assert_eq!(
        ask(&token, "/api/whoami").expect_status(200).json(),
        json!({"name": "ann@x", "tags": ["administrator"], "is_internal_user": false})
    );
    ask(&token, "/api/users").expect_status(200);
    let token = issuer.token("", 600, json!({"roles": "rabbitmq.tag:management rabbitmq.read:%2F/*"}));
    ask(&token, "/api/users").expect_status(401);
    ask(&token, "/api/queues/%2f").expect_status(200);
    ask(&issuer.token("rabbitmq.read:*/*", 600, json!({})), "/api/whoami").expect_status(401);
    ask("nothing", "/api/whoami").expect_status(401);
    // As a password, as programs that know no tokens send it.
    configured.http("", &token).get("/api/whoami").expect_status(200);
}

#[test]
fn a_token_that_expires_ends_a_connection_of_the_stream_protocol_unless_another_comes() {
    let (issuer, directory) = (Issuer::new("k1"), tempfile::tempdir().expect("a directory"));
    let configured = Configured::start(&lines(&issuer, directory.path(), &[]));
    let short = || issuer.token(ALL, 3, json!({}));
    let mut ends = Stream::open_as(&configured.broker, "x", &short());
    let mut goes_on = Stream::open_as(&configured.broker, "x", &short());
    ends.create("aq");
    ends.declare("", "aq");
    ends.publish(&[1]);
    let refused = ends.ask(Request::Create {
        stream: b"q",
        arguments: Default::default(),
    });
    assert_eq!(refused.code(), Code::AccessRefused as u16);
    assert_eq!(goes_on.log_in("x", &issuer.token(ALL, 600, json!({}))), 1);
    let heard = ends.hear().expect("a close");
    assert_eq!(heard.key, Key::Close);
    goes_on.declare("", "aq");
    goes_on.publish(&[2]);
}
