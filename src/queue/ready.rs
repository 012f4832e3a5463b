//! The messages waiting, in the order they will be delivered.
//!
//! One lane for each priority: fresh messages in order of arrival, and those that came back kept
//! apart and merged by sequence number, so that they return to their original place. A quorum
//! queue delivers what came back before everything else instead, in order of return. Holds: both
//! parts of a lane are ordered by sequence number; `occupied` has a bit for each lane that is not
//! empty; the totals are those of the entries.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

use crate::spec::QueueType;
use crate::types::Timestamp;

use super::entry::{Entry, FETCHED, FETCHING, LOST, NEVER};
use super::line::Line;
use super::sink::{Loc, Slot};

/// The ready messages of a queue.
pub(super) struct Ready {
    pub lanes: Vec<Lane>,
    /// Messages that came back and go before all others.
    pub first: VecDeque<Entry>,
    return_rule: ReturnRule,
    order: LaneOrder,
    occupied: [u64; 4],
    len: usize,
    bytes: u64,
    /// Entries with a time to live.
    expiring: usize,
    /// Entries whose body must come from the store.
    paged: usize,
    /// Entries whose body was asked for or read back, and the bytes of their bodies.
    ahead: (usize, u64),
}

/// The messages of one priority.
pub(super) struct Lane {
    pub fresh: Line,
    pub returned: BTreeMap<u64, Entry>,
    /// No fresh entry before this sequence number needs to be asked from the store.
    pub read_from: u64,
    /// The first fresh entry whose body leaves memory as soon as it is durable.
    pub drop_from: u64,
}

/// Where messages go that come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ReturnRule {
    OriginalPlace,
    BeforeTheRest,
}

/// Which lane is next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum LaneOrder {
    /// The highest priority.
    Strict,
    /// Two of the high lane for each of the normal one, which so never starves.
    TwoToOne { high_in_row: u8 },
}

/// The place of an entry at the head of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    First,
    Returned(u8),
    Fresh(u8),
}

impl Ready {
    pub fn new(kind: QueueType, max_priority: Option<u8>) -> Self {
        let quorum = kind == QueueType::Quorum;
        let lanes = match max_priority {
            _ if quorum => 2,
            Some(max) => usize::from(max) + 1,
            None => 1,
        };
        Self {
            lanes: (0..lanes).map(|_| Lane::new()).collect(),
            first: VecDeque::new(),
            return_rule: if quorum {
                ReturnRule::BeforeTheRest
            } else {
                ReturnRule::OriginalPlace
            },
            order: if quorum {
                LaneOrder::TwoToOne { high_in_row: 0 }
            } else {
                LaneOrder::Strict
            },
            occupied: [0; 4],
            len: 0,
            bytes: 0,
            expiring: 0,
            paged: 0,
            ahead: (0, 0),
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of a quorum queue have a high priority, and how many came back.
    pub fn by_lane(&self) -> (usize, usize) {
        let high = self.lanes.get(1).map_or(0, |lane| lane.fresh.len());
        (high, self.first.len())
    }

    /// Bytes of the bodies.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Entries whose body must come from the store.
    pub fn paged(&self) -> usize {
        self.paged
    }

    /// Entries whose body was asked for or read back, and the bytes of their bodies.
    pub fn ahead(&self) -> (usize, u64) {
        self.ahead
    }

    /// The lane of a message with this priority property.
    pub fn lane_of(&self, priority: Option<u8>) -> u8 {
        match self.order {
            LaneOrder::Strict => priority.unwrap_or(0).min((self.lanes.len() - 1) as u8),
            LaneOrder::TwoToOne { .. } => u8::from(priority.unwrap_or(0) > 4),
        }
    }

    /// Adds a message that was never here before; its sequence number is the highest so far.
    pub fn push(&mut self, mut entry: Entry) {
        // A ledger written with more priorities than the queue has now.
        entry.lane = entry.lane.min((self.lanes.len() - 1) as u8);
        self.count_in(&entry);
        self.occupy(entry.lane);
        let lane = &mut self.lanes[usize::from(entry.lane)];
        if entry.message.is_none() {
            lane.read_from = lane.read_from.min(entry.seq);
        }
        lane.fresh.push_back(entry);
    }

    /// Takes a message back that was delivered.
    pub fn put_back(&mut self, entry: Entry) {
        self.count_in(&entry);
        match self.return_rule {
            ReturnRule::OriginalPlace => {
                self.occupy(entry.lane);
                self.lanes[usize::from(entry.lane)].returned.insert(entry.seq, entry);
            }
            ReturnRule::BeforeTheRest => self.first.push_back(entry),
        }
    }

    /// The message to be delivered next.
    pub fn head(&self) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        if !self.first.is_empty() {
            return Some(Place::First);
        }
        self.lane_head(self.next_lane()?)
    }

    /// The last of the lanes' first messages that never came back.
    pub fn fresh_head(&self) -> Option<u64> {
        let fronts = self.lanes.iter().filter_map(|lane| lane.fresh.front());
        fronts.map(|entry| entry.seq).max()
    }

    /// Takes the messages of these slots out, wherever they stand; `slots` is in order, and keeps those
    /// whose message is not here or has come back since. The turns of the lanes do not change.
    pub fn take_all(&mut self, slots: &mut Vec<Slot>) -> Vec<Entry> {
        let order = self.order;
        let mut taken = Vec::new();
        for _ in 0..self.first.len() {
            let Some(mut entry) = self.first.pop_front() else {
                break;
            };
            let slot = slots.binary_search_by_key(&entry.seq, |slot| slot.seq);
            if slot.is_ok_and(|at| entry.is_out_as(slots[at])) {
                self.count_out(&mut entry, Place::First);
                taken.push(entry);
            } else {
                self.first.push_back(entry);
            }
        }
        for number in 0..self.lanes.len() {
            let lane = &mut self.lanes[number];
            let is_here = |slot: &&Slot| {
                let position = lane.fresh.lower_bound(slot.seq);
                lane.fresh.get(position).is_some_and(|entry| entry.is_out_as(**slot))
            };
            let last = slots.iter().rev().find(is_here).map_or(0, |slot| slot.seq);
            // Those between them stay, and are looked for among what came back from now on.
            while lane.fresh.front().is_some_and(|entry| entry.seq <= last)
                && let Some(entry) = lane.fresh.pop_front()
            {
                lane.returned.insert(entry.seq, entry);
            }
            let is_it = |slot: &Slot| lane.returned.get(&slot.seq).is_some_and(|entry| entry.is_out_as(*slot));
            let out: Vec<u64> = slots.iter().filter(|slot| is_it(slot)).map(|slot| slot.seq).collect();
            let out: Vec<Entry> = out.iter().filter_map(|seq| lane.returned.remove(seq)).collect();
            for mut entry in out {
                self.count_out(&mut entry, Place::Returned(number as u8));
                taken.push(entry);
            }
        }
        self.order = order;
        taken.sort_unstable_by_key(|entry| entry.seq);
        slots.retain(|slot| taken.binary_search_by_key(&slot.seq, |entry| entry.seq).is_err());
        taken
    }

    /// The entry at a place that [`Ready::head`] or [`Ready::expired_head`] gave.
    pub fn entry(&self, place: Place) -> Option<&Entry> {
        match place {
            Place::First => self.first.front(),
            Place::Returned(lane) => Some(self.lanes[usize::from(lane)].returned.first_key_value()?.1),
            Place::Fresh(lane) => self.lanes[usize::from(lane)].fresh.front(),
        }
    }

    /// Takes the entry at such a place out.
    pub fn take(&mut self, place: Place) -> Option<Entry> {
        let mut entry = match place {
            Place::First => self.first.pop_front(),
            Place::Returned(lane) => self.lanes[usize::from(lane)]
                .returned
                .pop_first()
                .map(|(_, entry)| entry),
            Place::Fresh(lane) => self.lanes[usize::from(lane)].fresh.pop_front(),
        }?;
        self.count_out(&mut entry, place);
        Some(entry)
    }

    /// The messages from that number on, so many at most, in the order in which they came.
    pub fn from(&self, seq: u64, most: usize) -> Vec<Cow<'_, Entry>> {
        let mut found = Vec::new();
        found.extend(self.first.iter().filter(|entry| entry.seq >= seq).map(Cow::Borrowed));
        for lane in &self.lanes {
            found.extend(
                lane.returned
                    .range(seq..)
                    .take(most)
                    .map(|(_, entry)| Cow::Borrowed(entry)),
            );
            let start = lane.fresh.lower_bound(seq);
            found.extend((start..lane.fresh.len()).take(most).map_while(|at| lane.fresh.get(at)));
        }
        found.sort_by_key(|entry| entry.seq);
        found.truncate(most);
        found
    }

    /// The heads of all lines.
    pub fn fronts(&self) -> impl Iterator<Item = &Entry> {
        self.heads().filter_map(|place| self.entry(place))
    }

    /// A head of a line whose time to live is over. Every lane's head counts, also one that is
    /// not next.
    pub fn expired_head(&self, now: Timestamp) -> Option<Place> {
        if self.expiring == 0 {
            return None;
        }
        self.heads()
            .find(|place| self.entry(*place).is_some_and(|entry| entry.expired(now)))
    }

    /// When the next head of a line expires.
    pub fn next_expiry(&self) -> Option<Timestamp> {
        if self.expiring == 0 {
            return None;
        }
        let expiries = self.heads().filter_map(|place| Some(self.entry(place)?.expires));
        expiries.min().filter(|expires| *expires != NEVER)
    }

    /// Changes the entry of that number, keeping the totals right.
    pub fn update(&mut self, seq: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let Some(entry) = find(&mut self.lanes, &mut self.first, seq) else {
            return false;
        };
        let before = Totals::of(entry);
        change(entry);
        let after = Totals::of(entry);
        self.paged = self.paged + after.paged - before.paged;
        self.ahead.0 = self.ahead.0 + after.ahead - before.ahead;
        self.ahead.1 = self.ahead.1 + after.ahead_bytes - before.ahead_bytes;
        true
    }

    /// Changes fresh entries of a lane from a position on until `change` says to stop.
    pub fn update_from(&mut self, lane: usize, start: usize, mut change: impl FnMut(&mut Entry) -> bool) {
        let mut position = start;
        while let Some(entry) = self.lanes[lane].fresh.get_mut(position) {
            let before = Totals::of(entry);
            let go_on = change(entry);
            let after = Totals::of(entry);
            let seq = entry.seq;
            if after.paged > before.paged {
                self.lanes[lane].read_from = self.lanes[lane].read_from.min(seq);
            }
            self.paged = self.paged + after.paged - before.paged;
            self.ahead.0 = self.ahead.0 + after.ahead - before.ahead;
            self.ahead.1 = self.ahead.1 + after.ahead_bytes - before.ahead_bytes;
            position += 1;
            if !go_on {
                break;
            }
        }
        self.lanes[lane].fresh.pack_again(start..position);
    }

    /// Collects bodies to read back, nearest to delivery first, and marks them as asked for.
    pub fn ask_ahead(&mut self, wanted: &mut Vec<(u64, Loc)>, most: usize, most_bytes: u64) {
        let mut bytes = 0;
        let mut ahead = 0;
        let mut ask = |entry: &mut Entry| {
            if entry.message.is_none() && !entry.is(FETCHING) && !entry.is(LOST) {
                entry.mark(FETCHING);
                wanted.push((entry.seq, entry.loc));
                bytes += u64::from(entry.len);
                ahead += 1;
            }
            wanted.len() < most && bytes < most_bytes
        };
        let mut go_on = self.first.iter_mut().take(most).all(&mut ask);
        let lane = match self.first.is_empty() {
            true => self.next_lane(),
            false => None,
        };
        if let Some(lane) = lane.map(|lane| &mut self.lanes[usize::from(lane)]) {
            go_on = go_on && lane.returned.values_mut().take(most).all(&mut ask);
            let mut position = lane.fresh.lower_bound(lane.read_from);
            while go_on && let Some(entry) = lane.fresh.get_mut(position) {
                go_on = ask(entry);
                lane.read_from = entry.seq + 1;
                position += 1;
            }
        }
        self.ahead.0 += ahead;
        self.ahead.1 += bytes;
    }

    /// Every entry, by lane.
    pub fn into_entries(self) -> impl Iterator<Item = Entry> {
        let lanes = self.lanes.into_iter();
        let lanes = lanes.flat_map(|lane| lane.returned.into_values().chain(lane.fresh.into_entries()));
        self.first.into_iter().chain(lanes)
    }

    /// Every entry, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = Cow<'_, Entry>> {
        let returned = self.lanes.iter().flat_map(|lane| lane.returned.values());
        let fresh = self.lanes.iter().flat_map(|lane| lane.fresh.iter());
        self.first.iter().chain(returned).map(Cow::Borrowed).chain(fresh)
    }

    /// Panics when the totals or the order are not as they should be.
    pub fn check(&self) {
        let mut sum = Totals::default();
        for entry in self.iter() {
            assert!(usize::from(entry.lane) < self.lanes.len());
            assert!(
                !entry.is(FETCHING) || entry.message.is_none(),
                "asked for what is there"
            );
            sum.add(&Totals::of(&entry));
        }
        let counted = (
            self.len,
            self.bytes,
            self.expiring,
            self.paged,
            self.ahead.0,
            self.ahead.1,
        );
        let summed = (sum.len, sum.bytes, sum.expiring, sum.paged, sum.ahead, sum.ahead_bytes);
        assert_eq!(counted, summed, "totals of the ready line");
        for (number, lane) in self.lanes.iter().enumerate() {
            let occupied = self.occupied[number / 64] & (1 << (number % 64)) != 0;
            assert_eq!(occupied, lane.fresh.len() + lane.returned.len() > 0, "lane {number}");
            let entries = || lane.fresh.iter().zip(lane.fresh.iter().skip(1));
            assert!(
                entries().all(|(one, next)| one.seq < next.seq),
                "order of lane {number}"
            );
            let mut all = lane.returned.values().map(Cow::Borrowed).chain(lane.fresh.iter());
            assert!(all.all(|entry| usize::from(entry.lane) == number));
            for entry in lane.fresh.iter().take_while(|entry| entry.seq < lane.read_from) {
                let here = entry.message.is_some() || entry.is(FETCHING) || entry.is(LOST);
                assert!(here, "{} would never be asked for", entry.seq);
            }
        }
    }

    fn next_lane(&self) -> Option<u8> {
        if self.lanes.len() == 1 {
            return Some(0);
        }
        let word = self.occupied.iter().rposition(|word| *word != 0)?;
        let highest = (word * 64 + 63 - self.occupied[word].leading_zeros() as usize) as u8;
        match self.order {
            LaneOrder::TwoToOne { high_in_row: 2.. } if self.occupied[0] & 1 != 0 => Some(0),
            _ => Some(highest),
        }
    }

    fn lane_head(&self, number: u8) -> Option<Place> {
        let lane = &self.lanes[usize::from(number)];
        let Some((returned, _)) = lane.returned.first_key_value() else {
            return lane.fresh.front().map(|_| Place::Fresh(number));
        };
        match lane.fresh.front() {
            Some(fresh) if fresh.seq < *returned => Some(Place::Fresh(number)),
            _ => Some(Place::Returned(number)),
        }
    }

    fn heads(&self) -> impl Iterator<Item = Place> {
        let first = self.first.front().map(|_| Place::First);
        let lanes = (0..4_u8).flat_map(|word| {
            let mut left = self.occupied[usize::from(word)];
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u8;
                left &= left.checked_sub(1)?;
                Some(word * 64 + bit)
            })
        });
        first
            .into_iter()
            .chain(lanes.filter_map(|number| self.lane_head(number)))
    }

    fn count_in(&mut self, entry: &Entry) {
        let totals = Totals::of(entry);
        self.len += 1;
        self.bytes += totals.bytes;
        self.expiring += totals.expiring;
        self.paged += totals.paged;
        self.ahead.0 += totals.ahead;
        self.ahead.1 += totals.ahead_bytes;
    }

    fn occupy(&mut self, lane: u8) {
        self.occupied[usize::from(lane / 64)] |= 1 << (lane % 64);
    }

    fn count_out(&mut self, entry: &mut Entry, place: Place) {
        let totals = Totals::of(entry);
        self.len -= 1;
        self.bytes -= totals.bytes;
        self.expiring -= totals.expiring;
        self.paged -= totals.paged;
        self.ahead.0 -= totals.ahead;
        self.ahead.1 -= totals.ahead_bytes;
        entry.unmark(FETCHING | FETCHED);
        if let Place::Returned(number) | Place::Fresh(number) = place {
            let lane = &self.lanes[usize::from(number)];
            if lane.fresh.len() + lane.returned.len() == 0 {
                self.occupied[usize::from(number / 64)] &= !(1 << (number % 64));
            }
            if let LaneOrder::TwoToOne { high_in_row } = &mut self.order {
                *high_in_row = if number > 0 { (*high_in_row + 1).min(2) } else { 0 };
            }
        }
    }
}

impl Lane {
    fn new() -> Self {
        Self {
            fresh: Line::new(),
            returned: BTreeMap::new(),
            read_from: u64::MAX,
            drop_from: u64::MAX,
        }
    }
}

/// What an entry adds to the totals.
#[derive(Clone, Copy, Default)]
struct Totals {
    len: usize,
    bytes: u64,
    expiring: usize,
    paged: usize,
    ahead: usize,
    ahead_bytes: u64,
}

impl Totals {
    fn of(entry: &Entry) -> Self {
        let ahead = entry.is(FETCHING | FETCHED);
        Self {
            len: 1,
            bytes: u64::from(entry.len),
            expiring: usize::from(entry.expires != NEVER),
            paged: usize::from(entry.message.is_none() && !entry.is(LOST)),
            ahead: usize::from(ahead),
            ahead_bytes: if ahead { u64::from(entry.len) } else { 0 },
        }
    }

    fn add(&mut self, other: &Self) {
        self.len += other.len;
        self.bytes += other.bytes;
        self.expiring += other.expiring;
        self.paged += other.paged;
        self.ahead += other.ahead;
        self.ahead_bytes += other.ahead_bytes;
    }
}

/// The entry of that number. What came back first is looked at last: bodies are asked for from
/// its front, so the walk is short.
fn find<'a>(lanes: &'a mut [Lane], first: &'a mut VecDeque<Entry>, seq: u64) -> Option<&'a mut Entry> {
    for lane in lanes {
        let position = lane.fresh.lower_bound(seq);
        if lane.fresh.get(position).is_some_and(|entry| entry.seq == seq) {
            return lane.fresh.get_mut(position);
        }
        if let Some(entry) = lane.returned.get_mut(&seq) {
            return Some(entry);
        }
    }
    first.iter_mut().find(|entry| entry.seq == seq)
}
