//! A part of what is declared as a graph: exchanges and queues, and what leads from one to another.
//!
//! It is cut here and not by whoever draws it: so many boxes at most, those nearest to the middle first.
//! What hangs on a box and has no place is one box with a count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::figures;
use super::route::{Access, Route, Run, Verb};
use super::text::exchange_name;
use super::views;
use crate::broker::report::About;
use crate::metadata::Vhost;
use crate::spec::Destination;
use crate::spec::policy::{Subject, queue_settings};
use crate::types::{ExchangeName, QueueName};

/// What can be asked.
pub static ROUTES: &[Route] = &[Route::new(
    Verb::Get,
    "/topology/{vhost}",
    Access::Vhost,
    "Exchanges and queues and what leads from one to another: around a name, so many hops, a limit of boxes.",
    Run::Gathered(About::Queues, topology),
)];

/// Hops unless the query says otherwise, and boxes at most.
const HOPS: usize = 2;
const MOST_HOPS: usize = 10;
const MOST: usize = 120;
/// Keys of an edge that are named.
const KEYS: usize = 5;

/// A box.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Thing {
    Exchange(ExchangeName),
    Queue(QueueName),
}

impl Thing {
    fn id(&self) -> String {
        match self {
            Self::Exchange(name) => format!("exchange:{name}"),
            Self::Queue(name) => format!("queue:{name}"),
        }
    }
}

/// Why one thing leads to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Binding,
    Alternate,
    DeadLetter,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Alternate => "alternate",
            Self::DeadLetter => "dead_letter",
        }
    }
}

/// From, to and why, with the binding keys.
type Edges = BTreeMap<(Thing, Thing, Kind), Vec<String>>;

fn topology(call: &Call) -> Answered {
    let number = |name: &str, default: usize, most: usize| match call.query.get(name) {
        None | Some("") => Ok(default),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(number.min(most)),
            Err(_) => Err(Failure::bad(format!("{name} is not a number"))),
        },
    };
    let hops = number("hops", HOPS, MOST_HOPS)?;
    let limit = number("limit", MOST, MOST)?.max(1);
    let around = call.query.get("around").filter(|text| !text.is_empty());
    let (edges, middle) = call.in_vhost(|vhost| (edges(vhost), middle(vhost, around)))?;
    if middle.is_empty() && around.is_some() {
        return Err(Failure::NotFound);
    }
    let cut = cut(&edges, middle, hops, limit);
    Ok(Answer::Json(view(call, &edges, &cut)))
}

/// Everything that leads somewhere, but for what every queue has: its name in the default exchange.
fn edges(vhost: &Vhost) -> Edges {
    let mut edges = Edges::new();
    for binding in vhost.bindings() {
        let to = match &binding.destination {
            Destination::Queue(name) => Thing::Queue(name.clone()),
            Destination::Exchange(name) => Thing::Exchange(name.clone()),
        };
        let from = Thing::Exchange(binding.source.clone());
        let keys = edges.entry((from, to, Kind::Binding)).or_default();
        keys.push(binding.key.clone());
    }
    for spec in vhost.exchanges() {
        if let Some(alternate) = vhost.alternate_of(spec) {
            let (from, to) = (Thing::Exchange(spec.name.clone()), Thing::Exchange(alternate));
            edges.insert((from, to, Kind::Alternate), Vec::new());
        }
    }
    for spec in vhost.queues() {
        let settings = queue_settings(spec, &vhost.definition_for(Subject::Queue(spec.queue_type), &spec.name));
        let Some(exchange) = settings.dead_letter_exchange else {
            continue;
        };
        let key = settings.dead_letter_routing_key;
        let from = Thing::Queue(spec.name.clone());
        // The default exchange goes by the name of a queue.
        let to = match &key {
            Some(key) if exchange.is_empty() => Thing::Queue(key.as_str().into()),
            _ => Thing::Exchange(exchange),
        };
        edges.insert((from, to, Kind::DeadLetter), key.into_iter().collect());
    }
    edges
}

/// Where to begin: at what is named (`exchange:NAME`, `queue:NAME`, either by its name, several by a
/// prefix that ends in `*`), else at every exchange that somebody declared.
fn middle(vhost: &Vhost, around: Option<&str>) -> Vec<Thing> {
    let (exchanges, queues, name) = match around {
        None => (true, false, None),
        Some(text) => match text.split_once(':') {
            Some(("exchange", name)) => (true, false, Some(exchange_name(name))),
            Some(("queue", name)) => (false, true, Some(name)),
            _ => (true, true, Some(text)),
        },
    };
    let is_meant = |own: &str| match name {
        None => !own.is_empty() && !own.starts_with("amq."),
        Some(name) => match name.strip_suffix('*') {
            Some(prefix) => own.starts_with(prefix),
            None => own == name,
        },
    };
    let mut middle = BTreeSet::new();
    if exchanges {
        let all = vhost.exchanges().filter(|spec| is_meant(&spec.name));
        middle.extend(all.map(|spec| Thing::Exchange(spec.name.clone())));
    }
    if queues {
        let all = vhost.queues().filter(|spec| is_meant(&spec.name));
        middle.extend(all.map(|spec| Thing::Queue(spec.name.clone())));
    }
    middle.into_iter().collect()
}

/// What is shown, and what is not.
#[derive(Default)]
struct Cut {
    shown: BTreeSet<Thing>,
    /// What has no place, by the box that it hangs on.
    groups: BTreeMap<Thing, BTreeSet<Thing>>,
    left_out: usize,
}

/// Those nearest to the middle, so many at most.
fn cut(edges: &Edges, middle: Vec<Thing>, hops: usize, limit: usize) -> Cut {
    let mut near: BTreeMap<&Thing, BTreeSet<&Thing>> = BTreeMap::new();
    for (from, to, _) in edges.keys() {
        near.entry(from).or_default().insert(to);
        near.entry(to).or_default().insert(from);
    }
    let mut cut = Cut::default();
    let mut waiting: VecDeque<_> = middle.into_iter().map(|thing| (thing, 0, None::<Thing>)).collect();
    let mut out = BTreeSet::new();
    while let Some((thing, far, beside)) = waiting.pop_front() {
        if cut.shown.contains(&thing) {
            continue;
        }
        if cut.shown.len() == limit {
            if let Some(beside) = beside {
                cut.groups.entry(beside).or_default().insert(thing.clone());
            }
            out.insert(thing);
            continue;
        }
        if far < hops {
            for next in near.get(&thing).into_iter().flatten() {
                waiting.push_back(((*next).clone(), far + 1, Some(thing.clone())));
            }
        }
        cut.shown.insert(thing);
    }
    cut.left_out = out.len();
    cut
}

fn view(call: &Call, edges: &Edges, cut: &Cut) -> Value {
    let mut nodes: Vec<_> = cut
        .shown
        .iter()
        .map(|thing| match thing {
            Thing::Exchange(name) => exchange_view(call, thing, name),
            Thing::Queue(name) => queue_view(call, thing, name),
        })
        .collect();
    let both = edges
        .iter()
        .filter(|((from, to, _), _)| cut.shown.contains(from) && cut.shown.contains(to));
    let mut lines: Vec<_> = both
        .map(|((from, to, kind), keys)| {
            json!({
                "from": from.id(),
                "to": to.id(),
                "kind": kind.name(),
                "keys": keys.iter().take(KEYS).collect::<Vec<_>>(),
                "count": keys.len().max(1),
            })
        })
        .collect();
    for (beside, group) in &cut.groups {
        let id = format!("group:{}", beside.id());
        nodes.push(json!({"id": id, "kind": "group", "name": format!("{} more", group.len()), "count": group.len()}));
        lines.push(json!({"from": beside.id(), "to": id, "kind": "group", "keys": [], "count": group.len()}));
    }
    json!({"nodes": nodes, "edges": lines, "left_out": cut.left_out})
}

/// An exchange; one that is only named as an alternate or for dead letters is missing.
fn exchange_view(call: &Call, thing: &Thing, name: &str) -> Value {
    let kind = call.in_vhost(|vhost| vhost.exchange(name).map(|spec| spec.kind.name()));
    let kind = kind.ok().flatten();
    let mut view = json!({"id": thing.id(), "kind": "exchange", "name": name, "type": kind});
    if kind.is_none() {
        view["health"] = json!("missing");
    }
    view
}

/// A queue with its numbers; one that is only named by a dead letter key is missing.
fn queue_view(call: &Call, thing: &Thing, name: &str) -> Value {
    let mut view = json!({"id": thing.id(), "kind": "queue", "name": name, "ready": null, "health": "missing"});
    let live = call
        .broker
        .vhost(call.name("vhost"))
        .and_then(|vhost| vhost.queue(name));
    let Some(queue) = live else {
        return view;
    };
    let standing = call.broker.reports().standing(&queue, &call.gathered);
    view["health"] = json!(call.gathered.health(&queue, &standing));
    view["type"] = views::queue_type(queue.spec.queue_type).into();
    if let Some(report) = call.gathered.queue(&queue) {
        view["ready"] = json!(report.counts.ready);
        view["unacked"] = json!(report.counts.unacked);
        view["consumers"] = json!(report.counts.consumers);
        let counted = call.gathered.figures_of_queue(report.queue);
        let stats = figures::message_stats(call, &counted, &[figures::INCOMING, figures::DELIVERIES]);
        for (key, counter) in [("in", "publish_details"), ("out", "deliver_get_details")] {
            let details = stats.as_ref().and_then(|stats| stats.get(counter));
            view[key] = details.map_or(Value::Null, |details| details["rate"].clone());
        }
    }
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_is_counted_where_it_hangs() {
        let exchange = Thing::Exchange("e".into());
        let to = |number: usize| Thing::Queue(format!("q{number:02}").as_str().into());
        let edges: Edges = (0..20)
            .map(|number| ((exchange.clone(), to(number), Kind::Binding), vec!["k".to_owned()]))
            .collect();
        let few = cut(&edges, vec![exchange.clone()], 2, 6);
        assert_eq!(few.shown.len(), 6);
        assert_eq!((few.groups[&exchange].len(), few.left_out), (15, 15));
        let near = cut(&edges, vec![to(3)], 1, 100);
        assert_eq!(near.shown, [exchange.clone(), to(3)].into());
        let all = cut(&edges, vec![to(3)], 2, 100);
        assert_eq!((all.shown.len(), all.left_out), (21, 0));
    }
}
