//! Who may come in: credentials, then the virtual host.

use super::error::SessionError;
use super::session::Session;
use crate::auth::mechanism::{amqplain, plain};
use crate::broker::Admitted;
use crate::broker::publish::Publishing;
use crate::config::Mechanism;
use crate::connection::Login;
use crate::statistics::Measure;

use crate::types::{Refusal, Reply, UserName};

/// The mechanism of who is known by a certificate.
const EXTERNAL: &str = "EXTERNAL";
/// Ids of `connection.open`, for refusals.
const OPEN: (u16, u16) = (10, 40);
/// Of `connection.update-secret`.
const UPDATE_SECRET: (u16, u16) = (10, 70);
/// RabbitMQ's name of the protocol, where logins are counted.
const AMQP: &str = "amqp091";

impl Session {
    pub(super) async fn on_login(&mut self, login: Login) {
        if login.mechanism == EXTERNAL {
            return self.on_external(&login).await;
        }
        let auth = &self.broker.config().auth;
        let credentials = match login.mechanism.as_str() {
            "PLAIN" => plain(&login.response),
            "AMQPLAIN" => amqplain(&login.response),
            "ANONYMOUS" => auth.anonymous_user.as_ref().map(|user| crate::auth::Credentials {
                user: user.clone(),
                password: auth.anonymous_pass.reveal().as_bytes().to_vec(),
            }),
            _ => None,
        };
        let Some(credentials) = credentials else {
            return self.machine.drop_login();
        };
        let user = credentials.user.as_str();
        let password = Some(credentials.password.as_slice());
        match self.broker.log_in(user, password, self.info.peer.ip()).await {
            Ok(admitted) => self.admit(admitted, &login),
            Err(_) if self.broker.backends().is_internal() => {
                self.refuse_login(Some(user), &login, "invalid credentials");
            }
            Err(why) => self.refuse_login(Some(user), &login, &why),
        }
    }

    /// Who the client is stands in its certificate, and that is all it needs: it was checked when hands were
    /// shaken.
    async fn on_external(&mut self, login: &Login) {
        let config = self.broker.config();
        let user = match &self.certificate {
            None => Err("the client has shown no certificate"),
            Some(_) if !config.tls.verify_peer => {
                Err("certificates are not checked: ssl_options.verify is verify_none")
            }
            Some(certificate) => certificate
                .user_name(&config.auth)
                .ok_or("the certificate has no name of the kind that ssl_cert_login_from asks for"),
        };
        let user = match user {
            Err(reason) => return self.refuse_login(None, login, reason),
            Ok(user) => user,
        };
        match self.broker.log_in(&user, None, self.info.peer.ip()).await {
            Ok(admitted) => self.admit(admitted, login),
            Err(_) if self.broker.backends().is_internal() => {
                self.refuse_login(Some(&user), login, "there is no user of the name in the certificate");
            }
            Err(why) => self.refuse_login(Some(&user), login, &why),
        }
    }

    fn refuse_login(&mut self, user: Option<&str>, login: &Login, reason: &str) {
        let connection = self.info.name();
        let (user, mechanism) = (user.unwrap_or_default(), &login.mechanism);
        tracing::warn!(connection, user, mechanism, "login refused: {reason}");
        self.broker.logins().note(AMQP, false);
        self.tell_of_login(user, mechanism, Some(reason));
        self.machine.refuse_login(self.broker.now(), &mut self.out);
    }

    /// Lets a user in that is known to be one, unless it comes from where it may not.
    fn admit(&mut self, admitted: Admitted, login: &Login) {
        let user = admitted.user.as_str();
        if !self.may_come_from(user) {
            let reason = "this user may only come from the loopback interface";
            return self.refuse_login(Some(user), login, reason);
        }
        self.broker.logins().note(AMQP, true);
        self.tell_of_login(user, &login.mechanism, None);
        self.certificate = None;
        let client = self.machine.client();
        let (properties, mechanism) = (client.properties.clone(), client.mechanism.clone());
        self.info.describe(|details| {
            details.client_properties = properties;
            details.mechanism = mechanism;
        });
        self.user = Some(admitted.user);
        self.tags = admitted.tags;
        self.rights = admitted.rights;
        self.handshake.done();
        self.machine.log_in(&mut self.out);
    }

    pub(super) async fn on_open(&mut self, vhost: &str) {
        let Some(user) = self.user.clone() else {
            return self.machine.drop_login();
        };
        match self.open(&user, vhost).await {
            Ok(publishing) => {
                let machine = &self.machine;
                self.info.describe(|details| {
                    details.frame_max = machine.frame_max();
                    details.channel_max = machine.channel_max();
                    details.heartbeat = machine.heartbeat();
                });
                self.outbox.lock().frame_max = machine.frame_max();
                self.publishing = Some(publishing);
                self.tell_of_opening();
                self.machine.opened(&mut self.out);
                tracing::debug!(connection = self.info.name(), user = %user, vhost, "connection opened");
            }
            Err(reply) => {
                tracing::info!(connection = self.info.name(), user = %user, %reply, "connection refused");
                self.machine.close(self.broker.now(), OPEN, &reply, &mut self.out);
            }
        }
    }

    /// A client renews its secret. Passwords do not expire, so any is as good as the first, as with
    /// RabbitMQ; a token has to be good, and of the same user.
    pub(super) async fn on_update_secret(&mut self, secret: &[u8]) {
        let renewed = match self.rights.granted() {
            Some(granted) => self.broker.backends().renew(granted, secret, self.broker.now()).await,
            None => Ok(()),
        };
        match renewed {
            Ok(()) => self.machine.secret_updated(&mut self.out),
            Err(why) => {
                let (connection, user) = (self.info.name(), self.user.as_deref().unwrap_or_default());
                tracing::warn!(connection, user, "a new secret was refused: {why}");
                let reply = SessionError::SecretRefused.reply();
                self.refuse(None, UPDATE_SECRET, &reply).await;
            }
        }
    }

    async fn open(&self, user: &UserName, name: &str) -> Result<Publishing, Reply> {
        let missing = || SessionError::NoVhost(name.to_owned());
        let declared = self.broker.catalogue().vhost(name).map(|vhost| vhost.name().clone());
        let declared = declared.ok_or_else(missing)?;
        if !self.broker.may_enter(user, &self.rights, &declared).await {
            let (vhost, user) = (name.to_owned(), user.clone());
            return Err(SessionError::NoAccess { vhost, user }.into());
        }
        let vhost = self.broker.vhost(name).ok_or_else(missing)?;
        let elsewhere = self.broker.clients_elsewhere(user, &vhost.name).await;
        let connections = self.broker.connections();
        connections.open(&self.info, &self.broker.catalogue(), user, &vhost.name, elsewhere)?;
        self.outbox.count_in(&vhost.scope);
        self.broker.statistics().node().add(Measure::ConnectionCreated, 1);
        Ok(Publishing {
            vhost,
            user: user.clone(),
            rights: self.rights.clone(),
            impersonator: self.tags.iter().any(|tag| tag == "impersonator"),
        })
    }

    /// Users like `guest` may come from the loopback interface only.
    fn may_come_from(&self, user: &str) -> bool {
        let loopback_only = self
            .broker
            .config()
            .auth
            .loopback_users
            .iter()
            .any(|(name, on)| name == user && *on);
        !loopback_only || self.info.peer.ip().to_canonical().is_loopback()
    }
}

/// The mechanisms offered, in RabbitMQ's order. EXTERNAL needs TLS, which plain sockets have not.
pub(super) fn mechanisms(config: &crate::config::Auth) -> Vec<String> {
    let mut offered = mechanisms_over_tls(config);
    offered.retain(|mechanism| mechanism != EXTERNAL);
    offered
}

/// The same of connections with TLS. EXTERNAL is offered to clients without a certificate too: they hear of
/// it when they log in.
pub(super) fn mechanisms_over_tls(config: &crate::config::Auth) -> Vec<String> {
    let on = |wanted| config.mechanisms.values().any(|mechanism| *mechanism == wanted);
    let all = [
        (Mechanism::External, EXTERNAL),
        (Mechanism::Amqplain, "AMQPLAIN"),
        (Mechanism::Plain, "PLAIN"),
        (Mechanism::Anonymous, "ANONYMOUS"),
    ];
    let offered = all.into_iter().filter(|(mechanism, _)| on(*mechanism));
    offered.map(|(_, name)| name.to_owned()).collect()
}
