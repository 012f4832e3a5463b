//! A replicated queue's group says that this node leads, or not any more, and what became of records.

use std::sync::Arc;

use super::contents::Contents;
use super::handle::QueueHandle;
use super::kept_dead_letters::warn_of_fallback;
use super::queues::Queues;
use super::settings::settings_of;
use crate::handover::{Flight, Leads};
use crate::journal::raft::{Applied, Group, ProposeError};
use crate::queue::ledger;

impl QueueHandle {
    /// Whether this node leads the queue in that term.
    pub(in crate::broker) fn leads(&self, queues: &Queues, term: u64) -> bool {
        if let Some(stream) = queues.streams.of(self) {
            return stream.leads(term);
        }
        self.state.lock().machine.leads(term)
    }

    /// This node leads the group, and its ledger has all that is committed.
    pub(in crate::broker) fn lead(self: &Arc<Self>, queues: &Arc<Queues>, group: &Group<Contents>, term: u64) {
        if let Some(stream) = queues.streams.of(self) {
            return stream.lead(group, term);
        }
        let settings = settings_of(&queues.catalogue(), &self.spec);
        let alive = queues.nodes.others_alive();
        let mut state = self.state.lock();
        if self.is_deleted() {
            return;
        }
        let timeout = queues.config.queues.consumer_timeout;
        let machine = group.machine();
        let Some(ledger) = machine.ledger() else { return };
        let leads = Leads::of(ledger, settings, timeout, queues.now(), term, group.clone());
        drop(machine);
        warn_of_fallback(self, leads.queue());
        let ((), deferred) = self.input_to(queues, &mut state, |machine, now, sink| {
            machine.lead(now, leads, &alive, sink);
        });
        drop(state);
        tracing::debug!(queue = %self.spec.name, vhost = %self.spec.vhost, term, "this node leads the queue");
        if !deferred.is_empty() {
            queues.carry_out(self, deferred);
        }
    }

    /// Another is to lead: nothing more goes out.
    pub(in crate::broker) fn prepare_transfer(self: &Arc<Self>, queues: &Arc<Queues>) {
        if let Some(stream) = queues.streams.of(self) {
            return stream.step_down();
        }
        self.input(queues, |machine, now, sink| machine.prepare_transfer(now, sink));
    }

    /// This node goes on leading after all.
    pub(in crate::broker) fn cancel_transfer(self: &Arc<Self>, queues: &Arc<Queues>) {
        if queues.streams.of(self).is_some() {
            return queues
                .above()
                .into_iter()
                .for_each(|above| above.look_again(self.spec.id));
        }
        self.input(queues, |machine, now, sink| machine.cancel_transfer(now, sink));
    }

    /// This node does not lead (any more).
    pub(in crate::broker) fn step_down(self: &Arc<Self>, queues: &Arc<Queues>) {
        if let Some(stream) = queues.streams.of(self) {
            return stream.step_down();
        }
        self.input(queues, |machine, _, sink| machine.step_down(sink));
    }

    /// Records came back from the group.
    pub(in crate::broker) fn landed(
        self: &Arc<Self>,
        queues: &Arc<Queues>,
        flight: Flight,
        result: Result<Applied<ledger::Applied>, ProposeError>,
    ) {
        match result {
            Ok(applied) if applied.output.dropped.is_empty() => {
                let applied = applied.output;
                return self.input(queues, |machine, now, sink| machine.landed(now, flight, &applied, sink));
            }
            Ok(_) => {
                tracing::error!(queue = %self.spec.name, vhost = %self.spec.vhost, "the queue and its ledger differ; it is made anew");
            }
            Err(error) => {
                tracing::debug!(queue = %self.spec.name, %error, "records were not committed");
            }
        }
        self.input(queues, |machine, _, sink| machine.lost(flight.incarnation(), sink));
        if let Some(above) = queues.above() {
            above.look_again(self.spec.id);
        }
    }
}
