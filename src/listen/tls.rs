//! TLS with clients: what the files of the configuration hold, checked at the start and read again when they
//! change, and the handshake.
//!
//! A connection keeps what it began with; what is read later is for those that come later. What cannot be used
//! stays outside: the node does not start with it, and one that runs goes on with what it had.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::{self, CryptoProvider};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, InconsistentKeys, InvalidMessage, PeerIncompatible, ServerConfig,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use tokio_rustls::server::TlsStream;

use super::verifier::Depth;
use crate::config::{self, Cipher, TlsVersion};
use crate::pem::{Certificate, PemError, PemFile};

/// How long a client has to read why it is refused.
const FAREWELL: Duration = Duration::from_millis(500);

/// How TLS is spoken on one kind of listener. Clones share it.
#[derive(Clone)]
pub struct Tls {
    /// What the keys of the configuration begin with: `ssl_options`.
    prefix: &'static str,
    options: Arc<config::Tls>,
    now: Arc<ArcSwap<Loaded>>,
}

/// What the files held when they were read last. It does not show its key.
struct Loaded {
    server: Arc<ServerConfig>,
    certificates: Vec<Certificate>,
    stamp: Stamp,
}

/// When files were changed last, and how large they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Stamp(Vec<Option<(SystemTime, u64)>>);

/// Why TLS cannot be spoken as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{prefix}.{leaf} is not set, and {why}")]
    Incomplete {
        prefix: &'static str,
        leaf: &'static str,
        why: &'static str,
    },
    #[error(
        "{0}.fail_if_no_peer_cert = true asks for {0}.verify = verify_peer: without it no client is asked for a \
         certificate"
    )]
    NotAsked(&'static str),
    #[error("{0}.ciphers: none of them is spoken, or none with a version that is offered")]
    NoCipher(&'static str),
    #[error(transparent)]
    File(#[from] PemError),
    #[error("{0}.cacertfile: {1}")]
    Verifier(&'static str, VerifierBuilderError),
    #[error(
        "{prefix}.keyfile: the key in {} does not belong to the first certificate in {}",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        prefix: &'static str,
        certificate: PathBuf,
        key: PathBuf,
    },
    #[error(
        "{prefix}.certfile: the certificate in {} cannot be used: {error}; one of X.509 version 3 is needed",
        path.display()
    )]
    Certificate {
        prefix: &'static str,
        path: PathBuf,
        error: CertificateError,
    },
    #[error("{prefix}.certfile and {prefix}.keyfile cannot be used: {error}")]
    Pair { prefix: &'static str, error: rustls::Error },
}

/// Why a client and this node do not speak TLS with each other.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("the client has gone before it said anything")]
    Nothing,
    #[error("it was not done within {} ms", .0.as_millis())]
    Late(Duration),
    #[error("the client went away before it was done; some do so when they refuse a certificate")]
    Left,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error("the client does not speak TLS")]
    Plain,
    #[error("the client's certificate is of no authority in {0}.cacertfile")]
    UnknownAuthority(&'static str),
    #[error("the client's certificate has expired, or is not valid yet")]
    Expired,
    #[error("the client shows no certificate, and {0}.fail_if_no_peer_cert is set")]
    NoCertificate(&'static str),
    #[error("the client's certificate is refused: {0}")]
    Refused(CertificateError),
    #[error("the client refuses this node's certificate: {0:?}")]
    RefusedThere(AlertDescription),
    #[error("the client speaks no version of TLS that is offered: {0:?}")]
    Version(PeerIncompatible),
    #[error("the client and this node have nothing in common: {0:?}")]
    Incompatible(PeerIncompatible),
    #[error("{0}")]
    Other(rustls::Error),
}

impl Tls {
    /// TLS as configured by the keys that begin with `prefix`.
    ///
    /// # Errors
    /// When something is missing, or a file cannot be read or does not hold what it must.
    pub fn of(prefix: &'static str, options: &config::Tls) -> Result<Self, TlsError> {
        let loaded = Loaded::of(prefix, options)?;
        Ok(Self {
            prefix,
            options: Arc::new(options.clone()),
            now: Arc::new(ArcSwap::from_pointee(loaded)),
        })
    }

    /// What the keys of the configuration begin with.
    pub fn prefix(&self) -> &'static str {
        self.prefix
    }

    /// Reads the files again, for the connections to come.
    ///
    /// # Errors
    /// As at first; what was read before goes on to be used then.
    pub fn read_again(&self) -> Result<(), TlsError> {
        self.now.store(Arc::new(Loaded::of(self.prefix, &self.options)?));
        Ok(())
    }

    /// How the files are now, where that is not how they were when they were read.
    pub fn changed(&self) -> Option<Stamp> {
        let stamp = Stamp::of(&self.options);
        (stamp != self.now.load().stamp).then_some(stamp)
    }

    /// The certificates in use; those whose end cannot be read are left out.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.now.load().certificates.clone()
    }

    /// Shakes hands with a client in at most so much time.
    pub(super) async fn accept(
        &self,
        socket: TcpStream,
        patience: Duration,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let acceptor = TlsAcceptor::from(self.now.load().server.clone());
        let shaken = async {
            match socket.peek(&mut [0]).await {
                Ok(0) => Err(HandshakeError::Nothing),
                Ok(_) => Ok(acceptor.accept(socket).into_fallible().await),
                Err(error) => Err(HandshakeError::Broken(error)),
            }
        };
        let shaken = tokio::time::timeout(patience, shaken).await;
        match shaken.unwrap_or(Err(HandshakeError::Late(patience)))? {
            Ok(stream) => Ok(stream),
            Err((error, mut socket)) => {
                // A socket that is closed with bytes unread is reset, and the client does not read why.
                let _ = socket.shutdown().await;
                let _ = tokio::time::timeout(FAREWELL, tokio::io::copy(&mut socket, &mut tokio::io::sink())).await;
                Err(HandshakeError::of(self.prefix, error))
            }
        }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.prefix)
    }
}

impl Stamp {
    fn of(options: &config::Tls) -> Self {
        let files = [&options.cacertfile, &options.certfile, &options.keyfile];
        let hosts = options.sni_hosts.values();
        let hosts = hosts.flat_map(|host| [&host.certfile, &host.keyfile]);
        let files = files.into_iter().chain(hosts).map(|file| {
            let found = std::fs::metadata(file.as_ref()?).ok()?;
            Some((found.modified().ok()?, found.len()))
        });
        Self(files.collect())
    }
}

impl Loaded {
    fn of(prefix: &'static str, options: &config::Tls) -> Result<Self, TlsError> {
        // Before the files are read: a change meanwhile is found again.
        let stamp = Stamp::of(options);
        let keys = Keys::under(prefix);
        let needed = "TLS needs a certificate and its key";
        let certificate = keys.file(&keys.certfile, "certfile", &options.certfile, needed)?;
        let key = keys.file(&keys.keyfile, "keyfile", &options.keyfile, needed)?;
        let mut certificates = Vec::new();
        let provider = Arc::new(provider(prefix, options)?);
        let mut certified = |certificate: &PemFile<'_>, key: &PemFile<'_>| {
            let chain = certificate.certificates()?;
            let secret = key.private_key(options.password.as_ref())?;
            certificates.extend(certificate.in_use(&chain));
            let pair = CertifiedKey::from_der(chain, secret, &provider);
            pair.map(Arc::new)
                .map_err(|error| bad_pair(prefix, certificate, key, error))
        };
        let default = certified(&certificate, &key)?;
        let mut by_name = HashMap::new();
        for (host, files) in &options.sni_hosts {
            let (certfile, keyfile) = (keys.of_host(host, "certfile"), keys.of_host(host, "keyfile"));
            let needed = "a name needs a certificate and its key";
            let certificate = keys.file(&certfile, "sni_hosts.*.certfile", &files.certfile, needed)?;
            let key = keys.file(&keyfile, "sni_hosts.*.keyfile", &files.keyfile, needed)?;
            by_name.insert(host.clone(), certified(&certificate, &key)?);
        }
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let pair = |error| TlsError::Pair { prefix, error };
        let builder = builder
            .with_protocol_versions(&versions(options))
            .map_err(|error| match error {
                // There are versions; ciphers for them there are not.
                rustls::Error::General(_) => TlsError::NoCipher(prefix),
                error => pair(error),
            })?;
        if options.fail_if_no_peer_cert && !options.verify_peer {
            return Err(TlsError::NotAsked(prefix));
        }
        let builder = match options.verify_peer {
            false => builder.with_no_client_auth(),
            true => {
                let why = "verify_peer checks clients' certificates with it";
                let authorities = keys.file(&keys.cacertfile, "cacertfile", &options.cacertfile, why)?;
                let (roots, in_use) = authorities.authorities()?;
                certificates.extend(in_use);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match options.fail_if_no_peer_cert {
                    true => verifier,
                    false => verifier.allow_unauthenticated(),
                };
                let verifier = verifier.build().map_err(|error| TlsError::Verifier(prefix, error))?;
                match options.depth {
                    Some(depth) => builder.with_client_cert_verifier(Arc::new(Depth::of(verifier, depth))),
                    None => builder.with_client_cert_verifier(verifier),
                }
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(ByName { default, by_name }));
        server.ignore_client_order = options.honor_cipher_order;
        Ok(Self {
            server: Arc::new(server),
            certificates,
            stamp,
        })
    }
}

/// What is wrong with a certificate and its key.
fn bad_pair(prefix: &'static str, certificate: &PemFile<'_>, key: &PemFile<'_>, error: rustls::Error) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            prefix,
            certificate: certificate.path.to_owned(),
            key: key.path.to_owned(),
        },
        rustls::Error::InvalidCertificate(error) => TlsError::Certificate {
            prefix,
            path: certificate.path.to_owned(),
            error,
        },
        error => TlsError::Pair { prefix, error },
    }
}

/// Certificates by the name that a client asks for.
#[derive(Debug)]
struct ByName {
    /// For those who ask for none, or for one that is not there.
    default: Arc<CertifiedKey>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.of(hello.server_name()).clone())
    }
}

impl ByName {
    fn of(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let found = name.filter(|_| !self.by_name.is_empty()).and_then(|name| {
            let name = name.to_lowercase();
            let any_first_word = || Some(format!("*.{}", name.split_once('.')?.1));
            self.by_name.get(&name).or_else(|| self.by_name.get(&any_first_word()?))
        });
        found.unwrap_or(&self.default)
    }
}

/// The names of the keys that name files.
struct Keys {
    prefix: &'static str,
    cacertfile: String,
    certfile: String,
    keyfile: String,
}

impl Keys {
    fn under(prefix: &'static str) -> Self {
        Self {
            prefix,
            cacertfile: format!("{prefix}.cacertfile"),
            certfile: format!("{prefix}.certfile"),
            keyfile: format!("{prefix}.keyfile"),
        }
    }

    /// The key of a file for a name.
    fn of_host(&self, host: &str, leaf: &str) -> String {
        format!("{}.sni_hosts.{}.{leaf}", self.prefix, host.replace('.', "\\."))
    }

    fn file<'a>(
        &self,
        key: &'a str,
        leaf: &'static str,
        path: &'a Option<PathBuf>,
        why: &'static str,
    ) -> Result<PemFile<'a>, TlsError> {
        let path: &Path = path.as_deref().ok_or(TlsError::Incomplete {
            prefix: self.prefix,
            leaf,
            why,
        })?;
        Ok(PemFile::read(key, path)?)
    }
}

/// What is encrypted with: all that is known, or what is configured in its order.
fn provider(prefix: &'static str, options: &config::Tls) -> Result<CryptoProvider, TlsError> {
    // Named, so that it does not matter what else of this process has a provider.
    let mut provider = crypto::ring::default_provider();
    if options.ciphers.is_empty() {
        return Ok(provider);
    }
    let spoken = |name: &str| -> Option<SupportedCipherSuite> {
        let mut known = provider.cipher_suites.iter();
        known.find(|suite| suite.suite().as_str() == Some(name)).copied()
    };
    let chosen: Vec<_> = options
        .ciphers
        .values()
        .filter_map(|cipher| match cipher {
            Cipher::Spoken(name) => spoken(name),
            Cipher::Other(_) => None,
        })
        .collect();
    if chosen.is_empty() {
        return Err(TlsError::NoCipher(prefix));
    }
    provider.cipher_suites = chosen;
    Ok(provider)
}

fn versions(options: &config::Tls) -> Vec<&'static SupportedProtocolVersion> {
    let wanted = |version| options.versions.is_empty() || options.versions.values().any(|own| *own == version);
    let all = [(TlsVersion::V1_3, &TLS13), (TlsVersion::V1_2, &TLS12)];
    let chosen = all.into_iter().filter(|(version, _)| wanted(*version));
    chosen.map(|(_, version)| version).collect()
}

impl HandshakeError {
    fn of(prefix: &'static str, error: io::Error) -> Self {
        let Some(reason) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::Left,
                _ => Self::Broken(error),
            };
        };
        match reason {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plain,
            rustls::Error::NoCertificatesPresented => Self::NoCertificate(prefix),
            // The signature is the wrong one when two authorities have the same name.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                Self::UnknownAuthority(prefix)
            }
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            rustls::Error::InvalidCertificate(error) => Self::Refused(error.clone()),
            rustls::Error::AlertReceived(alert) => Self::RefusedThere(*alert),
            rustls::Error::PeerIncompatible(
                reason @ (PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled
                | PeerIncompatible::SupportedVersionsExtensionRequired),
            ) => Self::Version(reason.clone()),
            rustls::Error::PeerIncompatible(reason) => Self::Incompatible(reason.clone()),
            error => Self::Other(error.clone()),
        }
    }
}
