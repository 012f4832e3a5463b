//! Heartbeats both ways (AMQP 0-9-1 section 4.2.7, and the stream protocol), as RabbitMQ keeps them.
//!
//! We send one when nothing else was sent for half the agreed interval. A peer of whom nothing at
//! all was heard for several intervals is gone; any traffic counts.

use crate::types::{Millis, Timestamp};

/// Silent intervals after which an AMQP peer is taken for gone.
pub const AMQP_INTERVALS: u64 = 3;
/// The same of the stream protocol.
pub const STREAM_INTERVALS: u64 = 2;

/// When to send and when to give up. The default is none: until one is agreed on, and for clients that want none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Heartbeat {
    /// Zero where there is none.
    interval: Millis,
    /// So long a silence is an end.
    patience: Millis,
    heard: Timestamp,
    sent: Timestamp,
    /// Whether the peer is being read; one that is not cannot be heard.
    is_listening: bool,
}

/// What the time asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    Nothing,
    Send,
    /// The peer is gone.
    GiveUp,
}

/// What the time asked for of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tick<E> {
    Nothing,
    /// A heartbeat was written.
    Heartbeat,
    /// No more is spoken: write what waits, then close the socket.
    End(E),
}

/// The machine of one connection, as far as it is about time: whatever is spoken, it is the same.
pub trait Timed {
    /// Why it ended.
    type Ending;

    /// Its heartbeat.
    fn heartbeat(&self) -> &Heartbeat;

    /// The same, to be changed.
    fn heartbeat_mut(&mut self) -> &mut Heartbeat;

    /// Why it ended, if it has.
    fn ended(&self) -> Option<Self::Ending>;

    /// Until when the peer has to do what it owes, and how the connection ends if it does not.
    fn owed(&self) -> Option<(Timestamp, Self::Ending)>;

    /// How it ends when nothing is heard of the peer.
    fn silent() -> Self::Ending;

    /// Ends it, and lets go of what it held.
    fn give_up(&mut self, ending: Self::Ending) -> Self::Ending;

    /// Writes a heartbeat.
    fn write_heartbeat(out: &mut Vec<u8>);

    /// Bytes arrived.
    #[inline]
    fn on_heard(&mut self, now: Timestamp) {
        self.heartbeat_mut().on_heard(now);
    }

    /// Bytes were written.
    #[inline]
    fn on_sent(&mut self, at: Timestamp) {
        self.heartbeat_mut().on_sent(at);
    }

    /// The session stops reading the socket, or reads again.
    fn pause(&mut self, is_paused: bool, now: Timestamp) {
        self.heartbeat_mut().listen(!is_paused, now);
    }

    /// Does what is due at `now`; [`Timed::next_deadline`] says when there is something.
    fn on_tick(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Tick<Self::Ending> {
        if let Some(ending) = self.ended() {
            return Tick::End(ending);
        }
        if let Some((until, ending)) = self.owed()
            && now >= until
        {
            return Tick::End(self.give_up(ending));
        }
        match self.heartbeat_mut().on_tick(now) {
            Due::GiveUp => Tick::End(self.give_up(Self::silent())),
            Due::Send => {
                Self::write_heartbeat(out);
                Tick::Heartbeat
            }
            Due::Nothing => Tick::Nothing,
        }
    }

    /// When [`Timed::on_tick`] has something to do next, if nothing happens before.
    fn next_deadline(&self) -> Option<Timestamp> {
        let owed = self.owed().map(|(until, _)| until);
        owed.into_iter().chain(self.heartbeat().next_deadline()).min()
    }
}

impl Heartbeat {
    /// A peer is given up after so many silent intervals. There is none with an interval of zero, which is how
    /// clients switch heartbeats off.
    pub fn new(interval_seconds: u32, silent_intervals: u64, now: Timestamp) -> Self {
        let interval = u64::from(interval_seconds) * 1000;
        Self {
            interval: Millis(interval),
            patience: Millis(interval * silent_intervals),
            heard: now,
            sent: now,
            is_listening: true,
        }
    }

    /// Bytes arrived.
    pub fn on_heard(&mut self, now: Timestamp) {
        self.heard = now;
    }

    /// Bytes were written. A heartbeat that was sent since then still waits to be written.
    pub fn on_sent(&mut self, at: Timestamp) {
        self.sent = self.sent.max(at);
    }

    /// The peer is read again, or not read for now: one that is not read is not taken for gone.
    pub fn listen(&mut self, is_listening: bool, now: Timestamp) {
        self.is_listening = is_listening;
        self.heard = now;
    }

    /// What is due at `now`; a heartbeat that is due counts as sent.
    pub fn on_tick(&mut self, now: Timestamp) -> Due {
        if self.is_off() {
            return Due::Nothing;
        }
        if self.is_listening && now >= self.silent_at() {
            return Due::GiveUp;
        }
        if now >= self.quiet_at() {
            self.sent = now;
            return Due::Send;
        }
        Due::Nothing
    }

    /// When [`Heartbeat::on_tick`] has something to do next, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.is_listening {
            _ if self.is_off() => None,
            true => Some(self.silent_at().min(self.quiet_at())),
            false => Some(self.quiet_at()),
        }
    }

    fn is_off(&self) -> bool {
        self.interval == Millis(0)
    }

    fn silent_at(&self) -> Timestamp {
        self.heard + self.patience
    }

    fn quiet_at(&self) -> Timestamp {
        self.sent + Millis(self.interval.0 / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_that_is_not_written_is_not_sent_again() {
        let mut heartbeat = Heartbeat::new(2, AMQP_INTERVALS, Timestamp(0));
        assert_eq!(heartbeat.on_tick(Timestamp(1_000)), Due::Send);
        heartbeat.on_sent(Timestamp(100));
        assert_eq!(heartbeat.next_deadline(), Some(Timestamp(2_000)));
        assert_eq!(heartbeat.on_tick(Timestamp(1_001)), Due::Nothing);
    }

    #[test]
    fn a_silent_peer_is_given_up_after_three_intervals() {
        let mut heartbeat = Heartbeat::new(2, AMQP_INTERVALS, Timestamp(0));
        heartbeat.on_sent(Timestamp(5_500));
        assert_eq!(heartbeat.on_tick(Timestamp(5_999)), Due::Nothing);
        assert_eq!(heartbeat.next_deadline(), Some(Timestamp(6_000)));
        assert_eq!(heartbeat.on_tick(Timestamp(6_000)), Due::GiveUp);
        heartbeat.on_heard(Timestamp(5_999));
        heartbeat.on_sent(Timestamp(5_999));
        assert_eq!(heartbeat.on_tick(Timestamp(6_000)), Due::Nothing);
    }

    #[test]
    fn one_is_sent_each_half_interval_without_other_traffic() {
        let mut heartbeat = Heartbeat::new(2, AMQP_INTERVALS, Timestamp(0));
        let sent = (1..=36)
            .map(|tick| Timestamp(tick * 100))
            .filter(|&now| heartbeat.on_tick(now) == Due::Send)
            .count();
        assert_eq!(sent, 3);
    }

    #[test]
    fn a_peer_that_is_not_read_cannot_be_silent() {
        let mut heartbeat = Heartbeat::new(2, AMQP_INTERVALS, Timestamp(0));
        heartbeat.listen(false, Timestamp(1_000));
        assert_eq!(heartbeat.on_tick(Timestamp(60_000)), Due::Send);
        heartbeat.listen(true, Timestamp(60_000));
        assert_eq!(heartbeat.on_tick(Timestamp(60_001)), Due::Nothing);
    }

    #[test]
    fn an_interval_of_zero_asks_for_nothing() {
        let mut heartbeat = Heartbeat::new(0, AMQP_INTERVALS, Timestamp(0));
        assert_eq!(heartbeat.on_tick(Timestamp(60_000)), Due::Nothing);
        assert_eq!(heartbeat.next_deadline(), None);
    }
}
