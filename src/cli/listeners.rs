//! Commands about listeners and alarms.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be asked of listeners and alarms.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "listeners",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Lists where the node listens, and for which protocols",
        banner: |call| format!("Asking node {} to report its protocol listeners ...", call.node()),
        run: |call| {
            let listeners = of(&call.get(&["overview"])?);
            Ok(Output::Text {
                text: lines(&listeners).join("\n"),
                json: json!({"listeners": listeners, "node": call.node(), "result": "ok"}),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "certificates",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows the certificates of each listener of the node that speaks TLS",
        banner: |call| format!("Certificates of node {} ...", call.node()),
        run: |call| {
            let listeners: Vec<_> = call.list(&["certificates"])?.into_iter().map(with_purpose).collect();
            let shown = listeners.iter().zip(lines(&listeners)).map(|(listener, line)| {
                let certificates = ["certfile", "cacertfile"].map(|file| listener[file].as_str().unwrap_or_default());
                format!("{line}\n{}", certificates.concat())
            });
            Ok(Output::Text {
                text: shown.collect::<Vec<_>>().join("\n"),
                json: listeners.into(),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "check_port_connectivity",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        usage: "[--timeout <timeout>]",
        help: "Fails unless each port that the node listens on takes a TCP connection",
        banner: |call| {
            let node = call.node();
            format!("Testing TCP connections to all active listeners on node {node} using hostname resolution ...")
        },
        run: check_ports,
        ..Command::ROW
    },
    Command {
        name: "alarms",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows the alarms of all nodes that the node knows of",
        banner: |call| format!("Asking node {} to report any known resource alarms ...", call.node()),
        run: |call| {
            let report = alarms(call)?;
            let node = call.node();
            Ok(match report.names.is_empty() {
                true => Output::Text {
                    text: format!("Node {node} reported no alarms, local or clusterwide"),
                    json: json!({"alarms": [], "node": node, "result": "ok"}),
                },
                false => Output::Text {
                    text: report.names.join("\n"),
                    json: report.json(node, "ok"),
                },
            })
        },
        ..Command::ROW
    },
    Command {
        name: "check_alarms",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Fails while some node has an alarm",
        banner: |call| format!("Asking node {} to report any local resource alarms ...", call.node()),
        run: |call| {
            let report = alarms(call)?;
            let node = call.node();
            match report.names.is_empty() {
                true => Ok(Output::well(format!(
                    "Node {node} reported no alarms, local or clusterwide"
                ))),
                false => {
                    let json = report.json(node, "error");
                    Err(call.ill(report.names.join("\n"), &json))
                }
            }
        },
        ..Command::ROW
    },
    Command {
        name: "check_local_alarms",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Fails while the node itself has an alarm",
        banner: |call| format!("Asking node {} to report any local resource alarms ...", call.node()),
        run: |call| {
            let local = alarms(call)?.local;
            let node = call.node();
            if local.is_empty() {
                return Ok(Output::well(format!("Node {node} reported no local alarms")));
            }
            let message = format!("Node {node} reported local alarms");
            let json = json!({"local": local, "message": message, "result": "error"});
            Err(call.ill(format!("Error:\n{}", local.join("\n")), &json))
        },
        ..Command::ROW
    },
];

/// Time a listener may take to accept when the call does not say.
const CONNECT: Duration = Duration::from_secs(30);

/// The listeners of the node of an overview, as the command line tools show them.
pub fn of(overview: &Value) -> Vec<Value> {
    let mut listeners = of_all(overview);
    listeners.retain(|listener| listener["node"] == overview["node"]);
    listeners
}

/// The same of all nodes of the cluster.
pub fn of_all(overview: &Value) -> Vec<Value> {
    let listeners = overview["listeners"].as_array().into_iter().flatten();
    let shown = |listener: &Value| {
        let protocol = listener["protocol"].as_str().unwrap_or_default();
        let ip = listener["ip_address"].as_str().unwrap_or_default();
        let interface = match ip.contains(':') {
            true => format!("[{ip}]"),
            false => ip.to_owned(),
        };
        json!({
            "node": listener["node"], "port": listener["port"], "protocol": protocol,
            "interface": interface, "purpose": purpose(protocol),
        })
    };
    listeners.map(shown).collect()
}

/// What a protocol is for. There is no AMQP 1.0 here, which RabbitMQ names too.
fn purpose(protocol: &str) -> &str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "https" => "HTTP API over TLS (HTTPS)",
        "https/prometheus" => "Prometheus exporter API over TLS (HTTPS)",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        "clustering" => "inter-node communication",
        other => other,
    }
}

fn with_purpose(mut listener: Value) -> Value {
    listener["purpose"] = json!(purpose(listener["protocol"].as_str().unwrap_or_default()));
    listener
}

/// Listeners, a line each.
pub fn lines(listeners: &[Value]) -> Vec<String> {
    let shown = |listener: &Value| {
        let text = |field: &str| listener[field].as_str().unwrap_or_default().to_owned();
        format!(
            "Interface: {}, port: {}, protocol: {}, purpose: {}",
            text("interface"),
            listener["port"],
            text("protocol"),
            text("purpose")
        )
    };
    listeners.iter().map(shown).collect()
}

fn check_ports(call: &Call) -> Result<Output, Failed> {
    let overview = call.get(&["overview"])?;
    let patience = call.options.timeout.map_or(CONNECT, Duration::from_secs);
    let node = call.node();
    let mut ports = Vec::new();
    let mut failed = Vec::new();
    let listeners = overview["listeners"].as_array().into_iter().flatten();
    for listener in listeners.filter(|listener| listener["node"] == overview["node"]) {
        let Some(address) = reachable(listener) else { continue };
        println!("Will connect to {address}");
        match TcpStream::connect_timeout(&address, patience) {
            Ok(_) => ports.push(address.port()),
            Err(error) => failed.push(format!("{address}: {error}")),
        }
    }
    if !failed.is_empty() {
        let text = format!("Connection to listeners of node {node} failed:\n{}", failed.join("\n"));
        return Err(Failed::told(exit::SOFTWARE, text));
    }
    ports.sort_unstable();
    let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
    Ok(Output::Text {
        text: format!(
            "Successfully connected to ports {} on node {node} (using node hostname resolution)",
            ports.join(", ")
        ),
        json: json!({"listeners": of(&overview), "node": node, "result": "ok"}),
    })
}

/// Where a listener is reached from this machine: one on all addresses, on the machine's own.
fn reachable(listener: &Value) -> Option<SocketAddr> {
    let ip: IpAddr = listener["ip_address"].as_str()?.parse().ok()?;
    let port = u16::try_from(listener["port"].as_u64()?).ok()?;
    let ip = match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Some((ip, port).into())
}

/// The alarms of all nodes, and which of them are of the node that is asked, as lines.
struct Alarms {
    names: Vec<String>,
    local: Vec<String>,
}

impl Alarms {
    fn json(&self, node: &str, result: &str) -> Value {
        let global = self.names.iter().filter(|alarm| !self.local.contains(alarm));
        json!({
            "global": global.collect::<Vec<_>>(),
            "local": self.local,
            "message": format!("Node {node} reported alarms"),
            "result": result,
        })
    }
}

fn alarms(call: &Call) -> Result<Alarms, Failed> {
    let answer = call.ask("GET", &["health", "checks", "alarms"], None)?;
    if answer.status == 200 {
        return Ok(Alarms {
            names: Vec::new(),
            local: Vec::new(),
        });
    }
    let body = answer.json();
    let Some(alarms) = body["alarms"].as_array() else {
        return Err(Failed::told(exit::SOFTWARE, answer.reason()));
    };
    let shown = |alarm: &Value| {
        let resource = match alarm["resource"].as_str() {
            Some("memory") => "Memory alarm",
            _ => "Free disk space alarm",
        };
        format!("{resource} on node {}", alarm["node"].as_str().unwrap_or_default())
    };
    let own = call.get(&["overview"])?["node"].clone();
    let local = alarms.iter().filter(|alarm| alarm["node"] == own);
    Ok(Alarms {
        names: alarms.iter().map(shown).collect(),
        local: local.map(shown).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_on_the_machines_own() {
        let at = |ip: &str| reachable(&json!({"ip_address": ip, "port": 5672})).map(|address| address.to_string());
        assert_eq!(at("0.0.0.0").as_deref(), Some("127.0.0.1:5672"));
        assert_eq!(at("::").as_deref(), Some("[::1]:5672"));
        assert_eq!(at("192.0.2.1").as_deref(), Some("192.0.2.1:5672"));
        assert_eq!(at("nonsense"), None);
    }
}
