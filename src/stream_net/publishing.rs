//! What the publishers of a connection publish.
//!
//! What can be read at once of one publisher goes to its stream as one batch. A connection has a number of entries
//! that may be unconfirmed; without any left it is not read until enough are confirmed.

use super::session::Session;
use crate::stream_protocol::codec::{Code, Entries, response};

impl Session {
    /// Puts what was published into its publisher's batch.
    pub(super) fn on_publish(&mut self, id: u8, entries: Entries<'_>) {
        let Some(publisher) = self.publishers.get_mut(&id) else {
            let ids: Vec<_> = entries.map(|entry| entry.id).collect();
            let traffic = self.connection.broker.statistics().streaming();
            traffic.refuse(Code::NoPublisher as u16, ids.len() as u64);
            response::publish_error(&mut self.connection.out, id, Code::NoPublisher, ids.into_iter());
            return;
        };
        for entry in entries {
            if publisher.is_empty() && !self.publishing.contains(&id) {
                self.publishing.push(id);
            }
            publisher.add(entry);
            if publisher.is_full() {
                publisher.flush((
                    &self.connection.outbox,
                    &self.flow,
                    &self.inbox,
                    &self.connection.broker,
                ));
            }
        }
    }

    /// Hands what was gathered to the streams.
    pub(super) fn flush_publishes(&mut self) {
        for id in std::mem::take(&mut self.publishing) {
            if let Some(publisher) = self.publishers.get_mut(&id) {
                publisher.flush((
                    &self.connection.outbox,
                    &self.flow,
                    &self.inbox,
                    &self.connection.broker,
                ));
            }
        }
    }
}
