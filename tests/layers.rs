//! The arrows of the layers: which part of the program may import which.
//!
//! Reads every file below `src`, takes what it names behind `crate::`, and compares it with the
//! table. What stands in tests is not looked at. The rooms of the broker are held in the same way.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What everything may import that is not itself in this list.
const BASE: [&str; 11] = [
    "types",
    "heartbeat",
    "machine",
    "config",
    "metrics",
    "tasks",
    "logging",
    "pattern",
    "small_file",
    "pem",
    "tls_client",
];

/// Each part, from the top down, and what it may import besides the base. Within the base, only
/// what is listed.
const ARROWS: [(&str, &[&str]); 43] = [
    ("main", &["allocator", "cli", "migrate", "node", "perf"]),
    (
        "node",
        &[
            "allocator",
            "net",
            "stream_net",
            "management",
            "broker",
            "declare",
            "handover",
            "journal",
            "cluster",
            "listen",
            "store",
            "connection",
            "channel",
            "codec",
            "router",
            "queue",
            "stream",
            "metadata",
            "auth",
            "exchange",
            "spec",
            "statistics",
        ],
    ),
    ("cli", &["migrate", "perf", "cluster"]),
    ("migrate", &["perf"]),
    ("perf", &["codec", "stream_protocol"]),
    (
        "net",
        &[
            "connection",
            "channel",
            "codec",
            "auth",
            "broker",
            "declare",
            "statistics",
            "listen",
            "front",
        ],
    ),
    (
        "stream_net",
        &[
            "stream_protocol",
            "front",
            "broker",
            "declare",
            "metadata",
            "router",
            "exchange",
            "codec",
            "spec",
            "auth",
            "queue",
            "stream",
            "statistics",
            "listen",
        ],
    ),
    (
        "management",
        &[
            "front",
            "broker",
            "declare",
            "codec",
            "stream",
            "queue",
            "metadata",
            "auth",
            "exchange",
            "spec",
            "statistics",
            "listen",
        ],
    ),
    (
        "front",
        &[
            "auth",
            "broker",
            "codec",
            "declare",
            "exchange",
            "listen",
            "metadata",
            "router",
            "spec",
            "statistics",
        ],
    ),
    (
        "broker",
        &[
            "allocator",
            "backends",
            "spans",
            "declare",
            "handover",
            "journal",
            "cluster",
            "store",
            "channel",
            "codec",
            "router",
            "queue",
            "stream",
            "metadata",
            "auth",
            "exchange",
            "spec",
            "statistics",
            "listen",
        ],
    ),
    ("spans", &["backends", "codec"]),
    ("backends", &["auth"]),
    ("declare", &["codec", "metadata", "exchange", "spec", "auth"]),
    ("handover", &["queue", "spec"]),
    ("journal", &["store", "cluster"]),
    ("cluster", &[]),
    ("listen", &[]),
    ("store", &[]),
    ("connection", &["channel", "codec", "auth"]),
    ("channel", &["codec", "spec"]),
    ("stream_protocol", &["auth"]),
    ("codec", &[]),
    ("router", &["exchange", "spec"]),
    ("queue", &["spec"]),
    ("stream", &["spec"]),
    ("metadata", &["exchange", "spec", "auth"]),
    ("auth", &[]),
    ("exchange", &["spec"]),
    ("spec", &[]),
    ("lib", &[]),
    ("allocator", &[]),
    ("tasks", &["metrics"]),
    ("metrics", &["types", "statistics"]),
    ("tls_client", &["config", "pem"]),
    ("pem", &["config", "small_file"]),
    ("statistics", &[]),
    ("logging", &["config", "types"]),
    ("config", &["types", "pattern"]),
    ("machine", &["types"]),
    ("pattern", &[]),
    ("small_file", &[]),
    ("heartbeat", &["types"]),
    ("types", &[]),
];

/// The rooms of the broker and the files beside them: each may import those before it.
const ROOMS: [&str; 19] = [
    "clock",
    "error",
    "timers",
    "questions",
    "nodes",
    "recovered",
    "alarms",
    "observers",
    "logins",
    "delivery",
    "queue",
    "publish",
    "catalogue",
    "access",
    "replicas",
    "cluster",
    "reports",
    "jobs",
    "start",
];

/// What owns the rooms, and stands above them all.
const ABOVE_ROOMS: &str = "Broker";

/// Who may name [`ABOVE_ROOMS`]: it is built there. All rooms own what they need, in a handle, so that a call
/// from one into another is an import.
const BUILDS: &str = "start";

/// In `broker`, and no room: what owns them, and a test of several of them.
const NO_ROOMS: [&str; 2] = ["mod", "simulation"];

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

/// Folders that know less than the part they are in: what clients get has no protocol.
const UNKNOWN: [(&str, &str); 1] = [("broker/delivery", "codec")];

#[test]
fn what_front_ends_share_knows_no_protocol() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (folder, unknown) in UNKNOWN {
        for file in files_below(&root.join(folder)) {
            let text = std::fs::read_to_string(&file).expect("a readable source file");
            if imports(&text, "crate::").contains(unknown) {
                wrong.push(format!("{}: may not import {unknown}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn rooms_import_those_before_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker");
    let top = std::fs::read_to_string(root.join("mod.rs")).expect("a readable source file");
    let origins = origins(&code(&top));
    let mut wrong = Vec::new();
    for file in files_below(&root) {
        let inside = file.strip_prefix(&root).expect("listed below it");
        let room = part_of(inside);
        if NO_ROOMS.contains(&room.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        let up = "super::".repeat(levels_above(inside));
        let mut named = names(&text, "crate::broker::");
        named.extend(names(&text, &up));
        for name in named {
            if name == ABOVE_ROOMS && room != BUILDS {
                wrong.push(format!("src/broker/{}: {room} may not know {name}", inside.display()));
            }
            if let Some(import) = origin(&name, &origins)
                && import != room
                && !is_before(&import, &room)
            {
                wrong.push(format!(
                    "src/broker/{}: {room} may not import {import} ({name})",
                    inside.display()
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Files that need each other could not be read one after the other. A folder may import what is in it, and what
/// is in it the folder: the types it is about get their methods there.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let imports_of = imports_of(&modules(&root));
    let queues = &imports_of["broker/queue/queues"];
    assert!(queues.contains("broker/queue/handle"), "{queues:?}");
    let circles = circles(&imports_of);
    assert!(
        circles.is_empty(),
        "imports point down, inside folders too: {circles:?}"
    );
}

#[test]
fn circles_are_found_by_whatever_way_the_names_come() {
    let modules = [
        (
            "hall",
            "mod clock;\nmod door;\nmod lamp;\npub use door::Door;\npub struct Hall;\n",
        ),
        ("hall/clock", "use super::{Door, Hall};\n"),
        ("hall/door", "fn f() { super::lamp::light() }\n"),
        ("hall/lamp", "use crate::hall::{clock::{self, Clock}, Hall};\n"),
        ("roof", "use crate::hall::Door;\n"),
    ];
    let mut modules: BTreeMap<_, _> = modules.map(|(name, code)| (name.to_owned(), code.to_owned())).into();
    let circle = vec!["hall/clock", "hall/door", "hall/lamp"];
    assert_eq!(circles(&imports_of(&modules)), [circle]);
    modules.insert("hall/door".to_owned(), "use super::Hall;\n".to_owned());
    assert_eq!(circles(&imports_of(&modules)), [[""; 0]; 0]);
}

#[test]
fn paths_of_imports_are_whole() {
    let code = "\
use super::handle::{self, QueueHandle};
use crate::broker::{Broker, publish::{vhosts::Vhosts, route}};
use super::super::nodes::Nodes;
use std::sync::Arc;
fn f() -> crate::broker::queue::joint::Joint {}
";
    let found = paths(code, "broker/queue/sink");
    let found: Vec<_> = found.iter().map(String::as_str).collect();
    assert_eq!(
        found,
        [
            "broker/Broker",
            "broker/nodes/Nodes",
            "broker/publish/route",
            "broker/publish/vhosts/Vhosts",
            "broker/queue/handle",
            "broker/queue/handle/QueueHandle",
            "broker/queue/joint/Joint",
        ]
    );
}

/// Nodes send a question by its name, and the first room that knows the name answers.
#[test]
fn each_question_between_nodes_is_of_one_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker");
    let mut rooms = BTreeMap::<String, String>::new();
    for file in files_below(&root) {
        let inside = file.strip_prefix(&root).expect("listed below it");
        if !inside.ends_with("questions.rs") || inside.iter().count() == 1 {
            continue;
        }
        let text = code(&std::fs::read_to_string(&file).expect("a readable source file"));
        let (_, questions) = text.split_once("enum Question {\n").expect("a room's questions");
        let (questions, _) = questions.split_once("\n}").expect("their end");
        let names = questions.lines().filter_map(|line| {
            let name = line.strip_prefix("    ").map(identifier)?;
            (!name.is_empty()).then_some(name)
        });
        for name in names {
            let other = rooms.insert(name.to_owned(), part_of(inside));
            assert!(other.is_none(), "{name}: {other:?} and {}", part_of(inside));
        }
    }
    assert_eq!(rooms.get("Join").map(String::as_str), Some("cluster"));
    assert_eq!(rooms.get("Peek").map(String::as_str), Some("queue"));
}

/// A method of a type that another room defines could be called from below without an import.
#[test]
fn types_get_their_methods_in_their_room() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/broker");
    let mut defined = BTreeSet::new();
    let mut extended = Vec::new();
    for file in files_below(&root) {
        let inside = file.strip_prefix(&root).expect("listed below it");
        let room = part_of(inside);
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        for line in code(&text).lines() {
            for keyword in ["struct ", "enum "] {
                if let Some((_, after)) = line.split_once(keyword) {
                    defined.insert((room.clone(), identifier(after).to_owned()));
                }
            }
            if let Some(name) = extends(line) {
                extended.push((room.clone(), name.to_owned()));
            }
        }
    }
    extended.retain(|extension| extension.1 != ABOVE_ROOMS && !defined.contains(extension));
    assert!(extended.is_empty(), "{extended:?}");
}

/// Files that give on what another node has refused, or what its queue's clients hear without it.
const GIVE_ON: [&str; 2] = ["broker/catalogue/questions.rs", "handover/elsewhere.rs"];

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
fn a_name_that_is_given_on_is_of_the_room_that_defines_it() {
    let top = "\
pub use alarms::Alarms;
pub use delivery::outbox::{Control, Outstanding};
pub use queue::{joint, leaving as left};
pub use publish::route::{self, Explained};
pub use crate::metadata::Catalogue;
struct Clock;
";
    let origins = origins(top);
    let found = |name: &str| origin(name, &origins);
    assert_eq!(found("alarms").as_deref(), Some("alarms"));
    assert_eq!(found("Alarms").as_deref(), Some("alarms"));
    assert_eq!(found("Outstanding").as_deref(), Some("delivery"));
    assert_eq!(found("joint").as_deref(), Some("queue"));
    assert_eq!(found("left").as_deref(), Some("queue"));
    assert_eq!(found("route").as_deref(), Some("publish"));
    assert_eq!(found("Clock").as_deref(), Some("mod"));
    assert_eq!(found("Catalogue"), None);
    assert_eq!(found("Broker"), None);
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

fn is_before(import: &str, room: &str) -> bool {
    let place = |name: &str| ROOMS.iter().position(|other| *other == name);
    match (place(import), place(room)) {
        (Some(import), Some(room)) => import < room,
        // A room that is not in the table may import nothing, so that it is added here.
        _ => false,
    }
}

/// The type that a line begins to give methods to: those of a trait are not meant.
fn extends(line: &str) -> Option<&str> {
    let after = line.strip_prefix("impl")?;
    let named = match after.strip_prefix('<') {
        Some(generics) => generics.split_once("> ")?.1,
        None => after.strip_prefix(' ')?,
    };
    (!named.contains(" for ")).then(|| identifier(named))
}

/// How many modules `broker` is above that of the file.
fn levels_above(inside: &Path) -> usize {
    let is_folder = inside.file_name().is_some_and(|name| name == "mod.rs");
    inside.iter().count() - usize::from(is_folder)
}

/// The room that a name of `broker` is defined in. None for what is not the broker's, and for what all may name.
fn origin(name: &str, origins: &BTreeMap<String, String>) -> Option<String> {
    if name == ABOVE_ROOMS {
        return None;
    }
    if ROOMS.contains(&name) {
        return Some(name.to_owned());
    }
    match origins.get(name).map(String::as_str) {
        Some("crate") => None,
        Some(room) => Some(room.to_owned()),
        None => Some("mod".to_owned()),
    }
}

/// The names that a module has by `use`, each with the first word of its path.
fn origins(code: &str) -> BTreeMap<String, String> {
    let mut origins = BTreeMap::new();
    for (at, _) in code.match_indices("use ") {
        let statement = code[at + "use ".len()..].split(';').next().unwrap_or_default();
        let (path, members) = statement.split_once('{').unwrap_or(("", statement));
        let first = identifier(statement);
        for member in members.trim_end_matches('}').split(',').map(str::trim) {
            let given = member.rsplit([' ', ':']).next().unwrap_or_default();
            let name = match given {
                "self" => path.trim_end_matches("::").rsplit("::").next().unwrap_or_default(),
                name => name,
            };
            origins.insert(name.to_owned(), first.to_owned());
        }
    }
    origins
}

/// `queue/ready.rs` and `queue.rs` are both of the part `queue`.
fn part_of(inside: &Path) -> String {
    let first = inside.iter().next().expect("a file has a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// The parts that a file names behind `prefix`; types at the root of the crate are none.
fn imports(text: &str, prefix: &str) -> BTreeSet<String> {
    let mut found = names(text, prefix);
    found.retain(|name| !name.contains(char::is_uppercase));
    found
}

/// The first words of all that a file names behind `prefix`.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
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

/// The text of each module by its path, `broker/queue/sink`, without tests and the roots of the programs.
fn modules(root: &Path) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let mut tests = Vec::new();
    for file in files_below(root) {
        let inside = file.strip_prefix(root).expect("listed below it").with_extension("");
        let is_folder = inside.ends_with("mod");
        let module = if is_folder {
            inside.parent().expect("a folder")
        } else {
            &inside
        };
        let module = module.to_str().expect("a name").to_owned();
        let text = std::fs::read_to_string(&file).expect("a readable source file");
        for (at, test) in text.match_indices("#[cfg(test)]\n") {
            let declared = text[at + test.len()..].split_once("mod ");
            if let Some((_, name)) =
                declared.filter(|(before, _)| !before.contains(['\n', '(']) || *before == "pub(crate) ")
            {
                tests.push(format!("{module}/{}", identifier(name)));
            }
        }
        modules.insert(module, code(&text));
    }
    modules.retain(|module, _| !["main", "lib"].contains(&module.as_str()));
    modules.retain(|module, _| !tests.iter().any(|test| is_in(module, test)));
    modules
}

/// What each of these modules imports of the others: where a name is defined, not where it is given on.
fn imports_of(modules: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    let given_on: BTreeMap<_, _> = modules
        .iter()
        .map(|(module, code)| (module.clone(), given_on(code, module, modules)))
        .collect();
    let imports = |(module, code): (&String, &String)| {
        let paths = paths(code, module).into_iter();
        let imports = paths.filter_map(|path| definer(path, modules, &given_on));
        let others = imports.filter(|import| !is_in(import, module) && !is_in(module, import));
        (module.clone(), others.collect())
    };
    modules.iter().map(imports).collect()
}

/// The names that a module has by `use`, with their whole paths.
fn given_on(code: &str, module: &str, modules: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut given_on = BTreeMap::new();
    for line in code.split(';') {
        let Some((visibility, statement)) = line.trim_start().split_once("use ") else {
            continue;
        };
        if !visibility.is_empty() && !visibility.starts_with("pub") || visibility.contains('\n') {
            continue;
        }
        let of_child = modules.contains_key(&format!("{module}/{}", identifier(statement)));
        let whole = match of_child {
            true => members(statement)
                .into_iter()
                .map(|path| format!("{module}/{path}"))
                .collect(),
            false => paths(statement, module),
        };
        for path in whole {
            if let Some((_, name)) = path.rsplit_once('/') {
                given_on.insert(name.to_owned(), path);
            }
        }
    }
    given_on
}

/// The module that defines what a path names.
fn definer(
    mut path: String,
    modules: &BTreeMap<String, String>,
    given_on: &BTreeMap<String, BTreeMap<String, String>>,
) -> Option<String> {
    // A name that goes round and round is defined by none of them.
    for _ in 0..8 {
        let module = deepest(&path, modules)?;
        let name = path[module.len()..]
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        match given_on[&module].get(name) {
            Some(other) if *other != path => path.clone_from(other),
            _ => return Some(module),
        }
    }
    None
}

/// The modules that import each other in circles, one list for each.
fn circles(imports_of: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<&str>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> = imports_of
        .keys()
        .map(|from| {
            let mut reached = BTreeSet::new();
            let mut next = vec![from.as_str()];
            while let Some(module) = next.pop() {
                let imports = imports_of.get(module).into_iter().flatten();
                next.extend(imports.map(String::as_str).filter(|import| reached.insert(*import)));
            }
            (from.as_str(), reached)
        })
        .collect();
    let circle_of = |from: &&str| -> Vec<&str> {
        let others = reached[from].iter().copied();
        others.filter(|other| reached[other].contains(from)).collect()
    };
    let circles: BTreeSet<_> = reached
        .keys()
        .map(circle_of)
        .filter(|circle| !circle.is_empty())
        .collect();
    circles.into_iter().collect()
}

/// Whether a module is that one, or in its folder.
fn is_in(module: &str, folder: &str) -> bool {
    module
        .strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a module names of the crate: `broker/queue/handle/QueueHandle`.
fn paths(code: &str, module: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for prefix in ["crate::", "super::"] {
        for (at, _) in code.match_indices(prefix) {
            let before = &code[..at];
            if before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            let mut above: Vec<_> = if prefix == "super::" {
                module.split('/').collect()
            } else {
                Vec::new()
            };
            let mut rest = &code[at..];
            if prefix == "super::" {
                while let Some(after) = rest.strip_prefix("super::") {
                    above.pop();
                    rest = after;
                }
            } else {
                rest = &rest[prefix.len()..];
            }
            let above: String = above.iter().flat_map(|part| [part, "/"]).collect();
            let whole = members(rest).into_iter().map(|member| format!("{above}{member}"));
            found.extend(whole.map(|path| path.trim_end_matches("/self").to_owned()));
        }
    }
    found
}

/// The paths that begin here, one for each member of its groups.
fn members(text: &str) -> Vec<String> {
    if let Some(group) = text.strip_prefix('{') {
        let mut all = Vec::new();
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    all.extend(members(group[start..at].trim()));
                    start = at + 1;
                    if letter == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
        return all;
    }
    let word = identifier(text);
    match text[word.len()..].strip_prefix("::") {
        _ if word.is_empty() => Vec::new(),
        Some(rest) => members(rest)
            .into_iter()
            .map(|member| format!("{word}/{member}"))
            .collect(),
        None => vec![word.to_owned()],
    }
}

/// The innermost of these modules on a path.
fn deepest<T>(path: &str, modules: &BTreeMap<String, T>) -> Option<String> {
    let mut path = path;
    loop {
        if modules.contains_key(path) {
            return Some(path.to_owned());
        }
        path = path.rsplit_once('/')?.0;
    }
}

/// A leading name; macros are none.
fn word(text: &str) -> Option<String> {
    let word = identifier(text);
    let is_macro = text[word.len()..].starts_with('!');
    (!word.is_empty() && !is_macro).then(|| word.to_owned())
}

fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    &text[..end.unwrap_or(text.len())]
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
