//! Who may come in: what is the stream protocol's of it.

use super::session::Session;
use crate::auth::{Login, Rights};
use crate::front::login::{self, LoginError};
use crate::front::protocol::STREAM;
use crate::stream_protocol::codec::{Code, Key, response};
use crate::types::{FieldTable, FieldValue};

impl Session {
    pub(super) async fn on_login(&mut self, login: &Login) {
        let peer = self.connection.info.peer.ip();
        match login::log_in(
            &self.connection.broker,
            login,
            self.connection.certificate.as_ref(),
            peer,
        )
        .await
        {
            Ok(admitted) => {
                self.connection.broker.logins().note(STREAM.logins, true);
                self.connection.certificate = None;
                let mut properties = FieldTable::new();
                for (key, value) in self.machine.client_properties() {
                    properties.set(key, FieldValue::text(value));
                }
                self.connection.info.describe(|details| {
                    details.client_properties = properties;
                    details.mechanism.clone_from(&login.mechanism);
                });
                self.connection.user = Some(admitted.user);
                self.take_rights(admitted.rights);
                self.connection.handshake.done();
                self.machine
                    .log_in(self.connection.broker.now(), &mut self.connection.out);
            }
            Err(error) => {
                self.note_refused(&error, login);
                self.machine.refuse_login(code(&error), &mut self.connection.out);
            }
        }
    }

    fn note_refused(&self, error: &LoginError, login: &Login) {
        let (user, reason) = match error {
            LoginError::Malformed => ("", "the response is none of this mechanism"),
            LoginError::Refused { user, reason } => (user.as_str(), reason.as_str()),
            LoginError::NotFromThere { user } => (user.as_str(), "this user may only come from the loopback interface"),
        };
        let (connection, mechanism) = (self.connection.info.name(), &login.mechanism);
        tracing::warn!(connection, user, mechanism, "login refused: {reason}");
        self.connection.broker.logins().note(STREAM.logins, false);
    }

    /// A fresh secret of the same user; what it may do is looked at again.
    pub(super) async fn on_login_again(&mut self, correlation: u32, login: &Login) {
        let peer = self.connection.info.peer.ip();
        let code = match login::log_in(
            &self.connection.broker,
            login,
            self.connection.certificate.as_ref(),
            peer,
        )
        .await
        {
            Ok(admitted) if Some(&admitted.user) == self.connection.user.as_ref() => {
                self.take_rights(admitted.rights);
                Code::Ok
            }
            Ok(_) => Code::UserChanged,
            Err(error) => {
                self.note_refused(&error, login);
                code(&error)
            }
        };
        self.note(code);
        response::answer(&mut self.connection.out, Key::SaslAuthenticate, correlation, code);
        if code == Code::Ok {
            self.look_at_rights().await;
        }
    }

    /// What the client may do from now on, and for how long.
    fn take_rights(&mut self, rights: Rights) {
        self.expires_at = rights.granted().and_then(|granted| granted.expires_at());
        self.connection.rights = rights;
    }

    pub(super) async fn on_open(&mut self, name: &str) {
        let Some(user) = self.connection.user.clone() else {
            return self.machine.refuse_open(&mut self.connection.out);
        };
        match login::open(
            &self.connection.broker,
            &self.connection.info,
            (&user, &self.connection.rights),
            name,
        )
        .await
        {
            Ok(vhost) => {
                let tuned = self.machine.tuned();
                self.connection.info.describe(|details| {
                    details.frame_max = tuned.frame_max;
                    details.heartbeat = tuned.heartbeat.try_into().unwrap_or(u16::MAX);
                });
                self.vhost = Some(vhost);
                self.connection.info.streaming.get_or_init(Default::default);
                let advertised = self.own_address();
                self.machine
                    .opened(&advertised.host, advertised.port, &mut self.connection.out);
                tracing::debug!(connection = self.connection.info.name(), user = %user, vhost = name, "connection opened");
            }
            Err(reply) => {
                tracing::info!(connection = self.connection.info.name(), user = %user, %reply, "connection refused");
                self.machine.refuse_open(&mut self.connection.out);
            }
        }
    }
}

fn code(error: &LoginError) -> Code {
    match error {
        LoginError::Malformed => Code::SaslError,
        LoginError::Refused { .. } => Code::AuthenticationFailure,
        LoginError::NotFromThere { .. } => Code::LoopbackOnly,
    }
}
