//! The HTTP API of this node, answering as RabbitMQ's management plugin does.
//!
//! One file for each resource, which holds its routes beside their handlers. [`router`] makes the
//! table of all routes into the router that takes a request to its [`route::Route`]; in [`request`],
//! [`access`] decides who may ask, a handler reads the [`call::Call`] and gives an
//! [`answer::Answer`] or a [`answer::Failure`]. Handlers read the catalogue and the live queues, and
//! change things through the broker only.

mod access;
mod answer;
mod arguments;
mod bindings;
mod bodies;
mod browser;
mod call;
mod certificates;
mod cluster;
mod condition;
mod connections;
mod console;
mod consumers;
mod cors;
mod definitions;
mod dry_run;
mod endpoint;
mod erlang;
mod exchanges;
mod fields;
mod figures;
mod flags;
mod form;
mod health;
mod import;
mod jobs;
mod key;
mod latency;
mod lifecycle;
mod limits;
mod list;
mod load;
mod local;
mod log;
mod login;
mod maintenance;
mod messages;
mod metrics;
mod nodes;
mod notices;
mod openapi;
mod overview;
mod page;
mod parameters;
mod path;
mod permissions;
mod policies;
mod preview;
mod query;
mod queues;
mod replicas;
mod request;
mod response;
mod route;
mod route_test;
mod router;
mod running;
mod search;
mod series;
mod server;
mod session;
mod settings;
mod socket;
mod stream_groups;
mod stream_members;
mod streams;
mod super_streams;
mod text;
mod tool;
mod topology;
mod users;
mod verb;
mod vhosts;
mod views;
mod windows;

pub use endpoint::Endpoint;
pub use lifecycle::{Lifecycle, Order, Orders, lifecycle};
pub use load::{LoadError, load_definitions};
pub use metrics::serve as serve_metrics;
pub use nodes::describe;
pub use running::Running;
pub use server::{serve, serve_local};
pub use socket::{Listener, LocalSocket};

use route::Route;

/// All routes.
fn table() -> impl Iterator<Item = &'static Route> {
    let resources = [
        vhosts::ROUTES,
        users::ROUTES,
        permissions::ROUTES,
        limits::ROUTES,
        policies::ROUTES,
        parameters::ROUTES,
        overview::ROUTES,
        openapi::ROUTES,
        nodes::ROUTES,
        health::ROUTES,
        certificates::ROUTES,
        login::ROUTES,
        session::ROUTES,
        flags::ROUTES,
        queues::ROUTES,
        replicas::ROUTES,
        exchanges::ROUTES,
        bindings::ROUTES,
        messages::ROUTES,
        connections::ROUTES,
        series::ROUTES,
        latency::ROUTES,
        consumers::ROUTES,
        streams::ROUTES,
        stream_groups::ROUTES,
        super_streams::ROUTES,
        stream_members::ROUTES,
        definitions::ROUTES,
        arguments::ROUTES,
        search::ROUTES,
        cluster::ROUTES,
        notices::ROUTES,
        route_test::ROUTES,
        jobs::ROUTES,
        topology::ROUTES,
        log::ROUTES,
        maintenance::ROUTES,
        settings::ROUTES,
    ];
    resources.into_iter().flatten()
}
