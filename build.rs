//! Takes the built console into the program: each file of `management-ui/dist/console`, compressed.
//!
//! Without these files (no Node, or nobody has built them yet) the list is empty, and the page says
//! how to build it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    // The folder is always there, so that cargo notices when files come or go.
    println!("cargo:rerun-if-changed=management-ui/dist");
    let built = Path::new("management-ui/dist/console");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut list = String::from("&[\n");
    for (number, name) in files(built)?.iter().enumerate() {
        let compressed = out.join(format!("console-{number}.gz"));
        let mut encoder = GzEncoder::new(File::create(&compressed)?, Compression::best());
        encoder.write_all(&fs::read(built.join(name))?)?;
        encoder.finish()?;
        // Writing to a text cannot fail.
        let _ = writeln!(list, "    ({name:?}, include_bytes!({compressed:?}) as &[u8]),");
    }
    list.push_str("]\n");
    fs::write(out.join("console.rs"), list)
}

/// The files below a folder by their path in it, sorted; none when there is no folder.
fn files(root: &Path) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(root.join(&folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(name);
            } else {
                found.push(name.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
