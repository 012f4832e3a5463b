//! Who asks for votes in the groups of replicated queues, which have no clocks of their own.
//!
//! When a group's leader is suspected, the live members take turns in an order that differs from
//! queue to queue, so that leaders spread: the first asks at once, the others after it and only if it
//! is still needed. The first insists where the leader's process has ended; a leader that is only
//! silent may live and deliver, and voters do not vote while its lease runs. Whoever insists sees first
//! who has the longest log and has that member do it (`Group::take_over`). A group without a leader
//! is tried again and again while a majority of it lives. An idle group costs nothing here.
//!
//! After a start Raft takes whoever led last for the leader still, which it may not know of itself and,
//! with a log that is too old, cannot become again. So whoever asks for votes tells the others.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::{FxBuildHasher, FxHashMap};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Replicas;
use crate::broker::queue::handle::QueueHandle;
use crate::handover::wire;
use crate::journal::raft::Election;
use crate::tasks;
use crate::types::sorting::sort_by_key;
use crate::types::{NodeId, QueueId};

/// How long each member waits for the one before it.
const TURN_LENGTH: Duration = Duration::from_millis(200);
/// After how long all take turns again.
const ROUND_LENGTH: Duration = Duration::from_millis(600);
/// How long a member waits for word of the leader before it takes part at all.
const BEFORE_FIRST_TURN: Duration = Duration::from_millis(50);
/// How much longer, in a new group, for the one that is to lead first.
const HEAD_START: Duration = Duration::from_secs(2);

/// The groups that this node is a member of.
#[derive(Default)]
pub struct Elections {
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    groups: FxHashMap<QueueId, Known>,
    /// When this node looks at a group.
    due: BTreeSet<(Instant, QueueId)>,
}

struct Known {
    members: Vec<NodeId>,
    leader: Option<NodeId>,
    /// In a new group: who is to lead first, while it is there.
    first: Option<NodeId>,
    due: Option<Instant>,
    turn: Turn,
}

/// How a group without a leader is looked at next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// Its leader has ended: the first member insists, the others wait for it.
    Gone,
    /// Its leader is silent, or it was just opened: the first member asks, the others wait for it.
    Silent,
    /// Whoever waits asks.
    Again,
}

impl State {
    fn schedule(&mut self, queue: QueueId, at: Option<Instant>) {
        let Some(known) = self.groups.get_mut(&queue) else {
            return;
        };
        if let Some(old) = known.due.take() {
            self.due.remove(&(old, queue));
        }
        if let Some(at) = at {
            known.due = Some(at);
            self.due.insert((at, queue));
        }
    }
}

impl Elections {
    /// A group with these members is open on this node; a new one is to be led by `first`, if that is there.
    pub fn on_group(&self, queue: QueueId, members: &[NodeId], first: Option<NodeId>) {
        let mut state = self.state.lock();
        let known = state.groups.entry(queue).or_insert(Known {
            members: Vec::new(),
            leader: None,
            first,
            due: None,
            turn: Turn::Silent,
        });
        known.members = members.to_vec();
        if known.leader.is_none() && known.due.is_none() {
            state.schedule(queue, Some(Instant::now() + BEFORE_FIRST_TURN));
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The votes that make a leader.
    pub fn on_voters(&self, queue: QueueId, voters: Vec<NodeId>) {
        if let Some(known) = self.state.lock().groups.get_mut(&queue) {
            known.members = voters;
        }
    }

    /// The group is not on this node any more.
    pub fn on_gone(&self, queue: QueueId) {
        let mut state = self.state.lock();
        state.schedule(queue, None);
        state.groups.remove(&queue);
    }

    /// Whether a group takes part.
    #[cfg(test)]
    pub fn knows(&self, queue: QueueId) -> bool {
        self.state.lock().groups.contains_key(&queue)
    }

    /// What Raft knows of the group's leader.
    pub fn on_leader(&self, queue: QueueId, leader: Option<NodeId>) {
        let mut state = self.state.lock();
        let Some(known) = state.groups.get_mut(&queue) else {
            return;
        };
        // One that was taken out while it led does not go on for long, nor does it ask for votes.
        let leader = leader.filter(|leader| known.members.contains(leader));
        known.leader = leader;
        let is_due = known.due.is_some();
        match leader {
            Some(_) => state.schedule(queue, None),
            None if !is_due => {
                state.schedule(queue, Some(Instant::now() + ROUND_LENGTH));
                drop(state);
                self.wake.notify_one();
            }
            None => {}
        }
    }

    /// A node is suspected, or `has_ended`: the groups that it led need another leader.
    pub fn on_suspect(&self, node: NodeId, has_ended: bool) {
        let now = Instant::now();
        let mut state = self.state.lock();
        let led: Vec<_> = state
            .groups
            .iter_mut()
            .filter(|(_, known)| known.leader == Some(node))
            .map(|(queue, known)| {
                known.leader = None;
                known.turn = if has_ended { Turn::Gone } else { Turn::Silent };
                *queue
            })
            .collect();
        for queue in led {
            state.schedule(queue, Some(now));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// A node says that it does not lead a group in that term, and so in none before.
    pub(in crate::broker) fn on_leaderless(&self, queue: &QueueHandle, node: NodeId, term: u64) {
        let replica = queue.state.lock().replica.clone();
        let known = replica.map(|group| group.leadership());
        if known.is_some_and(|known| known.leader == Some(node) && known.term <= term) {
            self.has_no_leader(queue.spec.id, node);
        }
    }

    /// The node does not lead the group.
    pub fn has_no_leader(&self, queue: QueueId, node: NodeId) {
        let mut state = self.state.lock();
        let known = state.groups.get_mut(&queue);
        if let Some(known) = known.filter(|known| known.leader == Some(node)) {
            known.leader = None;
            known.turn = Turn::Silent;
            state.schedule(queue, Some(Instant::now() + TURN_LENGTH));
            drop(state);
            self.wake.notify_one();
        }
    }

    /// The groups without a leader in which this node has to do something now: to say that it does not lead, and to ask
    /// for votes if it has one and its turn. Who has none may have led all the same, and others wait for it.
    pub(in crate::broker) fn take_due(
        &self,
        now: Instant,
        us: NodeId,
        is_alive: impl Fn(NodeId) -> bool,
        drained: &[NodeId],
    ) -> Vec<(QueueId, Option<Election>)> {
        let mut asked = Vec::new();
        let mut state = self.state.lock();
        while let Some(&(at, queue)) = state.due.first()
            && at <= now
        {
            state.schedule(queue, None);
            let Some(known) = state.groups.get_mut(&queue) else {
                continue;
            };
            if let Some(first) = known.first.take()
                && first != us
                && is_alive(first)
            {
                state.schedule(queue, Some(now + HEAD_START));
                continue;
            }
            let mut alive: Vec<NodeId> = known.members.iter().copied().filter(|node| is_alive(*node)).collect();
            // Who is out of service leads only where nobody else does.
            sort_by_key(&mut alive, |node| (drained.contains(node), rank(queue, *node)));
            let has_majority = 2 * alive.len() > known.members.len();
            let place = alive.iter().position(|node| *node == us);
            let has_turn = match place {
                Some(place) => known.turn == Turn::Again || place == 0,
                None => false,
            };
            let wait = TURN_LENGTH * place.unwrap_or(0) as u32;
            let next = match place.is_none() || has_turn {
                true => now + ROUND_LENGTH + wait,
                false => now + wait.max(TURN_LENGTH),
            };
            if place.is_none() {
                asked.push((queue, None));
            }
            if has_turn && has_majority {
                let why = match known.turn {
                    Turn::Gone => Election::LeaderGone,
                    Turn::Silent | Turn::Again => Election::LeaderSilent,
                };
                asked.push((queue, Some(why)));
            }
            known.turn = Turn::Again;
            state.schedule(queue, Some(next));
        }
        asked
    }

    fn next(&self) -> Option<Instant> {
        self.state.lock().due.first().map(|(at, _)| *at)
    }
}

/// The order of a group's members, the same on all nodes.
fn rank(queue: QueueId, node: NodeId) -> u64 {
    FxBuildHasher.hash_one(Ranked(queue, node))
}

#[derive(Hash)]
struct Ranked(QueueId, NodeId);

impl Replicas {
    /// Asks for votes where they are needed, until the task is dropped.
    pub async fn run_elections(self: Arc<Self>) {
        loop {
            let next = self.elections.next();
            let sleep = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {}
                () = self.elections.wake.notified() => {}
            }
            let us = self.nodes.us();
            let due = self
                .elections
                .take_due(Instant::now(), us, |node| self.nodes.is_alive(node), &self.drained());
            for (queue, why) in due {
                let Some(group) = self.members.group(queue) else {
                    continue;
                };
                let term = group.leadership().term;
                let mut members = group.status().voters;
                members.extend(self.queues.by_id(queue).iter().flat_map(|queue| queue.member_nodes()));
                for member in members.into_iter().filter(|member| *member != us) {
                    self.queues
                        .peers
                        .tell(member, |buffer| wire::leaderless(buffer, queue, term));
                }
                let Some(why) = why else { continue };
                // A member that hangs is waited for a moment: not by the other groups.
                tasks::spawn("election", async move {
                    if let Err(error) = group.elect(why).await {
                        tracing::debug!(queue = queue.0, %error, "no election");
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: QueueId = QueueId(7);
    const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

    /// The elections of one member that follows a leader; all three of them in the order of turns.
    fn following() -> (Elections, [NodeId; 3]) {
        let mut nodes = NODES;
        nodes.sort_by_key(|node| rank(QUEUE, *node));
        let elections = Elections::default();
        elections.on_group(QUEUE, &NODES, None);
        elections.on_leader(QUEUE, Some(nodes[1]));
        (elections, nodes)
    }

    /// What is asked for within some seconds, with the time after which it is.
    fn asked(elections: &Elections, us: NodeId, alive: &[NodeId]) -> Option<(Duration, Election)> {
        let from = Instant::now();
        (0..300).find_map(|step| {
            let after = Duration::from_millis(10 * step);
            let due = elections.take_due(from + after, us, |node| alive.contains(&node), &[]);
            due.first().and_then(|(_, why)| Some((after, (*why)?)))
        })
    }

    #[test]
    fn a_member_without_a_vote_says_again_and_again_that_it_does_not_lead() {
        let (elections, [first, second, third]) = following();
        elections.on_voters(QUEUE, vec![first, second]);
        elections.on_leader(QUEUE, None);
        let now = Instant::now();
        for round in 1..3 {
            let due = elections.take_due(now + round * 2 * ROUND_LENGTH, third, |_| true, &[]);
            assert_eq!(due, [(QUEUE, None)]);
        }
    }

    #[test]
    fn a_group_with_a_leader_is_left_alone() {
        let (elections, [us, ..]) = following();
        assert_eq!(asked(&elections, us, &NODES), None);
    }

    #[test]
    fn the_first_member_asks_at_once_and_insists_where_the_leader_has_ended() {
        for (has_ended, why) in [(true, Election::LeaderGone), (false, Election::LeaderSilent)] {
            let (elections, [us, leader, other]) = following();
            elections.on_suspect(leader, has_ended);
            let (after, asked) = asked(&elections, us, &[us, other]).expect("a turn");
            assert!(after <= Duration::from_millis(10), "{after:?}");
            assert_eq!(asked, why);
        }
    }

    #[test]
    fn a_new_group_is_left_to_its_first_leader_while_that_is_there() {
        let asked_first = |us: NodeId, alive: &[NodeId]| {
            let elections = Elections::default();
            elections.on_group(QUEUE, &NODES, Some(NODES[0]));
            asked(&elections, us, alive).expect("a turn").0
        };
        assert!(asked_first(NODES[0], &NODES) < HEAD_START);
        assert!(asked_first(NODES[1], &NODES) >= HEAD_START);
        let others = [NODES[1], NODES[2]];
        assert!(others.iter().any(|us| asked_first(*us, &others) < HEAD_START));
    }

    #[test]
    fn the_others_ask_later_and_never_insist() {
        let (elections, [us, leader, other]) = following();
        elections.on_suspect(leader, true);
        let (after, why) = asked(&elections, other, &[us, other]).expect("a turn");
        assert!(after >= TURN_LENGTH, "{after:?}");
        assert_eq!(why, Election::LeaderSilent);
    }

    #[test]
    fn a_member_out_of_service_asks_last() {
        let (elections, [us, leader, other]) = following();
        elections.on_suspect(leader, true);
        let now = Instant::now();
        let is_alive = |node| node != leader;
        assert_eq!(elections.take_due(now, us, is_alive, &[us]), []);
        let (elections, _) = following();
        elections.on_suspect(leader, true);
        let due = elections.take_due(Instant::now(), other, is_alive, &[us]);
        assert_eq!(due, [(QUEUE, Some(Election::LeaderGone))]);
    }

    #[test]
    fn without_a_majority_nobody_asks() {
        let (elections, [us, leader, _]) = following();
        elections.on_suspect(leader, true);
        assert_eq!(asked(&elections, us, &[us]), None);
    }

    #[test]
    fn a_leader_that_says_it_is_none_is_not_waited_for() {
        let (elections, [us, leader, other]) = following();
        elections.has_no_leader(QUEUE, other);
        assert_eq!(asked(&elections, us, &NODES), None, "it was not taken for it");
        elections.has_no_leader(QUEUE, leader);
        assert_eq!(
            asked(&elections, us, &NODES).map(|(_, why)| why),
            Some(Election::LeaderSilent)
        );
    }

    #[test]
    fn a_leader_without_a_vote_is_not_waited_for() {
        let (elections, [us, leader, other]) = following();
        elections.on_voters(QUEUE, vec![us, other]);
        elections.on_leader(QUEUE, Some(leader));
        assert!(asked(&elections, us, &NODES).is_some());
    }
}
