//! Publishing and fetching messages by hand, and looking at them.

mod fetch;
mod look;
mod properties;
mod publish;
mod view;

use super::route::{Access, Route, Run, Verb};

pub use fetch::fetch;
pub use look::readable as readable_queue;
pub use properties::of as properties_of;
pub use publish::hand_in;
pub use view::whole_view;

/// What can be done with messages.
pub static ROUTES: &[Route] = &[
    Route::post(
        "/exchanges/{vhost}/{exchange}/publish",
        Access::Vhost,
        "Publishes a message: properties, routing_key, payload, payload_encoding (string or base64).",
        |call| Box::pin(publish::publish(call)),
    ),
    Route::post(
        "/queues/{vhost}/{name}/get",
        Access::Vhost,
        "Fetches messages: count, ackmode, encoding (auto or base64), truncate.",
        |call| Box::pin(fetch::get(call)),
    ),
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/messages",
        Access::Vhost,
        "Messages, without taking them: state (ready or unacked), from (a position, of a stream an offset), since \
         (milliseconds since 1970), count, match, body_bytes.",
        Run::Later(|call| Box::pin(look::list(call))),
    ),
    Route::new(
        Verb::Get,
        "/queues/{vhost}/{name}/messages/{position}",
        Access::Vhost,
        "A message, whole, without taking it.",
        Run::Later(|call| Box::pin(look::one(call))),
    ),
];
