//! The HTTP API of a running broker, by resource; what is expected was captured from RabbitMQ 4.0.5.

#[path = "../support/mod.rs"]
mod support;

mod abuse;
mod access;
mod access_matrix;
mod bindings;
mod connections;
mod console;
mod declared;
mod definitions;
mod diagnosis;
mod features;
mod glance;
mod health;
mod http_client;
mod lists;
mod messages;
mod patterns;
mod peek;
mod policies;
mod preview;
mod redrive;
mod route_test;
mod routes;
mod server;
mod sessions;
mod shapes;
mod statistics;
mod streams;
mod tool;
mod users;
mod vhosts;

use routes::routes;
use support::Answer;

/// The reason of a refusal.
fn reason(answer: &Answer) -> String {
    let body = answer.json();
    match &body["reason"] {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The names of a list.
fn names(answer: &Answer) -> Vec<String> {
    let body = answer.expect_status(200).json();
    let items = body.get("items").unwrap_or(&body).as_array().expect("a list").clone();
    items
        .iter()
        .map(|item| item["name"].as_str().expect("a name").to_owned())
        .collect()
}

/// A header of an answer.
fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    let found = answer.headers.iter().find(|(own, _)| own == name);
    found.map(|(_, value)| value.as_str())
}
