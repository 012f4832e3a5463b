//! Who this node is, whatever its host is called today.
//!
//! One small file in the data directory. A directory without it is a new node's, which gets a
//! random id; host names and addresses are not part of what identifies it. Each start counts, so
//! that peers can tell a restarted process from the one before it, and which of the two is newer.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::small_file;
use crate::types::NodeId;

/// Format of the file that this version reads and writes.
const FORMAT: u32 = 1;
/// Its name in the data directory.
pub const FILE: &str = "node.json";
/// The largest file that is one of ours.
const MOST_BYTES: u64 = 64 * 1024;

/// One run of a node's process: later starts compare greater, and no two are the same even when
/// somebody runs a copy of the data directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Incarnation(pub u64);

/// A cluster: random, made once by whoever forms it, never 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClusterId(pub u64);

/// This node's identity. One per data directory; its owner writes every change down before
/// anybody hears of it.
#[derive(Debug)]
pub struct Identity {
    path: PathBuf,
    id: NodeId,
    name: String,
    cluster: Option<ClusterId>,
    starts: u32,
    incarnation: Incarnation,
    new: bool,
    catalogue: CatalogueMember,
}

/// This node's member of the catalogue's group, which is another one when its data was lost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CatalogueMember {
    /// How often it was replaced.
    pub generation: u32,
    /// The group did without it, and has yet to take it in again.
    pub is_out: bool,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("cannot read or write {}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{} is damaged ({what}): restore it, or empty the data directory to start as a new node", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "{} has format {found}, this version reads up to {FORMAT}: the directory belongs to a newer version",
        path.display()
    )]
    Newer { path: PathBuf, found: u32 },
}

/// The file. Ids are hexadecimal texts: JSON readers lose digits of large numbers.
#[derive(Serialize, Deserialize)]
struct Record {
    format: u32,
    id: String,
    name: String,
    cluster: Option<String>,
    starts: u32,
    #[serde(default)]
    catalogue: CatalogueMember,
}

impl Identity {
    /// Reads the identity of a data directory, or makes one, and counts this start. `name` is the
    /// name as configured today; `random` gives random numbers.
    ///
    /// # Errors
    /// When the file cannot be read, written or understood.
    pub fn open(directory: &Path, name: &str, mut random: impl FnMut() -> u64) -> Result<Self, IdentityError> {
        let path = directory.join(FILE);
        let io = |error| IdentityError::Io {
            path: path.clone(),
            error,
        };
        std::fs::create_dir_all(directory).map_err(io)?;
        let found = small_file::recall(&path, MOST_BYTES).map_err(io)?;
        let new = found.is_none();
        let known = match found {
            None => Known {
                id: NodeId(nonzero(&mut random)),
                cluster: None,
                starts: 0,
                catalogue: CatalogueMember::default(),
            },
            Some(contents) => read(&path, &contents)?,
        };
        let starts = known.starts.saturating_add(1);
        let identity = Self {
            id: known.id,
            name: name.to_owned(),
            cluster: known.cluster,
            catalogue: known.catalogue,
            starts,
            incarnation: Incarnation(u64::from(starts) << 32 | random() & 0xffff_ffff),
            new,
            path,
        };
        identity.write()?;
        Ok(identity)
    }

    /// Whose data directory it is; nobody's without the file.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn owner(directory: &Path) -> Result<Option<NodeId>, IdentityError> {
        let path = directory.join(FILE);
        let found = small_file::recall(&path, MOST_BYTES).map_err(|error| IdentityError::Io {
            path: path.clone(),
            error,
        })?;
        let known = found.map(|contents| read(&path, &contents)).transpose()?;
        Ok(known.map(|known| known.id))
    }

    pub fn id(&self) -> NodeId {
        self.id
    }

    /// `rabbit@host`, as configured today.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cluster it belongs to; `None` until it has formed or joined one.
    pub fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether the directory was empty.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Notes that the node belongs to a cluster from now on, or to none.
    ///
    /// # Errors
    /// When it cannot be written; the node then belongs where it did.
    pub fn belong_to(&mut self, cluster: Option<ClusterId>) -> Result<(), IdentityError> {
        let before = std::mem::replace(&mut self.cluster, cluster);
        self.write().inspect_err(|_| self.cluster = before)
    }

    /// This node's member of the catalogue's group.
    pub fn catalogue(&self) -> CatalogueMember {
        self.catalogue
    }

    /// Notes what this node's member of the catalogue's group is from now on.
    ///
    /// # Errors
    /// When it cannot be written; it then is what it was.
    pub fn set_catalogue(&mut self, member: CatalogueMember) -> Result<(), IdentityError> {
        let before = std::mem::replace(&mut self.catalogue, member);
        self.write().inspect_err(|_| self.catalogue = before)
    }

    fn write(&self) -> Result<(), IdentityError> {
        let record = Record {
            format: FORMAT,
            id: self.id.to_string(),
            name: self.name.clone(),
            cluster: self.cluster.map(|cluster| format!("{:016x}", cluster.0)),
            starts: self.starts,
            catalogue: self.catalogue,
        };
        let contents = serde_json::to_vec_pretty(&record).expect("texts and numbers can be written as JSON");
        small_file::replace(&self.path, &contents).map_err(|error| IdentityError::Io {
            path: self.path.clone(),
            error,
        })
    }
}

fn nonzero(random: &mut impl FnMut() -> u64) -> u64 {
    random().max(1)
}

/// What the file says.
struct Known {
    id: NodeId,
    cluster: Option<ClusterId>,
    starts: u32,
    catalogue: CatalogueMember,
}

fn read(path: &Path, contents: &[u8]) -> Result<Known, IdentityError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |what: String| IdentityError::Damaged {
        path: path.to_owned(),
        what,
    };
    // The format alone first: what stands beside it is known only for formats that are.
    let Format { format } = serde_json::from_slice(contents).map_err(|error| damaged(error.to_string()))?;
    if format > FORMAT {
        return Err(IdentityError::Newer {
            path: path.to_owned(),
            found: format,
        });
    }
    let record: Record = serde_json::from_slice(contents).map_err(|error| damaged(error.to_string()))?;
    let number = |text: &str| match u64::from_str_radix(text, 16) {
        Ok(0) | Err(_) => Err(damaged(format!("{text:?} is not an id"))),
        Ok(number) => Ok(number),
    };
    let cluster = record.cluster.as_deref().map(number).transpose()?;
    Ok(Known {
        id: NodeId(number(&record.id)?),
        cluster: cluster.map(ClusterId),
        starts: record.starts,
        catalogue: record.catalogue,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(mut next: u64) -> impl FnMut() -> u64 {
        move || {
            next += 1;
            next
        }
    }

    #[test]
    fn an_id_stays_when_the_host_is_renamed_and_each_start_is_later() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut first = Identity::open(directory.path(), "rabbit@a", numbers(900)).expect("opens");
        assert!(first.is_new());
        assert_eq!((first.id(), first.cluster()), (NodeId(901), None));
        first.belong_to(Some(ClusterId(77))).expect("written");
        let second = Identity::open(directory.path(), "rabbit@b", numbers(1)).expect("opens");
        assert!(!second.is_new());
        assert_eq!(second.id(), first.id());
        assert_eq!(second.cluster(), Some(ClusterId(77)));
        assert_eq!(second.name(), "rabbit@b");
        assert!(second.incarnation() > first.incarnation());
    }

    #[test]
    fn a_wrong_bit_makes_no_stranger_of_a_node() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(FILE);
        let mut first = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
        first.belong_to(Some(ClusterId(77))).expect("written");
        let member = CatalogueMember {
            generation: 3,
            is_out: true,
        };
        first.set_catalogue(member).expect("written");
        let length = std::fs::read(&path).expect("there").len();
        for bit in (0..length * 8).step_by(37) {
            let mut bytes = std::fs::read(&path).expect("there");
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).expect("written");
            let again = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
            assert_eq!(
                (again.id(), again.cluster()),
                (first.id(), Some(ClusterId(77))),
                "bit {bit}"
            );
            assert_eq!(again.catalogue(), member);
        }
    }

    #[test]
    fn an_empty_directory_is_a_new_node() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
        let file = directory.path().join(FILE);
        std::fs::remove_file(small_file::copy_of(&file)).expect("removed");
        std::fs::remove_file(file).expect("removed");
        let second = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
        assert_ne!(first.id(), second.id());
        assert!(second.is_new());
    }

    #[test]
    fn damaged_and_newer_files_are_refused_and_kept() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join(FILE);
        for contents in [
            "",
            "{}",
            "{\"format\":1,\"id\":\"0\",\"name\":\"\",\"starts\":1}",
            "\u{1}",
        ] {
            std::fs::write(&path, contents).expect("written");
            let refused = Identity::open(directory.path(), "rabbit@a", rand::random);
            assert!(matches!(refused, Err(IdentityError::Damaged { .. })), "{contents}");
            assert_eq!(std::fs::read_to_string(&path).expect("there"), contents);
        }
        std::fs::write(&path, "{\"format\":2,\"who\":5}").expect("written");
        let refused = Identity::open(directory.path(), "rabbit@a", rand::random);
        assert!(matches!(refused, Err(IdentityError::Newer { found: 2, .. })));
    }

    #[test]
    fn what_a_crash_left_of_a_write_is_in_nobodys_way() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
        std::fs::write(directory.path().join("node.json.new"), "{\"for").expect("written");
        let second = Identity::open(directory.path(), "rabbit@a", rand::random).expect("opens");
        assert_eq!(first.id(), second.id());
    }
}
