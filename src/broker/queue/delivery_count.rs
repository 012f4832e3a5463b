//! The header of a delivery that tells how often its message was delivered before.

use super::handle::QueueHandle;
use crate::codec::headers;
use crate::codec::properties::{Edit, Edits, rewrite_properties, scan};
use crate::spec::QueueType;
use crate::types::{FieldTable, FieldValue, Message, MessageParts};

/// The message with the header that tells how often it was delivered before, on queues that tell
/// (quorum queues); `None` when it goes out as it is.
pub fn with_delivery_count(queue: &QueueHandle, message: &Message, count: u32) -> Option<Message> {
    let tells = queue.spec.queue_type == QueueType::Quorum && count > 0;
    tells.then(|| counted(message, count))
}

fn counted(message: &Message, count: u32) -> Message {
    let table = scan(message.properties()).ok().and_then(|scan| scan.headers);
    let mut table = table
        .filter(|table| headers::check(table).is_ok())
        .and_then(|table| FieldTable::decode(table).ok())
        .map(|(table, _)| table)
        .unwrap_or_default();
    table.set("x-delivery-count", FieldValue::I64(count.into()));
    let edits = Edits {
        headers: Edit::Set(&table),
        ..Edits::default()
    };
    let Ok(properties) = rewrite_properties(message.properties(), &edits) else {
        return message.clone();
    };
    message.rewritten(MessageParts {
        exchange: message.exchange(),
        routing_key: message.routing_key(),
        properties: &properties,
        traits: message.traits(),
    })
}
