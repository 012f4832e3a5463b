//! What requests carry in their bodies, for the OpenAPI document: the fields that handlers read.

use serde_json::{Map, Value, json};

use super::route::{Route, Verb};

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// One of these.
    Word(&'static [&'static str]),
    Number,
    Switch,
    Object,
    /// Of texts.
    List,
    /// Texts, as a list or with commas in one.
    Tags,
    Anything,
}

/// A field: its name, and what it holds.
type Field = (&'static str, Kind);

/// A body of JSON.
struct Body {
    verb: Verb,
    path: &'static str,
    needed: &'static [Field],
    others: &'static [Field],
}

/// The fields of a body, if the route reads one.
pub fn of(route: &Route) -> Option<Value> {
    if DEFINITIONS.contains(&route.path) && route.verb == Verb::Post {
        let parts = [
            "users",
            "vhosts",
            "permissions",
            "topic_permissions",
            "parameters",
            "policies",
        ];
        let parts = parts
            .iter()
            .chain(&["queues", "exchanges", "bindings", "global_parameters"]);
        let properties: Map<_, _> = parts
            .map(|part| {
                (
                    (*part).to_owned(),
                    json!({"type": "array", "items": {"type": "object"}}),
                )
            })
            .collect();
        return Some(json!({"type": "object", "properties": properties}));
    }
    let body = BODIES
        .iter()
        .find(|body| body.verb == route.verb && body.path == route.path)?;
    let fields = body.needed.iter().chain(body.others);
    let properties: Map<_, _> = fields.map(|(name, kind)| ((*name).to_owned(), schema(*kind))).collect();
    let needed: Vec<_> = body.needed.iter().map(|(name, _)| *name).collect();
    Some(json!({"type": "object", "properties": properties, "required": needed}))
}

fn schema(kind: Kind) -> Value {
    let texts = json!({"type": "array", "items": {"type": "string"}});
    match kind {
        Kind::Text => json!({"type": "string"}),
        Kind::Word(words) => json!({"type": "string", "enum": words}),
        Kind::Number => json!({"type": "number"}),
        Kind::Switch => json!({"type": "boolean"}),
        Kind::Object => json!({"type": "object"}),
        Kind::List => texts,
        Kind::Tags => json!({"oneOf": [{"type": "string"}, texts]}),
        Kind::Anything => json!({}),
    }
}

/// What takes definitions.
const DEFINITIONS: [&str; 3] = ["/definitions", "/definitions/{vhost}", "/all-configuration"];

const TYPES: Kind = Kind::Word(&["classic", "quorum", "stream"]);
const APPLY_TO: Kind = Kind::Word(&[
    "all",
    "queues",
    "classic_queues",
    "quorum_queues",
    "streams",
    "exchanges",
]);
const BINDING: &[Field] = &[("routing_key", Kind::Text), ("arguments", Kind::Object)];
const POLICY: &[Field] = &[("pattern", Kind::Text), ("definition", Kind::Object)];
const POLICY_MORE: &[Field] = &[("priority", Kind::Number), ("apply-to", APPLY_TO)];
const NODE: &[Field] = &[("node", Kind::Text)];
const VALUE: &[Field] = &[("value", Kind::Anything)];

const fn put(path: &'static str, needed: &'static [Field], others: &'static [Field]) -> Body {
    let verb = Verb::Put;
    Body {
        verb,
        path,
        needed,
        others,
    }
}

const fn post(path: &'static str, needed: &'static [Field], others: &'static [Field]) -> Body {
    let verb = Verb::Post;
    Body {
        verb,
        path,
        needed,
        others,
    }
}

const BODIES: &[Body] = &[
    put(
        "/vhosts/{vhost}",
        &[],
        &[
            ("description", Kind::Text),
            ("tags", Kind::Tags),
            ("default_queue_type", TYPES),
            ("tracing", Kind::Switch),
        ],
    ),
    put(
        "/users/{user}",
        &[("tags", Kind::Tags)],
        &[
            ("password", Kind::Text),
            ("password_hash", Kind::Text),
            ("hashing_algorithm", Kind::Text),
        ],
    ),
    post("/users/bulk-delete", &[("users", Kind::List)], &[]),
    put(
        "/permissions/{vhost}/{user}",
        &[("configure", Kind::Text), ("write", Kind::Text), ("read", Kind::Text)],
        &[],
    ),
    put(
        "/topic-permissions/{vhost}/{user}",
        &[("exchange", Kind::Text), ("write", Kind::Text), ("read", Kind::Text)],
        &[],
    ),
    put("/vhost-limits/{vhost}/{limit}", &[("value", Kind::Number)], &[]),
    put("/user-limits/{user}/{limit}", &[("value", Kind::Number)], &[]),
    put("/policies/{vhost}/{name}", POLICY, POLICY_MORE),
    put("/operator-policies/{vhost}/{name}", POLICY, POLICY_MORE),
    post("/policies/{vhost}/{name}/preview", POLICY, POLICY_MORE),
    post("/operator-policies/{vhost}/{name}/preview", POLICY, POLICY_MORE),
    put("/parameters/{component}/{vhost}/{name}", VALUE, &[]),
    put("/global-parameters/{name}", VALUE, &[]),
    put(
        "/stream/super-streams/{vhost}/{name}",
        &[],
        &[
            ("partitions", Kind::Number),
            ("binding-keys", Kind::Text),
            ("arguments", Kind::Object),
        ],
    ),
    post(
        "/stream/super-streams/{vhost}/{name}/partitions",
        &[("binding-key", Kind::Text)],
        &[],
    ),
    post(
        "/stream/groups/{vhost}/{name}/reset",
        &[],
        &[
            ("offset", Kind::Anything),
            ("timestamp", Kind::Number),
            ("stream", Kind::Text),
            ("force", Kind::Switch),
        ],
    ),
    post("/stream/{vhost}/{name}/replicas/add", NODE, &[]),
    post("/stream/{vhost}/{name}/restart", &[], NODE),
    put("/cluster-name", &[("name", Kind::Text)], &[]),
    put(
        "/exchanges/{vhost}/{exchange}",
        &[("type", Kind::Text)],
        &[
            ("durable", Kind::Switch),
            ("auto_delete", Kind::Switch),
            ("internal", Kind::Switch),
            ("arguments", Kind::Object),
        ],
    ),
    put(
        "/queues/{vhost}/{name}",
        &[],
        &[
            ("durable", Kind::Switch),
            ("auto_delete", Kind::Switch),
            ("arguments", Kind::Object),
            ("node", Kind::Text),
        ],
    ),
    post("/queues/{vhost}/{name}/actions", &[("action", Kind::Text)], &[]),
    post("/bindings/{vhost}/e/{source}/q/{queue}", &[], BINDING),
    post("/bindings/{vhost}/e/{source}/e/{exchange}", &[], BINDING),
    post(
        "/exchanges/{vhost}/{exchange}/publish",
        &[
            ("properties", Kind::Object),
            ("routing_key", Kind::Text),
            ("payload", Kind::Text),
        ],
        &[("payload_encoding", Kind::Word(&["string", "base64"]))],
    ),
    post(
        "/queues/{vhost}/{name}/get",
        &[
            ("count", Kind::Number),
            (
                "ackmode",
                Kind::Word(&[
                    "ack_requeue_true",
                    "ack_requeue_false",
                    "reject_requeue_true",
                    "reject_requeue_false",
                ]),
            ),
            ("encoding", Kind::Word(&["auto", "base64"])),
        ],
        &[("truncate", Kind::Number)],
    ),
    post(
        "/queues/{vhost}/{name}/redrive",
        &[("to", Kind::Anything)],
        &[
            ("which", Kind::Anything),
            ("rate", Kind::Number),
            ("limit", Kind::Number),
            ("dry_run", Kind::Switch),
        ],
    ),
    post(
        "/jobs",
        &[("kind", Kind::Word(&["purge", "delete"])), ("vhost", Kind::Text)],
        &[("queues", Kind::List), ("pattern", Kind::Text)],
    ),
    post("/queues/quorum/{vhost}/{name}/replicas/add", NODE, &[]),
    post("/queues/quorum/{vhost}/{name}/replicas/transfer-leadership", NODE, &[]),
    post(
        "/queues/quorum/replicas/on/{node}/grow",
        &[
            ("vhost_pattern", Kind::Text),
            ("queue_pattern", Kind::Text),
            ("strategy", Kind::Word(&["all", "even"])),
        ],
        &[],
    ),
    post(
        "/route/{vhost}",
        &[("exchange", Kind::Text)],
        &[
            ("routing_key", Kind::Text),
            ("headers", Kind::Object),
            ("properties", Kind::Object),
        ],
    ),
    post("/session", &[("username", Kind::Text), ("password", Kind::Text)], &[]),
    put("/settings/{key}", &[("value", Kind::Text)], &[]),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Routes that change something without reading a body, or that read a form.
    const WITHOUT: [&str; 6] = [
        "/feature-flags/{name}/enable",
        "/login",
        "/log/reopen",
        "/maintenance/{action}",
        "/rebalance/queues",
        "/vhosts/{vhost}/start/{node}",
    ];

    #[test]
    fn every_body_that_is_read_is_described() {
        let changing = |verb| matches!(verb, Verb::Put | Verb::Post);
        for route in super::super::table().filter(|route| changing(route.verb)) {
            let is_without = WITHOUT.contains(&route.path);
            assert_eq!(of(route).is_none(), is_without, "{} {}", route.verb.name(), route.path);
        }
        for body in BODIES {
            let mut table = super::super::table();
            let found = table.any(|route| route.verb == body.verb && route.path == body.path);
            assert!(found, "{} is no route", body.path);
        }
    }

    #[test]
    fn fields_have_types_and_those_that_must_be_there_are_named() {
        let mut table = super::super::table();
        let route = table.find(|route| route.path == "/vhost-limits/{vhost}/{limit}" && route.verb == Verb::Put);
        let expected = json!({
            "type": "object",
            "properties": {"value": {"type": "number"}},
            "required": ["value"],
        });
        assert_eq!(of(route.expect("a route")), Some(expected));
    }
}
