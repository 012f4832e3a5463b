//! A node that is short of memory or disk holds the publishers of all nodes.

use serde_json::{Value, json};

use crate::support::*;

/// A client that hears of being blocked, on channel 1 with confirms.
fn publisher(cluster: &Cluster, node: usize) -> Raw {
    let capability = [&short("connection.blocked")[..], b"t\x01"].concat();
    let length = u32::try_from(capability.len()).expect("short").to_be_bytes();
    let properties = [&short("capabilities")[..], b"F", &length, &capability].concat();
    let mut client = Raw::open_with(&cluster.amqp(node), "/", 0, &properties);
    client.method(1, (20, 10), &[0]);
    client.expect(20, 11);
    client.method(1, (85, 10), &[0]);
    client.expect(85, 11);
    client
}

/// Publishes an empty message to nowhere, which is confirmed at once.
fn publish(client: &mut Raw) {
    client.method(
        1,
        (60, 40),
        &[&[0, 0][..], &short(""), &short("nowhere"), &[0]].concat(),
    );
    client.frame(2, 1, &[&60u16.to_be_bytes()[..], &[0; 2], &[0; 8], &[0; 2]].concat());
}

fn reason(blocked: &RawFrame) -> String {
    String::from_utf8_lossy(&blocked.payload[5..]).into_owned()
}

fn check(cluster: &Cluster, node: usize, path: &str) -> (u16, Value) {
    let answer = cluster.http(node).get(path);
    (answer.status, answer.json())
}

fn alarm(whose: &str, resource: &str) -> Value {
    json!({
        "reason": format!("There are alarms in effect {whose}"),
        "status": "failed",
        "alarms": [{"node": "rabbit@n2", "resource": resource}],
    })
}

async fn a_shortage_holds_all(setting: &'static str, blocked: &str, resource: &str) {
    let low = |node| match node {
        2 => setting.to_owned(),
        _ => String::new(),
    };
    let mut cluster = Cluster::with_settings(3, low).await;
    let (everywhere, here) = ("/api/health/checks/alarms", "/api/health/checks/local-alarms");
    let well = (200, json!({"status": "ok"}));
    for node in cluster.all() {
        let wanted = (503, alarm("in the cluster", resource));
        until(&format!("node {node} knows"), || {
            check(&cluster, node, everywhere) == wanted
        })
        .await;
        let own = match node {
            2 => (503, alarm("on the node", resource)),
            _ => well.clone(),
        };
        assert_eq!(check(&cluster, node, here), own, "node {node}");
        let of_second = check(&cluster, node, "/api/healthchecks/node/rabbit@n2");
        assert_eq!(of_second, (503, alarm("on the node", resource)), "asked at node {node}");
        assert_eq!(check(&cluster, node, "/api/healthchecks/node/rabbit@n3"), well);
        let said = cluster.ctl(node, &["alarms", "-q"], 0);
        assert!(said.contains("on node rabbit@n2"), "{said}");
    }
    let mut clients = [1, 2, 3].map(|node| publisher(&cluster, node));
    for client in &mut clients {
        publish(client);
        assert_eq!(reason(&client.expect(10, 60)), blocked);
    }
    let mut again = publisher(&cluster, 3);
    let states = || {
        let connections = cluster.http(1).get("/api/connections").json();
        let mut states: Vec<_> = connections.as_array().expect("a list").iter().collect();
        states.sort_by_key(|connection| connection["node"].to_string());
        let states = states.iter().map(|connection| connection["state"].clone());
        states.collect::<Vec<_>>()
    };
    let mut seen = states();
    seen.sort_by_key(Value::to_string);
    assert_eq!(seen, ["blocked", "blocked", "blocked", "blocking"]);
    // It takes its alarm with it.
    cluster.kill9(2);
    for node in [0, 2] {
        clients[node].expect(10, 61);
        clients[node].expect(60, 80);
    }
    publish(&mut again);
    again.expect(60, 80);
    for node in [1, 3] {
        assert_eq!(check(&cluster, node, everywhere), well, "node {node}");
    }
    // And brings it back.
    cluster.start(2);
    cluster.all_ready().await;
    for node in [1, 3] {
        let wanted = (503, alarm("in the cluster", resource));
        until(&format!("node {node} knows"), || {
            check(&cluster, node, everywhere) == wanted
        })
        .await;
    }
    publish(&mut again);
    assert_eq!(reason(&again.expect(10, 60)), blocked);
}

#[tokio::test]
async fn a_node_that_is_low_on_memory_holds_the_publishers_of_all() {
    a_shortage_holds_all("vm_memory_high_watermark.absolute = 1KB\n", "low on memory", "memory").await;
}

#[tokio::test]
async fn a_node_that_is_low_on_disk_holds_the_publishers_of_all() {
    a_shortage_holds_all("disk_free_limit.absolute = 1000TB\n", "low on disk", "disk space").await;
}
