//! Configuration in Erlang terms: `advanced.config`, and `rabbitmq.config` of before `rabbitmq.conf`.
//!
//! A term is a tree with `{Name, Value}` at its forks; a [`Place`] is a way down into it. What stands at its end
//! becomes a setting of the key that `rabbitmq.conf` has for the same thing, and the table of keys says the rest. A
//! row tells Erlang's name for its key where it is another ([`Key::terms`](super::key::Key::terms)), [`PARTS`] of
//! whole branches, and [`SHAPES`] what is written there in a way of its own. A value that cannot be read is a
//! problem where there is such a key, and wherever it is about who is let in ([`GUARDED`]); all else that has no
//! meaning here is told by its name, and its neighbours are taken.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::erlang::{self, Term};
use super::key::{BETWEEN, Sample, matches};
use super::ldap_query::{NoQuery, Query, TagQuery};
use super::lines::Lines;
use super::problem::Problem;
use super::setting::{Origin, Setting};
use super::{key, keys};

/// Branches of applications, and what stands for them in `rabbitmq.conf`; of two the longer one is meant. Nothing
/// else is read.
const PARTS: [(&str, &str); 39] = [
    ("rabbit", ""),
    ("rabbit.cluster_formation.peer_discovery_aws", "cluster_formation.aws"),
    (
        "rabbit.cluster_formation.peer_discovery_classic_config",
        "cluster_formation.classic_config",
    ),
    (
        "rabbit.cluster_formation.peer_discovery_consul",
        "cluster_formation.consul",
    ),
    ("rabbit.cluster_formation.peer_discovery_dns", "cluster_formation.dns"),
    ("rabbit.cluster_formation.peer_discovery_etcd", "cluster_formation.etcd"),
    ("rabbit.cluster_formation.peer_discovery_k8s", "cluster_formation.k8s"),
    ("rabbit.cluster_nodes", "cluster_formation.classic_config"),
    ("rabbit.definitions.hashing_algorithm", "definitions.hashing.algorithm"),
    ("rabbit.definitions.ssl_options", "definitions.tls"),
    ("rabbit.definitions.url", "definitions.https.url"),
    ("rabbit.log.categories", "log"),
    ("rabbit.log_levels", "log"),
    ("rabbit.permit_deprecated_features", "deprecated_features.permit"),
    ("rabbitmq_auth_backend_cache", "auth_cache"),
    ("rabbitmq_auth_backend_http", "auth_http"),
    (LDAP, "auth_ldap"),
    ("rabbitmq_auth_backend_oauth2", "auth_oauth2"),
    ("rabbitmq_auth_backend_oauth2.key_config", "auth_oauth2"),
    (
        "rabbitmq_auth_backend_oauth2.key_config.cacertfile",
        "auth_oauth2.https.cacertfile",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.crl_check",
        "auth_oauth2.https.crl_check",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.depth",
        "auth_oauth2.https.depth",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.fail_if_no_peer_cert",
        "auth_oauth2.https.fail_if_no_peer_cert",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.hostname_verification",
        "auth_oauth2.https.hostname_verification",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.peer_verification",
        "auth_oauth2.https.peer_verification",
    ),
    (
        "rabbitmq_auth_backend_oauth2.key_config.verify",
        "auth_oauth2.https.verify",
    ),
    ("rabbitmq_management", "management"),
    ("rabbitmq_management.listener.cowboy_opts", "management.listener.server"),
    ("rabbitmq_management.ssl_config", "management.ssl"),
    ("rabbitmq_management.ssl_config.cowboy_opts", "management.ssl"),
    ("rabbitmq_management.tcp_config", "management.tcp"),
    ("rabbitmq_management.tcp_config.cowboy_opts", "management.tcp"),
    ("rabbitmq_management_agent", "management_agent"),
    ("rabbitmq_prometheus", "prometheus"),
    ("rabbitmq_prometheus.ssl_config", "prometheus.ssl"),
    ("rabbitmq_prometheus.ssl_config.cowboy_opts", "prometheus.ssl"),
    ("rabbitmq_prometheus.ssl_config.ssl_opts", "prometheus.ssl"),
    ("rabbitmq_prometheus.tcp_config", "prometheus.tcp"),
    ("rabbitmq_stream", "stream"),
];

const LDAP: &str = "rabbitmq_auth_backend_ldap";

/// Keys below which nothing is passed over that cannot be read: they decide who is let in, and how.
const GUARDED: [&str; 11] = [
    "auth_cache.**",
    "auth_http.**",
    "auth_ldap.**",
    "auth_oauth2.**",
    "default_users.**",
    "management.listener.**",
    "management.ssl.**",
    "management.tcp.**",
    "prometheus.ssl.**",
    "prometheus.tcp.**",
    "ssl_options.**",
];

/// Keys and their values as `rabbitmq.conf` would have them; `None` is a term that it has no words
/// for.
type Pairs = Option<Vec<(String, String)>>;

/// Values that are written in a way of their own.
struct Shape {
    /// Where they stand, with `$words` for any name.
    path: &'static str,
    expected: &'static str,
    /// Reads one for a key of `rabbitmq.conf`.
    read: fn(&str, &Term) -> Pairs,
}

const fn shape(path: &'static str, expected: &'static str, read: fn(&str, &Term) -> Pairs) -> Shape {
    Shape { path, expected, read }
}

const LISTENERS: &str = "a list of ports and {Address, Port}";
const ADDRESS: &str = "an address as a text or a tuple";
const BIND: &str = "as_user, anon or {Dn, Password}";
const SIGNING_KEYS: &str = "#{Name => {pem_file, Path}}";

static SHAPES: &[Shape] = &[
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

/// A way into the term: an application, and names within it.
#[derive(Clone)]
struct Place {
    origin: Origin,
    path: Vec<String>,
}

impl Place {
    /// The member of that name, and the line it begins in if it is known.
    fn below(&self, line: Option<usize>, name: &str) -> Self {
        let mut below = self.clone();
        below.path.push(name.to_owned());
        if let (Origin::File { line: own, .. }, Some(line)) = (&mut below.origin, line) {
            *own = line;
        }
        below
    }

    /// The key of `rabbitmq.conf` for the same thing, whether there is one or not; `None` in an application that
    /// is not read.
    fn key(&self) -> Option<String> {
        let of_row = |row: &key::Key| {
            let fits = row.terms.iter().find_map(|term| matches(term, &self.path))?;
            let mut named = fits.split(BETWEEN);
            let segment = |part: &str| match part.starts_with('$') {
                true => named.next().map(quoted),
                false => Some(part.to_owned()),
            };
            let segments: Option<Vec<_>> = row.pattern.split('.').map(segment).collect();
            segments.map(|segments| segments.join("."))
        };
        keys::all().find_map(of_row).or_else(|| {
            let within = |part: &str| {
                part.split('.').count() <= self.path.len()
                    && part.split('.').zip(&self.path).all(|(part, own)| part == own)
            };
            let parts = PARTS.iter().filter(|(part, _)| within(part));
            let (part, key) = parts.max_by_key(|(part, _)| part.split('.').count())?;
            let rest = self.path.iter().skip(part.split('.').count()).map(|name| quoted(name));
            let segments = Some((*key).to_owned())
                .filter(|key| !key.is_empty())
                .into_iter()
                .chain(rest);
            Some(segments.collect::<Vec<_>>().join("."))
        })
    }
}

/// As Erlang's names are told: `rabbit.tcp_listeners`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("."))
    }
}

/// Reads the text of a file.
pub fn parse(path: &Path, text: &str) -> Lines {
    let mut lines = Lines::default();
    let at = |line| Origin::File {
        path: path.to_owned(),
        line,
    };
    let shape = "a list of {Application, [{Key, Value}]}";
    let problem = |line, expected: &str| Problem::Syntax {
        origin: at(line),
        expected: expected.to_owned(),
    };
    let apps = match erlang::parse(text) {
        Ok(Term::List(apps)) => apps,
        Ok(_) => {
            lines.problems.push(problem(1, shape));
            return lines;
        }
        Err(wrong) => {
            lines.problems.push(problem(wrong.line, wrong.expected));
            return lines;
        }
    };
    for app in &apps {
        let (line, app, settings) = match app {
            Term::Tuple { line, items } => match items.as_slice() {
                [Term::Atom(app), Term::List(settings)] => (*line, app, settings),
                _ => {
                    lines.problems.push(problem(*line, shape));
                    continue;
                }
            },
            _ => {
                lines.problems.push(problem(1, shape));
                continue;
            }
        };
        let place = Place {
            origin: at(line),
            path: vec![app.clone()],
        };
        for setting in settings {
            match pair(setting) {
                Some((line, name, value)) => lines.take(&place.below(Some(line), name), value),
                None => lines.problems.push(problem(line, shape)),
            }
        }
    }
    lines
}

impl Lines {
    /// Takes what stands at a place.
    fn take(&mut self, place: &Place, value: &Term) {
        let Some(key) = place.key() else {
            return self.has_no_meaning(place);
        };
        if let Some(wrong) = wrong_query(place, value) {
            let origin = wrong
                .line
                .map_or(place.origin.clone(), |line| place.below(Some(line), "").origin);
            let expected = wrong.expected;
            return self.problems.push(Problem::Syntax { origin, expected });
        }
        if let Some(shape) = SHAPES.iter().find(|shape| matches(shape.path, &place.path).is_some()) {
            return match (shape.read)(&key, value) {
                Some(pairs) => pairs.into_iter().for_each(|(key, value)| self.set(place, key, value)),
                None => self.cannot_read(place, shape.expected),
            };
        }
        if *value == Term::Atom("undefined".to_owned()) {
            return self.take_undefined(place, key);
        }
        match (scalar(value), value) {
            (Some(value), _) => self.set(place, key, value),
            (None, Term::List(items)) => self.take_items(place, &key, items),
            (None, Term::Map(entries)) => {
                for (name, value) in entries {
                    match scalar(name) {
                        Some(name) => self.take(&place.below(None, &name), value),
                        None => self.not_read(place, &key),
                    }
                }
            }
            (None, _) => self.not_read(place, &key),
        }
    }

    /// Takes a list: of words under numbers or in one line, as the key has them, else of members with names.
    fn take_items(&mut self, place: &Place, key: &str, items: &[Term]) {
        let words: Option<Vec<String>> = items.iter().map(scalar).collect();
        if let Some(words) = words.filter(|words| !words.is_empty()) {
            if is_known(&key::segments(&format!("{key}.1"))) {
                return under_numbers(key, words).for_each(|(key, value)| self.set(place, key, value));
            }
            if keys::find(&key::segments(key)).is_some() {
                return self.set(place, key.to_owned(), words.join(","));
            }
        }
        for (at, item) in items.iter().enumerate() {
            if let Some((line, name, value)) = pair(item) {
                self.take(&place.below(Some(line), name), value);
                continue;
            }
            // As Erlang reads such lists, a word alone is an option that is on.
            if let Some(word) = scalar(item) {
                self.take(&place.below(None, &word), &Term::Atom("true".to_owned()));
                continue;
            }
            let (line, name) = match item {
                Term::Tuple { line, items } => (Some(*line), items.first().and_then(scalar)),
                _ => (None, None),
            };
            let name = name.unwrap_or_else(|| (at + 1).to_string());
            let member = place.below(line, &name);
            self.not_read(&member, &member.key().unwrap_or_default());
        }
    }

    /// Erlang's word for what is not set. Where that is something by default, it stands for no limit.
    fn take_undefined(&mut self, place: &Place, key: String) {
        let row = keys::find(&key::segments(&key));
        let value = match row {
            Some((row, _)) if matches!(row.sample, Sample::Example(_)) => return,
            Some((row, name)) if row.takes(&name, "infinity") && !row.takes(&name, "undefined") => "infinity",
            _ => "undefined",
        };
        self.set(place, key, value.to_owned());
    }

    fn set(&mut self, place: &Place, key: String, value: String) {
        let origin = place.origin.clone();
        match is_known(&key::segments(&key)) {
            true => self.settings.push(Setting { origin, key, value }),
            false => self.has_no_meaning(place),
        }
    }

    /// What stands there is none of the things that a key takes.
    fn not_read(&mut self, place: &Place, key: &str) {
        let segments = key::segments(key);
        let is_guarded = GUARDED.iter().any(|guarded| matches(guarded, &segments).is_some());
        match is_guarded || keys::find(&segments).is_some() {
            true => self.cannot_read(place, "a value that rabbitmq.conf has too"),
            false => self.has_no_meaning(place),
        }
    }

    fn cannot_read(&mut self, place: &Place, expected: &str) {
        self.problems.push(Problem::Syntax {
            origin: place.origin.clone(),
            expected: format!("{expected} in {place}"),
        });
    }

    fn has_no_meaning(&mut self, place: &Place) {
        self.remarks
            .push(format!("{}: {place} has no meaning here", place.origin));
    }
}

/// Whether `rabbitmq.conf` has that key.
fn is_known(segments: &[String]) -> bool {
    keys::find(segments).is_some() || keys::ignored::reason(segments).is_some()
}

/// `{name, value}` with its line.
fn pair(term: &Term) -> Option<(usize, &str, &Term)> {
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

fn under_numbers(key: &str, values: Vec<String>) -> impl Iterator<Item = (String, String)> {
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

/// What is wrong with a query to a directory, if the setting is one.
fn wrong_query(place: &Place, value: &Term) -> Option<NoQuery> {
    let [app, name] = place.path.as_slice() else {
        return None;
    };
    match name.as_str() {
        _ if app != LDAP => None,
        "vhost_access_query" | "resource_access_query" | "topic_access_query" => Query::of(value).err(),
        "tag_queries" => TagQuery::all_of(value).err(),
        _ => None,
    }
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
fn scalar(value: &Term) -> Option<String> {
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
fn quoted(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Lines {
        parse(Path::new("a.config"), text)
    }

    fn settings(text: &str) -> Vec<String> {
        let lines = read(text);
        assert!(lines.problems.is_empty(), "{:?}", lines.problems);
        assert!(lines.remarks.is_empty(), "{:?}", lines.remarks);
        let settings = lines.settings.iter();
        settings
            .map(|setting| format!("{} = {}", setting.key, setting.value))
            .collect()
    }

    #[test]
    fn settings_are_those_of_rabbitmq_conf() {
        for (term, expected) in [
            (
                "{tcp_listeners, [5672, {\"127.0.0.1\", 5673}, {\"::1\", 5674}]}",
                &["listeners.tcp = 5672,127.0.0.1:5673,[::1]:5674"][..],
            ),
            ("{tcp_listeners, []}", &["listeners.tcp = none"]),
            (
                "{tcp_listeners, [{{127,0,0,1}, 5672}, {{0,0,0,0,0,0,0,1}, 5673}, {\"::\", 5674}, {\"[::1]\", 5675}]}",
                &["listeners.tcp = 127.0.0.1:5672,[::1]:5673,[::]:5674,[::1]:5675"],
            ),
            (
                "{ssl_listeners, [{\"0.0.0.0\", 5671, inet}, {auto, 5672}]}",
                &["listeners.ssl = 0.0.0.0:5671,5672"],
            ),
            ("{default_user_tags, []}", &["default_user_tags.administrator = false"]),
            ("{consumer_timeout, undefined}", &["consumer_timeout = infinity"]),
            ("{cluster_name, undefined}, {load_definitions, none}", &[]),
            (
                "{cluster_partition_handling, {pause_if_all_down, ['rabbit@a', 'rabbit@b'], autoheal}}",
                &[
                    "cluster_partition_handling = pause_if_all_down",
                    "cluster_partition_handling.pause_if_all_down.nodes.1 = rabbit@a",
                    "cluster_partition_handling.pause_if_all_down.nodes.2 = rabbit@b",
                    "cluster_partition_handling.pause_if_all_down.recover = autoheal",
                ],
            ),
            (
                "{cluster_partition_handling, autoheal}",
                &["cluster_partition_handling = autoheal"],
            ),
            (
                "{cluster_formation, [{peer_discovery_backend, rabbit_peer_discovery_dns}, \
                {peer_discovery_dns, [{hostname, <<\"a.b\">>}]}, \
                {peer_discovery_classic_config, [{nodes, ['rabbit@a']}]}]}",
                &[
                    "cluster_formation.peer_discovery_backend = rabbit_peer_discovery_dns",
                    "cluster_formation.dns.hostname = a.b",
                    "cluster_formation.classic_config.nodes.1 = rabbit@a",
                ],
            ),
            (
                "{default_users, [{<<\"bob\">>, [{<<\"password\">>, <<\"x\">>}, {tags, [management, monitoring]}]}]}",
                &[
                    "default_users.bob.password = x",
                    "default_users.bob.tags = management,monitoring",
                ],
            ),
            (
                "{default_policies, [{operator, [{<<\"a\">>, [{max_length, 5}]}]}]}",
                &["default_policies.operator.a.max_length = 5"],
            ),
            (
                "{default_user, <<\"bob\">>}, {default_pass, <<\"x\">>}, {default_vhost, <<\"/\">>}",
                &["default_user = bob", "default_pass = x", "default_vhost = /"],
            ),
            (
                "{default_permissions, [<<\"a\">>, <<\"b\">>, <<\"c\">>]}",
                &[
                    "default_permissions.configure = a",
                    "default_permissions.write = b",
                    "default_permissions.read = c",
                ],
            ),
            (
                "{default_user_tags, [administrator]}",
                &["default_user_tags.administrator = true"],
            ),
            ("{loopback_users, []}", &["loopback_users = none"]),
            ("{loopback_users, [<<\"a.b\">>]}", &["loopback_users.a\\.b = true"]),
            (
                "{vm_memory_high_watermark, 0.4}",
                &["vm_memory_high_watermark.relative = 0.4"],
            ),
            (
                "{vm_memory_high_watermark, {absolute, \"2GB\"}}",
                &["vm_memory_high_watermark.absolute = 2GB"],
            ),
            ("{disk_free_limit, 50000000}", &["disk_free_limit.absolute = 50000000"]),
            (
                "{disk_free_limit, {mem_relative, 1.5}}",
                &["disk_free_limit.relative = 1.5"],
            ),
            (
                "{heartbeat, 30}, {frame_max, 131072}, {channel_max, 128}",
                &["heartbeat = 30", "frame_max = 131072", "channel_max = 128"],
            ),
            (
                "{tcp_listen_options, [{sndbuf, 5000}, {linger, {true, 3}}]}",
                &[
                    "tcp_listen_options.sndbuf = 5000",
                    "tcp_listen_options.linger.on = true",
                    "tcp_listen_options.linger.timeout = 3",
                ],
            ),
            (
                "{tcp_listen_options, [{backlog, 128}, {nodelay, true}]}",
                &["tcp_listen_options.backlog = 128", "tcp_listen_options.nodelay = true"],
            ),
            (
                "{auth_mechanisms, ['PLAIN', 'AMQPLAIN']}",
                &["auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = AMQPLAIN"],
            ),
            (
                "{cluster_nodes, {['rabbit@a', 'rabbit@b'], disc}}",
                &[
                    "cluster_formation.classic_config.nodes.1 = rabbit@a",
                    "cluster_formation.classic_config.nodes.2 = rabbit@b",
                ],
            ),
            (
                "{log, [{console, [{enabled, true}, {level, debug}]}, {file, [{file, \"r.log\"}, {level, info}]}, \
                {categories, [{connection, [{level, error}]}]}]}",
                &[
                    "log.console = true",
                    "log.console.level = debug",
                    "log.file = r.log",
                    "log.file.level = info",
                    "log.connection.level = error",
                ],
            ),
            (
                "{log, [{file, [{file, \"r.log\"}, {enabled, true}, {formatter, {rabbit_logger_json_fmt, #{}}}]}]}",
                &["log.file = r.log", "log.file.formatter = json"],
            ),
            ("{log, [{file, [{enabled, false}]}]}", &["log.file = false"]),
            ("{log_levels, [{connection, info}]}", &["log.connection.level = info"]),
            ("{load_definitions, \"/d.json\"}", &["load_definitions = /d.json"]),
            (
                "{ssl_options, [{cacertfile, \"/ca\"}, {verify, verify_peer}, {versions, ['tlsv1.2']}]}",
                &[
                    "ssl_options.cacertfile = /ca",
                    "ssl_options.verify = verify_peer",
                    "ssl_options.versions.1 = tlsv1.2",
                ],
            ),
        ] {
            assert_eq!(settings(&format!("[{{rabbit, [{term}]}}].")), expected, "{term}");
        }
    }

    #[test]
    fn other_applications_have_settings_too() {
        for (term, expected) in [
            (
                "{rabbitmq_management, [{listener, [{port, 8080}, {ip, {127,0,0,1}}]}, {path_prefix, \"/mq\"}, \
                {cors_allow_origins, [\"*\"]}, {load_definitions, \"/d\"}]}",
                &[
                    "management.listener.port = 8080",
                    "management.listener.ip = 127.0.0.1",
                    "management.path_prefix = /mq",
                    "management.cors.allow_origins.1 = *",
                    "management.load_definitions = /d",
                ][..],
            ),
            (
                "{rabbitmq_management, [{ssl_config, [{port, 1}, {versions, ['tlsv1.2']}, {sni_hosts, \
                [{\"a.b\", [{certfile, \"/c\"}]}]}]}, {tcp_config, [{cowboy_opts, [{compress, false}]}]}]}",
                &[
                    "management.ssl.port = 1",
                    "management.ssl.versions.1 = tlsv1.2",
                    "management.ssl.sni_hosts.a\\.b.certfile = /c",
                    "management.tcp.compress = false",
                ],
            ),
            (
                "{rabbitmq_management, [{sample_retention_policies, [{global, [{60, 5}, {3600, 60}]}]}]}",
                &[
                    "management.sample_retention_policies.global.60 = 5",
                    "management.sample_retention_policies.global.3600 = 60",
                ],
            ),
            (
                "{rabbitmq_prometheus, [{tcp_config, [{port, 1}]}, {ssl_config, [{ssl_opts, [{depth, 1}]}]}]}",
                &["prometheus.tcp.port = 1", "prometheus.ssl.depth = 1"],
            ),
            (
                "{rabbitmq_stream, [{tcp_listeners, [{\"::1\", 5552}]}, {ssl_listeners, []}, {advertised_host, \"a\"}]}",
                &[
                    "stream.listeners.tcp = [::1]:5552",
                    "stream.listeners.ssl = none",
                    "stream.advertised_host = a",
                ],
            ),
            (
                "{rabbitmq_auth_backend_cache, [{cached_backend, {ldap, internal}}, {cache_ttl, 5}]}",
                &[
                    "auth_cache.cached_backend.authn = ldap",
                    "auth_cache.cached_backend.authz = internal",
                    "auth_cache.cache_ttl = 5",
                ],
            ),
            (
                "{rabbitmq_auth_backend_ldap, [{servers, [\"a\", \"b\"]}, {other_bind, {\"cn=x\", \"y\"}}, \
                {dn_lookup_bind, anon}, {vhost_access_query, {constant, true}}]}",
                &[
                    "auth_ldap.servers.1 = a",
                    "auth_ldap.servers.2 = b",
                    "auth_ldap.other_bind.user_dn = cn=x",
                    "auth_ldap.other_bind.password = y",
                    "auth_ldap.dn_lookup_bind = anon",
                    "auth_ldap.queries.vhost_access = {constant, true}",
                ],
            ),
            (
                "{rabbitmq_auth_backend_oauth2, [{key_config, [{signing_keys, #{<<\"k\">> => {pem_file, \"/k.pem\"}}}, \
                {algorithms, [<<\"RS256\">>]}, {peer_verification, verify_none}]}, \
                {resource_servers, #{<<\"prod\">> => [{id, <<\"p\">>}, {extra_scopes_source, <<\"roles\">>}]}}, \
                {scope_aliases, #{<<\"a\">> => [<<\"b\">>, <<\"c\">>]}}]}",
                &[
                    "auth_oauth2.signing_keys.k = /k.pem",
                    "auth_oauth2.algorithms.1 = RS256",
                    "auth_oauth2.https.peer_verification = verify_none",
                    "auth_oauth2.resource_servers.prod.id = p",
                    "auth_oauth2.resource_servers.prod.additional_scopes_key = roles",
                    "auth_oauth2.scope_aliases.a = b c",
                ],
            ),
        ] {
            assert_eq!(settings(&format!("[{term}].")), expected, "{term}");
        }
    }

    #[test]
    fn what_has_no_meaning_is_named_and_its_neighbours_are_taken() {
        let text = "[{rabbit, [{heartbeat, 5}, {frobnicate, true}, {tcp_listen_options, [binary,\n\
            {backlog, 128}, {ip, {127,0,0,1}}, {raw, 6, 18, 5}]}]},\n\
            {rabbitmq_shovel, [{shovels, []}]},\n {kernel, [{net_ticktime, 60}]}].";
        let lines = read(text);
        assert!(lines.problems.is_empty(), "{:?}", lines.problems);
        let keys: Vec<_> = lines.settings.iter().map(|setting| setting.key.as_str()).collect();
        assert_eq!(keys, ["heartbeat", "tcp_listen_options.backlog"]);
        assert_eq!(
            lines.remarks,
            [
                "a.config:1: rabbit.frobnicate has no meaning here",
                "a.config:1: rabbit.tcp_listen_options.binary has no meaning here",
                "a.config:2: rabbit.tcp_listen_options.ip has no meaning here",
                "a.config:2: rabbit.tcp_listen_options.raw has no meaning here",
                "a.config:3: rabbitmq_shovel.shovels has no meaning here",
                "a.config:4: kernel.net_ticktime has no meaning here",
            ]
        );
    }

    #[test]
    fn what_is_no_configuration_is_a_problem() {
        for (text, problem) in [
            ("[{rabbit, [}].", "a.config:1: expected a term"),
            (
                "[{rabbit, [\n{auth_backends, [{internal, [http, ldap]}]}]}].",
                "a.config:2: expected backends, each alone or as {Authn, Authz} with one of each in rabbit.auth_backends",
            ),
            (
                "rabbit.",
                "a.config:1: expected a list of {Application, [{Key, Value}]}",
            ),
            (
                "[\n{rabbit, x}].",
                "a.config:2: expected a list of {Application, [{Key, Value}]}",
            ),
            (
                "[{rabbit, [x]}].",
                "a.config:1: expected a list of {Application, [{Key, Value}]}",
            ),
            (
                "[{rabbit, [{tcp_listeners, [5672,\n{{127,0,0}, 5673}]}]}].",
                "a.config:1: expected a list of ports and {Address, Port} in rabbit.tcp_listeners",
            ),
            (
                "[{rabbit, [{ssl_listeners, undefined}]}].",
                "a.config:1: expected a list of ports and {Address, Port} in rabbit.ssl_listeners",
            ),
            (
                "[{rabbit, [{loopback_users, [{a, b}]}]}].",
                "a.config:1: expected a list of users in rabbit.loopback_users",
            ),
            (
                "[{rabbit, [{auth_mechanisms, []}]}].",
                "a.config:1: expected a list of mechanisms in rabbit.auth_mechanisms",
            ),
            (
                "[{rabbit, [{ssl_options, [{cacertfile, \"/ca\"},\n{user_lookup_fun, {a, b}}]}]}].",
                "a.config:2: expected a value that rabbitmq.conf has too in rabbit.ssl_options.user_lookup_fun",
            ),
            (
                "[{rabbit, [{heartbeat, {5, s}}]}].",
                "a.config:1: expected a value that rabbitmq.conf has too in rabbit.heartbeat",
            ),
            (
                "[{rabbit, [{cluster_partition_handling, {pause_if_all_down, [], ignore}}]}].",
                "a.config:1: expected a word, or {pause_if_all_down, Nodes, Recovery} in rabbit.cluster_partition_handling",
            ),
        ] {
            let lines = read(text);
            let problems: Vec<_> = lines.problems.iter().map(Problem::to_string).collect();
            assert_eq!(problems, [problem], "{text}");
        }
    }
}
