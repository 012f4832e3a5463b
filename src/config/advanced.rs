//! Configuration in Erlang terms: `advanced.config`, and `rabbitmq.config` of before `rabbitmq.conf`.
//!
//! Each `{Key, Value}` of an application becomes settings of the keys that `rabbitmq.conf` has for
//! the same thing, and the table of keys says the rest. What has no such key is told by its name.

use std::path::Path;

use super::erlang::{self, Term};
use super::ldap_query::{NoQuery, Query, TagQuery};
use super::lines::Lines;
use super::problem::Problem;
use super::setting::{Origin, Setting};
use super::{key, keys};

/// The applications whose settings are read, and what stands before their keys in `rabbitmq.conf`.
const APPLICATIONS: [(&str, &str); 7] = [
    ("rabbit", ""),
    ("rabbitmq_management", "management."),
    ("rabbitmq_prometheus", "prometheus."),
    ("rabbitmq_auth_backend_cache", "auth_cache."),
    (HTTP, "auth_http."),
    (LDAP, "auth_ldap."),
    (OAUTH2, "auth_oauth2."),
];

const HTTP: &str = "rabbitmq_auth_backend_http";
const LDAP: &str = "rabbitmq_auth_backend_ldap";
const OAUTH2: &str = "rabbitmq_auth_backend_oauth2";

/// Keys and their values as `rabbitmq.conf` would have them; `None` is a term that it has no words
/// for.
type Pairs = Option<Vec<(String, String)>>;

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
        for setting in settings {
            match pair(setting) {
                Some((line, name, value)) => lines.add(at(line), app, name, value),
                None => lines.problems.push(problem(line, shape)),
            }
        }
    }
    lines
}

impl Lines {
    /// Takes a setting of an application.
    fn add(&mut self, origin: Origin, app: &str, name: &str, value: &Term) {
        if app == LDAP
            && let Some(wrong) = wrong_query(name, value)
        {
            let origin = match origin {
                Origin::File { path, line } => Origin::File {
                    path,
                    line: wrong.line.unwrap_or(line),
                },
                other => other,
            };
            let expected = wrong.expected;
            return self.problems.push(Problem::Syntax { origin, expected });
        }
        let prefix = APPLICATIONS
            .iter()
            .find(|(own, _)| *own == app)
            .map(|(_, prefix)| *prefix);
        let pairs = prefix.and_then(|prefix| translate(prefix, name, value));
        let Some(pairs) = pairs else {
            if (app, name) == ("rabbit", "auth_backends") {
                // Who is let in must not be decided by something else than what is written here.
                let expected = "backends, each alone or as {Authn, Authz} with one of each".to_owned();
                return self.problems.push(Problem::Syntax { origin, expected });
            }
            self.remarks.push(format!("{origin}: {app}.{name} has no meaning here"));
            return;
        };
        for (key, value) in pairs {
            let origin = origin.clone();
            let segments = key::segments(&key);
            if keys::find(&segments).is_some() || keys::ignored::reason(&segments).is_some() {
                self.settings.push(Setting { origin, key, value });
            } else {
                self.remarks
                    .push(format!("{origin}: {app}.{name} ({key}) has no meaning here"));
            }
        }
    }
}

/// `{name, value}` with its line.
fn pair(term: &Term) -> Option<(usize, &str, &Term)> {
    match term {
        Term::Tuple { line, items } => match items.as_slice() {
            [Term::Atom(name) | Term::Text(name), value] => Some((*line, name.as_str(), value)),
            _ => None,
        },
        _ => None,
    }
}

/// What a setting is called in `rabbitmq.conf`, where names or shapes are others there.
fn translate(prefix: &str, name: &str, value: &Term) -> Pairs {
    match (prefix, name) {
        ("", "tcp_listeners") => listeners("listeners.tcp", value),
        ("", "ssl_listeners") => listeners("listeners.ssl", value),
        ("", "vm_memory_high_watermark") => limit(name, value, "relative"),
        ("", "disk_free_limit") => limit(name, value, "absolute"),
        ("", "default_permissions") => {
            let patterns = texts(value)?;
            let keys = ["configure", "write", "read"].map(|key| format!("default_permissions.{key}"));
            (patterns.len() == keys.len()).then(|| keys.into_iter().zip(patterns).collect())
        }
        ("", "default_user_tags") => {
            let tags = texts(value)?.into_iter();
            Some(
                tags.map(|tag| (format!("default_user_tags.{}", quoted(&tag)), "true".to_owned()))
                    .collect(),
            )
        }
        ("", "loopback_users") => match texts(value)? {
            none if none.is_empty() => one("loopback_users", "none"),
            users => {
                let users = users.into_iter();
                Some(
                    users
                        .map(|user| (format!("loopback_users.{}", quoted(&user)), "true".to_owned()))
                        .collect(),
                )
            }
        },
        ("", "auth_mechanisms") => numbered(name, value),
        ("", "auth_backends") => backends(value),
        ("", "cluster_nodes") => {
            let nodes = match value {
                Term::Tuple { items, .. } => items.first()?,
                nodes => nodes,
            };
            numbered("cluster_formation.classic_config.nodes", nodes)
        }
        ("", "log_levels") => {
            let levels = list(value)?.iter().map(|level| {
                let (_, category, level) = pair(level)?;
                Some((format!("log.{category}.level"), scalar(level)?))
            });
            levels.collect()
        }
        ("", "log") => log(value),
        ("management.", "cors_allow_origins") => numbered("management.cors.allow_origins", value),
        ("management.", "cors_max_age") => nested("management.cors.max_age", value),
        ("management.", "max_http_body_size") => nested("management.http.max_body_size", value),
        ("auth_ldap.", "vhost_access_query") => one("auth_ldap.queries.vhost_access", &value.to_string()),
        ("auth_ldap.", "resource_access_query") => one("auth_ldap.queries.resource_access", &value.to_string()),
        ("auth_ldap.", "topic_access_query") => one("auth_ldap.queries.topic_access", &value.to_string()),
        ("auth_ldap.", "tag_queries") => one("auth_ldap.queries.tags", &value.to_string()),
        ("auth_ldap.", "servers") => numbered("auth_ldap.servers", value),
        ("auth_ldap.", "dn_lookup_bind" | "other_bind") => match value {
            Term::Tuple { .. } => {
                let (_, dn, password) = pair(value)?;
                let key = format!("auth_ldap.{name}");
                Some(vec![
                    (format!("{key}.user_dn"), dn.to_owned()),
                    (format!("{key}.password"), scalar(password)?),
                ])
            }
            word => nested(&format!("auth_ldap.{name}"), word),
        },
        ("auth_oauth2.", "extra_scopes_source") => nested("auth_oauth2.additional_scopes_key", value),
        ("auth_oauth2.", "scope_aliases") => scope_aliases(value),
        ("auth_oauth2.", "key_config") => {
            let mut all = Vec::new();
            for setting in list(value)? {
                let (_, name, value) = pair(setting)?;
                all.extend(nested(&format!("auth_oauth2.{name}"), value)?);
            }
            Some(all)
        }
        (_, "tcp_config") => nested(&format!("{prefix}tcp"), value),
        (_, "ssl_config") => nested(&format!("{prefix}ssl"), value),
        ("", "definitions") => {
            let renamed = nested(name, value)?.into_iter().map(|(key, value)| match key.as_str() {
                "definitions.path" => ("definitions.local.path".to_owned(), value),
                _ => (key, value),
            });
            Some(renamed.collect())
        }
        _ => nested(&format!("{prefix}{name}"), value),
    }
}

fn one(key: &str, value: &str) -> Pairs {
    Some(vec![(key.to_owned(), value.to_owned())])
}

/// A value, or `{Key, Value}`s below the key. Lists of values are numbered.
fn nested(key: &str, value: &Term) -> Pairs {
    if let Some(value) = scalar(value) {
        return Some(vec![(key.to_owned(), value)]);
    }
    let items = list(value)?;
    if items.iter().all(|item| scalar(item).is_some()) {
        return numbered(key, value);
    }
    let mut all = Vec::new();
    for item in items {
        match pair(item) {
            // Names as texts, each with the files of its certificate.
            Some((_, "sni_hosts", hosts)) => all.extend(nested(&format!("{key}.sni_hosts"), hosts)?),
            Some((_, name, value)) => all.extend(nested(&format!("{key}.{}", quoted(name)), value)?),
            // As Erlang reads such lists, a word alone is an option that is on.
            None => all.push((format!("{key}.{}", quoted(&scalar(item)?)), "true".to_owned())),
        }
    }
    Some(all)
}

/// A port, or an address and a port, for each listener.
fn listeners(key: &str, value: &Term) -> Pairs {
    let each = list(value)?.iter().map(|listener| match listener {
        Term::Tuple { items, .. } => {
            let (host, port) = (scalar(items.first()?)?, scalar(items.get(1)?)?);
            Some(match host.contains(':') {
                true => format!("[{host}]:{port}"),
                false => format!("{host}:{port}"),
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

/// A number, or `{absolute, Number}` or `{relative, Number}`; `bare` is what a number alone means.
fn limit(key: &str, value: &Term, bare: &str) -> Pairs {
    let (kind, number) = match value {
        Term::Tuple { .. } => {
            let (_, kind, number) = pair(value)?;
            (if kind == "mem_relative" { "relative" } else { kind }, number)
        }
        number => (bare, number),
    };
    Some(vec![(format!("{key}.{kind}"), scalar(number)?)])
}

/// `{console, [{enabled, true}, {level, L}]}`, `{file, [{file, F}, {level, L}]}` and
/// `{categories, [{connection, [{level, L}]}]}`.
fn log(value: &Term) -> Pairs {
    let mut all = Vec::new();
    for output in list(value)? {
        let (_, name, settings) = pair(output)?;
        match name {
            "categories" => {
                for category in list(settings)? {
                    let (_, category, settings) = pair(category)?;
                    all.extend(nested(&format!("log.{category}"), settings)?);
                }
            }
            _ => {
                for (key, value) in nested(&format!("log.{name}"), settings)? {
                    let own = key.strip_suffix(".enabled").or_else(|| key.strip_suffix(".file"));
                    let key = own.filter(|own| own.contains('.')).unwrap_or(&key);
                    all.push((key.to_owned(), value));
                }
            }
        }
    }
    Some(all)
}

fn numbered(key: &str, value: &Term) -> Pairs {
    let values = texts(value)?.into_iter().enumerate();
    Some(values.map(|(at, value)| (format!("{key}.{}", at + 1), value)).collect())
}

/// What is wrong with a query to a directory, if the setting is one.
fn wrong_query(name: &str, value: &Term) -> Option<NoQuery> {
    match name {
        "vhost_access_query" | "resource_access_query" | "topic_access_query" => Query::of(value).err(),
        "tag_queries" => TagQuery::all_of(value).err(),
        _ => None,
    }
}

/// `[Backend, {Authn, Authz}]`.
fn backends(value: &Term) -> Pairs {
    let mut all = Vec::new();
    for (at, backend) in list(value)?.iter().enumerate() {
        let key = format!("auth_backends.{}", at + 1);
        match backend {
            Term::Tuple { .. } => {
                let (_, authn, authz) = pair(backend)?;
                // One of several that all have to agree is more than `rabbitmq.conf` can say.
                let authz = match authz {
                    Term::List(one) => scalar(one.first().filter(|_| one.len() == 1)?)?,
                    one => scalar(one)?,
                };
                all.push((format!("{key}.authn"), authn.to_owned()));
                all.push((format!("{key}.authz"), authz));
            }
            one => all.push((key, scalar(one)?)),
        }
    }
    Some(all)
}

/// `#{Alias => Scopes}`, the scopes in a text or a list of texts.
fn scope_aliases(value: &Term) -> Pairs {
    let Term::Map(aliases) = value else {
        return None;
    };
    let each = aliases.iter().map(|(alias, scopes)| {
        let scopes = match scopes {
            Term::List(_) => texts(scopes)?.join(" "),
            one => scalar(one)?,
        };
        Some((format!("auth_oauth2.scope_aliases.{}", quoted(&scalar(alias)?)), scopes))
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
                "{tcp_listen_options, [{sndbuf, 5000}, {linger, [{on, true}]}]}",
                &[
                    "tcp_listen_options.sndbuf = 5000",
                    "tcp_listen_options.linger.on = true",
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
        assert_eq!(
            settings(
                "[{rabbitmq_management, [{listener, [{port, 8080}]}, {path_prefix, \"/mq\"}, \
                {cors_allow_origins, [\"*\"]}, {load_definitions, \"/d\"}]}, {rabbitmq_prometheus, [{tcp_config, [{port, 1}]}]}]."
            ),
            [
                "management.listener.port = 8080",
                "management.path_prefix = /mq",
                "management.cors.allow_origins.1 = *",
                "management.load_definitions = /d",
                "prometheus.tcp.port = 1",
            ]
        );
    }

    #[test]
    fn what_has_no_meaning_is_named() {
        let text = "[{rabbit, [{heartbeat, 5}, {frobnicate, true}, {tcp_listen_options, [binary]}]},\n\
            {rabbitmq_shovel, [{shovels, []}]},\n {kernel, [{net_ticktime, 60}]}].";
        let lines = read(text);
        assert_eq!(lines.settings.len(), 1);
        assert_eq!(
            lines.remarks,
            [
                "a.config:1: rabbit.frobnicate (frobnicate) has no meaning here",
                "a.config:1: rabbit.tcp_listen_options (tcp_listen_options.1) has no meaning here",
                "a.config:2: rabbitmq_shovel.shovels has no meaning here",
                "a.config:3: kernel.net_ticktime has no meaning here",
            ]
        );
    }

    #[test]
    fn what_is_no_configuration_is_a_problem() {
        for (text, problem) in [
            ("[{rabbit, [}].", "a.config:1: expected a term"),
            (
                "[{rabbit, [\n{auth_backends, [{internal, [http, ldap]}]}]}].",
                "a.config:2: expected backends, each alone or as {Authn, Authz} with one of each",
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
        ] {
            let lines = read(text);
            let problems: Vec<_> = lines.problems.iter().map(Problem::to_string).collect();
            assert_eq!(problems, [problem], "{text}");
        }
    }
}
