//! Who asks, and whether the route's rule lets them.
//!
//! Texts and their order are RabbitMQ's: password first, then the tags, then the vhost.

use std::net::IpAddr;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::answer::Failure;
use super::browser::Browser;
use super::socket::Origin;
use crate::auth::Rights;
use crate::auth::rights::{Granted, Verdict};
use crate::broker::{Broker, TICKET};
use crate::metadata::{Catalogue, Vhost};
use crate::types::{UserName, VhostName};

/// Who may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Without a password.
    Anyone,
    /// Users with any of the management tags.
    Management,
    /// The same, with a permission in the vhost of the path; administrators also without one, though they
    /// need one for what a client would do (`Call::actor`).
    Vhost,
    /// The same as `Vhost`; `monitoring` users without a permission too.
    VhostVisible,
    /// `policymaker` users with a permission in the vhost of the path.
    Policymaker,
    /// `monitoring` users and administrators.
    Monitoring,
    Administrator,
}

/// The user a request comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: UserName,
    pub tags: Vec<String>,
    /// By what it is let do things.
    pub rights: Rights,
}

impl Caller {
    /// Whoever may open the socket in the data directory.
    pub fn operator() -> Self {
        Self {
            name: OPERATOR.into(),
            tags: vec!["administrator".to_owned()],
            rights: Rights::Operator,
        }
    }

    /// Where nobody needs to say who they are.
    pub fn anyone() -> Self {
        Self {
            name: "".into(),
            tags: Vec::new(),
            rights: Rights::Internal,
        }
    }

    /// Whether the user may do everything here.
    pub fn is_administrator(&self) -> bool {
        self.has(&["administrator"])
    }

    /// Whether the user may see other users' connections, and nodes.
    pub fn is_monitor(&self) -> bool {
        self.has(&["administrator", "monitoring"])
    }

    fn is_policymaker(&self) -> bool {
        self.has(&["administrator", "policymaker"])
    }

    fn may_enter(&self) -> bool {
        self.has(&["administrator", "monitoring", "policymaker", "management"])
    }

    fn has(&self, tags: &[&str]) -> bool {
        self.tags.iter().any(|tag| tags.contains(&tag.as_str()))
    }

    /// Whether the user has a permission in the vhost. A missing vhost is not refused: the
    /// handler says that it is missing.
    pub fn may_use(&self, catalogue: &Catalogue, vhost: &str) -> bool {
        self.rights.is_operator() || catalogue.vhost(vhost).is_none_or(|vhost| self.enters(vhost))
    }

    /// Whether the user may come into the vhost, as far as that is known: a backend that has to be asked is not asked
    /// here.
    fn enters(&self, vhost: &Vhost) -> bool {
        let has_permission = || vhost.permissions.contains_key(&self.name);
        match &self.rights {
            Rights::Granted(granted) => granted.enters(vhost.name(), has_permission) == Verdict::Allowed,
            Rights::Internal | Rights::Operator => has_permission(),
        }
    }

    /// Whether the vhost is listed for the user.
    pub fn sees(&self, vhost: &Vhost) -> bool {
        self.is_monitor() || self.enters(vhost)
    }

    /// The vhosts whose contents are listed for the user, by name.
    pub fn vhosts(&self, catalogue: &Catalogue) -> Vec<VhostName> {
        let all = catalogue.vhosts();
        let own = all.filter(|vhost| self.is_administrator() || self.enters(vhost));
        own.map(|vhost| vhost.name().clone()).collect()
    }
}

/// What things made by the operator are marked with, as RabbitMQ's command line does.
const OPERATOR: &str = "rmq-cli";
/// RabbitMQ's name of the protocol, where logins are counted.
const HTTP: &str = "http";

/// What a request says about its sender.
pub enum Credentials {
    Given {
        user: String,
        password: Vec<u8>,
    },
    /// Of whoever has the cluster's secret.
    Ticket(String),
    /// What an issuer has signed.
    Token(String),
    /// Of a kind that is not taken.
    Other,
    Malformed,
    /// The token of a cookie.
    Session(String),
    None {
        by_console: bool,
    },
}

/// Reads the `Authorization` header; where there is none, the cookie.
pub fn credentials(parts: &Parts, browser: &Browser) -> Credentials {
    let Some(value) = parts.headers.get(AUTHORIZATION) else {
        let by_console = browser.is_console;
        let token = browser.token.clone();
        return token.map_or(Credentials::None { by_console }, Credentials::Session);
    };
    let ticket = value.to_str().ok().and_then(|value| value.split_once(' '));
    if let Some((TICKET, ticket)) = ticket {
        return Credentials::Ticket(ticket.to_owned());
    }
    if let Some((scheme, token)) = ticket
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return Credentials::Token(token.trim().to_owned());
    }
    let basic = value.to_str().ok().and_then(|value| {
        let (scheme, rest) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("basic").then_some(rest)
    });
    let Some(basic) = basic else {
        return Credentials::Other;
    };
    let decoded = STANDARD.decode(basic.trim()).ok();
    let given = decoded.and_then(|bytes| {
        let at = bytes.iter().position(|byte| *byte == b':')?;
        let user = String::from_utf8(bytes[..at].to_vec()).ok()?;
        Some((user, bytes[at + 1..].to_vec()))
    });
    match given {
        Some((user, password)) => Credentials::Given { user, password },
        None => Credentials::Malformed,
    }
}

/// Finds out who that is.
///
/// # Errors
/// When nobody is named, the password is another, or the user may not come from there.
pub async fn authenticate(broker: &Broker, credentials: Credentials, from: IpAddr) -> Result<Caller, Failure> {
    match credentials {
        Credentials::Given { user, password } => {
            let known = known(broker, &user, &password, from).await;
            broker.logins().note(HTTP, known.is_ok());
            known
        }
        Credentials::Token(token) if broker.access().backends().takes_tokens() => {
            let known = admitted(broker, "", token.as_bytes(), from).await;
            broker.logins().note(HTTP, known.is_ok());
            known
        }
        // Other nodes may have to be asked about a session: see [`bearer`].
        Credentials::Session(_) | Credentials::Other | Credentials::Ticket(_) | Credentials::Token(_) => {
            Err(Failure::WrongPassword)
        }
        Credentials::Malformed => Err(Failure::Status(StatusCode::BAD_REQUEST)),
        Credentials::None { by_console } => Err(Failure::NoCredentials { by_console }),
    }
}

/// The operator, by a request that is signed with the cluster's secret. It is taken only over a line that
/// nobody else reads.
///
/// # Errors
/// When it is not signed so, or for another request, or of another time, or came before.
pub fn operator_by(broker: &Broker, from: Origin, parts: &Parts, ticket: &str) -> Result<Caller, Failure> {
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let is_signed = broker
        .membership()
        .links()
        .is_some_and(|links| links.takes_ticket(parts.method.as_str(), target, ticket));
    match from.is_private() && is_signed {
        true => Ok(Caller::operator()),
        false => Err(Failure::WrongPassword),
    }
}

/// The user with that password.
async fn known(broker: &Broker, user: &str, password: &[u8], from: IpAddr) -> Result<Caller, Failure> {
    if broker.config().management.disable_basic_auth {
        let reason = "HTTP access denied: basic auth disabled";
        tracing::warn!(user, %from, "login refused over HTTP: {reason}");
        return Err(Failure::NotAuthorised(reason));
    }
    admitted(broker, user, password, from).await
}

/// Whoever the backends let in.
async fn admitted(broker: &Broker, user: &str, password: &[u8], from: IpAddr) -> Result<Caller, Failure> {
    let admitted = match broker.access().log_in(user, Some(password), from).await {
        Ok(admitted) => admitted,
        Err(_) if broker.access().backends().is_internal() => {
            tracing::warn!(user, %from, "login refused over HTTP: invalid credentials");
            return Err(Failure::WrongPassword);
        }
        Err(why) => {
            tracing::warn!(user, %from, "login refused over HTTP: {why}");
            return Err(Failure::WrongPassword);
        }
    };
    if let Err(failure) = may_come_from(broker, &admitted.user, from) {
        tracing::warn!(user, %from, "login refused over HTTP: it may only come from the loopback interface");
        return Err(failure);
    }
    Ok(Caller {
        name: admitted.user,
        tags: admitted.tags,
        rights: admitted.rights,
    })
}

/// The user that is signed in with a token, at whichever node.
///
/// # Errors
/// When there is no such session, or the user has another password by now or may not come from there.
pub async fn bearer(broker: &Arc<Broker>, token: &str, from: IpAddr) -> Result<Caller, Failure> {
    let session = broker.membership().session(token).await.ok_or(Failure::WrongPassword)?;
    let user = broker.catalogue().user(&session.user).map(|user| user.spec.clone());
    let caller = match session.granted {
        Some(grant) => {
            let granted = Granted::of(*grant, broker.now());
            let is_over = granted.expires_at().is_some_and(|end| end <= broker.now());
            (!is_over).then(|| Caller {
                name: granted.user.clone(),
                tags: granted.tags.clone(),
                rights: Rights::Granted(granted.into()),
            })
        }
        None => user
            .filter(|user| user.password == session.password)
            .map(|user| Caller {
                name: user.name,
                tags: user.tags,
                rights: Rights::Internal,
            }),
    };
    let Some(caller) = caller else {
        broker.membership().close_session(token, session.expires_at).await;
        return Err(Failure::WrongPassword);
    };
    may_come_from(broker, &caller.name, from)?;
    Ok(caller)
}

fn may_come_from(broker: &Broker, user: &str, from: IpAddr) -> Result<(), Failure> {
    let mut loopback_users = broker.config().auth.loopback_users.iter();
    let loopback_only = loopback_users.any(|(name, only)| name == user && *only);
    if loopback_only && !from.to_canonical().is_loopback() {
        return Err(Failure::NotAuthorised("User can only log in via localhost"));
    }
    Ok(())
}

/// Whether the rule lets the user; `vhost` is that of the path.
///
/// # Errors
/// In the words of RabbitMQ.
pub fn check(access: Access, caller: &Caller, vhost: Option<&str>, catalogue: &Catalogue) -> Result<(), Failure> {
    let in_vhost = || vhost.is_none_or(|vhost| caller.may_use(catalogue, vhost));
    if access != Access::Anyone && !caller.may_enter() {
        return Err(Failure::NotAuthorised("Not management user"));
    }
    let (allowed, otherwise) = match access {
        Access::Anyone | Access::Management => (true, ""),
        Access::Vhost => (
            caller.is_administrator() || in_vhost(),
            "User not authorised to access virtual host",
        ),
        Access::VhostVisible => (
            caller.is_monitor() || in_vhost(),
            "User not authorised to access virtual host",
        ),
        Access::Policymaker => (
            caller.is_administrator() || (caller.is_policymaker() && in_vhost()),
            "User not authorised to access object",
        ),
        Access::Monitoring => (caller.is_monitor(), "Not monitor user"),
        Access::Administrator => (caller.is_administrator(), "Not administrator user"),
    };
    if allowed {
        Ok(())
    } else {
        Err(Failure::NotAuthorised(otherwise))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::super::socket::Origin;
    use super::*;
    use crate::metadata::{Command, PermissionSpec, VhostSpec};

    fn caller(name: &str, tags: &[&str]) -> Caller {
        Caller {
            name: name.into(),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            rights: Rights::Internal,
        }
    }

    /// The vhosts `mine` and `other`; `me` has a permission in the first.
    fn catalogue() -> Catalogue {
        let mut catalogue = Catalogue::new();
        let vhost = |name: &str| {
            Command::PutVhost(VhostSpec {
                name: name.into(),
                description: String::new(),
                tags: Vec::new(),
                default_queue_type: None,
                protected: false,
            })
        };
        let me = crate::metadata::UserSpec {
            name: "me".into(),
            password: crate::auth::PasswordHash::default(),
            tags: Vec::new(),
        };
        let permission = Command::SetPermission {
            user: "me".into(),
            vhost: "mine".into(),
            patterns: PermissionSpec {
                configure: String::new(),
                write: String::new(),
                read: String::new(),
            },
        };
        for command in [vhost("mine"), vhost("other"), Command::PutUser(me), permission] {
            catalogue.apply(&command, &mut Vec::new()).expect("a good command");
        }
        catalogue
    }

    fn refusal(access: Access, tags: &[&str], vhost: Option<&str>) -> Option<&'static str> {
        match check(access, &caller("me", tags), vhost, &catalogue()) {
            Ok(()) => None,
            Err(Failure::NotAuthorised(text)) => Some(text),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn tags_open_what_they_are_for() {
        let other = Some("other");
        assert_eq!(refusal(Access::Management, &[], None), Some("Not management user"));
        assert_eq!(refusal(Access::Management, &["policymaker"], None), None);
        assert_eq!(
            refusal(Access::Monitoring, &["management"], None),
            Some("Not monitor user")
        );
        assert_eq!(refusal(Access::Monitoring, &["monitoring"], None), None);
        assert_eq!(
            refusal(Access::Administrator, &["monitoring"], None),
            Some("Not administrator user")
        );
        assert_eq!(
            refusal(Access::Policymaker, &["management"], Some("mine")),
            Some("User not authorised to access object")
        );
        assert_eq!(refusal(Access::Policymaker, &["policymaker"], Some("mine")), None);
        assert!(refusal(Access::Policymaker, &["policymaker"], other).is_some());
    }

    #[test]
    fn contents_of_a_vhost_need_a_permission_there() {
        let refused = Some("User not authorised to access virtual host");
        assert_eq!(refusal(Access::Vhost, &["administrator"], Some("other")), None);
        assert_eq!(refusal(Access::Vhost, &["monitoring"], Some("other")), refused);
        assert_eq!(refusal(Access::Vhost, &["management"], Some("mine")), None);
        assert_eq!(refusal(Access::Vhost, &["management"], Some("missing")), None);
        assert_eq!(refusal(Access::VhostVisible, &["management"], Some("other")), refused);
        assert_eq!(refusal(Access::VhostVisible, &["monitoring"], Some("other")), None);
    }

    #[test]
    fn the_operator_needs_no_permission() {
        let catalogue = catalogue();
        let operator = Caller::operator();
        for access in [Access::Vhost, Access::Policymaker, Access::Administrator] {
            assert_eq!(check(access, &operator, Some("other"), &catalogue), Ok(()));
        }
        assert_eq!(operator.vhosts(&catalogue).len(), 2);
    }

    #[test]
    fn lists_hold_what_the_user_may_see() {
        let names = |tags: &[&str]| {
            let vhosts = caller("me", tags).vhosts(&catalogue());
            vhosts.iter().map(|vhost| vhost.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["management"]), ["mine"]);
        assert_eq!(names(&["administrator"]), ["mine", "other"]);
    }

    #[test]
    fn credentials_are_read_from_the_header() {
        let read = |header: Option<&str>| {
            let mut request = Request::builder();
            if let Some(header) = header {
                request = request.header("Authorization", header);
            }
            let (parts, ()) = request.body(()).expect("a good request").into_parts();
            let from = Origin::Address(std::net::Ipv4Addr::LOCALHOST.into());
            match credentials(&parts, &Browser::of(&parts, from)) {
                Credentials::Given { user, password } => format!("{user} {}", String::from_utf8_lossy(&password)),
                Credentials::Ticket(ticket) => format!("ticket {ticket}"),
                Credentials::Token(token) => format!("token {token}"),
                Credentials::Other => "other".to_owned(),
                Credentials::Session(token) => format!("session {token}"),
                Credentials::Malformed => "malformed".to_owned(),
                Credentials::None { .. } => "none".to_owned(),
            }
        };
        assert_eq!(read(None), "none");
        assert_eq!(read(Some("Basic Z3Vlc3Q6Z3U6ZXN0")), "guest gu:est");
        assert_eq!(read(Some("Basic !!!")), "malformed");
        assert_eq!(read(Some("Basic Z3Vlc3Q=")), "malformed");
        assert_eq!(read(Some("Warren 1.2.3")), "ticket 1.2.3");
        assert_eq!(read(Some("Bearer xyz")), "token xyz");
        assert_eq!(read(Some("Digest xyz")), "other");
    }
}
