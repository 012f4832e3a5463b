//! What a group does while all is well, and when its leader is not.

use std::task::Poll;

use bytes::Bytes;

use super::cluster::{Cluster, GROUP, within};
use super::ledger::{record, record_of_later_version};
use crate::journal::raft::types::{Entry, Vote, VoteRequest, log_id};
use crate::journal::raft::wire::{Request, Response};
use crate::journal::raft::{Election, GroupError, Pace, ProposeError, Role};
use crate::types::NodeId;

#[tokio::test(flavor = "multi_thread")]
async fn records_are_applied_in_order_on_all_members() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..500).await;
    for node in 1..=3 {
        cluster.has_applied(node, 0..500).await;
    }
    let status = cluster.group(1).status();
    assert_eq!(status.voters, [1, 2, 3].map(NodeId).into());
    // Many went together: there are the first membership and the leader's blank entry, too.
    assert!(status.last_index.is_some_and(|last| last < 400), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_keeps_is_no_part_of_the_buffers_it_came_in() {
    let cluster = Cluster::of_three().await;
    for number in 0..50 {
        cluster.append(1, number..=number).await;
    }
    for node in 2..=3 {
        cluster.has_applied(node, 0..50).await;
    }
    within("the buffers to be given back", async {
        while cluster.router.buffers() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_little_waits_for_the_entry_before_it_and_goes_together() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..1).await;
    let before = cluster.group(1).status().last_index;
    cluster.router.cut(1, &[2, 3]);
    let first = {
        let group = cluster.group(1).clone();
        tokio::spawn(async move { group.propose(record(1, 100)).await })
    };
    within("the first to be on its way", async {
        while cluster.group(1).status().last_index == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let others = cluster.propose(1, 2..50);
    let healed = async {
        cluster.router.heal();
        cluster.group(1).heartbeat().await.expect("sent");
    };
    let (others, ()) = tokio::join!(others, healed);
    let first = within("the first", first)
        .await
        .expect("no panic")
        .expect("applied")
        .index;
    let indexes: Vec<u64> = others.into_iter().map(|applied| applied.expect("applied")).collect();
    assert_eq!(indexes, [first + 1; 48]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_to_take_over_hands_on_to_the_member_with_the_longest_log() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..1).await;
    cluster.has_applied(3, 0..1).await;
    cluster.router.cut(1, &[3]);
    cluster.append(1, 1..20).await;
    cluster.crash(1, 1).await;
    cluster.router.heal();
    // Refused by the other for its log, it would have raised the term, and then nobody leads for a while.
    cluster.group(3).elect(Election::LeaderGone).await.expect("asked");
    cluster.led_by(2).await;
    cluster.has_applied(3, 0..20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposer_hears_what_the_machine_said() {
    let cluster = Cluster::of_three().await;
    for n in 1..=3 {
        let applied = cluster.group(1).propose(record(n, 10)).await.expect("applied");
        assert_eq!(applied.output, n as usize);
    }
    let elsewhere = cluster.group(2).propose(record(4, 10)).await;
    assert_eq!(
        elsewhere,
        Err(ProposeError::NotLeader {
            leader: Some(NodeId(1))
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_followed_by_one_that_has_all_it_acknowledged() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..200).await;
    cluster.crash(1, 1).await;
    // At once: the others have just heard the old leader.
    cluster.take_over(2).await;
    cluster.has_applied(2, 0..200).await;
    cluster.append(2, 200..300).await;
    cluster.start(1).await;
    cluster.group(2).heartbeat().await.expect("sent");
    for node in 1..=3 {
        cluster.has_applied(node, 0..300).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_heard_is_not_voted_down_by_one_who_is_asked_politely() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.has_applied(2, 0..10).await;
    let term = cluster.group(1).leadership().term;
    cluster.group(2).elect(Election::LeaderSilent).await.expect("asked");
    cluster.append(1, 10..20).await;
    assert_eq!(cluster.group(1).leadership().term, term);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_loses_what_it_appended() {
    for in_order in [true, false] {
        let mut cluster = Cluster::of_three().await;
        cluster.append(1, 0..50).await;
        cluster.router.cut(1, &[2, 3]);
        let stale = {
            let group = cluster.group(1).clone();
            tokio::spawn(async move { group.propose(record(999, 10)).await })
        };
        within("the stale entry to be in the log", async {
            while cluster.group(1).status().last_index == cluster.group(2).status().last_index {
                tokio::task::yield_now().await;
            }
        })
        .await;
        cluster.take_over(2).await;
        cluster.append(2, 50..100).await;
        assert!(!stale.is_finished());

        cluster.router.heal();
        cluster.group(2).heartbeat().await.expect("sent");
        let told = within("the stale proposer", stale).await.expect("no panic");
        assert_eq!(
            told,
            Err(ProposeError::Unknown {
                leader: Some(NodeId(2))
            })
        );
        cluster.has_applied(1, 0..100).await;

        // What was cut stays cut.
        match in_order {
            true => cluster.stop(1).await,
            false => cluster.crash(1, 3).await,
        }
        cluster.start(1).await;
        cluster.append(2, 100..110).await;
        cluster.has_applied(1, 0..110).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_leader_that_hears_a_majority_holds_the_lease() {
    let cluster = Cluster::of_three().await;
    let leader = cluster.group(1);
    cluster.append(1, 0..1).await;
    assert!(leader.holds_lease());
    assert!(!cluster.group(2).holds_lease());
    cluster.router.cut(1, &[2, 3]);
    within("the lease to end", async {
        while leader.holds_lease() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    // That it can speak to the others is not enough: they have to say that it leads.
    cluster.router.heal();
    assert!(!leader.holds_lease());
    assert_eq!(leader.regain_lease().await, Ok(()));
    assert!(leader.holds_lease());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_idle_longer_than_its_lease_takes_proposals_at_once() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    // The one thing here that only time can do.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let appends = cluster.router.carried.lock().len();
    cluster.append(1, 10..20).await;
    assert!(cluster.router.carried.lock().len() > appends);
    cluster.has_applied(3, 0..20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_group_sends_nothing() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.has_applied(2, 0..10).await;
    cluster.has_applied(3, 0..10).await;
    let sent = cluster.router.carried.lock().len();
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(cluster.router.carried.lock().len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_a_proposal_ends_in_an_error() {
    let mut cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.crash(2, 1).await;
    cluster.crash(3, 1).await;
    // Longer than a majority counts as heard.
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let refused = within("the refusal", cluster.group(1).propose(record(10, 10))).await;
    assert_eq!(refused, Err(ProposeError::NoQuorum));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_is_handed_over() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.group(1).transfer_leader(NodeId(3)).await.expect("handed over");
    cluster.led_by(3).await;
    cluster.append(3, 10..20).await;
    cluster.has_applied(1, 0..20).await;
    let not_mine = cluster.group(1).transfer_leader(NodeId(2)).await;
    assert_eq!(
        not_mine,
        Err(GroupError::NotLeader {
            leader: Some(NodeId(3))
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_cannot_hand_over_leads_on() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.router.cut(3, &[1, 2]);
    let handed = within("the attempt", cluster.group(1).transfer_leader(NodeId(3))).await;
    assert_eq!(handed, Err(GroupError::Timeout));
    cluster.router.heal();
    cluster.led_by(1).await;
    cluster.append(1, 10..20).await;
    cluster.has_applied(3, 0..20).await;
    let stranger = cluster.group(1).transfer_leader(NodeId(8)).await;
    assert!(matches!(stranger, Err(GroupError::Members(_))), "{stranger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticking_group_finds_a_leader_by_itself() {
    let mut cluster = Cluster::empty(3, Pace::Ticking).await;
    cluster.group(1).found([1, 2, 3].map(NodeId)).await.expect("founded");
    cluster.led_by(1).await;
    cluster.append(1, 0..10).await;
    cluster.crash(1, 1).await;
    let leader = within("a leader", async {
        let mut watches = (cluster.group(2).watch(), cluster.group(3).watch());
        tokio::select! {
            _ = watches.0.until(|now| now.role == Role::Leader) => 2,
            _ = watches.1.until(|now| now.role == Role::Leader) => 3,
        }
    })
    .await;
    cluster.append(leader, 10..20).await;
    cluster.has_applied(leader, 0..20).await;
}

/// The one that was to begin has its votes and ends before an entry of its is anywhere else.
#[tokio::test(flavor = "multi_thread")]
async fn the_founders_that_are_left_elect_when_the_first_ends_before_it_told_anybody() {
    let founders = [1, 2, 3].map(NodeId);
    let mut cluster = Cluster::begun_by(3, Pace::Quiet, founders.to_vec()).await;
    for voter in [2, 3] {
        let vote = VoteRequest::new(Vote::new(1, NodeId(1)), Some(log_id(0, 0)));
        let answer = cluster.group(voter).asked_to_vote(vote).await;
        assert!(answer.vote_granted, "node {voter}: {answer}");
    }
    cluster.crash(1, 1).await;
    cluster.crash(3, 1).await;
    cluster.start(3).await;
    cluster
        .group(2)
        .elect(Election::LeaderSilent)
        .await
        .expect("an election");
    cluster.led_by(2).await;
    cluster.append(2, 0..10).await;
    cluster.start(1).await;
    cluster.has_applied(1, 0..10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_one_needs_nobody() {
    let mut cluster = Cluster::empty(1, Pace::Quiet).await;
    cluster.group(1).found([NodeId(1)]).await.expect("founded");
    cluster.led_by(1).await;
    cluster.append(1, 0..10).await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    cluster.append(1, 10..20).await;
    assert!(cluster.group(1).holds_lease());
    cluster.crash(1, 5).await;
    cluster.start(1).await;
    cluster.take_over(1).await;
    cluster.has_applied(1, 0..20).await;
    let again = cluster.group(1).found([NodeId(1)]).await;
    assert_eq!(again, Err(GroupError::Exists));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_refused_before_it_is_in_a_log() {
    let cluster = Cluster::of_three().await;
    let refused = cluster.group(1).propose(record_of_later_version()).await;
    assert!(matches!(refused, Err(ProposeError::Unreadable(_))), "{refused:?}");

    // As a leader with a later version of the program would send it.
    let before = cluster.group(2).status();
    let vote = openraft::Vote::new_committed(9, NodeId(3));
    let packed = crate::journal::raft::pack::Packed::of([record_of_later_version()].iter());
    let append = openraft::raft::AppendEntriesRequest {
        vote,
        prev_log_id: None,
        entries: vec![Entry {
            log_id: log_id(9, 0),
            payload: openraft::EntryPayload::Normal(packed),
        }],
        leader_commit: None,
    };
    let answer = cluster
        .node(2)
        .journals
        .receive(GROUP, Request::Append(append).encode())
        .await;
    assert!(matches!(Response::decode(answer), Ok(Response::Refused(_))));
    assert_eq!(cluster.group(2).status().last_index, before.last_index);

    let bytes = cluster.node(2).journals.receive(GROUP, vec![1, 77].into()).await;
    assert!(matches!(Response::decode(bytes), Ok(Response::Refused(_))));
    let unknown = crate::journal::raft::GroupId(99);
    let bytes = cluster.node(2).journals.receive(unknown, vec![1, 77].into()).await;
    assert!(matches!(Response::decode(bytes), Ok(Response::Absent)));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_keep_their_order_in_a_task_that_has_done_enough_for_now() {
    let cluster = Cluster::of_three().await;
    cluster.append(1, 0..10).await;
    cluster.has_applied(2, 0..10).await;
    let last = cluster.group(2).status().last_index.expect("entries");
    let term = cluster.group(2).leadership().term;
    // Each begins where the one before ends, as a pipeline of appends does.
    let append = |prev, next| {
        let append = openraft::raft::AppendEntriesRequest {
            vote: openraft::Vote::new_committed(9, NodeId(3)),
            prev_log_id: Some(prev),
            entries: vec![Entry {
                log_id: next,
                payload: openraft::EntryPayload::Blank,
            }],
            leader_commit: None,
        };
        Request::Append(append).encode()
    };
    let (first, second) = (log_id(9, last + 1), log_id(9, last + 2));
    let requests = [append(log_id(term, last), first), append(first, second)];
    let [first, second] = std::future::poll_fn(|context| {
        use tokio::task::coop::{has_budget_remaining, poll_proceed};
        // What the task of a busy link has done before it comes to these.
        while has_budget_remaining() {
            if let Poll::Ready(done) = poll_proceed(context) {
                done.made_progress();
            }
        }
        let receive = |request: &Bytes| cluster.node(2).journals.receive(GROUP, request.clone());
        Poll::Ready([receive(&requests[0]), receive(&requests[1])])
    })
    .await;
    let (second, first) = tokio::join!(biased; second, first);
    for answer in [first, second] {
        let answer = Response::decode(answer).expect("an answer");
        let Response::Append(answer) = answer else {
            panic!("an answer to something else")
        };
        assert!(answer.is_success(), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_when_the_group_stops_is_told() {
    let cluster = Cluster::of_three().await;
    cluster.router.cut(1, &[2, 3]);
    let group = cluster.group(1).clone();
    let waiting: Vec<_> = (0..20)
        .map(|n| {
            let group = group.clone();
            tokio::spawn(async move { group.propose(record(n, 10)).await })
        })
        .collect();
    tokio::task::yield_now().await;
    group.shutdown().await;
    for told in waiting {
        let told = within("those who wait", told).await.expect("no panic");
        assert!(told.is_err(), "{told:?}");
    }
    let late = within("the late one", group.propose(record(1, 10))).await;
    assert_eq!(late, Err(ProposeError::Stopped));
}
