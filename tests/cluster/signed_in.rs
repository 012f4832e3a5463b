//! Browsers that are signed in, behind a balancer that sends each request to another node.

use crate::support::*;

/// What is needed to sign in and out.
const CONSOLE: &str = "X-Warren-Session: 1\r\n";

/// The API of a node, without a user.
fn nobody(cluster: &Cluster, node: usize) -> Http {
    Http::anonymous(cluster.http(node).address())
}

/// Signs in as guest at a node; the cookie as it is sent back.
fn sign_in(cluster: &Cluster, node: usize) -> String {
    let guest = r#"{"username":"guest","password":"guest"}"#;
    let answer = nobody(cluster, node).call_with("POST", "/api/session", CONSOLE, guest);
    let set = answer.expect_status(200).header("set-cookie").expect("a cookie");
    let (pair, _) = set.split_once(';').expect("attributes");
    format!("Cookie: {pair}\r\n")
}

/// What a node answers to the bearer of a cookie.
fn status(cluster: &Cluster, node: usize, cookie: &str) -> u16 {
    nobody(cluster, node).call_with("GET", "/api/whoami", cookie, "").status
}

#[tokio::test]
async fn a_browser_is_signed_in_at_all_nodes_and_out_of_all() {
    let cluster = Cluster::of(3).await;
    let (one, other) = (sign_in(&cluster, 1), sign_in(&cluster, 2));
    for node in cluster.all() {
        assert_eq!(status(&cluster, node, &one), 200, "node {node}");
        let open = cluster.http(node).get("/api/sessions").json();
        // In the order of two nodes' clocks, which may be a few milliseconds apart.
        let mut opened_by: Vec<_> = open
            .as_array()
            .expect("a list")
            .iter()
            .map(|session| &session["node"])
            .collect();
        opened_by.sort_by_key(|node| node.as_str());
        assert_eq!(opened_by, ["rabbit@n1", "rabbit@n2"], "node {node}: {open}");
    }
    let out = nobody(&cluster, 2).call_with("DELETE", "/api/session", &format!("{one}{CONSOLE}"), "");
    out.expect_status(204);
    let id = cluster.http(1).get("/api/sessions").json()[0]["id"].clone();
    for node in cluster.all() {
        assert_eq!(status(&cluster, node, &one), 401, "node {node}");
        assert_eq!(status(&cluster, node, &other), 200, "node {node}");
    }
    cluster
        .http(3)
        .delete(&format!("/api/sessions/{id}"))
        .expect_status(204);
    for node in cluster.all() {
        assert_eq!(status(&cluster, node, &other), 401, "node {node}");
    }
}

#[tokio::test]
async fn a_session_outlives_the_node_that_opened_it_and_is_known_to_one_that_comes_later() {
    let mut cluster = Cluster::of(3).await;
    cluster.kill9(3);
    let (kept, ended) = (sign_in(&cluster, 1), sign_in(&cluster, 1));
    cluster.start(3);
    cluster.all_ready().await;
    assert_eq!(status(&cluster, 3, &kept), 200);
    let out = nobody(&cluster, 2).call_with("DELETE", "/api/session", &format!("{ended}{CONSOLE}"), "");
    out.expect_status(204);
    assert_eq!(status(&cluster, 3, &ended), 401);
    cluster.kill9(1);
    for node in [2, 3] {
        assert_eq!(status(&cluster, node, &kept), 200, "node {node}");
        assert_eq!(status(&cluster, node, &ended), 401, "node {node}");
    }
    assert_eq!(status(&cluster, 2, "Cookie: warren_session=none\r\n"), 401);
}
