//! What the documents for newcomers name is there: files, and functions of types.
//!
//! Only what stands in backticks is looked at. A file may be named by the end of its path, or by its folder's path
//! and the end of its own; a function by its type.

use std::path::{Path, PathBuf};

/// The documents that lead through the source.
const DOCUMENTS: [&str; 5] = [
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "docs/data-format.md",
    "docs/decisions.md",
    "docs/glossary.md",
];

/// Where what is named may be.
const PLACES: [&str; 8] = [
    "src",
    "tests",
    "docs",
    "scripts",
    "fuzz",
    "packaging",
    "docker",
    "management-ui",
];

#[test]
fn files_that_documents_name_are_there() {
    let mut files: Vec<_> = PLACES
        .iter()
        .flat_map(|place| files_below(&root().join(place)))
        .collect();
    files.push(root().join("build.rs"));
    let mut missing = Vec::new();
    for (document, name) in named() {
        let is_source = name.ends_with(".rs") || name.ends_with(".ts") || name.ends_with(".tsx");
        let is_one = is_source && name.chars().all(|c| c.is_ascii_alphanumeric() || "_/.-".contains(c));
        let end = Path::new(&name);
        if is_one && !files.iter().any(|file| file.ends_with(end)) {
            missing.push(format!("{document}: {name}"));
        }
    }
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

/// Whoever looks for a line finds its folder in the map.
#[test]
fn every_folder_of_the_source_is_in_the_map() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("a readable document");
    let rooms = ["src", "src/broker"].map(|folder| std::fs::read_dir(root().join(folder)).expect("a directory"));
    let mut missing = Vec::new();
    for entry in rooms.into_iter().flatten() {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let is_room = entry.path().parent().is_some_and(|folder| folder.ends_with("broker"));
        // What is below a file is told of there.
        if entry.path().with_extension("rs").is_file() && entry.path().is_dir() {
            continue;
        }
        let named = match (entry.path().is_dir(), is_room) {
            (true, true) => format!("`broker/{name}/`"),
            (true, false) => format!("`{name}/`"),
            // Files beside the rooms are told of in broker/mod.rs.
            (false, true) => continue,
            (false, false) => format!("`{name}`"),
        };
        if name != "lib.rs" && !map.contains(&named) {
            missing.push(named);
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn functions_that_documents_name_are_there() {
    let files = files_below(&root().join("src")).into_iter();
    let sources: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .map(|file| std::fs::read_to_string(file).expect("a readable source file"))
        .collect();
    let mut missing = Vec::new();
    let mut seen = 0;
    for (document, name) in named() {
        let Some((owner, member)) = name.rsplit_once("::") else {
            // A word of several parts is a function's, or one that the program reads or writes.
            let is_function = document == "ARCHITECTURE.md"
                && name.contains('_')
                && name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            let spelled = [format!("fn {name}"), format!("\"{name}\"")];
            if is_function
                && !sources
                    .iter()
                    .any(|source| spelled.iter().any(|word| source.contains(word)))
            {
                missing.push(format!("{document}: {name}"));
            }
            continue;
        };
        let is_path =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        if !is_path(owner) || !is_path(member) || FOREIGN.contains(&owner) {
            continue;
        }
        seen += 1;
        let owner = owner.rsplit("::").next().unwrap_or(owner);
        if !sources.iter().any(|source| has(source, owner, member)) {
            missing.push(format!("{document}: {name}"));
        }
    }
    assert!(seen > 50, "{seen}");
    assert!(missing.is_empty(), "\n{}\n", missing.join("\n"));
}

/// What other crates call so.
const FOREIGN: [&str; 2] = ["tokio", "std"];

/// Whether a source file gives a type, or a module of its name, a member: a function or a variant.
fn has(source: &str, owner: &str, member: &str) -> bool {
    let is_type = owner.starts_with(char::is_uppercase);
    let is_variant = member.starts_with(char::is_uppercase);
    if is_variant {
        let kinds = ["struct", "enum", "trait", "type"];
        return match is_type {
            true => {
                [" {", "<"]
                    .iter()
                    .any(|next| source.contains(&format!("enum {owner}{next}")))
                    && source.contains(member)
            }
            false => kinds.iter().any(|kind| source.contains(&format!("{kind} {member}"))),
        };
    }
    let is_defined = source.contains(&format!("fn {member}(")) || source.contains(&format!("fn {member}<"));
    let gives = |after: &str| [" ", "<", " {"].iter().any(|next| after.starts_with(next));
    let mut places = source
        .match_indices(owner)
        .map(|(at, _)| (&source[..at], &source[at + owner.len()..]));
    is_defined
        && (!is_type
            || places.any(|(before, after)| {
                let line = before.rsplit('\n').next().unwrap_or_default();
                (line.starts_with("impl") || line.contains("trait ")) && gives(after)
            }))
}

/// A node whose disk failed comes back by itself where a supervisor starts it again.
#[test]
fn the_unit_starts_a_node_again_whatever_it_ended_with() {
    let unit = std::fs::read_to_string(root().join("packaging/systemd/warren.service")).expect("a readable unit");
    assert!(unit.lines().any(|line| line == "Restart=on-failure"));
    assert!(!unit.contains("RestartPrevent"), "some status is left out");
}

/// What stands in backticks, with the document that it stands in.
fn named() -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).expect("a readable document");
        // What is fenced is drawings and commands.
        let prose = text.split("```").step_by(2);
        for part in prose {
            let quoted = part.split('`').skip(1).step_by(2);
            all.extend(quoted.map(|name| (document, name.trim_end_matches("()").to_owned())));
        }
    }
    all
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.ends_with("node_modules") && !path.ends_with("target") {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files
}
