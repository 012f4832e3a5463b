//! Columns that the caller chooses: which there are, and which are shown when none is named.

use super::column::Column;
use super::command::{Call, Command};
use super::failed::Failed;
use super::options::Options;

/// Whether the arguments name columns of the command.
///
/// # Errors
/// With those that it does not have.
pub fn check(command: &Command, options: &Options) -> Result<(), Failed> {
    if command.columns.is_empty() {
        return Ok(());
    }
    let arguments = options.words.get(1..).unwrap_or_default();
    let is_known = |name: &&str| find(command.columns, name).is_some();
    let unknown: Vec<_> = named(arguments).filter(|name| !is_known(name)).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(Failed::arguments(format!(
            "Info key(s) {} are not supported",
            unknown.join(", ")
        ))),
    }
}

/// The columns that the arguments name, or those that go without saying.
pub fn chosen(call: &Call, all: &[Column], usual: &[&str]) -> Vec<Column> {
    let mut names: Vec<&str> = named(call.arguments()).collect();
    if names.is_empty() {
        names = usual.to_vec();
    }
    names.into_iter().filter_map(|name| find(all, name)).collect()
}

/// Names may also be joined by commas.
fn named(arguments: &[String]) -> impl Iterator<Item = &str> {
    let words = arguments.iter().flat_map(|word| word.split(','));
    words.map(str::trim).filter(|word| !word.is_empty())
}

fn find(all: &[Column], name: &str) -> Option<Column> {
    all.iter().find(|column| column.name == name).copied()
}
