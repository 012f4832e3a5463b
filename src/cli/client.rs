//! The HTTP API of the node on this machine, through the socket in its data directory.
//!
//! One request on one connection, in HTTP/1.0: the answer ends where the connection does.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use thiserror::Error;

use super::command::{Failed, exit};

/// Time a node may take to answer when the call does not say.
const PATIENCE: Duration = Duration::from_secs(300);

/// Where the node is asked.
#[derive(Clone)]
pub struct Client {
    pub socket: PathBuf,
    /// Longest wait for any byte of an answer.
    pub patience: Duration,
}

/// Why the node cannot be asked.
#[derive(Debug, Error)]
pub enum Unreachable {
    #[error("No node answers at {}: {error}. Is it running, and is this its data directory (--data-dir)?", socket.display())]
    Connect { socket: PathBuf, error: io::Error },
    #[error("The connection to the node failed: {0}")]
    Broken(#[from] io::Error),
    #[error("What the node answered is not HTTP")]
    NotHttp,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    /// Nodes that did not answer, where they have a part in it.
    pub silent: Option<String>,
}

impl Client {
    /// A client of the node that serves this socket.
    pub fn new(socket: PathBuf, patience: Option<Duration>) -> Self {
        Self {
            socket,
            patience: patience.filter(|patience| !patience.is_zero()).unwrap_or(PATIENCE),
        }
    }

    /// Whether a node listens.
    pub fn is_there(&self) -> bool {
        UnixStream::connect(&self.socket).is_ok()
    }

    /// Sends a request as the operator; `path` is in parts, which are escaped.
    ///
    /// # Errors
    /// When there is no node, or it does not answer.
    pub fn ask(&self, verb: &str, path: &[&str], body: Option<&Value>) -> Result<Answer, Unreachable> {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(verb, &joined(path), "", body.as_bytes())
    }

    /// Sends a body as it is.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn post(&self, path: &[&str], body: &[u8]) -> Result<Answer, Unreachable> {
        self.send("POST", &joined(path), "", body)
    }

    /// Asks who a user is, with the user's password.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn log_in(&self, user: &str, password: &str) -> Result<Answer, Unreachable> {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        let header = format!("Authorization: Basic {credentials}\r\n");
        self.send("GET", "whoami", &header, b"")
    }

    /// Deletes and says why.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn delete_because(&self, path: &[&str], reason: &str) -> Result<Answer, Unreachable> {
        // A header is one line.
        let reason = reason.replace(char::is_control, " ");
        self.send("DELETE", &joined(path), &format!("X-Reason: {reason}\r\n"), b"")
    }

    /// Deletes on conditions, which are a query.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn delete_if(&self, path: &[&str], conditions: &str) -> Result<Answer, Unreachable> {
        self.send("DELETE", &format!("{}?{conditions}", joined(path)), "", b"")
    }

    fn send(&self, verb: &str, path: &str, header: &str, body: &[u8]) -> Result<Answer, Unreachable> {
        let mut socket = UnixStream::connect(&self.socket).map_err(|error| Unreachable::Connect {
            socket: self.socket.clone(),
            error,
        })?;
        socket.set_read_timeout(Some(self.patience))?;
        socket.set_write_timeout(Some(self.patience))?;
        let head = format!(
            "{verb} /api/{path} HTTP/1.0\r\nHost: localhost\r\n{header}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes())?;
        socket.write_all(body)?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        parse(&bytes).ok_or(Unreachable::NotHttp)
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

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let silent = fields.find(|(name, _)| name.eq_ignore_ascii_case("x-silent-nodes"));
    Some(Answer {
        status,
        silent: silent.map(|(_, nodes)| nodes.to_owned()),
        body: bytes[end + 4..].to_vec(),
    })
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
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
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
    fn an_answer_has_a_status_and_a_body() {
        let answer = parse(b"HTTP/1.0 404 Not Found\r\na: b\r\n\r\n{\"reason\":\"why\"}").expect("an answer");
        assert_eq!((answer.status, answer.reason().as_str()), (404, "why"));
        assert!(answer.accepted().is_err());
        assert!(parse(b"AMQP").is_none());
        assert!(parse(b"HTTP/1.1 x\r\n\r\n").is_none());
    }
}
