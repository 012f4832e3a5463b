//! Requests to a web server: one connection each, with a deadline, and an answer that is not too long.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// The longest answer, in bytes.
const MOST: usize = 1024 * 1024;

/// How servers are asked.
#[derive(Clone)]
pub struct Web {
    pub tls: Arc<ClientConfig>,
    pub connecting: Duration,
    pub answering: Duration,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Web {
    /// Asks for what is at an address.
    ///
    /// # Errors
    /// Why there is no answer, for the log.
    pub(super) async fn get(&self, url: &str) -> Result<(u16, Bytes), String> {
        self.ask("GET", url, &[], None).await
    }

    /// Sends a form.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub(super) async fn post(&self, url: &str, form: String) -> Result<(u16, Bytes), String> {
        self.ask("POST", url, &[], Some(("application/x-www-form-urlencoded", form)))
            .await
    }

    /// Sends a document in JSON, with these headers.
    ///
    /// # Errors
    /// As [`Web::get`].
    pub async fn post_json(
        &self,
        url: &str,
        headers: &[(String, String)],
        json: String,
    ) -> Result<(u16, Bytes), String> {
        self.ask("POST", url, headers, Some(("application/json", json))).await
    }

    async fn ask(
        &self,
        verb: &str,
        url: &str,
        headers: &[(String, String)],
        body: Option<(&str, String)>,
    ) -> Result<(u16, Bytes), String> {
        let uri: Uri = url.parse().map_err(|_| "the address is none".to_owned())?;
        let authority = uri.authority().ok_or("the address has no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let is_tls = uri.scheme_str() == Some("https");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder()
            .method(verb)
            .uri(path)
            .header(HOST, authority.as_str())
            .header(CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        if let Some((kind, _)) = &body {
            request = request.header(CONTENT_TYPE, *kind);
        }
        let body = body.map(|(_, body)| body).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let place = format!("{host}:{port}");
        let connected = timeout(self.connecting, self.connect(host, port, is_tls)).await;
        let stream = connected
            .map_err(|_| format!("{place} did not take a connection within {:?}", self.connecting))?
            .map_err(|error| format!("no connection to {place}: {error}"))?;
        timeout(self.answering, talk(stream, request))
            .await
            .map_err(|_| format!("{place} did not answer within {:?}", self.answering))?
            .map_err(|error| format!("{place} gave no answer: {error}"))
    }

    async fn connect(&self, host: &str, port: u16, is_tls: bool) -> std::io::Result<Box<dyn Wire>> {
        let socket = TcpStream::connect((host, port)).await?;
        if !is_tls {
            return Ok(Box::new(socket));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        Ok(Box::new(
            TlsConnector::from(self.tls.clone()).connect(name, socket).await?,
        ))
    }
}

/// A socket, with TLS or without.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

async fn talk(
    stream: Box<dyn Wire>,
    request: Request<Full<Bytes>>,
) -> Result<(u16, Bytes), Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = pin!(async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST).collect().await?.to_bytes();
        Ok((status, body))
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

/// Names and values as a form, or as a query.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let each = fields.iter().map(|(name, value)| format!("{name}={}", escaped(value)));
    each.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => out.push(byte.into()),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_escaped() {
        assert_eq!(form(&[("a", "me&x é"), ("vhost", "/")]), "a=me%26x+%C3%A9&vhost=%2F");
    }
}
