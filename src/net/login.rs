//! Who may come in: what is AMQP's of it.

use super::error::SessionError;
use super::session::Session;
use crate::auth::Login;
use crate::broker::Admitted;
use crate::broker::publish::Publishing;
use crate::front::login::{self, LoginError};
use crate::front::protocol::AMQP;
use crate::types::{Refusal, Reply, UserName};

/// Ids of `connection.open`, for refusals.
const OPEN: (u16, u16) = (10, 40);
/// Of `connection.update-secret`.
const UPDATE_SECRET: (u16, u16) = (10, 70);

impl Session {
    pub(super) async fn on_login(&mut self, login: Login) {
        let peer = self.connection.info.peer.ip();
        match login::log_in(
            &self.connection.broker,
            &login,
            self.connection.certificate.as_ref(),
            peer,
        )
        .await
        {
            Ok(admitted) => self.admit(admitted, &login),
            Err(LoginError::Malformed) => self.machine.drop_login(),
            Err(LoginError::Refused { user, reason }) => self.refuse_login(&user, &login, &reason),
            Err(LoginError::NotFromThere { user }) => {
                let reason = "this user may only come from the loopback interface";
                self.refuse_login(&user, &login, reason);
            }
        }
    }

    fn refuse_login(&mut self, user: &str, login: &Login, reason: &str) {
        let connection = self.connection.info.name();
        let mechanism = &login.mechanism;
        tracing::warn!(connection, user, mechanism, "login refused: {reason}");
        self.connection.broker.logins().note(AMQP.logins, false);
        self.tell_of_login(user, mechanism, Some(reason));
        self.machine
            .refuse_login(self.connection.broker.now(), &mut self.connection.out);
    }

    /// Lets a user in.
    fn admit(&mut self, admitted: Admitted, login: &Login) {
        self.connection.broker.logins().note(AMQP.logins, true);
        self.tell_of_login(admitted.user.as_str(), &login.mechanism, None);
        self.connection.certificate = None;
        let client = self.machine.client();
        let (properties, mechanism) = (client.properties.clone(), client.mechanism.clone());
        self.connection.info.describe(|details| {
            details.client_properties = properties;
            details.mechanism = mechanism;
        });
        self.connection.user = Some(admitted.user);
        self.tags = admitted.tags;
        self.connection.rights = admitted.rights;
        self.connection.handshake.done();
        self.machine.log_in(&mut self.connection.out);
    }

    pub(super) async fn on_open(&mut self, vhost: &str) {
        let Some(user) = self.connection.user.clone() else {
            return self.machine.drop_login();
        };
        match self.open(&user, vhost).await {
            Ok(publishing) => {
                let machine = &self.machine;
                self.connection.info.describe(|details| {
                    details.frame_max = machine.frame_max();
                    details.channel_max = machine.channel_max();
                    details.heartbeat = machine.heartbeat();
                });
                self.publishing = Some(publishing);
                self.tell_of_opening();
                self.machine.opened(&mut self.connection.out);
                tracing::debug!(connection = self.connection.info.name(), user = %user, vhost, "connection opened");
            }
            Err(reply) => {
                tracing::info!(connection = self.connection.info.name(), user = %user, %reply, "connection refused");
                self.machine
                    .close(self.connection.broker.now(), OPEN, &reply, &mut self.connection.out);
            }
        }
    }

    /// A client renews its secret. Passwords do not expire, so any is as good as the first, as with
    /// RabbitMQ; a token has to be good, and of the same user.
    pub(super) async fn on_update_secret(&mut self, secret: &[u8]) {
        let renewed = match self.connection.rights.granted() {
            Some(granted) => {
                self.connection
                    .broker
                    .access()
                    .backends()
                    .renew(granted, secret, self.connection.broker.now())
                    .await
            }
            None => Ok(()),
        };
        match renewed {
            Ok(()) => self.machine.secret_updated(&mut self.connection.out),
            Err(why) => {
                let (connection, user) = (
                    self.connection.info.name(),
                    self.connection.user.as_deref().unwrap_or_default(),
                );
                tracing::warn!(connection, user, "a new secret was refused: {why}");
                let reply = SessionError::SecretRefused.reply();
                self.refuse(None, UPDATE_SECRET, &reply).await;
            }
        }
    }

    async fn open(&self, user: &UserName, name: &str) -> Result<Publishing, Reply> {
        let vhost = login::open(
            &self.connection.broker,
            &self.connection.info,
            (user, &self.connection.rights),
            name,
        )
        .await?;
        Ok(Publishing {
            vhost,
            user: user.clone(),
            rights: self.connection.rights.clone(),
            impersonator: self.tags.iter().any(|tag| tag == "impersonator"),
        })
    }
}
