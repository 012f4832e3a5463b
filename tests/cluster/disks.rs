//! A node whose disk breaks ends itself, and the others go on at once: nothing that was confirmed is
//! lost, and the node comes back when its disk is whole. A disk that is full holds publishers, and
//! that is all.

use std::time::{Duration, Instant};

use lapin::BasicProperties;
use rustix::io::Errno;
use tokio::time::timeout;

use super::load::Load;
use crate::support::disk::{BreakingDisk, Call, SmallDisk, UNREADABLE};
use crate::support::*;

/// Confirms and deliveries after a change.
const SOME: usize = 300;
/// Others lead within a second; on a machine that does much else it may be some.
const TAKEN_OVER: Duration = Duration::from_secs(10);
/// The status with which a node ends that cannot write.
const DISK_FAILED: i32 = 74;

/// A cluster of three on disks that may break.
async fn on_breaking_disks() -> (Cluster, Vec<BreakingDisk>) {
    let mut places = loopback(3);
    let disks: Vec<_> = places.iter().map(|_| BreakingDisk::whole()).collect();
    for (place, disk) in places.iter_mut().zip(&disks) {
        place.through = disk.through();
    }
    (Cluster::at(places).await, disks)
}

/// What node 1 is to the queues, which it declares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Breaks {
    TheLeader,
    AFollower,
}

/// So many queues, of which clients are busy with some, and a disk that breaks so.
async fn a_disk_breaks(count: usize, busy: usize, who: Breaks, call: Call, error: Errno) {
    let (mut cluster, disks) = on_breaking_disks().await;
    let names: Vec<_> = (0..count).map(|number| format!("orders-{number}")).collect();
    let client = cluster.client(1).await;
    for name in &names {
        client.queue(name, table([("x-queue-type", text("quorum"))])).await;
    }
    let (busy, idle) = names.split_at(busy);
    for name in idle {
        assert!(client.publish("", name, "before", persistent()).await.is_ack());
    }
    let broken = match who {
        Breaks::TheLeader => 1,
        Breaks::AFollower => 2,
    };
    until("node 1 to lead", || are_led_by(&cluster, &[1], &[1], count)).await;
    let others = cluster.others(broken);
    let loads: Vec<_> = busy.iter().map(|name| Load::start(&cluster, name)).collect();
    go_on(&loads).await;

    disks[broken - 1].fail(call, error);
    let began = Instant::now();
    let taken_over = until("others to lead", || are_led_by(&cluster, &others, &others, count));
    timeout(TAKEN_OVER, taken_over).await.expect("others lead in time");
    println!("others lead after {:?}", began.elapsed());
    assert_eq!(cluster.end(broken).code(), Some(DISK_FAILED));
    println!("the node has ended after {:?}", began.elapsed());
    go_on(&loads).await;
    let client = cluster.client(others[0]).await;
    for name in idle {
        assert!(client.publish("", name, "after", persistent()).await.is_ack());
    }

    // It has not said the same thing again and again, and neither have the others.
    for node in cluster.all() {
        for text in ["failed to send RaftMsg", "refused by a member"] {
            let said = cluster.log(node).matches(text).count();
            assert!(said <= 1, "node {node} said {said} times: {text}");
        }
    }

    disks[broken - 1].heal();
    cluster.start(broken);
    cluster.all_ready().await;
    go_on(&loads).await;
    let client = cluster.client(broken).await;
    for name in idle {
        assert_eq!(client.ready(name).await, 2, "{name}");
    }
    for load in loads {
        load.check(&cluster).await;
    }
}

/// Whether so many queues are led by some of these nodes, in the eyes of the first that is asked.
fn are_led_by(cluster: &Cluster, asked: &[usize], nodes: &[usize], count: usize) -> bool {
    let answer = cluster.http(asked[0]).get("/api/queues/%2f?columns=leader").json();
    let leaders: Vec<_> = nodes.iter().map(|&node| cluster.name(node)).collect();
    let queues = answer.as_array().expect("a list").iter();
    let led = queues.filter(|queue| leaders.iter().any(|leader| queue["leader"] == leader.as_str()));
    led.count() == count
}

async fn go_on(loads: &[Load]) {
    for load in loads {
        load.confirms(SOME).await;
        load.deliveries(SOME).await;
    }
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_delivery_mode(2)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_the_leader_of_one_queue() {
    a_disk_breaks(1, 1, Breaks::TheLeader, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_the_leader_of_three_queues() {
    a_disk_breaks(3, 3, Breaks::TheLeader, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_the_leader_of_a_hundred_queues() {
    a_disk_breaks(100, 1, Breaks::TheLeader, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_a_follower_of_one_queue() {
    a_disk_breaks(1, 1, Breaks::AFollower, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_a_follower_of_three_queues() {
    a_disk_breaks(3, 3, Breaks::AFollower, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_fails_on_a_follower_of_a_hundred_queues() {
    a_disk_breaks(100, 1, Breaks::AFollower, Call::Sync, Errno::IO).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_the_leader_of_one_queue() {
    a_disk_breaks(1, 1, Breaks::TheLeader, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_the_leader_of_three_queues() {
    a_disk_breaks(3, 3, Breaks::TheLeader, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_the_leader_of_a_hundred_queues() {
    a_disk_breaks(100, 1, Breaks::TheLeader, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_a_follower_of_one_queue() {
    a_disk_breaks(1, 1, Breaks::AFollower, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_a_follower_of_three_queues() {
    a_disk_breaks(3, 3, Breaks::AFollower, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_finds_no_space_on_a_follower_of_a_hundred_queues() {
    a_disk_breaks(100, 1, Breaks::AFollower, Call::Write, Errno::NOSPC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_node_whose_disk_breaks_are_told_and_nothing_is_confirmed_to_them() {
    let disk = BreakingDisk::whole();
    let mut places = loopback(1);
    places[0].through = disk.through();
    let mut cluster = Cluster::at(places).await;
    let client = cluster.client(1).await;
    client.plain_queue("orders").await;
    assert!(client.publish("", "orders", "safe", persistent()).await.is_ack());
    let mut raw = Raw::open(&cluster.amqp(1), "/", 0);
    raw.method(1, (20, 10), &[0]);
    raw.expect(20, 11);
    raw.method(1, (85, 10), &[0]);
    raw.expect(85, 11);
    disk.fail(Call::Sync, Errno::IO);
    raw.method(1, (60, 40), &[&[0, 0][..], &short(""), &short("orders"), &[0]].concat());
    raw.frame(
        2,
        1,
        &[&[0, 60, 0, 0][..], &4_u64.to_be_bytes(), &[0x10, 0, 2]].concat(),
    );
    raw.frame(3, 1, b"lost");
    // No ack before it.
    let closed = raw.expect(10, 50);
    assert_eq!(closed.payload[4..6], 320_u16.to_be_bytes());
    let text = short("CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'");
    assert_eq!(closed.payload[6..], [&text[..], &[0; 4]].concat());
    assert_eq!(cluster.end(1).code(), Some(DISK_FAILED));
    disk.heal();
    cluster.start(1);
    cluster.all_ready().await;
    assert!(
        cluster.client(1).await.ready("orders").await >= 1,
        "what was confirmed is there"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_cannot_read_its_log_has_all_again_from_the_others() {
    let (mut cluster, disks) = on_breaking_disks().await;
    let client = cluster.client(1).await;
    client.queue("orders", table([("x-queue-type", text("quorum"))])).await;
    // More than a block of the disk, so that one at least has nothing else in it.
    let unreadable = UNREADABLE.repeat(1000);
    for body in ["before", &unreadable, "after"] {
        assert!(client.publish("", "orders", body, persistent()).await.is_ack());
    }
    // A majority is enough for confirms, and node 2 may not be of it.
    until("node 2 to have them", || {
        let members = cluster.http(1).get("/api/queues/quorum/%2f/orders/status").json();
        let applied = |member: &serde_json::Value| member["Last Applied"].clone();
        let members = members.as_array().expect("a list");
        members
            .iter()
            .all(|member| applied(member) == applied(&members[0]) && applied(member).is_u64())
    })
    .await;
    cluster.kill9(2);
    disks[1].fail(Call::Read, Errno::IO);
    cluster.start(2);
    cluster.all_ready().await;
    assert!(cluster.log(2).contains("the disk cannot read a part of the log"));
    until("another member in its place", || {
        cluster
            .log(2)
            .contains("is thrown away, and a new one is filled from the others")
    })
    .await;
    until("the member to be filled", || {
        let view = cluster.queue(1, "orders").expect("the queue");
        let online = view["online"].as_array().map_or(0, Vec::len);
        online == 3 && view.get("members_being_filled").is_none()
    })
    .await;
    disks[1].heal();
    // Its vote counts, and it has all.
    cluster.kill9(1);
    cluster.ready(&[2, 3]).await;
    let client = cluster.client(2).await;
    assert!(client.publish("", "orders", "more", persistent()).await.is_ack());
    assert_eq!(client.ready("orders").await, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_read_what_is_declared_ends_and_has_it_again_from_the_others() {
    let (mut cluster, disks) = on_breaking_disks().await;
    // Node 3 hears with these that all that was declared before is settled.
    for queue in ["first", "second"] {
        cluster.client(1).await.plain_queue(queue).await;
    }
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    cluster.client(1).await.plain_queue(UNREADABLE).await;
    cluster.kill9(2);
    cluster.kill9(1);
    // Of these two only node 1 can lead, and must read what node 3 lacks.
    let said = cluster.log(1).matches(WAITS_FOR_OTHERS).count();
    cluster.start(1);
    until("node 1 to wait for the others", || {
        cluster.log(1).matches(WAITS_FOR_OTHERS).count() > said
    })
    .await;
    disks[0].fail(Call::Read, Errno::IO);
    cluster.start(3);
    assert_eq!(cluster.end(1).code(), Some(DISK_FAILED));
    assert!(
        cluster
            .log(1)
            .contains("the node does not know what is declared any more")
    );
    cluster.start(2);
    cluster.ready(&[2, 3]).await;
    cluster.start(1);
    cluster.all_ready().await;
    disks[0].heal();
    // It has all, and its vote counts.
    cluster.kill9(3);
    cluster.ready(&[1, 2]).await;
    let client = cluster.client(1).await;
    client.plain_queue("declared later").await;
    assert!(cluster.queue(1, UNREADABLE).is_some());
}

/// What a node says that hears too few others when it starts.
const WAITS_FOR_OTHERS: &str = "waiting for a majority of the cluster's nodes";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_alone_whose_disk_cannot_read_its_log_says_so_and_ends() {
    let disk = BreakingDisk::whole();
    let mut places = loopback(1);
    places[0].through = disk.through();
    let mut cluster = Cluster::at(places).await;
    let client = cluster.client(1).await;
    client.plain_queue("orders").await;
    for body in ["before", UNREADABLE, "after"] {
        assert!(client.publish("", "orders", body, persistent()).await.is_ack());
    }
    cluster.kill9(1);
    disk.fail(Call::Read, Errno::IO);
    cluster.start(1);
    assert_eq!(cluster.end(1).code(), Some(DISK_FAILED));
    let said = cluster.log(1);
    assert!(said.contains("cannot read the log: Input/output error"), "{said}");
    // Nothing was thrown away: it may be able to again.
    disk.heal();
    cluster.start(1);
    cluster.all_ready().await;
    assert_eq!(cluster.client(1).await.ready("orders").await, 3);
}

/// What a store says that has no space for what comes next.
const WAITS: &str = "the disk is full: the store waits for space";
/// Room for two segments of the log and half of a third.
const SMALL: u32 = 160;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_blocks_publishers_until_there_is_space() {
    let mut cluster = Cluster::stopped(loopback(1));
    cluster.configure(1, "disk_free_limit.absolute = 1MB\n");
    let Some(disk) = SmallDisk::mount(&cluster.data_dir(1), SMALL) else {
        return;
    };
    cluster.start(1);
    cluster.all_ready().await;
    let client = cluster.client(1).await;
    client.plain_queue("orders").await;
    let (mut confirms, body) = (Vec::new(), "x".repeat(1 << 20));
    // More than the log has space for.
    let publishing = async {
        for _ in 0..SMALL {
            let options = Default::default();
            let published = client.basic_publish("".into(), "orders".into(), options, body.as_bytes(), persistent());
            confirms.push(published.await.expect("sent"));
        }
        for confirm in confirms.drain(..) {
            assert!(confirm.await.expect("a confirm").is_ack());
        }
    };
    tokio::pin!(publishing);
    let health = |status: u16| cluster.http(1).get("/api/health/checks/local-alarms").status == status;
    tokio::select! {
        () = &mut publishing => panic!("more was confirmed than there is space for"),
        () = until("an alarm", || health(503)) => {}
    }
    // It goes on with whatever needs no more space, and is not gone.
    let other = cluster.client(1).await;
    let taken = other.get("orders").await.expect("a message");
    taken.delivery.ack(Default::default()).await.expect("acked");
    assert!(cluster.serves(1) || health(503));
    disk.grow(4 * SMALL);
    timeout(CLUSTER_PATIENCE, publishing).await.expect("it goes on");
    until("the end of the alarm", || health(200)).await;
    assert_eq!(other.ready("orders").await, SMALL - 1);
    // All of it is there after a restart.
    cluster.stop(1);
    cluster.start(1);
    cluster.all_ready().await;
    assert_eq!(cluster.client(1).await.ready("orders").await, SMALL - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_holds_who_publishes_to_a_stream_and_costs_no_message() {
    let mut cluster = Cluster::stopped(loopback(1));
    cluster.configure(1, "disk_free_limit.absolute = 1MB\n");
    let Some(disk) = SmallDisk::mount(&cluster.data_dir(1), SMALL) else {
        return;
    };
    cluster.start(1);
    cluster.all_ready().await;
    let client = cluster.client(1).await;
    client.queue("log", table([("x-queue-type", text("stream"))])).await;
    let body = "x".repeat(1 << 20);
    let publishing = async {
        for _ in 0..SMALL {
            assert!(client.send("log", &body).await.is_ack());
        }
    };
    tokio::pin!(publishing);
    let health = |status: u16| cluster.http(1).get("/api/health/checks/local-alarms").status == status;
    tokio::select! {
        () = &mut publishing => panic!("more was confirmed than there is space for"),
        () = until("an alarm", || health(503)) => {}
    }
    disk.grow(4 * SMALL);
    timeout(CLUSTER_PATIENCE, publishing).await.expect("it goes on");
    until("the end of the alarm", || health(200)).await;
    cluster.stop(1);
    cluster.start(1);
    cluster.all_ready().await;
    let client = cluster.client(1).await;
    client.basic_qos(5, Default::default()).await.expect("a prefetch");
    let first = table([("x-stream-offset", text("first"))]);
    let consumer = client.basic_consume("log".into(), "".into(), Default::default(), first);
    let mut consumer = consumer.await.expect("a consumer");
    for number in 0..SMALL {
        let delivery = next(&mut consumer).await;
        assert!(delivery.data == body.as_bytes(), "message {number}");
        delivery.ack(Default::default()).await.expect("acknowledged");
    }
    assert_eq!(client.ready("log").await, SMALL);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_for_space_can_be_stopped_and_goes_on_when_it_has_some() {
    let mut cluster = Cluster::stopped(loopback(1));
    cluster.configure(1, "disk_free_limit.absolute = 1MB\n");
    let Some(disk) = SmallDisk::mount(&cluster.data_dir(1), SMALL) else {
        return;
    };
    cluster.start(1);
    cluster.all_ready().await;
    let client = cluster.client(1).await;
    client.plain_queue("orders").await;
    let body = "x".repeat(1 << 20);
    let mut confirms = 0;
    let is_short = || cluster.http(1).get("/api/health/checks/local-alarms").status == 503;
    loop {
        tokio::select! {
            confirm = client.publish("", "orders", &body, persistent()) => {
                assert!(confirm.is_ack());
                confirms += 1;
            }
            () = until("an alarm", is_short) => break,
        }
    }
    cluster.stop(1);
    let said = cluster.log(1).matches(WAITS).count();
    // There is no space for the segment to go on with.
    cluster.start(1);
    until("it to wait", || cluster.log(1).matches(WAITS).count() > said).await;
    assert!(!cluster.serves(1));
    disk.grow(4 * SMALL);
    cluster.all_ready().await;
    let ready = cluster.client(1).await.ready("orders").await;
    assert!(
        ready == confirms || ready == confirms + 1,
        "{ready}, and {confirms} were confirmed"
    );
}
