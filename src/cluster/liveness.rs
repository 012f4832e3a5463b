//! Whether the other nodes live. A machine: time comes in, pings and events come out.
//!
//! Each connected peer is pinged on the control connection every 250 ms. It is suspected after a
//! second without an answer, and at once when its connection broke and nobody listens at its
//! address any more, or when it said goodbye. It is up again when it answers.
//!
//! ```text
//! Unknown ──linked──→ Up ──silence, broken and refused, goodbye──→ Suspect
//!                      ↑                                             │
//!                      └───────────────── answers ───────────────────┘
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::identity::Incarnation;
use super::rpc::Origin;
use crate::types::NodeId;

/// Pings whose answers are still taken.
const MOST_PINGS: usize = 32;

/// What subscribers hear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// The node answers. It was suspected, or not known.
    Up { node: NodeId, incarnation: Incarnation },
    /// The node is another process than the one before: whatever that held in memory is gone.
    Restarted { node: NodeId, incarnation: Incarnation },
    /// The node is to be treated as gone.
    Suspect { node: NodeId, why: Suspicion },
}

/// Why a node is suspected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Suspicion {
    Silence,
    /// Its connection broke, and nobody listens at its address.
    Refused,
    /// It stops in order.
    Goodbye,
}

/// What is known about a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Health {
    /// Never connected since this node started.
    Unknown,
    Up,
    Suspect(Suspicion),
}

/// How often and how long.
#[derive(Clone, Debug)]
pub struct Pulse {
    pub every: Duration,
    pub suspect_after: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            every: Duration::from_millis(250),
            suspect_after: Duration::from_secs(1),
        }
    }
}

pub struct Liveness {
    pulse: Pulse,
    peers: FxHashMap<NodeId, Peer>,
    ticked: Option<Instant>,
    /// This process did not run before; silence counts from here.
    resumed: Option<Instant>,
    next_ping: u64,
}

struct Peer {
    incarnation: Incarnation,
    /// The control connection it has now.
    connection: Option<u64>,
    health: Health,
    /// An answer came, or the connection was made.
    heard: Instant,
    pings: VecDeque<(u64, Instant)>,
    round_trip: Option<Duration>,
}

impl Liveness {
    pub fn new(pulse: Pulse) -> Self {
        Self {
            pulse,
            peers: FxHashMap::default(),
            ticked: None,
            resumed: None,
            next_ping: 1,
        }
    }

    /// Every [`Pulse::every`]: gives the number of the ping to send to each connected peer.
    pub fn on_tick(&mut self, now: Instant, events: &mut Vec<Event>) -> u64 {
        let paused = self
            .ticked
            .is_some_and(|ticked| now.saturating_duration_since(ticked) >= self.pulse.suspect_after);
        if paused {
            // It was us: answers may lie in the sockets unread.
            self.resumed = Some(now);
        }
        self.ticked = Some(now);
        let ping = self.next_ping;
        self.next_ping += 1;
        for (node, peer) in &mut self.peers {
            let heard = self.resumed.map_or(peer.heard, |resumed| resumed.max(peer.heard));
            if now.saturating_duration_since(heard) >= self.pulse.suspect_after {
                peer.suspect(*node, Suspicion::Silence, events);
            }
            if peer.connection.is_some() {
                if peer.pings.len() == MOST_PINGS {
                    peer.pings.pop_front();
                }
                peer.pings.push_back((ping, now));
            }
        }
        ping
    }

    /// A control connection was made.
    pub fn on_linked(&mut self, origin: &Origin, now: Instant, events: &mut Vec<Event>) {
        let (node, incarnation) = (origin.node, origin.incarnation);
        let peer = self.peers.entry(node).or_insert_with(|| Peer {
            incarnation,
            connection: None,
            health: Health::Unknown,
            heard: now,
            pings: VecDeque::new(),
            round_trip: None,
        });
        if incarnation < peer.incarnation {
            return;
        }
        if incarnation > peer.incarnation {
            peer.incarnation = incarnation;
            events.push(Event::Restarted { node, incarnation });
        }
        peer.connection = Some(origin.connection);
        peer.pings.clear();
        peer.heard = now;
        peer.up(node, events);
    }

    /// A ping was answered.
    pub fn on_pong(&mut self, origin: &Origin, ping: u64, now: Instant, events: &mut Vec<Event>) {
        let Some(peer) = self.peers.get_mut(&origin.node) else {
            return;
        };
        if peer.connection != Some(origin.connection) {
            return;
        }
        let Some(at) = peer.pings.iter().position(|(number, _)| *number == ping) else {
            return;
        };
        // Answers come in order: those of earlier pings are lost.
        let sent = peer.pings[at].1;
        peer.pings.drain(..=at);
        let round_trip = now.saturating_duration_since(sent);
        peer.round_trip = Some(peer.round_trip.map_or(round_trip, |old| (old * 7 + round_trip) / 8));
        peer.heard = now;
        peer.up(origin.node, events);
    }

    /// A control connection ended.
    pub fn on_broken(&mut self, origin: &Origin) {
        if let Some(peer) = self.peers.get_mut(&origin.node)
            && peer.connection == Some(origin.connection)
        {
            peer.connection = None;
        }
    }

    /// Nobody listens at the peer's address.
    pub fn on_refused(&mut self, node: NodeId, events: &mut Vec<Event>) {
        if let Some(peer) = self.peers.get_mut(&node)
            && peer.connection.is_none()
        {
            peer.suspect(node, Suspicion::Refused, events);
        }
    }

    /// The peer said that it stops.
    pub fn on_goodbye(&mut self, origin: &Origin, events: &mut Vec<Event>) {
        if let Some(peer) = self.peers.get_mut(&origin.node)
            && peer.incarnation == origin.incarnation
        {
            // What it still answers while it stops does not bring it back.
            peer.connection = None;
            peer.suspect(origin.node, Suspicion::Goodbye, events);
        }
    }

    /// The node is of no interest any more.
    pub fn forget(&mut self, node: NodeId) {
        self.peers.remove(&node);
    }

    pub fn health(&self, node: NodeId) -> Health {
        self.peers.get(&node).map_or(Health::Unknown, |peer| peer.health)
    }

    /// Whether the node is up, and still in that run.
    pub fn is_up(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let peer = self.peers.get(&node);
        peer.is_some_and(|peer| peer.health == Health::Up && peer.incarnation == incarnation)
    }

    /// A moving average.
    pub fn round_trip(&self, node: NodeId) -> Option<Duration> {
        self.peers.get(&node)?.round_trip
    }
}

impl Peer {
    fn up(&mut self, node: NodeId, events: &mut Vec<Event>) {
        if self.health != Health::Up {
            self.health = Health::Up;
            let incarnation = self.incarnation;
            events.push(Event::Up { node, incarnation });
        }
    }

    fn suspect(&mut self, node: NodeId, why: Suspicion, events: &mut Vec<Event>) {
        if self.health == Health::Up {
            self.health = Health::Suspect(why);
            events.push(Event::Suspect { node, why });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(250);

    struct Test {
        machine: Liveness,
        now: Instant,
        events: Vec<Event>,
    }

    impl Test {
        fn new() -> Self {
            Self {
                machine: Liveness::new(Pulse::default()),
                now: Instant::now(),
                events: Vec::new(),
            }
        }

        fn link(&mut self, node: u64, incarnation: u64, connection: u64) -> Origin {
            let origin = Origin {
                node: NodeId(node),
                incarnation: Incarnation(incarnation),
                connection,
            };
            self.machine.on_linked(&origin, self.now, &mut self.events);
            origin
        }

        fn tick(&mut self) -> u64 {
            self.now += EVERY;
            self.machine.on_tick(self.now, &mut self.events)
        }

        fn pong(&mut self, origin: &Origin, ping: u64) {
            self.machine.on_pong(origin, ping, self.now, &mut self.events);
        }

        fn events(&mut self) -> Vec<Event> {
            std::mem::take(&mut self.events)
        }
    }

    fn up(node: u64, incarnation: u64) -> Event {
        Event::Up {
            node: NodeId(node),
            incarnation: Incarnation(incarnation),
        }
    }

    fn suspect(node: u64, why: Suspicion) -> Event {
        Event::Suspect {
            node: NodeId(node),
            why,
        }
    }

    #[test]
    fn a_run_of_a_node_is_over_when_the_next_is_up() {
        let mut test = Test::new();
        test.link(2, 1, 1);
        let is_up = |test: &Test, run| test.machine.is_up(NodeId(2), Incarnation(run));
        assert!(is_up(&test, 1) && !is_up(&test, 2));
        test.link(2, 2, 2);
        assert!(!is_up(&test, 1) && is_up(&test, 2));
    }

    #[test]
    fn a_second_of_silence_is_suspected_and_an_answer_brings_it_back() {
        let mut test = Test::new();
        let origin = test.link(2, 1, 1);
        assert_eq!(test.events(), [up(2, 1)]);
        let first = test.tick();
        test.tick();
        test.tick();
        assert_eq!(test.events(), []);
        test.tick();
        assert_eq!(test.events(), [suspect(2, Suspicion::Silence)]);
        test.tick();
        assert_eq!(test.events(), []);
        test.pong(&origin, first);
        assert_eq!(test.events(), [up(2, 1)]);
    }

    #[test]
    fn a_broken_connection_and_a_refused_one_are_suspected_at_once() {
        let mut test = Test::new();
        let origin = test.link(2, 1, 1);
        test.events();
        test.machine.on_refused(NodeId(2), &mut test.events);
        assert_eq!(test.events(), [], "connected: an old address was refused");
        test.machine.on_broken(&origin);
        test.machine.on_refused(NodeId(2), &mut test.events);
        assert_eq!(test.events(), [suspect(2, Suspicion::Refused)]);
    }

    #[test]
    fn a_node_that_said_goodbye_is_not_brought_back_by_its_last_answer() {
        let mut test = Test::new();
        let origin = test.link(2, 1, 1);
        let ping = test.tick();
        test.events();
        test.machine.on_goodbye(&origin, &mut test.events);
        test.pong(&origin, ping);
        assert_eq!(test.events(), [suspect(2, Suspicion::Goodbye)]);
    }

    #[test]
    fn what_an_old_connection_says_is_not_heard() {
        let mut test = Test::new();
        let old = test.link(2, 1, 1);
        let ping = test.tick();
        test.link(2, 2, 2);
        test.events();
        test.pong(&old, ping);
        test.machine.on_broken(&old);
        test.machine.on_goodbye(&old, &mut test.events);
        assert_eq!(test.events(), []);
        test.machine.on_refused(NodeId(2), &mut test.events);
        assert_eq!(test.events(), [], "the new connection still stands");
    }

    #[test]
    fn another_process_is_told_from_the_one_before() {
        let mut test = Test::new();
        test.link(2, 1, 1);
        test.events();
        test.link(2, 5, 2);
        let restarted = Event::Restarted {
            node: NodeId(2),
            incarnation: Incarnation(5),
        };
        assert_eq!(test.events(), [restarted]);
        test.link(2, 1, 3);
        assert_eq!(test.events(), []);
    }

    #[test]
    fn a_node_that_was_paused_suspects_nobody_at_once() {
        let mut test = Test::new();
        let origin = test.link(2, 1, 1);
        let ping = test.tick();
        test.events();
        test.now += Duration::from_secs(60);
        // The answer lay in the socket all the time.
        test.pong(&origin, ping);
        test.tick();
        assert_eq!(test.events(), []);
    }

    #[test]
    fn round_trips_are_measured() {
        let mut test = Test::new();
        let origin = test.link(2, 1, 1);
        let ping = test.tick();
        test.now += Duration::from_millis(8);
        test.pong(&origin, ping);
        assert_eq!(test.machine.round_trip(NodeId(2)), Some(Duration::from_millis(8)));
    }
}
