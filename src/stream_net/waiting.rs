//! What a session does between its steps: it reads, or waits for the client, for confirms or for the disk; and
//! meanwhile does what others ask for and what the time wants.

use super::notice::Notice;
use super::session::Session;
use crate::broker::Control;
use crate::heartbeat::{Tick, Timed};
use crate::listen::ReadBuffer;
use crate::stream_protocol::codec::Code;
use crate::stream_protocol::connection::Ending;

impl Session {
    /// Reads something, or does what others ask for or the time wants. Gives the reason when the connection is
    /// over.
    pub(super) async fn read(&mut self, input: &mut ReadBuffer, least: usize) -> Option<Ending> {
        if self.must_wait() {
            self.flush_publishes();
            return self.wait_behind().await;
        }
        let read = self.connection.socket.try_read(input.room(least));
        if let Ok(bytes @ 1..) = read {
            input.filled_more(bytes);
            self.connection.received(bytes);
            self.machine.on_heard(self.connection.broker.now());
            return self.take_turns().await;
        }
        // Nothing more is there for now.
        self.flush_publishes();
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return Some(Ending::Closed),
        }
        input.rest();
        let outbox = self.connection.outbox.clone();
        let deadline = self.arm();
        tokio::select! {
            ready = self.connection.socket.readable() => match ready {
                Ok(()) => None,
                Err(_) => Some(Ending::Closed),
            },
            controls = outbox.controlled() => self.on_controls(&controls),
            notice = self.notices.recv() => self.on_some(notice),
            () = deadline => self.on_tick(),
        }
    }

    /// Lets other tasks have a turn now and then, and does what they and the time ask for.
    async fn take_turns(&mut self) -> Option<Ending> {
        if !self.connection.is_others_turn() {
            return None;
        }
        self.flush_publishes();
        tokio::task::yield_now().await;
        let controls = self.connection.outbox.asked();
        if !controls.is_empty() {
            return self.on_controls(&controls);
        }
        while let Ok(notice) = self.notices.try_recv() {
            self.on_notice(notice);
        }
        self.machine.on_sent(self.connection.outbox.sent_at());
        let now = self.connection.broker.now();
        let deadline = self.expires_at.into_iter().chain(self.machine.next_deadline()).min();
        let is_due = deadline.is_some_and(|at| at <= now);
        if is_due { self.on_tick() } else { None }
    }

    /// Whether the client is not read for now: it does not take its answers, has published more than is
    /// confirmed, or the disk is short and it is a publisher.
    pub(super) fn must_wait(&self) -> bool {
        self.connection.is_behind() || self.flow.is_spent() || (!self.publishers.is_empty() && self.is_disk_short())
    }

    /// Whether an alarm of the disk is on.
    pub(super) fn is_disk_short(&self) -> bool {
        self.connection.broker.alarms().shortage().disk
    }

    /// Waits until the client may be read again.
    pub(super) async fn wait_behind(&mut self) -> Option<Ending> {
        self.machine.pause(true, self.connection.broker.now());
        let (outbox, broker) = (self.connection.outbox.clone(), self.connection.broker.clone());
        let (drained, flow) = (self.connection.caught_up(), self.flow.clone());
        let is_publisher = !self.publishers.is_empty();
        let is_spent = flow.is_spent();
        let deadline = self.arm();
        let caught_up = async {
            drained.await;
            if is_spent {
                flow.freed().await;
            }
            if is_publisher {
                let mut alarms = broker.alarms().subscribe();
                // An error is the broker dropped, which cannot be while it is here.
                let _ = alarms.wait_for(|shortage| !shortage.disk).await;
            }
        };
        let ended = tokio::select! {
            () = caught_up => None,
            () = self.connection.socket.broken() => Some(Ending::Closed),
            controls = outbox.controlled() => self.on_controls(&controls),
            notice = self.notices.recv() => self.on_some(notice),
            () = deadline => self.on_tick(),
        };
        self.machine.pause(false, self.connection.broker.now());
        ended
    }

    fn on_some(&mut self, notice: Option<Notice>) -> Option<Ending> {
        if let Some(notice) = notice {
            self.on_notice(notice);
        }
        None
    }

    fn on_controls(&mut self, controls: &[Control]) -> Option<Ending> {
        for control in controls {
            match control {
                Control::Gone => return Some(Ending::Closed),
                Control::Close(reply) => {
                    self.close(Code::Ok, &reply.text);
                    if self.vhost.is_none() {
                        return Some(Ending::Closed);
                    }
                }
                Control::CloseChannel { .. } => {}
            }
        }
        None
    }

    fn on_tick(&mut self) -> Option<Ending> {
        self.machine.on_sent(self.connection.outbox.sent_at());
        let now = self.connection.broker.now();
        if self.turns.iter().any(|turn| turn.until <= now) {
            tracing::info!(
                connection = self.connection.info.name(),
                "a consumer did not answer that it is its turn"
            );
            return Some(Ending::Closed);
        }
        if self.expires_at.is_some_and(|at| at <= now) {
            self.expires_at = None;
            tracing::info!(connection = self.connection.info.name(), "the token has expired");
            self.publishers.clear();
            self.subscriptions.clear();
            self.close(Code::AuthenticationFailure, "the token has expired");
        }
        match self.machine.on_tick(now, &mut self.connection.out) {
            Tick::Nothing | Tick::Heartbeat => None,
            Tick::End(ending) => Some(ending),
        }
    }

    /// Waits for the machine's next deadline.
    fn arm(&mut self) -> impl Future<Output = ()> + use<> {
        self.machine.on_sent(self.connection.outbox.sent_at());
        let turns = self.turns.iter().map(|turn| turn.until);
        let deadlines = self.expires_at.into_iter().chain(self.machine.next_deadline());
        let deadline = turns.chain(deadlines).min();
        self.connection.until(deadline)
    }
}
