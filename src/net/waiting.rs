//! What a session does between its steps: it reads, or waits for the client, the disk or the end of
//! an alarm; and meanwhile does what others ask for and what the time wants.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BufMut;
use tokio::time::Instant;

use super::session::Session;
use crate::broker::Control;
use crate::broker::alarms::Shortage;
use crate::codec::Method;
use crate::codec::method::ConnectionBlocked;
use crate::connection::{Ending, Tick};
use crate::listen::ReadBuffer;
use crate::types::Millis;

/// Reads in a row before other tasks get a turn.
const READS_IN_A_ROW: u32 = 32;
/// How long nothing comes before buffers are given back.
const REST: Millis = Millis(10_000);

impl Session {
    /// Reads something, or does what others ask for or the time wants. Gives the reason when the
    /// connection is over.
    pub(super) async fn read(&mut self, input: &mut ReadBuffer, least: usize) -> Option<Ending> {
        if self.is_held() {
            return self.wait_unblocked().await;
        }
        if self.outbox.is_behind() || self.broker.store_is_behind() || self.publisher.behind().is_some() {
            return self.wait_behind().await;
        }
        match self.try_read(input, least) {
            Ok(0) => return Some(Ending::Closed),
            Ok(bytes) => {
                if self.outbox.received(bytes) {
                    self.broker.connections().moves(self.outbox.id);
                }
                self.machine.on_heard(self.broker.now());
                self.is_rested = false;
                return self.take_turns().await;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Some(Ending::Closed),
        }
        input.rest();
        let outbox = self.outbox.clone();
        let deadline = self.arm();
        tokio::select! {
            ready = self.socket.readable() => match ready {
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
            let read = self.socket.try_read_buf(&mut direct.buffer.limit(left));
            input.consume(consumed);
            if let Ok(count) = read {
                self.machine.on_direct(count);
            }
            return read;
        }
        let count = self.socket.try_read(input.room(least))?;
        input.filled_more(count);
        Ok(count)
    }

    /// Lets other tasks have a turn now and then, and does what they and the time ask for: a client
    /// that always has more to say is never waited for.
    async fn take_turns(&mut self) -> Option<Ending> {
        self.reads += 1;
        if !self.reads.is_multiple_of(READS_IN_A_ROW) {
            return None;
        }
        tokio::task::yield_now().await;
        let controls = self.outbox.asked();
        if !controls.is_empty() {
            return self.on_controls(controls).await;
        }
        self.machine.on_sent(self.outbox.sent_at());
        let now = self.broker.now();
        let is_due = self.machine.next_deadline().is_some_and(|at| at <= now);
        if is_due { self.on_tick() } else { None }
    }

    /// Waits while the client does not take what it asked for: one read may ask for far more than
    /// it brought.
    pub(super) async fn wait_taken(&mut self) -> Option<Ending> {
        while self.outbox.is_behind() {
            self.send_own();
            let ended = self.wait_behind().await;
            if ended.is_some() {
                return ended;
            }
        }
        None
    }

    /// The client takes its deliveries too slowly, or the disk is behind: it is not read for now.
    async fn wait_behind(&mut self) -> Option<Ending> {
        self.machine.pause(true, self.broker.now());
        let (outbox, broker) = (self.outbox.clone(), self.broker.clone());
        let queue = self.publisher.behind().cloned();
        let deadline = self.arm();
        let caught_up = async {
            outbox.drained().await;
            broker.store_drained().await;
            if let Some(queue) = queue {
                queue.caught_up().await;
            }
        };
        let ended = tokio::select! {
            () = caught_up => None,
            () = self.socket.broken() => Some(Ending::Closed),
            controls = outbox.controlled() => self.on_controls(controls).await,
            () = deadline => self.on_tick(),
        };
        self.machine.pause(false, self.broker.now());
        ended
    }

    /// Whether an alarm is on and the client is in the middle of a publish: no more of it is read.
    pub(super) fn is_held(&self) -> bool {
        self.broker.alarms().is_short() && self.machine.has_content()
    }

    /// Holds a publisher until no alarm is on, and tells it.
    pub(super) async fn wait_unblocked(&mut self) -> Option<Ending> {
        let mut alarms = self.broker.alarms().subscribe();
        let outbox = self.outbox.clone();
        let mut ended = None;
        self.machine.pause(true, self.broker.now());
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
                () = self.socket.broken() => Some(Ending::Closed),
                controls = outbox.controlled() => self.on_controls(controls).await,
                () = deadline => self.on_tick(),
            };
            self.send_own();
        }
        self.machine.pause(false, self.broker.now());
        ended
    }

    fn tell_blocked(&mut self, shortage: Shortage) {
        if std::mem::replace(&mut self.blocked, true) {
            return;
        }
        self.info.blocked.store(true, Ordering::Relaxed);
        if self.machine.client().capabilities.connection_blocked {
            let reason = shortage.reason().to_owned();
            self.send(0, &Method::from(ConnectionBlocked { reason }));
        }
    }

    fn tell_unblocked(&mut self) {
        if !std::mem::replace(&mut self.blocked, false) {
            return;
        }
        self.info.blocked.store(false, Ordering::Relaxed);
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
        self.machine.on_sent(self.outbox.sent_at());
        self.publisher.rest();
        self.settling.rest();
        self.is_rested = true;
        match self.machine.on_tick(self.broker.now(), &mut self.out) {
            Tick::Nothing | Tick::Heartbeat => None,
            Tick::End(ending) => Some(ending),
        }
    }

    /// Waits for the machine's next deadline.
    fn arm(&mut self) -> impl Future<Output = ()> + use<> {
        self.machine.on_sent(self.outbox.sent_at());
        let rest = (!self.is_rested).then(|| self.broker.now() + REST);
        let deadline = self.machine.next_deadline().into_iter().chain(rest).min();
        let wait = deadline.map(|at| Duration::from_millis(at.since(self.broker.now()).0));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep_until(Instant::now() + wait).await,
                None => std::future::pending().await,
            }
        }
    }
}
