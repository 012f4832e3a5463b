//! `amqp://user:password@host:port/vhost`, or `amqps://` and `?cacertfile=FILE&verify=verify_none`, as RabbitMQ's
//! clients read it (<https://www.rabbitmq.com/docs/uri-query-parameters>); of the stream protocol
//! `rabbitmq-stream://` and `rabbitmq-stream+tls://`.

use std::path::PathBuf;
use std::str::FromStr;

/// Where and as whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
    pub vhost: String,
    pub protocol: Protocol,
    /// How TLS is spoken, if it is.
    pub tls: Option<UriTls>,
}

/// What is spoken there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// AMQP 0-9-1.
    Amqp,
    /// The stream protocol.
    Stream,
}

/// What an `amqps://` address says of TLS.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UriTls {
    /// Whom to trust; those whom the machine trusts where it is not said.
    pub cacertfile: Option<PathBuf>,
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
    /// The server's certificate is not checked.
    pub no_verify: bool,
    /// What the server is called in its certificate; the host where it is not said.
    pub server_name: Option<String>,
}

/// Why text is no AMQP address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    #[error("it must begin with amqp://, amqps://, rabbitmq-stream:// or rabbitmq-stream+tls://")]
    Scheme,
    #[error("verify is verify_peer or verify_none")]
    Verify,
    #[error("'{0}' is not a port")]
    Port(String),
    #[error("a % must be followed by two hexadecimal digits")]
    Percent,
}

impl Uri {
    /// Host and port, in brackets where the host is an IPv6 address.
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    /// Without a path the vhost is `/`; `amqp://host/` names the vhost with the empty name.
    fn from_str(text: &str) -> Result<Self, UriError> {
        let (scheme, rest) = text.split_once("://").ok_or(UriError::Scheme)?;
        let (protocol, usual_port, is_tls) = match scheme {
            "amqp" => (Protocol::Amqp, 5672, false),
            "amqps" => (Protocol::Amqp, 5671, true),
            "rabbitmq-stream" => (Protocol::Stream, 5552, false),
            "rabbitmq-stream+tls" => (Protocol::Stream, 5551, true),
            _ => return Err(UriError::Scheme),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let tls = is_tls.then(|| query.parse()).transpose()?;
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, unescape(vhost)?),
            None => (rest, "/".to_owned()),
        };
        let (login, place) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, "guest"));
        let (host, port) = split_port(place);
        Ok(Self {
            user: unescape(user)?,
            password: unescape(password)?,
            host: if host.is_empty() { "127.0.0.1" } else { host }.to_owned(),
            port: port.map_or(Ok(usual_port), |port| {
                port.parse().map_err(|_| UriError::Port(port.to_owned()))
            })?,
            vhost,
            protocol,
            tls,
        })
    }
}

impl FromStr for UriTls {
    type Err = UriError;

    /// Parameters that are about other things are passed over.
    fn from_str(query: &str) -> Result<Self, UriError> {
        let mut tls = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = unescape(value)?;
            match name {
                "cacertfile" => tls.cacertfile = Some(value.into()),
                "certfile" => tls.certfile = Some(value.into()),
                "keyfile" => tls.keyfile = Some(value.into()),
                "server_name_indication" => tls.server_name = Some(value),
                "verify" => {
                    tls.no_verify = match value.as_str() {
                        "verify_peer" => false,
                        "verify_none" => true,
                        _ => return Err(UriError::Verify),
                    }
                }
                _ => {}
            }
        }
        Ok(tls)
    }
}

impl std::fmt::Debug for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No password: this may reach a log.
        let scheme = match (self.protocol, self.tls.is_some()) {
            (Protocol::Amqp, false) => "amqp",
            (Protocol::Amqp, true) => "amqps",
            (Protocol::Stream, false) => "rabbitmq-stream",
            (Protocol::Stream, true) => "rabbitmq-stream+tls",
        };
        write!(f, "{scheme}://{}@{}/{}", self.user, self.address(), self.vhost)
    }
}

fn split_port(place: &str) -> (&str, Option<&str>) {
    if let Some((host, rest)) = place.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        return (host, rest.strip_prefix(':'));
    }
    match place.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    }
}

fn unescape(text: &str) -> Result<String, UriError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or(UriError::Percent)?;
        let digits = std::str::from_utf8(digits).map_err(|_| UriError::Percent)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| UriError::Percent)?);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| UriError::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, String, String) {
        let uri: Uri = text.parse().expect(text);
        (uri.user.clone(), uri.password.clone(), uri.address(), uri.vhost)
    }

    fn owned(user: &str, password: &str, address: &str, vhost: &str) -> (String, String, String, String) {
        (user.into(), password.into(), address.into(), vhost.into())
    }

    #[test]
    fn every_part_is_read_and_unescaped() {
        assert_eq!(
            parts("amqp://us%40er:p%3Aw@example:5673/%2fa"),
            owned("us@er", "p:w", "example:5673", "/a")
        );
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(parts("amqp://"), owned("guest", "guest", "127.0.0.1:5672", "/"));
        assert_eq!(parts("amqp://host"), owned("guest", "guest", "host:5672", "/"));
        assert_eq!(parts("amqp://host/"), owned("guest", "guest", "host:5672", ""));
        assert_eq!(parts("amqp://[::1]:1?x=y"), owned("guest", "guest", "[::1]:1", "/"));
    }

    #[test]
    fn the_scheme_says_what_is_spoken() {
        let parts = |text: &str| {
            text.parse::<Uri>()
                .map(|uri| (uri.protocol, uri.port, uri.tls.is_some()))
        };
        assert_eq!(parts("rabbitmq-stream://h"), Ok((Protocol::Stream, 5552, false)));
        assert_eq!(parts("rabbitmq-stream+tls://h"), Ok((Protocol::Stream, 5551, true)));
        assert_eq!(parts("amqp://h"), Ok((Protocol::Amqp, 5672, false)));
    }

    #[test]
    fn wrong_addresses_are_refused_with_the_reason() {
        let error = |text: &str| text.parse::<Uri>().err();
        assert_eq!(error("http://x"), Some(UriError::Scheme));
        assert_eq!(error("amqps://x?verify=maybe"), Some(UriError::Verify));
        assert_eq!(error("amqp://x:port"), Some(UriError::Port("port".into())));
        assert_eq!(error("amqp://x/%2"), Some(UriError::Percent));
    }

    #[test]
    fn the_password_is_not_shown() {
        let uri: Uri = "amqp://a:secret@h".parse().expect("valid");
        assert!(!format!("{uri:?}").contains("secret"));
    }

    #[test]
    fn tls_is_spoken_as_the_parameters_say() {
        let uri: Uri = "amqps://h/v?cacertfile=%2Fetc%2Fca.pem&verify=verify_none&heartbeat=5&server_name_indication=n"
            .parse()
            .expect("an address");
        assert_eq!((uri.port, uri.vhost.as_str()), (5671, "v"));
        let tls = uri.tls.expect("TLS");
        assert_eq!(tls.cacertfile, Some("/etc/ca.pem".into()));
        assert_eq!((tls.no_verify, tls.server_name.as_deref()), (true, Some("n")));
        let plain: Uri = "amqp://h?verify=verify_none".parse().expect("an address");
        assert_eq!(plain.tls, None);
    }
}
