//! Disks that break and disks that are small, under a broker that knows nothing of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;
use tempfile::TempDir;

/// Calls of one broker that fail when a test wants it: `disk.c` stands between it and the system.
pub struct BreakingDisk {
    directory: TempDir,
    faults: File,
}

/// Syncs do not come to their end.
const HELD: u8 = 8;

/// What a message says that lies where the disk cannot read.
pub const UNREADABLE: &str = "UNREADABLE";

/// What fails, of what is done with files of the data directory.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Sync = 1,
    Write = 2,
    /// Of the log, where [`UNREADABLE`] stands.
    Read = 4,
}

impl BreakingDisk {
    /// A disk that is whole.
    pub fn whole() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("faults");
        std::fs::write(&path, [0, 0]).expect("it is ours");
        let faults = File::options().write(true).open(path).expect("it is ours");
        Self { directory, faults }
    }

    /// The program that takes a broker there, with its arguments.
    pub fn through(&self) -> Vec<String> {
        let faults = self.directory.path().join("faults");
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library().display()),
            format!("DISK_FAULTS={}", faults.display()),
        ]
    }

    /// From now on such calls fail with this error.
    pub fn fail(&self, call: Call, error: Errno) {
        let error = u8::try_from(error.raw_os_error()).expect("a small number");
        // The error first: a call may look at any moment.
        self.faults.write_all_at(&[error], 1).expect("it is ours");
        self.faults.write_all_at(&[call as u8], 0).expect("it is ours");
    }

    /// From now on no sync comes to its end.
    pub fn hold_syncs(&self) {
        self.faults.write_all_at(&[HELD], 0).expect("it is ours");
    }

    /// It is whole again.
    pub fn heal(&self) {
        self.faults.write_all_at(&[0], 0).expect("it is ours");
    }
}

/// `disk.c`, compiled once for each test program.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libdisk.so");
        // Each test is a process of its own, and others may load it just now.
        let ours = library.with_extension(format!("so.{}", std::process::id()));
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
            .arg(&ours)
            .arg(source)
            .arg("-ldl")
            .status();
        assert!(compiled.expect("cc, which Rust needs too").success());
        std::fs::rename(ours, &library).expect("it is ours");
        library
    })
}

/// A file system in memory, gone when this is dropped.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// One of so many MiB at this directory, which is made. None, and a line that says so, where the
    /// rights for it are missing.
    pub fn mount(at: &Path, mebibytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("it is ours");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mebibytes}m"), "tmpfs"])
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            failed => {
                println!("skipped: no file system of one's own (to be root or CAP_SYS_ADMIN is needed): {failed:?}");
                None
            }
        }
    }

    /// Makes it larger.
    pub fn grow(&self, mebibytes: u32) {
        let grown = Command::new("mount")
            .args(["-o", &format!("remount,size={mebibytes}m")])
            .arg(&self.0)
            .status();
        assert!(grown.expect("mount").success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a broker may still have files open there.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
