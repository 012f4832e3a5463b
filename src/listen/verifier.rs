//! The check of clients' certificates: that of the library, and how long a chain may be.

use std::sync::Arc;

use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::HandshakeSignatureValid,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A client's chain is longer than `ssl_options.depth` allows.
#[derive(Debug, thiserror::Error)]
#[error(
    "its chain has {found} certificates between its own and that of an authority, and the configured depth is {depth}"
)]
pub struct TooDeep {
    found: usize,
    depth: usize,
}

/// Checks as `within` does, and that no more than `depth` certificates stand between the client's and that
/// of an authority.
#[derive(Debug)]
pub struct Depth {
    within: Arc<dyn ClientCertVerifier>,
    depth: usize,
}

impl Depth {
    pub fn of(within: Arc<dyn ClientCertVerifier>, depth: u8) -> Self {
        let depth = usize::from(depth);
        Self { within, depth }
    }

    /// How many of the intermediate certificates lead from the client's to an authority's.
    fn steps(&self, own: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> usize {
        let authorities = self.within.root_hint_subjects();
        let mut current = own;
        let mut steps = 0;
        while let Ok((_, certificate)) = X509Certificate::from_der(current) {
            let issuer = certificate.issuer().as_raw();
            if authorities.iter().any(|name| name.as_ref() == issuer) {
                break;
            }
            let next = intermediates.iter().find(|next| {
                let next = X509Certificate::from_der(next);
                next.is_ok_and(|(_, next)| next.subject().as_raw() == issuer)
            });
            match next {
                // A chain that leads back to itself ends.
                Some(next) if steps < intermediates.len() => {
                    steps += 1;
                    current = next;
                }
                _ => break,
            }
        }
        steps
    }
}

impl ClientCertVerifier for Depth {
    fn offer_client_auth(&self) -> bool {
        self.within.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.within.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.within.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.within.verify_client_cert(own, intermediates, now)?;
        let found = self.steps(own, intermediates);
        if found > self.depth {
            let depth = self.depth;
            let error = OtherError(Arc::new(TooDeep { found, depth }));
            return Err(Error::InvalidCertificate(CertificateError::Other(error)));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.within.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.within.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.within.supported_verify_schemes()
    }
}
