//! What an operator has to know, in one wording for whoever shows it: the console, the command line,
//! metrics.
//!
//! Each node says what it knows of itself ([`NodeFacts`]); what follows from several nodes together is
//! seen by whoever was asked. A notice that concerns many queues is one notice.

use std::fmt::Write;
use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::Reports;
use super::gathered::Gathered;
use super::report::NodeFacts;
use super::standing::QueueHealth;
use crate::broker::cluster::majority::Reach;
use crate::broker::queue::handle::QueueHandle;
use crate::cluster::Health;
use crate::spec::QueueSpec;
use crate::types::sorting::{sort_by, sort_by_key};
use crate::types::{NodeId, Timestamp};

/// Seconds before the end of a certificate from which on it is told.
const NEAR_END: u64 = 30 * DAY;
const DAY: u64 = 24 * 60 * 60;
/// Names of queues in a text.
const NAMED: usize = 3;

/// How much it matters. They are in the order in which they are shown.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Something does not work.
    Bad,
    /// Something will not work for long.
    Warn,
    /// Nothing is wrong, and somebody may wonder.
    Info,
}

/// What a notice is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    Cluster,
    Node(String),
    Queue {
        vhost: String,
        name: String,
    },
    /// Several of them.
    Queues,
}

/// One thing to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    pub level: Level,
    /// Names the kind of notice for programs; it never changes.
    pub code: &'static str,
    pub about: About,
    /// `None` where nobody knows.
    pub since: Option<Timestamp>,
    /// What is so.
    pub text: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Level {
    /// The word of the HTTP API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Info => "info",
        }
    }
}

/// How many notices there are of one kind may be much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sees {
    /// Of the nodes, with their files.
    Everything,
    /// That there are alarms, and what becomes of queues.
    Queues,
}

impl Reports {
    /// What there is to know, the worst first, of the queues that `is_visible`. Nodes are to be asked
    /// about themselves first.
    pub fn notices(&self, gathered: &Gathered, sees: Sees, is_visible: impl Fn(&QueueSpec) -> bool) -> Vec<Notice> {
        let mut notices = Vec::new();
        self.note_alarms(gathered, &mut notices);
        let names = self.declarations.node_names();
        let majority = self.membership.hears_majority();
        if !majority {
            let alive = names.keys().filter(|node| self.nodes.is_alive(**node)).count();
            notices.push(Notice {
                level: Level::Bad,
                code: "minority",
                about: About::Cluster,
                since: None,
                text: format!(
                    "{} hears {alive} of {} nodes, too few to agree on anything: nothing can be declared, and queues \
                     with members on the others may have no leader.",
                    self.node.name,
                    names.len(),
                ),
                remedy: "Start the nodes that are missing, or mend the network between them.",
            });
        }
        let mut by_name: Vec<_> = names.iter().collect();
        sort_by_key(&mut by_name, |(_, name)| *name);
        for (node, name) in by_name {
            match gathered.facts(*node) {
                Some(facts) if sees == Sees::Everything => note_facts(name, facts, self.now(), &mut notices),
                Some(_) => {}
                None => notices.push(self.away(*node, name)),
            }
        }
        self.note_queues(gathered, is_visible, &mut notices);
        sort_by_key(&mut notices, |notice| notice.level);
        notices
    }

    fn note_alarms(&self, gathered: &Gathered, notices: &mut Vec<Notice>) {
        let own = (self.us(), self.alarms.own());
        for (node, short) in self.alarms.of_others().into_iter().chain([own]) {
            let name = gathered.name(node);
            let since = gathered.facts(node).and_then(|facts| facts.short_since);
            if short.memory {
                notices.push(Notice {
                    level: Level::Bad,
                    code: "memory_alarm",
                    about: About::Node(name.clone()),
                    since,
                    text: format!(
                        "{name} uses more memory than its watermark allows. Publishers are blocked everywhere."
                    ),
                    remedy: "Have consumers take messages, or raise vm_memory_high_watermark.",
                });
            }
            if short.disk {
                notices.push(Notice {
                    level: Level::Bad,
                    code: "disk_alarm",
                    about: About::Node(name.clone()),
                    since,
                    text: format!("{name} has less disk free than its limit. Publishers are blocked everywhere."),
                    remedy: "Free disk, have consumers take messages, or lower disk_free_limit.",
                });
            }
        }
    }

    fn away(&self, node: NodeId, name: &str) -> Notice {
        let health = self.nodes.cluster().map(|cluster| cluster.health(node));
        let (code, text) = match health {
            // It was heard just now, and was too slow for this one answer.
            Some(Health::Up) => ("node_slow", format!("{name} does not answer in time.")),
            _ => ("node_down", format!("{name} does not answer.")),
        };
        Notice {
            level: Level::Bad,
            code,
            about: About::Node(name.to_owned()),
            since: None,
            text,
            remedy: "Start it, or look at the network between the nodes.",
        }
    }

    fn note_queues(&self, gathered: &Gathered, is_visible: impl Fn(&QueueSpec) -> bool, notices: &mut Vec<Notice>) {
        let known: FxHashSet<_> = gathered.facts.values().flat_map(|facts| &facts.damaged).collect();
        let (mut damaged, mut down) = (Vec::new(), Vec::new());
        for queue in self.queues.all().into_iter().filter(|queue| is_visible(&queue.spec)) {
            let health = || self.standing(&queue, gathered).health;
            match known.contains(&queue.spec.id) {
                true => damaged.push(queue),
                false if matches!(health(), QueueHealth::Minority | QueueHealth::Down) => down.push(queue),
                false => {}
            }
        }
        let specs = |queues: &[Arc<QueueHandle>]| {
            let mut specs: Vec<_> = queues.iter().map(|queue| queue.spec.clone()).collect();
            sort_by(&mut specs, |one, other| {
                (&one.vhost, &one.name).cmp(&(&other.vhost, &other.name))
            });
            specs
        };
        if let Some((about, named)) = several(&specs(&damaged)) {
            notices.push(Notice {
                level: Level::Bad,
                code: "queue_damaged",
                about,
                since: None,
                text: format!("Records of {named} are damaged; what is left is kept, and nothing is served."),
                remedy: "Look at what can be read of it, and recover it, or put its file back from a backup.",
            });
        }
        if let Some((about, named)) = several(&specs(&down)) {
            notices.push(Notice {
                level: Level::Bad,
                code: "queue_unavailable",
                about,
                since: None,
                text: format!("Too few nodes with {named} answer: nothing can be published or consumed."),
                remedy: "Start the nodes that have it.",
            });
        }
    }
}

/// What queues are called in a text, and what the notice is about; `None` for none.
fn several(specs: &[Arc<QueueSpec>]) -> Option<(About, String)> {
    let (first, rest) = specs.split_first()?;
    if rest.is_empty() {
        let about = About::Queue {
            vhost: first.vhost.to_string(),
            name: first.name.to_string(),
        };
        return Some((about, format!("queue '{}' in vhost '{}'", first.name, first.vhost)));
    }
    let named: Vec<_> = specs.iter().take(NAMED).map(|spec| spec.name.as_str()).collect();
    let mut text = format!("{} queues ({}", specs.len(), named.join(", "));
    if specs.len() > NAMED {
        // Writing to a text cannot fail.
        let _ = write!(text, " and {} more", specs.len() - NAMED);
    }
    text.push(')');
    Some((About::Queues, text))
}

fn note_facts(name: &str, facts: &NodeFacts, now: Timestamp, notices: &mut Vec<Notice>) {
    let about = || About::Node(name.to_owned());
    if facts.reach == Reach::Paused {
        notices.push(Notice {
            level: Level::Bad,
            code: "paused",
            about: about(),
            since: None,
            text: format!("{name} hears too few of the others and serves no clients until it hears more."),
            remedy: "Start the nodes that are missing, or mend the network between them.",
        });
    }
    for (key, file, until) in &facts.certificates {
        let left = until.saturating_sub(now.seconds());
        if left > NEAR_END {
            continue;
        }
        let file = file.display();
        let (level, code, text) = match left {
            0 => (
                Level::Bad,
                "certificate_expired",
                format!("The certificate {file} of {name} ({key}) is not valid any more."),
            ),
            _ => (
                Level::Warn,
                "certificate_expiring",
                format!(
                    "The certificate {file} of {name} ({key}) ends in {} days.",
                    left.div_ceil(DAY)
                ),
            ),
        };
        notices.push(Notice {
            level,
            code,
            about: about(),
            since: None,
            text,
            remedy: "Put another one in its place; it is read again when the node is told to (SIGHUP).",
        });
    }
    notices.extend(facts.warnings.iter().map(|warning| Notice {
        level: Level::Info,
        code: "configuration",
        about: about(),
        since: None,
        text: format!("{name}: {warning}"),
        remedy: "Take it out of the configuration, if it is not there for RabbitMQ.",
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_told_a_month_before_their_end() {
        let now = Timestamp(1_000_000 * DAY);
        let told = |left: u64| {
            let facts = NodeFacts {
                certificates: vec![("cluster.tls.certfile".into(), "/c.pem".into(), now.seconds() + left)],
                ..NodeFacts::default()
            };
            let mut notices = Vec::new();
            note_facts("rabbit@a", &facts, now, &mut notices);
            notices.pop().map(|notice| (notice.level, notice.code, notice.text))
        };
        assert_eq!(told(NEAR_END + 1), None);
        let (level, code, text) = told(5 * DAY - 7).expect("near its end");
        assert_eq!((level, code), (Level::Warn, "certificate_expiring"));
        assert!(text.ends_with("ends in 5 days."), "{text}");
        assert_eq!(told(0).map(|(level, ..)| level), Some(Level::Bad));
    }
}
