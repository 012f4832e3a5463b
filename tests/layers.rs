//! The arrows of the layers: which part of the program may import which.
//!
//! Reads every file below `src`, takes what it names behind `crate::`, and compares it with the
//! table. What stands in tests is not looked at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What everything may import that is not itself in this list.
const BASE: [&str; 8] = [
    "types",
    "machine",
    "config",
    "metrics",
    "tasks",
    "logging",
    "pattern",
    "small_file",
];

/// Each part, from the top down, and what it may import besides the base. Within the base, only
/// what is listed.
const ARROWS: [(&str, &[&str]); 31] = [
    ("main", &["allocator", "cli", "node", "perf"]),
    (
        "node",
        &[
            "net",
            "management",
            "broker",
            "declare",
            "handover",
            "journal",
            "cluster",
            "store",
            "connection",
            "channel",
            "codec",
            "router",
            "queue",
            "stream",
            "metadata",
            "auth",
            "spec",
        ],
    ),
    ("cli", &["perf"]),
    ("perf", &["codec"]),
    ("net", &["connection", "channel", "codec", "auth", "broker", "declare"]),
    (
        "management",
        &["broker", "declare", "codec", "queue", "metadata", "auth", "spec"],
    ),
    (
        "broker",
        &[
            "declare", "handover", "journal", "cluster", "store", "channel", "codec", "router", "queue", "stream",
            "metadata", "auth", "spec",
        ],
    ),
    ("declare", &["codec", "metadata", "spec", "auth"]),
    ("handover", &["queue", "spec"]),
    ("journal", &["store", "cluster"]),
    ("cluster", &[]),
    ("store", &[]),
    ("connection", &["channel", "codec"]),
    ("channel", &["codec", "spec"]),
    ("codec", &[]),
    ("router", &["spec"]),
    ("queue", &["spec"]),
    ("stream", &["spec"]),
    ("metadata", &["spec", "auth"]),
    ("auth", &[]),
    ("spec", &[]),
    ("lib", &[]),
    ("allocator", &[]),
    ("tasks", &["metrics"]),
    ("metrics", &["types"]),
    ("logging", &["config", "types"]),
    ("config", &["types", "pattern"]),
    ("machine", &["types"]),
    ("pattern", &[]),
    ("small_file", &[]),
    ("types", &[]),
];

#[test]
fn imports_point_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files_below(&root) {
        let inside = file.strip_prefix(&root).expect("listed below it");
        let part = part_of(inside);
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        // The binary sees the library from outside.
        let root_name = if part == "main" { "warren::" } else { "crate::" };
        for import in imports(&text, root_name) {
            if import != part && !allowed(&part, &import) {
                wrong.push(format!("src/{}: {part} may not import {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Files that give on what another node has refused, or what its queue's clients hear without it.
const GIVE_ON: [&str; 2] = ["broker/cluster/control.rs", "handover/remote_leader.rs"];

/// What a peer hears is chosen in one place of each layer, where its errors say what they are.
#[test]
fn replies_are_chosen_by_refusals_only() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for file in files_below(&root) {
        let inside = file.strip_prefix(&root).expect("listed below it");
        if GIVE_ON.iter().any(|path| inside == Path::new(path)) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        let mut is_refusal = false;
        for line in code(&text).lines() {
            is_refusal |= line.starts_with("impl Refusal for ");
            is_refusal &= line != "}";
            if !is_refusal && (line.contains("Reply::channel(") || line.contains("Reply::connection(")) {
                wrong.push(format!("src/{}: {}", inside.display(), line.trim()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "make it a variant of an error\n{}\n",
        wrong.join("\n")
    );
}

#[test]
fn the_table_itself_points_down() {
    for (at, (part, imports)) in ARROWS.iter().enumerate() {
        for import in *imports {
            let below = ARROWS[at + 1..].iter().any(|(other, _)| other == import);
            assert!(below, "{part} → {import}");
        }
    }
}

#[test]
fn imports_are_found_wherever_they_stand() {
    let text = "\
//! See [`crate::above`].
use crate::types::Millis;
use crate::{spec::QueueSpec, router, queue::{self, ready}};
use std::io;
fn f() -> crate::store::Wal { not_crate::node::run() } // crate::comment
#[cfg(test)]
mod tests {
    use crate::net;
}
";
    let found: Vec<_> = imports(text, "crate::").into_iter().collect();
    assert_eq!(found, ["queue", "router", "spec", "store", "types"]);
}

fn allowed(part: &str, import: &str) -> bool {
    let own = ARROWS.iter().find(|(name, _)| *name == part);
    // A part that is not in the table may import nothing, so that it is added here.
    own.is_some_and(|(name, imports)| imports.contains(&import) || (BASE.contains(&import) && !BASE.contains(name)))
}

/// `queue/ready.rs` and `queue.rs` are both of the part `queue`.
fn part_of(inside: &Path) -> String {
    let first = inside.iter().next().expect("a file has a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The parts that a file names behind `prefix`.
fn imports(text: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let code = code(text);
    for (at, _) in code.match_indices(prefix) {
        let longer_word = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$');
        if longer_word {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(group_heads(group)),
            None => found.extend(word(rest)),
        }
    }
    found
}

/// The first words of the members of a group, which ends at its own closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0;
    let mut start = true;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => start = true,
            _ if start && !letter.is_whitespace() => {
                heads.extend(word(&group[at..]));
                start = false;
            }
            _ => {}
        }
    }
    heads
}

/// A leading module name; types and macros at the root of the crate are not parts.
fn word(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let word = &text[..end.unwrap_or(text.len())];
    let is_macro = text[word.len()..].starts_with('!');
    (!word.is_empty() && !is_macro).then(|| word.to_owned())
}

/// The text without comments, up to the tests at its end.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let tests = lines
            .peek()
            .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'));
        if line == "#[cfg(test)]" && tests {
            break;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// The source files, without those that hold tests only.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
