//! What publishers and consumers of one queue saw, and whether a queue may behave like that.
//!
//! A publisher has a session for each of its connections, and counts its publishes there. It never
//! sends the same message twice: after a lost connection it goes on with a new session, and what was
//! not confirmed in the old one may be in the queue or not. A consumer has a session for each of its
//! connections too. Holds for a queue whatever happens to its nodes:
//!
//! - what was confirmed is delivered, and nothing that was not sent;
//! - a message comes without the flag `redelivered` once at most. That one may be seen after one with
//!   the flag: what an old leader sent lies in sockets and clients while its successor begins;
//! - a consumer's session gets the messages of a publisher's session in the order of their
//!   publishing, but for those that are flagged;
//! - a publish is answered, or its connection lost;
//! - once everybody is done, the queue is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;

/// One publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Message {
    /// The publisher's connection.
    pub session: u32,
    /// Counts up by one there.
    pub number: u32,
}

/// A message that reached a consumer.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    /// The consumer's connection.
    session: u32,
    message: Message,
    redelivered: bool,
    at: Instant,
}

/// Everything that was seen, in the order in which it was.
#[derive(Default)]
pub struct History {
    sent: BTreeSet<Message>,
    confirmed: BTreeSet<Message>,
    unanswered: Vec<Message>,
    delivered: BTreeSet<Message>,
    deliveries: Vec<Delivery>,
    sessions: u32,
}

/// What must not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// Confirmed and not delivered.
    Lost(Message),
    /// Delivered and never sent.
    Invented(Message),
    /// Delivered twice without the flag.
    Unflagged(Message),
    /// Came behind a message to the same consumer that was published after it.
    Overtaken { late: Message, by: Message },
    /// Neither confirmed nor refused, on a connection that was not lost.
    Unanswered(Message),
    /// The queue holds so many messages in the end.
    Left(u32),
}

impl Violation {
    /// The message that is concerned.
    pub fn message(&self) -> Option<Message> {
        match *self {
            Self::Lost(message)
            | Self::Invented(message)
            | Self::Unflagged(message)
            | Self::Unanswered(message)
            | Self::Overtaken { late: message, .. } => Some(message),
            Self::Left(_) => None,
        }
    }
}

impl Message {
    /// The message as a body of so many bytes (at least eight).
    pub fn body(self, bytes: usize) -> Vec<u8> {
        let mut body = self.session.to_be_bytes().to_vec();
        body.extend(self.number.to_be_bytes());
        // What is behind tells whether a body is its own.
        body.extend((body.len()..bytes).map(|at| self.filler(at)));
        body
    }

    /// The message that has this body.
    ///
    /// # Errors
    /// A body that is none of ours.
    pub fn of(body: &[u8]) -> Result<Self, String> {
        let (session, rest) = body.split_first_chunk().ok_or("a short body")?;
        let number = rest.first_chunk().ok_or("a short body")?;
        let message = Self {
            session: u32::from_be_bytes(*session),
            number: u32::from_be_bytes(*number),
        };
        match message.body(body.len()) == body {
            true => Ok(message),
            false => Err(format!("the body of {message} is damaged")),
        }
    }

    fn filler(self, at: usize) -> u8 {
        (at as u32 ^ self.number ^ self.session.rotate_left(7)) as u8
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.number)
    }
}

impl History {
    /// A number for a connection of a publisher or a consumer.
    pub fn session(&mut self) -> u32 {
        self.sessions += 1;
        self.sessions
    }

    pub fn sent(&mut self, message: Message) {
        self.sent.insert(message);
    }

    pub fn confirmed(&mut self, message: Message) {
        self.confirmed.insert(message);
    }

    /// Its publisher has stopped waiting for an answer.
    pub fn unanswered(&mut self, message: Message) {
        self.unanswered.push(message);
    }

    pub fn delivered(&mut self, session: u32, message: Message, redelivered: bool) {
        self.delivered.insert(message);
        self.deliveries.push(Delivery {
            session,
            message,
            redelivered,
            at: Instant::now(),
        });
    }

    /// What became of a message, for whoever looks for the cause.
    pub fn story(&self, message: Message) -> String {
        let mut story = format!("{message}:");
        let Some(first) = self.deliveries.first() else {
            return story;
        };
        for one in self.deliveries.iter().filter(|one| one.message == message) {
            let flag = if one.redelivered { ", flagged" } else { "" };
            let after = one.at.duration_since(first.at).as_millis();
            story += &format!(" to {} after {after} ms{flag};", one.session);
        }
        story
    }

    /// How many publishes were confirmed.
    pub fn confirms(&self) -> usize {
        self.confirmed.len()
    }

    /// How many deliveries there were.
    pub fn deliveries(&self) -> usize {
        self.deliveries.len()
    }

    /// Whether all that was confirmed came.
    pub fn is_complete(&self) -> bool {
        self.confirmed.is_subset(&self.delivered)
    }

    /// Holds what was seen against what may be; `left` messages are in the queue now that everybody
    /// is done.
    pub fn check(&self, left: u32) -> Vec<Violation> {
        let lost = self.confirmed.difference(&self.delivered).copied().map(Violation::Lost);
        let invented = self.delivered.difference(&self.sent).copied();
        let unanswered = self.unanswered.iter().copied().map(Violation::Unanswered);
        let mut violations: Vec<_> = lost
            .chain(invented.map(Violation::Invented))
            .chain(unanswered)
            .collect();
        let mut unflagged = BTreeSet::new();
        let mut newest: BTreeMap<(u32, u32), Message> = BTreeMap::new();
        for &Delivery {
            session,
            message,
            redelivered,
            ..
        } in &self.deliveries
        {
            if redelivered {
                continue;
            }
            if !unflagged.insert(message) {
                violations.push(Violation::Unflagged(message));
                continue;
            }
            let newest = newest.entry((session, message.session)).or_insert(message);
            if message < *newest {
                violations.push(Violation::Overtaken {
                    late: message,
                    by: *newest,
                });
            }
            *newest = message.max(*newest);
        }
        if left > 0 {
            violations.push(Violation::Left(left));
        }
        violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u32 = 1;
    const B: u32 = 2;

    fn message(number: u32) -> Message {
        Message { session: 9, number }
    }

    /// Messages 0 to 4 were sent, all but the last of them confirmed, and came: the consumer's
    /// session, the number, whether flagged.
    fn seen(deliveries: &[(u32, u32, bool)]) -> Vec<Violation> {
        let mut history = History::default();
        for number in 0..5 {
            history.sent(message(number));
        }
        for number in 0..4 {
            history.confirmed(message(number));
        }
        for &(session, number, redelivered) in deliveries {
            history.delivered(session, message(number), redelivered);
        }
        assert_eq!(
            history.is_complete(),
            !history
                .check(0)
                .iter()
                .any(|violation| matches!(violation, Violation::Lost(_)))
        );
        history.check(0)
    }

    #[test]
    fn a_body_tells_its_message_and_whether_it_is_whole() {
        let mut body = message(300).body(1024);
        assert_eq!(body.len(), 1024);
        assert_eq!(Message::of(&body), Ok(message(300)));
        assert_eq!(Message::of(&message(300).body(8)), Ok(message(300)));
        body[700] ^= 1;
        assert!(Message::of(&body).is_err());
        assert!(Message::of(b"short").is_err());
    }

    #[test]
    fn each_once_and_in_order_is_as_it_must_be() {
        let all = [(A, 0, false), (A, 1, false), (A, 2, false), (A, 3, false)];
        assert_eq!(seen(&all), []);
    }

    #[test]
    fn a_message_that_was_not_confirmed_may_come() {
        let all = [
            (A, 0, false),
            (A, 1, false),
            (A, 2, false),
            (A, 3, false),
            (A, 4, false),
        ];
        assert_eq!(seen(&all), []);
    }

    #[test]
    fn consumers_share_in_any_order_between_them() {
        let all = [(B, 1, false), (A, 0, false), (B, 3, false), (A, 2, false)];
        assert_eq!(seen(&all), []);
    }

    #[test]
    fn a_redelivered_message_may_come_late_and_again() {
        let all = [
            (A, 0, false),
            (A, 2, false),
            (A, 1, true),
            (A, 3, false),
            (B, 0, true),
            (B, 0, true),
        ];
        assert_eq!(seen(&all), []);
    }

    #[test]
    fn a_flagged_message_may_never_have_been_seen_before() {
        let all = [(A, 0, true), (A, 1, false), (A, 2, false), (A, 3, false)];
        assert_eq!(seen(&all), []);
    }

    #[test]
    fn a_confirmed_message_that_did_not_come_is_lost() {
        let some = [(A, 0, false), (A, 1, false), (A, 3, false)];
        assert_eq!(seen(&some), [Violation::Lost(message(2))]);
    }

    #[test]
    fn a_message_that_nobody_sent_is_invented() {
        let more = [
            (A, 0, false),
            (A, 1, false),
            (A, 2, false),
            (A, 3, false),
            (A, 7, false),
        ];
        assert_eq!(seen(&more), [Violation::Invented(message(7))]);
    }

    #[test]
    fn a_second_delivery_without_the_flag_is_found_on_any_consumer() {
        for second in [A, B] {
            let twice = [
                (A, 0, false),
                (A, 1, false),
                (A, 2, false),
                (A, 3, false),
                (second, 1, false),
            ];
            assert_eq!(seen(&twice), [Violation::Unflagged(message(1))]);
        }
    }

    #[test]
    fn of_a_message_that_comes_twice_either_may_be_the_flagged_one() {
        for (first, second) in [(true, false), (false, true)] {
            let all = [
                (A, 0, first),
                (B, 0, second),
                (A, 1, false),
                (A, 2, false),
                (A, 3, false),
            ];
            assert_eq!(seen(&all), []);
        }
    }

    #[test]
    fn a_message_overtaken_on_one_consumer_is_found() {
        let all = [(A, 0, false), (A, 2, false), (B, 3, false), (A, 1, false)];
        let overtaken = Violation::Overtaken {
            late: message(1),
            by: message(2),
        };
        assert_eq!(seen(&all), [overtaken]);
    }

    #[test]
    fn a_publish_without_an_answer_is_found() {
        let mut history = History::default();
        history.sent(message(1));
        history.unanswered(message(1));
        assert_eq!(history.check(0), [Violation::Unanswered(message(1))]);
    }

    #[test]
    fn messages_left_in_the_queue_are_found() {
        assert_eq!(History::default().check(3), [Violation::Left(3)]);
    }
}
