//! What the store knows of damage to itself, kept as the mark of nobody's owner: it outlives the
//! segment in which the damage was found.
//!
//! ```text
//! u64 format │ u64 until │ u64 unsettled │ for each owner: u64 owner, u64 accepted up to (0: not)
//! ```
//! Damage of which nobody knows whose records it hit may have hit everybody's: all owners that
//! there are count as damaged then, and also those that may have had no other record. Whoever knows
//! the owners says when that is looked after ([`super::Store::damage_settled`]).

use std::collections::BTreeMap;

use super::error::StoreError;
use super::{Lsn, OwnerId};

/// What was found before, and what became of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Damage of unknown owners before this place was found already.
    pub until: Lsn,
    /// It was found, and owners without any record may be damaged too.
    pub unsettled: bool,
    owners: BTreeMap<OwnerId, Standing>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Damaged,
    /// What was lost before this place is known and taken as it is.
    AcceptedUpTo(Lsn),
}

impl Known {
    /// # Errors
    /// When another version has written it: what it says must not be forgotten.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (words, _) = bytes.as_chunks::<8>();
        let mut words = words.iter().map(|word| u64::from_le_bytes(*word));
        let format = words.next().unwrap_or_default();
        let (FORMAT, Some(until), Some(unsettled)) = (format, words.next(), words.next()) else {
            return Err(StoreError::DamageVersion {
                found: format,
                ours: FORMAT,
            });
        };
        let mut owners = BTreeMap::new();
        while let (Some(owner), Some(accepted)) = (words.next(), words.next()) {
            let standing = match accepted {
                0 => Standing::Damaged,
                place => Standing::AcceptedUpTo(Lsn(place)),
            };
            owners.insert(OwnerId(owner), standing);
        }
        Ok(Self {
            until: Lsn(until),
            unsettled: unsettled != 0,
            owners,
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let owners = self.owners.iter().flat_map(|(owner, standing)| {
            let accepted = match standing {
                Standing::Damaged => 0,
                Standing::AcceptedUpTo(place) => place.0,
            };
            [owner.0, accepted]
        });
        let head = [FORMAT, self.until.0, u64::from(self.unsettled)];
        head.into_iter().chain(owners).flat_map(u64::to_le_bytes).collect()
    }

    /// Owners that are damaged, as far as is known without reading anything.
    pub fn damaged(&self) -> impl Iterator<Item = OwnerId> + '_ {
        let damaged = self.owners.iter().filter(|(_, is)| **is == Standing::Damaged);
        damaged.map(|(owner, _)| *owner)
    }

    /// Whether damage of the owner's at this place is news.
    pub fn is_news(&self, owner: OwnerId, at: Lsn) -> bool {
        match self.owners.get(&owner) {
            None => true,
            Some(Standing::Damaged) => false,
            Some(Standing::AcceptedUpTo(place)) => at >= *place,
        }
    }

    /// The owner is damaged; whether that is news.
    pub fn add(&mut self, owner: OwnerId) -> bool {
        self.owners.insert(owner, Standing::Damaged) != Some(Standing::Damaged)
    }

    /// What the owner has lost before this place is taken as it is.
    pub fn accept(&mut self, owner: OwnerId, place: Lsn) {
        self.owners.insert(owner, Standing::AcceptedUpTo(place));
    }

    /// Whether losses of the owner's were accepted.
    pub fn is_accepted(&self, owner: OwnerId) -> bool {
        matches!(self.owners.get(&owner), Some(Standing::AcceptedUpTo(_)))
    }

    /// The owner is no more; whether anything was known of it.
    pub fn forget(&mut self, owner: OwnerId) -> bool {
        self.owners.remove(&owner).is_some()
    }
}

const FORMAT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_back_and_damage_after_what_was_accepted_is_news() {
        let mut known = Known {
            until: Lsn(7),
            unsettled: true,
            ..Known::default()
        };
        assert!(known.add(OwnerId(1)) && !known.add(OwnerId(1)));
        known.accept(OwnerId(2), Lsn(50));
        let again = Known::decode(&known.encode()).expect("of this version");
        assert_eq!(again, known);
        assert_eq!(again.damaged().collect::<Vec<_>>(), [OwnerId(1)]);
        assert!(!again.is_news(OwnerId(1), Lsn(99)) && again.is_news(OwnerId(3), Lsn(1)));
        assert!(!again.is_news(OwnerId(2), Lsn(49)) && again.is_news(OwnerId(2), Lsn(50)));
        assert!(Known::decode(b"short").is_err());
    }
}
