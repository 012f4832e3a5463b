//! Virtual hosts.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::{Fields, checked_name};
use super::page;
use super::permissions;
use super::route::{Access, Route};
use super::views::{self, Totals};
use crate::broker::Broker;
use crate::config::OperatorPolicy;
use crate::metadata::{Catalog, Command, PermissionSpec, UserSpec, Vhost, VhostLimit, VhostSpec};
use crate::pattern::Pattern;
use crate::spec::policy::{ApplyTo, PolicySpec};
use crate::types::{Millis, UserName, VhostName};

/// What can be asked of vhosts.
pub static ROUTES: &[Route] = &[
    Route::gathered("/vhosts", Access::Management, "All vhosts that the user may see.", list),
    Route::gathered("/vhosts/{vhost}", Access::Vhost, "A vhost.", one),
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
    ),
    Route::post(
        "/vhosts/{vhost}/start/{node}",
        Access::Administrator,
        "Starts a vhost that failed; vhosts always run here.",
        |call| Box::pin(async move { call.in_vhost(|_| Answer::Done) }),
    ),
];

fn list(call: &Call) -> Answered {
    let catalog = call.broker.catalog();
    let visible = catalog
        .vhosts()
        .filter(|vhost| call.caller.is_monitor() || vhost.permissions.contains_key(&call.caller.name));
    let vhosts: Vec<_> = visible.map(|vhost| view(call, vhost)).collect();
    drop(catalog);
    page::listing(call, vhosts, &["name"])
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
    view["tracing"] = json!(false);
    let running = call.broker.nodes_running().into_iter();
    view["cluster_state"] = running
        .map(|node| (call.gathered.name(node), json!("running")))
        .collect();
    if let Some(totals) = totals {
        totals.write(&mut view);
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
    if existed {
        return Ok(Answer::Done);
    }
    let maker = (!call.caller.operator).then_some(&call.caller.name);
    let first = first_commands(&call.broker, &call.broker.catalog(), &name, maker);
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
    if (call.broker.catalog().vhosts().count() as u64) < most {
        return Ok(());
    }
    let name = call.name("vhost");
    Err(Failure::bad(format!(
        "cannot create vhost '{name}': vhost limit of {most} is reached"
    )))
}

/// A new vhost has the limits, operator policies and users of the configuration, and the user who
/// made it may use it.
pub fn first_commands(broker: &Broker, catalog: &Catalog, vhost: &VhostName, maker: Option<&UserName>) -> Vec<Command> {
    let config = broker.config();
    let rules = &config.limits.new_vhosts;
    let applies = |pattern: &Option<String>| {
        let pattern = pattern.as_ref().map(|pattern| Pattern::new(pattern));
        pattern.is_none_or(|pattern| pattern.is_ok_and(|pattern| pattern.matches(vhost)))
    };
    let mut commands = Vec::new();
    if let Some(maker) = maker {
        commands.push(Command::SetPermission {
            user: maker.clone(),
            vhost: vhost.clone(),
            patterns: PermissionSpec {
                configure: ".*".into(),
                write: ".*".into(),
                read: ".*".into(),
            },
        });
    }
    if let Some(rule) = rules.values().find(|rule| applies(&rule.pattern)) {
        let limits = [
            (VhostLimit::MaxConnections, rule.max_connections),
            (VhostLimit::MaxQueues, rule.max_queues),
        ];
        commands.extend(limits.into_iter().filter_map(|(limit, value)| {
            Some(Command::SetVhostLimit {
                vhost: vhost.clone(),
                limit,
                value: Some(i64::try_from(value?).unwrap_or(i64::MAX)),
            })
        }));
    }
    let policies = &config.queues.operator_policies;
    let wanted = policies.iter().filter(|(_, policy)| applies(&policy.vhost_pattern));
    commands.extend(wanted.map(|(name, policy)| Command::PutOperatorPolicy(operator_policy(vhost, name, policy))));
    let users = config.auth.default_users.iter();
    for (name, user) in users.filter(|(_, user)| applies(&user.vhost_pattern)) {
        let user_name = UserName::from(name.as_str());
        if catalog.user(&user_name).is_none() {
            let password = user.password.as_ref();
            let password = password.map(|password| broker.hash(password.reveal().as_bytes()));
            commands.push(Command::PutUser(UserSpec {
                name: user_name.clone(),
                password: password.unwrap_or_default(),
                tags: user.tags.clone(),
            }));
        }
        commands.push(Command::SetPermission {
            user: user_name,
            vhost: vhost.clone(),
            patterns: PermissionSpec {
                configure: user.permissions.configure.clone(),
                write: user.permissions.write.clone(),
                read: user.permissions.read.clone(),
            },
        });
    }
    commands
}

fn operator_policy(vhost: &VhostName, name: &str, policy: &OperatorPolicy) -> PolicySpec {
    let millis = |duration: Option<Millis>| duration.map(|duration| duration.0);
    let numbers = [
        ("expires", millis(policy.expires)),
        ("message-ttl", millis(policy.message_ttl)),
        ("max-length", policy.max_length),
        ("max-length-bytes", policy.max_length_bytes),
        ("delivery-limit", policy.delivery_limit),
    ];
    let set = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key.to_owned(), number?.into())));
    PolicySpec {
        vhost: vhost.clone(),
        name: name.to_owned(),
        pattern: policy.queue_pattern.clone().unwrap_or_else(|| ".*".to_owned()),
        apply_to: ApplyTo::Queues,
        priority: 0,
        definition: set.collect(),
    }
}

async fn delete(call: Call) -> Answered {
    call.in_vhost(|_| ())?;
    call.command(Command::DeleteVhost(call.vhost())).await?;
    Ok(Answer::Done)
}
