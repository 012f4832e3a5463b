//! Permissions of users in vhosts, and on the routing keys of topic exchanges.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::Fields;
use super::list;
use super::route::{Access, Route};
use crate::auth::permission;
use crate::metadata::{Catalogue, Command, PermissionSpec, TopicPermissionSpec, Vhost};
use crate::types::UserName;

/// What can be asked of permissions.
pub static ROUTES: &[Route] = &[
    Route::get("/permissions", Access::Administrator, "All permissions.", |call| {
        let catalogue = call.broker.catalogue();
        let all = catalogue.vhosts().flat_map(in_vhost_ordered).collect();
        list::listing(call, all, &["vhost", "user"])
    }),
    Route::get(
        "/permissions/{vhost}/{user}",
        Access::Administrator,
        "A user's permission in a vhost.",
        one,
    ),
    Route::put(
        "/permissions/{vhost}/{user}",
        Access::Administrator,
        "Sets a permission: the patterns configure, write and read.",
        |call| Box::pin(put(call)),
    ),
    Route::delete(
        "/permissions/{vhost}/{user}",
        Access::Administrator,
        "Takes a permission away.",
        |call| Box::pin(delete(call)),
    ),
    Route::get(
        "/topic-permissions",
        Access::Administrator,
        "All topic permissions.",
        |call| {
            let catalogue = call.broker.catalogue();
            let all = catalogue.vhosts().flat_map(topics_ordered).collect();
            list::listing(call, all, &["vhost", "user"])
        },
    )
    .plain(),
    Route::get(
        "/topic-permissions/{vhost}/{user}",
        Access::Administrator,
        "A user's topic permissions in a vhost.",
        |call| topics(call, None),
    )
    .plain(),
    Route::get(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        Access::Administrator,
        "A user's permission on one topic exchange.",
        |call| topics(call, Some(call.name("exchange"))),
    )
    .plain(),
    Route::put(
        "/topic-permissions/{vhost}/{user}",
        Access::Administrator,
        "Sets a topic permission: exchange, and the patterns write and read.",
        |call| Box::pin(put_topic(call)),
    )
    .plain(),
    Route::delete(
        "/topic-permissions/{vhost}/{user}",
        Access::Administrator,
        "Takes all topic permissions of a user in a vhost away.",
        |call| Box::pin(delete_topics(call)),
    )
    .plain(),
    Route::delete(
        "/topic-permissions/{vhost}/{user}/{exchange}",
        Access::Administrator,
        "Takes the permission on one topic exchange away.",
        |call| Box::pin(delete_topics(call)),
    )
    .plain(),
];

/// The permissions in a vhost, the vhost first as lists of a vhost have it.
pub fn in_vhost(vhost: &Vhost) -> impl Iterator<Item = Value> {
    vhost.permissions.iter().map(|(user, (patterns, _))| {
        json!({
            "vhost": vhost.name(), "user": user,
            "configure": patterns.configure, "write": patterns.write, "read": patterns.read,
        })
    })
}

/// The topic permissions in a vhost, the vhost first.
pub fn topics_in_vhost(vhost: &Vhost) -> impl Iterator<Item = Value> {
    vhost.topic_permissions.iter().map(|((user, exchange), (patterns, _))| {
        json!({
            "vhost": vhost.name(), "user": user, "exchange": exchange,
            "write": patterns.write, "read": patterns.read,
        })
    })
}

/// A user's permissions.
pub fn of_user(catalogue: &Catalogue, user: &UserName) -> Vec<Value> {
    let all = catalogue.vhosts().flat_map(in_vhost_ordered);
    all.filter(|view| view["user"] == user.as_str()).collect()
}

/// A user's topic permissions.
pub fn topics_of_user(catalogue: &Catalogue, user: &UserName) -> Vec<Value> {
    let all = catalogue.vhosts().flat_map(topics_ordered);
    all.filter(|view| view["user"] == user.as_str()).collect()
}

/// The same with the user first, as everywhere else.
fn in_vhost_ordered(vhost: &Vhost) -> impl Iterator<Item = Value> {
    vhost.permissions.iter().map(|(user, (patterns, _))| {
        json!({
            "user": user, "vhost": vhost.name(),
            "configure": patterns.configure, "write": patterns.write, "read": patterns.read,
        })
    })
}

fn topics_ordered(vhost: &Vhost) -> impl Iterator<Item = Value> {
    vhost.topic_permissions.iter().map(|((user, exchange), (patterns, _))| {
        json!({
            "user": user, "vhost": vhost.name(), "exchange": exchange,
            "write": patterns.write, "read": patterns.read,
        })
    })
}

fn one(call: &Call) -> Answered {
    let catalogue = call.broker.catalogue();
    let user = UserName::from(call.name("user"));
    let vhost = call.vhost();
    let own = of_user(&catalogue, &user);
    let found = own.into_iter().find(|view| view["vhost"] == vhost.as_str());
    found.map(Answer::Json).ok_or(Failure::NotFound)
}

fn topics(call: &Call, exchange: Option<&str>) -> Answered {
    let catalogue = call.broker.catalogue();
    let (vhost, user) = (call.vhost(), UserName::from(call.name("user")));
    if catalogue.vhost(&vhost).is_none() || catalogue.user(&user).is_none() {
        return Err(Failure::NotFound);
    }
    let own = topics_of_user(&catalogue, &user).into_iter();
    let wanted = own
        .filter(|view| view["vhost"] == vhost.as_str() && exchange.is_none_or(|exchange| view["exchange"] == exchange));
    Ok(Answer::Json(wanted.collect()))
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["configure", "write", "read"])?;
    let patterns = PermissionSpec {
        configure: pattern(&fields, "configure")?,
        write: pattern(&fields, "write")?,
        read: pattern(&fields, "read")?,
    };
    let (vhost, user) = subject(&call)?;
    let existed = call.in_vhost(|vhost| vhost.permissions.contains_key(&user))?;
    let command = Command::SetPermission { user, vhost, patterns };
    call.put(existed, command).await
}

async fn put_topic(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["exchange", "write", "read"])?;
    let patterns = TopicPermissionSpec {
        write: topic_pattern(&fields, "write")?,
        read: topic_pattern(&fields, "read")?,
    };
    let exchange = fields.some_text("exchange")?.into();
    let (vhost, user) = subject(&call)?;
    let existed = call.in_vhost(|vhost| vhost.topic_permissions.keys().any(|(own, _)| *own == user))?;
    let command = Command::SetTopicPermission {
        user,
        vhost,
        exchange,
        patterns,
    };
    call.put(existed, command).await
}

async fn delete(call: Call) -> Answered {
    let user = UserName::from(call.name("user"));
    if !call.in_vhost(|vhost| vhost.permissions.contains_key(&user))? {
        return Err(Failure::NotFound);
    }
    let vhost = call.vhost();
    call.command(Command::ClearPermission { user, vhost }).await?;
    Ok(Answer::Done)
}

async fn delete_topics(call: Call) -> Answered {
    let (vhost, user) = subject(&call).map_err(|_| Failure::NotFound)?;
    let exchange = match call.name("exchange") {
        "" => None,
        name => Some(name.into()),
    };
    call.command(Command::ClearTopicPermissions { user, vhost, exchange })
        .await?;
    Ok(Answer::Done)
}

fn subject(call: &Call) -> Result<(crate::types::VhostName, UserName), Failure> {
    let catalogue = call.broker.catalogue();
    let (vhost, user) = (call.vhost(), UserName::from(call.name("user")));
    if catalogue.vhost(&vhost).is_none() || catalogue.user(&user).is_none() {
        return Err(Failure::bad("vhost_or_user_not_found"));
    }
    Ok((vhost, user))
}

fn pattern(fields: &Fields, key: &str) -> Result<String, Failure> {
    let text = fields.some_text(key)?;
    permission::pattern(text).map_err(|error| Failure::bad_pattern(text.as_bytes(), &error))?;
    Ok(text.to_owned())
}

fn topic_pattern(fields: &Fields, key: &str) -> Result<String, Failure> {
    let text = fields.some_text(key)?;
    permission::pattern(text).map_err(|error| Failure::bad_pattern(text, &error))?;
    Ok(text.to_owned())
}
