//! The cluster on one page: what each node leads, how far the others are, which queues are at risk.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::{Answer, Answered};
use super::call::Call;
use super::parameters::cluster_name;
use super::replicas;
use super::route::{Access, Route, Run, Verb};
use crate::broker::report::About;
use crate::types::NodeId;
use crate::types::sorting::{map_of, sort_by, sort_by_key};

/// What can be asked of the cluster.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/cluster",
        Access::Monitoring,
        "The nodes with what they lead and how far others are, and the queues that are at risk.",
        Run::Gathered(About::Nodes, cluster),
    ),
    Route::new(
        Verb::Get,
        "/cluster/metadata-store",
        Access::Monitoring,
        "The members of the group that has what is declared, and how far each is.",
        Run::Gathered(About::Nodes, |call| {
            let members = call.gathered.catalogue_members().into_iter();
            let mut views: Vec<_> = members
                .map(|(node, state)| replicas::view(&call.gathered.name(node), state))
                .collect();
            sort_by_key(&mut views, |view| view["Node Name"].as_str().map(str::to_owned));
            Ok(Answer::Json(views.into()))
        }),
    ),
];

/// Queues at risk that are listed; how many there are is told beside them.
const MOST_AT_RISK: usize = 100;

#[derive(Default)]
struct Load {
    leaders: u64,
    members: u64,
}

/// A queue that stands or falls with one member more, and how many it has too many.
struct AtRisk {
    vhost: String,
    queue: String,
    members: usize,
    online: usize,
}

impl AtRisk {
    fn spare(&self) -> usize {
        (2 * self.online).saturating_sub(self.members)
    }
}

fn cluster(call: &Call) -> Answered {
    let broker = &call.broker;
    let mut loads = BTreeMap::<NodeId, Load>::new();
    let mut at_risk = Vec::new();
    for queue in broker.all_queues() {
        let standing = broker.reports().standing(&queue, &call.gathered);
        loads.entry(standing.leader).or_default().leaders += 1;
        for member in &standing.members {
            loads.entry(*member).or_default().members += 1;
        }
        let (members, online) = (standing.members.len(), standing.online.len());
        if online < members && online <= members / 2 + 1 {
            at_risk.push(AtRisk {
                vhost: queue.spec.vhost.to_string(),
                queue: queue.spec.name.to_string(),
                members,
                online,
            });
        }
    }
    sort_by(&mut at_risk, |one, other| {
        let key = |queue: &AtRisk| (queue.spare(), Reverse(queue.members));
        let names = || (&one.vhost, &one.queue).cmp(&(&other.vhost, &other.queue));
        key(one).cmp(&key(other)).then_with(names)
    });
    let mut nodes: Vec<_> = broker.declarations().node_names().into_iter().collect();
    sort_by(&mut nodes, |(_, one), (_, other)| one.cmp(other));
    let view = |(node, name): &(NodeId, String)| {
        let load = loads.get(node);
        let facts = call.gathered.facts(*node);
        json!({
            "name": name,
            "running": facts.is_some(),
            "draining": facts.is_some_and(|facts| facts.is_drained),
            "leaders": load.map_or(0, |load| load.leaders),
            "members": load.map_or(0, |load| load.members),
            "links": facts.map(|facts| links(call, &facts.links)),
        })
    };
    Ok(Answer::Json(json!({
        "name": cluster_name(broker),
        "nodes": nodes.iter().map(view).collect::<Value>(),
        "at_risk_count": at_risk.len(),
        "at_risk": at_risk.iter().take(MOST_AT_RISK).map(|queue| json!({
            "vhost": queue.vhost,
            "queue": queue.queue,
            "members": queue.members,
            "online": queue.online,
        })).collect::<Value>(),
    })))
}

/// The way to each other node and back, in milliseconds; null while it is not known.
fn links(call: &Call, links: &[(NodeId, Option<u64>)]) -> Value {
    let links = links.iter().map(|(node, micros)| {
        let ms = micros.map(|micros| micros as f64 / 1000.0);
        (call.gathered.name(*node), json!({"ms": ms}))
    });
    map_of(links).into_iter().collect::<Map<_, _>>().into()
}
