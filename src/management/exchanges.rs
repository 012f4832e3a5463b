//! Exchanges.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::checked_name;
use super::route::{Access, Route};
use super::text::exchange_name;
use super::{bindings, consumers, figures, list, page};
use crate::codec::method::{ExchangeDeclare, ExchangeDelete};
use crate::declare::{self, DeclareError, ExchangePlan};
use crate::exchange::ExchangeSpec;
use crate::metadata::json;
use crate::metadata::{Command, Vhost};
use crate::spec::Destination;
use crate::spec::policy::{self, Subject};
use crate::types::VhostName;

/// What can be asked of exchanges.
pub static ROUTES: &[Route] = &[
    Route::of_exchanges("/exchanges", Access::Management, "All exchanges.", |call| {
        let visible = call.caller.vhosts(&call.broker.catalogue());
        list::listing(call, collect(call, &visible), &["vhost", "name"])
    }),
    Route::of_exchanges("/exchanges/{vhost}", Access::Vhost, "Exchanges of a vhost.", |call| {
        call.in_vhost(|_| ())?;
        list::listing(call, collect(call, &[call.vhost()]), &["name"])
    }),
    Route::of_exchanges("/exchanges/{vhost}/{exchange}", Access::Vhost, "An exchange.", |call| {
        let mut view = with_exchange(call, |vhost, spec| view(call, vhost, spec))?;
        view["incoming"] = incoming(call);
        view["outgoing"] = outgoing(call);
        page::single(call, view)
    }),
    Route::put(
        "/exchanges/{vhost}/{exchange}",
        Access::Vhost,
        "Declares an exchange: type, durable, auto_delete, internal, arguments.",
        |call| Box::pin(put(call)),
    ),
    Route::delete(
        "/exchanges/{vhost}/{exchange}",
        Access::Vhost,
        "Deletes an exchange; if-unused=true spares it.",
        |call| Box::pin(delete(call)),
    ),
    Route::get(
        "/exchanges/{vhost}/{exchange}/bindings/source",
        Access::Vhost,
        "Bindings from an exchange.",
        |call| {
            let views = with_exchange(call, |vhost, spec| bindings::from(vhost, &spec.name))?;
            list::listing(call, views, &["destination_type", "destination", "properties_key"])
        },
    ),
    Route::get(
        "/exchanges/{vhost}/{exchange}/bindings/destination",
        Access::Vhost,
        "Bindings that lead to an exchange.",
        |call| {
            let views = with_exchange(call, |vhost, spec| {
                bindings::to(vhost, &Destination::Exchange(spec.name.clone()))
            })?;
            list::listing(call, views, &["source", "properties_key"])
        },
    ),
];

/// The channels that publish to the exchange of the path.
fn incoming(call: &Call) -> Value {
    let (vhost, name) = (call.vhost(), exchange_name(call.name("exchange")));
    let publishes = call.gathered.publishes().iter();
    let own = publishes.filter(|(of, exchange, ..)| *of == vhost && **exchange == *name);
    own.filter_map(|(.., channel, figures)| {
        let stats = figures::message_stats(call, figures, &[figures::PUBLISHES])?;
        Some(json!({"stats": stats, "channel_details": consumers::place_view(call, channel)}))
    })
    .collect()
}

/// The queues that get what is published to it.
fn outgoing(call: &Call) -> Value {
    let (vhost, name) = (call.vhost(), exchange_name(call.name("exchange")));
    let queues = call
        .broker
        .vhost(&vhost)
        .map(|vhost| vhost.queues())
        .unwrap_or_default();
    let incoming = call.gathered.incoming().iter();
    let own = incoming.filter(|(_, exchange, _)| **exchange == *name);
    own.filter_map(|(id, _, figures)| {
        let queue = queues.iter().find(|queue| queue.spec.id == *id)?;
        let stats = figures::message_stats(call, figures, &[figures::INCOMING])?;
        Some(json!({"stats": stats, "queue": {"name": queue.spec.name, "vhost": vhost}}))
    })
    .collect()
}

fn collect(call: &Call, vhosts: &[VhostName]) -> Vec<Value> {
    let catalogue = call.broker.catalogue();
    let vhosts = vhosts.iter().filter_map(|name| catalogue.vhost(name));
    vhosts
        .flat_map(|vhost| vhost.exchanges().map(move |spec| view(call, vhost, spec)))
        .collect()
}

fn view(call: &Call, vhost: &Vhost, spec: &ExchangeSpec) -> Value {
    let mut view = json!({
        "arguments": json::from_table(&spec.arguments),
        "auto_delete": spec.auto_delete,
        "durable": spec.durable,
        "internal": spec.internal,
        "name": spec.name,
        "type": spec.kind.name(),
        "user_who_performed_action": spec.user,
        "vhost": spec.vhost,
    });
    if let Some(policy) = policy::applying(vhost.policies.values(), Subject::Exchange, &spec.name) {
        view["policy"] = json!(policy.spec.name);
    }
    let counted = call.gathered.figures_of_exchange(&spec.vhost, &spec.name);
    figures::write_message_stats(call, &mut view, &counted, &[figures::ROUTED]);
    if spec.kind.spec().holds_messages {
        view["messages_delayed"] = json!(call.gathered.messages_delayed(&spec.vhost, &spec.name));
    }
    view
}

fn with_exchange<R>(call: &Call, read: impl FnOnce(&Vhost, &ExchangeSpec) -> R) -> Result<R, Failure> {
    let name = exchange_name(call.name("exchange"));
    call.in_vhost(|vhost| vhost.exchange(name).map(|spec| read(vhost, spec)))?
        .ok_or(Failure::NotFound)
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    let method = ExchangeDeclare {
        exchange: checked_name(exchange_name(call.name("exchange")))?.to_owned(),
        kind: fields.text("type")?.unwrap_or("direct").to_owned(),
        durable: fields.boolean("durable", false)?,
        auto_delete: fields.boolean("auto_delete", false)?,
        internal: fields.boolean("internal", false)?,
        arguments: json::to_table(fields.get("arguments"))?,
        ..ExchangeDeclare::default()
    };
    let actor = call.actor()?;
    let decided = call
        .broker
        .declarations()
        .decide_by(Some(&call.caller.name), |catalogue| {
            Ok::<_, DeclareError>(match declare::exchange_declare(catalogue, &actor.who(), &method)? {
                ExchangePlan::Create(spec) => (Some(Command::DeclareExchange(spec)), Answer::Created(None)),
                ExchangePlan::Existing => (None, Answer::Done),
            })
        });
    Ok(decided.await?)
}

async fn delete(call: Call) -> Answered {
    with_exchange(&call, |_, _| ())?;
    let method = ExchangeDelete {
        exchange: exchange_name(call.name("exchange")).to_owned(),
        if_unused: call.query.is_true("if-unused"),
        ..ExchangeDelete::default()
    };
    let actor = call.actor()?;
    let decided = call
        .broker
        .declarations()
        .decide_by(Some(&call.caller.name), |catalogue| {
            let command = declare::exchange_delete(catalogue, &actor.who(), &method)?;
            Ok::<_, DeclareError>((Some(command), Answer::Done))
        });
    Ok(decided.await?)
}
