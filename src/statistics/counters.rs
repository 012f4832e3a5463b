//! Counters that anybody adds to, and what they stood at.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::measure::Measure;

/// Counters of one thing. Added to once a batch, so that the lines they lie in rest most of the time.
#[derive(Default)]
pub(super) struct Counters([AtomicU64; Measure::COUNTERS]);

impl Counters {
    pub fn add(&self, counter: Measure, count: u64) {
        self.0[counter as usize].fetch_add(count, Ordering::Relaxed);
    }

    /// The same where nobody else adds at the time.
    pub fn add_alone(&self, counter: Measure, count: u64) {
        let counter = &self.0[counter as usize];
        counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
    }

    /// A counter that is kept elsewhere stands there now.
    pub fn stand(&self, counter: Measure, total: u64) {
        self.0[counter as usize].store(total, Ordering::Relaxed);
    }

    pub fn read(&self) -> Tally {
        let mut tally = Tally::default();
        for (total, counter) in tally.0.iter_mut().zip(&self.0) {
            *total = counter.load(Ordering::Relaxed);
        }
        tally
    }
}

/// A number for each counter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally([u64; Measure::COUNTERS]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Measure::COUNTERS])
    }
}

impl Tally {
    /// Deliveries and fetches together, as RabbitMQ's `deliver_get`.
    pub fn deliver_get(&self) -> u64 {
        use Measure::{Deliver, DeliverNoAck, Get, GetNoAck};
        [Deliver, DeliverNoAck, Get, GetNoAck]
            .map(|counter| self[counter])
            .iter()
            .sum()
    }

    /// What has come since `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut tally = self.clone();
        for (now, before) in tally.0.iter_mut().zip(earlier.0) {
            *now = now.saturating_sub(before);
        }
        tally
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in self.0.iter_mut().zip(other.0) {
            *own += others;
        }
    }
}

impl Index<Measure> for Tally {
    type Output = u64;

    fn index(&self, counter: Measure) -> &u64 {
        &self.0[counter as usize]
    }
}

impl IndexMut<Measure> for Tally {
    fn index_mut(&mut self, counter: Measure) -> &mut u64 {
        &mut self.0[counter as usize]
    }
}

/// By names, those that are not zero: nodes of another version may have others.
impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let some = Measure::counters().filter(|counter| self[*counter] > 0);
        serializer.collect_map(some.map(|counter| (counter.name(), self[counter])))
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut tally = Self::default();
        for (name, count) in BTreeMap::<String, u64>::deserialize(deserializer)? {
            if let Some(counter) = Measure::named(&name).filter(|measure| (*measure as usize) < Measure::COUNTERS) {
                tally[counter] = count;
            }
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_comes_back_from_what_is_sent_and_unknown_names_are_passed_over() {
        let counters = Counters::default();
        counters.add(Measure::Publish, 3);
        counters.add(Measure::Get, 2);
        counters.add(Measure::DeliverNoAck, 5);
        let tally = counters.read();
        assert_eq!(tally.deliver_get(), 7);
        let sent = serde_json::to_string(&tally).expect("plain data");
        assert_eq!(sent, r#"{"publish":3,"deliver_no_ack":5,"get":2}"#);
        assert_eq!(serde_json::from_str::<Tally>(&sent).expect("a tally"), tally);
        let other = r#"{"publish":3,"messages_ready":9,"later":1}"#;
        let mut only = Tally::default();
        only[Measure::Publish] = 3;
        assert_eq!(serde_json::from_str::<Tally>(other).expect("a tally"), only);
    }
}
