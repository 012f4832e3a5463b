//! The nodes of the cluster. Each is asked how it is; one that does not answer at once is shown
//! without figures.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::overview::{contexts, exchange_types, rates_mode};
use super::page;
use super::route::{Access, Route, Run, Verb};
use crate::config::{Config, Mechanism, Stream};
use crate::types::NodeId;

/// What can be asked of nodes.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/nodes",
        Access::Monitoring,
        "All nodes.",
        Run::Later(|call| {
            Box::pin(async move {
                let members = members(&call);
                let views = futures_util::future::join_all(members.iter().map(|member| view_of(&call, member)));
                let views = views.await;
                page::listing(&call, views, &["name"])
            })
        }),
    ),
    Route::new(
        Verb::Get,
        "/nodes/{node}",
        Access::Monitoring,
        "A node.",
        Run::Later(|call| {
            Box::pin(async move {
                let member = member(&call)?;
                let view = view_of(&call, &member).await;
                page::single(&call, view)
            })
        }),
    ),
    Route::delete(
        "/nodes/{node}",
        Access::Administrator,
        "Removes a node that is stopped from the cluster.",
        |call| Box::pin(forget(call)),
    ),
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

/// A member of the cluster.
struct Member {
    id: NodeId,
    name: String,
}

fn members(call: &Call) -> Vec<Member> {
    let catalog = call.broker.catalog();
    let nodes = catalog.nodes().iter();
    nodes
        .map(|(id, node)| Member {
            id: *id,
            name: node.name.clone(),
        })
        .collect()
}

/// The node of the path.
fn member(call: &Call) -> Result<Member, Failure> {
    let mut members = members(call).into_iter();
    members
        .find(|member| member.name == call.name("node"))
        .ok_or(Failure::NotFound)
}

fn check_name(call: &Call) -> Result<(), Failure> {
    if call.name("node") == call.broker.node().name {
        Ok(())
    } else {
        Err(Failure::NotFound)
    }
}

async fn forget(call: Call) -> Answered {
    let member = member(&call)?;
    // One that was ended a moment ago may not be missed yet.
    let is_us = member.id == call.broker.nodes().us();
    if is_us || call.broker.figures_of(member.id).await.is_some() {
        let name = member.name;
        return Err(Failure::bad(format!(
            "RabbitMQ on node {name} must be stopped with 'rabbitmqctl -n {name} stop_app' before it can be removed"
        )));
    }
    call.broker.forget(member.id).await?;
    Ok(Answer::Done)
}

async fn view_of(call: &Call, member: &Member) -> Value {
    if member.id == call.broker.nodes().us() {
        return view(call);
    }
    let figures = match call.broker.nodes().is_alive(member.id) {
        true => call.broker.figures_of(member.id).await,
        false => None,
    };
    let Some(figures) = figures else {
        return json!({
            "partitions": [],
            "name": member.name,
            "running": false,
            "type": "disc",
            "being_drained": false,
            "cluster_links": [],
        });
    };
    json!({
        "partitions": [],
        "os_pid": figures.process.to_string(),
        "mem_limit": figures.memory_limit,
        "mem_alarm": figures.memory_alarm,
        "disk_free_limit": figures.disk_limit,
        "disk_free_alarm": figures.disk_alarm,
        "rates_mode": "basic",
        "uptime": figures.uptime_ms,
        "processors": figures.processors,
        "name": member.name,
        "running": true,
        "type": "disc",
        "being_drained": false,
        "mem_used": figures.memory_used,
        "disk_free": figures.disk_free,
        "cluster_links": [],
    })
}

fn view(call: &Call) -> Value {
    let config = call.broker.config();
    let node = call.broker.node();
    let alarms = call.broker.alarms();
    let shortage = alarms.shortage();
    let (files, sockets) = open_files();
    // Tasks that are ready and that no worker has taken yet.
    let waiting = tokio::runtime::Handle::current().metrics().global_queue_depth();
    // In RabbitMQ's order, which columns keep.
    json!({
        "partitions": [],
        "os_pid": std::process::id().to_string(),
        "fd_total": open_files_limit(),
        "sockets_total": open_files_limit(),
        "mem_limit": alarms.memory_limit(),
        "mem_alarm": shortage.memory,
        "disk_free_limit": alarms.disk_limit(),
        "disk_free_alarm": shortage.disk,
        "proc_total": threads_limit(),
        "rates_mode": rates_mode(config),
        "uptime": call.broker.now().since(node.started_at),
        "run_queue": waiting,
        "processors": std::thread::available_parallelism().map_or(1, usize::from),
        "exchange_types": exchange_types(),
        "auth_mechanisms": mechanisms(call),
        "applications": [{
            "name": "warren",
            "description": env!("CARGO_PKG_DESCRIPTION"),
            "version": env!("CARGO_PKG_VERSION"),
        }],
        "contexts": contexts(call),
        "log_files": log_files(config),
        "db_dir": config.node.data_dir,
        "config_files": config.files,
        "enabled_plugins": ["rabbitmq_management"],
        "mem_calculation_strategy": "rss",
        "name": node.name,
        "running": !call.broker.has_failed(),
        "type": "disc",
        "being_drained": false,
        "mem_used": alarms.memory_used(),
        "fd_used": files,
        "sockets_used": sockets,
        "proc_used": threads(),
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

/// How many files are open, and how many of them are sockets.
fn open_files() -> (usize, usize) {
    let open = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    open.fold((0, 0), |(files, sockets), file| {
        let is_socket = std::fs::read_link(file.path())
            .is_ok_and(|name| name.as_os_str().as_encoded_bytes().starts_with(b"socket:"));
        (files + 1, sockets + usize::from(is_socket))
    })
}

/// Where RabbitMQ counts the processes of Erlang, these are threads.
fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

/// How many threads this user, or this machine, may have.
fn threads_limit() -> Option<u64> {
    let own = rustix::process::getrlimit(rustix::process::Resource::Nproc).current;
    let machine = std::fs::read_to_string("/proc/sys/kernel/threads-max").ok();
    let machine = machine.and_then(|text| text.trim().parse().ok());
    own.into_iter().chain(machine).min()
}

/// Where log lines go, as RabbitMQ names it.
fn log_files(config: &Config) -> Value {
    let stream = match config.logging.stream {
        Stream::Stdout => "<stdout>",
        Stream::Stderr => "<stderr>",
    };
    let console = config.logging.console.then(|| json!(stream));
    let file = config
        .logging
        .file
        .as_ref()
        .map(|name| json!(config.log_dir().join(name)));
    console.into_iter().chain(file).collect()
}
