//! A web server of a few lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};

use super::authority::Papers;

/// A request: its path, and the fields of its query and form, decoded.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub path: String,
    pub fields: Vec<(String, String)>,
    /// In lower case, as they came.
    pub headers: String,
    pub body: String,
}

impl Request {
    pub fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }
}

/// Runs until it is dropped.
pub struct Server {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    scheme: &'static str,
}

trait Socket: Read + Write {}

impl<S: Read + Write> Socket for S {}

impl Server {
    /// Answers with a status and a body.
    pub fn start(answer: impl Fn(&Request) -> (u16, String) + Send + 'static) -> Self {
        Self::start_over("http", |socket| Box::new(socket), answer)
    }

    /// The same over TLS, with that certificate.
    pub fn start_tls(papers: &Papers, answer: impl Fn(&Request) -> (u16, String) + Send + 'static) -> Self {
        let certificate = CertificateDer::from_pem_file(&papers.certfile).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(&papers.keyfile).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a pair");
        let config = Arc::new(config);
        let over_tls = move |socket| -> Box<dyn Socket> {
            let session = ServerConnection::new(config.clone()).expect("a session");
            Box::new(StreamOwned::new(session, socket))
        };
        Self::start_over("https", over_tls, answer)
    }

    fn start_over(
        scheme: &'static str,
        wrap: impl Fn(TcpStream) -> Box<dyn Socket> + Send + 'static,
        answer: impl Fn(&Request) -> (u16, String) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let (requests, is_over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (heard, over) = (requests.clone(), is_over.clone());
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if over.load(Ordering::Acquire) {
                    return;
                }
                let mut socket = wrap(socket.expect("a connection"));
                let Some(request) = read(&mut *socket) else {
                    continue;
                };
                heard.lock().expect("not poisoned").push(request.clone());
                let (status, body) = answer(&request);
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                // Whoever asked may be gone.
                let _ = socket.write_all((head + &body).as_bytes());
            }
        });
        Self {
            address,
            requests,
            is_over,
            thread: Some(thread),
            scheme,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.address)
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("not poisoned").clone()
    }

    /// How often something was asked at a path.
    pub fn count(&self, path: &str) -> usize {
        self.requests().iter().filter(|request| request.path == path).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(socket: &mut dyn Socket) -> Option<Request> {
    let mut reader = BufReader::new(socket);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let target = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut headers) = (0, String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim().to_lowercase();
        headers += &format!("{header}\n");
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let body = String::from_utf8(body).ok()?;
    let pairs = query
        .split('&')
        .chain(body.split('&'))
        .filter_map(|pair| pair.split_once('='));
    Some(Request {
        path: path.to_owned(),
        fields: match headers.contains("content-type: application/json") {
            true => Vec::new(),
            false => pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect(),
        },
        headers,
        body: body.clone(),
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let code = [bytes.next().expect("a digit"), bytes.next().expect("a digit")];
                let code = std::str::from_utf8(&code).expect("digits");
                out.push(u8::from_str_radix(code, 16).expect("a number"));
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).expect("a text")
}
