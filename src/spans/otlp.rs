//! Spans as OTLP has them in JSON: <https://opentelemetry.io/docs/specs/otlp/>, `ExportTraceServiceRequest`.
//!
//! Written here: OpenTelemetry's crates bring 0.4 MB and a thread of their own for these few fields.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Span, What};
use crate::types::shown_exchange;

/// `SPAN_KIND_SERVER`: a client asked for it.
const SERVER: u8 = 2;
/// `SPAN_KIND_PRODUCER`: somebody will work on it.
const PRODUCER: u8 = 4;

/// Who tells of spans.
pub struct Resource {
    pub service: String,
    /// The node.
    pub instance: String,
}

/// A span with what it lacks: its own name, and when it began.
pub struct Finished {
    pub span: Span,
    pub id: u64,
    pub began: Duration,
}

/// A request that tells of spans.
pub fn request(resource: &Resource, spans: &[Finished]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let spans: Vec<_> = spans.iter().map(view).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            text("service.name", &resource.service),
            text("service.instance.id", &resource.instance),
            text("service.version", version),
        ]},
        "scopeSpans": [{"scope": {"name": "warren", "version": version}, "spans": spans}],
    }]})
}

fn view(finished: &Finished) -> Value {
    let Finished { span, id, began } = finished;
    let mut attributes = vec![
        text("messaging.system", "rabbitmq"),
        text("messaging.rabbitmq.destination.routing_key", &span.routing_key),
        text("warren.vhost", &span.vhost),
        text("warren.exchange", &span.exchange),
        number("messaging.message.body.size", span.body_bytes),
    ];
    let (name, kind) = match &span.what {
        What::Published { queues } => {
            attributes.extend([
                text("messaging.operation.name", "publish"),
                text("messaging.destination.name", &span.exchange),
                number("warren.routed_queues", *queues),
            ]);
            (format!("publish {}", shown_exchange(&span.exchange)), SERVER)
        }
        What::Delivered { queue, redelivered } => {
            attributes.extend([
                text("messaging.operation.name", "deliver"),
                text("messaging.destination.name", queue),
                json!({"key": "warren.redelivered", "value": {"boolValue": redelivered}}),
            ]);
            (format!("deliver {queue}"), PRODUCER)
        }
    };
    let mut view = json!({
        "traceId": span.parent.trace_id,
        "spanId": format!("{id:016x}"),
        "parentSpanId": span.parent.span_id,
        "flags": 1,
        "name": name,
        "kind": kind,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": span.at.as_nanos().to_string(),
        "attributes": attributes,
    });
    if !span.parent.state.is_empty() {
        view["traceState"] = json!(span.parent.state);
    }
    view
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}

/// Numbers of 64 bits are texts in JSON.
fn number(key: &str, value: usize) -> Value {
    json!({"key": key, "value": {"intValue": value.to_string()}})
}
