//! What two sides of a TLS connection agreed on, and what a client's certificate says of it, in the words of
//! RabbitMQ: names as RFC 4514 writes them, from the last part to the first.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{CipherSuite, ProtocolVersion, ServerConnection};
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::{AlternativeName, Auth, CertificateName};

/// What was agreed on, as Erlang names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsSession {
    /// `tlsv1.2` or `tlsv1.3`.
    pub protocol: String,
    /// `any` with TLS 1.3, where it does not follow from the cipher.
    pub key_exchange: String,
    pub cipher: String,
    pub hash: String,
    /// What the client has shown, if it has.
    pub peer: Option<PeerNames>,
}

/// Who a certificate is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerNames {
    pub subject: String,
    pub issuer: String,
    /// `2026-01-31T12:00:00Z - 2027-01-31T12:00:00Z`.
    pub validity: String,
}

/// The certificate that a client has shown and that was checked.
pub struct ClientCertificate(CertificateDer<'static>);

impl TlsSession {
    /// Of a connection whose handshake is over, and the certificate that its client has shown.
    pub(super) fn of(session: &ServerConnection) -> (Self, Option<ClientCertificate>) {
        let certificates = session.peer_certificates().unwrap_or_default();
        let certificate = certificates
            .first()
            .map(|own| ClientCertificate(own.clone().into_owned()));
        let protocol = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "tlsv1.2",
            _ => "tlsv1.3",
        };
        let (key_exchange, cipher) = session
            .negotiated_cipher_suite()
            .map_or(("", ""), |suite| words(suite.suite()));
        let session = Self {
            protocol: protocol.to_owned(),
            key_exchange: key_exchange.to_owned(),
            cipher: cipher.to_owned(),
            // The ciphers that are spoken check what they encrypt themselves.
            hash: "aead".to_owned(),
            peer: certificate.as_ref().and_then(ClientCertificate::names),
        };
        (session, certificate)
    }
}

/// The way to exchange keys, and the cipher.
fn words(suite: CipherSuite) -> (&'static str, &'static str) {
    let name = suite.as_str().unwrap_or_default();
    let key_exchange = if name.contains("ECDHE_RSA") {
        "ecdhe_rsa"
    } else if name.contains("ECDHE_ECDSA") {
        "ecdhe_ecdsa"
    } else {
        "any"
    };
    let cipher = if name.contains("AES_256_GCM") {
        "aes_256_gcm"
    } else if name.contains("AES_128_GCM") {
        "aes_128_gcm"
    } else {
        "chacha20_poly1305"
    };
    (key_exchange, cipher)
}

impl ClientCertificate {
    /// The name of the user who logs in with it; `None` when it does not have what the configuration says.
    pub fn user_name(&self, config: &Auth) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(&self.0).ok()?;
        match config.certificate_name {
            CertificateName::DistinguishedName => Some(distinguished_name(certificate.subject())),
            CertificateName::CommonName => {
                let names: Vec<_> = certificate.subject().iter_common_name().filter_map(text).collect();
                (!names.is_empty()).then(|| names.join(","))
            }
            CertificateName::SubjectAlternativeName => {
                let names = certificate.subject_alternative_name().ok()??;
                let of_type = names.value.general_names.iter();
                let mut of_type = of_type.filter_map(|name| alternative_name(config.alternative_name, name));
                of_type.nth(config.alternative_name_index)
            }
        }
    }

    fn names(&self) -> Option<PeerNames> {
        let (_, certificate) = X509Certificate::from_der(&self.0).ok()?;
        let validity = certificate.validity();
        Some(PeerNames {
            subject: distinguished_name(certificate.subject()),
            issuer: distinguished_name(certificate.issuer()),
            validity: format!("{} - {}", time(&validity.not_before), time(&validity.not_after)),
        })
    }
}

/// A name of that type; `None` when it is of another.
fn alternative_name(wanted: AlternativeName, name: &GeneralName<'_>) -> Option<String> {
    match (wanted, name) {
        (AlternativeName::Dns, GeneralName::DNSName(name)) => Some((*name).to_owned()),
        (AlternativeName::Email, GeneralName::RFC822Name(name)) => Some((*name).to_owned()),
        (AlternativeName::Uri, GeneralName::URI(name)) => Some((*name).to_owned()),
        (AlternativeName::Ip, GeneralName::IPAddress(bytes)) => match bytes.len() {
            4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(*bytes).ok()?).to_string()),
            16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
            _ => None,
        },
        // Whatever it is: its text, which stands in a wrapper of its own.
        (AlternativeName::Other, GeneralName::OtherName(_, bytes)) => {
            let (_, wrapper) = Any::from_der(bytes).ok()?;
            let (_, value) = Any::from_der(wrapper.data).ok()?;
            String::from_utf8(value.data.to_vec()).ok()
        }
        _ => None,
    }
}

/// The names of a certificate's subject or issuer, as RabbitMQ writes them.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let parts = name.iter().map(|part| {
        let attributes: Vec<_> = part.iter().map(attribute).collect();
        attributes.join("+")
    });
    let mut parts: Vec<_> = parts.collect();
    parts.reverse();
    parts.join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let known = ATTRIBUTES.iter().find(|(number, _)| *number == id);
    let name = known.map_or(id.as_str(), |(_, name)| name);
    format!("{name}={}", escaped(&text(attribute).unwrap_or_default()))
}

/// The types of attributes that have a name.
const ATTRIBUTES: [(&str, &str); 17] = [
    ("2.5.4.4", "SN"),
    ("2.5.4.42", "GIVENNAME"),
    ("2.5.4.43", "INITIALS"),
    ("2.5.4.44", "GENERATIONQUALIFIER"),
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "TITLE"),
    ("2.5.4.6", "C"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.65", "PSEUDONYM"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.2.840.113549.1.9.1", "EMAILADDRESS"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// The text of an attribute, whatever kind of string it is.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match value.tag() {
        Tag::BmpString => {
            let units = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(
                char::decode_utf16(units)
                    .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        // Latin 1, near enough.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        _ => Some(String::from_utf8_lossy(value.data).into_owned()),
    }
}

/// A value as it stands in a distinguished name. What cannot be printed is written as its bytes in UTF-8.
fn escaped(value: &str) -> String {
    let mut out = String::new();
    let last = value.len().checked_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        let special = match byte {
            b' ' => at == 0 || Some(at) == last,
            b'#' => at == 0,
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' => true,
            _ => false,
        };
        match byte {
            _ if special => out.extend(['\\', char::from(byte)]),
            0..=31 | 126.. => out.push_str(&format!("\\{byte:02X}")),
            plain => out.push(char::from(plain)),
        }
    }
    out
}

fn time(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    use super::*;

    fn certificate() -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.not_before = date_time_ymd(2026, 1, 2);
        params.not_after = date_time_ymd(2096, 3, 4);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "SE");
        params.distinguished_name.push(DnType::OrganizationName, "A, B & Ü");
        params.distinguished_name.push(DnType::CommonName, "client one");
        let name = |name: &str| name.try_into().expect("a name");
        params.subject_alt_names = vec![
            SanType::DnsName(name("a.example")),
            SanType::IpAddress("192.0.2.7".parse().expect("an address")),
            SanType::Rfc822Name(name("one@example")),
            SanType::DnsName(name("b.example")),
            SanType::URI(name("spiffe://example/one")),
        ];
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        ClientCertificate(made.der().clone())
    }

    #[test]
    fn names_are_written_from_the_last_part_to_the_first() {
        let names = certificate().names().expect("a certificate");
        assert_eq!(names.subject, r"CN=client one,O=A\, B & \C3\9C,C=SE");
        assert_eq!(names.issuer, names.subject);
        assert_eq!(names.validity, "2026-01-02T00:00:00Z - 2096-03-04T00:00:00Z");
    }

    #[test]
    fn a_user_is_named_by_what_the_configuration_says() {
        let certificate = certificate();
        let named = |from: CertificateName, of: AlternativeName, index: usize| {
            let auth = Auth {
                certificate_name: from,
                alternative_name: of,
                alternative_name_index: index,
                ..Auth::default()
            };
            certificate.user_name(&auth)
        };
        let alternative = |of, index| named(CertificateName::SubjectAlternativeName, of, index);
        assert_eq!(
            named(CertificateName::CommonName, AlternativeName::Dns, 0).as_deref(),
            Some("client one")
        );
        assert_eq!(alternative(AlternativeName::Dns, 1).as_deref(), Some("b.example"));
        assert_eq!(alternative(AlternativeName::Dns, 2), None);
        assert_eq!(alternative(AlternativeName::Ip, 0).as_deref(), Some("192.0.2.7"));
        assert_eq!(alternative(AlternativeName::Email, 0).as_deref(), Some("one@example"));
        assert_eq!(
            alternative(AlternativeName::Uri, 0).as_deref(),
            Some("spiffe://example/one")
        );
    }

    #[test]
    fn special_letters_are_escaped() {
        assert_eq!(escaped("#a #b "), r"\#a #b\ ");
        assert_eq!(escaped("a+b\n"), r"a\+b\0A");
        assert_eq!(escaped(" "), r"\ ");
    }
}
