//! Health checks: 200 when all is well, else 503 with what is not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::endpoint::Endpoint;
use super::route::{Access, Route, Run, Verb};
use super::{messages, queues};
use crate::broker::alarms::Shortage;
use crate::codec::Properties;
use crate::codec::method::{BasicGet, QueueDeclare};
use crate::logging;
use crate::types::NodeId;
use crate::types::sorting::{sort_by, sort_by_key};

/// What can be checked.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/health/checks/alarms",
        Access::Management,
        "No alarm in the cluster.",
        |call| alarms(call, "in the cluster", of_all(call)),
    ),
    Route::get(
        "/health/checks/local-alarms",
        Access::Management,
        "No alarm on this node.",
        |call| alarms(call, "on the node", of_node(call, call.broker.nodes().us())),
    ),
    Route::get(
        "/health/checks/virtual-hosts",
        Access::Management,
        "All vhosts run.",
        |call| {
            let catalogue = call.broker.catalogue();
            let down = catalogue
                .vhosts()
                .filter(|vhost| call.broker.vhost(vhost.name()).is_none());
            let down: Vec<_> = down.map(|vhost| vhost.name().to_string()).collect();
            healthy_unless(
                !down.is_empty(),
                json!({"reason": "Some virtual hosts are down", "virtual-hosts": down}),
            )
        },
    ),
    Route::get(
        "/health/checks/port-listener/{port}",
        Access::Management,
        "The node listens on a port.",
        port_listener,
    ),
    Route::get(
        "/health/checks/protocol-listener/{protocol}",
        Access::Management,
        "The node listens for a protocol.",
        protocol_listener,
    ),
    Route::get(
        "/health/checks/certificate-expiration/{within}/{unit}",
        Access::Management,
        "No certificate in use expires within the time.",
        certificates,
    ),
    Route::gathered(
        "/health/checks/node-is-quorum-critical",
        Access::Management,
        "The node may stop without a quorum being lost.",
        quorum_critical,
    ),
    Route::get(
        "/health/checks/ready-to-serve-clients",
        Access::Anyone,
        "The node serves clients, and takes new ones.",
        |call| match call.broker.membership().takes_clients() {
            true => serving(call),
            false if call.broker.membership().is_paused() => serving(call),
            false => healthy_unless(true, json!({"reason": NO_CLIENTS})),
        },
    ),
    Route::get(
        "/health/checks/is-in-service",
        Access::Anyone,
        "The node is not in maintenance.",
        |call| match call.broker.membership().is_drained() {
            true => healthy_unless(true, json!({"reason": DRAINED, "drained": true})),
            false => serving(call),
        },
    ),
    Route::get(
        "/health/checks/below-node-connection-limit",
        Access::Management,
        "The node has room for another connection.",
        |call| {
            let connections = call.broker.connections().len() as u64;
            let limit = call.broker.config().limits.connection_max;
            let full = limit.is_some_and(|limit| connections >= limit);
            let why = json!({
                "reason": "node connection limit is reached",
                "limit": limit,
                "connections": connections,
            });
            healthy_unless(full, why)
        },
    ),
    Route::get("/healthchecks/node", Access::Management, "The node works.", |call| {
        works(call, call.broker.nodes().us())
    }),
    Route::get(
        "/healthchecks/node/{node}",
        Access::Management,
        "The node works.",
        |call| works(call, call.node()?),
    ),
    // It declares and publishes as the user, so reading is not enough.
    Route::new(
        Verb::Get,
        "/aliveness-test/{vhost}",
        Access::Vhost,
        "The vhost takes and gives a message, in the queue aliveness-test.",
        Run::Later(|call| Box::pin(aliveness(call))),
    ),
];

/// The queue of the aliveness test, which stays.
const ALIVENESS: &str = "aliveness-test";

async fn aliveness(call: Call) -> Answered {
    call.in_vhost(|_| ())?;
    if call.broker.has_failed() {
        return serving(&call);
    }
    let actor = call.actor()?;
    let method = QueueDeclare {
        queue: ALIVENESS.to_owned(),
        ..QueueDeclare::default()
    };
    queues::declare(&call, &actor, &method, NodeId::default()).await?;
    let properties = Properties::default().encode();
    let handed_in = messages::hand_in(&call, &actor, ("", ALIVENESS), &properties, b"test_message");
    let (routed, answered) = handed_in.map_err(|_| Failure::NotAuthorised("Access refused."))?;
    // Whether it was taken is seen by what comes out.
    answered.outcome().await;
    let get = BasicGet {
        queue: ALIVENESS.to_owned(),
        no_ack: true,
    };
    let got = messages::fetch(&call, &actor, &get).await?;
    let is_alive = routed && got.is_some();
    healthy_unless(!is_alive, json!({"reason": "aliveness-test queue is empty"}))
}

const FAILED: &str = "the node cannot write to its disk";
const DRAINED: &str = "the node is out of service: its operator has drained it";
const NO_CLIENTS: &str = "the node takes no new clients: its operator has closed its listeners";
const MINORITY: &str = "a majority of the cluster's nodes cannot be reached";
const DRAINING: &str = "the node is about to stop";

fn healthy_unless(ill: bool, mut why: Value) -> Answered {
    if !ill {
        return Ok(Answer::Json(json!({"status": "ok"})));
    }
    why["status"] = json!("failed");
    Ok(Answer::Unhealthy(why))
}

fn serving(call: &Call) -> Answered {
    if call.broker.has_failed() {
        return healthy_unless(true, json!({"reason": FAILED}));
    }
    if call.broker.membership().is_draining() {
        return healthy_unless(true, json!({"reason": DRAINING}));
    }
    healthy_unless(!call.broker.membership().hears_majority(), json!({"reason": MINORITY}))
}

/// What a node is short of, by its name.
type Short = (String, Shortage);

fn of_node(call: &Call, node: NodeId) -> Vec<Short> {
    let mut short = of_all(call);
    let name = call.broker.declarations().node_names().remove(&node);
    short.retain(|(short, _)| Some(short) == name.as_ref());
    short
}

fn of_all(call: &Call) -> Vec<Short> {
    let (broker, mut names) = (&call.broker, call.broker.declarations().node_names());
    let own = (broker.nodes().us(), broker.alarms().own());
    let all = broker.alarms().of_others().into_iter().chain([own]);
    let mut short: Vec<_> = all
        .filter_map(|(node, short)| Some((names.remove(&node)?, short)))
        .collect();
    sort_by(&mut short, |(one, _), (other, _)| one.cmp(other));
    short
}

fn alarms(call: &Call, whose: &str, short: Vec<Short>) -> Answered {
    if call.broker.has_failed() {
        return serving(call);
    }
    let alarms = short.iter().flat_map(|(node, shortage)| {
        let resources = [(shortage.memory, "memory"), (shortage.disk, "disk space")];
        let short = resources.into_iter().filter(|(short, _)| *short);
        short.map(move |(_, resource)| json!({"node": node, "resource": resource}))
    });
    let alarms: Vec<_> = alarms.collect();
    if alarms.is_empty() {
        return Ok(Answer::Json(json!({"status": "ok"})));
    }
    Ok(Answer::Unhealthy(json!({
        "reason": format!("There are alarms in effect {whose}"),
        "status": "failed",
        "alarms": alarms,
    })))
}

/// The old check of a node, which may be another.
fn works(call: &Call, node: NodeId) -> Answered {
    match call.broker.nodes().is_alive(node) {
        true => alarms(call, "on the node", of_node(call, node)),
        false => healthy_unless(true, json!({"reason": "the node does not answer"})),
    }
}

fn quorum_critical(call: &Call) -> Answered {
    if call.broker.declarations().node_names().len() < 2 {
        return Ok(Answer::Json(json!({"status": "ok", "reason": "single node cluster"})));
    }
    let critical = call.broker.reports().critical_queues(&call.gathered);
    let queues: Vec<_> = critical
        .iter()
        .map(|queue| {
            let (vhost, name) = (&queue.spec.vhost, &queue.spec.name);
            json!({
                "name": name,
                "readable_name": format!("queue '{name}' in vhost '{vhost}'"),
                "type": "rabbit_quorum_queue",
                "virtual_host": vhost,
            })
        })
        .collect();
    match queues.is_empty() {
        true => Ok(Answer::Json(json!({"status": "ok"}))),
        false => Ok(Answer::Unhealthy(json!({
            "status": "failed",
            "reason": "There are quorum queues that would lose their quorum if the target node is shut down",
            "queues": queues,
        }))),
    }
}

/// The node's listeners, those for clients last, as RabbitMQ lists them.
fn listeners(call: &Call) -> Vec<&Endpoint> {
    let mut listeners: Vec<_> = call.endpoints.iter().collect();
    sort_by_key(&mut listeners, |endpoint| match endpoint.protocol {
        "clustering" => 1,
        protocol if protocol.starts_with("http") => 0,
        _ => 2,
    });
    listeners
}

fn port_listener(call: &Call) -> Answered {
    let port: u16 = call.name("port").parse().map_err(|_| Failure::bad("Invalid port"))?;
    let ports: Vec<_> = listeners(call).iter().map(|endpoint| endpoint.address.port()).collect();
    Ok(match ports.contains(&port) {
        true => Answer::Json(json!({"status": "ok", "port": port})),
        false => Answer::Unhealthy(json!({
            "status": "failed", "reason": "No active listener", "missing": port, "ports": ports,
        })),
    })
}

fn protocol_listener(call: &Call) -> Answered {
    let wanted = call.name("protocol");
    let mut protocols: Vec<_> = listeners(call).iter().map(|endpoint| endpoint.protocol).collect();
    protocols.dedup();
    let there = protocols.iter().any(|protocol| is_protocol(wanted, protocol));
    Ok(match there {
        true => Answer::Json(json!({"status": "ok", "protocol": wanted})),
        false => Answer::Unhealthy(json!({
            "status": "failed", "reason": "No active listener", "missing": wanted, "protocols": protocols,
        })),
    })
}

/// Protocols are also asked for by their numbers.
fn is_protocol(wanted: &str, protocol: &str) -> bool {
    let other_names: &[&str] = match protocol {
        "amqp" => &["amqp091", "amqp0.9.1", "amqp0-9-1"],
        "amqp/ssl" => &["amqps"],
        "http" => &["management"],
        "https" => &["management/ssl"],
        "http/prometheus" => &["prometheus"],
        _ => &[],
    };
    wanted.eq_ignore_ascii_case(protocol) || other_names.iter().any(|name| wanted.eq_ignore_ascii_case(name))
}

/// Letters of `2026-01-31 12:00:00`.
const TO_THE_SECOND: usize = 19;

fn certificates(call: &Call) -> Answered {
    let within = call.name("within").parse::<u32>();
    let within = u64::from(within.map_err(|_| Failure::bad("Invalid expiration value."))?);
    let days: u64 = match call.name("unit") {
        "day" | "days" => 1,
        "week" | "weeks" => 7,
        "month" | "months" => 30,
        "year" | "years" => 365,
        _ => {
            return Err(Failure::bad(
                "Time unit not recognised. Supported units: days, weeks, months, years.",
            ));
        }
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let until = now.saturating_add(within.saturating_mul(days).saturating_mul(24 * 3600));
    let listeners = call.endpoints.iter().filter_map(|endpoint| {
        let mut certificates = match (&endpoint.tls, endpoint.protocol) {
            (Some(tls), _) => tls.certificates(),
            (None, "clustering") => call.broker.membership().certificates(),
            (None, _) => Vec::new(),
        };
        certificates.retain(|own| own.valid_until <= until);
        if certificates.is_empty() {
            return None;
        }
        let mut listener = json!({
            "node": call.broker.node().name,
            "protocol": endpoint.protocol,
            "interface": endpoint.address.ip().to_string(),
            "port": endpoint.address.port(),
        });
        for certificate in &certificates {
            let file = certificate.key.rsplit('.').next().unwrap_or_default();
            listener[file] = json!(certificate.file);
            // To the second, and one in a list, as RabbitMQ has them.
            let end = logging::shown_time(Duration::from_secs(certificate.valid_until));
            listener[format!("{file}_expires_on")] = json!([end.get(..TO_THE_SECOND).unwrap_or(&end)]);
        }
        Some(listener)
    });
    let expired: Vec<_> = listeners.collect();
    if expired.is_empty() {
        return healthy_unless(false, json!({}));
    }
    healthy_unless(true, json!({"reason": "Certificates expiring", "expired": expired}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_several_names() {
        assert!(is_protocol("AMQP", "amqp"));
        assert!(is_protocol("amqp091", "amqp"));
        assert!(!is_protocol("amqp,http", "amqp"));
        assert!(!is_protocol("mqtt", "http"));
    }

    #[test]
    fn what_is_ill_says_why() {
        assert_eq!(
            healthy_unless(true, json!({"reason": "x"})),
            Ok(Answer::Unhealthy(json!({"reason": "x", "status": "failed"})))
        );
    }
}
