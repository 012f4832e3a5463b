//! Where a message would go and why: the way of [`Router::route`], with every binding that was tried.
//!
//! A binding of most types is asked by itself, as an exchange that has no other. Where the bindings
//! of an exchange decide together, as a hash does, the exchange is asked; where chance does, every one
//! of them may be it.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::{Exchange, Router};
use crate::exchange::{Before, Deciding, ExchangeKind, Queue, RouteInput, Target, Why};
use crate::spec::BindingSpec;
use crate::types::ExchangeName;

/// The way of a message.
pub struct Explained<Q> {
    /// Each queue once, with the exchange that it is reached from.
    pub queues: Vec<(Q, ExchangeName)>,
    /// The exchanges that it comes to, in this order.
    pub steps: Vec<Step>,
    /// Not where chance decides: then a message gets to some of the queues.
    pub is_certain: bool,
    /// An exchange holds it back first.
    pub is_delayed: bool,
}

/// What one exchange makes of a message.
pub struct Step {
    pub exchange: ExchangeName,
    pub kind: ExchangeKind,
    pub tried: Vec<Tried>,
    /// Where it goes because no binding takes it.
    pub alternate: Option<ExchangeName>,
    /// Milliseconds for which it is held back first.
    pub delay: Option<u64>,
}

/// A binding that was asked.
pub struct Tried {
    pub binding: BindingSpec,
    pub verdict: Verdict,
}

/// What it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Takes,
    /// It may, with others: one of them is picked.
    MayTake,
    Refuses(Why),
}

impl Verdict {
    /// Why not; `None` where it takes the message, or may.
    pub fn why(self) -> Option<Why> {
        match self {
            Self::Takes | Self::MayTake => None,
            Self::Refuses(why) => Some(why),
        }
    }
}

impl<Q: Queue> Router<Q> {
    /// Where a message would go and why; `None` when the exchange does not exist. A message that would
    /// be held back is followed as if the time were over.
    pub fn explain(&self, input: &RouteInput<'_>) -> Option<Explained<Q>> {
        let (start, _) = self.exchanges.get_key_value(input.exchange)?;
        let mut explained = Explained {
            queues: Vec::new(),
            steps: Vec::new(),
            is_certain: true,
            is_delayed: false,
        };
        let mut visited = FxHashSet::default();
        let mut waiting = VecDeque::from([start.clone()]);
        while let Some(name) = waiting.pop_front() {
            if let Some(exchange) = self.exchanges.get(&name)
                && visited.insert(name.clone())
            {
                self.explain_one(&name, exchange, input, &mut explained, &mut waiting);
            }
        }
        Some(explained)
    }

    fn explain_one(
        &self,
        name: &ExchangeName,
        exchange: &Exchange<Q>,
        input: &RouteInput<'_>,
        explained: &mut Explained<Q>,
        waiting: &mut VecDeque<ExchangeName>,
    ) {
        let delay = match exchange.kind.spec().before.map(|before| before(input)) {
            Some(Before::Hold(delay)) => Some(delay),
            _ => None,
        };
        explained.is_delayed |= delay.is_some();
        let mut step = Step {
            exchange: name.clone(),
            kind: exchange.kind,
            tried: Vec::new(),
            alternate: None,
            delay,
        };
        let mut chosen = FxHashSet::default();
        exchange.bindings.route(input, &mut || 0, &mut |target| {
            chosen.insert(target.clone());
        });
        for (binding, target) in &exchange.list {
            let verdict = verdict(exchange, binding, target, input, &chosen);
            if verdict == Verdict::MayTake {
                explained.is_certain = false;
            }
            if matches!(verdict, Verdict::Takes | Verdict::MayTake) {
                match target {
                    Target::Queue(queue) if !explained.queues.iter().any(|(known, _)| known == queue) => {
                        explained.queues.push((queue.clone(), name.clone()));
                    }
                    Target::Queue(_) => {}
                    Target::Exchange(next) => waiting.push_back(next.clone()),
                }
            }
            step.tried.push(Tried {
                binding: binding.clone(),
                verdict,
            });
        }
        let is_taken = step
            .tried
            .iter()
            .any(|tried| !matches!(tried.verdict, Verdict::Refuses(_)));
        if !is_taken && let Some(alternate) = &exchange.alternate {
            step.alternate = Some(alternate.clone());
            waiting.push_back(alternate.clone());
        }
        explained.steps.push(step);
    }
}

fn verdict<Q: Queue>(
    exchange: &Exchange<Q>,
    binding: &BindingSpec,
    target: &Target<Q>,
    input: &RouteInput<'_>,
    chosen: &FxHashSet<Target<Q>>,
) -> Verdict {
    match exchange.routes_as.spec().deciding {
        Deciding::Each(why) => {
            let mut alone = exchange.routes_as.bindings::<Q>(&exchange.arguments);
            alone.bind(binding, target);
            let mut takes = false;
            alone.route(input, &mut || 0, &mut |_| takes = true);
            match takes {
                true => Verdict::Takes,
                false => Verdict::Refuses(why),
            }
        }
        Deciding::Together => match chosen.contains(target) {
            true => Verdict::Takes,
            false => Verdict::Refuses(Why::OtherHash),
        },
        Deciding::Chance => match target {
            Target::Queue(queue) if exchange.routes_as == ExchangeKind::LocalRandom && !queue.is_here() => {
                Verdict::Refuses(Why::NotHere)
            }
            _ if exchange.list.len() == 1 => Verdict::Takes,
            _ => Verdict::MayTake,
        },
    }
}
