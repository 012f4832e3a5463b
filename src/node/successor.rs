//! The data of a node that gives itself up to join a cluster, and of the one that comes after it.
//!
//! ```text
//! joining/   the new one, while the cluster is asked; it goes when that comes to nothing
//! joined/    it was taken in: one rename says so; each of its parts then takes the old one's place,
//!            also at the next start where the process ends in between
//! ```
//! Called by [`super::Node`] while no broker is open on the directory.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::cluster::identity;

/// What is a node's in its data directory. Who it is comes first: with another id, what is left is
/// nobody's.
const PARTS: [&str; 12] = [
    identity::FILE,
    "node.json.copy",
    "peers.json",
    "peers.json.copy",
    "store.format",
    "store.format.copy",
    "log.synced",
    "log",
    "rest",
    "rest.lost",
    "rest.suspect",
    "rest.damaged",
];
const JOINING: &str = "joining";
const JOINED: &str = "joined";

/// An empty data directory for the new node, inside of the old one's.
///
/// # Errors
/// When one that is left from before cannot be removed.
pub fn begin(directory: &Path) -> io::Result<PathBuf> {
    let joining = directory.join(JOINING);
    remove(&joining)?;
    Ok(joining)
}

/// Puts the new node in the place of the old one, whose data goes.
///
/// # Errors
/// When the disk does not do it; [`finish`] goes on where it was.
pub fn take_over(directory: &Path) -> io::Result<()> {
    fs::rename(directory.join(JOINING), directory.join(JOINED))?;
    File::open(directory)?.sync_all()?;
    finish(directory)
}

/// Ends what was begun before: who was taken in takes over, who was not goes.
///
/// # Errors
/// When the disk does not do it.
pub fn finish(directory: &Path) -> io::Result<()> {
    remove(&directory.join(JOINING))?;
    let joined = directory.join(JOINED);
    if !joined.exists() {
        return Ok(());
    }
    for part in PARTS {
        let (new, old) = (joined.join(part), directory.join(part));
        // What is not there has its place already.
        if new.exists() {
            remove(&old)?;
            fs::rename(new, old)?;
        }
    }
    // The old one's, for a new one has lost nothing.
    for part in ["rest.lost", "rest.suspect", "rest.damaged"] {
        remove(&directory.join(part))?;
    }
    File::open(directory)?.sync_all()?;
    remove(&joined)
}

/// Forgets everything.
///
/// # Errors
/// When the disk does not do it.
pub fn wipe(directory: &Path) -> io::Result<()> {
    let all = [JOINED, JOINING].into_iter().chain(PARTS);
    all.map(|name| directory.join(name)).try_for_each(|path| remove(&path))
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [&str; 5] = [
        identity::FILE,
        "node.json.copy",
        "peers.json",
        "store.format",
        "log.synced",
    ];

    /// Parts of a node at a place, each with its name and whose it is.
    fn node(directory: &Path, whose: &str) {
        for part in ["log", "rest"] {
            fs::create_dir_all(directory.join(part)).expect("made");
            fs::write(directory.join(part).join("data"), whose).expect("written");
        }
        for part in FILES {
            fs::write(directory.join(part), whose).expect("written");
        }
    }

    fn is_all_of(directory: &Path, whose: &str) {
        for file in FILES.into_iter().chain(["log/data", "rest/data"]) {
            assert_eq!(fs::read_to_string(directory.join(file)).expect(file), whose, "{file}");
        }
        assert!(!directory.join(JOINING).exists() && !directory.join(JOINED).exists());
    }

    #[test]
    fn who_was_not_taken_in_leaves_the_old_node_as_it_was() {
        let dir = tempfile::tempdir().expect("a directory");
        node(dir.path(), "old");
        node(&begin(dir.path()).expect("begun"), "new");
        finish(dir.path()).expect("ended");
        is_all_of(dir.path(), "old");
    }

    #[test]
    fn a_successor_takes_over_wherever_its_process_ended() {
        for done in 0..=PARTS.len() {
            let dir = tempfile::tempdir().expect("a directory");
            node(dir.path(), "old");
            let joining = begin(dir.path()).expect("begun");
            node(&joining, "new");
            let joined = dir.path().join(JOINED);
            fs::rename(joining, &joined).expect("renamed");
            for part in PARTS[..done].iter().filter(|part| joined.join(part).exists()) {
                remove(&dir.path().join(part)).expect("removed");
                fs::rename(joined.join(part), dir.path().join(part)).expect("renamed");
            }
            // The old one's part is gone, and the new one's not there yet.
            if let Some(part) = PARTS.get(done) {
                remove(&dir.path().join(part)).expect("removed");
            }
            finish(dir.path()).expect("ended");
            is_all_of(dir.path(), "new");
        }
    }
}
