//! `amqp://user:password@host:port/vhost`, as RabbitMQ's clients read it.

use std::str::FromStr;

/// Where and as whom to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Uri {
    pub user: String,
    pub password: String,
    pub host: String,
    pub port: u16,
    pub vhost: String,
}

/// Why text is no AMQP address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UriError {
    #[error("it must begin with amqp://")]
    Scheme,
    #[error("amqps:// needs TLS, which the load generator does not speak")]
    Tls,
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
        if text.starts_with("amqps://") {
            return Err(UriError::Tls);
        }
        let rest = text.strip_prefix("amqp://").ok_or(UriError::Scheme)?;
        let rest = rest.split_once('?').map_or(rest, |(rest, _)| rest);
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
            port: port.map_or(Ok(5672), |port| {
                port.parse().map_err(|_| UriError::Port(port.to_owned()))
            })?,
            vhost,
        })
    }
}

impl std::fmt::Debug for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No password: this may reach a log.
        write!(f, "amqp://{}@{}/{}", self.user, self.address(), self.vhost)
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
    fn wrong_addresses_are_refused_with_the_reason() {
        let error = |text: &str| text.parse::<Uri>().err();
        assert_eq!(error("http://x"), Some(UriError::Scheme));
        assert_eq!(error("amqps://x"), Some(UriError::Tls));
        assert_eq!(error("amqp://x:port"), Some(UriError::Port("port".into())));
        assert_eq!(error("amqp://x/%2"), Some(UriError::Percent));
    }

    #[test]
    fn the_password_is_not_shown() {
        let uri: Uri = "amqp://a:secret@h".parse().expect("valid");
        assert!(!format!("{uri:?}").contains("secret"));
    }
}
