//! How nodes find each other, and whom they refuse.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::*;
use crate::cluster::connection::Connection;
use crate::cluster::handshake::{Handshake, Peer, Progress};
use crate::cluster::identity::{ClusterId, Identity, Incarnation};
use crate::cluster::{CallError, Class, Event, Health, Suspicion};
use crate::types::NodeId;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_with_the_same_list_are_connected_and_pass_over_themselves() {
    for _ in 0..5 {
        let plans = [Plan::new("a").await, Plan::new("b").await, Plan::new("c").await];
        let list = plans.each_ref().map(Plan::address);
        let list = list.each_ref().map(String::as_str);
        let nodes = plans.map(|plan| plan.seeds(&list).start());
        for (one, other) in [(0, 1), (0, 2), (1, 2)] {
            agreed(&nodes[one], &nodes[other]).await;
            nodes[one].echo(&nodes[other]).await;
            nodes[other].echo(&nodes[one]).await;
        }
        for node in &nodes {
            let peers = node.cluster.peers();
            assert_eq!(peers.len(), 2, "{peers:?}");
            assert!(
                peers
                    .iter()
                    .all(|peer| peer.id != node.id && peer.introduction.is_some())
            );
        }
    }
}

#[tokio::test]
async fn a_seed_that_is_the_node_itself_is_no_peer() {
    let plan = Plan::new("a").await;
    let own = plan.address();
    let a = plan.seeds(&[&own]).start();
    let mut stranger = TcpStream::connect(&own).await.expect("connects");
    stranger.write_all(b"GET / HTTP/1.1\r\n").await.expect("written");
    let mut end = Vec::new();
    // A reset is an end as well.
    let _ = must(stranger.read_to_end(&mut end)).await;
    assert_eq!(a.cluster.peers(), []);
}

#[tokio::test]
async fn nodes_find_each_other_by_a_name() {
    let (mut a, b) = (Plan::new("a").await, Plan::new("b").await);
    let port = b.listener.local_addr().expect("bound").port();
    a.settings.dns = Some(("localhost".to_owned(), port));
    let (a, b) = (a.start(), b.start());
    agreed(&a, &b).await;
    a.echo(&b).await;
}

#[tokio::test]
async fn a_recorded_handshake_played_again_is_refused() {
    let (log, _guard) = Log::start();
    let plan = Plan::new("a").await;
    let to_a = plan.address();
    let a = plan.start();
    let mut who = a.cluster.0.introduction();
    (who.id, who.name) = (NodeId(a.id.0 ^ 1), "rabbit@real".to_owned());
    let mut record = Vec::new();
    let mut real = TcpStream::connect(&to_a).await.expect("connects");
    let mut handshake = Handshake::dial(who.clone(), (Class::Data, 1), "secret".into(), [7; 32], &mut record);
    let (mut input, mut sent) = (BytesMut::new(), 0);
    loop {
        real.write_all(&record[sent..]).await.expect("written");
        sent = record.len();
        must(real.read_buf(&mut input)).await.expect("read");
        if let Progress::Done(_) = handshake.on_bytes(&mut input, &mut record).expect("believed") {
            break;
        }
    }
    must(a.cluster.linked(who.id, Class::Data)).await;
    let mut again = TcpStream::connect(&to_a).await.expect("connects");
    again.write_all(&record).await.expect("written");
    let _ = must(again.read_to_end(&mut Vec::new())).await;
    until(|| log.has("does not know the secret of this node")).await;
}

#[tokio::test]
async fn with_different_secrets_both_logs_say_who_refuses_whom() {
    let (log, _guard) = Log::start();
    let (a, mut b) = (Plan::new("a").await, Plan::new("b").await);
    b.secret = "another";
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    // The dialler's and the listener's.
    until(|| log.has("rabbit@b refuses this node: rabbit@a does not know the secret of rabbit@b")).await;
    let listener = format!("rabbit@a ({}) does not know the secret of this node", a.id);
    until(|| log.has(&listener)).await;
    assert_eq!(a.cluster.health(b.id), Health::Unknown);
    let refused = a.cluster.call(b.id, DATA, "x".into(), soon()).await;
    assert_eq!(refused, Err(CallError::Unreachable(b.id)));
}

#[tokio::test]
async fn a_version_that_cannot_be_read_is_refused_with_the_reason() {
    let (log, _guard) = Log::start();
    let (a, mut b) = (Plan::new("a").await, Plan::new("b").await);
    b.settings.versions.snapshots = crate::cluster::Span::only(2);
    let to_b = b.address();
    let (_a, _b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("rabbit@a is too old for rabbit@b: of snapshots, rabbit@b knows version 2")).await;
    until(|| log.has("the peer refuses this node: rabbit@a is too old for rabbit@b")).await;
}

#[tokio::test]
async fn nodes_of_different_clusters_are_told_apart() {
    let (log, _guard) = Log::start();
    let (a, b) = (Plan::new("a").await, Plan::new("b").await);
    for (plan, cluster) in [(&a, 1), (&b, 2)] {
        let mut identity = Identity::open(plan.directory.path(), &plan.name, rand::random).expect("opens");
        identity.belong_to(Some(ClusterId(cluster))).expect("written");
    }
    let to_b = b.address();
    let (_a, _b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("belongs to cluster 0000000000000002 and rabbit@a to cluster 0000000000000001")).await;
}

#[tokio::test]
async fn a_copied_data_directory_is_noticed() {
    let (log, _guard) = Log::start();
    let (a, mut b) = (Plan::new("a").await, Plan::new("b").await);
    drop(Identity::open(a.directory.path(), "rabbit@a", rand::random).expect("opens"));
    b.directory = Arc::new(tempfile::tempdir().expect("temporary directory"));
    std::fs::copy(
        a.directory.path().join("node.json"),
        b.directory.path().join("node.json"),
    )
    .expect("copied");
    let to_b = b.address();
    let (_a, _b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("a data directory was copied")).await;
}

#[tokio::test]
async fn strangers_are_dropped_and_nobody_else_notices() {
    let (mut a, b) = (Plan::new("a").await, Plan::new("b").await);
    a.settings.timing.handshake = Duration::from_secs(1);
    let to_a = a.address();
    let a = a.start();
    let mut strangers = Vec::new();
    for bytes in [&b""[..], b"WRN", b"WRNL\x01\x00\xff", b"\0\0\0\0", b"WRNL\x02\x00\x20"] {
        let mut stranger = TcpStream::connect(&to_a).await.expect("connects");
        stranger.write_all(bytes).await.expect("written");
        strangers.push(stranger);
    }
    let b = b.seeds(&[&to_a]).start();
    b.linked(&a).await;
    b.echo(&a).await;
    for mut stranger in strangers {
        // Closed, whether or not it said anything; a reset is an end as well.
        let _ = must(stranger.read_to_end(&mut Vec::new())).await;
    }
}

#[tokio::test]
async fn a_restarted_node_is_told_from_the_process_before() {
    let (mut a, b) = (Plan::new("a").await.start(), Plan::new("b").await);
    let (directory, address) = (b.directory.clone(), b.address());
    a.cluster.seek(&address);
    let b = b.start();
    a.linked(&b).await;
    assert!(matches!(a.event().await, Event::Up { node, .. } if node == b.id));
    b.cluster.stop().await;
    let goodbye = Event::Suspect {
        node: b.id,
        why: Suspicion::Goodbye,
    };
    assert_eq!(a.event().await, goodbye);
    // The same node, elsewhere and by another name. It remembers where the other is.
    let mut plan = Plan::new("renamed").await;
    plan.directory = directory;
    let again = plan.start();
    assert_eq!(again.id, b.id);
    assert!(matches!(a.event().await, Event::Restarted { node, .. } if node == b.id));
    assert!(matches!(a.event().await, Event::Up { node, .. } if node == b.id));
    a.linked(&again).await;
    a.echo(&again).await;
    assert_eq!(a.cluster.peers()[0].name, "rabbit@renamed");
}

#[tokio::test]
async fn a_forgotten_node_is_refused_until_it_is_known_again() {
    let (log, _guard) = Log::start();
    let (a, b) = pair().await;
    a.cluster.forget(b.id);
    until(|| log.has("was removed from the cluster")).await;
    assert_eq!(a.cluster.health(b.id), Health::Unknown);
    let refused = a.cluster.try_send(b.id, DATA, "x".into());
    assert!(refused.is_err());
    let address = b.cluster.0.introduction().address;
    a.cluster.know(b.id, "rabbit@b", &[&address]);
    a.linked(&b).await;
    agreed(&a, &b).await;
    a.echo(&b).await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever an authenticated peer sends, the connection ends or goes on.
    #[test]
    fn any_frames_end_a_connection_or_do_nothing(
        frames in prop::collection::vec((0u8..12, 0u16..4, 0u64..5, prop::collection::vec(any::<u8>(), 0..40)), 0..20),
        cut in any::<prop::sample::Index>(),
        changed in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        let mut bytes = Vec::new();
        for (kind, service, request, payload) in frames {
            let mut header = crate::cluster::frame::header(crate::cluster::frame::Kind::Call, service, request, &[]);
            header[..4].copy_from_slice(&(payload.len() as u32).to_be_bytes());
            header[4] = kind;
            let sum = crc32c::crc32c_append(crc32c::crc32c(&header[..16]), &payload);
            header[16..].copy_from_slice(&sum.to_be_bytes());
            bytes.extend_from_slice(&header);
            bytes.extend_from_slice(&payload);
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Some((at, with)) = changed && !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= with;
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let a = Plan::new("a").await.start();
            let shared = &a.cluster.0;
            let mut who = shared.introduction();
            (who.id, who.incarnation) = (NodeId(a.id.0 ^ 1), Incarnation(1));
            let peer = Peer { who, class: Class::Data, attempt: 1 };
            let connection = Connection::new(peer, 1, a.id, &shared.settings);
            a.gate.open.close();
            let reader = std::io::Cursor::new(bytes);
            must(connection.run(shared, reader, tokio::io::sink(), BytesMut::new())).await;
            assert!(connection.has_ended());
            until(|| a.recorder.busy.load(std::sync::atomic::Ordering::SeqCst) == 0).await;
        });
    }
}
