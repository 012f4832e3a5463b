//! The HTTP API of a node: of the one on this machine through the socket in its data directory, of
//! another over HTTPS (`remote.rs`). One request on one connection.

use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderName};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::failed::{Failed, exit};
use super::remote::{Line, Remote, basic};
use super::unreachable::Unreachable;

/// Time a node may take to answer when the call does not say.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the node is asked.
#[derive(Clone)]
pub struct Client {
    pub place: Place,
    /// Longest wait for an answer.
    pub patience: Duration,
}

/// Where the node is.
#[derive(Clone)]
pub enum Place {
    /// Behind this socket.
    Here(PathBuf),
    There(Arc<Remote>),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Bytes,
    /// Nodes that did not answer, where they have a part in it.
    pub silent: Option<String>,
}

impl Client {
    /// A client of the node that is there.
    pub fn new(place: Place, patience: Option<Duration>) -> Self {
        Self {
            place,
            patience: patience.filter(|patience| !patience.is_zero()).unwrap_or(PATIENCE),
        }
    }

    /// Whether it is another machine's node, or is asked as if it were.
    pub fn is_remote(&self) -> bool {
        matches!(self.place, Place::There(_))
    }

    /// Whether a node listens.
    pub fn is_there(&self) -> bool {
        match &self.place {
            Place::Here(socket) => std::os::unix::net::UnixStream::connect(socket).is_ok(),
            Place::There(remote) => {
                let addresses = remote.address().to_socket_addrs();
                let mut addresses = addresses.into_iter().flatten();
                addresses.any(|address| std::net::TcpStream::connect_timeout(&address, self.patience).is_ok())
            }
        }
    }

    /// Sends a request; `path` is in parts, which are escaped.
    ///
    /// # Errors
    /// When there is no node, or it does not answer.
    pub fn ask(&self, verb: &str, path: &[&str], body: Option<&Value>) -> Result<Answer, Unreachable> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(verb, &joined(path), None, body.into())
    }

    /// Reads with a query.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn look(&self, path: &[&str], query: &[(&str, String)]) -> Result<Answer, Unreachable> {
        let query: Vec<_> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", escaped(value)))
            .collect();
        let path = format!("{}?{}", joined(path), query.join("&"));
        self.send("GET", &path, None, Bytes::new())
    }

    /// Sends a body as it is.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn post(&self, path: &[&str], body: Vec<u8>) -> Result<Answer, Unreachable> {
        self.send("POST", &joined(path), None, body.into())
    }

    /// Asks who a user is, with the user's password.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn log_in(&self, user: &str, password: &str) -> Result<Answer, Unreachable> {
        let credentials = (AUTHORIZATION, basic(user, password));
        self.send("GET", "whoami", Some(credentials), Bytes::new())
    }

    /// Deletes and says why.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn delete_because(&self, path: &[&str], reason: &str) -> Result<Answer, Unreachable> {
        // A header is one line.
        let reason = reason.replace(char::is_control, " ");
        let reason = (HeaderName::from_static("x-reason"), reason);
        self.send("DELETE", &joined(path), Some(reason), Bytes::new())
    }

    /// Deletes on conditions, which are a query.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn delete_if(&self, path: &[&str], conditions: &str) -> Result<Answer, Unreachable> {
        let path = format!("{}?{conditions}", joined(path));
        self.send("DELETE", &path, None, Bytes::new())
    }

    fn send(
        &self,
        verb: &str,
        path: &str,
        header: Option<(HeaderName, String)>,
        body: Bytes,
    ) -> Result<Answer, Unreachable> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let late = |_| Unreachable::Late(self.patience);
        runtime.block_on(async {
            let answer = self.exchange(verb, path, header, body);
            timeout(self.patience, answer).await.map_err(late)?
        })
    }

    async fn exchange(
        &self,
        verb: &str,
        path: &str,
        header: Option<(HeaderName, String)>,
        body: Bytes,
    ) -> Result<Answer, Unreachable> {
        let mut request = Request::builder()
            .method(verb)
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        if let Some((name, value)) = &header {
            request = request.header(name, value);
        }
        match &self.place {
            Place::Here(path_of_socket) => {
                let socket = UnixStream::connect(path_of_socket).await;
                let socket = socket.map_err(|error| Unreachable::Connect {
                    socket: path_of_socket.clone(),
                    error,
                })?;
                let request = request.header(HOST, "localhost").uri(format!("/api/{path}"));
                talk(socket, request.body(Full::new(body))?).await
            }
            Place::There(remote) => {
                let path = format!("{}/api/{path}", remote.prefix);
                if header.is_none_or(|(name, _)| name != AUTHORIZATION) {
                    request = request.header(AUTHORIZATION, remote.authorization(verb, &path));
                }
                let request = request.header(HOST, remote.address()).uri(path);
                talk(remote.connect().await?, request.body(Full::new(body))?).await
            }
        }
    }
}

/// One request on a connection of its own.
async fn talk(stream: impl Line, request: Request<Full<Bytes>>) -> Result<Answer, Unreachable> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = pin!(async {
        let response: Response<_> = sender.send_request(request).await?;
        let silent = response.headers().get("x-silent-nodes");
        let silent = silent.and_then(|nodes| nodes.to_str().ok()).map(str::to_owned);
        Ok(Answer {
            status: response.status().as_u16(),
            silent,
            body: response.into_body().collect().await?.to_bytes(),
        })
    });
    match select(answer, pin!(connection)).await {
        Either::Left((answer, _)) => answer,
        // What it read before it ended may be all there is to come.
        Either::Right((ended, answer)) => {
            ended?;
            answer.await
        }
    }
}

impl Answer {
    /// The JSON of an answer that says yes; null when it has none.
    ///
    /// # Errors
    /// In the node's words.
    pub fn accepted(&self) -> Result<Value, Failed> {
        match self.status {
            200..300 => Ok(self.json()),
            _ => Err(Failed::told(exit::UNAVAILABLE, self.reason())),
        }
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Why the node refused.
    pub fn reason(&self) -> String {
        match &self.json()["reason"] {
            Value::String(reason) => reason.clone(),
            Value::Null => format!("the node answered with status {}", self.status),
            other => other.to_string(),
        }
    }
}

fn joined(path: &[&str]) -> String {
    let path: Vec<_> = path.iter().map(|part| escaped(part)).collect();
    path.join("/")
}

/// A part of a path; all but plain letters is escaped.
fn escaped(part: &str) -> String {
    let mut out = String::with_capacity(part.len());
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_path_are_escaped() {
        assert_eq!(escaped("/"), "%2F");
        assert_eq!(escaped("a b?ä"), "a%20b%3F%C3%A4");
    }

    #[test]
    fn an_answer_is_accepted_by_its_status() {
        let answer = |status, body: &'static str| Answer {
            status,
            body: Bytes::from_static(body.as_bytes()),
            silent: None,
        };
        let refused = answer(404, r#"{"reason":"why"}"#);
        assert_eq!(refused.reason(), "why");
        assert!(refused.accepted().is_err());
        assert_eq!(answer(204, "").accepted(), Ok(Value::Null));
        assert_eq!(answer(500, "no JSON").reason(), "the node answered with status 500");
    }
}
