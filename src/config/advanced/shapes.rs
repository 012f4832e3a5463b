//! Values in Erlang terms that are written in a way of their own, and how each is read.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::erlang::Term;

/// Keys and their values as `rabbitmq.conf` would have them; `None` is a term that it has no words
/// for.
type Pairs = Option<Vec<(String, String)>>;

/// Values that are written in a way of their own.
pub(super) struct Shape {
    /// Where they stand, with `$words` for any name.
    pub path: &'static str,
    pub expected: &'static str,
    /// Reads one for a key of `rabbitmq.conf`.
    pub read: fn(&str, &Term) -> Pairs,
}

const fn shape(path: &'static str, expected: &'static str, read: fn(&str, &Term) -> Pairs) -> Shape {
    Shape { path, expected, read }
}

const LISTENERS: &str = "a list of ports and {Address, Port}";
const ADDRESS: &str = "an address as a text or a tuple";
const BIND: &str = "as_user, anon or {Dn, Password}";
const SIGNING_KEYS: &str = "#{Name => {pem_file, Path}}";

pub(super) static SHAPES: &[Shape] = &[
    shape("rabbit.tcp_listeners", LISTENERS, listeners),
    shape("rabbit.ssl_listeners", LISTENERS, listeners),
    shape("rabbitmq_stream.tcp_listeners", LISTENERS, listeners),
    shape("rabbitmq_stream.ssl_listeners", LISTENERS, listeners),
    shape("$app.tcp_config.ip", ADDRESS, ip),
    shape("$app.ssl_config.ip", ADDRESS, ip),
    shape("$app.listener.ip", ADDRESS, ip),
    shape(
        "$app.tcp_listen_options.linger",
        "{true, Seconds} or {false, 0}",
        linger,
    ),
    shape(
        "rabbit.vm_memory_high_watermark",
        "a part, {relative, Part} or {absolute, Size}",
        |key, value| limit(key, value, "relative"),
    ),
    shape(
        "rabbit.disk_free_limit",
        "a size or {mem_relative, Number}",
        |key, value| limit(key, value, "absolute"),
    ),
    shape("rabbit.default_permissions", "three patterns", default_permissions),
    shape("rabbit.default_user_tags", "a list of tags", default_user_tags),
    shape("rabbit.loopback_users", "a list of users", loopback_users),
    shape("rabbit.auth_mechanisms", "a list of mechanisms", some_words),
    shape(
        "rabbit.auth_backends",
        "backends, each alone or as {Authn, Authz} with one of each",
        backends,
    ),
    shape(
        "rabbitmq_auth_backend_cache.cached_backend",
        "a backend, or {Authn, Authz}",
        backend,
    ),
    shape(
        "rabbit.cluster_nodes",
        "a list of nodes, or {Nodes, Type}",
        cluster_nodes,
    ),
    shape(
        "rabbit.cluster_partition_handling",
        "a word, or {pause_if_all_down, Nodes, Recovery}",
        partition_handling,
    ),
    shape("rabbit.load_definitions", "a path", path_or_none),
    shape("rabbitmq_management.load_definitions", "a path", path_or_none),
    shape("rabbit.log_levels.$category", "a level", |key, value| {
        one(&format!("{key}.level"), &scalar(value)?)
    }),
    shape("rabbit.log.file.enabled", "true or false", file_enabled),
    shape("rabbit.log.$output.formatter", "a formatter", formatter),
    shape("rabbitmq_management.cors_allow_origins", "a list of sites", origins),
    shape("rabbitmq_auth_backend_ldap.vhost_access_query", "a query", written),
    shape("rabbitmq_auth_backend_ldap.resource_access_query", "a query", written),
    shape("rabbitmq_auth_backend_ldap.topic_access_query", "a query", written),
    shape("rabbitmq_auth_backend_ldap.tag_queries", "queries", written),
    shape("rabbitmq_auth_backend_ldap.dn_lookup_bind", BIND, ldap_bind),
    shape("rabbitmq_auth_backend_ldap.other_bind", BIND, ldap_bind),
    shape(
        "rabbitmq_auth_backend_oauth2.scope_aliases",
        "#{Alias => Scopes}",
        scope_aliases,
    ),
    shape(
        "rabbitmq_auth_backend_oauth2.key_config.signing_keys",
        SIGNING_KEYS,
        signing_keys,
    ),
    shape(
        "rabbitmq_auth_backend_oauth2.oauth_providers.$name.signing_keys",
        SIGNING_KEYS,
        signing_keys,
    ),
];

/// `{name, value}` with its line.
pub(super) fn pair(term: &Term) -> Option<(usize, &str, &Term)> {
    match term {
        Term::Tuple { line, items } => match items.as_slice() {
            [Term::Atom(name) | Term::Text(name) | Term::Number(name), value] => Some((*line, name.as_str(), value)),
            _ => None,
        },
        _ => None,
    }
}

fn one(key: &str, value: &str) -> Pairs {
    Some(vec![(key.to_owned(), value.to_owned())])
}

pub(super) fn under_numbers(key: &str, values: Vec<String>) -> impl Iterator<Item = (String, String)> {
    let values = values.into_iter().enumerate();
    values.map(move |(at, value)| (format!("{key}.{}", at + 1), value))
}

/// Words under numbers, of which there is at least one: of none nothing would remain but the default.
fn some_words(key: &str, value: &Term) -> Pairs {
    let words = texts(value)?;
    (!words.is_empty()).then(|| under_numbers(key, words).collect())
}

/// A port, or an address and a port, for each listener.
fn listeners(key: &str, value: &Term) -> Pairs {
    let each = list(value)?.iter().map(|listener| match listener {
        Term::Tuple { items, .. } => {
            // Behind them may stand the family, which follows from the address.
            let (host, port) = match items.as_slice() {
                [host, port] | [host, port, Term::Atom(_)] => (address(host)?, scalar(port)?),
                _ => return None,
            };
            Some(match host.as_str() {
                "auto" => port,
                host if host.contains(':') => format!("[{host}]:{port}"),
                host => format!("{host}:{port}"),
            })
        }
        port => scalar(port),
    });
    let all: Vec<_> = each.collect::<Option<_>>()?;
    match all.is_empty() {
        true => one(key, "none"),
        false => one(key, &all.join(",")),
    }
}

fn ip(key: &str, value: &Term) -> Pairs {
    one(key, &address(value)?)
}

/// An address as a text, perhaps in brackets, or as a tuple of its 4 or 8 numbers.
fn address(term: &Term) -> Option<String> {
    let Term::Tuple { items, .. } = term else {
        let text = scalar(term)?;
        let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        return Some(inner.map(str::to_owned).unwrap_or(text));
    };
    let numbers = items.iter().map(|item| match item {
        Term::Number(digits) => digits.parse::<u16>().ok(),
        _ => None,
    });
    let numbers: Vec<u16> = numbers.collect::<Option<_>>()?;
    if let Ok(segments) = <[u16; 8]>::try_from(numbers.as_slice()) {
        return Some(Ipv6Addr::from(segments).to_string());
    }
    let bytes: Vec<u8> = numbers
        .into_iter()
        .map(|number| number.try_into().ok())
        .collect::<Option<_>>()?;
    <[u8; 4]>::try_from(bytes)
        .ok()
        .map(|bytes| Ipv4Addr::from(bytes).to_string())
}

fn linger(key: &str, value: &Term) -> Pairs {
    let Term::Tuple { items, .. } = value else {
        return None;
    };
    match items.as_slice() {
        [on, seconds] => Some(vec![
            (format!("{key}.on"), scalar(on)?),
            (format!("{key}.timeout"), scalar(seconds)?),
        ]),
        _ => None,
    }
}

/// A number, or `{absolute, Number}` or `{relative, Number}`; `bare` is what a number alone means.
fn limit(key: &str, value: &Term, bare: &str) -> Pairs {
    let (kind, number) = match value {
        Term::Tuple { .. } => {
            let (_, kind, number) = pair(value)?;
            (if kind == "mem_relative" { "relative" } else { kind }, number)
        }
        number => (bare, number),
    };
    let is_known = matches!(kind, "absolute" | "relative");
    let number = scalar(number).filter(|_| is_known)?;
    Some(vec![(format!("{key}.{kind}"), number)])
}

fn default_permissions(key: &str, value: &Term) -> Pairs {
    let patterns = texts(value)?;
    let keys = ["configure", "write", "read"].map(|leaf| format!("{key}.{leaf}"));
    (patterns.len() == keys.len()).then(|| keys.into_iter().zip(patterns).collect())
}

fn default_user_tags(key: &str, value: &Term) -> Pairs {
    match texts(value)? {
        // The one that is there by default.
        none if none.is_empty() => one(&format!("{key}.administrator"), "false"),
        tags => Some(switched_on(key, tags)),
    }
}

fn loopback_users(key: &str, value: &Term) -> Pairs {
    match texts(value)? {
        none if none.is_empty() => one(key, "none"),
        users => Some(switched_on(key, users)),
    }
}

fn switched_on(key: &str, words: Vec<String>) -> Vec<(String, String)> {
    let words = words.into_iter();
    words
        .map(|word| (format!("{key}.{}", quoted(&word)), "true".to_owned()))
        .collect()
}

/// `[Backend, {Authn, Authz}]`; of none nothing would remain but the default.
fn backends(key: &str, value: &Term) -> Pairs {
    let mut all = Vec::new();
    for (at, each) in list(value)?.iter().enumerate() {
        all.extend(backend(&format!("{key}.{}", at + 1), each)?);
    }
    (!all.is_empty()).then_some(all)
}

fn backend(key: &str, value: &Term) -> Pairs {
    let Term::Tuple { .. } = value else {
        return one(key, &scalar(value)?);
    };
    let (_, authn, authz) = pair(value)?;
    // One of several that all have to agree is more than `rabbitmq.conf` can say.
    let authz = match authz {
        Term::List(one) => scalar(one.first().filter(|_| one.len() == 1)?)?,
        one => scalar(one)?,
    };
    Some(vec![
        (format!("{key}.authn"), authn.to_owned()),
        (format!("{key}.authz"), authz),
    ])
}

fn cluster_nodes(key: &str, value: &Term) -> Pairs {
    let nodes = match value {
        Term::Tuple { items, .. } => items.first()?,
        nodes => nodes,
    };
    Some(under_numbers(&format!("{key}.nodes"), texts(nodes)?).collect())
}

fn partition_handling(key: &str, value: &Term) -> Pairs {
    let Term::Tuple { items, .. } = value else {
        return one(key, &scalar(value)?);
    };
    match items.as_slice() {
        [Term::Atom(word), nodes, recovery] if word == "pause_if_all_down" => {
            let mut all = vec![(key.to_owned(), word.clone())];
            all.extend(some_words(&format!("{key}.{word}.nodes"), nodes)?);
            all.push((format!("{key}.{word}.recover"), scalar(recovery)?));
            Some(all)
        }
        _ => None,
    }
}

fn path_or_none(key: &str, value: &Term) -> Pairs {
    match value {
        Term::Atom(none) if matches!(none.as_str(), "none" | "undefined") => Some(Vec::new()),
        path => one(key, &scalar(path)?),
    }
}

/// Whether there is a file besides what its own key says.
fn file_enabled(_: &str, value: &Term) -> Pairs {
    match scalar(value)?.as_str() {
        "true" => Some(Vec::new()),
        "false" => one("log.file", "false"),
        _ => None,
    }
}

/// A word, or the module that writes the lines with its settings.
fn formatter(key: &str, value: &Term) -> Pairs {
    let module = match value {
        Term::Tuple { items, .. } => scalar(items.first()?)?,
        word => scalar(word)?,
    };
    match module.as_str() {
        "rabbit_logger_json_fmt" => one(key, "json"),
        "rabbit_logger_text_fmt" => one(key, "plaintext"),
        word => one(key, word),
    }
}

fn origins(key: &str, value: &Term) -> Pairs {
    match texts(value)? {
        none if none.is_empty() => one(key, "none"),
        sites => Some(under_numbers(key, sites).collect()),
    }
}

/// A term that the key takes as such.
fn written(key: &str, value: &Term) -> Pairs {
    one(key, &value.to_string())
}

fn ldap_bind(key: &str, value: &Term) -> Pairs {
    let Term::Tuple { .. } = value else {
        return one(key, &scalar(value)?);
    };
    let (_, dn, password) = pair(value)?;
    Some(vec![
        (format!("{key}.user_dn"), dn.to_owned()),
        (format!("{key}.password"), scalar(password)?),
    ])
}

/// `#{Alias => Scopes}`, the scopes in a text or a list of texts.
fn scope_aliases(key: &str, value: &Term) -> Pairs {
    let Term::Map(aliases) = value else {
        return None;
    };
    let each = aliases.iter().map(|(alias, scopes)| {
        let scopes = match scopes {
            Term::List(_) => texts(scopes)?.join(" "),
            one => scalar(one)?,
        };
        Some((format!("{key}.{}", quoted(&scalar(alias)?)), scopes))
    });
    each.collect()
}

/// Keys of tokens: those that are in files.
fn signing_keys(key: &str, value: &Term) -> Pairs {
    let Term::Map(all) = value else {
        return None;
    };
    let each = all.iter().map(|(name, value)| match pair(value)? {
        (_, "pem_file", path) => Some((format!("{key}.{}", quoted(&scalar(name)?)), scalar(path)?)),
        _ => None,
    });
    each.collect()
}

fn list(value: &Term) -> Option<&[Term]> {
    match value {
        Term::List(items) => Some(items),
        _ => None,
    }
}

fn texts(value: &Term) -> Option<Vec<String>> {
    list(value)?.iter().map(scalar).collect()
}

/// A value as `rabbitmq.conf` writes it.
pub(super) fn scalar(value: &Term) -> Option<String> {
    match value {
        Term::Atom(text) | Term::Number(text) | Term::Text(text) => Some(text.clone()),
        Term::Tuple { items, .. } => match items.as_slice() {
            [Term::Atom(word), Term::Text(text)] if word == "encrypted" => Some(format!("encrypted:{text}")),
            _ => None,
        },
        Term::List(_) | Term::Map(_) => None,
    }
}

/// A name as one segment of a key.
pub(super) fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.")
}
