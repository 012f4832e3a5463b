//! Columns that the caller chooses: which there are, and which are shown when none is named.

use super::command::{Call, Failed};
use super::print::Column;

/// The columns that the arguments name, or those that go without saying.
///
/// # Errors
/// When there are no such columns.
pub fn chosen(call: &Call, all: &[Column], usual: &[&str]) -> Result<Vec<Column>, Failed> {
    let words = call.arguments().iter().flat_map(|word| word.split(','));
    let mut names: Vec<&str> = words.map(str::trim).filter(|word| !word.is_empty()).collect();
    if names.is_empty() {
        names = usual.to_vec();
    }
    let find = |name: &&str| all.iter().find(|column| column.name == *name).copied();
    let unknown: Vec<_> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    if unknown.is_empty() {
        Ok(names.iter().filter_map(find).collect())
    } else {
        Err(Failed::arguments(format!(
            "Info key(s) {} are not supported",
            unknown.join(", ")
        )))
    }
}
