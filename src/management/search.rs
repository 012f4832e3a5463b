//! One search over everything that has a page: queues, exchanges, connections and so on, by name.

use serde_json::{Value, json};

use super::answer::{Answer, Answered};
use super::call::Call;
use super::connections;
use super::query::Query;
use super::route::{Access, Route};
use crate::types::sorting::sort;

/// What can be asked.
pub static ROUTES: &[Route] = &[Route::of_clients(
    "/search",
    Access::Management,
    "Whatever has a name with the text q in it, the best first; limit says how many.",
    search,
)];

/// Hits unless the query says otherwise, and at most.
const HITS: usize = 20;
const MOST_HITS: usize = 100;

/// How well a name fits, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fit {
    Same,
    Begins,
    /// A word of it begins so.
    WordBegins,
    Contains,
}

/// What was found, in the order of its worth.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Hit {
    fit: Fit,
    letters: usize,
    name: String,
    kind: &'static str,
    vhost: Option<String>,
}

/// Finds the names that a text is in.
struct Search {
    /// In lower case.
    text: String,
    hits: Vec<Hit>,
}

impl Search {
    fn look(&mut self, kind: &'static str, vhost: Option<&str>, name: &str) {
        if let Some(fit) = fit(&self.text, name) {
            self.hits.push(Hit {
                fit,
                letters: name.len(),
                name: name.to_owned(),
                kind,
                vhost: vhost.map(str::to_owned),
            });
        }
    }

    fn best(mut self, most: usize) -> Value {
        sort(&mut self.hits);
        self.hits.truncate(most);
        let hits = self.hits.into_iter();
        hits.map(|hit| json!({"kind": hit.kind, "vhost": hit.vhost, "name": hit.name}))
            .collect()
    }
}

fn fit(text: &str, name: &str) -> Option<Fit> {
    let name = name.to_lowercase();
    let at = name.find(text)?;
    let begins_word = |at: usize| !name[..at].ends_with(char::is_alphanumeric);
    Some(match at {
        0 if name.len() == text.len() => Fit::Same,
        0 => Fit::Begins,
        _ if name.match_indices(text).any(|(at, _)| begins_word(at)) => Fit::WordBegins,
        _ => Fit::Contains,
    })
}

fn limit(query: &Query) -> usize {
    let asked = query.get("limit").and_then(|limit| limit.parse().ok());
    asked.unwrap_or(HITS).min(MOST_HITS)
}

fn search(call: &Call) -> Answered {
    let mut search = Search {
        text: call.query.get("q").unwrap_or_default().trim().to_lowercase(),
        hits: Vec::new(),
    };
    if search.text.is_empty() {
        return Ok(Answer::Json(json!([])));
    }
    for connection in connections::visible(call) {
        let vhost = connection.details.vhost.as_deref();
        search.look("connection", vhost, &connection.name());
    }
    let catalogue = call.broker.catalogue();
    let vhosts = call.caller.vhosts(&catalogue).into_iter();
    for vhost in vhosts.filter_map(|name| catalogue.vhost(&name)) {
        let own = Some(vhost.name().as_str());
        search.look("vhost", None, vhost.name());
        vhost.queues().for_each(|queue| search.look("queue", own, &queue.name));
        let exchanges = vhost.exchanges();
        exchanges.for_each(|exchange| search.look("exchange", own, &exchange.name));
        vhost.policies.keys().for_each(|name| search.look("policy", own, name));
        let operators = vhost.operator_policies.keys();
        operators.for_each(|name| search.look("operator_policy", own, name));
    }
    if call.caller.is_administrator() {
        let users = catalogue.users();
        users.for_each(|user| search.look("user", None, &user.spec.name));
    }
    if call.caller.is_monitor() {
        let nodes = catalogue.nodes().values();
        nodes.for_each(|node| search.look("node", None, &node.name));
    }
    drop(catalogue);
    Ok(Answer::Json(search.best(limit(&call.query))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_best_comes_first() {
        let mut search = Search {
            text: "order".to_owned(),
            hits: Vec::new(),
        };
        for name in ["reorders", "orders", "mail", "shop.ORDER.paid", "Order", "border-order"] {
            search.look("queue", Some("/"), name);
        }
        let found = search.best(4);
        let names: Vec<_> = found
            .as_array()
            .expect("a list")
            .iter()
            .map(|hit| &hit["name"])
            .collect();
        assert_eq!(names, ["Order", "orders", "border-order", "shop.ORDER.paid"]);
        assert_eq!(found[0], json!({"kind": "queue", "vhost": "/", "name": "Order"}));
    }
}
