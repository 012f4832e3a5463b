//! Nodes; this one is alone.

use serde_json::{Value, json};

use super::answer::{Answer, Failure};
use super::call::Call;
use super::overview::{contexts, exchange_types};
use super::page;
use super::route::{Access, Route};
use crate::config::Mechanism;

/// What can be asked of nodes.
pub static ROUTES: &[Route] = &[
    Route::get("/nodes", Access::Monitoring, "All nodes.", |call| {
        page::listing(call, vec![view(call)], &["name"])
    }),
    Route::get("/nodes/{node}", Access::Monitoring, "A node.", |call| {
        check_name(call)?;
        page::single(call, view(call))
    }),
    Route::get(
        "/nodes/{node}/memory",
        Access::Monitoring,
        "The memory of a node.",
        |call| {
            check_name(call)?;
            let used = call.broker.alarms().memory_used();
            Ok(Answer::Json(json!({
                "memory": {"strategy": "rss", "total": {"rss": used, "allocated": used}},
            })))
        },
    ),
];

fn check_name(call: &Call) -> Result<(), Failure> {
    if call.name("node") == call.broker.node().name {
        Ok(())
    } else {
        Err(Failure::NotFound)
    }
}

fn view(call: &Call) -> Value {
    let config = call.broker.config();
    let node = call.broker.node();
    let alarms = call.broker.alarms();
    let shortage = alarms.shortage();
    // In RabbitMQ's order, which columns keep.
    json!({
        "partitions": [],
        "os_pid": std::process::id().to_string(),
        "fd_total": open_files_limit(),
        "sockets_total": 0,
        "mem_limit": alarms.memory_limit(),
        "mem_alarm": shortage.memory,
        "disk_free_limit": alarms.disk_limit(),
        "disk_free_alarm": shortage.disk,
        "proc_total": 0,
        "rates_mode": "basic",
        "uptime": call.broker.now().since(node.started_at),
        "run_queue": 0,
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "exchange_types": exchange_types(),
        "auth_mechanisms": mechanisms(call),
        "applications": [{
            "name": "warren",
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "version": env!("CARGO_PKG_VERSION"),
        }],
        "contexts": contexts(call),
        "log_files": ["<stdout>"],
        "db_dir": config.node.data_dir,
        "config_files": config.files,
        "net_ticktime": 60,
        "enabled_plugins": ["rabbitmq_management"],
        "mem_calculation_strategy": "rss",
        "name": node.name,
        "running": !call.broker.has_failed(),
        "type": "disc",
        "being_drained": false,
        "mem_used": alarms.memory_used(),
        "fd_used": open_files(),
        "sockets_used": 0,
        "proc_used": 0,
        "disk_free": alarms.disk_free(),
        "cluster_links": [],
    })
}

fn mechanisms(call: &Call) -> Value {
    let mechanisms = call.broker.config().auth.mechanisms.values();
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

fn open_files_limit() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.unwrap_or(u64::MAX)
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
