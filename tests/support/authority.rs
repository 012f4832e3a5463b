//! Certificates for tests: an authority, and what it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// One whose certificates are to be believed, or not.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// The files of one node.
pub struct Papers {
    pub cacertfile: PathBuf,
    pub certfile: PathBuf,
    pub keyfile: PathBuf,
}

impl Authority {
    /// Two of the same name are two all the same.
    pub fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Signs a certificate for a node, and writes all that it needs into a directory.
    pub fn issue(&self, node: &str, directory: &Path) -> Papers {
        self.issue_for(node, &[], directory)
    }

    /// The same for a certificate that is valid until a day: year, month, day.
    pub fn issue_until(&self, node: &str, directory: &Path, (year, month, day): (i32, u8, u8)) -> Papers {
        let mut params = named(node);
        params.not_after = rcgen::date_time_ymd(year, month, day);
        self.sign(node, params, directory)
    }

    /// The same for a certificate of a server that clients find under these names.
    pub fn issue_for(&self, node: &str, names: &[&str], directory: &Path) -> Papers {
        let mut params = named(node);
        let alternative = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        params.subject_alt_names = alternative.expect("names").subject_alt_names;
        self.sign(node, params, directory)
    }

    fn sign(&self, node: &str, params: CertificateParams, directory: &Path) -> Papers {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        let write = |file: &str, text: String| {
            let path = directory.join(format!("{node}-{file}"));
            std::fs::write(&path, text).expect("it is ours");
            path
        };
        Papers {
            cacertfile: write("ca.pem", self.0.pem()),
            certfile: write("cert.pem", certificate.pem()),
            keyfile: write("key.pem", key.serialize_pem()),
        }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
