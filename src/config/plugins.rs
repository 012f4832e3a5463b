//! `enabled_plugins`, RabbitMQ's list of the plug-ins that a node loads: read to say which of them are no part
//! of this program. What is part of it is always there.

use std::path::Path;

use super::environment::Environment;
use super::erlang::{self, Term};

/// Plug-ins of which the core does all that they are asked for here.
const WITHIN: [&str; 2] = ["rabbitmq_amqp1_0", "rabbitmq_peer_discovery_common"];

/// The plug-in whose listener has to be asked for.
const STREAM: &str = "rabbitmq_stream";

/// The variable that says where the list is.
const VARIABLE: &str = "RABBITMQ_ENABLED_PLUGINS_FILE";

/// What is to be told of the list, which lies in `directory` unless the environment says otherwise.
pub fn remarks(environment: &Environment, directory: &Path) -> Vec<String> {
    let usual = directory.join("enabled_plugins");
    let said = environment.said(VARIABLE).map(Path::new);
    let path = said.unwrap_or(&usual);
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) => of_text(&text)
            .into_iter()
            .map(|remark| format!("{shown}: {remark}"))
            .collect(),
        Err(_) if said.is_none() => Vec::new(),
        Err(error) => vec![format!("{VARIABLE}: cannot read {shown}: {error}")],
    }
}

fn of_text(text: &str) -> Vec<String> {
    let Ok(Term::List(items)) = erlang::parse(text) else {
        return vec!["expected a list of plug-ins such as [rabbitmq_management].".to_owned()];
    };
    let others = items.into_iter().filter_map(|item| match item {
        Term::Atom(name) => (!PLUGINS.contains(&name.as_str()) && !WITHIN.contains(&name.as_str())).then_some(name),
        _ => None,
    });
    others
        .map(|name| match name.as_str() {
            STREAM => format!("{STREAM} is always there; it listens where stream.listeners.tcp or --stream says"),
            _ => format!("{name} is not part of Warren, and is not there"),
        })
        .collect()
}

/// What RabbitMQ has plug-ins for and is part of this program.
pub const PLUGINS: [&str; 14] = [
    "rabbitmq_auth_backend_cache",
    "rabbitmq_auth_backend_http",
    "rabbitmq_auth_backend_ldap",
    "rabbitmq_auth_backend_oauth2",
    "rabbitmq_auth_mechanism_ssl",
    "rabbitmq_consistent_hash_exchange",
    "rabbitmq_delayed_message_exchange",
    "rabbitmq_event_exchange",
    "rabbitmq_management",
    "rabbitmq_management_agent",
    "rabbitmq_prometheus",
    "rabbitmq_random_exchange",
    "rabbitmq_recent_history_exchange",
    "rabbitmq_web_dispatch",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_told() {
        assert_eq!(of_text("[rabbitmq_management].\n"), Vec::<String>::new());
        assert_eq!(
            of_text("[rabbitmq_management,rabbitmq_mqtt]."),
            ["rabbitmq_mqtt is not part of Warren, and is not there"]
        );
        assert!(of_text("[rabbitmq_stream].")[0].contains("stream.listeners.tcp"));
        assert_eq!(of_text("rabbitmq_mqtt").len(), 1);
    }
}
