//! The history of one thing, as charts want it: few bytes, and gaps where nobody looked.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::connections::channel_name;
use super::route::{Access, Route, Run, Verb};
use super::text::exchange_name;
use crate::broker::report::{About, Subject, Wanted};
use crate::statistics::{Figures, Kind, Measure, Window, Windows};
use crate::types::VhostName;

/// What can be asked of histories.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/series",
        Access::Management,
        "How something was: of, measures, age, points.",
        Run::Later(|call| Box::pin(series(call))),
    ),
    Route::delete(
        "/reset",
        Access::Administrator,
        "Forgets the statistics of all nodes.",
        |call| Box::pin(reset(call)),
    )
    .plain(),
    Route::delete(
        "/reset/{node}",
        Access::Administrator,
        "Forgets the statistics of a node.",
        |call| Box::pin(reset(call)),
    )
    .plain(),
];

/// Seconds that are shown unless the query says otherwise.
const AGE: u64 = 3600;
/// Points that are shown unless the query says otherwise.
const POINTS: u64 = 300;

/// Names of measures that are shorter than RabbitMQ's, and sums.
const SHORT: &[(&str, &[Measure])] = &[
    ("ready", &[Measure::Ready]),
    ("unacked", &[Measure::Unacked]),
    ("messages", &[Measure::Ready, Measure::Unacked]),
    ("ready_bytes", &[Measure::ReadyBytes]),
    ("unacked_bytes", &[Measure::UnackedBytes]),
    ("bytes", &[Measure::ReadyBytes, Measure::UnackedBytes]),
    ("deliver_get", Measure::DELIVER_GET),
];

/// Counters in each second, gauges as they stood.
async fn series(call: Call) -> Answered {
    let number = |name: &str, otherwise| match call.query.get(name) {
        None | Some("") => Ok(otherwise),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Failure::bad(format!("{name} is no number"))),
    };
    let window = Window::covering(
        call.broker.reports().second(),
        number("age", AGE)?,
        number("points", POINTS)?,
    );
    let asked = call
        .query
        .get("measures")
        .unwrap_or("ready,unacked,publish,deliver_get,ack");
    let measures = asked.split(',').map(|name| {
        let found = measures_of(name).ok_or_else(|| Failure::bad(format!("no measure '{name}'")))?;
        Ok((name, found))
    });
    let measures = measures.collect::<Result<Vec<_>, Failure>>()?;
    let of = call.query.get("of").ok_or_else(|| Failure::bad("of is missing"))?;
    let subject = subject(&call, of).await?;
    let (figures, silent) = call.broker.reports().series(&subject, window).await;
    let mut values = Map::new();
    for (name, measures) in measures {
        values.insert(name.to_owned(), points(&figures, &measures, window));
    }
    let mut answer = json!({"t0": window.start() * 1000, "every": window.every, "values": values});
    if !silent.is_empty() {
        answer["silent"] = json!(silent);
    }
    Ok(Answer::Json(answer))
}

fn measures_of(name: &str) -> Option<Vec<Measure>> {
    let short = SHORT.iter().find(|(short, _)| *short == name);
    match short {
        Some((_, measures)) => Some(measures.to_vec()),
        None => Measure::named(name).map(|measure| vec![measure]),
    }
}

fn points(figures: &Figures, measures: &[Measure], window: Window) -> Value {
    let figure = figures.sum(measures);
    let is_counter = measures.iter().all(|measure| measure.kind() == Kind::Counter);
    let shown = |at: usize| {
        let point = figure.points.get(at).copied().flatten();
        // What was never other than zero has no points; that somebody looked is seen by the others.
        let point = point.or_else(|| figures.is_known(at).then_some(0.0))?;
        Some(if is_counter { point / window.every as f64 } else { point })
    };
    (0..window.count).map(|at| number(shown(at))).collect()
}

/// Whole numbers are shown as such: they are shorter.
fn number(point: Option<f64>) -> Value {
    match point {
        None => Value::Null,
        Some(point) if point.fract() == 0.0 => json!(point as i64),
        Some(point) => json!((point * 1000.0).round() / 1000.0),
    }
}

/// What is meant, if the user may see it.
async fn subject(call: &Call, of: &str) -> Result<Subject, Failure> {
    let (kind, name) = of.split_once(':').unwrap_or((of, ""));
    let monitors = || call.caller.is_monitor();
    match kind {
        "queue" => in_vhost(call, name, |vhost, name| {
            let vhost = call.broker.vhost(vhost)?;
            Some(Subject::Queue(vhost.queue(name)?.spec.id))
        }),
        "exchange" => in_vhost(call, name, |vhost, name| {
            let name = exchange_name(name);
            let catalogue = call.broker.catalogue();
            let spec = catalogue.vhost(vhost)?.exchange(name)?;
            Some(Subject::Exchange(spec.vhost.clone(), spec.name.clone()))
        }),
        "vhost" => {
            let visible = visible(call);
            let vhost = visible.into_iter().find(|vhost| **vhost == *name);
            vhost.map(Subject::Vhost).ok_or(Failure::NotFound)
        }
        "connection" | "channel" => of_client(call, kind, name).await,
        "node" if monitors() => {
            let node = call.broker.declarations().node_named(name);
            node.map(Subject::Node).ok_or(Failure::NotFound)
        }
        "cluster" if monitors() => Ok(Subject::Cluster),
        "node" | "cluster" => Err(Failure::NotAuthorised("Not monitor user")),
        _ => Err(Failure::bad(format!("no series of '{kind}'"))),
    }
}

/// A vhost's name may hold a colon too: the first that there is counts.
fn in_vhost(call: &Call, path: &str, find: impl Fn(&str, &str) -> Option<Subject>) -> Result<Subject, Failure> {
    let visible = visible(call);
    let mut splits = path.match_indices(':').filter_map(|(at, _)| {
        let (vhost, name) = (&path[..at], &path[at + 1..]);
        visible
            .iter()
            .any(|known| **known == *vhost)
            .then(|| find(vhost, name))?
    });
    splits.next().ok_or(Failure::NotFound)
}

fn visible(call: &Call) -> Vec<VhostName> {
    let catalogue = call.broker.catalogue();
    match call.caller.is_monitor() {
        true => catalogue.vhosts().map(|vhost| vhost.name().clone()).collect(),
        false => call.caller.vhosts(&catalogue),
    }
}

async fn of_client(call: &Call, kind: &str, name: &str) -> Result<Subject, Failure> {
    let wanted = Wanted {
        about: About::Clients,
        windows: Windows::default(),
    };
    let gathered = call.broker.reports().gather(wanted).await;
    let mut visible = gathered
        .connections()
        .iter()
        .filter(|connection| call.caller.is_monitor() || connection.details.user.as_ref() == Some(&call.caller.name));
    if kind == "connection" {
        let found = visible.find(|connection| connection.name() == name);
        let found = found.ok_or(Failure::NotFound)?;
        return Ok(Subject::Connection(found.node, found.id));
    }
    let found = visible.find_map(|connection| {
        let mut channels = connection.channels.iter();
        let channel = channels.find(|channel| channel_name(connection, channel) == name)?;
        Some(Subject::Channel(connection.node, connection.id, channel.number))
    });
    found.ok_or(Failure::NotFound)
}

async fn reset(call: Call) -> Answered {
    let named = call.name("node");
    let nodes = call.broker.declarations().node_names().into_iter();
    let nodes: Vec<_> = nodes.filter(|(_, name)| named.is_empty() || name == named).collect();
    if nodes.is_empty() {
        return Err(Failure::NotFound);
    }
    let nodes: Vec<_> = nodes.into_iter().map(|(node, _)| node).collect();
    match call.broker.reports().reset_statistics(&nodes).await {
        silent if silent.is_empty() => Ok(Answer::Done),
        silent => Err(Failure::Broken(format!("{} did not answer", silent.join(", ")))),
    }
}

/// Writes a short history of a queue into its row of a list, where the query asks for one.
pub fn write_trend(call: &Call, view: &mut Value, figures: &Figures) {
    let Some(window) = call.trend else { return };
    let mut trend = json!({"every": window.every});
    for (name, measure) in [("ready", Measure::Ready), ("unacked", Measure::Unacked)] {
        trend[name] = points(figures, &[measure], window);
    }
    view["trend"] = trend;
}
