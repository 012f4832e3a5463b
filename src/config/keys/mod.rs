//! The table of keys: every key of `rabbitmq.conf` that means something to Warren.
//!
//! One row for each key, by section in the files beside this one; to add a key, add a row with its
//! default, and the field it sets. Keys that RabbitMQ knows and that mean nothing here are in [`ignored`].

mod access;
mod backends;
mod cluster;
pub mod ignored;
mod limits;
mod listeners;
mod logging;
mod management;
mod queues;
mod spans;
mod stream;

use std::sync::LazyLock;

pub use logging::{LEVELS, is_category as is_log_category};

use super::key::{Flag, Key, key};
use super::sections::{Tls, TlsVersion};
use super::value::{binary_size, choice, integer, name, path, secret, switch};
use super::{Cipher, Config, value};

/// A part of the table, as the sample file shows it.
pub struct Part {
    pub title: &'static str,
    pub keys: Vec<Key>,
}

/// All rows.
pub static TABLE: LazyLock<Vec<Part>> = LazyLock::new(|| {
    let part = |title, keys| Part { title, keys };
    vec![
        part("This node", cluster::node_keys()),
        part("Listeners and sockets", listeners::keys()),
        part("Limits", limits::keys()),
        part("Users and access", access::keys()),
        part("Where users are looked up", backends::keys()),
        part("Memory and disk", limits::resource_keys()),
        part("Queues and consumers", queues::keys()),
        part("Definitions", queues::definition_keys()),
        part("Management: HTTP API and console", management::keys()),
        part("Prometheus", management::prometheus_keys()),
        part("Stream protocol", stream::keys()),
        part("Logging", logging::keys()),
        part("Spans for a collector", spans::keys()),
        part("Cluster", cluster::keys()),
        part("Identity", cluster::identity_keys()),
    ]
});

/// What holds when nothing is set.
pub static DEFAULTS: LazyLock<Config> = LazyLock::new(|| {
    let mut config = Config::empty();
    all().for_each(|row| row.apply_default(&mut config));
    // Whoever sets one of these wants none of the defaults besides it.
    config.listeners.tcp.stand_by_default();
    config.stream.tcp.stand_by_default();
    config.auth.default_user_tags.stand_by_default();
    config.auth.loopback_users.stand_by_default();
    config.auth.mechanisms.stand_by_default();
    management::stand_by_default(&mut config);
    config
});

/// All rows, whatever their part.
pub fn all() -> impl Iterator<Item = &'static Key> {
    TABLE.iter().flat_map(|part| &part.keys)
}

/// The flags of the command line, with the rows of the keys they set.
pub fn flags() -> impl Iterator<Item = (&'static Flag, &'static Key)> {
    all().filter_map(|row| Some((row.flag.as_ref()?, row)))
}

/// The row for a key and what its placeholder stands for.
pub fn find(segments: &[String]) -> Option<(&'static Key, String)> {
    all().find_map(|key| Some((key, key.matches(segments)?)))
}

/// The keys of one set of TLS options, under `prefix`.
fn tls_keys(prefix: &str, tls: fn(&mut Config) -> &mut Tls) -> Vec<Key> {
    let under = |leaf: &str| format!("{prefix}.{leaf}");
    vec![
        key(under("cacertfile"), path())
            .example("/etc/rabbitmq/ca.pem")
            .help("Certificates of the authorities that peers' certificates are checked with.")
            .sets(move |c, file| tls(c).cacertfile = Some(file)),
        key(under("certfile"), path())
            .example("/etc/rabbitmq/cert.pem")
            .help("The server's certificate, with the chain behind it.")
            .sets(move |c, file| tls(c).certfile = Some(file)),
        key(under("keyfile"), path())
            .example("/etc/rabbitmq/key.pem")
            .help("The private key of the certificate.")
            .sets(move |c, file| tls(c).keyfile = Some(file)),
        key(under("password"), secret())
            .example("secret")
            .help("Password of the private key.")
            .sets(move |c, password| tls(c).password = Some(password)),
        key(
            under("verify"),
            choice(&[("verify_none", false), ("verify_peer", true)]),
        )
        .default("verify_none")
        .help("Whether peers are asked for a certificate that is then checked.")
        .sets(move |c, on| tls(c).verify_peer = on),
        key(under("fail_if_no_peer_cert"), switch())
            .default("false")
            .help("Whether peers without a certificate are refused.")
            .sets(move |c, on| tls(c).fail_if_no_peer_cert = on),
        key(under("depth"), integer(0..=255))
            .example("1")
            .help("Longest chain between a peer's certificate and the authority's.")
            .sets(move |c, depth| tls(c).depth = Some(depth)),
        key(
            under("versions.$version"),
            choice(&[("tlsv1.2", TlsVersion::V1_2), ("tlsv1.3", TlsVersion::V1_3)]),
        )
        .example("1 = tlsv1.3")
        .help("TLS versions offered; older ones are not spoken.")
        .sets_named(move |c, at, version| tls(c).versions.set(at, version)),
        key(under("ciphers.$cipher"), value::cipher())
            .example("1 = TLS_AES_256_GCM_SHA384")
            .help("Ciphers offered.")
            .sets_named(move |c, at, cipher| {
                if let Cipher::Other(name) = &cipher {
                    c.warnings
                        .push(format!("the cipher {name} is not spoken, and is not offered"));
                }
                tls(c).ciphers.set(at, cipher);
            }),
        key(under("sni_hosts.$host.certfile"), path())
            .example(r"a\.example\.com = /etc/rabbitmq/a.pem")
            .help(
                "Another certificate, for clients that ask for that name (dots in it have a backslash before them, and \
                 '*.' stands for any first word).",
            )
            .sets_named(move |c, host, file| {
                tls(c).sni_hosts.entry(host.to_lowercase()).or_default().certfile = Some(file);
            }),
        key(under("sni_hosts.$host.keyfile"), path())
            .example(r"a\.example\.com = /etc/rabbitmq/a.key")
            .help("The private key of that certificate.")
            .sets_named(move |c, host, file| {
                tls(c).sni_hosts.entry(host.to_lowercase()).or_default().keyfile = Some(file);
            }),
        key(under("honor_cipher_order"), switch())
            .default("false")
            .help("Whether the order of the server's ciphers counts, not that of the client's.")
            .sets(move |c, on| tls(c).honor_cipher_order = on),
    ]
}
