//! The types a setting can have: what is accepted, and the words that say so when it was not.
//!
//! A [`Value`] turns the text of a setting into a typed value. Its `expected` text completes the
//! sentence "…: expected …". Called by the table of keys only.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;

use super::Cipher;
use super::ldap_query::{Query, TagQuery};
use crate::pattern::Pattern;
use crate::types::{ByteSize, Millis};

type Parse<T> = Box<dyn Fn(&str) -> Option<T> + Send + Sync>;

/// How the text of a setting is read.
pub struct Value<T> {
    /// What a right value looks like, for error messages and the sample file.
    pub expected: String,
    /// `None` when the text is not such a value.
    pub parse: Parse<T>,
    /// Passwords and the like are not repeated in messages.
    pub secret: bool,
}

impl<T: 'static> Value<T> {
    fn new(expected: impl Into<String>, parse: impl Fn(&str) -> Option<T> + Send + Sync + 'static) -> Self {
        Self {
            expected: expected.into(),
            parse: Box::new(parse),
            secret: false,
        }
    }

    /// The same value, or a word for the absence of one (`infinity`, `none`).
    pub fn or(self, word: &'static str) -> Value<Option<T>> {
        Value {
            expected: format!("{}, or '{word}'", self.expected),
            secret: self.secret,
            parse: Box::new(move |text| match text {
                _ if text == word => Some(None),
                _ => (self.parse)(text).map(Some),
            }),
        }
    }

    /// Several such values with commas between them.
    pub fn list(self) -> Value<Vec<T>> {
        Value {
            expected: format!("{} (several with commas between them)", self.expected),
            secret: self.secret,
            parse: Box::new(move |text| text.split(',').map(|part| (self.parse)(part.trim())).collect()),
        }
    }
}

/// A whole number within a range.
pub fn integer<T: TryFrom<u64> + 'static>(range: RangeInclusive<u64>) -> Value<T> {
    let expected = match (*range.start(), *range.end()) {
        (start, u64::MAX) => format!("a whole number of at least {start}"),
        (start, end) => format!("a whole number from {start} to {end}"),
    };
    Value::new(expected, move |text| {
        let number = whole_number(text).filter(|number| range.contains(number))?;
        T::try_from(number).ok()
    })
}

/// true or false.
pub fn switch() -> Value<bool> {
    Value::new("true or false", |text| match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    })
}

/// A number of bytes with RabbitMQ's information units: `k`, `kiB`, `Mi` and the like are powers
/// of 1024, `kB`, `MB`, `GB`, `TB` and `PB` powers of 1000.
pub fn size() -> Value<ByteSize> {
    Value::new("a number of bytes such as 512MiB, 2GB or 1048576", |text| {
        size_in(text, 1000).map(ByteSize)
    })
}

/// A number of bytes where `KB`, `MB` and `GB` are powers of 1024, as RabbitMQ reads frame sizes.
pub fn binary_size<T: TryFrom<u64> + 'static>(range: RangeInclusive<u64>) -> Value<T> {
    let expected = format!("a number of bytes from {} to {}", range.start(), range.end());
    Value::new(expected, move |text| {
        let bytes = size_in(text, 1024).filter(|bytes| range.contains(bytes))?;
        T::try_from(bytes).ok()
    })
}

/// A duration: milliseconds, or a number with one of the units ms, s, m, h, d, w.
pub fn duration() -> Value<Millis> {
    Value::new(
        "a number of milliseconds, or a duration such as 30s, 5m or 1h",
        |text| {
            let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (number, unit) = text.split_at(digits);
            let factor = match unit {
                "" | "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                "w" => 604_800_000,
                _ => return None,
            };
            whole_number(number)?.checked_mul(factor).map(Millis)
        },
    )
}

/// A number with decimals within a range.
pub fn ratio(range: RangeInclusive<f64>) -> Value<f64> {
    let expected = match *range.end() {
        f64::INFINITY => format!("a number of at least {}", range.start()),
        end => format!("a number from {} to {end}", range.start()),
    };
    Value::new(expected, move |text| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = text.parse().ok().filter(|_| plain)?;
        range.contains(&number).then_some(number)
    })
}

/// Any text.
pub fn text() -> Value<String> {
    Value::new("a text", |text| Some(text.to_owned()))
}

/// A name of at most 255 bytes, which is what a short string carries.
pub fn name() -> Value<String> {
    Value::new("a name of 1 to 255 bytes", |text| {
        (1..=255).contains(&text.len()).then(|| text.to_owned())
    })
}

/// An address of the web.
pub fn url() -> Value<String> {
    Value::new("an address that begins with http:// or https://", |text| {
        let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"))?;
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        (is_plain && !rest.is_empty() && !rest.starts_with('/')).then(|| text.to_owned())
    })
}

/// A question to a directory, as an Erlang term.
pub fn ldap_query() -> Value<Query> {
    Value::new("a query such as {in_group, \"cn=admins,dc=example\"}", |text| {
        Query::parse(text).ok()
    })
}

/// Tags and who has them, as an Erlang term.
pub fn ldap_tags() -> Value<Vec<TagQuery>> {
    Value::new("a list such as [{administrator, {constant, false}}]", |text| {
        TagQuery::parse_all(text).ok()
    })
}

/// A node's name.
pub fn node_name() -> Value<String> {
    Value::new("a node name such as rabbit@host", |text| {
        let (name, host) = text.split_once('@')?;
        let word = |part: &str| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        (word(name) && word(host) && text.len() <= 255).then(|| text.to_owned())
    })
}

/// A password or another text that must not be shown. RabbitMQ's encrypted values are not read.
pub fn secret() -> Value<super::Secret> {
    Value {
        secret: true,
        ..Value::new("a text that is not 'encrypted:…'", |text| {
            (!text.starts_with("encrypted:")).then(|| super::Secret::from(text))
        })
    }
}

/// A file or directory.
pub fn path() -> Value<PathBuf> {
    Value::new("a path", |text| (!text.is_empty()).then(|| PathBuf::from(text)))
}

/// A regular expression, kept as text.
pub fn regular_expression() -> Value<String> {
    Value::new("a regular expression", |text| {
        Pattern::new(text).ok().map(|pattern| pattern.text().to_owned())
    })
}

/// Where to listen: a port (on every IPv4 address), or an address and a port. Port 0 picks a
/// free one.
pub fn listener() -> Value<SocketAddr> {
    Value::new(
        "a port or ADDRESS:PORT, such as 5672, 127.0.0.1:5672 or [::]:5672",
        |text| {
            if let Some(port) = whole_number(text) {
                return Some((Ipv4Addr::UNSPECIFIED, u16::try_from(port).ok()?).into());
            }
            // `::1:5672` without brackets is how RabbitMQ's own examples write it.
            let (host, port) = text.rsplit_once(':')?;
            let host = match host.strip_prefix('[') {
                Some(inner) => inner.strip_suffix(']')?,
                None => host,
            };
            Some((address(host)?, u16::try_from(whole_number(port)?).ok()?).into())
        },
    )
}

/// A network, or one address.
pub fn network() -> Value<IpNet> {
    Value::new("a network such as 10.0.0.0/8, or an IP address", |text| {
        text.parse().ok().or_else(|| address(text).map(IpNet::from))
    })
}

/// A cipher by its name.
pub fn cipher() -> Value<Cipher> {
    Value::new(
        "a cipher of TLS 1.2 or 1.3 by the name that OpenSSL or IANA has for it, such as \
         ECDHE-RSA-AES256-GCM-SHA384",
        Cipher::named,
    )
}

/// An IP address.
pub fn ip() -> Value<IpAddr> {
    Value::new("an IP address", address)
}

/// A peer: a host name or address, and a port.
pub fn host_and_port() -> Value<String> {
    Value::new("HOST:PORT", |text| {
        let (host, port) = text.rsplit_once(':')?;
        let port = whole_number(port)?;
        let named = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@' || c == '/');
        ((1..=65535).contains(&port) && named).then(|| text.to_owned())
    })
}

/// One word of a few; the first words of equal values are the ones shown.
pub fn choice<T: Clone + PartialEq + Send + Sync + 'static>(words: &[(&'static str, T)]) -> Value<T> {
    let mut shown: Vec<(&str, &T)> = Vec::new();
    for (word, value) in words {
        if !shown.iter().any(|(_, known)| *known == value) {
            shown.push((word, value));
        }
    }
    let expected = shown.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
    let words = words.to_vec();
    Value::new(format!("one of {expected}"), move |text| {
        words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| value.clone())
    })
}

/// Digits only: a sign, a space or an exponent is not a whole number here.
fn whole_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn address(text: &str) -> Option<IpAddr> {
    match text {
        "localhost" => Some(Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().ok(),
    }
}

/// `decimal` is what the k of `kB` stands for.
fn size_in(text: &str, decimal: u64) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.to_ascii_lowercase();
    let mut letters = unit.chars();
    let power = match letters.next() {
        None => 0,
        Some('b') if unit.len() == 1 => 0,
        Some('k') => 1,
        Some('m') => 2,
        Some('g') => 3,
        Some('t') => 4,
        Some('p') => 5,
        Some(_) => return None,
    };
    let base = match letters.as_str() {
        "" | "i" | "ib" => 1024_u64,
        "b" => decimal,
        _ => return None,
    };
    whole_number(number)?.checked_mul(base.checked_pow(power)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<T>(value: Value<T>, text: &str) -> Option<T> {
        (value.parse)(text)
    }

    #[test]
    fn sizes_are_read_with_rabbitmqs_units() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1048576", Some(1_048_576)),
            ("10B", Some(10)),
            ("50MB", Some(50_000_000)),
            ("2GB", Some(2_000_000_000)),
            ("512MiB", Some(512 << 20)),
            ("4Gi", Some(4 << 30)),
            ("1k", Some(1024)),
            ("1kb", Some(1000)),
            ("3TB", Some(3_000_000_000_000)),
            ("", None),
            ("MB", None),
            ("1.5GB", None),
            ("-1", None),
            ("1 GB", None),
            ("1XB", None),
            ("1MBs", None),
            ("99999999999999PB", None),
        ] {
            assert_eq!(read(size(), text).map(|size| size.0), bytes, "{text}");
        }
        assert_eq!(read(binary_size::<u32>(0..=1 << 30), "128KB"), Some(131_072));
    }

    #[test]
    fn durations_are_milliseconds_unless_they_say_otherwise() {
        for (text, millis) in [
            ("1800000", Some(1_800_000)),
            ("10s", Some(10_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("250ms", Some(250)),
            ("s", None),
            ("1y", None),
            ("-5", None),
            ("999999999999999999w", None),
        ] {
            assert_eq!(read(duration(), text).map(|duration| duration.0), millis, "{text}");
        }
    }

    #[test]
    fn listeners_are_ports_or_addresses_with_ports() {
        for (text, shown) in [
            ("5672", Some("0.0.0.0:5672")),
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("localhost:5672", Some("127.0.0.1:5672")),
            ("[::]:5672", Some("[::]:5672")),
            ("::1:5672", Some("[::1]:5672")),
            ("", None),
            ("70000", None),
            ("1.2.3.4", None),
            ("example.org:5672", None),
            ("[::1:5672", None),
            ("1.2.3.4:", None),
        ] {
            assert_eq!(
                read(listener(), text).map(|address| address.to_string()).as_deref(),
                shown,
                "{text}"
            );
        }
    }

    #[test]
    fn peers_are_hosts_with_ports() {
        assert!(read(host_and_port(), "warren-1.warren:25672").is_some());
        assert!(read(host_and_port(), "[::1]:25672").is_some());
        for text in ["warren-1", "rabbit@host:1", ":25672", "host:0", "host:70000"] {
            assert_eq!(read(host_and_port(), text), None, "{text}");
        }
    }

    #[test]
    fn a_choice_shows_each_value_once() {
        let value = choice(&[("classic", 1), ("rabbit_classic_queue", 1), ("quorum", 2)]);
        assert_eq!(value.expected, "one of classic, quorum");
        assert_eq!((value.parse)("rabbit_classic_queue"), Some(1));
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>()) {
            let _ = read(size(), &text);
            let _ = read(duration(), &text);
            let _ = read(listener().list(), &text);
            let _ = read(ratio(0.0..=1.0), &text);
            let _ = read(integer::<u16>(0..=u64::MAX).or("infinity"), &text);
            let _ = read(host_and_port(), &text);
            let _ = read(node_name(), &text);
            let _ = read(regular_expression(), &text);
        }
    }
}
