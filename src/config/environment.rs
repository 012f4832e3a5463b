//! The environment of the process, as the settings are read from it.

use std::collections::BTreeMap;

use super::problem::Problem;
use super::setting::Origin;

/// The variables a process was started with. One that is empty says nothing, except where
/// `$(NAME)` asks for it.
#[derive(Clone, Debug, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The names of all variables.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// This process's; variables that are not UTF-8 are none of ours.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os();
        Self::from_iter(
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The value of a variable, as `$(NAME)` asks for it.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// What a variable says; an empty one says nothing.
    pub fn said(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub(super) fn number(&self, name: &'static str) -> Result<Option<u16>, Problem> {
        let Some(value) = self.said(name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| wrong(name, value, "a port"))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(
            variables
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

pub(super) fn wrong(variable: &str, value: &str, expected: &str) -> Problem {
    Problem::Value {
        origin: Origin::Variable(variable.to_owned()),
        key: variable.to_owned(),
        value: value.to_owned(),
        expected: expected.to_owned(),
    }
}
