//! Commands about the node and the cluster that it is all of.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::command::{Call, Command, Group, MISPLACED, Output, Tool};
use super::failed::{Failed, exit};
use super::listeners;

/// What can be asked of the node.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "await_startup",
        tools: &[Tool::Ctl],
        group: Group::Nodes,
        usage: "[--timeout <timeout>]",
        help: "Waits until the node serves clients",
        run: await_startup,
        ..Command::ROW
    },
    Command {
        name: "ping",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Asks whether the process of the node answers, with or without its broker",
        banner: |call| {
            let timeout = call.options.timeout.unwrap_or(60) * 1000;
            format!(
                "Will ping {}. This only checks if the OS process is running and registered with epmd. Timeout: \
                 {timeout} ms.",
                call.node()
            )
        },
        run: |call| {
            match call.client.is_remote() {
                true => call.get(&["overview"])?,
                false => call.get(&["local", "name"])?,
            };
            Ok(Output::message("Ping succeeded"))
        },
        ..Command::ROW
    },
    Command {
        name: "check_running",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Fails unless the node serves clients",
        banner: |call| format!("Checking if RabbitMQ is running on node {} ...", call.node()),
        run: |call| {
            let node = call.node();
            let answer = call.ask_any(&["health", "checks", "is-in-service"])?;
            match answer.status {
                200 => Ok(Output::message(format!(
                    "RabbitMQ on node {node} is fully booted and running"
                ))),
                // It runs, only not for clients.
                503 if answer.json()["drained"] == true => Ok(Output::message(format!(
                    "RabbitMQ on node {node} is fully booted and running"
                ))),
                503 if answer.reason().starts_with(MISPLACED) => Err(Failed::told(
                    exit::UNAVAILABLE,
                    format!("RabbitMQ on node {node} is not running or has not fully booted yet"),
                )),
                _ => Err(Failed::told(
                    exit::UNAVAILABLE,
                    format!("RabbitMQ on node {node} is not in service: {}", answer.reason()),
                )),
            }
        },
        ..Command::ROW
    },
    Command {
        name: "server_version",
        tools: &[Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows which RabbitMQ the node stands in for",
        banner: |call| format!("Asking node {} for its RabbitMQ version...", call.node()),
        run: |call| {
            let overview = call.get(&["overview"])?;
            let version = overview["rabbitmq_version"].as_str().unwrap_or_default();
            Ok(Output::Text {
                text: version.to_owned(),
                json: json!({"result": "ok", "value": version}),
            })
        },
        ..Command::ROW
    },
    Command {
        name: "status",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Monitoring,
        help: "Shows how the node is: version, memory, disk, files, listeners, totals",
        banner: |call| format!("Status of node {} ...", call.node()),
        run: status,
        ..Command::ROW
    },
    Command {
        name: "cluster_status",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Cluster,
        help: "Shows the nodes of the cluster, which of them run, and how they are",
        banner: |call| format!("Cluster status of node {} ...", call.node()),
        run: cluster_status,
        ..Command::ROW
    },
];

/// Time a node may take to start when the call does not say.
const STARTUP: Duration = Duration::from_secs(300);

/// Waits until the socket is there and answers. The node cannot be heard before it listens, so it
/// is tried again and again.
fn await_startup(call: &Call) -> Result<Output, Failed> {
    let patience = call.options.timeout.map_or(STARTUP, Duration::from_secs);
    let begun = Instant::now();
    while !is_running(call) {
        if begun.elapsed() >= patience {
            let text = format!(
                "Node {} did not start within {} seconds",
                call.node(),
                patience.as_secs()
            );
            return Err(Failed::told(exit::TEMPORARY, text));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(Output::Nothing)
}

/// Whether the node and its broker run.
pub(super) fn is_running(call: &Call) -> bool {
    call.client.is_there()
        && call
            .ask("GET", &["overview"], None)
            .is_ok_and(|answer| answer.status == 200)
}

/// The node of the overview.
pub(super) fn node(call: &Call, overview: &Value) -> Result<Value, Failed> {
    call.get(&["nodes", overview["node"].as_str().unwrap_or_default()])
}

fn status(call: &Call) -> Result<Output, Failed> {
    let overview = call.get(&["overview"])?;
    let node = node(call, &overview)?;
    let vhosts = call.list(&["vhosts"])?.len();
    let listeners = listeners::of(&overview);
    let totals = &overview["object_totals"];
    let alarms = alarms(&node);
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut text = Sections::default();
    text.section("Runtime");
    text.line(format!("OS PID: {}", shown(&node["os_pid"])));
    text.line("OS: Linux");
    text.line(format!("Uptime (seconds): {}", seconds(&node["uptime"])));
    text.line(format!("Is under maintenance?: {}", node["being_drained"] == true));
    text.line(format!("RabbitMQ version: {}", shown(&overview["rabbitmq_version"])));
    text.line(format!("Warren version: {}", env!("CARGO_PKG_VERSION")));
    text.line(format!("Node name: {}", shown(&node["name"])));
    text.section("Data directory");
    text.line(format!("Node data directory: {}", shown(&node["db_dir"])));
    text.section("Config files");
    text.bullets(&node["config_files"]);
    text.section("Log file(s)");
    text.bullets(&node["log_files"]);
    text.section("Alarms");
    text.list(&alarms);
    text.section("Tags");
    text.list(&tags(&overview["node_tags"]));
    text.section("Memory");
    text.line(format!("Total memory used: {} gb", gigabytes(&node["mem_used"])));
    text.line(format!(
        "Calculation strategy: {}",
        shown(&node["mem_calculation_strategy"])
    ));
    text.line(format!(
        "Memory high watermark computed to: {} gb",
        gigabytes(&node["mem_limit"])
    ));
    text.section("File Descriptors");
    text.line(format!("Total: {}, limit: {}", node["fd_used"], node["fd_total"]));
    text.section("Free Disk Space");
    text.line(format!(
        "Low free disk space watermark: {} gb",
        gigabytes(&node["disk_free_limit"])
    ));
    text.line(format!("Free disk space: {} gb", gigabytes(&node["disk_free"])));
    text.section("Totals");
    text.line(format!("Connection count: {}", totals["connections"]));
    text.line(format!("Queue count: {}", totals["queues"]));
    text.line(format!("Virtual host count: {vhosts}"));
    text.section("Listeners");
    text.list(&listeners::lines(&listeners));
    let json = json!({
        "memory": {"total": {"rss": node["mem_used"]}, "strategy": node["mem_calculation_strategy"]},
        "pid": node["os_pid"].as_str().and_then(|pid| pid.parse::<u64>().ok()),
        "os": "Linux",
        "alarms": alarms,
        "tags": tags(&overview["node_tags"]),
        "listeners": listeners,
        "product_name": overview["product_name"],
        "product_version": overview["product_version"],
        "rabbitmq_version": overview["rabbitmq_version"],
        "uptime": seconds(&node["uptime"]),
        "is_under_maintenance": node["being_drained"] == true,
        "data_directory": node["db_dir"],
        "config_files": node["config_files"],
        "log_files": node["log_files"],
        "vm_memory_calculation_strategy": node["mem_calculation_strategy"],
        "vm_memory_high_watermark_limit": node["mem_limit"],
        "file_descriptors": {"total_used": node["fd_used"], "total_limit": node["fd_total"]},
        "disk_free_limit": node["disk_free_limit"],
        "disk_free": node["disk_free"],
        "totals": {
            "virtual_host_count": vhosts,
            "connection_count": totals["connections"],
            "queue_count": totals["queues"],
        },
    });
    Ok(Output::Text { text: text.0, json })
}

fn cluster_status(call: &Call) -> Result<Output, Failed> {
    let overview = call.get(&["overview"])?;
    let all = call.list(&["nodes"])?;
    let flags = call.list(&["feature-flags"])?;
    let name_of = |node: &Value| node["name"].as_str().unwrap_or_default().to_owned();
    let name_at = |listener: &Value| listener["node"].as_str().unwrap_or_default().to_owned();
    let names: Vec<_> = all.iter().map(name_of).collect();
    let running: Vec<_> = all.iter().filter(|node| node["running"] == true).collect();
    let running_names: Vec<_> = running.iter().map(|node| name_of(node)).collect();
    let (cluster, version) = (&overview["cluster_name"], &overview["rabbitmq_version"]);
    let [cluster, version] = [cluster, version].map(|value| value.as_str().unwrap_or_default());
    let cores: u64 = running.iter().filter_map(|node| node["processors"].as_u64()).sum();
    let listeners = listeners::of_all(&overview);
    let alarms: Vec<_> = running.iter().flat_map(|node| alarms(node)).collect();
    let mut text = Sections::default();
    text.section("Basics");
    text.line(format!("Cluster name: {cluster}"));
    text.line(format!("Total CPU cores available cluster-wide: {cores}"));
    text.section("Cluster Tags");
    text.list(&tags(&overview["cluster_tags"]));
    text.section("Disk Nodes");
    text.list(&names);
    text.section("Running Nodes");
    text.list(&running_names);
    text.section("Versions");
    for name in &running_names {
        text.line(format!(
            "{name}: RabbitMQ {version} on Warren {}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    text.section("CPU Cores");
    for node in &running {
        let (name, cores) = (name_of(node), &node["processors"]);
        text.line(format!("Node: {name}, available CPU cores: {cores}"));
    }
    text.section("Maintenance status");
    for node in &running {
        let name = name_of(node);
        text.line(format!("Node: {name}, status: {}", maintenance(node)));
    }
    text.section("Alarms");
    text.list(&alarms);
    text.section("Network Partitions");
    let partitions = running.iter().filter(|node| node["partitions"].get(0).is_some());
    let partitions: Map<_, _> = partitions
        .map(|node| (name_of(node), node["partitions"].clone()))
        .collect();
    let lines: Vec<_> = partitions
        .iter()
        .map(|(node, others)| format!("Node {node} cannot communicate with {}", names_in(others)))
        .collect();
    text.list(&lines);
    text.section("Listeners");
    let lines = listeners::lines(&listeners);
    let lines: Vec<_> = listeners
        .iter()
        .zip(lines)
        .map(|(listener, line)| format!("Node: {}, i{}", name_at(listener), line.trim_start_matches('I')))
        .collect();
    text.list(&lines);
    text.section("Feature flags");
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines: Vec<_> = flags
        .iter()
        .map(|flag| format!("Flag: {}, state: {}", shown(&flag["name"]), shown(&flag["state"])))
        .collect();
    text.list(&lines);
    let of_each = |value: &dyn Fn(&Value) -> Value| {
        let each = running.iter().map(|node| (name_of(node), value(node)));
        Value::Object(each.collect())
    };
    let json = json!({
        "alarms": alarms,
        "cluster_tags": overview["cluster_tags"],
        "listeners": of_each(&|node| {
            let its = listeners.iter().filter(|listener| listener["node"] == node["name"]);
            its.cloned().collect()
        }),
        "cpu_cores": of_each(&|node| node["processors"].clone()),
        "cluster_name": cluster,
        "disk_nodes": names,
        "ram_nodes": [],
        "running_nodes": running_names,
        "versions": of_each(&|_| json!({"rabbitmq_name": "RabbitMQ", "rabbitmq_version": version})),
        "partitions": partitions,
        "maintenance_status": of_each(&|node| json!(maintenance(node))),
        "feature_flags": flags,
    });
    Ok(Output::Text { text: text.0, json })
}

fn maintenance(node: &Value) -> &'static str {
    match node["being_drained"] == true {
        true => "marked for maintenance",
        false => "not under maintenance",
    }
}

fn names_in(list: &Value) -> String {
    let names = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    names.collect::<Vec<_>>().join(", ")
}

/// The alarms of a node as lines.
fn alarms(node: &Value) -> Vec<String> {
    let name = node["name"].as_str().unwrap_or_default();
    let alarms = [
        ("mem_alarm", "Memory alarm on node"),
        ("disk_free_alarm", "Free disk space alarm on node"),
    ];
    let raised = alarms.into_iter().filter(|(field, _)| node[*field] == true);
    raised.map(|(_, text)| format!("{text} {name}")).collect()
}

/// Tags, `key: value` each.
fn tags(tags: &Value) -> Vec<String> {
    let tags = tags.as_object().into_iter().flatten();
    tags.map(|(key, value)| format!("{key}: {}", value.as_str().unwrap_or_default()))
        .collect()
}

fn seconds(millis: &Value) -> u64 {
    millis.as_u64().unwrap_or(0) / 1000
}

/// Thousand millions, to four digits.
fn gigabytes(bytes: &Value) -> String {
    in_units(bytes, 1e9)
}

/// So many of a unit, to four digits.
pub(super) fn in_units(bytes: &Value, unit: f64) -> String {
    let units = bytes.as_f64().unwrap_or(0.0) / unit;
    format!("{:?}", (units * 1e4).round() / 1e4)
}

/// Lines below titles.
#[derive(Default)]
struct Sections(String);

impl Sections {
    fn section(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        self.line(title);
        self.line("");
    }

    fn line(&mut self, line: impl AsRef<str>) {
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    fn list(&mut self, lines: &[String]) {
        if lines.is_empty() {
            self.line("(none)");
        }
        for line in lines {
            self.line(line);
        }
    }

    fn bullets(&mut self, items: &Value) {
        let items = items.as_array().into_iter().flatten();
        let lines: Vec<_> = items
            .map(|item| format!(" * {}", item.as_str().unwrap_or_default()))
            .collect();
        self.list(&lines);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_four_digits_at_most() {
        assert_eq!(gigabytes(&json!(68_990_173_184_u64)), "68.9902");
        assert_eq!(gigabytes(&json!(50_000_000)), "0.05");
        assert_eq!(gigabytes(&json!(0)), "0.0");
    }

    #[test]
    fn sections_are_told_apart_by_empty_lines() {
        let mut text = Sections::default();
        text.section("A");
        text.list(&[]);
        text.section("B");
        text.bullets(&json!(["x"]));
        assert_eq!(text.0, "A\n\n(none)\n\nB\n\n * x\n");
    }
}
