//! TLS towards servers: backends of logins, other nodes that are asked over HTTP, brokers under load.

use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{self, WebPkiSupportedAlgorithms};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::ClientTls;
use crate::pem::{PemError, PemFile};

/// Why TLS towards a server cannot be spoken as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] PemError),
    #[error("{0}.certfile and {0}.keyfile are only of use together")]
    Half(String),
    #[error("{0}: {1}")]
    Other(String, rustls::Error),
}

/// TLS as the keys below `prefix` say.
///
/// # Errors
/// When a file cannot be read or does not hold what it must.
pub fn client(prefix: &str, config: &ClientTls) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    match &config.cacertfile {
        Some(path) => roots = PemFile::read(&format!("{prefix}.cacertfile"), path)?.authorities()?.0,
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Other(prefix.to_owned(), error))?;
    let builder = match config.no_verify {
        true => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(algorithms))),
        false => builder.with_root_certificates(roots),
    };
    let client = match (&config.certfile, &config.keyfile) {
        (Some(certificate), Some(key)) => {
            let chain = PemFile::read(&format!("{prefix}.certfile"), certificate)?.certificates()?;
            let key = PemFile::read(&format!("{prefix}.keyfile"), key)?.private_key(config.password.as_ref())?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError::Other(prefix.to_owned(), error))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => return Err(TlsError::Half(prefix.to_owned())),
    };
    Ok(Arc::new(client))
}

/// Takes any certificate, where `verify_none` asks for that.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
