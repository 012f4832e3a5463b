//! Retiring the oldest segments: what still lives in them moves to rest.
//!
//! ```text
//! plan        under the log's lock: which segments, which entries live there, which died at
//!             rest; what only these segments say of marks and counts is said again at the end
//! sync        of the log, so that fjall is never ahead of it
//! bodies      into the current epoch
//! ledger      rows and tombstones, all at once
//! moved       under the lock: what still lives is at rest now; what died on the way is buried
//! retire      the segments, oldest first, each durably before the next
//! ```
//! A crash between any two steps is harmless, because the segments on disk are always a suffix of
//! the log and replaying them over what rests gives the same again: a put that is at rest already
//! is passed over, a removal whose entry is in an older segment or at rest comes after it, counts
//! only grow, the last mark wins. A tombstone is written before the segment that holds its
//! removal is retired, and the removal is synced before the tombstone is written.

use std::sync::atomic::Ordering;

use super::error::StoreError;
use super::files::{CHUNK, Window};
use super::frame::{self, HEADER, Header, Kind, PUT_HEAD};
use super::index::{Place, Restate, Run};
use super::ledger::Heads;
use super::replay::next_record;
use super::rest::Entries;
use super::space::Need;
use super::wal::{Before, Log};
use super::{Inner, Keep, LedgerEntry, Loc, Lsn, OwnerId};

/// What one round is going to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Segments to be retired, oldest first.
    victims: Vec<Source>,
    /// An epoch to be written anew into the current one; never together with victims.
    rewrite: Option<Source>,
    dead: Vec<Run>,
    emptied: Vec<u32>,
    /// To be synced before the plan is carried out.
    pub barrier: Lsn,
}

/// A segment or an epoch, and what lives there, ordered.
#[derive(Debug)]
struct Source {
    number: u32,
    living: Vec<Run>,
}

/// Where a living entry was found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    owner: OwnerId,
    seq: u64,
    segment: u32,
    offset: u32,
    /// Payload bytes.
    len: u32,
}

impl Inner {
    /// Does what there is to do until there is nothing more. `quiet` says that time has passed
    /// since it last was said, so that epochs nobody reads from may be rewritten.
    pub(super) fn checkpoint(&self, mut quiet: bool) -> Result<(), StoreError> {
        self.remove_forgotten()?;
        while !self.stopping.load(Ordering::Acquire)
            && let Some(plan) = self.plan(quiet)?
        {
            self.wal.wait_synced(plan.barrier)?;
            self.carry_out(&plan)?;
            quiet = false;
        }
        Ok(())
    }

    /// Decides on a round; `None` when there is nothing to do.
    pub(super) fn plan(&self, quiet: bool) -> Result<Option<Plan>, StoreError> {
        let mut log = self.wal.lock();
        log.check()?;
        let victims = self.victims(&log);
        let rewrite = if quiet && victims.is_empty() {
            log.index.worth_rewriting()
        } else {
            None
        };
        let emptied = log.index.empty_epochs();
        if victims.is_empty() && rewrite.is_none() && emptied.is_empty() && log.index.dead_count < MANY_DEAD {
            return Ok(None);
        }
        let before = Before::of(&log);
        let (up_to, now) = (victims.last().copied().unwrap_or(0), log.pending.segment());
        let said_again = log.index.restate(up_to, now);
        for state in &said_again {
            say_again(&mut log, state);
        }
        let segment = |number| Source {
            number,
            living: log.index.living_in(number),
        };
        let epoch = |number| Source {
            number,
            living: log.index.living_at_rest(number),
        };
        let (victims, rewrite) = (victims.into_iter().map(segment).collect(), rewrite.map(epoch));
        log.pending.sync_to = log.pending.end();
        let plan = Plan {
            victims,
            rewrite,
            dead: log.index.take_dead(),
            emptied,
            barrier: log.pending.end(),
        };
        self.wal.unlock(log, before);
        Ok(Some(plan))
    }

    /// Carries out a plan whose barrier is synced.
    pub(super) fn carry_out(&self, plan: &Plan) -> Result<(), StoreError> {
        let (epoch, written) = self.with_space(|| self.move_to_rest(plan))?;
        self.settle(plan, epoch, &written.0);
        self.step()?;
        let segments = &self.wal.segments;
        let retire = |error| StoreError::io("retire a log segment", error);
        for victim in &plan.victims {
            self.with_space(|| segments.retire(victim.number).map_err(retire))?;
            segments.sync_names().map_err(retire)?;
        }
        self.step()?;
        self.drop_empty_epochs(plan, epoch)
    }

    /// What owners had in archives that are no more.
    fn remove_forgotten(&self) -> Result<(), StoreError> {
        if let Some(said_at) = self.archives.forgotten() {
            self.wal.wait_synced(said_at)?;
            let removed = self.archives.remove_forgotten(said_at);
            removed.map_err(|error| StoreError::io("remove segments of a deleted stream", error))?;
        }
        Ok(())
    }

    fn step(&self) -> Result<(), StoreError> {
        self.files
            .between_steps()
            .map_err(|error| StoreError::io("checkpoint", error))
    }

    /// Tries again and again while there is no space for it.
    fn with_space<T>(&self, mut attempt: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
        loop {
            match attempt() {
                Err(error) if error.is_full() => {
                    self.wal.note_space(Need::Rest, Some(&error));
                    self.rest.has_lacked_space();
                    self.wal.space.pause();
                    self.wal.lock().check()?;
                    if self.stopping.load(Ordering::Acquire) {
                        return Err(StoreError::Stopped);
                    }
                }
                done => {
                    self.wal.note_space(Need::Rest, None);
                    return done;
                }
            }
        }
    }

    /// Looks whether so much may be written to rest.
    fn must_have_space(&self, bytes: u64) -> Result<(), StoreError> {
        let space = self.files.space();
        let space = space.map_err(|error| StoreError::io("look at the disk's space", error))?;
        if space < bytes + MARGIN {
            let error = std::io::ErrorKind::StorageFull.into();
            return Err(StoreError::io("move entries out of the log", error));
        }
        if space < 2 * self.options.epoch_bytes {
            // That of a compaction of an epoch may be needed.
            self.rest.may_lack_space();
        }
        Ok(())
    }

    /// Writes down in fjall what the plan says, in which epoch entries are then, and which. Again as
    /// a whole where it failed: what was written already is written once more.
    fn move_to_rest(&self, plan: &Plan) -> Result<(Option<u32>, Runs), StoreError> {
        let found = self.locate(plan)?;
        let mut written = Runs::default();
        let mut epoch = None;
        let entries = match &plan.rewrite {
            Some(from) => Entries::Into { not: Some(from.number) },
            None if found.is_empty() => Entries::None,
            None => Entries::Into { not: None },
        };
        if entries != Entries::None || !plan.dead.is_empty() {
            let moving = match &plan.rewrite {
                Some(from) => self.rest.epoch_bytes(from.number),
                None => found.iter().map(|found| u64::from(found.len)).sum(),
            };
            self.must_have_space(moving)?;
            epoch = Some(self.rest.change(
                &plan.dead,
                entries,
                |change| match &plan.rewrite {
                    Some(from) => self.rest.each_entry(from.number, &from.living, |row, body| {
                        written.add(row.owner, row.seq);
                        change.entry(row.owner, row.seq, row.keep, row.meta, body)
                    }),
                    None => self.each_found(&found, |owner, seq, keep, payload| {
                        let (head, body) = payload.split_at(PUT_HEAD);
                        let Some(meta) = head[8..].first_chunk() else {
                            return Ok(());
                        };
                        written.add(owner, seq);
                        change.entry(owner, seq, keep, *meta, body)
                    }),
                },
                || self.step(),
            )?);
            self.step()?;
        }
        Ok((epoch, written))
    }

    /// Writes down where things are now.
    fn settle(&self, plan: &Plan, epoch: Option<u32>, written: &[Run]) {
        let mut log = self.wal.lock();
        if let Some(epoch) = epoch {
            log.index.moved(written, epoch, |place| match place {
                Place::Log(segment) => plan.victims.iter().any(|victim| victim.number == segment),
                Place::Rest(epoch) => plan.rewrite.as_ref().is_some_and(|from| from.number == epoch),
            });
        }
        if let Some(from) = &plan.rewrite {
            log.index.rewritten(from.number);
        }
        for victim in &plan.victims {
            if let Some(segment) = log.index.segments.remove(&victim.number)
                && segment.live > 0
            {
                tracing::error!(
                    segment = victim.number,
                    entries = segment.live,
                    "entries in the log cannot be read"
                );
            }
        }
    }

    /// Drops the epochs of which all rows have their tombstones.
    fn drop_empty_epochs(&self, plan: &Plan, current: Option<u32>) -> Result<(), StoreError> {
        let rewritten = plan.rewrite.iter().map(|from| &from.number);
        for &epoch in plan
            .emptied
            .iter()
            .chain(rewritten)
            .filter(|epoch| Some(**epoch) != current)
        {
            {
                let mut log = self.wal.lock();
                if log.index.epochs.get(&epoch).is_some_and(|epoch| epoch.live > 0) {
                    continue;
                }
                log.index.epochs.remove(&epoch);
            }
            self.with_space(|| self.rest.drop_epoch(epoch))?;
        }
        Ok(())
    }

    /// The segments to retire now: the oldest, while nothing lives there or the window is full.
    /// A few at a time, so that the log's lock and memory stay small.
    fn victims(&self, log: &Log) -> Vec<u32> {
        let mut sealed: Vec<_> = log.index.segments.keys().copied().collect();
        // The segment being written stays, and so does what is not synced: the barrier sees to
        // that, because it covers everything up to now.
        sealed.retain(|segment| *segment < log.pending.segment());
        if sealed.is_empty() {
            return sealed;
        }
        // What a segment says of states is said again when it goes. So the log is let grow to twice
        // as much as all states take: else it would be busy with itself for ever.
        let least = (2 * log.index.state_bytes() / self.options.segment_bytes + 1) as usize;
        let window = (self.options.window_bytes / self.options.segment_bytes) as usize;
        let window = window.max(least);
        let mut left = sealed.len() + 1;
        let mut moving = 0;
        let mut victims = Vec::new();
        for segment in sealed.into_iter().take(MOST_VICTIMS) {
            let live = log.index.segments.get(&segment).map_or(0, |segment| segment.live);
            if left <= least || live > 0 && (left <= window || (moving > 0 && moving + live > MOST_MOVING)) {
                break;
            }
            moving += live;
            left -= 1;
            victims.push(segment);
        }
        victims
    }

    /// Finds the entries to be moved in the segments that go, ordered by owner and seq.
    fn locate(&self, plan: &Plan) -> Result<Vec<Found>, StoreError> {
        let mut found = Vec::new();
        for victim in plan.victims.iter().filter(|victim| !victim.living.is_empty()) {
            let segment = victim.number;
            let Some(file) = self.wal.segments.get(segment) else {
                continue;
            };
            let seal = self.wal.segments.seal(segment);
            let mut window = Window::past_unreadable(&*file, self.unreadable_is_lost);
            let before = found.len();
            let mut at = 0;
            let unreadable = |error| StoreError::io("read the log", error);
            // Damage costs what it hits: what lived there is reported when the segment goes.
            while let Some((next, header)) = next_record(&mut window, at, seal).map_err(unreadable)?
                && header.kind != Kind::End
            {
                at = next;
                if matches!(header.kind, Kind::Put | Kind::Page)
                    && let Some(head) = window.bytes(at + HEADER as u64, 8, CHUNK).map_err(unreadable)?
                    && let Some(seq) = frame::seq_of(head)
                    && contains(&victim.living, header.owner, seq)
                {
                    found.push(Found {
                        owner: header.owner,
                        seq,
                        segment,
                        offset: at as u32,
                        len: header.len,
                    });
                }
                at += header.record_len();
            }
            let living = victim.living.iter().map(|run| run.last - run.first + 1).sum::<u64>();
            if window.has_unreadable() && ((found.len() - before) as u64) < living {
                // The next start finds out whose it was.
                return Err(unreadable(rustix::io::Errno::IO.into()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The entries of these runs that the segments of the log hold; of those kept only to save memory
    /// just the number.
    pub(super) fn read_heads(&self, living: Vec<(u32, Vec<Run>)>) -> Result<Heads, StoreError> {
        let segments = living.into_iter().map(|(number, living)| Source { number, living });
        let plan = Plan {
            victims: segments.collect(),
            ..Plan::default()
        };
        let found = self.locate(&plan)?;
        let mut heads = Heads::default();
        let mut places = found.iter();
        self.each_found(&found, |owner, seq, keep, payload| {
            // They come in order, and damaged ones are left out.
            let place = places.find(|found| found.owner == owner && found.seq == seq);
            if let (Some(place), Some(meta)) = (place, payload[8..].first_chunk()) {
                heads.add(
                    keep,
                    LedgerEntry {
                        seq,
                        loc: Loc::at(place.segment, u64::from(place.offset)),
                        meta: *meta,
                        count: 0,
                        len: (payload.len() - PUT_HEAD) as u32,
                    },
                );
            }
            Ok(())
        })?;
        Ok(heads)
    }

    /// Tells owner, seq, keep and payload of the entries found whose bytes are intact.
    fn each_found(
        &self,
        found: &[Found],
        mut each: impl FnMut(OwnerId, u64, Keep, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut rest = found;
        while let Some(first) = rest.first() {
            // Entries that lie one behind the other are read in one go.
            let together = rest
                .windows(2)
                .take_while(|pair| follows(&pair[0], &pair[1]) && pair[1].offset - first.offset < CHUNK as u32)
                .count();
            let (now, later) = rest.split_at(together + 1);
            rest = later;
            let last = now[now.len() - 1];
            let span = (last.offset - first.offset) as usize + HEADER + last.len as usize;
            let Some(file) = self.wal.segments.get(first.segment) else {
                continue;
            };
            let seal = self.wal.segments.seal(first.segment);
            let mut window = Window::over(&*file);
            for entry in now {
                let ahead = span - (entry.offset - first.offset) as usize;
                let len = HEADER + entry.len as usize;
                let bytes = window.bytes(u64::from(entry.offset), len, ahead);
                let bytes = bytes.map_err(|error| StoreError::io("read the log", error))?;
                match bytes.and_then(|bytes| intact(bytes, seal)) {
                    Some((header, payload)) => {
                        let keep = if header.kind == Kind::Put {
                            Keep::Durable
                        } else {
                            Keep::Page
                        };
                        each(entry.owner, entry.seq, keep, payload)?;
                    }
                    None => tracing::error!(owner = entry.owner.0, seq = entry.seq, "an entry in the log is damaged"),
                }
            }
        }
        Ok(())
    }
}

/// Appends what a retiring segment said, so that it stays said.
fn say_again(log: &mut Log, state: &Restate) {
    match state {
        Restate::State { owner, next_seq, mark } => {
            let (has_mark, mark) = mark.as_ref().map_or((0, &[][..]), |mark| (1_u64, &mark[..]));
            log.append(
                Kind::State,
                *owner,
                &[&next_seq.to_le_bytes(), &has_mark.to_le_bytes(), mark],
            );
        }
        Restate::Counts { owner, count, runs } => {
            let count = u64::from(*count).to_le_bytes();
            for runs in runs.chunks(MOST_RANGES) {
                let ranges: Vec<u8> = runs
                    .iter()
                    .flat_map(|(first, last)| [first.to_le_bytes(), last.to_le_bytes()])
                    .flatten()
                    .collect();
                log.append(Kind::Touch, *owner, &[&count, &ranges]);
            }
        }
    }
}

fn contains(runs: &[Run], owner: OwnerId, seq: u64) -> bool {
    let after = runs.partition_point(|run| (run.owner, run.first) <= (owner, seq));
    after
        .checked_sub(1)
        .is_some_and(|at| runs[at].owner == owner && seq <= runs[at].last)
}

/// Whether reading both at once reads little else.
fn follows(a: &Found, b: &Found) -> bool {
    a.segment == b.segment
        && b.offset > a.offset
        && u64::from(b.offset - a.offset) < frame::record_len(a.len as usize) + NEAR
}

/// Header and payload of a put's record, checked.
pub(super) fn intact(record: &[u8], seal: frame::Seal) -> Option<(Header, &[u8])> {
    let header = Header::decode(record, seal)?;
    let payload = record.get(HEADER..HEADER + header.len as usize)?;
    let put = matches!(header.kind, Kind::Put | Kind::Page) && payload.len() >= PUT_HEAD;
    (put && header.matches(payload, seal)).then_some((header, payload))
}

/// Entries in order, gathered into runs.
#[derive(Default)]
struct Runs(Vec<Run>);

impl Runs {
    fn add(&mut self, owner: OwnerId, seq: u64) {
        match self.0.last_mut() {
            Some(run) if run.owner == owner && run.last + 1 == seq => run.last = seq,
            _ => self.0.push(Run {
                owner,
                first: seq,
                last: seq,
            }),
        }
    }
}

/// Space that fjall needs besides for what it is given.
const MARGIN: u64 = 1024 * 1024;
/// Entries that died at rest before fjall hears of it without another reason.
const MANY_DEAD: u64 = 100_000;
/// Most segments retired in one round.
const MOST_VICTIMS: usize = 4;
/// Most entries moved in one round, unless a single segment has more.
const MOST_MOVING: u64 = 250_000;
/// Most ranges in one record.
const MOST_RANGES: usize = 4096;
/// Gap in bytes between two records that are still read together.
const NEAR: u64 = 4096;
