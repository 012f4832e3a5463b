//! Who may come in: credentials, then the virtual host.

use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use crate::auth::mechanism::{amqplain, plain};
use crate::auth::{Credentials, Login, Rights};
use crate::broker::{Admitted, Broker, ConnectionInfo, Vhost};
use crate::config::{Auth, Mechanism};
use crate::listen::ClientCertificate;
use crate::statistics::Measure;
use crate::types::{Refusal, Reply, ReplyCode, UserName};

/// The mechanism of who is known by a certificate.
const EXTERNAL: &str = "EXTERNAL";

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginError {
    /// What was sent is not what the mechanism sends.
    Malformed,
    Refused {
        /// Empty when it is not known who it is.
        user: String,
        reason: String,
    },
    /// The user may come from the loopback interface only.
    NotFromThere { user: String },
}

/// Why somebody is not let into a virtual host, in RabbitMQ's words.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum OpenError {
    #[error("vhost {0} not found")]
    NoVhost(String),
    #[error("access to vhost '{vhost}' refused for user '{user}'")]
    NoAccess { vhost: String, user: UserName },
}

impl Refusal for OpenError {
    fn reply(&self) -> Reply {
        Reply::connection(ReplyCode::NotAllowed, self.to_string())
    }
}

/// Looks at what somebody has sent to log in from that address, and gives the user it is.
///
/// # Errors
/// [`LoginError`] when it is none, or may not come from there.
pub async fn log_in(
    broker: &Broker,
    login: &Login,
    certificate: Option<&ClientCertificate>,
    peer: IpAddr,
) -> Result<Admitted, LoginError> {
    let (user, password, unknown) = match login.mechanism.as_str() {
        EXTERNAL => {
            let user = name_in(broker, certificate)?;
            (user, None, "there is no user of the name in the certificate")
        }
        _ => {
            let Credentials { user, password } = credentials(broker, login)?;
            (user, Some(password), "invalid credentials")
        }
    };
    match broker.access().log_in(&user, password.as_deref(), peer).await {
        Ok(admitted) if may_come_from(&broker.config().auth, admitted.user.as_str(), peer) => Ok(admitted),
        Ok(admitted) => {
            let user = admitted.user.to_string();
            Err(LoginError::NotFromThere { user })
        }
        Err(why) => {
            let reason = match broker.access().backends().is_internal() {
                true => unknown.to_owned(),
                false => why,
            };
            Err(LoginError::Refused { user, reason })
        }
    }
}

fn credentials(broker: &Broker, login: &Login) -> Result<Credentials, LoginError> {
    let auth = &broker.config().auth;
    let response = &login.response;
    let credentials = match login.mechanism.as_str() {
        "PLAIN" => plain(response),
        "AMQPLAIN" => amqplain(response),
        "ANONYMOUS" => auth.anonymous_user.as_ref().map(|user| Credentials {
            user: user.clone(),
            password: auth.anonymous_pass.reveal().as_bytes().to_vec(),
        }),
        _ => None,
    };
    credentials.ok_or(LoginError::Malformed)
}

/// Who the client is stands in its certificate, and that is all it needs: it was checked when hands were
/// shaken.
fn name_in(broker: &Broker, certificate: Option<&ClientCertificate>) -> Result<String, LoginError> {
    let config = broker.config();
    let name = match certificate {
        None => Err("the client has shown no certificate"),
        Some(_) if !config.tls.verify_peer => Err("certificates are not checked: ssl_options.verify is verify_none"),
        Some(certificate) => certificate
            .user_name(&config.auth)
            .ok_or("the certificate has no name of the kind that ssl_cert_login_from asks for"),
    };
    name.map_err(|reason| LoginError::Refused {
        user: String::new(),
        reason: reason.to_owned(),
    })
}

/// Users like `guest` may come from the loopback interface only.
fn may_come_from(auth: &Auth, user: &str, peer: IpAddr) -> bool {
    let loopback_only = auth.loopback_users.iter().any(|(name, on)| name == user && *on);
    !loopback_only || peer.to_canonical().is_loopback()
}

/// Lets a connection into a virtual host, where it counts for its limits and statistics.
///
/// # Errors
/// [`OpenError`], or a limit that is reached, as its reply.
pub async fn open(
    broker: &Broker,
    info: &ConnectionInfo,
    (user, rights): (&UserName, &Rights),
    name: &str,
) -> Result<Arc<Vhost>, Reply> {
    let missing = || OpenError::NoVhost(name.to_owned()).reply();
    let declared = broker.catalogue().vhost(name).map(|vhost| vhost.name().clone());
    let declared = declared.ok_or_else(missing)?;
    if !broker.access().may_enter(user, rights, &declared).await {
        let (vhost, user) = (name.to_owned(), user.clone());
        return Err(OpenError::NoAccess { vhost, user }.reply());
    }
    let vhost = broker.vhost(name).ok_or_else(missing)?;
    let elsewhere = broker.membership().clients_elsewhere(user, &vhost.name).await;
    let connections = broker.connections();
    let opened = connections.open(info, &broker.catalogue(), user, &vhost.name, elsewhere);
    opened.map_err(|error| error.reply())?;
    info.outbox.count_in(&vhost.scope);
    broker.statistics().node().add(Measure::ConnectionCreated, 1);
    Ok(vhost)
}

/// The mechanisms offered, in RabbitMQ's order. EXTERNAL needs TLS, which plain sockets have not.
pub fn mechanisms(config: &Auth) -> Vec<String> {
    let mut offered = mechanisms_over_tls(config);
    offered.retain(|mechanism| mechanism != EXTERNAL);
    offered
}

/// The same of connections with TLS. EXTERNAL is offered to clients without a certificate too: they hear of
/// it when they log in.
pub fn mechanisms_over_tls(config: &Auth) -> Vec<String> {
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
