//! Configuration in Erlang terms: `advanced.config`, and `rabbitmq.config` of before `rabbitmq.conf`.
//!
//! A term is a tree with `{Name, Value}` at its forks; a [`Place`] is a way down into it. What stands at its end
//! becomes a setting of the key that `rabbitmq.conf` has for the same thing, and the table of keys says the rest. A
//! row tells Erlang's name for its key where it is another ([`Key::terms`](super::key::Key::terms)), [`PARTS`] of
//! whole branches, and [`SHAPES`](shapes::SHAPES) what is written there in a way of its own. A value that cannot be read is a
//! problem where there is such a key, and wherever it is about who is let in ([`GUARDED`]); all else that has no
//! meaning here is told by its name, and its neighbours are taken.

mod shapes;

use std::fmt;
use std::path::Path;

use super::erlang::{self, Term};
use super::key::{BETWEEN, Sample, matches};
use super::ldap_query::{NoQuery, Query, TagQuery};
use super::lines::Lines;
use super::problem::Problem;
use super::setting::{Origin, Setting};
use super::{key, keys};
use shapes::{SHAPES, pair, quoted, scalar, under_numbers};

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

#[cfg(test)]
mod tests;
