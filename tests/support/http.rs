//! A small client for the HTTP API: one request on one connection.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::PATIENCE;

/// The HTTP API of a broker, as one user.
pub struct Http {
    address: String,
    authorization: Option<String>,
    patience: Duration,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Http {
    /// As guest.
    pub fn new(address: &str) -> Self {
        Self::as_user(address, "guest", "guest")
    }

    /// As somebody else.
    pub fn as_user(address: &str, user: &str, password: &str) -> Self {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        Self {
            address: address.to_owned(),
            authorization: Some(format!("Basic {credentials}")),
            patience: PATIENCE,
        }
    }

    /// As nobody.
    pub fn anonymous(address: &str) -> Self {
        Self {
            authorization: None,
            ..Self::new(address)
        }
    }

    /// Where it is: host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// For what may take longer.
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "")
    }

    pub fn put(&self, path: &str, body: &str) -> Answer {
        self.call("PUT", path, body)
    }

    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.call("POST", path, body)
    }

    pub fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, "")
    }

    /// Closes connections and says why.
    pub fn close(&self, path: &str, reason: &str) -> Answer {
        let headers = format!("X-Reason: {reason}\r\nContent-Type: {JSON}\r\n");
        self.send("DELETE", path, &headers, "").expect("an answer")
    }

    /// Posts a form with these parts, as a browser uploads it.
    pub fn post_form(&self, path: &str, parts: &[(&str, &str)]) -> Answer {
        let part = |(name, text): &(&str, &str)| {
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n{text}\r\n")
        };
        let body = parts.iter().map(part).collect::<String>() + "--XX--\r\n";
        let kind = "Content-Type: multipart/form-data; boundary=XX\r\n";
        match self.send("POST", path, kind, &body) {
            Ok(answer) => answer,
            Err(error) => panic!("POST {path}: {error}"),
        }
    }

    /// Sends a request and reads the whole answer.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        match self.try_call(method, path, body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// The same with header lines of one's own, each with its end; of JSON unless they say otherwise.
    pub fn call_with(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let kind = match headers.contains("Content-Type") {
            true => String::new(),
            false => format!("Content-Type: {JSON}\r\n"),
        };
        match self.send(method, path, &format!("{headers}{kind}"), body) {
            Ok(answer) => answer,
            Err(error) => panic!("{method} {path}: {error}"),
        }
    }

    /// The same for a caller that may be met by a closed port.
    pub fn try_call(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.send(method, path, &format!("Content-Type: {JSON}\r\n"), body)
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> io::Result<Answer> {
        let mut socket = TcpStream::connect(&self.address)?;
        socket.set_read_timeout(Some(self.patience))?;
        // HTTP/1.0: the answer ends where the connection does, and is never in chunks.
        let authorization = self.authorization.as_ref();
        let authorization = authorization.map_or(String::new(), |one| format!("Authorization: {one}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\n{authorization}{headers}Content-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        socket.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an HTTP answer"))
    }
}

const JSON: &str = "application/json";

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub fn expect_status(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    Some(Answer {
        status,
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
        body: body.to_owned(),
    })
}
