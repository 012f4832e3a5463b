//! `warren server`: its flags.
//!
//! A flag is another way to write a key of the configuration, so values are taken as text here
//! and read where the keys are.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Flags, Origin, Setting, env};

/// Flags of `warren server`.
#[derive(Debug, Args)]
#[command(after_help = SOURCES)]
pub struct ServerArgs {
    /// The configuration file, or a directory of .conf files [default: /etc/rabbitmq/rabbitmq.conf,
    /// /etc/rabbitmq/conf.d/*.conf and /etc/rabbitmq/advanced.config if there].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything of this node lies [default: /var/lib/rabbitmq if writable, else
    /// ./warren-data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The node's name [default: rabbit@ and the short host name].
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// Listen for AMQP clients; may be given several times [default: 0.0.0.0:5672].
    #[arg(long, value_name = "ADDR:PORT")]
    amqp: Vec<String>,
    /// Not built yet: AMQP over TLS; only 'none' is taken [default: none].
    #[arg(long, value_name = "ADDR:PORT")]
    amqps: Vec<String>,
    /// Serve the HTTP API, or 'none' [default: 0.0.0.0:15672].
    #[arg(long, value_name = "ADDR:PORT")]
    management: Option<String>,
    /// Not built yet: metrics for Prometheus; only 'none' is taken [default: none].
    #[arg(long, value_name = "ADDR:PORT")]
    prometheus: Option<String>,
    /// Listen for other nodes, or 'none' [default: 0.0.0.0:25672].
    #[arg(long, value_name = "ADDR:PORT")]
    cluster: Option<String>,
    /// Where other nodes find this one [default: the host part of the node's name, and the
    /// cluster port].
    #[arg(long, value_name = "ADDR:PORT")]
    advertise: Option<String>,
    /// A node to join; may be given several times [default: none, a node alone].
    #[arg(long, value_name = "HOST:PORT")]
    join: Vec<String>,
    /// A file with the secret that nodes know each other by [default: $RABBITMQ_ERLANG_COOKIE,
    /// else a generated file in the data directory].
    #[arg(long, value_name = "FILE")]
    cluster_secret_file: Option<String>,
    /// Write the ports listened on to this file as JSON; of use with port 0, which picks a free
    /// one.
    #[arg(long, value_name = "FILE")]
    ports_file: Option<String>,
}

impl ServerArgs {
    /// The flags as settings, for [`crate::config::load`].
    pub fn flags(self) -> Flags {
        let several = |values: Vec<String>| (!values.is_empty()).then(|| values.join(","));
        let given = [
            ("--data-dir", self.data_dir),
            ("--node-name", self.node_name),
            ("--ports-file", self.ports_file),
            ("--amqp", several(self.amqp)),
            ("--amqps", several(self.amqps)),
            ("--management", self.management),
            ("--prometheus", self.prometheus),
            ("--cluster", self.cluster),
            ("--advertise", self.advertise),
            ("--join", several(self.join)),
            ("--cluster-secret-file", self.cluster_secret_file),
        ];
        let settings = given.into_iter().filter_map(|(flag, value)| {
            let (_, key) = env::FLAGS.iter().find(|(known, _)| *known == flag)?;
            Some(Setting {
                origin: Origin::Flag(flag),
                key: (*key).to_owned(),
                value: value?,
            })
        });
        Flags {
            config: self.config,
            settings: settings.collect(),
        }
    }
}

const SOURCES: &str = "\
Each flag is also an environment variable: WARREN_DATA_DIR for --data-dir. A flag comes over the
environment, the environment over the configuration file; docs/rabbitmq.conf.sample lists its keys.";
