//! A data directory of another version of its format.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::*;

#[tokio::test]
async fn a_directory_of_another_version_is_refused_and_left_as_it_is() {
    let mut broker = Broker::start();
    let client = broker.client().await;
    client.plain_queue("orders").await;
    client.publish("", "orders", "m1", persistent()).await;
    let status = broker.stop();
    assert!(status.success(), "{status}");
    let directory = broker.data_dir();
    let format = directory.join("store.format");
    let ours = fs::read_to_string(&format).expect("the format");
    let version = ours.split(' ').nth(2).expect("a version").to_owned();
    // Such a directory has none, or that of its version.
    fs::remove_file(directory.join("store.format.copy")).expect("the copy");
    for other in ["1", "99"] {
        let written = ours.replacen(&format!(" {version} "), &format!(" {other} "), 1);
        fs::write(&format, written).expect("the format");
        let before = files(&directory);
        let status = broker.restart_in_vain();
        assert_eq!(status.code(), Some(1));
        let text = format!(
            "the data directory {} has format version {other}, and this program reads and writes only versions 2 and 3",
            directory.display()
        );
        assert!(broker.log().contains(&text), "{text}");
        assert!(files(&directory) == before, "something was changed");
    }
    fs::write(&format, ours).expect("the format");
    broker.restart();
    let client = broker.client().await;
    assert_eq!(client.take("orders").await, ["m1"]);
}

/// Every file below a directory, with what is in it.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).expect("a file"))),
        }
    }
    found
}
