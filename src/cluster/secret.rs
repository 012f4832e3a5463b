//! The secret by which the nodes of a cluster know each other.
//!
//! From `cluster.secret_file`, else `cluster.secret` (which `RABBITMQ_ERLANG_COOKIE` sets), else a
//! file in the data directory, where RabbitMQ keeps its cookie; that one is made when it is not
//! there. The secret itself never goes over the wire: [`super::handshake`] proves knowledge of it.

use std::fmt;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::config::Cluster;
use crate::small_file;

/// Name of the file in the data directory: RabbitMQ's, so that one that was mounted there counts.
pub const FILE: &str = ".erlang.cookie";
const PUBLIC: &str = "the file with the cluster's secret can be read by everyone";
/// The largest secret, in bytes.
const MOST_BYTES: u64 = 4096;

/// The secret. It does not show itself.
#[derive(Clone)]
pub struct SharedSecret(Vec<u8>);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("cannot read the cluster's secret from {}: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("cannot write a new secret for the cluster to {}: {error}", path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("the file {} is there and holds no secret for the cluster", path.display())]
    Empty { path: PathBuf },
}

impl SharedSecret {
    /// Finds the secret as configured; `random` fills the bytes of a new one.
    ///
    /// # Errors
    /// When a file that must hold it cannot be read or is empty, or a new one cannot be written.
    pub fn find(config: &Cluster, directory: &Path, random: impl FnOnce(&mut [u8])) -> Result<Self, SecretError> {
        if let Some(secret) = Self::existing(config, directory)? {
            return Ok(secret);
        }
        let path = directory.join(FILE);
        let mut bytes = [0; 24];
        random(&mut bytes);
        let text = String::from_iter(bytes.map(|byte| format!("{byte:02X}")));
        small_file::replace(&path, text.as_bytes()).map_err(|error| SecretError::Write { path, error })?;
        Ok(Self::from(text.as_str()))
    }

    /// The same where there is one already.
    ///
    /// # Errors
    /// When a file that must hold it cannot be read or is empty.
    pub fn existing(config: &Cluster, directory: &Path) -> Result<Option<Self>, SecretError> {
        if let Some(path) = &config.secret_file {
            let missing = || SecretError::Read {
                path: path.clone(),
                error: io::ErrorKind::NotFound.into(),
            };
            let (secret, is_public) = Self::read(path)?.ok_or_else(missing)?;
            if is_public {
                // Whoever mounted it says who reads it: with Kubernetes that is often everyone.
                tracing::debug!(file = %path.display(), "{PUBLIC}");
            }
            return Ok(Some(secret));
        }
        if let Some(secret) = config.secret.as_ref().filter(|secret| !secret.reveal().is_empty()) {
            return Ok(Some(Self::from(secret.reveal())));
        }
        let path = directory.join(FILE);
        mend(&path);
        let found = Self::read(&path)?;
        if found.as_ref().is_some_and(|(_, is_public)| *is_public) {
            tracing::warn!(file = %path.display(), "{PUBLIC}");
        }
        Ok(found.map(|(secret, _)| secret))
    }

    /// What a file holds, without the line's end that editors leave, and whether everyone may read
    /// it; `None` if it is not there.
    fn read(path: &Path) -> Result<Option<(Self, bool)>, SecretError> {
        let failed = |error| SecretError::Read {
            path: path.to_owned(),
            error,
        };
        let Some(contents) = small_file::read(path, MOST_BYTES).map_err(failed)? else {
            return Ok(None);
        };
        let secret = contents.trim_ascii();
        if secret.is_empty() {
            return Err(SecretError::Empty { path: path.to_owned() });
        }
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        Ok(Some((Self(secret.to_vec()), mode & 0o007 != 0)))
    }

    /// A keyed hash that only who knows the secret can make or check.
    pub(super) fn mac(&self) -> Hmac<Sha256> {
        Hmac::new_from_slice(&self.0).expect("HMAC takes keys of any length")
    }
}

/// Mends the secret that a node made for itself, where it differs in a byte at most from its copy, is cut
/// off or is not there: one that somebody put in its place differs in more, and counts.
fn mend(path: &Path) {
    let Some(copied) = small_file::copied(path, MOST_BYTES) else {
        return;
    };
    let found = small_file::read(path, MOST_BYTES).ok().flatten().unwrap_or_default();
    let wrong = found.iter().zip(&copied).filter(|(found, copied)| found != copied);
    let is_ours = copied.starts_with(&found) || found.len() == copied.len() && wrong.count() <= 1;
    if is_ours && let Err(error) = small_file::recall(path, MOST_BYTES) {
        tracing::warn!(file = %path.display(), %error, "the cluster's secret cannot be compared with its copy");
    }
}

impl From<&str> for SharedSecret {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(config: &Cluster, directory: &Path) -> Result<Vec<u8>, SecretError> {
        SharedSecret::find(config, directory, |bytes| bytes.fill(0xab)).map(|secret| secret.0)
    }

    #[test]
    fn a_file_comes_before_the_text_and_the_text_before_the_data_directory() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("secret");
        std::fs::write(&file, "from the file\n").expect("written");
        std::fs::write(directory.path().join(FILE), "COOKIE").expect("written");
        let mut config = Cluster::default();
        assert_eq!(find(&config, directory.path()).expect("found"), b"COOKIE");
        config.secret = Some("the text".into());
        assert_eq!(find(&config, directory.path()).expect("found"), b"the text");
        config.secret_file = Some(file);
        assert_eq!(find(&config, directory.path()).expect("found"), b"from the file");
    }

    #[test]
    fn a_new_secret_is_the_owners_alone_and_found_again() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = find(&Cluster::default(), directory.path()).expect("made");
        let metadata = std::fs::metadata(directory.path().join(FILE)).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert_eq!(first.len(), 48);
        assert_eq!(find(&Cluster::default(), directory.path()).expect("found"), first);
    }

    #[test]
    fn a_file_that_is_missing_or_empty_is_refused() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("secret");
        let config = Cluster {
            secret_file: Some(file.clone()),
            ..Cluster::default()
        };
        assert!(matches!(find(&config, directory.path()), Err(SecretError::Read { .. })));
        std::fs::write(&file, " \n").expect("written");
        assert!(matches!(
            find(&config, directory.path()),
            Err(SecretError::Empty { .. })
        ));
    }

    #[test]
    fn a_wrong_byte_in_a_secret_of_its_own_is_mended_and_another_secret_counts() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let first = find(&Cluster::default(), directory.path()).expect("made");
        let path = directory.path().join(FILE);
        let mut damaged = first.clone();
        damaged[7] ^= 4;
        std::fs::write(&path, damaged).expect("written");
        assert_eq!(find(&Cluster::default(), directory.path()).expect("found"), first);
        for other in ["another secret".to_owned(), "CD".repeat(24)] {
            std::fs::write(&path, &other).expect("written");
            assert_eq!(
                find(&Cluster::default(), directory.path()).expect("found"),
                other.as_bytes()
            );
        }
    }

    #[test]
    fn it_does_not_show_itself() {
        assert_eq!(format!("{:?}", SharedSecret::from("hidden")), "SharedSecret");
    }
}
