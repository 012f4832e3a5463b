//! Small files of the data directory that are replaced whole: after a crash the old one is there
//! or the new one, never half of one. Each has a copy beside it:
//!
//! ```text
//! node.json        the contents
//! node.json.copy   warren copy CHECKSUM ↵ the contents again
//! ```
//! The copy is written first. So where the two differ the copy is right, if its own checksum says
//! so, and the file is mended from it; where only the copy is damaged, its checksum still tells that
//! the file is right. A file without a copy, of an older version, is taken as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where a file's copy is.
pub fn copy_of(path: &Path) -> PathBuf {
    beside(path, ".copy")
}

/// Replaces a file and its copy and makes that survive a crash. Only the owner may read them.
///
/// # Errors
/// When the disk does not take it; what was there before is then still there, or the new one is.
pub fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut copy = head(crc32c::crc32c(contents)).into_bytes();
    copy.extend_from_slice(contents);
    replace_one(&copy_of(path), &copy)?;
    replace_one(path, contents)
}

/// Reads a file that [`replace`] wrote, of at most `most` bytes, and mends it from its copy if it is
/// damaged; `None` when it is not there.
///
/// # Errors
/// When it cannot be read or is larger, or both it and its copy are damaged.
pub fn recall(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let found = read(path, most);
    let copy = match read(&copy_of(path), most + HEAD as u64) {
        Ok(copy) => copy.unwrap_or_default(),
        // Without it the file has to speak for itself.
        Err(_) => Vec::new(),
    };
    let Some((checksum, copied)) = parse(&copy) else {
        return found;
    };
    let is_whole = |contents: &[u8]| crc32c::crc32c(contents) == checksum;
    match found {
        Ok(Some(contents)) if is_whole(&contents) || !is_whole(copied) && contents == copied => Ok(Some(contents)),
        _ if is_whole(copied) => {
            tracing::warn!(file = %path.display(), "the file is not what was written, and is mended from its copy");
            replace_one(path, copied)?;
            Ok(Some(copied.to_vec()))
        }
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it is damaged, and so is its copy",
        )),
        Err(error) => Err(error),
    }
}

/// What a file's copy holds, if that is whole.
pub fn copied(path: &Path, most: u64) -> Option<Vec<u8>> {
    let copy = read(&copy_of(path), most + HEAD as u64).ok()??;
    let (checksum, copied) = parse(&copy)?;
    (crc32c::crc32c(copied) == checksum).then(|| copied.to_vec())
}

/// Writes the copy of a file that has none yet.
///
/// # Errors
/// When the disk does not take it.
pub fn ensure_copy(path: &Path, contents: &[u8]) -> io::Result<()> {
    match copy_of(path).exists() {
        true => Ok(()),
        false => replace(path, contents),
    }
}

/// Reads a file of at most `most` bytes, whoever wrote it; `None` when it is not there.
///
/// # Errors
/// When it cannot be read or is larger.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
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

fn replace_one(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let new = beside(path, ".new");
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

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(extension);
    path.with_file_name(name)
}

fn head(checksum: u32) -> String {
    format!("{NAME}{checksum:08x}\n")
}

/// The checksum and the contents of a copy.
fn parse(copy: &[u8]) -> Option<(u32, &[u8])> {
    let (head, contents) = copy.split_at_checked(HEAD)?;
    let digits = std::str::from_utf8(head).ok()?.strip_prefix(NAME)?.strip_suffix('\n')?;
    Some((u32::from_str_radix(digits, 16).ok()?, contents))
}

const NAME: &str = "warren copy ";
const HEAD: usize = NAME.len() + 9;

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: &[u8] = b"what was written";

    fn written() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("small.json");
        replace(&path, CONTENTS).expect("written");
        (directory, path)
    }

    #[test]
    fn every_flipped_bit_of_either_is_put_right() {
        let (_directory, path) = written();
        for damaged in [path.clone(), copy_of(&path)] {
            let good = std::fs::read(&damaged).expect("there");
            for bit in 0..good.len() * 8 {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                std::fs::write(&damaged, bytes).expect("written");
                let found = recall(&path, 64).expect("one is whole");
                assert_eq!(found.as_deref(), Some(CONTENTS), "bit {bit} of {}", damaged.display());
            }
            std::fs::write(&damaged, good).expect("written");
        }
        assert_eq!(std::fs::read(&path).expect("there"), CONTENTS);
    }

    #[test]
    fn a_file_that_is_cut_too_long_or_gone_comes_back() {
        let (_directory, path) = written();
        for damage in [Some(&b"what"[..]), Some(&[b'x'; 99][..]), None] {
            match damage {
                Some(bytes) => std::fs::write(&path, bytes).expect("written"),
                None => std::fs::remove_file(&path).expect("removed"),
            }
            assert_eq!(recall(&path, 64).expect("whole").as_deref(), Some(CONTENTS));
            assert_eq!(std::fs::read(&path).expect("there"), CONTENTS);
        }
    }

    #[test]
    fn a_crash_between_the_two_leaves_the_new_one() {
        let (directory, path) = written();
        let newer = directory.path().join("newer.json");
        replace(&newer, b"newer").expect("written");
        std::fs::rename(copy_of(&newer), copy_of(&path)).expect("renamed");
        assert_eq!(recall(&path, 64).expect("whole").as_deref(), Some(&b"newer"[..]));
    }

    #[test]
    fn a_file_of_an_older_version_is_taken_as_it_is() {
        let (_directory, path) = written();
        std::fs::remove_file(copy_of(&path)).expect("removed");
        std::fs::write(&path, "older").expect("written");
        assert_eq!(recall(&path, 64).expect("read").as_deref(), Some(&b"older"[..]));
        ensure_copy(&path, b"older").expect("written");
        std::fs::write(&path, "oldfr").expect("written");
        assert_eq!(recall(&path, 64).expect("read").as_deref(), Some(&b"older"[..]));
    }

    #[test]
    fn damage_of_both_is_refused() {
        let (_directory, path) = written();
        let mut copy = std::fs::read(copy_of(&path)).expect("there");
        copy[HEAD] ^= 1;
        std::fs::write(copy_of(&path), copy).expect("written");
        std::fs::write(&path, "something else").expect("written");
        assert_eq!(
            recall(&path, 64).expect_err("damaged").kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(std::fs::read(&path).expect("there"), b"something else");
    }
}
