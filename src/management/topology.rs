//! What leads where in a virtual host: exchanges and queues as boxes, bindings, alternates and dead
//! letters as edges, cut to what can be drawn.
//!
//! The cut goes outwards from the boxes that are asked for, so that what is near is there; a box tells
//! how many of its neighbours are not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use super::answer::{Answer, Answered};
use super::call::Call;
use super::figures;
use super::queues;
use super::route::{Access, Route, Run, Verb};
use crate::broker::report::About;
use crate::metadata::{Vhost, json as table};
use crate::spec::Destination;
use crate::spec::policy::{self, Subject};

/// What can be asked.
pub static ROUTES: &[Route] = &[Route::new(
    Verb::Get,
    "/topology/{vhost}",
    Access::Vhost,
    "Exchanges and queues with what leads where: around (exchange:NAME, queue:NAME or the begin of names), hops, \
     limit.",
    Run::Later(|call| Box::pin(topology(call))),
)];

/// Boxes unless the query says otherwise, and at most.
const BOXES: usize = 120;
const MOST_BOXES: usize = 500;
/// Steps from the boxes asked for, unless the query says otherwise.
const HOPS: usize = 2;
/// What part of all boxes one box may bring in, so that one with thousands leaves room for others.
const FAN: usize = 5;
/// Keys that an edge names; how many there are is told beside them.
const KEYS: usize = 8;

/// What a vhost draws as a box.
type Thing = Destination;

/// Why a message goes along an edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Binding,
    /// When nothing else takes it.
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

/// All of a vhost: the keys of each edge, and the neighbours of each box.
#[derive(Default)]
struct Graph {
    edges: BTreeMap<(Thing, Thing, Kind), Vec<String>>,
    neighbours: BTreeMap<Thing, BTreeSet<Thing>>,
}

impl Graph {
    fn of(vhost: &Vhost) -> Self {
        let mut graph = Self::default();
        for binding in vhost.bindings() {
            let key = match binding.key.is_empty() && !binding.arguments.0.is_empty() {
                true => table::from_table(&binding.arguments).to_string(),
                false => binding.key.clone(),
            };
            let from = Thing::Exchange(binding.source.clone());
            graph.join(from, binding.destination.clone(), Kind::Binding, key);
        }
        for exchange in vhost.exchanges() {
            let from = Thing::Exchange(exchange.name.clone());
            match vhost.alternate_of(exchange) {
                Some(to) => graph.join(from, Thing::Exchange(to), Kind::Alternate, String::new()),
                None => drop(graph.neighbours.entry(from).or_default()),
            }
        }
        for queue in vhost.queues() {
            let from = Thing::Queue(queue.name.clone());
            let definition = vhost.definition_for(Subject::Queue(queue.queue_type), &queue.name);
            let settings = policy::queue_settings(queue, &definition);
            let key = settings.dead_letter_routing_key;
            match settings.dead_letter_exchange {
                // The default exchange takes it to the queue of that name.
                Some(to) if to.is_empty() => {
                    let Some(key) = key else { continue };
                    graph.join(from, Thing::Queue(key.as_str().into()), Kind::DeadLetter, key);
                }
                Some(to) => graph.join(from, Thing::Exchange(to), Kind::DeadLetter, key.unwrap_or_default()),
                None => drop(graph.neighbours.entry(from).or_default()),
            }
        }
        graph
    }

    fn join(&mut self, from: Thing, to: Thing, kind: Kind, key: String) {
        let both = [(from.clone(), to.clone()), (to.clone(), from.clone())];
        for (one, other) in both {
            self.neighbours.entry(one).or_default().insert(other);
        }
        self.edges.entry((from, to, kind)).or_default().push(key);
    }

    /// The boxes to begin with, those with the most neighbours first; of all, without exchanges that lead
    /// nowhere.
    fn asked(&self, around: &str) -> Vec<Thing> {
        let is_meant = |thing: &Thing| match around.split_once(':') {
            _ if around.is_empty() => matches!(thing, Thing::Queue(_)) || !self.neighbours[thing].is_empty(),
            Some(("exchange", name)) => *thing == Thing::Exchange(name.into()),
            Some(("queue", name)) => *thing == Thing::Queue(name.into()),
            _ => name_of(thing).starts_with(around),
        };
        let mut things: Vec<_> = self.neighbours.keys().filter(|thing| is_meant(thing)).collect();
        things.sort_by_key(|thing| std::cmp::Reverse(self.neighbours[*thing].len()));
        things.into_iter().cloned().collect()
    }

    /// What is drawn: the boxes asked for and what is near them.
    fn cut(&self, around: &str, hops: usize, limit: usize) -> BTreeSet<Thing> {
        let asked = self.asked(around);
        // Of all there are, the largest bring in what belongs to them before the next begins.
        let mut begins = asked.into_iter();
        let mut shown = BTreeSet::new();
        let mut next = VecDeque::new();
        while shown.len() < limit {
            let Some((thing, hop)) = next.pop_front().or_else(|| begins.next().map(|thing| (thing, 0))) else {
                break;
            };
            if hop == 0 {
                shown.insert(thing.clone());
            }
            if hop == hops {
                continue;
            }
            let hidden = self.neighbours[&thing].iter().filter(|other| !shown.contains(*other));
            let room = (limit / FAN).max(1).min(limit - shown.len());
            let near: Vec<_> = hidden.take(room).cloned().collect();
            for other in near {
                shown.insert(other.clone());
                next.push_back((other, hop + 1));
            }
        }
        shown
    }
}

fn name_of(thing: &Thing) -> &str {
    match thing {
        Thing::Queue(name) => name,
        Thing::Exchange(name) => name,
    }
}

fn id_of(thing: &Thing) -> String {
    match thing {
        Thing::Queue(name) => format!("queue:{name}"),
        Thing::Exchange(name) => format!("exchange:{name}"),
    }
}

async fn topology(mut call: Call) -> Answered {
    call.gather(About::Exchanges).await?;
    let passed = call.in_vhost(|vhost| {
        let stats = |name| {
            figures::message_stats(
                &call,
                &call.gathered.figures_of_exchange(vhost.name(), name),
                &[figures::ROUTED],
            )
        };
        let exchanges = vhost.exchanges();
        let passed = exchanges.filter_map(|exchange| Some((exchange.name.clone(), stats(&exchange.name)?)));
        passed.collect::<BTreeMap<_, _>>()
    })?;
    call.gather(About::Queues).await?;
    let number = |name, otherwise: usize, most: usize| {
        let asked = call.query.get(name).and_then(|text| text.parse().ok());
        asked.unwrap_or(otherwise).min(most)
    };
    let (hops, limit) = (number("hops", HOPS, 20), number("limit", BOXES, MOST_BOXES));
    let around = call.query.get("around").unwrap_or_default();
    call.in_vhost(|vhost| {
        let graph = Graph::of(vhost);
        let shown = graph.cut(around, hops, limit);
        let nodes = shown.iter().map(|thing| {
            let mut view = match thing {
                Thing::Queue(name) => of_queue(&call, vhost, name),
                Thing::Exchange(name) => match vhost.exchange(name) {
                    Some(spec) => json!({
                        "type": spec.kind.name(),
                        "in": rate(passed.get(name), "publish_in"),
                        "out": rate(passed.get(name), "publish_out"),
                    }),
                    None => json!({"missing": true}),
                },
            };
            let others = graph.neighbours[thing].iter();
            view["id"] = json!(id_of(thing));
            view["kind"] = json!(if matches!(thing, Thing::Queue(_)) {
                "queue"
            } else {
                "exchange"
            });
            view["name"] = json!(name_of(thing));
            view["hidden"] = json!(others.filter(|other| !shown.contains(*other)).count());
            view
        });
        let edges = graph
            .edges
            .iter()
            .filter(|((from, to, _), _)| shown.contains(from) && shown.contains(to));
        let edges = edges.map(|((from, to, kind), keys)| {
            let mut named = keys.clone();
            named.sort();
            named.truncate(KEYS);
            json!({"from": id_of(from), "to": id_of(to), "kind": kind.name(), "keys": named, "count": keys.len()})
        });
        let total = graph.neighbours.keys().filter(|thing| match thing {
            Thing::Queue(_) => true,
            Thing::Exchange(_) => !graph.neighbours[*thing].is_empty(),
        });
        let total = total.count();
        Answer::Json(json!({
            "nodes": nodes.collect::<Value>(),
            "edges": edges.collect::<Value>(),
            "left_out": total.saturating_sub(shown.len()),
        }))
    })
}

/// A queue with its numbers; one that is only named as a target is missing.
fn of_queue(call: &Call, vhost: &Vhost, name: &str) -> Value {
    let Some(spec) = vhost.queue(name) else {
        return json!({"missing": true});
    };
    let view = queues::listed(call, vhost, spec);
    let stats = view.get("message_stats");
    json!({
        "type": view["type"],
        "state": view["state"],
        "health": view["health"],
        "ready": view["messages_ready"],
        "unacked": view["messages_unacknowledged"],
        "consumers": view["consumers"],
        "in": rate(stats, "publish"),
        "out": rate(stats, "deliver_get"),
    })
}

/// A rate out of `message_stats`; null where nothing was counted.
fn rate(stats: Option<&Value>, name: &str) -> Value {
    let details = stats.and_then(|stats| stats.get(format!("{name}_details")));
    details.map_or(Value::Null, |details| details["rate"].clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(name: &str) -> Thing {
        Thing::Exchange(name.into())
    }

    fn queue(name: &str) -> Thing {
        Thing::Queue(name.into())
    }

    /// Two exchanges in a row, with `each` queues at each; a queue whose dead letters lead away.
    fn graph(each: usize) -> Graph {
        let mut graph = Graph::default();
        graph.join(exchange("in"), exchange("out"), Kind::Binding, "a.#".into());
        for at in 0..each {
            graph.join(exchange("in"), queue(&format!("in-{at:03}")), Kind::Binding, "a".into());
            graph.join(
                exchange("out"),
                queue(&format!("out-{at:03}")),
                Kind::Binding,
                "b".into(),
            );
        }
        graph.join(queue("out-000"), exchange("dead"), Kind::DeadLetter, String::new());
        graph.neighbours.entry(exchange("amq.topic")).or_default();
        graph
    }

    #[test]
    fn all_is_shown_where_there_is_room_but_exchanges_that_lead_nowhere() {
        let shown = graph(3).cut("", 2, 120);
        assert_eq!(shown.len(), 9);
        assert!(!shown.contains(&exchange("amq.topic")));
    }

    #[test]
    fn what_is_near_is_shown_by_hops() {
        let graph = graph(2);
        let near = graph.cut("queue:in-000", 1, 120);
        assert_eq!(near, BTreeSet::from([queue("in-000"), exchange("in")]));
        let further = graph.cut("queue:in-000", 2, 120);
        assert_eq!(
            further,
            BTreeSet::from([queue("in-000"), queue("in-001"), exchange("in"), exchange("out")])
        );
        assert_eq!(
            graph.cut("exchange:amq.topic", 2, 120),
            BTreeSet::from([exchange("amq.topic")])
        );
        assert_eq!(
            graph.cut("out-0", 0, 120),
            BTreeSet::from([queue("out-000"), queue("out-001")])
        );
        assert!(graph.cut("exchange:nothing", 2, 120).is_empty());
    }

    #[test]
    fn one_box_with_many_neighbours_leaves_room_for_others() {
        let graph = graph(200);
        let shown = graph.cut("exchange:in", 2, 120);
        assert!(shown.contains(&exchange("out")));
        assert!(shown.len() <= 2 * 120 / FAN + 2, "{}", shown.len());
        for limit in [0, 1, 2, 10] {
            assert_eq!(graph.cut("", 2, limit).len(), limit);
        }
    }
}
