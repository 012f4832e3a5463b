//! Parameters of vhosts by component, and global parameters with the cluster's name.

use serde_json::{Value, json};
use tracing::warn;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::checked_name;
use super::page;
use super::route::{Access, Route};
use crate::broker::Broker;
use crate::metadata::{Command, Vhost};

/// What can be asked of parameters.
pub static ROUTES: &[Route] = &[
    Route::get("/parameters", Access::Policymaker, "All parameters.", |call| {
        list(call, |_| true)
    }),
    Route::get(
        "/parameters/{component}",
        Access::Policymaker,
        "Parameters of a component.",
        |call| list(call, |view| view["component"] == call.name("component")),
    ),
    Route::get(
        "/parameters/{component}/{vhost}",
        Access::Policymaker,
        "Parameters of a component in a vhost.",
        |call| {
            call.in_vhost(|_| ())?;
            list(call, |view| {
                view["component"] == call.name("component") && view["vhost"] == call.name("vhost")
            })
        },
    ),
    Route::get(
        "/parameters/{component}/{vhost}/{name}",
        Access::Policymaker,
        "A parameter.",
        one,
    ),
    Route::put(
        "/parameters/{component}/{vhost}/{name}",
        Access::Policymaker,
        "Sets a parameter: value.",
        |call| Box::pin(put(call)),
    ),
    Route::delete(
        "/parameters/{component}/{vhost}/{name}",
        Access::Policymaker,
        "Deletes a parameter.",
        |call| Box::pin(delete(call)),
    ),
    Route::get(
        "/global-parameters",
        Access::Policymaker,
        "All global parameters.",
        |call| page::listing(call, globals(&call.broker), &["name"]),
    ),
    Route::get(
        "/global-parameters/{name}",
        Access::Policymaker,
        "A global parameter.",
        |call| {
            let all = globals(&call.broker).into_iter();
            let mut found = all.filter(|view| view["name"] == call.name("name"));
            let view = found.next().ok_or(Failure::NotFound)?;
            // RabbitMQ has the value first here.
            Ok(Answer::Json(json!({"value": view["value"], "name": view["name"]})))
        },
    ),
    Route::put(
        "/global-parameters/{name}",
        Access::Policymaker,
        "Sets a global parameter: value.",
        |call| Box::pin(put_global(call)),
    ),
    Route::delete(
        "/global-parameters/{name}",
        Access::Policymaker,
        "Deletes a global parameter.",
        |call| Box::pin(delete_global(call)),
    ),
    Route::get(
        "/cluster-name",
        Access::Management,
        "The name of the cluster.",
        |call| Ok(Answer::Json(json!({"name": cluster_name(&call.broker)}))),
    ),
    Route::put(
        "/cluster-name",
        Access::Administrator,
        "Names the cluster: name.",
        |call| Box::pin(put_cluster_name(call)),
    ),
];

/// What definitions of RabbitMQ carry; kept, and given back, without effect.
const COMPONENTS: [&str; 3] = ["federation-upstream", "federation-upstream-set", "shovel"];
/// The global parameter that names the cluster.
const CLUSTER_NAME: &str = "cluster_name";

/// What the cluster is called.
pub fn cluster_name(broker: &Broker) -> String {
    let catalogue = broker.catalogue();
    let set = catalogue.global_parameters().get(CLUSTER_NAME).and_then(Value::as_str);
    set.unwrap_or(&broker.node().cluster_name).to_owned()
}

/// RabbitMQ writes no tags as an empty list.
fn cluster_tags(broker: &Broker) -> Value {
    match &broker.config().cluster.tags {
        none if none.is_empty() => json!([]),
        tags => json!(tags),
    }
}

fn globals(broker: &Broker) -> Vec<Value> {
    let catalogue = broker.catalogue();
    let set = catalogue.global_parameters();
    let own = [
        (CLUSTER_NAME, json!(broker.node().cluster_name)),
        ("cluster_tags", cluster_tags(broker)),
    ];
    let own = own.into_iter().filter(|(name, _)| !set.contains_key(*name));
    let own = own.map(|(name, value)| json!({"name": name, "value": value}));
    own.chain(set.iter().map(|(name, value)| json!({"name": name, "value": value})))
        .collect()
}

/// The parameters of a vhost; operator policies and limits are parameters too.
fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    let view = |component: &str, name: &str, value: Value| json!({"value": value, "vhost": vhost.name(), "component": component, "name": name});
    let mut all: Vec<_> = vhost
        .parameters
        .iter()
        .map(|((component, name), value)| view(component, name, value.clone()))
        .collect();
    all.extend(vhost.operator_policies.values().map(|policy| {
        let spec = &policy.spec;
        let value = json!({
            "pattern": spec.pattern, "definition": spec.definition,
            "priority": spec.priority, "apply-to": spec.apply_to,
        });
        view("operator_policy", &spec.name, value)
    }));
    if !vhost.limits.is_empty() {
        all.push(view("vhost-limits", "limits", json!(vhost.limits)));
    }
    all
}

fn list(call: &Call, wanted: impl Fn(&Value) -> bool) -> Answered {
    let catalogue = call.broker.catalogue();
    let vhosts = call.caller.vhosts(&catalogue);
    let all = vhosts
        .iter()
        .filter_map(|name| catalogue.vhost(name))
        .flat_map(of_vhost);
    page::listing(call, all.filter(wanted).collect(), &["component", "vhost", "name"])
}

fn one(call: &Call) -> Answered {
    let all = call.in_vhost(of_vhost)?;
    let (component, name) = (call.name("component"), call.name("name"));
    let mut found = all
        .into_iter()
        .filter(|view| view["component"] == component && view["name"] == name);
    found.next().map(Answer::Json).ok_or(Failure::NotFound)
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["value"])?;
    let component = call.name("component").to_owned();
    if !COMPONENTS.contains(&component.as_str()) {
        return Err(Failure::bad(format!(
            "Validation failed\n\ncomponent {component} not found\n"
        )));
    }
    let name = checked_name(call.name("name"))?.to_owned();
    let vhost = call.vhost();
    let key = (component.clone(), name.clone());
    let existed = call.in_vhost(|vhost| vhost.parameters.contains_key(&key))?;
    warn!(component, %vhost, name, "the parameter is kept, but nothing here acts on it");
    let value = fields.0.get("value").cloned().unwrap_or_default();
    let command = Command::PutParameter {
        vhost,
        component,
        name,
        value,
    };
    call.put(existed, command).await
}

async fn delete(call: Call) -> Answered {
    let (component, name) = (call.name("component").to_owned(), call.name("name").to_owned());
    let key = (component.clone(), name.clone());
    if !call.in_vhost(|vhost| vhost.parameters.contains_key(&key))? {
        return Err(Failure::NotFound);
    }
    let vhost = call.vhost();
    call.command(Command::DeleteParameter { vhost, component, name })
        .await?;
    Ok(Answer::Done)
}

async fn put_global(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["value"])?;
    let name = checked_name(call.name("name"))?.to_owned();
    let existed = call.broker.catalogue().global_parameters().contains_key(&name);
    let value = fields.0.get("value").cloned().unwrap_or_default();
    call.put(existed, Command::PutGlobalParameter { name, value }).await
}

async fn delete_global(call: Call) -> Answered {
    let name = call.name("name").to_owned();
    let there = call.broker.catalogue().global_parameters().contains_key(&name);
    if !there {
        return Err(Failure::NotFound);
    }
    call.command(Command::DeleteGlobalParameter(name)).await?;
    Ok(Answer::Done)
}

async fn put_cluster_name(call: Call) -> Answered {
    let fields = call.fields()?;
    let value = fields.some_text("name")?.into();
    let name = CLUSTER_NAME.to_owned();
    call.command(Command::PutGlobalParameter { name, value }).await?;
    Ok(Answer::Done)
}
