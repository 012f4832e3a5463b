//! Virtual hosts.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::{Fields, checked_name};
use super::figures;
use super::list;
use super::permissions;
use super::route::{Access, Route};
use super::views::{self, Totals};
use crate::broker::new_vhost::first_commands;
use crate::metadata::{Command, Vhost, VhostSpec};
use crate::statistics::Measure;
use crate::types::VhostName;

/// What can be asked of vhosts.
pub static ROUTES: &[Route] = &[
    Route::gathered("/vhosts", Access::Management, "All vhosts that the user may see.", list),
    Route::gathered("/vhosts/{vhost}", Access::Administrator, "A vhost.", one),
    Route::put(
        "/vhosts/{vhost}",
        Access::Administrator,
        "Makes a vhost or changes it: description, tags, default_queue_type.",
        |call| Box::pin(put(call)),
    ),
    Route::delete(
        "/vhosts/{vhost}",
        Access::Administrator,
        "Deletes a vhost with everything in it.",
        |call| Box::pin(delete(call)),
    ),
    Route::get(
        "/vhosts/{vhost}/permissions",
        Access::Administrator,
        "Permissions in a vhost.",
        |call| call.in_vhost(|vhost| Answer::Json(permissions::in_vhost(vhost).collect())),
    ),
    Route::get(
        "/vhosts/{vhost}/topic-permissions",
        Access::Administrator,
        "Topic permissions in a vhost.",
        |call| call.in_vhost(|vhost| Answer::Json(permissions::topics_in_vhost(vhost).collect())),
    )
    .plain(),
    Route::post(
        "/vhosts/{vhost}/start/{node}",
        Access::Administrator,
        "Starts a vhost that failed; vhosts always run here.",
        |call| Box::pin(async move { call.in_vhost(|_| Answer::Done) }),
    )
    .plain(),
];

fn list(call: &Call) -> Answered {
    let catalogue = call.broker.catalogue();
    let visible = catalogue.vhosts().filter(|vhost| call.caller.sees(vhost));
    let vhosts: Vec<_> = visible.map(|vhost| view(call, vhost)).collect();
    drop(catalogue);
    list::listing(call, vhosts, &["name"])
}

fn one(call: &Call) -> Answered {
    call.in_vhost(|vhost| view(call, vhost)).map(Answer::Json)
}

fn view(call: &Call, vhost: &Vhost) -> Value {
    let mut view = described(vhost, &call.broker.config().queues.default_type);
    let totals = call
        .broker
        .vhost(vhost.name())
        .map(|vhost| Totals::of(call, &vhost.queues()));
    view["tracing"] = json!(call.broker.observers().is_traced(vhost.name()));
    let running = call.broker.nodes().running().into_iter();
    view["cluster_state"] = running
        .map(|node| (call.gathered.name(node), json!("running")))
        .collect();
    if let Some(totals) = totals {
        totals.write(&mut view);
        let counted = call.gathered.figures_of_vhost(vhost.name());
        views::write_lengths(call, &mut view, &counted);
        figures::write_counters(call.windows, &mut view, &counted, &[Measure::SendOct, Measure::RecvOct]);
        let groups = [figures::PUBLISHES, figures::DELIVERIES];
        figures::write_message_stats(call, &mut view, &counted, &groups);
    }
    view
}

/// A vhost as definitions have it.
fn described(vhost: &Vhost, default_type: &str) -> Value {
    let spec = &vhost.spec;
    let default_type = spec
        .default_queue_type
        .map_or(default_type, |kind| views::queue_type(kind));
    json!({
        "name": spec.name,
        "description": spec.description,
        "tags": spec.tags,
        "default_queue_type": default_type,
        "metadata": {
            "description": spec.description,
            "tags": spec.tags,
            "default_queue_type": default_type,
        },
    })
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    let name = VhostName::from(checked_name(call.name("vhost"))?);
    let old = call.in_vhost(|vhost| vhost.spec.clone()).ok();
    let existed = old.is_some();
    let old = old.unwrap_or_else(|| VhostSpec {
        name: name.clone(),
        description: String::new(),
        tags: Vec::new(),
        default_queue_type: None,
        protected: false,
    });
    let spec = changed(old, &fields)?;
    if !existed {
        room_for_another(&call)?;
    }
    call.command(Command::PutVhost(spec)).await?;
    if fields.get("tracing").is_some() {
        call.broker.observers().trace(&name, fields.boolean("tracing", false)?);
    }
    if existed {
        return Ok(Answer::Done);
    }
    let maker = (!call.caller.rights.is_operator()).then_some(&call.caller.name);
    let first = first_commands(call.broker.config(), &call.broker.catalogue(), &name, maker);
    for command in first {
        call.command(command).await?;
    }
    Ok(Answer::Created(None))
}

/// What the fields make of a vhost; those that are absent leave it as it was.
fn changed(mut spec: VhostSpec, fields: &Fields) -> Result<VhostSpec, Failure> {
    if let Some(description) = fields.text("description")? {
        spec.description = description.to_owned();
    }
    if let Some(tags) = fields.get("tags") {
        spec.tags = views::tags(tags).ok_or_else(|| Failure::bad("tags must be a list of texts"))?;
    }
    if let Some(name) = fields.text("default_queue_type")? {
        let kind = views::queue_type_named(name);
        spec.default_queue_type = Some(kind.ok_or_else(|| Failure::bad(format!("Unsupported queue type: {name}")))?);
    }
    Ok(spec)
}

fn room_for_another(call: &Call) -> Result<(), Failure> {
    let Some(most) = call.broker.config().limits.vhost_max else {
        return Ok(());
    };
    if (call.broker.catalogue().vhosts().count() as u64) < most {
        return Ok(());
    }
    let name = call.name("vhost");
    Err(Failure::bad(format!(
        "cannot create vhost '{name}': vhost limit of {most} is reached"
    )))
}

async fn delete(call: Call) -> Answered {
    call.in_vhost(|_| ())?;
    call.command(Command::DeleteVhost(call.vhost())).await?;
    Ok(Answer::Done)
}
