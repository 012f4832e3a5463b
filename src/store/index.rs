//! What lives, and where: per owner the living entries as ranges, per segment and epoch how many.
//!
//! The store knows by itself which entries a checkpoint has to move and which removals fjall has
//! to hear of, so nobody is asked during a checkpoint. Everything here is derived from what is on
//! disk; recovery builds it by replaying. Changed under the log's lock, in the order of the log.
//!
//! ```text
//! put → Log(segment) ──checkpoint──→ Rest(epoch) ──rewritten──→ Rest(newer epoch)
//!            │ remove                      │ remove
//!            ▼                             ▼
//!         forgotten                dead at rest → tombstone with the next checkpoint
//! ```

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::ranges::RangeMap;
use super::{Keep, OwnerId};

/// Where an entry's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In this segment of the log.
    Log(u32),
    /// In this epoch at rest.
    Rest(u32),
}

/// A place in 4 bytes: the lowest bit says which kind it is. (Numbers of segments and epochs stay
/// below 2^31: that is 2^57 bytes of log.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed(u32);

impl From<Place> for Packed {
    fn from(place: Place) -> Self {
        Self(match place {
            Place::Log(segment) => segment << 1,
            Place::Rest(epoch) => epoch << 1 | 1,
        })
    }
}

impl From<Packed> for Place {
    fn from(Packed(bits): Packed) -> Self {
        match bits & 1 {
            0 => Self::Log(bits >> 1),
            _ => Self::Rest(bits >> 1),
        }
    }
}

/// Entries first to last of one owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Run {
    pub owner: OwnerId,
    pub first: u64,
    pub last: u64,
}

/// A delivery count, and the segment whose record says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Count {
    count: u32,
    said_in: u32,
}

/// Small state of an owner, and the segment whose record says so.
#[derive(Clone, Debug)]
struct Mark {
    bytes: Box<[u8]>,
    said_in: u32,
}

#[derive(Debug, Default)]
struct Owner {
    live: RangeMap<Packed>,
    living: u64,
    counts: RangeMap<Count>,
    mark: Option<Mark>,
    next_seq: u64,
    /// The segment whose record says `next_seq`.
    next_seq_in: u32,
}

/// What a segment of the log holds that still matters.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Living entries whose bytes are here.
    pub live: u64,
    /// For every owner with entries here, the range they lie in.
    spans: FxHashMap<OwnerId, (u64, u64)>,
}

/// What an epoch at rest holds.
#[derive(Debug, Default)]
pub(super) struct Epoch {
    /// Entries that live.
    pub live: u64,
    /// Entries that were written.
    pub total: u64,
    /// `live` when last looked at; an epoch that is being consumed is not worth rewriting.
    seen: u64,
}

/// A state that a retiring segment holds and that has to be said again.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Restate {
    State {
        owner: OwnerId,
        next_seq: u64,
        mark: Option<Box<[u8]>>,
    },
    /// First and last of the entries delivered so many times.
    Counts {
        owner: OwnerId,
        count: u32,
        runs: Vec<(u64, u64)>,
    },
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Index {
    owners: FxHashMap<OwnerId, Owner>,
    pub segments: BTreeMap<u32, Segment>,
    pub epochs: BTreeMap<u32, Epoch>,
    /// Entries at rest that are no more, and of which fjall has not heard.
    dead: FxHashMap<OwnerId, RangeMap<()>>,
    pub dead_count: u64,
    /// A segment before the newest, or an epoch, has lost its last living entry.
    pub emptied: bool,
}

impl Index {
    /// An entry was written to the log. The seq must not be in use.
    pub fn put(&mut self, owner: OwnerId, seq: u64, keep: Keep, segment: u32) {
        let state = self.owners.entry(owner).or_default();
        debug_assert_eq!(state.live.get(seq), None, "{owner:?} uses {seq} twice");
        state.live.insert(seq, seq, Place::Log(segment).into());
        state.living += 1;
        // What a restart drops leaves no trace, so that owners of nothing else leave none either.
        if keep == Keep::Durable {
            state.saw(seq, segment);
        }
        let here = self.segments.entry(segment).or_default();
        here.live += 1;
        let span = here.spans.entry(owner).or_insert((seq, seq));
        *span = (span.0.min(seq), span.1.max(seq));
    }

    /// An entry was found at rest.
    pub fn put_at_rest(&mut self, owner: OwnerId, seq: u64, epoch: u32) {
        let state = self.owners.entry(owner).or_default();
        state.live.insert(seq, seq, Place::Rest(epoch).into());
        state.living += 1;
        state.saw(seq, 0);
        let at = self.epochs.entry(epoch).or_default();
        at.live += 1;
        at.total += 1;
    }

    /// An entry was found at rest that did not outlive the restart.
    pub fn drop_at_rest(&mut self, owner: OwnerId, seq: u64, epoch: u32) {
        self.epochs.entry(epoch).or_default().total += 1;
        self.bury(owner, seq, seq);
    }

    /// An entry at rest is to be dropped: fjall hears of it with the next checkpoint.
    pub fn bury(&mut self, owner: OwnerId, first: u64, last: u64) {
        self.dead.entry(owner).or_default().insert(first, last, ());
        self.dead_count += last - first + 1;
    }

    /// Entries are no more. Returns the first and the last of them that lived.
    pub fn remove(&mut self, owner: OwnerId, first: u64, last: u64) -> Option<(u64, u64)> {
        let state = self.owners.get_mut(&owner)?;
        let mut gone = 0;
        let mut lived = None;
        let mut at_rest = Vec::new();
        let newest = self.segments.last_key_value().map(|(number, _)| *number);
        let (segments, epochs, emptied) = (&mut self.segments, &mut self.epochs, &mut self.emptied);
        state.live.remove(first, last, |first, last, place| {
            let count = last - first + 1;
            gone += count;
            lived = Some((lived.map_or(first, |(first, _)| first), last));
            let place = place.into();
            let left = match place {
                Place::Log(segment) => segments.get_mut(&segment).map(|segment| &mut segment.live),
                Place::Rest(epoch) => {
                    at_rest.push((first, last));
                    epochs.get_mut(&epoch).map(|epoch| &mut epoch.live)
                }
            };
            if let Some(left) = left {
                *left = left.saturating_sub(count);
                // The newest segment stays whether it is empty or not.
                *emptied |= *left == 0 && !matches!(place, Place::Log(segment) if Some(segment) == newest);
            }
        });
        state.living -= gone;
        if gone > 0 && !state.counts.is_empty() {
            state.counts.remove(first, last, |_, _, _| {});
        }
        for (first, last) in at_rest {
            self.bury(owner, first, last);
        }
        lived
    }

    /// Entries were delivered so many times. Counts only grow, so that saying an old one again
    /// during a checkpoint changes nothing. Returns whether any of the entries lives.
    pub fn touch(&mut self, owner: OwnerId, first: u64, last: u64, count: u32, segment: u32) -> bool {
        let Some(state) = self.owners.get_mut(&owner) else {
            return false;
        };
        let said = Count {
            count,
            said_in: segment,
        };
        let living: Vec<_> = state.live.within(first, last).map(|(a, b, _)| (a, b)).collect();
        for &(first, last) in &living {
            let higher: Vec<_> = state
                .counts
                .within(first, last)
                .filter(|(_, _, is)| is.count > count)
                .collect();
            state.counts.insert(first, last, said);
            for (first, last, is) in higher {
                state.counts.insert(first, last, is);
            }
        }
        !living.is_empty()
    }

    /// The put of an entry that is known to rest was found in the log: whatever was said of its
    /// seq before did not mean this entry (a range was wide, or a restart had freed the seq), and
    /// what is said of this entry follows.
    pub fn begins_here(&mut self, owner: OwnerId, seq: u64) {
        if let Some(state) = self.owners.get_mut(&owner).filter(|state| !state.counts.is_empty()) {
            state.counts.remove(seq, seq, |_, _, _| {});
        }
    }

    /// The owner's small state; the latest counts.
    pub fn mark(&mut self, owner: OwnerId, bytes: &[u8], segment: u32) {
        self.owners.entry(owner).or_default().mark = Some(Mark {
            bytes: bytes.into(),
            said_in: segment,
        });
    }

    /// A state said again by a checkpoint, found in the log.
    pub fn state(&mut self, owner: OwnerId, next_seq: u64, mark: Option<&[u8]>, segment: u32) {
        if let Some(bytes) = mark {
            self.mark(owner, bytes, segment);
        }
        if let Some(last) = next_seq.checked_sub(1) {
            self.owners.entry(owner).or_default().saw(last, segment);
        }
    }

    /// Everything of the owner is no more.
    pub fn forget(&mut self, owner: OwnerId) {
        self.remove(owner, 0, u64::MAX);
        self.owners.remove(&owner);
    }

    pub fn place(&self, owner: OwnerId, seq: u64) -> Option<Place> {
        self.owners.get(&owner)?.live.get(seq).map(Place::from)
    }

    pub fn count(&self, owner: OwnerId, seq: u64) -> u32 {
        let count = self.owners.get(&owner).and_then(|state| state.counts.get(seq));
        count.map_or(0, |count| count.count)
    }

    pub fn living(&self, owner: OwnerId) -> u64 {
        self.owners.get(&owner).map_or(0, |state| state.living)
    }

    pub fn next_seq(&self, owner: OwnerId) -> u64 {
        self.owners.get(&owner).map_or(0, |state| state.next_seq)
    }

    pub fn mark_of(&self, owner: OwnerId) -> Option<&[u8]> {
        Some(&self.owners.get(&owner)?.mark.as_ref()?.bytes)
    }

    pub fn owners(&self) -> impl Iterator<Item = OwnerId> + '_ {
        self.owners.keys().copied()
    }

    /// Where the living entries of an owner are, in order.
    pub fn living_of(&self, owner: OwnerId) -> impl Iterator<Item = (Place, Run)> + '_ {
        let live = self.owners.get(&owner).into_iter().flat_map(|state| state.live.iter());
        live.map(move |(first, last, place)| (place.into(), Run { owner, first, last }))
    }

    /// The living entries in this segment, ordered by owner and seq.
    pub fn living_in(&self, segment: u32) -> Vec<Run> {
        let mut runs = Vec::new();
        let Some(here) = self.segments.get(&segment) else {
            return runs;
        };
        if here.live == 0 {
            return runs;
        }
        for (&owner, &(first, last)) in &here.spans {
            let Some(state) = self.owners.get(&owner) else {
                continue;
            };
            let pieces = state.live.within(first, last);
            runs.extend(
                pieces
                    .filter(|(_, _, place)| *place == Place::Log(segment).into())
                    .map(|(first, last, _)| Run { owner, first, last }),
            );
        }
        runs.sort_unstable();
        runs
    }

    /// The living entries in this epoch, ordered by owner and seq.
    pub fn living_at_rest(&self, epoch: u32) -> Vec<Run> {
        let mut runs = Vec::new();
        for (&owner, state) in &self.owners {
            let pieces = state
                .live
                .iter()
                .filter(|(_, _, place)| *place == Place::Rest(epoch).into());
            runs.extend(pieces.map(|(first, last, _)| Run { owner, first, last }));
        }
        runs.sort_unstable();
        runs
    }

    /// What only segments up to this one say; from now on segment `now` says it.
    pub fn restate(&mut self, up_to: u32, now: u32) -> Vec<Restate> {
        let mut said = Vec::new();
        for (&owner, state) in &mut self.owners {
            let mark_goes = state.mark.as_ref().is_some_and(|mark| mark.said_in <= up_to);
            let seq_goes = state.next_seq > 0 && state.next_seq_in <= up_to;
            if mark_goes || seq_goes {
                if let Some(mark) = &mut state.mark {
                    mark.said_in = now;
                }
                state.next_seq_in = now;
                said.push(Restate::State {
                    owner,
                    next_seq: state.next_seq,
                    mark: state.mark.as_ref().map(|mark| mark.bytes.clone()),
                });
            }
            let old: Vec<_> = state.counts.iter().filter(|(_, _, is)| is.said_in <= up_to).collect();
            let mut by_count: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
            for (first, last, Count { count, .. }) in old {
                state.counts.insert(first, last, Count { count, said_in: now });
                by_count.entry(count).or_default().push((first, last));
            }
            said.extend(
                by_count
                    .into_iter()
                    .map(|(count, runs)| Restate::Counts { owner, count, runs }),
            );
        }
        said
    }

    /// About how many bytes it takes to say all states again.
    pub fn state_bytes(&self) -> u64 {
        let states = self.owners.values().map(|state| {
            let mark = state.mark.as_ref().map_or(0, |mark| mark.bytes.len());
            (STATE_BYTES + mark + COUNT_BYTES * state.counts.len()) as u64
        });
        states.sum()
    }

    /// All entries at rest that died since the last call, ordered by owner and seq.
    pub fn take_dead(&mut self) -> Vec<Run> {
        self.dead_count = 0;
        let dead = std::mem::take(&mut self.dead);
        let mut runs: Vec<_> = dead
            .iter()
            .flat_map(|(&owner, ranges)| ranges.iter().map(move |(first, last, ())| Run { owner, first, last }))
            .collect();
        runs.sort_unstable();
        runs
    }

    /// Entries have arrived at rest: those that still live where `came_from` says are there from
    /// now on, the others died on the way and are buried.
    pub fn moved(&mut self, runs: &[Run], epoch: u32, came_from: impl Fn(Place) -> bool) {
        for run in runs {
            let mut next = run.first;
            let mut arrived = Vec::new();
            if let Some(state) = self.owners.get(&run.owner) {
                let pieces = state.live.within(run.first, run.last);
                arrived.extend(
                    pieces
                        .map(|(first, last, place)| (first, last, place.into()))
                        .filter(|(_, _, place)| came_from(*place)),
                );
            }
            for (first, last, place) in arrived {
                if next < first {
                    self.bury(run.owner, next, first - 1);
                }
                next = last + 1;
                let count = last - first + 1;
                match place {
                    Place::Log(segment) => {
                        if let Some(segment) = self.segments.get_mut(&segment) {
                            segment.live = segment.live.saturating_sub(count);
                        }
                    }
                    Place::Rest(old) => {
                        if let Some(old) = self.epochs.get_mut(&old) {
                            old.live = old.live.saturating_sub(count);
                        }
                    }
                }
                self.epochs.entry(epoch).or_default().live += count;
                if let Some(state) = self.owners.get_mut(&run.owner) {
                    state.live.insert(first, last, Place::Rest(epoch).into());
                }
            }
            if next <= run.last {
                self.bury(run.owner, next, run.last);
            }
            self.epochs.entry(epoch).or_default().total += run.last - run.first + 1;
        }
    }

    /// Epochs nothing lives in.
    pub fn empty_epochs(&self) -> Vec<u32> {
        self.epochs
            .iter()
            .filter(|(_, epoch)| epoch.live == 0)
            .map(|(number, _)| *number)
            .collect()
    }

    /// An epoch less than half alive that nobody has taken from since the last call.
    pub fn worth_rewriting(&mut self) -> Option<u32> {
        let mut found = None;
        for (&number, epoch) in &mut self.epochs {
            let quiet = epoch.seen == epoch.live;
            epoch.seen = epoch.live;
            if found.is_none() && quiet && epoch.live > 0 && epoch.live * 2 < epoch.total {
                found = Some(number);
            }
        }
        found
    }

    /// An epoch was rewritten. What could not be read stays there, and is not tried again.
    pub fn rewritten(&mut self, epoch: u32) {
        if let Some(epoch) = self.epochs.get_mut(&epoch) {
            epoch.total = epoch.live;
        }
    }

    /// Walks what must hold; for tests.
    #[cfg(test)]
    pub fn check(&self) {
        let mut in_segments: FxHashMap<u32, u64> = FxHashMap::default();
        let mut in_epochs: FxHashMap<u32, u64> = FxHashMap::default();
        for (owner, state) in &self.owners {
            let mut living = 0;
            for (first, last, place) in state.live.iter() {
                let count = last - first + 1;
                living += count;
                match place.into() {
                    Place::Log(segment) => *in_segments.entry(segment).or_default() += count,
                    Place::Rest(epoch) => *in_epochs.entry(epoch).or_default() += count,
                }
            }
            assert_eq!(living, state.living, "living of {owner:?}");
        }
        for (number, segment) in &self.segments {
            assert_eq!(
                in_segments.remove(number).unwrap_or(0),
                segment.live,
                "segment {number}"
            );
        }
        for (number, epoch) in &self.epochs {
            assert_eq!(in_epochs.remove(number).unwrap_or(0), epoch.live, "epoch {number}");
            assert!(epoch.live <= epoch.total);
        }
        assert!(
            in_segments.is_empty() && in_epochs.is_empty(),
            "entries in places unknown"
        );
    }
}

/// Bytes of a state record without its mark, rounded up.
const STATE_BYTES: usize = 48;
/// Most bytes that it takes to say a run of counts again, when no other run has the same count.
const COUNT_BYTES: usize = 48;

impl Owner {
    /// An entry with this seq was seen in a record of this segment.
    fn saw(&mut self, seq: u64, segment: u32) {
        if seq >= self.next_seq {
            self.next_seq = seq.saturating_add(1);
            self.next_seq_in = segment;
        }
    }
}
