//! TLS between nodes: who may open a connection at all, and that nobody else reads it.
//!
//! Both sides show the certificate of their node, and each checks that the other's leads to an
//! authority of `cluster.tls.cacertfile`. For which name it was made is not looked at: who a node is
//! stands in its data directory, and [`super::handshake`], which goes on inside, says it. TLS 1.3
//! only, and nothing is resumed, so that every connection is checked.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, VerifierBuilderError, verify_server_cert_signed_by_trust_anchor};
use tokio_rustls::rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    self, AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, InconsistentKeys, InvalidMessage,
    RootCertStore, ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::hello;
use crate::config::LinkTls;
use crate::pem::{Certificate, PemError, PemFile};

/// How long the other side has to read why it is refused.
const FAREWELL: Duration = Duration::from_millis(500);

/// How this node speaks TLS with others. Clones share it.
#[derive(Clone)]
pub struct Tls {
    files: LinkTls,
    now: Arc<ArcSwap<Papers>>,
}

/// What the files held when they were read last. It does not show its key.
struct Papers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    /// Those whose end can be read.
    certificates: Vec<Certificate>,
}

/// Why TLS cannot be spoken as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(
        "{0} is not set: TLS between nodes needs cluster.tls.cacertfile, cluster.tls.certfile and cluster.tls.keyfile"
    )]
    Incomplete(&'static str),
    #[error(transparent)]
    File(#[from] PemError),
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificate in {} cannot be used: {error}; one of X.509 version 3 is needed", path.display())]
    Certificate { path: PathBuf, error: CertificateError },
    #[error("cluster.tls.certfile and cluster.tls.keyfile cannot be used: {0}")]
    Pair(rustls::Error),
}

/// Why two nodes do not speak TLS with each other.
#[derive(Debug, thiserror::Error)]
pub(super) enum TlsFailure {
    #[error("the other side speaks plain text and this node requires TLS: set cluster.tls.* on both or on neither")]
    Plain,
    #[error("the certificate of the other side is of no authority in cluster.tls.cacertfile of this node")]
    UnknownAuthority,
    #[error("the certificate of the other side is refused: {0}")]
    Refused(CertificateError),
    #[error(
        "the other side refuses the certificate of this node, which is of no authority in its cluster.tls.cacertfile"
    )]
    UnknownThere,
    #[error("the other side refuses the certificate of this node: {0:?}")]
    RefusedThere(AlertDescription),
    #[error("TLS with the other side failed: {0}")]
    Other(rustls::Error),
}

/// What a connection runs over: a plain socket, or TLS on top of one.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    type Read: AsyncRead + Send + Unpin + 'static;
    type Write: AsyncWrite + Send + Unpin + 'static;

    /// Both directions, each for a task of its own.
    fn halves(self) -> (Self::Read, Self::Write);
}

impl Wire for TcpStream {
    type Read = OwnedReadHalf;
    type Write = OwnedWriteHalf;

    fn halves(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        self.into_split()
    }
}

impl Wire for TlsStream<TcpStream> {
    type Read = ReadHalf<Self>;
    type Write = WriteHalf<Self>;

    fn halves(self) -> (ReadHalf<Self>, WriteHalf<Self>) {
        tokio::io::split(self)
    }
}

/// A connection that was accepted: whoever dialled does not always speak TLS.
pub(super) enum Accepted {
    Tls(Box<TlsStream<TcpStream>>),
    /// A node that introduces itself in plain text.
    Plain(TcpStream),
}

impl Tls {
    /// TLS as configured; `None` is plain text.
    ///
    /// # Errors
    /// When only a part of it is configured, or a file cannot be read or does not hold what it must.
    pub fn of(config: &LinkTls) -> Result<Option<Self>, TlsError> {
        if *config == LinkTls::default() {
            return Ok(None);
        }
        let papers = Papers::of(config)?;
        Ok(Some(Self {
            files: config.clone(),
            now: Arc::new(ArcSwap::from_pointee(papers)),
        }))
    }

    /// Reads the files again, for the connections to come.
    ///
    /// # Errors
    /// As at first; what was read before goes on to be used then.
    pub fn read_again(&self) -> Result<(), TlsError> {
        self.now.store(Arc::new(Papers::of(&self.files)?));
        Ok(())
    }

    /// The certificates in use; those whose end cannot be read are left out.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.now.load().certificates.clone()
    }

    /// As the one who was dialled.
    ///
    /// # Errors
    /// When the other side cannot be trusted or understood; it was told as far as it listens.
    pub(super) async fn accept(&self, socket: TcpStream) -> io::Result<Accepted> {
        let mut first = [0];
        if socket.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if hello::may_begin_with(first[0]) {
            return Ok(Accepted::Plain(socket));
        }
        let acceptor = TlsAcceptor::from(self.now.load().server.clone());
        match acceptor.accept(socket).into_fallible().await {
            Ok(stream) => Ok(Accepted::Tls(Box::new(stream.into()))),
            Err((error, socket)) => Err(part(socket, error).await),
        }
    }

    /// As the one who dialled.
    ///
    /// # Errors
    /// When the other side cannot be trusted or understood; it was told as far as it listens.
    pub(super) async fn connect(&self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        // Neither sent nor compared with anything.
        let name = ServerName::try_from("warren").expect("a name as DNS has them");
        let connector = TlsConnector::from(self.now.load().client.clone());
        match connector.connect(name, socket).into_fallible().await {
            Ok(stream) => Ok(stream.into()),
            Err((error, socket)) => Err(part(socket, error).await),
        }
    }
}

impl Papers {
    fn of(config: &LinkTls) -> Result<Self, TlsError> {
        let authorities = file("cluster.tls.cacertfile", &config.cacertfile)?;
        let certificate = file("cluster.tls.certfile", &config.certfile)?;
        let key = file("cluster.tls.keyfile", &config.keyfile)?;
        Self::read(&authorities, &certificate, &key)
    }

    fn read(authorities: &PemFile<'_>, certificate: &PemFile<'_>, key: &PemFile<'_>) -> Result<Self, TlsError> {
        let (roots, trusted) = authorities.authorities()?;
        let chain = certificate.certificates()?;
        let certificates = trusted.into_iter().chain(certificate.in_use(&chain)).collect();
        let roots = Arc::new(roots);
        let secret = key.private_key(None)?;
        let not_a_pair = |error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
                certificate: certificate.path.to_owned(),
                key: key.path.to_owned(),
            },
            rustls::Error::InvalidCertificate(error) => TlsError::Certificate {
                path: certificate.path.to_owned(),
                error,
            },
            error => TlsError::Pair(error),
        };
        // Named, so that it does not matter what else of this process has a provider.
        let provider = Arc::new(crypto::ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain.clone(), secret.clone_key())
            .map_err(not_a_pair)?;
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(TlsError::Pair)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyName::of(roots, &provider)))
            .with_client_auth_cert(chain, secret)
            .map_err(not_a_pair)?;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
            certificates,
        })
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl TlsFailure {
    /// What TLS had against a connection; `None` when it was not TLS that ended it.
    pub fn of(error: &io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match error {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plain,
            // The signature is the wrong one when two authorities have the same name.
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
                Self::UnknownAuthority
            }
            rustls::Error::InvalidCertificate(error) => Self::Refused(error.clone()),
            rustls::Error::AlertReceived(AlertDescription::UnknownCA | AlertDescription::DecryptError) => {
                Self::UnknownThere
            }
            rustls::Error::AlertReceived(alert) => Self::RefusedThere(*alert),
            error => Self::Other(error.clone()),
        })
    }
}

/// Lets the other side read why it is refused: a socket that is closed with bytes unread is reset,
/// and what was sent last may be lost with it.
async fn part(mut socket: TcpStream, error: io::Error) -> io::Error {
    // It may be gone already.
    let _ = socket.shutdown().await;
    let _ = tokio::time::timeout(FAREWELL, tokio::io::copy(&mut socket, &mut tokio::io::sink())).await;
    error
}

/// The file of a key of the configuration.
fn file<'a>(key: &'static str, path: &'a Option<PathBuf>) -> Result<PemFile<'a>, TlsError> {
    let path: &Path = path.as_deref().ok_or(TlsError::Incomplete(key))?;
    Ok(PemFile::read(key, path)?)
}

/// Checks everything about the certificate of a node that was dialled but for which name it was
/// made.
#[derive(Debug)]
struct AnyName {
    authorities: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyName {
    fn of(authorities: Arc<RootCertStore>, provider: &CryptoProvider) -> Self {
        Self {
            authorities,
            algorithms: provider.signature_verification_algorithms,
        }
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&certificate, &self.authorities, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
