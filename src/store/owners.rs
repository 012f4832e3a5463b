//! Whom the store tells what became of records.

use super::error::StoreError;
use super::words::OwnerId;

/// Who puts entries, as the store calls back. Called from threads of the store, never with one
/// of its locks held.
pub trait Owners: Send + Sync {
    /// Every durable entry of `owner` up to `up_to_seq` survives a crash. At most once per owner
    /// and sync.
    fn durable(&self, owner: OwnerId, up_to_seq: u64);
    /// The same from the log's writer itself, which saves a change of threads: true when the owner was
    /// told. Must not wait for anything that a thread holds while it puts entries, and be quick.
    fn told_at_once(&self, _owner: OwnerId, _up_to_seq: u64) -> bool {
        false
    }
    /// The store takes no more writes, and nothing that was not reported durable will be.
    fn failed(&self, error: &StoreError);
    /// What [`super::Store::lacks_space`] says has changed.
    fn space_changed(&self) {}
}
