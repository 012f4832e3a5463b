//! The table of routes as an OpenAPI document (OpenAPI 3.1).

use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::route::{Access, Route};

/// Where the document is.
pub static ROUTES: &[Route] = &[Route::get(
    "/openapi.json",
    Access::Anyone,
    "This API as an OpenAPI document.",
    |call| {
        let config = call.broker.config();
        let base = format!("{}/api", config.management.path_prefix);
        Ok(Answer::Json(document(
            super::table(),
            &base,
            &config.product.product_version,
        )))
    },
)];

/// The document of a table that is served below `base`.
fn document(table: impl Iterator<Item = &'static Route>, base: &str, version: &str) -> Value {
    let mut paths = Map::new();
    for route in table {
        let path = paths.entry(route.path).or_insert_with(|| {
            let names = names(route.path);
            json!({"parameters": names.map(parameter).collect::<Vec<_>>()})
        });
        path[route.verb.name().to_lowercase()] = operation(route);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Warren HTTP API",
            "version": version,
            "description": DESCRIPTION,
        },
        "servers": [{"url": base}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "password": {"type": "http", "scheme": "basic"},
                "session": {"type": "apiKey", "in": "cookie", "name": super::browser::COOKIE_NAME},
            },
            "responses": {
                "refused": {
                    "description": "Why it is not done.",
                    "content": {"application/json": {"schema": {
                        "type": "object",
                        "properties": {"error": {"type": "string"}, "reason": {}},
                    }}},
                },
            },
        },
    })
}

const DESCRIPTION: &str = "Names in paths are percent-encoded: the vhost / is %2F. Lists take page, page_size, name and \
    use_regex, sort and sort_reverse, columns, where (conditions such as ready>1000,type:quorum) and facets (fields \
    whose values are counted). Beside the cookie of a session, whatever changes something needs the header \
    X-Warren-Session.";

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": id(route),
        "summary": route.help,
        "description": who(route.access),
        "responses": {
            "2XX": {"description": "Done, or what was asked for."},
            "4XX": {"$ref": "#/components/responses/refused"},
        },
    });
    operation["security"] = match route.access {
        Access::Anyone => json!([]),
        _ => json!([{"password": []}, {"session": []}]),
    };
    operation
}

/// `get queues by vhost` as one word.
fn id(route: &Route) -> String {
    let words = route.path.split('/').filter(|word| !word.is_empty());
    let words = words.map(|word| word.replace(['{', '}', '.', '-'], "_"));
    let all: Vec<_> = std::iter::once(route.verb.name().to_lowercase()).chain(words).collect();
    all.join("_")
}

fn who(access: Access) -> &'static str {
    match access {
        Access::Anyone => "For anyone, without a password.",
        Access::Management => "For users with any of the management tags.",
        Access::Vhost => "For users with a permission in the vhost, and administrators.",
        Access::VhostVisible => "For users with a permission in the vhost, and those who monitor.",
        Access::Policymaker => "For policymakers with a permission in the vhost, and administrators.",
        Access::Monitoring => "For users who monitor, and administrators.",
        Access::Administrator => "For administrators.",
    }
}

/// The names of a pattern.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_an_operation_of_its_own() {
        let document = document(super::super::table(), "/x/api", "1");
        let mut ids = BTreeSet::new();
        for route in super::super::table() {
            let path = &document["paths"][route.path];
            let operation = &path[route.verb.name().to_lowercase()];
            assert_eq!(operation["summary"], route.help);
            let id = operation["operationId"].as_str().expect("a name").to_owned();
            assert!(ids.insert(id.clone()), "{id} is there twice");
            let parameters = path["parameters"].as_array().expect("a list");
            assert_eq!(parameters.len(), route.path.matches('{').count(), "{}", route.path);
        }
        assert_eq!(document["servers"][0]["url"], "/x/api");
    }
}
