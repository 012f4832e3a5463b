//! `rabbitmq.conf`: which files are read, those in Erlang terms among them, and what its lines say.
//!
//! The format is sysctl's: `key = value`, one to a line; `#` begins a comment, also behind a
//! value; a value in single quotes may hold `#` and outer spaces; `$(NAME)` stands for an
//! environment variable. Where a key is set twice the later line holds, and `conf.d/*.conf` come
//! after the main file, in the order of their names. Knows nothing of what keys mean.

use std::path::{Path, PathBuf};

use super::advanced;
use super::environment::Environment;
use super::lines::Lines;
use super::problem::Problem;
use super::setting::{Origin, Setting};
use crate::types::sorting::sort;

/// Where configuration is looked for when nothing else is said.
pub const DEFAULT_DIRECTORY: &str = "/etc/rabbitmq";

/// The files to read, in order.
#[derive(Debug, Default)]
pub struct Files {
    pub paths: Vec<PathBuf>,
    /// What RabbitMQ's variables name and is not there: it goes on without, and so does Warren.
    pub remarks: Vec<String>,
}

/// Finds the files to read.
///
/// `named` is the file or directory of `--config`, which replaces all others and must be there.
/// Otherwise `RABBITMQ_CONFIG_FILE`, `RABBITMQ_CONFIG_FILES` and `RABBITMQ_ADVANCED_CONFIG_FILE`
/// say where the main file, the further ones and the one in Erlang terms are, else they are looked
/// for in `directory`.
pub fn files(named: Option<&Path>, environment: &Environment, directory: &Path) -> Result<Files, Problem> {
    let mut files = Files::default();
    if let Some(named) = named {
        files.paths = match named.is_dir() {
            true => directory_files(named)?,
            false => vec![named.to_owned()],
        };
        return Ok(files);
    }
    files.add(
        environment,
        "RABBITMQ_CONFIG_FILE",
        &directory.join("rabbitmq"),
        &["conf", "config"],
    );
    match environment.said("RABBITMQ_CONFIG_FILES") {
        // A directory or all the .conf files of one; other patterns name a single file.
        Some(further) => {
            let pattern = further.strip_suffix("/*.conf").map(Path::new);
            let within = pattern.unwrap_or(Path::new(further));
            if within.is_dir() {
                files.paths.extend(directory_files(within)?);
            } else if pattern.is_none() && within.is_file() {
                files.paths.push(within.to_owned());
            } else {
                files
                    .remarks
                    .push(format!("RABBITMQ_CONFIG_FILES: there is no {further}"));
            }
        }
        None => {
            let further = directory.join("conf.d");
            if further.is_dir() {
                files.paths.extend(directory_files(&further)?);
            }
        }
    }
    files.add(
        environment,
        "RABBITMQ_ADVANCED_CONFIG_FILE",
        &directory.join("advanced"),
        &["config"],
    );
    Ok(files)
}

impl Files {
    /// The file that a variable names, with or without its extension, else the one that lies where
    /// it usually does.
    fn add(&mut self, environment: &Environment, variable: &str, usual: &Path, extensions: &[&str]) {
        let said = environment.said(variable);
        let place = said.map_or(usual, Path::new);
        let longer = extensions.iter().map(|extension| {
            let mut longer = place.as_os_str().to_owned();
            longer.push(".");
            longer.push(extension);
            PathBuf::from(longer)
        });
        let itself = said.map(PathBuf::from);
        match itself.into_iter().chain(longer).find(|path| path.is_file()) {
            Some(path) => self.paths.push(path),
            None if said.is_some() => self
                .remarks
                .push(format!("{variable}: there is no {}", place.display())),
            None => {}
        }
    }
}

/// Reads one file: lines, or Erlang terms in one that is named `.config`.
pub fn read(path: &Path, environment: &Environment) -> Result<Lines, Problem> {
    let text = std::fs::read_to_string(path).map_err(|error| Problem::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    Ok(match path.extension() {
        Some(extension) if extension == "config" => advanced::parse(path, &text),
        _ => parse(path, &text, environment),
    })
}

/// Reads the text of a file; every line is either a setting, nothing, or a problem.
pub fn parse(path: &Path, text: &str, environment: &Environment) -> Lines {
    let mut lines = Lines::default();
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let origin = Origin::File {
            path: path.to_owned(),
            line: index + 1,
        };
        match parse_line(line, environment) {
            Ok(Line::Nothing) => {}
            Ok(Line::Setting { key, value, cut }) => {
                if cut {
                    lines.remarks.push(format!(
                        "{origin}: the value of {key} ends at '#'; write it in single quotes to keep the rest"
                    ));
                }
                lines.settings.push(Setting { origin, key, value });
            }
            Err(expected) => lines.problems.push(Problem::Syntax { origin, expected }),
        }
    }
    lines
}

enum Line {
    Nothing,
    /// `cut`: a `#` directly behind other text ended the value, which may not be what was meant.
    Setting {
        key: String,
        value: String,
        cut: bool,
    },
}

fn parse_line(line: &str, environment: &Environment) -> Result<Line, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let (key, rest) = line.split_once('=').ok_or("'key = value'")?;
    let key = key.trim();
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '#' || c == '\'') {
        return Err("a key without spaces before '='".to_owned());
    }
    let rest = rest.trim();
    let (raw, cut) = match rest.strip_prefix('\'') {
        Some(quoted) => (quoted_value(quoted)?, false),
        None => plain_value(rest)?,
    };
    Ok(Line::Setting {
        key: key.to_owned(),
        value: interpolate(raw, environment)?,
        cut,
    })
}

fn quoted_value(quoted: &str) -> Result<&str, String> {
    let (value, behind) = quoted.split_once('\'').ok_or("a closing single quote")?;
    let behind = behind.trim_start();
    if behind.is_empty() || behind.starts_with('#') {
        Ok(value)
    } else {
        Err("nothing but a comment behind the closing single quote".to_owned())
    }
}

fn plain_value(rest: &str) -> Result<(&str, bool), String> {
    let (value, comment) = match rest.split_once('#') {
        Some((value, _)) => (value, true),
        None => (rest, false),
    };
    let cut = comment && !value.is_empty() && !value.ends_with(char::is_whitespace);
    match value.trim_end() {
        "" => Err("a value behind '='".to_owned()),
        value => Ok((value, cut)),
    }
}

/// Puts the environment's values where `$(NAME)` stands.
fn interpolate(raw: &str, environment: &Environment) -> Result<String, String> {
    let mut value = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(start) = rest.find("$(") {
        let (before, behind) = rest.split_at(start);
        value.push_str(before);
        match behind[2..].split_once(')').filter(|(name, _)| is_variable(name)) {
            Some((name, after)) => {
                let found = environment.get(name);
                value.push_str(found.ok_or_else(|| format!("the environment variable {name} to be set"))?);
                rest = after;
            }
            None => {
                value.push_str("$(");
                rest = &behind[2..];
            }
        }
    }
    value.push_str(rest);
    Ok(value)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn directory_files(directory: &Path) -> Result<Vec<PathBuf>, Problem> {
    let unreadable = |error| Problem::Unreadable {
        path: directory.to_owned(),
        error,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "conf") {
            files.push(path);
        }
    }
    sort(&mut files);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Lines {
        let environment = Environment::from_iter([("HOST", "h1"), ("EMPTY", "")]);
        parse(Path::new("a.conf"), text, &environment)
    }

    fn value_of(line: &str) -> Result<String, String> {
        let lines = parsed(line);
        match (lines.settings.first(), lines.problems.first()) {
            (Some(setting), None) => Ok(setting.value.clone()),
            (None, Some(problem)) => Err(problem.to_string()),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_are_read_as_rabbitmq_reads_them() {
        for (line, value) in [
            ("heartbeat = 60", "60"),
            ("heartbeat=60", "60"),
            ("  heartbeat   =   60   ", "60"),
            ("heartbeat = 60 # seconds", "60"),
            ("key = a = b", "a = b"),
            ("key = max-age=1; includeSubDomains", "max-age=1; includeSubDomains"),
            ("key = 'a # b'", "a # b"),
            ("key = ' spaced ' # so", " spaced "),
            ("key = ''", ""),
            ("key = \"as is\"", "\"as is\""),
            ("key = rabbit@$(HOST)", "rabbit@h1"),
            ("key = '$(HOST)/$(HOST)$(EMPTY)'", "h1/h1"),
            ("key = $(not closed", "$(not closed"),
            ("key = t0p$3kRe7", "t0p$3kRe7"),
        ] {
            assert_eq!(value_of(line).as_deref(), Ok(value), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_named_with_what_was_expected() {
        for (line, problem) in [
            ("heartbeat", "a.conf:1: expected 'key = value'"),
            ("= 5", "a.conf:1: expected a key without spaces before '='"),
            ("two words = 5", "a.conf:1: expected a key without spaces before '='"),
            ("heartbeat =", "a.conf:1: expected a value behind '='"),
            ("heartbeat = # none", "a.conf:1: expected a value behind '='"),
            ("key = 'open", "a.conf:1: expected a closing single quote"),
            (
                "key = 'a' b",
                "a.conf:1: expected nothing but a comment behind the closing single quote",
            ),
            (
                "key = $(NOT_SET)",
                "a.conf:1: expected the environment variable NOT_SET to be set",
            ),
        ] {
            assert_eq!(value_of(line), Err(problem.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_value_cut_at_a_hash_is_remarked_upon() {
        let lines = parsed("# first\r\n\r\ndefault_pass = ab#cd\r\n");
        assert_eq!(lines.settings[0].value, "ab");
        assert_eq!(
            lines.remarks,
            ["a.conf:3: the value of default_pass ends at '#'; write it in single quotes to keep the rest"]
        );
    }

    #[test]
    fn further_files_follow_the_main_one_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let further = directory.path().join("conf.d");
        std::fs::create_dir(&further).expect("directory");
        for name in ["20-b.conf", "10-a.conf", "note.txt"] {
            std::fs::write(further.join(name), "").expect("file");
        }
        let none = Environment::default();
        let names = |files: Files| -> Vec<String> {
            let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
            files.paths.into_iter().filter_map(name).collect()
        };
        assert_eq!(
            names(files(None, &none, directory.path()).expect("files")),
            ["10-a.conf", "20-b.conf"]
        );
        let main = directory.path().join("rabbitmq.conf");
        std::fs::write(&main, "").expect("file");
        assert_eq!(
            names(files(None, &none, directory.path()).expect("files")),
            ["rabbitmq.conf", "10-a.conf", "20-b.conf"]
        );
        assert_eq!(
            names(files(Some(&main), &none, directory.path()).expect("files")),
            ["rabbitmq.conf"]
        );
        assert_eq!(
            names(files(Some(&further), &none, directory.path()).expect("files")),
            ["10-a.conf", "20-b.conf"]
        );
        let pattern = format!("{}/*.conf", further.display());
        let without_extension = main.with_extension("").display().to_string();
        let named = Environment::from_iter([
            ("RABBITMQ_CONFIG_FILE", without_extension.as_str()),
            ("RABBITMQ_CONFIG_FILES", pattern.as_str()),
        ]);
        assert_eq!(
            names(files(None, &named, Path::new("/nowhere")).expect("files")),
            ["rabbitmq.conf", "10-a.conf", "20-b.conf"]
        );
        for name in ["advanced.config", "rabbitmq.config"] {
            std::fs::write(directory.path().join(name), "").expect("file");
        }
        assert_eq!(
            names(files(None, &none, directory.path()).expect("files")),
            ["rabbitmq.conf", "10-a.conf", "20-b.conf", "advanced.config"]
        );
        std::fs::remove_file(&main).expect("removed");
        assert_eq!(
            names(files(None, &none, directory.path()).expect("files")),
            ["rabbitmq.config", "10-a.conf", "20-b.conf", "advanced.config"]
        );
    }

    #[test]
    fn what_a_variable_of_rabbitmqs_names_need_not_be_there() {
        let named = Environment::from_iter([
            ("RABBITMQ_CONFIG_FILE", "/nowhere.conf"),
            ("RABBITMQ_CONFIG_FILES", "/nowhere/*.conf"),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", "/nowhere/advanced"),
        ]);
        let found = files(None, &named, Path::new("/nowhere")).expect("no files");
        assert!(found.paths.is_empty());
        assert_eq!(
            found.remarks,
            [
                "RABBITMQ_CONFIG_FILE: there is no /nowhere.conf",
                "RABBITMQ_CONFIG_FILES: there is no /nowhere/*.conf",
                "RABBITMQ_ADVANCED_CONFIG_FILE: there is no /nowhere/advanced",
            ]
        );
        let empty = Environment::from_iter([("RABBITMQ_CONFIG_FILE", ""), ("RABBITMQ_CONFIG_FILES", "")]);
        let found = files(None, &empty, Path::new("/nowhere")).expect("no files");
        assert!(found.paths.is_empty() && found.remarks.is_empty());
    }

    #[test]
    fn a_named_file_that_is_not_there_is_a_problem() {
        let missing = Path::new("/nowhere/at/all.conf");
        let found = files(Some(missing), &Environment::default(), Path::new("/nowhere")).expect("no reading yet");
        let problem = read(&found.paths[0], &Environment::default()).expect_err("missing");
        assert!(
            problem.to_string().starts_with("cannot read /nowhere/at/all.conf: "),
            "{problem}"
        );
    }

    proptest! {
        #[test]
        fn every_line_is_a_setting_or_a_problem_or_nothing(text in any::<String>()) {
            let lines = parsed(&text);
            prop_assert!(lines.settings.len() + lines.problems.len() <= text.lines().count());
        }
    }
}
