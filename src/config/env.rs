//! The environment: `WARREN_…` for every flag and key, and the variables of RabbitMQ's that have
//! a meaning here.
//!
//! Variables become settings like lines of a file do; the table of keys says what they mean.

use std::collections::BTreeSet;

use super::environment::Environment;
use super::keys::{self, LEVELS, is_log_category};
use super::problem::Problem;
use super::setting::{Origin, Setting};

/// What the environment sets: RabbitMQ's variables first, so that Warren's own come over them.
#[derive(Debug, Default)]
pub struct Found {
    pub settings: Vec<Setting>,
    pub problems: Vec<Problem>,
    pub warnings: Vec<String>,
}

/// Reads the variables.
pub fn read(environment: &Environment) -> Found {
    let mut found = Found::default();
    rabbitmq(environment, &mut found);
    warren(environment, &mut found);
    found
}

/// The variable of `--config`.
pub const CONFIG_FILE: &str = "WARREN_CONFIG";

fn warren(environment: &Environment, found: &mut Found) {
    let keys = keys::all().filter_map(|key| Some((key.variable()?, key.pattern.as_str())));
    let flags = keys::flags().map(|(flag, key)| (flag.variable(), key.pattern.as_str()));
    let mut unread: BTreeSet<&str> = environment.names().map(String::as_str).collect();
    unread.retain(|name| name.starts_with("WARREN_") && *name != CONFIG_FILE && !is_service_link(name));
    for (variable, key) in keys.chain(flags) {
        unread.remove(variable.as_str());
        found.take(environment, &variable, key);
    }
    let told = unread
        .iter()
        .map(|name| format!("{name} is not a variable that is read"));
    found.warnings.extend(told);
}

/// Kubernetes gives every container variables for every service, so for one that is named warren.
fn is_service_link(name: &str) -> bool {
    ["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"]
        .iter()
        .any(|end| name.ends_with(end))
        || name.contains("_PORT_")
}

/// Variables whose values are values of a key as they are.
const DIRECT: [(&str, &str); 8] = [
    ("RABBITMQ_DEFAULT_USER", "default_user"),
    ("RABBITMQ_DEFAULT_PASS", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST", "default_vhost"),
    ("RABBITMQ_ERLANG_COOKIE", "cluster.secret"),
    ("RABBITMQ_LOG_BASE", "log.dir"),
    ("RABBITMQ_PRODUCT_NAME", "product.name"),
    ("RABBITMQ_PRODUCT_VERSION", "product.version"),
    // The base first: the directory itself, where it is given, is the one that holds.
    ("RABBITMQ_MNESIA_BASE", "node.data_dir"),
];

/// Variables that name a file with the value of a key, as secrets of containers are given.
const IN_FILES: [(&str, &str); 3] = [
    ("RABBITMQ_DEFAULT_USER_FILE", "default_user"),
    ("RABBITMQ_DEFAULT_PASS_FILE", "default_pass"),
    ("RABBITMQ_DEFAULT_VHOST_FILE", "default_vhost"),
];

/// Variables that people rely on and that mean nothing here.
const WITHOUT_MEANING: [&str; 3] = [
    "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
    "RABBITMQ_SERVER_ERL_ARGS",
    "RABBITMQ_CONF_ENV_FILE",
];

/// Variables that RabbitMQ's image refuses to start with since it no longer reads them: passing
/// over a TLS setting would leave a node that is not what was asked for.
fn is_removed(variable: &str) -> bool {
    variable == "RABBITMQ_VM_MEMORY_HIGH_WATERMARK"
        || variable.starts_with("RABBITMQ_SSL_")
        || variable.starts_with("RABBITMQ_MANAGEMENT_SSL_")
}

fn rabbitmq(environment: &Environment, found: &mut Found) {
    for (variable, key) in DIRECT {
        found.take(environment, variable, key);
    }
    for (variable, key) in IN_FILES {
        found.take_file(environment, variable, key);
    }
    found.take(environment, "RABBITMQ_MNESIA_DIR", "node.data_dir");
    if let Some(name) = environment.said("RABBITMQ_NODENAME") {
        let name = match name.contains('@') {
            true => name.to_owned(),
            false => format!("{name}@{}", super::place::host_name(environment)),
        };
        found.set("RABBITMQ_NODENAME", "node.name", name);
    }
    if let Err(problem) = listeners(environment, found) {
        found.problems.push(problem);
    }
    logs(environment, found);
    log_levels(environment, found);
    for variable in environment.names() {
        if is_removed(variable) {
            found.problems.push(Problem::Removed {
                variable: variable.clone(),
            });
        }
    }
    for variable in WITHOUT_MEANING {
        let Some(value) = environment.said(variable) else {
            continue;
        };
        let mut warning = format!("{variable} has no meaning here");
        if value.contains("inet_tls") {
            warning.push_str(": nodes speak TLS when cluster.tls.* are set");
        }
        found.warnings.push(warning);
    }
}

/// As with RabbitMQ, the port for other nodes follows the port for clients.
fn listeners(environment: &Environment, found: &mut Found) -> Result<(), Problem> {
    let ip = environment.said("RABBITMQ_NODE_IP_ADDRESS");
    let port = environment.number("RABBITMQ_NODE_PORT")?;
    if let Some(ip) = ip {
        let address = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        let listener = format!("{address}:{}", port.unwrap_or(5672));
        found.set("RABBITMQ_NODE_IP_ADDRESS", "listeners.tcp", listener);
    } else if let Some(port) = port {
        found.set("RABBITMQ_NODE_PORT", "listeners.tcp", port.to_string());
    }
    let other_nodes = match environment.number("RABBITMQ_DIST_PORT")? {
        Some(port) => Some(port),
        None => port.and_then(|port| port.checked_add(20_000)),
    };
    if let Some(port) = other_nodes {
        found.set("RABBITMQ_DIST_PORT", "cluster.listener", port.to_string());
    }
    Ok(())
}

/// `RABBITMQ_LOGS` is a file, or `-` or `-stderr` for the terminal, in place of what is configured.
fn logs(environment: &Environment, found: &mut Found) {
    let variable = "RABBITMQ_LOGS";
    match environment.said(variable) {
        None => {}
        Some(terminal @ ("-" | "-stderr")) => {
            let stream = if terminal == "-" { "stdout" } else { "stderr" };
            found.set(variable, "log.console", "true".to_owned());
            found.set(variable, "log.console.stdio", stream.to_owned());
            found.set(variable, "log.file", "false".to_owned());
        }
        Some(other) if other.starts_with("exchange:") || other.starts_with("syslog:") => {
            let warning =
                format!("{variable}: '{other}' has no meaning here: lines go to the terminal and to one file");
            found.warnings.push(warning);
        }
        Some(file) => found.set(variable, "log.file", file.to_owned()),
    }
}

/// `RABBITMQ_LOG` is a list such as `warning,connection=debug,queue,+json`. As with RabbitMQ, a category alone is
/// one at the level info, and a word that is nothing does not keep a node from starting.
fn log_levels(environment: &Environment, found: &mut Found) {
    let variable = "RABBITMQ_LOG";
    let said = environment.said(variable).unwrap_or_default();
    for word in said.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let (category, level) = match word.split_once('=') {
            Some((category, level)) => (Some(category), level),
            None if LEVELS.iter().any(|(level, _)| *level == word) => (None, word),
            None => (Some(word), "info"),
        };
        let is_level = LEVELS.iter().any(|(own, _)| *own == level);
        match (category, word) {
            (_, "+color" | "-color" | "+single_line" | "-single_line") => {}
            (_, "+json" | "-json") => {
                let format = if word == "+json" { "json" } else { "plaintext" };
                found.set(variable, "log.console.formatter", format.to_owned());
                found.set(variable, "log.file.formatter", format.to_owned());
            }
            (None, _) => found.set(variable, "log.default.level", level.to_owned()),
            (Some(category), _) if is_level && is_log_category(category) => {
                found.set(variable, &format!("log.{category}.level"), level.to_owned());
            }
            _ => found.warnings.push(format!("{variable}: '{word}' has no meaning here")),
        }
    }
}

impl Found {
    fn take(&mut self, environment: &Environment, variable: &str, key: &str) {
        if let Some(value) = environment.said(variable) {
            self.set(variable, key, value.to_owned());
        }
    }

    /// The value is what stands in a file, without the line's end that editors leave.
    fn take_file(&mut self, environment: &Environment, variable: &str, key: &str) {
        let Some(path) = environment.said(variable) else {
            return;
        };
        match std::fs::read_to_string(path) {
            Ok(text) => self.set(variable, key, text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => self.problems.push(Problem::Unreadable {
                path: path.into(),
                error,
            }),
        }
    }

    fn set(&mut self, variable: &str, key: &str, value: String) {
        self.settings.push(Setting {
            origin: Origin::Variable(variable.to_owned()),
            key: key.to_owned(),
            value,
        });
    }
}
