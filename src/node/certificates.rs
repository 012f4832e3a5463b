//! What TLS is spoken with by this node's listeners for clients: read at the start, and again when a file
//! changes or the process is told to.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::config::Config;
use crate::listen::{Tls, TlsError};
use crate::logging;

/// Between two looks whether files have changed. They are looked at by their time and size: what puts them
/// there, such as a mounted secret whose link is moved, is seen in whatever way it does that.
const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// So long before a certificate ends its end is warned of,
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);
/// and so long until it is again.
const REMIND: Duration = Duration::from_secs(24 * 3600);

/// The TLS of each kind of listener that has any.
#[derive(Clone)]
pub struct Certificates {
    /// Of AMQP and of the stream protocol.
    pub amqp: Option<Tls>,
    pub management: Option<Tls>,
    pub prometheus: Option<Tls>,
}

impl Certificates {
    /// As configured.
    ///
    /// # Errors
    /// When something is missing, or a file does not hold what it must.
    pub fn of(config: &Config) -> Result<Self, TlsError> {
        let is_wanted = !config.listeners.tls.is_empty() || !config.stream.tls.is_empty();
        let amqp = is_wanted.then(|| Tls::of("ssl_options", &config.tls));
        let management = config.management.tls_address();
        let management = management.map(|_| Tls::of("management.ssl", &config.management.tls_options));
        let prometheus = config.prometheus.tls_address();
        let prometheus = prometheus.map(|_| Tls::of("prometheus.ssl", &config.prometheus.tls_options));
        Ok(Self {
            prometheus: prometheus.transpose()?,
            amqp: amqp.transpose()?,
            management: management.transpose()?,
        })
    }

    /// Reads all files again; those that cannot be used change nothing.
    pub fn read_again(&self) {
        for tls in self.all() {
            read_again(tls);
        }
    }

    /// Has files read again that change, and warns of certificates that end soon. Runs as long as the process.
    pub async fn watch(self) {
        // What could not be read is not tried again before it has changed once more.
        let mut tried = vec![None; self.all().count()];
        let mut reminded: Option<Instant> = None;
        loop {
            if reminded.is_none_or(|at| at.elapsed() >= REMIND) {
                self.all().for_each(warn_of_end);
                reminded = Some(Instant::now());
            }
            tokio::time::sleep(POLL_INTERVAL).await;
            for (tls, tried) in self.all().zip(&mut tried) {
                let changed = tls.changed();
                if changed.is_none() || changed == *tried {
                    continue;
                }
                read_again(tls);
                warn_of_end(tls);
                *tried = changed;
            }
        }
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Tls> {
        self.amqp.iter().chain(&self.management).chain(&self.prometheus)
    }
}

fn read_again(tls: &Tls) {
    let keys = tls.prefix();
    match tls.read_again() {
        Ok(()) => tracing::info!("new connections use the certificates of {keys} as they are now"),
        Err(error) => {
            let until = tls.certificates().iter().map(|own| own.valid_until).min();
            let until = until.map(|end| logging::shown_time(Duration::from_secs(end)));
            let until = until.as_deref().unwrap_or("an unknown time");
            tracing::error!(%error, "the certificates of {keys} stay as they were, which are good until {until}");
        }
    }
}

fn warn_of_end(tls: &Tls) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    for certificate in tls.certificates() {
        let end = Duration::from_secs(certificate.valid_until);
        let (key, file, until) = (&certificate.key, certificate.file.display(), logging::shown_time(end));
        if end <= now {
            tracing::error!(key, %file, %until, "a certificate has expired");
        } else if end <= now + SOON {
            tracing::warn!(key, %file, %until, "a certificate expires soon");
        }
    }
}
