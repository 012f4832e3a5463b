//! What a session does between its steps: it reads, or waits for the client, the disk or the end of
//! an alarm; and meanwhile does what others ask for and what the time wants.

use std::sync::atomic::Ordering;

use bytes::BufMut;

use super::session::Session;
use crate::broker::Control;
use crate::broker::alarms::Shortage;
use crate::codec::Method;
use crate::codec::method::ConnectionBlocked;
use crate::connection::Ending;
use crate::heartbeat::{Tick, Timed};
use crate::listen::ReadBuffer;
use crate::types::Millis;

/// How long nothing comes before buffers are given back.
const REST: Millis = Millis(10_000);

impl Session {
    /// Reads something, or does what others ask for or the time wants. Gives the reason when the
    /// connection is over.
    pub(super) async fn read(&mut self, input: &mut ReadBuffer, least: usize) -> Option<Ending> {
        if self.is_held() {
            return self.wait_unblocked().await;
        }
        if self.connection.is_behind() || self.publisher.behind().is_some() {
            return self.wait_behind().await;
        }
        match self.try_read(input, least) {
            Ok(0) => return Some(Ending::Closed),
            Ok(bytes) => {
                self.connection.received(bytes);
                self.machine.on_heard(self.connection.broker.now());
                self.is_rested = false;
                return self.take_turns().await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Some(Ending::Closed),
        }
        input.rest();
        let outbox = self.connection.outbox.clone();
        let deadline = self.arm();
        tokio::select! {
            ready = self.connection.socket.readable() => match ready {
                Ok(()) => None,
                Err(_) => Some(Ending::Closed),
            },
            controls = outbox.controlled() => self.on_controls(controls).await,
            () = deadline => self.on_tick(),
        }
    }

    fn try_read(&mut self, input: &mut ReadBuffer, least: usize) -> std::io::Result<usize> {
        if let Some(direct) = self.machine.direct(input.filled()) {
            let (consumed, left) = (direct.consumed, direct.left);
            let read = self.connection.socket.try_read_buf(&mut direct.buffer.limit(left));
            input.consume(consumed);
            if let Ok(count) = read {
                self.machine.on_direct(count);
            }
            return read;
        }
        let count = self.connection.socket.try_read(input.room(least))?;
        input.filled_more(count);
        Ok(count)
    }

    /// Lets other tasks have a turn now and then, and does what they and the time ask for.
    async fn take_turns(&mut self) -> Option<Ending> {
        if !self.connection.is_others_turn() {
            return None;
        }
        tokio::task::yield_now().await;
        let controls = self.connection.outbox.asked();
        if !controls.is_empty() {
            return self.on_controls(controls).await;
        }
        self.machine.on_sent(self.connection.outbox.sent_at());
        let now = self.connection.broker.now();
        let is_due = self.machine.next_deadline().is_some_and(|at| at <= now);
        if is_due { self.on_tick() } else { None }
    }

    /// Waits while the client does not take what it asked for: one read may ask for far more than
    /// it brought.
    pub(super) async fn wait_taken(&mut self) -> Option<Ending> {
        while self.connection.outbox.is_behind() {
            self.connection.send_own();
            let ended = self.wait_behind().await;
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// The client takes its deliveries too slowly, or the disk is behind: it is not read for now.
    async fn wait_behind(&mut self) -> Option<Ending> {
        self.machine.pause(true, self.connection.broker.now());
        let outbox = self.connection.outbox.clone();
        let drained = self.connection.caught_up();
        let queue = self.publisher.behind().cloned();
        let deadline = self.arm();
        let caught_up = async {
            drained.await;
            if let Some(queue) = queue {
                queue.caught_up().await;
            }
        };
        let ended = tokio::select! {
            () = caught_up => None,
            () = self.connection.socket.broken() => Some(Ending::Closed),
            controls = outbox.controlled() => self.on_controls(controls).await,
            () = deadline => self.on_tick(),
        };
        self.machine.pause(false, self.connection.broker.now());
        ended
    }

    /// Whether an alarm is on and the client is in the middle of a publish: no more of it is read.
    pub(super) fn is_held(&self) -> bool {
        self.connection.broker.alarms().is_short() && self.machine.has_content()
    }

    /// Holds a publisher until no alarm is on, and tells it.
    pub(super) async fn wait_unblocked(&mut self) -> Option<Ending> {
        let mut alarms = self.connection.broker.alarms().subscribe();
        let outbox = self.connection.outbox.clone();
        let mut ended = None;
        self.machine.pause(true, self.connection.broker.now());
        while ended.is_none() && self.machine.is_open() {
            let shortage = *alarms.borrow_and_update();
            if !shortage.any() {
                self.tell_unblocked();
                break;
            }
            self.tell_blocked(shortage);
            let deadline = self.arm();
            ended = tokio::select! {
                _ = alarms.changed() => None,
                () = self.connection.socket.broken() => Some(Ending::Closed),
                controls = outbox.controlled() => self.on_controls(controls).await,
                () = deadline => self.on_tick(),
            };
            self.connection.send_own();
        }
        self.machine.pause(false, self.connection.broker.now());
        ended
    }

    fn tell_blocked(&mut self, shortage: Shortage) {
        if std::mem::replace(&mut self.blocked, true) {
            return;
        }
        self.connection.info.blocked.store(true, Ordering::Relaxed);
        if self.machine.client().capabilities.connection_blocked {
            let reason = shortage.reason().to_owned();
            self.send(0, &Method::from(ConnectionBlocked { reason }));
        }
    }

    fn tell_unblocked(&mut self) {
        if !std::mem::replace(&mut self.blocked, false) {
            return;
        }
        self.connection.info.blocked.store(false, Ordering::Relaxed);
        if self.machine.client().capabilities.connection_blocked {
            self.send(0, &Method::ConnectionUnblocked);
        }
    }

    async fn on_controls(&mut self, controls: Vec<Control>) -> Option<Ending> {
        for control in controls {
            match control {
                Control::Gone => return Some(Ending::Closed),
                Control::Close(reply) => self.refuse(None, (0, 0), &reply).await,
                Control::CloseChannel {
                    channel,
                    incarnation,
                    ids,
                    reply,
                } => {
                    let same = self.channels.get(&channel).map(|channel| channel.incarnation) == Some(incarnation);
                    if same {
                        self.refuse(Some(channel), ids, &reply).await;
                    }
                }
            }
        }
        None
    }

    fn on_tick(&mut self) -> Option<Ending> {
        self.machine.on_sent(self.connection.outbox.sent_at());
        self.publisher.rest();
        self.settling.rest();
        self.is_rested = true;
        match self
            .machine
            .on_tick(self.connection.broker.now(), &mut self.connection.out)
        {
            Tick::Nothing | Tick::Heartbeat => None,
            Tick::End(ending) => Some(ending),
        }
    }

    /// Waits for the machine's next deadline.
    fn arm(&mut self) -> impl Future<Output = ()> + use<> {
        self.machine.on_sent(self.connection.outbox.sent_at());
        let rest = (!self.is_rested).then(|| self.connection.broker.now() + REST);
        let deadline = self.machine.next_deadline().into_iter().chain(rest).min();
        self.connection.until(deadline)
    }
}
