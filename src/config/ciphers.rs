//! Names of ciphers, as OpenSSL and IANA have them.

/// The ciphers that are spoken: the name of IANA's, which stands for the cipher from here on, and OpenSSL's.
const SPOKEN: [(&str, &str); 9] = [
    ("TLS13_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA384"),
    ("TLS13_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
    ("TLS13_CHACHA20_POLY1305_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
    ),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
    ),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        "ECDHE-RSA-CHACHA20-POLY1305",
    ),
];

/// Endings of names of ciphers that RabbitMQ may be told of and that are not spoken here: without forward
/// secrecy, or with a way to encrypt that has been broken.
const OTHERS: [&str; 14] = [
    "-SHA",
    "-SHA256",
    "-SHA384",
    "-MD5",
    "-CCM",
    "-CCM8",
    "_SHA",
    "_SHA256",
    "_SHA384",
    "_MD5",
    "_CCM",
    "_CCM_8",
    "_CCM_SHA256",
    "_CCM_8_SHA256",
];

/// How those names begin.
const BEGINNINGS: [&str; 12] = [
    "TLS_", "ECDHE-", "ECDH-", "DHE-", "RSA-", "PSK-", "SRP-", "AES128-", "AES256-", "DES-", "EDH-", "CAMELLIA",
];

/// A cipher that was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// One that is spoken, by the name that stands for it.
    Spoken(&'static str),
    /// One that is not, as it was named.
    Other(String),
}

impl Cipher {
    /// OpenSSL's names of those that are spoken, the most wanted first.
    pub fn spoken() -> impl Iterator<Item = &'static str> {
        SPOKEN.iter().map(|(_, openssl)| *openssl)
    }

    /// The cipher of that name; `None` when it is none that anybody knows.
    pub fn named(name: &str) -> Option<Self> {
        let spoken = SPOKEN.iter().find(|(iana, openssl)| name == *iana || name == *openssl);
        match spoken {
            Some((iana, _)) => Some(Self::Spoken(iana)),
            None => {
                let looks_like_one = BEGINNINGS.iter().any(|begin| name.starts_with(begin))
                    && OTHERS.iter().any(|end| name.ends_with(end));
                looks_like_one.then(|| Self::Other(name.to_owned()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::crypto::ring;

    use super::*;

    #[test]
    fn what_the_library_speaks_is_in_the_table_and_in_its_order() {
        let spoken = ring::default_provider().cipher_suites;
        let names: Vec<_> = spoken.iter().filter_map(|suite| suite.suite().as_str()).collect();
        assert_eq!(names, SPOKEN.map(|(iana, _)| iana));
        let openssl: Vec<_> = Cipher::spoken().collect();
        for name in [
            "TLS_AES_256_GCM_SHA384",
            "ECDHE-RSA-AES128-GCM-SHA256",
            "ECDHE-ECDSA-CHACHA20-POLY1305",
        ] {
            assert!(openssl.contains(&name), "{name}");
        }
        assert!(openssl.len() >= 9);
    }

    #[test]
    fn ciphers_have_two_names_and_slips_are_none() {
        let spoken = |name| match Cipher::named(name) {
            Some(Cipher::Spoken(iana)) => iana,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            spoken("ECDHE-RSA-AES256-GCM-SHA384"),
            spoken("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")
        );
        assert_eq!(spoken("TLS_AES_128_GCM_SHA256"), "TLS13_AES_128_GCM_SHA256");
        for other in [
            "AES256-SHA",
            "DHE-RSA-AES128-GCM-SHA256",
            "TLS_RSA_WITH_AES_128_CBC_SHA",
        ] {
            assert_eq!(Cipher::named(other), Some(Cipher::Other(other.to_owned())));
        }
        for none in ["", "ECDHE-RSA-AES256-GCM-SHA38", "HIGH:!aNULL", "aes"] {
            assert_eq!(Cipher::named(none), None, "{none}");
        }
    }
}
