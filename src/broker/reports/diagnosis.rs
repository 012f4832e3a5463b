//! Why a queue does not get on: reasons in words, the heaviest first, each with what to do about it.
//!
//! The numbers are those of its leader ([`QueueVitals`]); what the catalogue says is added here.

use rustc_hash::FxHashMap;

use super::Reports;
use super::gathered::{ConsumerName, Gathered};
use super::notices::Level;
use super::standing::{QueueHealth, Standing};
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::settings::settings_of;
use crate::broker::queue::vitals::{HolderReport, QueueVitals};
use crate::queue::health::LOOPS_FROM;
use crate::queue::{Full, Health};
use crate::spec::{QueueSettings, QueueType};
use crate::types::sorting::{sort, sort_by_key};
use crate::types::{ExchangeName, Millis, NodeId, Timestamp};

/// What is known of how a queue gets on.
pub struct Diagnosis {
    /// In one word.
    pub health: &'static str,
    /// Since when it is so, where that is known.
    pub since: Option<Timestamp>,
    pub reasons: Vec<Reason>,
    /// `None` where its leader does not answer, and of a stream.
    pub vitals: Option<QueueVitals>,
}

/// One reason.
pub struct Reason {
    pub level: Level,
    /// Names the kind of reason for programs; it never changes.
    pub code: &'static str,
    pub text: String,
    /// What to do; empty where there is nothing.
    pub remedy: &'static str,
    pub place: Option<Place>,
}

/// Where to look on.
pub enum Place {
    Queue,
    Consumers,
    Messages,
    Members,
    Exchange(ExchangeName),
    /// By its name.
    Channel(String),
}

impl Gathered {
    /// How a queue gets on, in one word.
    pub fn health(&self, queue: &QueueHandle, standing: &Standing) -> &'static str {
        word(standing.health, self.own_health(queue))
    }
}

fn word(standing: QueueHealth, known: Option<Health>) -> &'static str {
    match standing {
        QueueHealth::Crashed => "damaged",
        QueueHealth::Down | QueueHealth::Minority => "unavailable",
        QueueHealth::Running => known.map_or("unknown", Health::name),
    }
}

impl Reports {
    /// Why a queue does not get on. What is known of its consumers is to be gathered first.
    pub async fn diagnose(&self, queue: &QueueHandle, gathered: &Gathered) -> Diagnosis {
        let standing = self.standing(queue, gathered);
        let is_damaged = standing.health == QueueHealth::Crashed;
        let is_stream = queue.spec.queue_type == QueueType::Stream;
        let vitals = match is_damaged || is_stream {
            true => None,
            false => self.queues.vitals(queue).await,
        };
        let settings = settings_of(&self.catalogue(), &queue.spec);
        let mut reasons = Vec::new();
        let is_led = match is_stream {
            true => self.is_stream_led(queue),
            false => vitals.is_some(),
        };
        self.standing_reasons(&standing, gathered, is_led, &mut reasons);
        if let Some(vitals) = &vitals {
            let names = named(
                &gathered.consumer_names(&self.queues, &self.connections, queue),
                &vitals.holders,
            );
            reasons_of(vitals, &names, &settings, &mut reasons);
        }
        if self.alarms.is_short() {
            reasons.push(Reason {
                level: Level::Warn,
                code: "publishers_blocked",
                text: format!("Publishers are blocked: a node is {}.", self.alarms.shortage().reason()),
                remedy: "Free memory or disk on that node.",
                place: None,
            });
        }
        self.dead_letter_reasons(queue, &settings, &mut reasons);
        // Those of one level stay in the order of their weight.
        sort_by_key(&mut reasons, |reason| reason.level);
        let health = match is_stream {
            true => is_led.then_some(Health::Ok),
            false => vitals.as_ref().map(|known| known.vitals.health),
        };
        let health = word(standing.health, health);
        let unsettled = vitals.as_ref().filter(|known| known.vitals.health == Health::Stuck);
        let since = unsettled.map(|known| Timestamp(self.now().0.saturating_sub(known.vitals.unsettled_for.0)));
        Diagnosis {
            health,
            since,
            reasons,
            vitals,
        }
    }

    fn standing_reasons(&self, standing: &Standing, gathered: &Gathered, is_led: bool, reasons: &mut Vec<Reason>) {
        let mut missing: Vec<_> = standing
            .members
            .iter()
            .filter(|node| !standing.online.contains(node))
            .map(|node| gathered.name(*node))
            .collect();
        sort(&mut missing);
        let names = missing.join(", ");
        match standing.health {
            QueueHealth::Crashed => reasons.push(Reason {
                level: Level::Bad,
                code: "damaged",
                text: "Some of its records are damaged. It is not served, and nothing of it is thrown away.".to_owned(),
                remedy: "Look at what can be read of it, and recover it.",
                place: Some(Place::Queue),
            }),
            QueueHealth::Down | QueueHealth::Minority => reasons.push(Reason {
                level: Level::Bad,
                code: "no_majority",
                text: match standing.members.len() {
                    1 => format!("Its node does not answer: {names}."),
                    all => format!(
                        "{} of {all} members answer, too few for a leader. Missing: {names}.",
                        standing.online.len()
                    ),
                },
                remedy: "Start the nodes that are missing.",
                place: Some(Place::Members),
            }),
            QueueHealth::Running if !is_led => reasons.push(Reason {
                level: Level::Bad,
                code: "no_leader",
                text: format!("Its leader does not answer: {}.", gathered.name(standing.leader)),
                remedy: "Look again in a moment; another member leads soon if that one is gone.",
                place: Some(Place::Members),
            }),
            QueueHealth::Running if !missing.is_empty() => reasons.push(Reason {
                level: Level::Warn,
                code: "members_missing",
                text: format!("Members do not answer, or are being filled: {names}."),
                remedy: "Start the nodes that are missing.",
                place: Some(Place::Members),
            }),
            QueueHealth::Running => {}
        }
    }

    fn dead_letter_reasons(&self, queue: &QueueHandle, settings: &QueueSettings, reasons: &mut Vec<Reason>) {
        let Some(exchange) = &settings.dead_letter_exchange else {
            return;
        };
        let catalogue = self.catalogue();
        let vhost = catalogue.vhost(&queue.spec.vhost);
        let is_there = vhost.is_some_and(|vhost| vhost.exchange(exchange).is_some());
        // The default exchange goes by the name of a queue, which the key is.
        let lost_key = settings
            .dead_letter_routing_key
            .as_deref()
            .filter(|key| exchange.is_empty() && vhost.is_some_and(|vhost| vhost.queue(key).is_none()));
        let text = match (is_there, lost_key) {
            (true, None) => return,
            (true, Some(key)) => format!("Dead letters are lost: there is no queue '{key}'."),
            (false, _) => format!("Dead letters are lost: there is no exchange '{exchange}'."),
        };
        reasons.push(Reason {
            level: Level::Warn,
            code: "dead_letter_target_missing",
            text,
            remedy: "Declare it, or set another dead letter exchange.",
            place: Some(match is_there {
                true => Place::Queue,
                false => Place::Exchange(exchange.clone()),
            }),
        });
    }
}

/// What a holder is called: the tag of its consumer, and the name of its channel where that is open.
struct Named<'a> {
    holder: &'a HolderReport,
    tag: String,
    channel: Option<String>,
}

fn named<'a>(names: &FxHashMap<(NodeId, u64), ConsumerName>, holders: &'a [HolderReport]) -> Vec<Named<'a>> {
    let named = holders.iter().map(|holder| {
        let name = names.get(&(holder.node, holder.key));
        Named {
            holder,
            tag: name.map(|name| name.tag.clone()).unwrap_or_default(),
            channel: name.and_then(|name| name.channel.clone()),
        }
    });
    named.collect()
}

/// What the numbers say.
fn reasons_of(known: &QueueVitals, holders: &[Named<'_>], settings: &QueueSettings, reasons: &mut Vec<Reason>) {
    let vitals = &known.vitals;
    let counts = &vitals.counts;
    let waits = vitals
        .oldest_ready
        .map(|age| format!(", the oldest for {}", shown(age)))
        .unwrap_or_default();
    let oldest = vitals.oldest_unacked.map(shown);
    let held_by = |named: &Named<'_>| {
        let most = named
            .holder
            .prefetch
            .map(|most| format!(" of {most}"))
            .unwrap_or_default();
        let (tag, unacked, age) = (&named.tag, named.holder.unacked, shown(named.holder.oldest));
        format!(" '{tag}' holds {unacked}{most}, one of them for {age}.")
    };
    let place = |named: Option<&Named<'_>>| {
        let channel = named.and_then(|named| named.channel.clone());
        channel.map_or(Place::Consumers, Place::Channel)
    };
    if counts.ready > 0 && counts.consumers == 0 {
        reasons.push(Reason {
            level: Level::Bad,
            code: "no_consumers",
            text: format!("Nobody consumes: {} messages wait{waits}.", counts.ready),
            remedy: "Start a consumer.",
            place: Some(Place::Consumers),
        });
    }
    let served = counts.consumers - vitals.standby.min(counts.consumers);
    if counts.ready > 0 && vitals.at_prefetch > 0 && vitals.at_prefetch + vitals.stalled >= served {
        let is_stuck = vitals.health == Health::Stuck;
        let single = holders.iter().find(|named| named.holder.is_single_active);
        let first = single.or(holders.first());
        let held = first.map(held_by).unwrap_or_default();
        let (code, all) = match single {
            Some(_) => (
                "single_active_consumer_holds",
                format!(
                    "The single active consumer holds its prefetch, and {} wait for it to go",
                    vitals.standby
                ),
            ),
            None => (
                "prefetch_full",
                format!("{} of {served} consumers hold their prefetch", vitals.at_prefetch),
            ),
        };
        let settled = match is_stuck {
            true => format!(", nothing settled for {}", shown(vitals.unsettled_for)),
            false => String::new(),
        };
        reasons.push(Reason {
            level: if is_stuck { Level::Bad } else { Level::Info },
            code,
            text: format!("{all}{settled}.{held}"),
            remedy: match is_stuck {
                true => "See what that consumer does; close its channel to give its messages to others.",
                false => "They are busy: add consumers, or raise their prefetch.",
            },
            place: Some(place(first)),
        });
    } else if counts.ready > 0 && vitals.stalled > 0 {
        reasons.push(Reason {
            level: Level::Warn,
            code: "clients_do_not_read",
            text: format!(
                "{} of {served} consumers read nothing from their connection.",
                vitals.stalled
            ),
            remedy: "Look at the connection: the client is busy, or its network is slow.",
            place: Some(Place::Consumers),
        });
    } else if counts.ready == 0 && vitals.oldest_unacked.is_some_and(|age| age >= LONG) {
        reasons.push(Reason {
            level: Level::Info,
            code: "held_long",
            text: format!(
                "Clients hold {} messages, one of them for {}.{}",
                counts.unacked,
                oldest.unwrap_or_default(),
                holders.first().map(held_by).unwrap_or_default(),
            ),
            remedy: "See whether that consumer is still at work on it.",
            place: Some(place(holders.first())),
        });
    }
    match vitals.full {
        Some(Full::Refuses) => reasons.push(Reason {
            level: Level::Bad,
            code: "full_refusing",
            text: format!("It is full{}: what is published is refused.", limit(settings)),
            remedy: "Have its messages consumed, or raise its limit.",
            place: Some(Place::Queue),
        }),
        Some(Full::Drops) => reasons.push(Reason {
            level: Level::Warn,
            code: "full_dropping",
            text: format!(
                "It is full{}: its oldest messages are {} for what comes.",
                limit(settings),
                match settings.dead_letter_exchange {
                    Some(_) => "dead-lettered",
                    None => "dropped",
                }
            ),
            remedy: "Raise its limit if they are wanted.",
            place: Some(Place::Queue),
        }),
        None => {}
    }
    if vitals.returns >= LOOPS_FROM {
        reasons.push(Reason {
            level: Level::Bad,
            code: "redelivery_loop",
            text: format!("The message that is next has come back {} times.", vitals.returns),
            remedy: "See why its consumers return it; a delivery limit with a dead letter exchange puts it aside.",
            place: Some(Place::Messages),
        });
    }
    if let (Some((arriving, leaving)), Health::Growing) = (vitals.rates, vitals.health) {
        reasons.push(Reason {
            level: Level::Warn,
            code: "slower_than_what_comes",
            text: format!("{arriving:.0} messages come each second, and {leaving:.0} go."),
            remedy: "Add consumers, or raise their prefetch.",
            place: Some(Place::Consumers),
        });
    }
    if counts.discarded > 0 {
        reasons.push(Reason {
            level: Level::Warn,
            code: "dead_letters_wait",
            text: format!(
                "{} dead letters are kept until the queues that they go to have taken them.",
                counts.discarded
            ),
            remedy: "See whether those queues are there, and take messages.",
            place: Some(Place::Queue),
        });
    }
}

/// A message that is held for so long may be forgotten.
const LONG: Millis = Millis(60_000);

fn limit(settings: &QueueSettings) -> String {
    let messages = settings.max_length.map(|most| format!("{most} messages"));
    let bytes = settings.max_length_bytes.map(|most| format!("{most} bytes"));
    let limits: Vec<_> = messages.into_iter().chain(bytes).collect();
    match limits.is_empty() {
        true => String::new(),
        false => format!(" ({})", limits.join(", ")),
    }
}

/// A time as people say it.
fn shown(time: Millis) -> String {
    let seconds = time.0 / 1000;
    match seconds {
        0 => format!("{} ms", time.0),
        1..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_in_a_unit_that_fits() {
        let said = [0, 950, 59_000, 14 * 60_000, 3 * 3_600_000, 9 * 86_400_000].map(|ms| shown(Millis(ms)));
        assert_eq!(said, ["0 ms", "950 ms", "59 s", "14 min", "3 h", "9 days"]);
    }
}
