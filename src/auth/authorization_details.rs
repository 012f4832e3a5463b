//! Rich authorization requests (RFC 9396): what the claim `authorization_details` of a token grants, as scopes.
//!
//! ```text
//! {"type": "rabbitmq", "locations": ["cluster:prod-*/vhost:shop/queue:orders"], "actions": ["read", "administrator"]}
//!     → read:shop/orders/*  tag:administrator          at a broker that is called prod-1
//! ```
//! As RabbitMQ's plug-in reads them (<https://www.rabbitmq.com/docs/oauth2#rich-authorization-request>): a location
//! has to name the cluster; what it does not name is `*`; what is of another shape grants nothing.

use serde_json::Value;

use super::scopes::Wildcard;

/// Actions that are tags of the user.
const TAGS: [&str; 4] = ["administrator", "management", "monitoring", "policymaker"];

/// The scopes, without a prefix, that details of that type grant at the resource server of that id.
pub fn scopes(details: &Value, server_type: &str, server_id: &str) -> Vec<String> {
    let mut scopes = Vec::new();
    for detail in list(details) {
        if detail["type"].as_str() != Some(server_type) {
            continue;
        }
        let locations = list(&detail["locations"]).filter_map(Value::as_str);
        let resources: Vec<_> = locations.filter_map(|location| resource(location, server_id)).collect();
        for action in list(&detail["actions"]).filter_map(Value::as_str) {
            let granted = resources.iter().filter_map(|resource| match action {
                "configure" | "read" | "write" => Some(format!("{action}:{resource}")),
                tag if TAGS.contains(&tag) => Some(format!("tag:{tag}")),
                _ => None,
            });
            scopes.extend(granted);
        }
    }
    scopes
}

/// Of a list its items; one by itself is a list of one.
fn list(value: &Value) -> impl Iterator<Item = &Value> {
    match value {
        Value::Array(items) => items.as_slice(),
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
    .iter()
}

/// `vhost/name/routing-key` of a location, if it is about that server.
fn resource(location: &str, server_id: &str) -> Option<String> {
    let mut parts = [None; 5];
    for part in location.split('/') {
        let Some((name, value)) = part.split_once(':').filter(|(_, value)| !value.is_empty()) else {
            continue;
        };
        let names = ["cluster", "vhost", "queue", "exchange", "routing-key"];
        if let Some(at) = names.iter().position(|known| *known == name) {
            parts[at] = Some(value);
        }
    }
    let [cluster, vhost, queue, exchange, key] = parts;
    if !Wildcard::of(cluster?).matches(server_id) {
        return None;
    }
    // Scopes do not tell queues from exchanges: of a location with both they have to be called the same.
    let name = match (queue, exchange) {
        (Some(queue), Some(exchange)) if queue != exchange => return None,
        (queue, exchange) => queue.or(exchange),
    };
    let [vhost, name, key] = [vhost, name, key].map(|part| part.unwrap_or("*"));
    Some(format!("{vhost}/{name}/{key}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn granted(locations: Value, actions: Value) -> Vec<String> {
        let details = json!([{"type": "rabbitmq", "locations": locations, "actions": actions}]);
        scopes(&details, "rabbitmq", "prod-1")
    }

    #[test]
    fn locations_and_actions_become_scopes() {
        assert_eq!(
            granted(
                json!(["cluster:prod-*/vhost:shop/queue:orders"]),
                json!(["read", "administrator"])
            ),
            ["read:shop/orders/*", "tag:administrator"]
        );
        assert_eq!(
            granted(json!("cluster:prod-1/exchange:e/routing-key:a.*"), json!("write")),
            ["write:*/e/a.*"]
        );
        assert_eq!(granted(json!(["cluster:*"]), json!(["configure"])), ["configure:*/*/*"]);
    }

    #[test]
    fn what_is_about_something_else_grants_nothing() {
        for (locations, actions) in [
            (json!(["cluster:test"]), json!(["read"])),
            (json!(["vhost:shop"]), json!(["read", "administrator"])),
            (json!(["cluster:prod-1/queue:a/exchange:b"]), json!(["read"])),
            (json!(["cluster:prod-1"]), json!(["delete", 7])),
            (json!(null), json!(["read"])),
            (json!({"cluster": "prod-1"}), json!(["read"])),
        ] {
            assert_eq!(granted(locations.clone(), actions), [""; 0], "{locations}");
        }
        let other = json!([{"type": "kafka", "locations": ["cluster:*"], "actions": ["read"]}, 5]);
        assert_eq!(scopes(&other, "rabbitmq", "prod-1"), [""; 0]);
    }
}
