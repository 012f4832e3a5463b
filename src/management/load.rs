//! Definitions that the configuration says to import at start.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use serde_json::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::import::{By, ImportError, import};
use crate::broker::{Broker, BrokerError};
use crate::metadata::Command;
use crate::types::sorting::sort;

/// Why the definitions of the configuration are not there.
#[derive(Debug, Error)]
pub enum LoadError {
    #[error("cannot read definitions from {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is not JSON: {error}", path.display())]
    NotJson { path: PathBuf, error: serde_json::Error },
    #[error("cannot import {}: {error}", path.display())]
    Import { path: PathBuf, error: Box<ImportError> },
    #[error("cannot note what was imported: {0}")]
    Note(Box<BrokerError>),
}

/// The global parameter that holds the hash of what was imported last.
const IMPORTED: &str = "imported_definition_hash_value";

/// Imports the files, or the `.json` files of the directories in the order of their names. A node
/// that cannot do so should not start: it would serve less than it was told to.
///
/// # Errors
/// When a file cannot be read or is refused.
pub async fn load_definitions(broker: &Arc<Broker>) -> Result<(), LoadError> {
    let config = &broker.config().definitions;
    let mut files = Files::new();
    for place in config.places() {
        files.extend(read(place)?);
    }
    if files.is_empty() {
        return Ok(());
    }
    let hash = hash(&files);
    if config.skip_if_unchanged && is_imported(broker, &hash) {
        tracing::info!("the definitions did not change since they were imported");
        return Ok(());
    }
    for (path, bytes) in files {
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| LoadError::NotJson {
            path: path.clone(),
            error,
        })?;
        let by = By {
            user: &"rmq-internal".into(),
            owns_vhosts: false,
        };
        let imported = import(broker, &document, by).await;
        imported.map_err(|error| LoadError::Import {
            path: path.clone(),
            error: Box::new(error),
        })?;
        tracing::info!(path = %path.display(), "definitions imported");
    }
    if config.skip_if_unchanged {
        let (name, value) = (IMPORTED.to_owned(), hash.into());
        let noted = broker
            .declarations()
            .command(Command::PutGlobalParameter { name, value })
            .await;
        noted.map_err(|error| LoadError::Note(Box::new(error)))?;
    }
    Ok(())
}

fn is_imported(broker: &Broker, hash: &str) -> bool {
    let catalogue = broker.catalogue();
    catalogue.global_parameters().get(IMPORTED).and_then(Value::as_str) == Some(hash)
}

type Files = Vec<(PathBuf, Vec<u8>)>;

fn read(place: &Path) -> Result<Files, LoadError> {
    let unreadable = |error| LoadError::Unreadable {
        path: place.to_owned(),
        error,
    };
    if !place.is_dir() {
        return Ok(vec![(place.to_owned(), fs::read(place).map_err(unreadable)?)]);
    }
    let entries = fs::read_dir(place).map_err(unreadable)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    sort(&mut paths);
    let read = |path: PathBuf| match fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => Err(LoadError::Unreadable { path, error }),
    };
    paths.into_iter().map(read).collect()
}

fn hash(files: &Files) -> String {
    let mut hash = Sha256::new();
    for (_, bytes) in files {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_in_the_order_of_names() {
        let dir = tempfile::tempdir().expect("a directory");
        for (name, text) in [("b.json", "2"), ("a.json", "1"), ("readme.txt", "3")] {
            fs::write(dir.path().join(name), text).expect("written");
        }
        let files = read(dir.path()).expect("readable");
        let texts: Vec<_> = files.iter().map(|(_, bytes)| bytes.as_slice()).collect();
        assert_eq!(texts, [b"1", b"2"]);
        assert!(matches!(
            read(&dir.path().join("none.json")),
            Err(LoadError::Unreadable { .. })
        ));
    }

    #[test]
    fn the_hash_tells_files_apart_by_their_ends_too() {
        let files = |parts: &[&str]| -> Files {
            parts
                .iter()
                .map(|part| (PathBuf::new(), part.as_bytes().to_vec()))
                .collect()
        };
        assert_eq!(hash(&files(&["a", "b"])), hash(&files(&["a", "b"])));
        assert_ne!(hash(&files(&["ab", ""])), hash(&files(&["a", "b"])));
    }
}
