//! The configuration as a whole: every key's good and bad values (`table`), which source comes over which
//! (`sources`), what keys mean and what an operator reads when something is wrong (`meaning`).

mod meaning;
mod sources;
mod table;

use std::net::SocketAddr;

use super::*;

fn from_text(text: &str) -> Result<Config, String> {
    load_text(text, &[], &[])
}

/// Loads `text` as the main file, with these variables and flags.
fn load_text(text: &str, variables: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Result<Config, String> {
    let directory = tempfile::tempdir().expect("temporary directory");
    std::fs::write(directory.path().join("rabbitmq.conf"), text).expect("file");
    let environment = Environment::from_iter(variables.iter().copied());
    let settings = flags.iter().map(|(flag, value)| Setting {
        origin: Origin::Flag(flag),
        key: keys::flags()
            .find(|(own, _)| own.name == *flag)
            .expect("a flag")
            .1
            .pattern
            .clone(),
        value: (*value).to_owned(),
    });
    let flags = Flags {
        config: None,
        settings: settings.collect(),
    };
    let place = format!("{}/", directory.path().display());
    let mut config =
        load_from(&flags, &environment, directory.path()).map_err(|error| error.to_string().replace(&place, ""))?;
    for warning in &mut config.warnings {
        *warning = warning.replace(&place, "");
    }
    Ok(config)
}

fn addresses(named: &Named<SocketAddr>) -> Vec<String> {
    named.values().map(SocketAddr::to_string).collect()
}
