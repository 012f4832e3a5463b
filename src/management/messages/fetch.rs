//! Fetching messages.

use std::sync::Arc;

use serde_json::json;

use super::super::answer::{Answer, Answered, Failure};
use super::super::call::Call;
use super::super::fields::Fields;
use super::view::{Shown, view};
use crate::broker::joint::Joint;
use crate::broker::{Broker, DEADLINE, QueueHandle};
use crate::codec::method::BasicGet;
use crate::declare::{self, Actor};
use crate::queue::{Get, Outcome, Slot};
use crate::statistics::Measure;
use crate::types::Message;

/// Payload bytes of one answer: after those no further message is fetched.
const MAX_FETCHED_BYTES: usize = 64 * 1024 * 1024;

/// How fetched messages are left.
fn outcome(mode: &str) -> Option<Outcome> {
    Some(match mode {
        "ack_requeue_true" | "reject_requeue_true" => Outcome::Requeue,
        "ack_requeue_false" => Outcome::Accept,
        "reject_requeue_false" => Outcome::Discard,
        _ => return None,
    })
}

/// What a fetch asks for.
struct Fetch {
    count: u64,
    outcome: Outcome,
    shown: Shown,
}

impl Fetch {
    fn of(fields: &Fields) -> Result<Self, Failure> {
        fields.need(&["count", "ackmode", "encoding"])?;
        let mode = fields.some_text("ackmode")?;
        let as_base64 = match fields.text("encoding")? {
            Some("auto") => false,
            Some("base64") => true,
            _ => return Err(Failure::bad("Unsupported encoding. Please use auto or base64.")),
        };
        let positive = |number: Option<i64>| number.map(|number| u64::try_from(number).unwrap_or(0));
        let at_most = positive(fields.integer("truncate")?).unwrap_or(u64::MAX);
        Ok(Self {
            count: positive(fields.integer("count")?).unwrap_or(0),
            outcome: outcome(mode).ok_or_else(|| Failure::Bad(json!(["unknown_ackmode", mode])))?,
            shown: Shown {
                as_base64,
                at_most: usize::try_from(at_most).unwrap_or(usize::MAX),
            },
        })
    }
}

/// Fetches as many messages as the request says, and leaves them as it says.
///
/// # Errors
/// When the request says it wrongly, or in the words of the broker.
pub async fn get(call: Call) -> Answered {
    let missing = || Failure::Missing("queue_not_found".to_owned());
    call.declared_vhost()?;
    call.in_vhost(|vhost| vhost.queue(call.name("name")).map(drop))?
        .ok_or_else(missing)?;
    let asked = Fetch::of(&call.fields()?)?;
    let actor = call.actor()?;
    let method = BasicGet {
        queue: call.name("name").to_owned(),
        ..BasicGet::default()
    };
    let name = declare::basic_get(&call.broker.catalogue(), &actor.who(), None, &method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&actor.vhost).and_then(|vhost| vhost.queue(&name));
    let queue = queue.ok_or_else(missing)?;
    let mut slots = Vec::new();
    let mut views = Vec::new();
    let mut bytes = 0;
    while (slots.len() as u64) < asked.count && bytes < MAX_FETCHED_BYTES {
        let Get::Message {
            message,
            slot,
            redelivered,
            remaining,
            ..
        } = call
            .broker
            .queues()
            .get(&queue, false)
            .await
            .map_err(|away| Failure::Broken(away.text.clone()))?
        else {
            break;
        };
        slots.push(slot);
        bytes += message.body().len();
        views.push(view(&message, redelivered, remaining, &asked.shown));
    }
    settle(&call.broker, &queue, slots, asked.outcome).await?;
    Ok(Answer::Json(views.into()))
}

/// Leaves fetched messages as asked for. Those that are to be gone are gone for good before the answer.
async fn settle(
    broker: &Arc<Broker>,
    queue: &Arc<QueueHandle>,
    slots: Vec<Slot>,
    outcome: Outcome,
) -> Result<(), Failure> {
    if slots.is_empty() {
        return Ok(());
    }
    if outcome == Outcome::Accept {
        queue.count(Measure::Ack, slots.len() as u64);
    }
    let (joint, answered) = Joint::new();
    broker.queues().settle(queue, slots, outcome, Some(&joint));
    drop(joint);
    if outcome == Outcome::Requeue {
        return Ok(());
    }
    let settled = tokio::time::timeout(DEADLINE, answered.is_accepted()).await;
    if settled != Ok(true) {
        return Err(Failure::Broken(
            "the messages were fetched, and may come back".to_owned(),
        ));
    }
    let synced = broker.synced().await;
    synced.map_err(|error| Failure::Broken(error.to_string()))
}

/// Takes one message for good, as a client would.
///
/// # Errors
/// In the broker's words.
pub async fn fetch(call: &Call, actor: &Actor, method: &BasicGet) -> Result<Option<Message>, Failure> {
    let name = declare::basic_get(&call.broker.catalogue(), &actor.who(), None, method).map_err(Failure::of)?;
    let queue = call.broker.vhost(&actor.vhost).and_then(|vhost| vhost.queue(&name));
    let queue = queue.ok_or_else(|| Failure::Missing("queue_not_found".to_owned()))?;
    let got = call.broker.queues().get(&queue, true).await;
    match got.map_err(|away| Failure::Broken(away.text.clone()))? {
        Get::Message { message, .. } => Ok(Some(message)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_says_what_is_wrong_with_it() {
        let refused = |value| Fetch::of(&Fields::of(value)).err().expect("refused");
        assert_eq!(
            refused(json!({"count": 1, "requeue": true, "encoding": "auto"})),
            Failure::keys_missing(&["ackmode"])
        );
        assert_eq!(
            refused(json!({"count": "x", "ackmode": "ack_requeue_true", "encoding": "auto"})),
            Failure::Bad(json!(["not_integer", "x"]))
        );
    }
}
