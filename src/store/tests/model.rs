//! What the store should hold: the operations so far, and the state they make.
//!
//! What a crash leaves must be what a prefix of the operations made, and the prefix must have
//! everything that was reported safe.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::error::StoreError;
use crate::store::{Keep, Loc, Meta, OwnerId, Owners, Recovered};

/// One record as the model sees it.
#[derive(Clone, Debug)]
pub enum Op {
    Put {
        owner: u64,
        seq: u64,
        entry: Entry,
    },
    Remove {
        owner: u64,
        first: u64,
        last: u64,
    },
    Touch {
        owner: u64,
        first: u64,
        last: u64,
        count: u32,
    },
    Mark {
        owner: u64,
        bytes: Vec<u8>,
    },
    Forget {
        owner: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub size: usize,
    pub keep: Keep,
    pub count: u32,
    pub loc: Loc,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerState {
    pub entries: BTreeMap<u64, Entry>,
    pub mark: Option<Vec<u8>>,
    pub next_seq: u64,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub owners: BTreeMap<u64, OwnerState>,
}

#[derive(Default)]
pub struct Model {
    /// At the last start.
    pub base: State,
    /// Since then.
    pub ops: Vec<Op>,
    pub now: State,
    /// Seqs to use next; also those that a restart dropped are not used again while it runs.
    pub next: BTreeMap<u64, u64>,
    /// Ops that were reported safe: all before this.
    pub safe: usize,
    /// Forgotten ids are not used again: the model's owner `n` is `n + 10 * generation`.
    pub generation: BTreeMap<u64, u64>,
    pub marks: u32,
    pub failed: bool,
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Put { owner, seq, entry } => {
                let owner = self.owners.entry(*owner).or_default();
                owner.entries.insert(*seq, entry.clone());
                if entry.keep == Keep::Durable {
                    owner.next_seq = owner.next_seq.max(seq + 1);
                }
            }
            Op::Remove { owner, first, last } => {
                if let Some(owner) = self.owners.get_mut(owner) {
                    owner.entries.retain(|seq, _| seq < first || seq > last);
                }
            }
            Op::Touch {
                owner,
                first,
                last,
                count,
            } => {
                if let Some(owner) = self.owners.get_mut(owner) {
                    for (_, entry) in owner.entries.range_mut(first..=last) {
                        entry.count = entry.count.max(*count);
                    }
                }
            }
            Op::Mark { owner, bytes } => {
                self.owners.entry(*owner).or_default().mark = Some(bytes.clone());
            }
            Op::Forget { owner } => {
                self.owners.remove(owner);
            }
        }
    }

    /// What of this a restart keeps, without places.
    fn surviving(&self) -> BTreeMap<u64, OwnerState> {
        let mut owners = self.owners.clone();
        for owner in owners.values_mut() {
            owner.entries.retain(|_, entry| entry.keep == Keep::Durable);
            owner.entries.values_mut().for_each(|entry| entry.loc = Loc::REST);
        }
        owners.retain(|_, owner| *owner != OwnerState::default());
        owners
    }
}

impl Model {
    pub fn apply(&mut self, op: Op) {
        self.now.apply(&op);
        self.ops.push(op);
    }

    pub fn id(&self, owner: u64) -> u64 {
        1 + owner + 10 * self.generation.get(&owner).copied().unwrap_or(0)
    }

    /// Goes on with what survived: the state after some prefix of the operations.
    pub fn restart(&mut self, recovered: &Recovered) {
        let found = observed(recovered);
        let mut state = self.base.clone();
        self.ops[..self.safe].iter().for_each(|op| state.apply(op));
        let mut applied = self.safe;
        while state.surviving() != found {
            assert!(
                applied < self.ops.len(),
                "recovered is no prefix that has everything safe.\nfound {found:#?}\nsafe {} of {:#?}\nbase {:#?}",
                self.safe,
                self.ops,
                self.base
            );
            state.apply(&self.ops[applied]);
            applied += 1;
        }
        for owner in state.owners.values_mut() {
            owner.entries.retain(|_, entry| entry.keep == Keep::Durable);
        }
        for (id, ledger) in &recovered.owners {
            assert!(!ledger.damaged);
            let owner = state.owners.entry(id.0).or_default();
            for entry in &ledger.entries {
                owner.entries.get_mut(&entry.seq).unwrap().loc = entry.loc;
            }
        }
        self.next = state.owners.iter().map(|(id, owner)| (*id, owner.next_seq)).collect();
        self.base = state.clone();
        self.now = state;
        self.ops.clear();
        self.safe = 0;
        self.failed = false;
    }
}

/// What recovery found, in the model's words.
fn observed(recovered: &Recovered) -> BTreeMap<u64, OwnerState> {
    let mut owners = BTreeMap::new();
    for (id, ledger) in &recovered.owners {
        let mut owner = OwnerState {
            mark: ledger.mark.clone(),
            next_seq: ledger.next_seq,
            ..OwnerState::default()
        };
        for entry in &ledger.entries {
            let size = entry.len as usize;
            assert_eq!(entry.meta, meta(id.0, entry.seq, size));
            let entry_model = Entry {
                size,
                keep: Keep::Durable,
                count: entry.count,
                loc: Loc::REST,
            };
            assert!(owner.entries.insert(entry.seq, entry_model).is_none(), "twice");
        }
        assert!(ledger.entries.is_sorted_by_key(|entry| entry.seq));
        if owner != OwnerState::default() {
            owners.insert(id.0, owner);
        }
    }
    owners
}

pub fn meta(owner: u64, seq: u64, size: usize) -> Meta {
    let mut meta = [0; 24];
    meta[..8].copy_from_slice(&owner.to_le_bytes());
    meta[8..16].copy_from_slice(&seq.to_le_bytes());
    meta[16..].copy_from_slice(&(size as u64).to_le_bytes());
    meta
}

pub fn body(owner: u64, seq: u64, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u64 + seq * 7 + owner * 13) as u8).collect()
}

/// The store's users, played by the model.
pub struct Users(pub Arc<Mutex<Model>>);

impl Owners for Users {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        let mut model = self.0.lock();
        let reported = model.ops.iter().rposition(|op| {
            matches!(op, Op::Put { owner: o, seq, entry } if *o == owner.0 && *seq <= up_to_seq && entry.keep == Keep::Durable)
        });
        model.safe = model.safe.max(reported.map_or(0, |at| at + 1));
    }

    fn failed(&self, _: &StoreError) {
        self.0.lock().failed = true;
    }
}
