//! From the first byte to an open virtual host.
//!
//! A client that has not logged in is not trusted: frames are small, only the commands of the login are taken,
//! and what does not belong ends the connection, mostly without a word, as RabbitMQ does it.

use super::{Connection, Ending, Phase, Step};
use crate::auth::Login;
use crate::heartbeat::{Heartbeat, STREAM_INTERVALS};
use crate::stream_protocol::codec::request::Tune;
use crate::stream_protocol::codec::response;
use crate::stream_protocol::codec::{Code, Command, Key, Request};
use crate::types::Timestamp;

/// How far the handshake is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Handshake {
    pub stage: Stage,
    /// When its next step must be done.
    pub until: Timestamp,
    /// The request that the session works on.
    correlation: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Peer properties are to come.
    Properties,
    /// The question for mechanisms is to come.
    Mechanisms,
    /// The login is to come.
    Login,
    /// The session looks at it.
    LoggingIn,
    /// Tune is to come, or open.
    Tuning,
    /// Open is to come.
    Opening,
    /// The session looks for the virtual host.
    Vhost,
}

impl Handshake {
    pub(super) fn new(until: Timestamp) -> Self {
        Self {
            stage: Stage::Properties,
            until,
            correlation: 0,
        }
    }

    /// Whether the session owes an answer.
    pub(super) fn awaits_answer(&self) -> bool {
        matches!(self.stage, Stage::LoggingIn | Stage::Vhost)
    }

    pub(super) fn is_logged_in(&self) -> bool {
        matches!(self.stage, Stage::Tuning | Stage::Opening | Stage::Vhost)
    }
}

impl Connection {
    /// The login is good: offers what may be tuned.
    pub fn log_in(&mut self, now: Timestamp, out: &mut Vec<u8>) {
        let correlation = self.correlation();
        if self.advance(Stage::LoggingIn, Stage::Tuning, now) {
            response::answer(out, Key::SaslAuthenticate, correlation, Code::Ok);
            let offer = Tune {
                frame_max: self.settings.frame_max,
                heartbeat: self.settings.heartbeat,
            };
            response::tune(out, offer);
        }
    }

    /// The login is refused with that code, and the connection ends.
    pub fn refuse_login(&mut self, code: Code, out: &mut Vec<u8>) {
        self.refuse(Key::SaslAuthenticate, code, Ending::LoginRefused, out);
    }

    /// The virtual host is open. The client hears where it is, in the form that metadata names nodes, so that it
    /// knows which it has reached behind a balancer.
    pub fn opened(&mut self, host: &str, port: u32, out: &mut Vec<u8>) {
        let correlation = self.correlation();
        if let Phase::Handshake(Handshake {
            stage: Stage::Vhost, ..
        }) = self.phase
        {
            let port = port.to_string();
            let map = [("advertised_host", host), ("advertised_port", port.as_str())];
            let map = map.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
            response::answer_map(out, Key::Open, correlation, map.into_iter());
            self.phase = Phase::Open;
        }
    }

    /// The virtual host is refused, and the connection ends.
    pub fn refuse_open(&mut self, out: &mut Vec<u8>) {
        self.refuse(Key::Open, Code::VhostAccess, Ending::VhostRefused, out);
    }

    fn refuse(&mut self, key: Key, code: Code, ending: Ending, out: &mut Vec<u8>) {
        if let Phase::Handshake(handshake) = &self.phase
            && handshake.awaits_answer()
        {
            response::answer(out, key, handshake.correlation, code);
            self.end(ending);
        }
    }

    fn correlation(&self) -> u32 {
        match &self.phase {
            Phase::Handshake(handshake) => handshake.correlation,
            _ => 0,
        }
    }

    /// A command in the handshake.
    pub(super) fn on_handshake<'a>(
        &mut self,
        now: Timestamp,
        consumed: usize,
        command: Command<'a>,
        out: &mut Vec<u8>,
    ) -> Step<'a> {
        let Phase::Handshake(Handshake { stage, .. }) = self.phase else {
            return Step::More(1);
        };
        match command {
            Command::Heartbeat => return Step::Done { consumed },
            Command::Tune(tune) if stage == Stage::Tuning => {
                self.tuned = tune;
                self.heartbeat = Heartbeat::new(tune.heartbeat, STREAM_INTERVALS, now);
                self.advance(Stage::Tuning, Stage::Opening, now);
                return Step::Done { consumed };
            }
            Command::Ask { correlation, request } => {
                if let Phase::Handshake(handshake) = &mut self.phase {
                    handshake.correlation = correlation;
                }
                match (stage, request) {
                    (Stage::Properties, Request::PeerProperties { properties }) => {
                        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                        self.properties = properties.map(|(key, value)| (text(key), text(value))).collect();
                        let own = self.settings.server_properties.iter();
                        let own = own.map(|(key, value)| (key.as_bytes(), value.as_bytes()));
                        response::answer_map(out, Key::PeerProperties, correlation, own);
                        self.advance(Stage::Properties, Stage::Mechanisms, now);
                        return Step::Done { consumed };
                    }
                    (Stage::Mechanisms, Request::SaslHandshake) => {
                        self.offer_mechanisms(correlation, out);
                        self.advance(Stage::Mechanisms, Stage::Login, now);
                        return Step::Done { consumed };
                    }
                    // RabbitMQ answers before it sees that it was not its turn.
                    (Stage::Properties, Request::SaslHandshake) => self.offer_mechanisms(correlation, out),
                    (Stage::Login, Request::SaslAuthenticate { mechanism, data }) => {
                        return self.on_login(now, consumed, mechanism, data, out);
                    }
                    (Stage::Tuning | Stage::Opening, Request::Open { vhost }) => {
                        self.advance(stage, Stage::Vhost, now);
                        let vhost = String::from_utf8_lossy(vhost).into_owned();
                        return Step::Open { consumed, vhost };
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Step::End(self.end(Ending::OutOfOrder))
    }

    fn on_login<'a>(
        &mut self,
        now: Timestamp,
        consumed: usize,
        mechanism: &[u8],
        data: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Step<'a> {
        self.advance(Stage::Login, Stage::LoggingIn, now);
        let mut offered = self.settings.mechanisms.iter();
        let Some(mechanism) = offered.find(|offered| offered.as_bytes() == mechanism) else {
            self.refuse(
                Key::SaslAuthenticate,
                Code::MechanismNotSupported,
                Ending::NoMechanism,
                out,
            );
            return Step::Done { consumed };
        };
        let login = Login {
            mechanism: mechanism.clone(),
            response: data.unwrap_or_default().to_vec(),
        };
        self.mechanism.clone_from(&login.mechanism);
        Step::Login { consumed, login }
    }

    fn offer_mechanisms(&self, correlation: u32, out: &mut Vec<u8>) {
        let mechanisms = self.settings.mechanisms.iter().map(String::as_bytes);
        response::answer_strings(out, Key::SaslHandshake, correlation, Code::Ok, mechanisms);
    }
}
