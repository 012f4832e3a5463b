//! Commands of RabbitMQ's that have no meaning here, and why. They end as one that is not known.

use super::failed::{Failed, exit};

/// Why there is nothing that it could do.
#[derive(Clone, Copy)]
enum Why {
    /// It is about the machine that RabbitMQ runs in.
    Erlang,
    /// Values in configuration files are not encrypted.
    Encrypted,
    /// No node coordinates streams.
    Coordinator,
    /// It would change what a stream was declared with.
    Retention,
    /// Nodes keep what is declared in one store, and join and leave by other commands.
    Cluster,
    /// There are no plugins to load.
    Plugins,
    /// What it would show is not kept, or not told.
    Untold,
    /// It is about the machine, which has tools for it.
    Machine,
}

impl Why {
    fn text(self) -> &'static str {
        match self {
            Self::Erlang => "there is no Erlang here that it could be about",
            Self::Encrypted => "values in configuration files cannot be encrypted here",
            Self::Coordinator => "each stream has a group of its own: see stream_status",
            Self::Retention => "a stream keeps the arguments it was declared with: see set_policy, with max-age",
            Self::Cluster => {
                "nodes have one store, one type and one way to start: see join_cluster, forget_cluster_node and reset"
            }
            Self::Untold => "this version does not show that",
            Self::Machine => "the machine shows that itself: see ip address, ps, openssl",
            Self::Plugins => "nothing is loaded here: rabbitmq-plugins list says what is built in",
        }
    }
}

const ABSENT: &[(&str, Why)] = &[
    ("change_cluster_node_type", Why::Cluster),
    ("command_line_arguments", Why::Machine),
    ("coordinator_status", Why::Coordinator),
    ("decode", Why::Encrypted),
    ("decrypt_conf_value", Why::Encrypted),
    ("directories", Why::Plugins),
    ("disable_auth_attempt_source_tracking", Why::Untold),
    ("enable_auth_attempt_source_tracking", Why::Untold),
    ("encode", Why::Encrypted),
    ("encrypt_conf_value", Why::Encrypted),
    ("erlang_cookie_hash", Why::Erlang),
    ("erlang_cookie_sources", Why::Erlang),
    ("erlang_version", Why::Erlang),
    ("eval", Why::Erlang),
    ("eval_file", Why::Erlang),
    ("exec", Why::Erlang),
    ("force_boot", Why::Cluster),
    ("force_gc", Why::Erlang),
    ("force_standalone_khepri_boot", Why::Cluster),
    ("list_ciphers", Why::Encrypted),
    ("list_network_interfaces", Why::Machine),
    ("maybe_stuck", Why::Erlang),
    ("observer", Why::Erlang),
    ("reclaim_quorum_memory", Why::Erlang),
    ("remote_shell", Why::Erlang),
    ("resolver_info", Why::Erlang),
    ("runtime_thread_stats", Why::Erlang),
    ("schema_info", Why::Erlang),
    ("set_stream_retention_policy", Why::Retention),
    ("update_cluster_nodes", Why::Cluster),
];

/// What is said of a command that RabbitMQ has and that means nothing here.
pub fn of(name: &str) -> Option<Failed> {
    let (_, why) = ABSENT.iter().find(|(own, _)| *own == name)?;
    let text = format!("\nCommand '{name}' is not there: {}.\n", why.text());
    Some(Failed::bare(exit::USAGE, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::ctl::TABLE;

    #[test]
    fn what_is_absent_is_no_command() {
        for (name, _) in ABSENT {
            assert!(!TABLE.all().any(|command| command.name == *name), "{name}");
        }
    }
}
