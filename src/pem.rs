//! Files of certificates and keys, as TLS between nodes and TLS for clients read them.

use std::io;
use std::path::{Path, PathBuf};

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::SecretDocument;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{self, RootCertStore};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Secret;
use crate::small_file;

/// The largest file of certificates, in bytes.
const MOST_BYTES: u64 = 1024 * 1024;
/// How a key that needs a password begins.
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
/// What a key encrypted in OpenSSL's own way has in its head; there is no standard of it.
const OLD_ENCRYPTED: &str = "Proc-Type: 4,ENCRYPTED";

/// A file that a key of the configuration names, and what it holds.
pub struct PemFile<'a> {
    /// The key that names it.
    pub key: &'a str,
    pub path: &'a Path,
    contents: Vec<u8>,
}

/// The certificates of a file in PEM, as they stand there, without what else there is.
pub fn certificates_in(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::new();
    let mut is_within = false;
    for line in text.lines() {
        is_within |= line.trim() == "-----BEGIN CERTIFICATE-----";
        if is_within {
            out += line;
            out.push('\n');
        }
        is_within &= line.trim() != "-----END CERTIFICATE-----";
    }
    out
}

/// A certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The key of the configuration that names its file.
    pub key: String,
    pub file: PathBuf,
    /// The last second that it, or one of its chain, is valid in, as Unix time.
    pub valid_until: u64,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    #[error("cannot read {key} from {}: {error}", path.display())]
    Read {
        key: String,
        path: PathBuf,
        error: io::Error,
    },
    #[error("{key}: there is no {what} in {} ({error})", path.display())]
    Empty {
        key: String,
        what: &'static str,
        path: PathBuf,
        error: pem::Error,
    },
    #[error("{key}: {} holds what is no certificate of an authority: {error}", path.display())]
    Authority {
        key: String,
        path: PathBuf,
        error: rustls::Error,
    },
    #[error("{key}: the private key in {} has a password, which is not known", path.display())]
    Locked { key: String, path: PathBuf },
    #[error("{key}: the private key in {} does not open with the password that is set for it: {reason}", path.display())]
    WrongPassword { key: String, path: PathBuf, reason: String },
    #[error(
        "{key}: the private key in {} is encrypted in a way of OpenSSL's own; 'openssl pkcs8 -topk8' writes it as \
         PKCS #8, which is read",
        path.display()
    )]
    OldEncryption { key: String, path: PathBuf },
}

impl<'a> PemFile<'a> {
    /// The authorities whose certificates the file holds, and it as a certificate in use, where its end can be
    /// read.
    ///
    /// # Errors
    /// When there is none, one is damaged, or is not that of an authority.
    pub fn authorities(&self) -> Result<(RootCertStore, Option<Certificate>), PemError> {
        let trusted = self.certificates()?;
        let in_use = self.in_use(&trusted);
        let mut roots = RootCertStore::empty();
        for authority in trusted {
            roots.add(authority).map_err(|error| PemError::Authority {
                key: self.key.to_owned(),
                path: self.path.to_owned(),
                error,
            })?;
        }
        Ok((roots, in_use))
    }

    /// The file as a certificate in use, which holds these; `None` when their end cannot be read.
    pub fn in_use(&self, found: &[CertificateDer<'_>]) -> Option<Certificate> {
        Some(Certificate {
            key: self.key.to_owned(),
            file: self.path.to_owned(),
            valid_until: first_end(found)?,
        })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// When it is not there, is too large to be one, or may not be read.
    pub fn read(key: &'a str, path: &'a Path) -> Result<Self, PemError> {
        let failed = |error| PemError::Read {
            key: key.to_owned(),
            path: path.to_owned(),
            error,
        };
        let contents = small_file::read(path, MOST_BYTES).map_err(failed)?;
        let contents = contents.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))?;
        Ok(Self { key, path, contents })
    }

    /// The certificates, in the order of the file.
    ///
    /// # Errors
    /// When there is none, or one is damaged.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.contents).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) => Err(self.without("certificate", pem::Error::NoItemsFound)),
            Err(error) => Err(self.without("certificate", error)),
        }
    }

    /// The private key.
    ///
    /// # Errors
    /// When there is none, or it does not open.
    pub fn private_key(&self, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, PemError> {
        let text = String::from_utf8_lossy(&self.contents);
        if text.contains(OLD_ENCRYPTED) {
            return Err(PemError::OldEncryption {
                key: self.key.to_owned(),
                path: self.path.to_owned(),
            });
        }
        let Some(at) = text.find(ENCRYPTED) else {
            let found = PrivateKeyDer::from_pem_slice(&self.contents);
            return found.map_err(|error| self.without("private key", error));
        };
        let Some(password) = password else {
            return Err(PemError::Locked {
                key: self.key.to_owned(),
                path: self.path.to_owned(),
            });
        };
        decrypted(&text[at..], password).map_err(|reason| PemError::WrongPassword {
            key: self.key.to_owned(),
            path: self.path.to_owned(),
            reason,
        })
    }

    fn without(&self, what: &'static str, error: pem::Error) -> PemError {
        PemError::Empty {
            key: self.key.to_owned(),
            what,
            path: self.path.to_owned(),
            error,
        }
    }
}

/// The key that a PEM of PKCS #8 holds encrypted.
fn decrypted(text: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let (_, document) = SecretDocument::from_pem(text).map_err(|error| error.to_string())?;
    let locked = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(|error| error.to_string())?;
    let key = locked.decrypt(password.reveal()).map_err(|error| error.to_string())?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The first moment at which one of them ends to be valid, as Unix time; those that are no certificates are
/// left out.
fn first_end(certificates: &[CertificateDer<'_>]) -> Option<u64> {
    certificates.iter().filter_map(|own| end(own)).min()
}

/// The last second of a certificate, as Unix time. `None` when the bytes are none, or it ended before 1970.
fn end(certificate: &[u8]) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A key that `openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:secret` wrote, and a file that holds it.
    fn locked() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key.pem");
        std::fs::write(&path, include_str!("../tests/data/locked-key.pem")).expect("written");
        (directory, path)
    }

    #[test]
    fn a_certificate_says_when_it_ends() {
        for (year, expected) in [(2030, 1_897_516_800), (2049, 2_497_132_800), (2096, 3_980_275_200)] {
            let mut params = CertificateParams::default();
            params.not_after = date_time_ymd(year, 2, 17);
            let key = KeyPair::generate().expect("a key");
            let certificate = params.self_signed(&key).expect("a certificate");
            assert_eq!(end(certificate.der()), Some(expected), "{year}");
        }
    }

    #[test]
    fn a_key_with_a_password_opens_with_that_and_no_other() {
        let (_directory, path) = locked();
        let file = PemFile::read("ssl_options.keyfile", &path).expect("a file");
        let open = |password: Option<&str>| {
            let password = password.map(Secret::from);
            file.private_key(password.as_ref())
        };
        assert!(open(Some("secret")).is_ok());
        assert!(matches!(open(Some("other")), Err(PemError::WrongPassword { .. })));
        let error = open(None).expect_err("locked").to_string();
        assert!(
            error.starts_with("ssl_options.keyfile: the private key in ")
                && error.ends_with("has a password, which is not known"),
            "{error}"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>()) {
            let _ = end(&bytes);
        }
    }
}
