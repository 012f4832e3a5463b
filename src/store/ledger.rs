//! What the store has of one owner, read while everything else goes on.

use std::collections::BTreeMap;

use super::error::StoreError;
use super::index::{Place, Run};
use super::{Keep, LedgerEntry, Loc, Lsn, OwnerId, OwnerLedger, Store};

/// How often it is read again because a checkpoint has moved entries meanwhile.
const ATTEMPTS: usize = 8;

/// Entries without their bodies.
#[derive(Default)]
pub(super) struct Heads {
    durable: Vec<LedgerEntry>,
    /// Those that are kept only to save memory.
    pages: Vec<u64>,
}

/// Where the living entries of an owner are.
struct Living {
    in_log: BTreeMap<u32, Vec<Run>>,
    at_rest: BTreeMap<u32, Vec<Run>>,
    /// How many there are.
    count: usize,
    /// All of it was appended before this.
    end: Lsn,
}

impl Heads {
    /// One more.
    pub fn add(&mut self, keep: Keep, entry: LedgerEntry) {
        match keep {
            Keep::Durable => self.durable.push(entry),
            Keep::Page => self.pages.push(entry.seq),
        }
    }

    fn len(&self) -> usize {
        self.durable.len() + self.pages.len()
    }
}

impl Store {
    /// What a start would find of this owner, which puts nothing meanwhile; for a blocking thread.
    /// Entries that were kept only to save memory are dropped, as a start drops them.
    ///
    /// # Errors
    /// When an entry cannot be read.
    pub fn ledger(&self, owner: OwnerId) -> Result<OwnerLedger, StoreError> {
        for _ in 0..ATTEMPTS {
            let living = self.living(owner);
            self.0.wal.wait_synced(living.end)?;
            let mut heads = self.0.read_heads(living.in_log.into_iter().collect())?;
            for (epoch, runs) in &living.at_rest {
                self.0.rest.each_entry(*epoch, runs, |row, body| {
                    let entry = LedgerEntry {
                        seq: row.seq,
                        loc: Loc::REST,
                        meta: row.meta,
                        count: 0,
                        len: body.len() as u32,
                    };
                    heads.add(row.keep, entry);
                    Ok(())
                })?;
            }
            if heads.len() == living.count {
                return Ok(self.complete(owner, heads));
            }
        }
        Err(StoreError::Unreadable { owner: owner.0, seq: 0 })
    }

    fn living(&self, owner: OwnerId) -> Living {
        let log = self.0.wal.lock();
        let mut living = Living {
            in_log: BTreeMap::new(),
            at_rest: BTreeMap::new(),
            count: 0,
            end: log.pending.end(),
        };
        for (place, run) in log.index.living_of(owner) {
            living.count += (run.last - run.first + 1) as usize;
            let runs = match place {
                Place::Log(segment) => living.in_log.entry(segment).or_default(),
                Place::Rest(epoch) => living.at_rest.entry(epoch).or_default(),
            };
            runs.push(run);
        }
        living
    }

    /// What the index knows besides. Numbers of entries that are dropped are not used again.
    fn complete(&self, owner: OwnerId, heads: Heads) -> OwnerLedger {
        let Heads { mut durable, mut pages } = heads;
        durable.sort_unstable_by_key(|entry| entry.seq);
        pages.sort_unstable();
        let last = durable.last().map(|entry| entry.seq).max(pages.last().copied());
        let ledger = {
            let log = self.0.wal.lock();
            for entry in &mut durable {
                entry.count = log.index.count(owner, entry.seq);
            }
            OwnerLedger {
                entries: durable,
                mark: log.index.mark_of(owner).map(<[u8]>::to_vec),
                damaged: false,
                accepted: false,
                next_seq: log.index.next_seq(owner).max(last.map_or(0, |last| last + 1)),
            }
        };
        let pages: Vec<_> = pages.into_iter().map(|seq| (seq, seq)).collect();
        if !pages.is_empty() {
            self.batch(owner).remove(&pages);
        }
        ledger
    }
}
