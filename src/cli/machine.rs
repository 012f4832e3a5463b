//! Commands about what a node stands on: its environment, names of machines, TLS, hash functions.

use std::net::{IpAddr, ToSocketAddrs};

use serde_json::{Value, json};

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};
use crate::config::Cipher;
use crate::types::sorting::sort;

/// What can be asked of that.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "os_env",
        tools: &[Tool::Diagnostics],
        group: Group::Configuration,
        help: "Shows the variables of the node's environment that are about it, without secrets",
        banner: |call| {
            format!(
                "Listing RabbitMQ-specific environment variables defined on node {}...",
                call.node()
            )
        },
        run: |call| {
            let variables = call.get(&["settings", "os-env"])?;
            let lines = variables.as_object().into_iter().flatten();
            let lines: Vec<_> = lines
                .map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()))
                .collect();
            Ok(Output::Text {
                text: lines.join("\n"),
                json: json!({"node": call.node(), "result": "ok", "variables": variables}),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "discover_peers",
        tools: &[Tool::Diagnostics],
        group: Group::Cluster,
        help: "Shows the nodes that the node found, itself included",
        banner: |_| "Discovering peers nodes ...".to_owned(),
        run: |call| {
            let nodes = call.list(&["nodes"])?;
            let names: Vec<_> = nodes.iter().filter_map(|node| node["name"].as_str()).collect();
            let atoms: Vec<_> = names.iter().map(|name| format!(":{name}")).collect();
            Ok(Output::Text {
                text: format!("[{}]", atoms.join(", ")),
                json: json!(names),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "resolve_hostname",
        tools: &[Tool::Diagnostics],
        group: Group::Configuration,
        usage: "<hostname> [--address-family <ipv4 | ipv6>]",
        help: "Shows the addresses that this machine finds for a name",
        arguments: 1..=1,
        options: &["address-family"],
        banner: |call| {
            format!(
                "Asking node {} to resolve hostname {} to {} addresses...",
                call.node(),
                call.argument(0),
                family(call).0
            )
        },
        run: resolve,
        ..Command::ROW
    },
    Command {
        name: "tls_versions",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows the versions of TLS that there are here",
        banner: |_| "Listing all TLS versions supported by the runtime...".to_owned(),
        run: |_| {
            let versions = ["tlsv1.3", "tlsv1.2"];
            Ok(Output::Text {
                text: versions.join("\n"),
                json: json!({"versions": versions}),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "cipher_suites",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--format <openssl>] [--all] [--timeout <timeout>]",
        help: "Lists the cipher suites that TLS has here",
        options: &["format", "all"],
        banner: |_| "Listing available cipher suites in OpenSSL format".to_owned(),
        run: |call| match call.options.format.as_deref() {
            None | Some("openssl") => {
                let names: Vec<_> = Cipher::spoken().collect();
                Ok(Output::Text {
                    text: names.join("\n"),
                    json: json!({"cipher_suites": names, "format": "openssl"}),
                })
            }
            Some(other) => Err(Failed::arguments(format!(
                "Format {other} is not supported: suites have their names of OpenSSL"
            ))),
        },
        ..Command::ROW
    },
    Command {
        name: "list_hashes",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Lists the hash functions that passwords can be kept with",
        banner: |_| "Listing supported hash algorithms ...".to_owned(),
        run: |call| {
            let names = ["sha512", "sha256", "md5"];
            Ok(Output::Text {
                text: format!("[{}]", names.join(",")),
                json: json!({"node": call.node(), "result": "ok", "value": names}),
            })
        },
        ..Command::ROW
    },
];

/// The word for people, and which addresses are meant.
fn family(call: &Call) -> (&'static str, fn(&IpAddr) -> bool) {
    match call.options.address_family.as_deref() {
        Some(word) if word.eq_ignore_ascii_case("ipv6") => ("IPv6", IpAddr::is_ipv6),
        _ => ("IPv4", IpAddr::is_ipv4),
    }
}

fn resolve(call: &Call) -> Result<Output, Failed> {
    let (_, is_meant) = family(call);
    let found = (call.argument(0), 0_u16).to_socket_addrs();
    let mut found: Vec<_> = found.into_iter().flatten().map(|address| address.ip()).collect();
    found.retain(is_meant);
    sort(&mut found);
    found.dedup();
    if found.is_empty() {
        let text = "Hostname does not resolve (resolution failed with an nxdomain)";
        return Err(Failed::told(exit::DATA, text));
    }
    let found: Vec<_> = found.iter().map(IpAddr::to_string).collect();
    Ok(Output::Text {
        text: found.join("\n"),
        json: Value::from(found),
    })
}
