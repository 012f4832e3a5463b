//! The node at a glance: what it is, what it holds, where it listens.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::endpoint::{self, Endpoint};
use super::erlang;
use super::figures;
use super::page;
use super::parameters::cluster_name;
use super::route::{Access, Route};
use super::views::{self, Totals};
use crate::config::{Config, RatesMode};
use crate::exchange::EXCHANGE_TYPES;
use crate::statistics::Figures;
use crate::types::sorting::sort_by_key;

/// What can be asked of the whole node.
pub static ROUTES: &[Route] = &[
    Route::gathered("/overview", Access::Management, "The cluster at a glance.", |call| {
        page::single(call, overview(call))
    }),
    Route::get("/version", Access::Anyone, "The version of the API.", |call| {
        Ok(Answer::Json(json!(call.broker.config().product.version)))
    }),
    Route::get(
        "/extensions",
        Access::Management,
        "What RabbitMQ's own console loads when it stands before this API: its pages, and no plugin's.",
        |_| Ok(Answer::Json(json!([{"javascript": "dispatcher.js"}]))),
    ),
    Route::get(
        "/config/effective",
        Access::Administrator,
        "The configuration that the node runs with, a key in a line, without secrets.",
        |call| {
            let keys = call.broker.config().effective().into_iter();
            let lines = keys.map(|(key, value)| format!("{key} = {value}\n"));
            Ok(Answer::Text(lines.collect()))
        },
    )
    .plain(),
    Route::get("/index.html", Access::Anyone, "This page.", |_| {
        Ok(Answer::Html(help()))
    }),
];

fn overview(call: &Call) -> Value {
    let config = call.broker.config();
    let node = &call.broker.node().name;
    let (objects, totals) = totals(call);
    let counted = counted(call);
    let mut queue_totals = json!({});
    totals.write(&mut queue_totals);
    views::write_lengths(call, &mut queue_totals, &counted);
    let mut churn = json!({});
    figures::write_counters(call.windows, &mut churn, call.gathered.figures(), figures::CHURN);
    let groups = [figures::PUBLISHES, figures::DELIVERIES, figures::DISK];
    let message_stats = figures::message_stats(call, &counted, &groups).unwrap_or_else(|| json!({}));
    let mut view = json!({
        "management_version": config.product.version,
        "rates_mode": rates_mode(config),
        "sample_retention_policies": {
            "global": [600, 3600, 28800, 86400],
            "basic": [600, 3600],
            "detailed": [600],
        },
        "exchange_types": exchange_types(),
        "product_version": config.product.product_version,
        "product_name": config.product.product_name,
        "rabbitmq_version": config.product.version,
        "cluster_name": cluster_name(&call.broker),
        "cluster_tags": config.cluster.tags,
        "node_tags": config.node.tags,
        "erlang_version": erlang::VERSION,
        "erlang_full_version": erlang::VERSION,
        "disable_stats": config.management.disable_stats || config.management.keep_no_statistics,
        "default_queue_type": config.queues.default_type,
        "is_op_policy_updating_enabled": !config.management.forbid_operator_policy_changes,
        "enable_queue_totals": config.management.enable_queue_totals,
        "message_stats": message_stats,
        "churn_rates": churn,
        "queue_totals": queue_totals,
        "object_totals": objects,
        "statistics_db_event_queue": 0,
    });
    if let (true, Value::Object(view)) = (call.has_no_stats(), &mut view) {
        for field in ["message_stats", "churn_rates", "queue_totals"] {
            view.shift_remove(field);
        }
    }
    if call.caller.is_monitor() {
        view["node"] = json!(node);
        view["listeners"] = listeners(call).into();
        view["contexts"] = all_contexts(call).into();
    }
    view
}

/// What was counted, of all that the user may see.
fn counted(call: &Call) -> Figures {
    if call.caller.is_monitor() {
        return call.gathered.figures().clone();
    }
    let visible = call.caller.vhosts(&call.broker.catalogue());
    visible.iter().fold(Figures::default(), |mut sum, vhost| {
        sum.add(&call.gathered.figures_of_vhost(vhost));
        sum
    })
}

/// How much of the rates is kept, as it is configured.
pub fn rates_mode(config: &Config) -> &'static str {
    match config.management.rates_mode {
        RatesMode::Basic => "basic",
        RatesMode::Detailed => "detailed",
        RatesMode::None => "none",
    }
}

/// The listeners of all nodes that answer.
fn listeners(call: &Call) -> Vec<Value> {
    let node = &call.broker.node().name;
    let own = call.endpoints.iter().map(|endpoint| endpoint.view(node));
    let others = call.gathered.listeners().iter();
    let others = others.map(|(node, listener)| endpoint::view(node, &listener.protocol, listener.address));
    let mut listeners: Vec<_> = own.chain(others).collect();
    sort_by_key(&mut listeners, |listener| listener["node"].as_str().map(str::to_owned));
    listeners
}

/// What the user may see, counted.
fn totals(call: &Call) -> (Value, Totals) {
    let catalogue = call.broker.catalogue();
    let visible = call.caller.vhosts(&catalogue);
    let exchanges: usize = visible
        .iter()
        .filter_map(|name| catalogue.vhost(name))
        .map(|vhost| vhost.exchanges().count())
        .sum();
    drop(catalogue);
    let vhosts = visible.iter().filter_map(|name| call.broker.vhost(name));
    let queues: Vec<_> = vhosts.flat_map(|vhost| vhost.queues()).collect();
    let consumers: u64 = queues
        .iter()
        .filter_map(|queue| call.gathered.counts(queue))
        .map(|counts| counts.consumers)
        .sum();
    let mut connections = call.broker.connections().all();
    connections.retain(|connection| {
        let own = || connection.user().as_ref() == Some(&call.caller.name);
        connection.vhost().is_some() && (call.caller.is_monitor() || own())
    });
    let channels = connections
        .iter()
        .map(|connection| u64::from(connection.channels.load(std::sync::atomic::Ordering::Relaxed)));
    let others = call.gathered.clients().iter();
    let others: Vec<_> = others
        .filter(|clients| call.caller.is_monitor() || clients.user == call.caller.name)
        .collect();
    let mut objects = json!({
        "channels": channels.chain(others.iter().map(|clients| clients.channels)).sum::<u64>(),
        "consumers": consumers,
        "exchanges": exchanges,
        "queues": queues.len(),
        "connections": connections.len() as u64 + others.iter().map(|clients| clients.connections).sum::<u64>(),
    });
    if let (false, Value::Object(objects)) = (call.caller.is_monitor(), &mut objects) {
        objects.shift_remove("consumers");
    }
    (objects, Totals::of(call, &queues))
}

/// The exchange types with RabbitMQ's descriptions.
pub fn exchange_types() -> Value {
    let types = EXCHANGE_TYPES.iter();
    types
        .map(|row| json!({"name": row.name, "description": row.description, "enabled": true}))
        .collect()
}

/// The HTTP listeners of a node.
pub fn contexts(endpoints: &[Endpoint]) -> Value {
    let contexts = endpoints.iter();
    contexts
        .filter_map(|endpoint| context(endpoint.protocol, endpoint.address.port()))
        .collect()
}

/// Those of all nodes that answer.
fn all_contexts(call: &Call) -> Vec<Value> {
    let own = &call.broker.node().name;
    let own = call.endpoints.iter().map(|one| (own, one.protocol, one.address));
    let others = call.gathered.listeners().iter();
    let others = others.map(|(node, one)| (node, one.protocol.as_str(), one.address));
    let mut contexts: Vec<_> = own
        .chain(others)
        .filter_map(|(node, protocol, address)| {
            let mut context = context(protocol, address.port())?;
            context["ssl_opts"] = json!([]);
            context["node"] = json!(node);
            Some(context)
        })
        .collect();
    sort_by_key(&mut contexts, |context| context["node"].as_str().map(str::to_owned));
    contexts
}

fn context(protocol: &str, port: u16) -> Option<Value> {
    let (description, is_tls) = match protocol {
        "http" => ("RabbitMQ Management", false),
        "https" => ("RabbitMQ Management", true),
        "http/prometheus" => ("RabbitMQ Prometheus", false),
        "https/prometheus" => ("RabbitMQ Prometheus", true),
        _ => return None,
    };
    let mut context = json!({
        "description": description,
        "path": "/",
        "cowboy_opts": "[]",
        "port": port.to_string(),
    });
    if protocol.ends_with("/prometheus") {
        context["protocol"] = json!(format!("'{protocol}'"));
    }
    if is_tls {
        context["ssl"] = json!("true");
    }
    Some(context)
}

/// The table of routes as a page.
fn help() -> String {
    let rows = super::table().map(|route| {
        format!(
            "<tr><td>{}</td><td>/api{}</td><td>{}</td></tr>\n",
            route.verb.name(),
            route.path,
            route.help.replace('&', "&amp;").replace('<', "&lt;")
        )
    });
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>HTTP API</title></head>\n<body>\n\
         <h1>HTTP API</h1>\n<p>Everything is JSON, behind HTTP basic authentication. Names in paths are \
         percent-encoded: the vhost <code>/</code> is <code>%2F</code>.</p>\n<table>\n{}</table>\n</body>\n</html>\n",
        rows.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_page_lists_every_route() {
        let page = help();
        for route in super::super::table() {
            assert!(page.contains(&format!("<td>/api{}</td>", route.path)), "{}", route.path);
            assert!(route.help.ends_with('.'), "{}", route.path);
        }
    }
}
