//! The certificates that the node uses, for clients and between nodes.

use super::Reports;
use crate::listen::Tls;
use crate::pem::Certificate;

impl Reports {
    /// Clients are served over TLS so.
    pub fn speaks(&self, tls: impl IntoIterator<Item = Tls>) {
        *self.tls.lock() = tls.into_iter().collect();
    }

    /// The certificates that are in use.
    pub fn certificates(&self) -> Vec<Certificate> {
        let mut all = self.membership.certificates();
        for certificate in self.tls.lock().iter().flat_map(Tls::certificates) {
            // Listeners of a kind share theirs.
            let is_known = |known: &Certificate| (&known.key, &known.file) == (&certificate.key, &certificate.file);
            if !all.iter().any(is_known) {
                all.push(certificate);
            }
        }
        all
    }
}
