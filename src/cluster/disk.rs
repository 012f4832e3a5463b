//! Small files of the data directory that are replaced whole: after a crash the old one is there
//! or the new one, never half of one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Replaces a file and makes that survive a crash. Only the owner may read it.
///
/// # Errors
/// When the disk does not take it; what was there before is then still there.
pub(super) fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = directory.join(name);
    // One that a crash left behind may have other rights.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(contents)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    File::open(directory)?.sync_all()
}

/// Reads a file of at most `most` bytes; `None` when it is not there.
///
/// # Errors
/// When it cannot be read or is larger.
pub(super) fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut contents = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, most + 1), &mut contents)?;
    if contents.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "larger than it can be"));
    }
    Ok(Some(contents))
}
