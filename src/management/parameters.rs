//! Parameters of vhosts by component, and global parameters with the cluster's name.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::checked_name;
use super::route::{Access, Route};
use super::{limits, list, policies};
use crate::broker::Broker;
use crate::metadata::{Command, Vhost};
use crate::spec::policy::PolicyKind;

/// What can be asked of parameters.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/parameters",
        Access::Policymaker,
        "All parameters; policies, which are some, have a list of their own.",
        |call| list(call, |view| view["component"] != POLICY),
    ),
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
        |call| list::listing(call, globals(&call.broker), &["name"]),
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

/// Components that have paths of their own too.
const OPERATOR_POLICY: &str = "operator_policy";
const POLICY: &str = "policy";
const VHOST_LIMITS: &str = "vhost-limits";
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
    for (component, kind) in [(OPERATOR_POLICY, PolicyKind::Operator), (POLICY, PolicyKind::User)] {
        let policies = policies::parameters(vhost, kind);
        all.extend(policies.map(|(name, value)| view(component, name, value)));
    }
    if !vhost.limits.is_empty() {
        all.push(view(VHOST_LIMITS, limits::PARAMETER, json!(vhost.limits)));
    }
    all
}

fn list(call: &Call, wanted: impl Fn(&Value) -> bool) -> Answered {
    let all = call.in_vhosts(of_vhost).into_iter();
    list::listing(call, all.filter(wanted).collect(), &["component", "vhost", "name"])
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
    let value = fields.0.get("value").cloned().unwrap_or_default();
    checked_name(call.name("name"))?;
    call.in_vhost(|_| ())?;
    match call.name("component") {
        POLICY => Err(Failure::bad(NO_POLICIES)),
        OPERATOR_POLICY => {
            let put = policies::put_parameter(administrators(&call)?, &value).await;
            put.map_err(fit_for_a_page)
        }
        VHOST_LIMITS => {
            let put = limits::put_parameter(administrators(&call)?, &value).await;
            put.map_err(fit_for_a_page)
        }
        // Those of shovels and federation too: nothing here acts on them.
        component => Err(Failure::bad(format!(
            "Validation failed\n\ncomponent {component} not found\n"
        ))),
    }
}

const NO_POLICIES: &str = "policies may not be set using this method";

/// The paths of their own are for administrators only: these are no way around them.
fn administrators(call: &Call) -> Result<&Call, Failure> {
    match call.caller.is_administrator() {
        true => Ok(call),
        false => Err(Failure::NotAuthorised("Not administrator user")),
    }
}

/// RabbitMQ makes reasons fit for a page here.
fn fit_for_a_page(failure: Failure) -> Failure {
    match failure {
        Failure::Bad(Value::String(reason)) => Failure::bad(reason.replace('<', "&lt;").replace('>', "&gt;")),
        failure => failure,
    }
}

async fn delete(call: Call) -> Answered {
    let (component, name) = (call.name("component").to_owned(), call.name("name").to_owned());
    let all = call.in_vhost(of_vhost)?;
    let is_it = |view: &Value| view["component"] == component.as_str() && view["name"] == name.as_str();
    if !all.iter().any(is_it) {
        return Err(Failure::NotFound);
    }
    match component.as_str() {
        POLICY => Err(Failure::bad(NO_POLICIES)),
        OPERATOR_POLICY => policies::delete_parameter(administrators(&call)?).await,
        VHOST_LIMITS => limits::delete_parameter(administrators(&call)?).await,
        // What definitions of RabbitMQ brought.
        _ => {
            let vhost = call.vhost();
            call.command(Command::DeleteParameter { vhost, component, name })
                .await?;
            Ok(Answer::Done)
        }
    }
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
