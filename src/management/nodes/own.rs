//! How this node describes itself, to its own clients and to other nodes.

use serde_json::{Value, json};

use super::super::endpoint::Endpoint;
use super::super::overview::{contexts, exchange_types, rates_mode};
use super::super::{erlang, figures};
use crate::broker::Broker;
use crate::broker::process::{open_files, threads};
use crate::config::{Config, Mechanism, PLUGINS, Stream};
use crate::metrics::process::open_files_limit;
use crate::statistics::{Figure, Measure, Windows};

/// How a node that listens there is described to the others.
pub fn describe(endpoints: Vec<Endpoint>) -> impl Fn(&Broker, Windows) -> Value {
    move |broker, windows| view(broker, &endpoints, windows)
}

/// This node.
pub fn view(broker: &Broker, endpoints: &[Endpoint], windows: Windows) -> Value {
    // Whatever is shown of a node is asked for together.
    let windows = windows.node.map(Windows::all).unwrap_or(windows);
    let config = broker.config();
    let node = broker.node();
    let alarms = broker.alarms();
    let shortage = alarms.own();
    let (files, sockets) = open_files();
    // Tasks that are ready and that no worker has taken yet.
    let waiting = tokio::runtime::Handle::current().metrics().global_queue_depth();
    // In RabbitMQ's order, which columns keep.
    let mut view = json!({
        "partitions": broker.membership().partitions(),
        "os_pid": std::process::id().to_string(),
        "fd_total": open_files_limit(),
        "sockets_total": open_files_limit(),
        "mem_limit": alarms.memory_limit(),
        "mem_alarm": shortage.memory,
        "disk_free_limit": alarms.disk_limit(),
        "disk_free_alarm": shortage.disk,
        "proc_total": threads_limit(),
        "rates_mode": rates_mode(config),
        "uptime": broker.now().since(node.started_at),
        "run_queue": waiting,
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "exchange_types": exchange_types(),
        "auth_mechanisms": mechanisms(broker),
        "applications": [{
            "name": "warren",
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "version": env!("CARGO_PKG_VERSION"),
        }],
        "contexts": contexts(endpoints),
        "log_files": log_files(config),
        "db_dir": config.node.data_dir,
        "config_files": config.files,
        "enabled_plugins": PLUGINS,
        "net_ticktime": broker.membership().silence_between_nodes().as_secs(),
        "mem_calculation_strategy": "rss",
        "name": node.name,
        "running": !broker.has_failed(),
        "type": "disc",
        "being_drained": broker.membership().is_drained() || broker.membership().is_draining(),
    });
    let counted = broker
        .statistics()
        .figures(broker.statistics().node(), broker.reports().second(), windows);
    for (measure, value) in [
        (Measure::MemUsed, json!(alarms.memory_used())),
        (Measure::FdUsed, json!(files)),
        (Measure::SocketsUsed, json!(sockets)),
        (Measure::ProcUsed, json!(threads())),
        (Measure::DiskFree, json!(alarms.disk_free())),
    ] {
        view[measure.name()] = value;
        figures::write_details(windows, &mut view, measure.name(), measure, &counted.get(measure));
    }
    figures::write_counters(windows, &mut view, &counted, figures::JOURNAL);
    let [syncs, took] = [Measure::IoSyncCount, Measure::IoSyncMicros].map(|measure| counted.get(measure));
    // Of late, in ms; RabbitMQ shows the average as its own rate.
    let average = |syncs: f64, took: f64| if syncs > 0.0 { took / syncs / 1000.0 } else { 0.0 };
    let of_late = average(syncs.rate, took.rate);
    let steps = syncs.points.iter().zip(&took.points);
    let figure = Figure {
        now: of_late,
        rate: of_late,
        points: steps.map(|(syncs, took)| Some(average((*syncs)?, (*took)?))).collect(),
        tail: 0.0,
    };
    figures::write_average(&mut view, "io_sync_avg_time", &figure, windows.node);
    figures::write_counters(windows, &mut view, &counted, figures::CHURN);
    erlang::write_node(&mut view, windows);
    view["cluster_links"] = json!([]);
    view
}

/// Where log lines go, as RabbitMQ names it.
fn log_files(config: &Config) -> Vec<String> {
    let file = config
        .logging
        .file
        .as_ref()
        .map(|name| config.log_dir().join(name).display().to_string());
    let stream = match config.logging.stream {
        Stream::Stdout => "<stdout>",
        Stream::Stderr => "<stderr>",
    };
    let terminal = config.logging.console.then(|| stream.to_owned());
    file.into_iter().chain(terminal).collect()
}

fn mechanisms(broker: &Broker) -> Value {
    let mechanisms = broker.config().auth.mechanisms.values();
    mechanisms
        .map(|mechanism| {
            let (name, description) = match mechanism {
                Mechanism::Plain => ("PLAIN", "SASL PLAIN authentication mechanism"),
                Mechanism::Amqplain => ("AMQPLAIN", "QPid AMQPLAIN mechanism"),
                Mechanism::Anonymous => ("ANONYMOUS", "SASL ANONYMOUS authentication mechanism"),
                Mechanism::External => ("EXTERNAL", "SASL EXTERNAL authentication mechanism"),
            };
            json!({"name": name, "description": description, "enabled": true})
        })
        .collect()
}

/// How many threads this user, or this machine, may have.
fn threads_limit() -> Option<u64> {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nproc).current;
    let machine = std::fs::read_to_string("/proc/sys/kernel/threads-max").ok();
    let machine = machine.and_then(|text| text.trim().parse().ok());
    own.into_iter().chain(machine).min()
}
