//! Damage on the disk of one node: its members are filled again from the others, nothing is lost, and
//! after that another node may go.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::*;

/// Messages in a queue before anything is damaged.
const MESSAGES: usize = 40;

fn quorum() -> lapin::types::FieldTable {
    table([("x-queue-type", text("quorum"))])
}

/// The body of a message, unlike any other.
fn body_of(queue: &str, number: usize) -> String {
    format!("message {number} of {queue} with some more words in it")
}

/// Declares queues and publishes to each; all is confirmed.
async fn fill(cluster: &Cluster, node: usize, queues: &[&str]) {
    let client = cluster.client(node).await;
    for queue in queues {
        client.queue(queue, quorum()).await;
        for number in 0..MESSAGES {
            let confirm = client.send(queue, &body_of(queue, number)).await;
            assert!(confirm.is_ack(), "{queue} {number}");
        }
    }
}

/// What was published to the queue is in it, in its order, and another message too; asked of a node.
async fn is_usable(cluster: &Cluster, node: usize, queue: &str) {
    let client = cluster.client(node).await;
    assert!(client.send(queue, "one more").await.is_ack(), "{queue} takes messages");
    let mut expected: Vec<_> = (0..MESSAGES).map(|number| body_of(queue, number)).collect();
    expected.push("one more".to_owned());
    let taken = client.wait_for(queue, expected.len() as u16).await;
    // What may have been delivered comes back with a flag.
    let bodies: Vec<_> = taken
        .iter()
        .map(|story| story.trim_end_matches(" (redelivered)").to_owned())
        .collect();
    assert_eq!(bodies, expected, "{queue}");
}

/// Waits until all three nodes have all of the queue again.
async fn is_whole(cluster: &Cluster, asked: usize, queue: &str) {
    let path = format!("/api/queues/quorum/%2f/{queue}/status");
    until(&format!("{queue} has three whole members"), || {
        let view = cluster.queue(asked, queue);
        let is_whole = view.is_some_and(|view| {
            let online = view["online"].as_array().map_or(0, Vec::len);
            online == 3 && view.get("members_being_filled").is_none()
        });
        let Ok(answer) = cluster.http(asked).try_call("GET", &path, "") else {
            return false;
        };
        let members = answer.json();
        let voters = members.as_array().into_iter().flatten();
        is_whole && voters.filter(|member| member["Membership"] == "voter").count() == 3
    })
    .await;
}

/// The segments of a node's log, and how much of each is written.
fn segments(directory: &Path) -> Vec<(PathBuf, Vec<u8>, usize)> {
    let listed = std::fs::read_dir(directory.join("log")).expect("a log");
    let mut found: Vec<_> = listed
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a segment");
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            (path, bytes, written)
        })
        .filter(|(.., written)| *written > 0)
        .collect();
    found.sort();
    found
}

/// Flips a bit of a message in a node's log.
fn flip_in_message(directory: &Path, body: &str) {
    for (path, mut bytes, _) in segments(directory) {
        let found = bytes.windows(body.len()).position(|window| window == body.as_bytes());
        if let Some(at) = found {
            bytes[at + 3] ^= 4;
            std::fs::write(path, bytes).expect("ours");
            return;
        }
    }
    panic!("{body} is not in the log of {}", directory.display());
}

/// How often a text stands in a node's log.
fn count_in_log(directory: &Path, text: &str) -> usize {
    let count = |bytes: &[u8]| bytes.windows(text.len()).filter(|at| *at == text.as_bytes()).count();
    let segments = segments(directory);
    segments
        .iter()
        .map(|(_, bytes, written)| count(&bytes[..*written]))
        .sum()
}

/// Flips a bit where a text stands last in a node's log.
fn flip_last(directory: &Path, text: &str) {
    for (path, mut bytes, written) in segments(directory).into_iter().rev() {
        let found = bytes[..written]
            .windows(text.len())
            .rposition(|at| at == text.as_bytes());
        if let Some(at) = found {
            bytes[at + 3] ^= 4;
            std::fs::write(path, bytes).expect("ours");
            return;
        }
    }
    panic!("{text} is not in the log of {}", directory.display());
}

/// Takes away all that a node's log has from a message on.
fn cut_from_message(directory: &Path, body: &str) {
    for (path, mut bytes, _) in segments(directory) {
        let found = bytes.windows(body.len()).position(|window| window == body.as_bytes());
        if let Some(at) = found {
            bytes[at - 100..].fill(0);
            std::fs::write(path, bytes).expect("ours");
            return;
        }
    }
    panic!("{body} is not in the log of {}", directory.display());
}

/// Kills nodes, damages what they have and starts them again.
async fn damage(cluster: &mut Cluster, nodes: &[usize], damage: impl Fn(usize, &Path)) {
    nodes.iter().for_each(|&node| cluster.kill9(node));
    for &node in nodes {
        damage(node, &cluster.data_dir(node));
        cluster.start(node);
    }
    cluster.all_ready().await;
}

#[tokio::test]
async fn a_damaged_member_is_filled_again_and_its_vote_counts() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["led", "followed"]).await;
    cluster.transfer("led", 2).await;
    cluster.transfer("followed", 3).await;
    // A leader of the one, and a follower of the other.
    damage(&mut cluster, &[2], |_, directory| {
        flip_in_message(directory, &body_of("led", 7));
        flip_in_message(directory, &body_of("followed", 9));
    })
    .await;
    for queue in ["led", "followed"] {
        is_whole(&cluster, 1, queue).await;
        let said = "this node's member of the queue cannot be opened, and is to be filled again from the others";
        let log = cluster.log(2);
        let lines = log
            .lines()
            .filter(|line| line.contains(said) && line.contains(&format!("queue={queue} ")));
        assert_eq!(lines.count(), 1, "said once\n{log}");
    }
    cluster.kill9(1);
    cluster.ready(&[2, 3]).await;
    for queue in ["led", "followed"] {
        is_usable(&cluster, 2, queue).await;
    }
}

#[tokio::test]
async fn each_node_may_have_lost_another_queue() {
    let mut cluster = Cluster::of(3).await;
    let queues = ["q1", "q2", "q3"];
    fill(&cluster, 1, &queues).await;
    damage(&mut cluster, &[1, 2, 3], |node, directory| {
        flip_in_message(directory, &body_of(queues[node - 1], 5));
    })
    .await;
    for queue in queues {
        is_whole(&cluster, 1, queue).await;
    }
    cluster.kill9(2);
    cluster.ready(&[1, 3]).await;
    for queue in queues {
        is_usable(&cluster, 3, queue).await;
    }
}

#[tokio::test]
async fn a_node_whose_log_was_cut_has_all_again_from_the_others() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["first", "second"]).await;
    for node in [3, 1] {
        // Who led what there is to lose, and what is declared, is among it.
        damage(&mut cluster, &[node], |_, directory| {
            cut_from_message(directory, &body_of("first", 20));
        })
        .await;
        for queue in ["first", "second"] {
            is_whole(&cluster, node, queue).await;
        }
        assert!(
            cluster
                .log(node)
                .contains("what is declared was had again from the other nodes")
        );
        // It is over: the next start finds nothing to do.
        let before = cluster.log(node).matches("had again from the other nodes").count();
        cluster.kill9(node);
        cluster.start(node);
        cluster.all_ready().await;
        assert_eq!(
            cluster.log(node).matches("had again from the other nodes").count(),
            before
        );
        is_whole(&cluster, node, "first").await;
    }
    cluster.kill9(2);
    cluster.ready(&[1, 3]).await;
    is_usable(&cluster, 1, "first").await;
    is_usable(&cluster, 3, "second").await;
}

#[tokio::test]
async fn a_damaged_catalogue_is_had_again_and_its_vote_counts() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["orders"]).await;
    damage(&mut cluster, &[1], |_, directory| {
        // Who the nodes are is in the catalogue's log alone.
        flip_in_message(directory, "PutNode");
    })
    .await;
    assert!(
        cluster
            .log(1)
            .contains("what is declared was had again from the other nodes")
    );
    is_whole(&cluster, 1, "orders").await;
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    let client = cluster.client(1).await;
    client.queue("declared later", quorum()).await;
    is_usable(&cluster, 2, "orders").await;
}

#[tokio::test]
async fn without_a_majority_of_the_others_a_member_waits_and_is_kept() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["orders"]).await;
    for node in cluster.all() {
        cluster.kill9(node);
    }
    for node in [1, 2] {
        flip_in_message(&cluster.data_dir(node), &body_of("orders", 5));
    }
    for node in cluster.all() {
        cluster.start(node);
    }
    cluster.all_ready().await;
    for node in [1, 2] {
        until("it says that it waits", || {
            cluster.log(node).contains(
                "the damaged member of the queue waits for the others; nothing of it is thrown away until then",
            )
        })
        .await;
    }
    let view = cluster.queue(3, "orders").expect("the queue");
    assert_eq!(view["state"], "minority");
    assert_eq!(view["online"], serde_json::json!([cluster.name(3)]));
    let filled = [cluster.name(1), cluster.name(2)];
    assert_eq!(view["members_being_filled"], serde_json::json!(filled));
    let critical = cluster.http(3).get("/api/health/checks/node-is-quorum-critical");
    assert_eq!(critical.status, 503);
    assert!(!cluster.log(1).contains("is thrown away, and a new one"));
}

#[tokio::test]
async fn a_damaged_piece_of_a_snapshot_is_had_again_from_the_others() {
    let mut cluster = Cluster::of(3).await;
    let client = cluster.client(1).await;
    client.queue("orders", quorum()).await;
    // Large messages that go: then what stays is in a snapshot, and not in the log any more.
    let large = "x".repeat(1 << 20);
    for _ in 0..LARGE {
        assert!(client.send("orders", &large).await.is_ack());
    }
    fill(&cluster, 1, &["orders"]).await;
    for _ in 0..LARGE {
        let taken = client.get("orders").await.expect("a message");
        taken.delivery.ack(Default::default()).await.expect("acked");
    }
    let text = body_of("orders", 7);
    until("a snapshot", || count_in_log(&cluster.data_dir(2), &text) > 1).await;
    damage(&mut cluster, &[2], |_, directory| flip_last(directory, &text)).await;
    is_whole(&cluster, 1, "orders").await;
    assert!(cluster.log(2).contains("is to be filled again from the others"));
    cluster.kill9(1);
    cluster.ready(&[2, 3]).await;
    is_usable(&cluster, 2, "orders").await;
}

/// Messages of a MiB each, more than a snapshot is worth.
const LARGE: usize = 14;

#[tokio::test]
async fn a_queue_whose_damaged_members_wait_can_be_deleted_and_declared_again() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["orders"]).await;
    // No majority is whole: they wait.
    damage(&mut cluster, &[1, 2], |_, directory| {
        flip_in_message(directory, &body_of("orders", 5));
    })
    .await;
    let deleted = cluster
        .client(3)
        .await
        .queue_delete("orders".into(), Default::default())
        .await;
    deleted.expect("it is deleted");
    fill(&cluster, 2, &["orders"]).await;
    // Nothing of the one before comes back, whoever is started again.
    let said = |node: usize| {
        cluster
            .log(node)
            .matches("is to be filled again from the others")
            .count()
    };
    let before = [said(1), said(2)];
    assert_eq!(before, [1, 1]);
    for node in [1, 2] {
        cluster.kill9(node);
        cluster.start(node);
    }
    cluster.all_ready().await;
    is_whole(&cluster, 3, "orders").await;
    let said = |node: usize| {
        cluster
            .log(node)
            .matches("is to be filled again from the others")
            .count()
    };
    assert_eq!([said(1), said(2)], before);
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    is_usable(&cluster, 1, "orders").await;
}

/// A bit, or a cut, in any file of a node's data directory.
#[tokio::test]
async fn no_file_of_a_node_costs_anything_when_it_is_damaged() {
    let mut cluster = Cluster::of(3).await;
    fill(&cluster, 1, &["orders"]).await;
    let mut random = StdRng::seed_from_u64(2026);
    let mut node = 1;
    for small in [
        "node.json",
        "peers.json",
        "store.format",
        "log.synced",
        "node.json.copy",
    ] {
        node = node % 3 + 1;
        cluster.kill9(node);
        let directory = cluster.data_dir(node);
        let path = directory.join(small);
        let mut bytes = std::fs::read(&path).expect("a small file");
        let at = random.random_range(0..bytes.len());
        bytes[at] ^= 1 << random.random_range(0..8);
        std::fs::write(path, bytes).expect("ours");
        // And one in the log.
        let (path, mut bytes, written) = segments(&directory).pop().expect("a segment");
        let at = random.random_range(0..written);
        bytes[at] ^= 1 << random.random_range(0..8);
        std::fs::write(path, bytes).expect("ours");
        cluster.start(node);
        cluster.all_ready().await;
        is_whole(&cluster, node % 3 + 1, "orders").await;
    }
    cluster.kill9(node % 3 + 1);
    cluster.ready(&cluster.others(node % 3 + 1)).await;
    is_usable(&cluster, node, "orders").await;
}
