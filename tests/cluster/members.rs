//! Members of quorum queues are added and removed, and every node tells the truth about queues.

use serde_json::{Value, json};

use super::load::Load;
use crate::support::*;

/// Confirms between two changes.
const SOME: usize = 500;

fn quorum(size: i32) -> lapin::types::FieldTable {
    table([
        ("x-queue-type", text("quorum")),
        ("x-quorum-initial-group-size", number(size)),
    ])
}

fn change(cluster: &Cluster, asked: usize, verb: &str, node: usize) -> u16 {
    let action = match verb {
        "POST" => "add",
        _ => "delete",
    };
    let path = format!("/api/queues/quorum/%2f/orders/replicas/{action}");
    let body = json!({"node": cluster.name(node)}).to_string();
    // A new member gets the log before the answer comes.
    let http = cluster.http(asked).patient(CLUSTER_PATIENCE);
    http.call(verb, &path, &body).status
}

/// The nodes that have a vote and keep it, whoever ends; none while that is to change.
fn voters(cluster: &Cluster, asked: usize) -> Option<Vec<String>> {
    let answer = cluster.http(asked).get("/api/queues/quorum/%2f/orders/status");
    let members = answer.json();
    let members = members.as_array()?;
    let is_settled = members.iter().all(|member| {
        member["Membership"] == "voter" && matches!(member["Raft State"].as_str(), Some("leader" | "follower"))
    });
    let names = members
        .iter()
        .filter_map(|member| Some(member["Node Name"].as_str()?.to_owned()));
    is_settled.then(|| names.collect())
}

async fn has_voters(cluster: &Cluster, asked: usize, nodes: &[usize]) {
    let names: Vec<_> = nodes.iter().map(|&node| cluster.name(node)).collect();
    until(&format!("voters are {names:?}"), || {
        voters(cluster, asked).as_ref() == Some(&names)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_under_load() {
    let cluster = Cluster::of(3).await;
    cluster.client(1).await.queue("orders", quorum(1)).await;
    let load = Load::start(&cluster, "orders");
    load.confirms(SOME).await;
    for (asked, verb, node, voters) in [
        (2, "POST", 2, &[1, 2][..]),
        (1, "POST", 3, &[1, 2, 3]),
        (3, "DELETE", 1, &[2, 3]),
        (1, "POST", 1, &[1, 2, 3]),
        (2, "DELETE", 2, &[1, 3]),
        (2, "DELETE", 3, &[1]),
        (1, "POST", 3, &[1, 3]),
    ] {
        let status = change(&cluster, asked, verb, node);
        assert!(matches!(status, 202 | 204), "{verb} {node}: {status}");
        has_voters(&cluster, asked, voters).await;
        load.confirms(SOME).await;
        load.deliveries(SOME).await;
    }
    load.check(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_member_is_removed_and_comes_back_as_another() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(1).await.queue("orders", quorum(3)).await;
    let leader = cluster.leader(1, "orders", &cluster.all()).await;
    let load = Load::start(&cluster, "orders");
    load.confirms(SOME).await;
    let rest = cluster.others(leader);
    let (dead, other) = (rest[0], rest[1]);
    cluster.kill9(dead);
    let mut alive = [leader, other];
    alive.sort_unstable();
    cluster.ready(&alive).await;
    assert_eq!(change(&cluster, other, "DELETE", dead), 202);
    has_voters(&cluster, leader, &alive).await;
    load.confirms(SOME).await;
    cluster.start(dead);
    cluster.all_ready().await;
    load.confirms(SOME).await;
    has_voters(&cluster, dead, &alive).await;
    assert_eq!(change(&cluster, dead, "POST", dead), 204);
    has_voters(&cluster, leader, &cluster.all()).await;
    // The new member's vote counts.
    cluster.kill9(leader);
    load.confirms(SOME).await;
    cluster.start(leader);
    cluster.all_ready().await;
    load.deliveries(SOME).await;
    load.check(&cluster).await;
}

#[tokio::test]
async fn the_last_member_and_a_node_that_is_away_are_refused() {
    let mut cluster = Cluster::of(3).await;
    cluster.client(1).await.queue("orders", quorum(1)).await;
    assert_eq!(change(&cluster, 2, "DELETE", 1), 503);
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    assert_eq!(change(&cluster, 2, "POST", 3), 503);
    let critical = cluster.http(1).get("/api/health/checks/node-is-quorum-critical");
    assert_eq!(critical.status, 503);
    assert_eq!(critical.json()["queues"][0]["name"], "orders");
    let other = cluster.http(2).get("/api/health/checks/node-is-quorum-critical");
    assert_eq!(other.status, 200);
}

#[tokio::test]
async fn a_queue_that_lost_a_member_for_good_gets_another() {
    let mut cluster = Cluster::of(4).await;
    cluster.client(1).await.queue("orders", quorum(3)).await;
    let queue = cluster.queue(1, "orders").expect("it is declared");
    let names = queue["members"].as_array().expect("members").clone();
    let is_member = |node: &usize| names.contains(&Value::from(cluster.name(*node)));
    let lost = [2, 3, 4]
        .into_iter()
        .find(is_member)
        .expect("three of four are members");
    let rest = cluster.others(lost);
    cluster.kill9(lost);
    cluster.ready(&rest).await;
    let name = cluster.name(lost);
    cluster.ctl(1, &["forget_cluster_node", &name], 0);
    has_voters(&cluster, 1, &rest).await;
}

#[tokio::test]
async fn every_node_knows_every_queue() {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(2).await;
    client.plain_queue("plain").await;
    client.queue("orders", quorum(3)).await;
    for queue in ["plain", "orders"] {
        for _ in 0..3 {
            client.send(queue, "x").await;
        }
    }
    let consumer = cluster.client(3).await;
    let _deliveries = consumer.consume("orders").await;
    for asked in cluster.all() {
        until(&format!("node {asked} knows all"), || {
            let look = |queue| cluster.queue(asked, queue).unwrap_or_default();
            let (plain, orders) = (look("plain"), look("orders"));
            plain["node"] == cluster.name(2)
                && plain["messages_ready"] == 3
                && orders["messages"] == 3
                && orders["messages_unacknowledged"] == 3
                && orders["consumers"] == 1
                && orders["consumer_details"][0]["channel_details"]["node"] == cluster.name(3)
        })
        .await;
        let overview = cluster.http(asked).get("/api/overview").json();
        assert_eq!(overview["queue_totals"]["messages"], 6, "{overview}");
        assert_eq!(overview["object_totals"]["consumers"], 1, "{overview}");
        assert_eq!(overview["object_totals"]["connections"], 2, "{overview}");
        let consumers = cluster.http(asked).get("/api/consumers").json();
        assert_eq!(consumers.as_array().map(Vec::len), Some(1), "{consumers}");
    }
}

#[tokio::test]
async fn leaders_are_balanced_as_a_policy_says() {
    let cluster = Cluster::of(3).await;
    let policy = r#"{"pattern":".*","definition":{"queue-leader-locator":"balanced"},"apply-to":"queues"}"#;
    let put = cluster.http(1).put("/api/policies/%2f/spread", policy);
    assert_eq!(put.status, 201);
    let client = cluster.client(1).await;
    let mut leaders = Vec::new();
    for name in ["a", "b", "c"] {
        client.queue(name, quorum(3)).await;
        leaders.push(cluster.leader(1, name, &[1, 2, 3]).await);
    }
    leaders.sort_unstable();
    assert_eq!(leaders, [1, 2, 3]);
}

#[tokio::test]
async fn a_queue_that_is_to_be_balanced_begins_where_the_fewest_lead_now() {
    let cluster = Cluster::of(2).await;
    let client = cluster.client(1).await;
    for name in ["a", "b"] {
        client.queue(name, quorum(2)).await;
    }
    cluster.transfer("a", 2).await;
    cluster.transfer("b", 2).await;
    // The node that is asked knows it too, though it leads none of them.
    cluster.leader(1, "a", &[2]).await;
    cluster.leader(1, "b", &[2]).await;
    client
        .queue(
            "c",
            table([
                ("x-queue-type", text("quorum")),
                ("x-queue-leader-locator", text("balanced")),
            ]),
        )
        .await;
    assert_eq!(cluster.leader(1, "c", &cluster.all()).await, 1);
}

#[tokio::test]
async fn leaders_are_spread_over_members_that_have_just_come() {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    for number in 0..9 {
        client.queue(&format!("q{number}"), quorum(1)).await;
    }
    cluster.ctl(1, &["grow", "rabbit@n2", "all"], 0);
    cluster.ctl(1, &["grow", "rabbit@n3", "all"], 0);
    let said = cluster.ctl(1, &["rebalance", "quorum", "-q", "--formatter", "csv"], 0);
    let rows = "\"rabbit@n1\",\"3\"\n\"rabbit@n2\",\"3\"\n\"rabbit@n3\",\"3\"\n";
    assert_eq!(said, format!("\"Node name\",\"Number of quorum queues\"\n{rows}"));
}

#[tokio::test]
async fn a_new_member_votes_and_a_new_leader_is_known_when_the_command_ends() {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("orders", quorum(1)).await;
    for number in 0..50 {
        let body = format!("{number}");
        assert!(client.publish("", "orders", &body, persistent()).await.is_ack());
    }
    for (asked, node) in [(3, 2), (1, 3)] {
        cluster.ctl(asked, &["add_member", "orders", &cluster.name(node)], 0);
        for asked in cluster.all() {
            let voters = voters(&cluster, asked).expect("all of them vote");
            assert!(voters.contains(&cluster.name(node)), "at node {asked}: {voters:?}");
        }
    }
    for (asked, leader) in [(1, 2), (1, 3), (2, 1), (1, 3), (3, 2)] {
        cluster.ctl(asked, &["transfer_leadership", "orders", &cluster.name(leader)], 0);
        let queue = cluster.queue(asked, "orders").expect("it is there");
        assert_eq!(queue["leader"], cluster.name(leader), "at node {asked}");
    }
    assert_eq!(change(&cluster, 2, "DELETE", 3), 202);
    for asked in cluster.all() {
        assert_eq!(voters(&cluster, asked), Some(vec![cluster.name(1), cluster.name(2)]));
    }
}

#[tokio::test]
async fn a_queue_lives_on_the_node_that_is_named() {
    let mut cluster = Cluster::of(3).await;
    for (name, kind) in [("plain", "classic"), ("orders", "quorum")] {
        let body = json!({"durable": true, "node": "rabbit@n3", "arguments": {"x-queue-type": kind}});
        let put = cluster
            .http(1)
            .put(&format!("/api/queues/%2f/{name}"), &body.to_string());
        put.expect_status(201);
        for node in cluster.all() {
            until(&format!("node {node} sees {name} on node 3"), || {
                cluster
                    .queue(node, name)
                    .is_some_and(|queue| queue["node"] == "rabbit@n3")
            })
            .await;
        }
    }
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    let body = r#"{"durable":true,"node":"rabbit@n3"}"#;
    let mut tries = 0;
    // A node that does not answer is not suspected in the same moment.
    until("node 1 refuses to declare on node 3", || {
        tries += 1;
        let put = cluster.http(1).put(&format!("/api/queues/%2f/late{tries}"), body);
        assert!(matches!(put.status, 201 | 400), "{}", put.status);
        put.status == 400
    })
    .await;
}

#[tokio::test]
async fn operators_place_members_and_leaders() {
    let cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("orders", quorum(1)).await;
    let said = cluster.ctl(2, &["add_member", "orders", "rabbit@n2"], 0);
    assert_eq!(said, "Adding a replica for queue orders on node rabbit@n2...\n");
    has_voters(&cluster, 1, &[1, 2]).await;
    let said = cluster.ctl(1, &["grow", "rabbit@n3", "all", "-q"], 0);
    assert_eq!(said, "vhost\tname\tsize\tresult\n/\torders\t3\tok\n");
    has_voters(&cluster, 1, &[1, 2, 3]).await;
    cluster.ctl(1, &["check_if_node_is_quorum_critical"], 0);
    cluster.ctl(1, &["transfer_leadership", "orders", "rabbit@n3"], 0);
    until("node 3 leads", || {
        cluster
            .queue(1, "orders")
            .is_some_and(|queue| queue["leader"] == "rabbit@n3")
    })
    .await;
    for name in ["other", "third"] {
        client.queue(name, quorum(3)).await;
        cluster.ctl(1, &["transfer_leadership", name, "rabbit@n3"], 0);
    }
    let said = cluster.ctl(3, &["rebalance", "quorum", "-q", "--formatter", "csv"], 0);
    let rows = "\"rabbit@n1\",\"1\"\n\"rabbit@n2\",\"1\"\n\"rabbit@n3\",\"1\"\n";
    assert_eq!(said, format!("\"Node name\",\"Number of quorum queues\"\n{rows}"));
    let said = cluster.ctl(1, &["shrink", "rabbit@n3", "-q"], 0);
    let rows = "/\torders\t2\tok\n/\tother\t2\tok\n/\tthird\t2\tok\n";
    assert_eq!(said, format!("vhost\tname\tsize\tresult\n{rows}"));
    has_voters(&cluster, 2, &[1, 2]).await;
    let said = cluster.ctl(1, &["check_if_node_is_quorum_critical", "-q"], 69);
    let of = |name| format!("queue '{name}' in vhost '/' will become unavailable if node rabbit@n1 stops\n");
    assert_eq!(said, ["orders", "other", "third"].map(of).concat());
    let said = cluster.ctl(1, &["check_if_node_is_quorum_critical", "--formatter", "json"], 69);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(said["result"], "error", "{said}");
    let message = "Node rabbit@n1 reported local queues with minimum online quorum";
    assert_eq!(said["message"], message, "{said}");
    assert_eq!(
        said["queues"][2]["readable_name"], "queue 'third' in vhost '/'",
        "{said}"
    );
    let said = cluster.ctl(3, &["quorum_status", "orders", "--formatter", "csv", "-s"], 0);
    assert_eq!(said.lines().count(), 2, "{said}");
}
