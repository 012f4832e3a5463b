//! Whether a queue gets on, and what keeps it: numbers and words for whoever asks why.
//!
//! Reads only. [`Queue::health`] is cheap enough for lists of all queues; [`Queue::vitals`] walks over
//! what clients hold.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use crate::spec::Overflow;
use crate::types::{Millis, Timestamp};

use super::consumers::Standing;
use super::outstanding::Owner;
use super::sink::ConsumerId;
use super::{Counts, Queue};

/// Without a settle for so long consumers that hold all they may are stuck and not just busy.
const STUCK_AFTER: Millis = Millis(60_000);
/// A message that came back so often goes round.
pub const LOOPS_FROM: u32 = 10;
/// A queue grows that gets so many more each second than leave it.
const GROWS_BY: f64 = 1.0;

/// How a queue gets on, in a word. Later ones are worse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub enum Health {
    #[default]
    Ok,
    /// More comes than its consumers take.
    Growing,
    /// The message that is next has come back again and again.
    Looping,
    /// There are messages, and nobody to take them.
    NoConsumers,
    /// It refuses what is published.
    Full,
    /// Its consumers hold all they may, and settle nothing.
    Stuck,
}

impl Health {
    /// The word of the HTTP API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Growing => "growing",
            Self::Looping => "looping",
            Self::NoConsumers => "no_consumers",
            Self::Full => "full",
            Self::Stuck => "stuck",
        }
    }
}

/// What a full queue does with what comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Full {
    Drops,
    Refuses,
}

/// Numbers of a queue that say why it does not get on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Vitals {
    pub health: Health,
    pub counts: Counts,
    /// How long the oldest ready message has waited, to a second; since a restart or a change of leader
    /// at least.
    pub oldest_ready: Option<Millis>,
    /// How long a client has held the message that is longest with one.
    pub oldest_unacked: Option<Millis>,
    /// How long no client has settled anything.
    pub unsettled_for: Millis,
    /// Consumers that hold all they may.
    pub at_prefetch: u64,
    /// Consumers whose client takes nothing from its socket.
    pub stalled: u64,
    /// Consumers that wait for the single active one to go.
    pub standby: u64,
    /// Messages that came each second of the last ten, and that left; none where that is not known yet.
    pub rates: Option<(f64, f64)>,
    /// How often the message that is next has come back.
    pub returns: u32,
    pub full: Option<Full>,
}

/// What one consumer holds.
struct Holds {
    id: ConsumerId,
    since: Timestamp,
}

impl<C, P> Queue<C, P> {
    /// How it gets on, in a word.
    pub fn health(&self, now: Timestamp) -> Health {
        let full = self.full();
        let mut health = Health::Ok;
        let mut note = |is: bool, word: Health| {
            if is {
                health = health.max(word);
            }
        };
        note(full == Some(Full::Refuses), Health::Full);
        if !self.ready.is_empty() && !self.gathering {
            note(self.consumers.len() == 0, Health::NoConsumers);
            note(self.returns() >= LOOPS_FROM, Health::Looping);
            note(self.is_stuck(now), Health::Stuck);
            let rates = self.rates(now);
            note(
                rates.is_some_and(|(arriving, leaving)| arriving - leaving >= GROWS_BY),
                Health::Growing,
            );
        }
        health
    }

    /// All that says why, and since when each consumer holds what it has held longest.
    pub fn vitals(&self, now: Timestamp) -> (Vitals, FxHashMap<ConsumerId, Millis>) {
        let mut oldest = FxHashMap::default();
        let mut oldest_unacked = None;
        for held in self.with_consumers() {
            let age = now.since(held.since);
            oldest_unacked = oldest_unacked.max(Some(age));
            let known = oldest.entry(held.id).or_insert(age);
            *known = age.max(*known);
        }
        let standing = |wanted: Standing| {
            let all = self.consumers.iter();
            all.filter(|(_, consumer)| consumer.standing == wanted).count() as u64
        };
        let got = self.outstanding.iter().filter(|held| held.owner == Owner::Get);
        let got = got.map(|held| now.since(held.since)).max();
        let vitals = Vitals {
            health: self.health(now),
            counts: self.counts(),
            oldest_ready: self
                .oldest_ready()
                .and_then(|seq| Some(now.since(self.pulse.arrival(seq)?))),
            oldest_unacked: oldest_unacked.max(got),
            unsettled_for: self.pulse.unsettled_for(now),
            at_prefetch: standing(Standing::Full),
            stalled: standing(Standing::Stalled),
            standby: standing(Standing::Standby),
            rates: self.rates(now),
            returns: self.returns(),
            full: self.full(),
        };
        (vitals, oldest)
    }

    /// When the message of that number came, a second earlier or later.
    pub fn arrival(&self, seq: u64) -> Option<Timestamp> {
        self.pulse.arrival(seq)
    }

    /// The number from which on messages came at that time or later, a second earlier or later.
    pub fn first_since(&self, at: Timestamp) -> u64 {
        self.pulse.first_since(at)
    }

    /// What consumers hold.
    fn with_consumers(&self) -> impl Iterator<Item = Holds> {
        self.outstanding.iter().filter_map(|held| match held.owner {
            Owner::Consumer(id) => Some(Holds { id, since: held.since }),
            Owner::Get | Owner::Dying(_) => None,
        })
    }

    /// Takes a sample of how it gets on, if it is time for one.
    pub(super) fn beat(&mut self, now: Timestamp) {
        let depth = self.depth();
        self.pulse.beat(now, self.next_seq, || depth);
    }

    fn depth(&self) -> u64 {
        self.ready() + self.unacked() + self.uncommitted.len() as u64
    }

    fn rates(&self, now: Timestamp) -> Option<(f64, f64)> {
        let rates = self.pulse.rates(now, self.next_seq, self.depth())?;
        Some((rates.arriving, rates.leaving))
    }

    /// Nobody takes what is ready: all hold what they may, or do not read, and nothing was settled for
    /// long.
    fn is_stuck(&self, now: Timestamp) -> bool {
        self.consumers.len() > 0
            && self.pulse.unsettled_for(now) >= STUCK_AFTER
            && self
                .consumers
                .iter()
                .all(|(_, consumer)| consumer.standing != Standing::InLine)
    }

    /// How often the message that is next has come back.
    fn returns(&self) -> u32 {
        let head = self.ready.head().and_then(|place| self.ready.entry(place));
        head.map_or(0, |entry| entry.count)
    }

    fn oldest_ready(&self) -> Option<u64> {
        self.ready.fronts().map(|entry| entry.seq).min()
    }

    fn full(&self) -> Option<Full> {
        let refuses = match self.rules.overflow(&self.settings) {
            Overflow::DropHead => return self.has_no_room().then_some(Full::Drops),
            Overflow::RejectPublish | Overflow::RejectPublishDlx => self.has_no_room(),
        };
        refuses.then_some(Full::Refuses)
    }
}
