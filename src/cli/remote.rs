//! A node that is asked over HTTP: where it is, who asks, and that the line is safe.
//!
//! Over TLS, or on this machine. Who asks is a user with a password, or whoever has the cluster's
//! secret, who signs each request with it (`cluster::ticket`).

use base64::Engine;
use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;
use std::{env, io};

use hyper::Uri;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::failed::{Failed, exit};
use super::options::Options;
use super::unreachable::Unreachable;
use crate::cluster::secret::SharedSecret;
use crate::cluster::ticket;
use crate::config::{ClientTls, Config};
use crate::tls_client;
use base64::engine::general_purpose::STANDARD;

/// RabbitMQ's port of its HTTP API over TLS, and the one without.
const PORTS: (u16, u16) = (15671, 15672);
/// Where the password of `--username` may stand, out of sight of whoever lists processes.
const PASSWORD: &str = "WARREN_PASSWORD";

/// A node, and who asks it.
pub struct Remote {
    host: String,
    port: u16,
    /// What stands before `/api` there.
    pub prefix: String,
    tls: Option<Tls>,
    asker: Asker,
}

enum Asker {
    User(String, String),
    Operator(SharedSecret),
}

struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Remote {
    /// The node of that name or URL, asked as the options say.
    ///
    /// # Errors
    /// When that is no place, the line would not be safe, or there is nothing to prove who asks.
    pub fn of(node: &str, options: &Options, config: &Config) -> Result<Self, Failed> {
        let place = Where::of(node).map_err(Failed::arguments)?;
        let prefix = match &place.prefix {
            Some(prefix) => prefix.clone(),
            None => config.management.path_prefix.clone(),
        };
        let tls = match place.is_tls {
            true => Some(tls(&place.host, options.ca_file.as_deref())?),
            false => None,
        };
        Ok(Self {
            asker: asker(options, config)?,
            host: place.host,
            port: place.port,
            prefix,
            tls,
        })
    }

    /// `host:port`
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// The header that says who asks for that.
    pub(super) fn authorization(&self, verb: &str, path: &str) -> String {
        match &self.asker {
            Asker::User(user, password) => basic(user, password),
            Asker::Operator(secret) => ticket::sign(secret, verb, path, SystemTime::now()),
        }
    }

    /// A connection to it.
    pub(super) async fn connect(&self) -> Result<Box<dyn Line>, Unreachable> {
        let failed = |error: io::Error| Unreachable::Remote {
            address: self.address(),
            why: error.to_string(),
        };
        let socket = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(failed)?;
        match &self.tls {
            None => Ok(Box::new(socket)),
            Some(tls) => {
                let stream = tls.connector.connect(tls.name.clone(), socket).await.map_err(failed)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// Whether there is anything to show to another node.
pub fn can_prove(options: &Options, config: &Config) -> bool {
    options.username.is_some()
        || matches!(
            SharedSecret::existing(&config.cluster, &config.node.data_dir),
            Ok(Some(_))
        )
}

fn asker(options: &Options, config: &Config) -> Result<Asker, Failed> {
    if let Some(user) = &options.username {
        let given = options.password.clone().or_else(|| env::var(PASSWORD).ok());
        let missing = || Failed::arguments(format!("--username needs --password, or {PASSWORD} in the environment"));
        return Ok(Asker::User(user.clone(), given.ok_or_else(missing)?));
    }
    match SharedSecret::existing(&config.cluster, &config.node.data_dir) {
        Ok(Some(secret)) => Ok(Asker::Operator(secret)),
        Ok(None) => Err(Failed::told(
            exit::DATA,
            "to ask a node elsewhere takes a user (--username), or the cluster's secret (cluster.secret, \
             cluster.secret_file or the file in --data-dir), which is not here",
        )),
        Err(error) => Err(Failed::told(exit::DATA, error.to_string())),
    }
}

fn tls(host: &str, ca_file: Option<&Path>) -> Result<Tls, Failed> {
    let wrong = |text: String| Failed::told(exit::DATA, text);
    let trusted = ClientTls {
        cacertfile: ca_file.map(Path::to_owned),
        ..ClientTls::default()
    };
    let config = tls_client::client("--ca-file", &trusted).map_err(|error| wrong(error.to_string()))?;
    let name = ServerName::try_from(host.to_owned());
    Ok(Tls {
        connector: TlsConnector::from(config),
        name: name.map_err(|error| wrong(format!("{host}: {error}")))?,
    })
}

/// A name or a URL, read.
#[derive(Debug, PartialEq)]
struct Where {
    host: String,
    port: u16,
    is_tls: bool,
    /// What a URL has behind the port; names have none.
    prefix: Option<String>,
}

impl Where {
    fn of(node: &str) -> Result<Self, String> {
        if !node.contains("://") {
            let host = node.rsplit_once('@').map_or(node, |(_, host)| host);
            return Ok(Self {
                host: host.to_owned(),
                port: PORTS.0,
                is_tls: true,
                prefix: None,
            });
        }
        let uri: Uri = node.parse().map_err(|error| format!("'{node}' is no URL: {error}"))?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(format!("'{node}': a node is asked over https or http")),
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if !is_tls && !is_here(&host) {
            return Err(format!("'{node}': another machine is asked over https only"));
        }
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_tls { PORTS.0 } else { PORTS.1 }),
            prefix: Some(uri.path().trim_end_matches('/').to_owned()),
            is_tls,
            host,
        })
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A connection, of whatever kind.
pub trait Line: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Line for T {}

/// The header of a user with a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(node: &str) -> Result<(String, u16, bool, Option<String>), String> {
        Where::of(node).map(|place| (place.host, place.port, place.is_tls, place.prefix))
    }

    #[test]
    fn a_node_is_named_or_has_a_url() {
        let expected =
            |host: &str, port, tls, prefix: Option<&str>| Ok((host.to_owned(), port, tls, prefix.map(str::to_owned)));
        assert_eq!(found("rabbit@b.example"), expected("b.example", 15671, true, None));
        assert_eq!(
            found("https://b.example/"),
            expected("b.example", 15671, true, Some(""))
        );
        assert_eq!(
            found("https://[::1]:4443/mq/"),
            expected("::1", 4443, true, Some("/mq"))
        );
        assert_eq!(
            found("http://127.0.0.1:8080"),
            expected("127.0.0.1", 8080, false, Some(""))
        );
    }

    #[test]
    fn another_machine_is_not_asked_in_the_clear() {
        let refused = found("http://192.0.2.1:15672").expect_err("not safe");
        assert!(refused.contains("https only"), "{refused}");
        assert!(found("ftp://localhost").is_err());
        assert!(found("https://").is_err());
    }
}
