//! Rows about where users are looked up.

use super::super::sections::{AuthBackend, ChainedBackend, ClientTls, LdapBind, ResourceServer, TokenIssuer};
use super::super::value::{ldap_query, ldap_tags, text, url};
use super::*;
use crate::types::Millis;

pub fn keys() -> Vec<Key> {
    let mut keys = chain();
    keys.extend(cache());
    keys.extend(http());
    keys.extend(ldap());
    keys.extend(oauth2());
    keys
}

fn chain() -> Vec<Key> {
    vec![
        key("auth_backends.$num", backend())
            .example("1 = internal")
            .help(
                "Where users are looked up, in the order of the numbers: internal (the default), ldap, http, oauth2 or \
                 cache.",
            )
            .sets_named(|c, num, backend| {
                *link(c, num) = ChainedBackend {
                    authn: Some(backend),
                    authz: Some(backend),
                }
            }),
        key("auth_backends.$num.authn", backend())
            .example("1 = internal")
            .help("Where passwords are checked.")
            .sets_named(|c, num, backend| link(c, num).authn = Some(backend)),
        key("auth_backends.$num.authz", backend())
            .example("1 = internal")
            .help("Where permissions are checked.")
            .sets_named(|c, num, backend| link(c, num).authz = Some(backend)),
    ]
}

fn cache() -> Vec<Key> {
    vec![
        key("auth_cache.cached_backend", backend())
            .example("http")
            .help("The backend whose answers the backend 'cache' keeps.")
            .sets(|c, backend| {
                c.auth.backends.cache.backend = ChainedBackend {
                    authn: Some(backend),
                    authz: Some(backend),
                }
            }),
        key("auth_cache.cached_backend.authn", backend())
            .example("ldap")
            .help("The one that checks passwords.")
            .sets(|c, backend| c.auth.backends.cache.backend.authn = Some(backend)),
        key("auth_cache.cached_backend.authz", backend())
            .example("http")
            .help("The one that checks permissions.")
            .sets(|c, backend| c.auth.backends.cache.backend.authz = Some(backend)),
        key("auth_cache.cache_ttl", integer(1..=86_400_000))
            .default("15000")
            .help("How many milliseconds an answer is kept.")
            .sets(|c, ms| c.auth.backends.cache.ttl = Millis(ms)),
        key("auth_cache.cache_refusals", switch())
            .default("false")
            .help("Whether refusals are kept too.")
            .sets(|c, on| c.auth.backends.cache.refusals = on),
    ]
}

fn http() -> Vec<Key> {
    let mut keys = vec![
        key("auth_http.http_method", choice(&[("get", false), ("post", true)]))
            .default("get")
            .help("How the server is asked.")
            .sets(|c, post| c.auth.backends.http.post = post),
        key("auth_http.user_path", url())
            .default("http://localhost:8000/auth/user")
            .help("Where users are asked about; the answer is 'allow' with tags behind it, or 'deny'.")
            .sets(|c, path| c.auth.backends.http.user_path = path),
        key("auth_http.vhost_path", url())
            .default("http://localhost:8000/auth/vhost")
            .help("Where vhosts are asked about: 'allow' or 'deny'.")
            .sets(|c, path| c.auth.backends.http.vhost_path = path),
        key("auth_http.resource_path", url())
            .default("http://localhost:8000/auth/resource")
            .help("Where queues and exchanges are asked about.")
            .sets(|c, path| c.auth.backends.http.resource_path = path),
        key("auth_http.topic_path", url())
            .default("http://localhost:8000/auth/topic")
            .help("Where routing keys of topic exchanges are asked about.")
            .sets(|c, path| c.auth.backends.http.topic_path = path),
        key("auth_http.request_timeout", integer(1..=600_000))
            .default("15000")
            .help("Milliseconds for an answer.")
            .sets(|c, ms| c.auth.backends.http.request_timeout = Millis(ms)),
        key("auth_http.connection_timeout", integer(1..=600_000))
            .default("15000")
            .help("Milliseconds for a connection.")
            .sets(|c, ms| c.auth.backends.http.connection_timeout = Millis(ms)),
    ];
    keys.extend(client_tls("auth_http.ssl_options", false, |c, _| {
        &mut c.auth.backends.http.tls
    }));
    keys
}

fn ldap() -> Vec<Key> {
    let mut keys = vec![
        key("auth_ldap.servers.$server", name())
            .example("1 = ldap.example.com")
            .help("Hosts with the directory; the first that answers is asked.")
            .sets_named(|c, at, host| c.auth.backends.ldap.servers.set(at, host)),
        key("auth_ldap.port", integer(1..=65535))
            .default("389")
            .help("Their port.")
            .sets(|c, port| c.auth.backends.ldap.port = port),
        key("auth_ldap.connection_pool_size", integer(1..=1024))
            .term("rabbitmq_auth_backend_ldap.pool_size")
            .default("64")
            .help("Connections to the directory at a time.")
            .sets(|c, size| c.auth.backends.ldap.pool_size = size),
        key("auth_ldap.timeout", integer(1..=600_000).or("infinity"))
            .default("infinity")
            .help("Milliseconds for each answer; never more than 30 seconds.")
            .sets(|c, ms| c.auth.backends.ldap.timeout = ms.map(Millis)),
        key("auth_ldap.idle_timeout", integer(1..=86_400_000).or("infinity"))
            .default("300000")
            .help("Milliseconds that an idle connection is kept.")
            .sets(|c, ms| c.auth.backends.ldap.idle_timeout = ms.map(Millis)),
        key("auth_ldap.user_bind_pattern", text())
            .example("${username}@example.com")
            .help("What a user binds as, if that is not its distinguished name.")
            .sets(|c, pattern| c.auth.backends.ldap.user_bind_pattern = Some(pattern)),
        key("auth_ldap.user_dn_pattern", text())
            .default("${username}")
            .help("The distinguished name of a user; where it is looked up, the value that is looked for.")
            .sets(|c, pattern| c.auth.backends.ldap.user_dn_pattern = pattern),
        key("auth_ldap.dn_lookup_attribute", name().or("none"))
            .default("none")
            .help("The attribute that users are looked up by.")
            .sets(|c, name| c.auth.backends.ldap.dn_lookup_attribute = name),
        key("auth_ldap.dn_lookup_base", text().or("none"))
            .default("none")
            .help("Below what they are looked up.")
            .sets(|c, base| c.auth.backends.ldap.dn_lookup_base = base),
        key("auth_ldap.group_lookup_base", text().or("none"))
            .default("none")
            .help("Below what groups are looked up that are in each other; else where users are.")
            .sets(|c, base| c.auth.backends.ldap.group_lookup_base = base),
        key("auth_ldap.use_ssl", switch())
            .default("false")
            .help("Whether TLS is spoken from the start.")
            .sets(|c, on| c.auth.backends.ldap.use_ssl = on),
        key("auth_ldap.use_starttls", switch())
            .default("false")
            .help("Whether TLS is asked for on a plain connection.")
            .sets(|c, on| c.auth.backends.ldap.use_starttls = on),
        key("auth_ldap.queries.vhost_access", ldap_query())
            .term("rabbitmq_auth_backend_ldap.vhost_access_query")
            .default("{constant, true}")
            .help("Who may come into a vhost: an Erlang term, as RabbitMQ takes it in advanced.config only.")
            .sets(|c, query| c.auth.backends.ldap.vhost_access = query),
        key("auth_ldap.queries.resource_access", ldap_query())
            .term("rabbitmq_auth_backend_ldap.resource_access_query")
            .default("{constant, true}")
            .help("Who may use queues and exchanges.")
            .sets(|c, query| c.auth.backends.ldap.resource_access = query),
        key("auth_ldap.queries.topic_access", ldap_query())
            .term("rabbitmq_auth_backend_ldap.topic_access_query")
            .default("{constant, true}")
            .help("Who may use routing keys of topic exchanges.")
            .sets(|c, query| c.auth.backends.ldap.topic_access = query),
        key("auth_ldap.queries.tags", ldap_tags())
            .term("rabbitmq_auth_backend_ldap.tag_queries")
            .default("[{administrator, {constant, false}}]")
            .help("Who has which tag.")
            .sets(|c, tags| c.auth.backends.ldap.tags = tags),
    ];
    keys.extend(ldap_bind("auth_ldap.dn_lookup_bind", "users are looked up", |c| {
        &mut c.auth.backends.ldap.dn_lookup_bind
    }));
    keys.extend(ldap_bind("auth_ldap.other_bind", "everything else is asked", |c| {
        &mut c.auth.backends.ldap.other_bind
    }));
    keys.extend(client_tls("auth_ldap.ssl_options", false, |c, _| {
        &mut c.auth.backends.ldap.tls
    }));
    keys
}

fn ldap_bind(prefix: &str, what: &'static str, bind: fn(&mut Config) -> &mut LdapBind) -> Vec<Key> {
    let help = match what {
        "users are looked up" => "As whom users are looked up: as_user or anon.",
        _ => "As whom everything else is asked: as_user or anon.",
    };
    vec![
        key(prefix, choice(&[("as_user", false), ("anon", true)]))
            .default("as_user")
            .help(help)
            .sets(move |c, anonymous| bind(c).anonymous = anonymous),
        key(format!("{prefix}.user_dn"), text())
            .example("cn=rabbit,dc=example,dc=com")
            .help("Or as this one.")
            .sets(move |c, dn| bind(c).user_dn = Some(dn)),
        key(format!("{prefix}.password"), secret())
            .example("secret")
            .help("Its password.")
            .sets(move |c, password| bind(c).password = Some(password)),
    ]
}

fn oauth2() -> Vec<Key> {
    let mut keys = vec![
        key("auth_oauth2.verify_aud", switch())
            .default("true")
            .help("Whether tokens have to name this broker as their audience.")
            .sets(|c, on| c.auth.backends.oauth2.verify_aud = on),
        key("auth_oauth2.scope_aliases.$alias", text())
            .example("admin = rabbitmq.tag:administrator rabbitmq.read:*/*")
            .help("A scope that stands for others.")
            .sets_named(|c, alias, scopes| {
                let scopes = scopes.split_whitespace().map(str::to_owned).collect();
                c.auth.backends.oauth2.scope_aliases.insert(alias.to_owned(), scopes);
            }),
        key("auth_oauth2.default_oauth_provider", name())
            .example("keycloak")
            .help("The provider whose tokens are taken where no other is named.")
            .sets(|c, name| c.auth.backends.oauth2.default_issuer = Some(name)),
        key("auth_oauth2.resource_servers.$name.id", name())
            .example("prod = rabbitmq-prod")
            .help("A further name of this broker as an audience.")
            .sets_named(|c, name, id| server_named(c, name).id = Some(id)),
        key("auth_oauth2.resource_servers.$name.oauth_provider_id", name())
            .example("prod = keycloak")
            .help("The provider of its tokens.")
            .sets_named(|c, name, issuer| server_named(c, name).issuer = Some(issuer)),
        key("auth_oauth2.resource_server_id", name())
            .example("rabbitmq")
            .help("The name of this broker as an audience of tokens.")
            .sets(|c, id| c.auth.backends.oauth2.server.id = Some(id)),
        key("auth_oauth2.preferred_username_claims.$claim", name())
            .example("1 = user_name")
            .help("Claims with the user's name, tried before sub and client_id.")
            .sets_named(|c, at, claim| c.auth.backends.oauth2.server.username_claims.set(at, claim)),
        key("auth_oauth2.jwks_url", url())
            .example("https://issuer.example.com/keys")
            .help("Where the issuer's keys are.")
            .sets(|c, url| c.auth.backends.oauth2.issuer.jwks_url = Some(url)),
        key("auth_oauth2.oauth_providers.$name.jwks_uri", url())
            .example("keycloak = https://keycloak.example.com/keys")
            .help("The same of a named provider.")
            .sets_named(|c, name, url| issuer_named(c, name).jwks_url = Some(url)),
        key(
            "auth_oauth2.resource_servers.$name.preferred_username_claims.$claim",
            name(),
        )
        .example("prod\n1 = user_name")
        .help("The same in tokens for that name.")
        .sets_pair(|c, (name, at), claim| server_named(c, name).username_claims.set(at, claim)),
        key("auth_oauth2.oauth_providers.$name.signing_keys.$id", path())
            .example("keycloak\nkey-1 = /etc/rabbitmq/keycloak-1.pem")
            .help("A file with a public key of a named provider, by the name that its tokens give it.")
            .sets_pair(|c, (name, id), path| {
                issuer_named(c, name).signing_keys.insert(id.to_owned(), path);
            }),
        key(
            "auth_oauth2.oauth_providers.$name.algorithms.$algorithm",
            jwt_algorithm(),
        )
        .example("keycloak\n1 = RS256")
        .help("Signatures that are taken of a named provider; all that the keys allow, if none is named.")
        .sets_pair(|c, (name, at), algorithm| issuer_named(c, name).algorithms.set(at, algorithm.to_owned())),
        key("auth_oauth2.signing_keys.$name", path())
            .example("key-1 = /etc/rabbitmq/key-1.pem")
            .help("A file with a public key, by the name that tokens give it.")
            .sets_named(|c, name, path| {
                let keys = &mut c.auth.backends.oauth2.issuer.signing_keys;
                keys.insert(name.to_owned(), path);
            }),
        key("auth_oauth2.algorithms.$algorithm", jwt_algorithm())
            .example("1 = RS256")
            .help("Signatures that are taken; all that the keys allow, if none is named.")
            .sets_named(|c, at, name| c.auth.backends.oauth2.issuer.algorithms.set(at, name.to_owned())),
    ];
    keys.extend(server_keys("auth_oauth2", false, |c, _| {
        &mut c.auth.backends.oauth2.server
    }));
    keys.extend(server_keys("auth_oauth2.resource_servers.$name", true, server_named));
    keys.extend(issuer_keys("auth_oauth2", false, |c, _| {
        &mut c.auth.backends.oauth2.issuer
    }));
    keys.extend(issuer_keys("auth_oauth2.oauth_providers.$name", true, issuer_named));
    keys.extend(client_tls("auth_oauth2.https", false, |c, _| {
        c.auth.backends.oauth2.issuer.tls.get_or_insert_default()
    }));
    keys.push(peer_verification("auth_oauth2.https", false, |c, _| {
        c.auth.backends.oauth2.issuer.tls.get_or_insert_default()
    }));
    keys.extend(client_tls(
        "auth_oauth2.oauth_providers.$name.https",
        true,
        |c, name| issuer_named(c, name).tls.get_or_insert_default(),
    ));
    keys.push(peer_verification(
        "auth_oauth2.oauth_providers.$name.https",
        true,
        |c, name| issuer_named(c, name).tls.get_or_insert_default(),
    ));
    keys
}

fn server_keys(
    prefix: &str,
    named: bool,
    server: for<'a> fn(&'a mut Config, &str) -> &'a mut ResourceServer,
) -> Vec<Key> {
    vec![
        key(format!("{prefix}.scope_prefix"), text())
            .example(if named { "prod = prod." } else { "rabbitmq." })
            .help("What stands before scopes that are for this broker; else its name and a dot.")
            .sets_named(move |c, name, prefix| server(c, name).scope_prefix = Some(prefix)),
        key(format!("{prefix}.resource_server_type"), name())
            .example(if named { "prod = rabbitmq" } else { "rabbitmq" })
            .help("The type of authorization_details in tokens that are for this broker; none are read without it.")
            .sets_named(move |c, name, kind| server(c, name).kind = Some(kind)),
        key(format!("{prefix}.additional_scopes_key"), text())
            .term(match named {
                true => "rabbitmq_auth_backend_oauth2.resource_servers.$name.extra_scopes_source",
                false => "rabbitmq_auth_backend_oauth2.extra_scopes_source",
            })
            .example(if named { "prod = roles" } else { "roles" })
            .help("Further claims with scopes; several with spaces between them.")
            .sets_named(move |c, name, key| server(c, name).additional_scopes_key = Some(key)),
    ]
}

fn issuer_keys(prefix: &str, named: bool, issuer: for<'a> fn(&'a mut Config, &str) -> &'a mut TokenIssuer) -> Vec<Key> {
    vec![
        key(format!("{prefix}.issuer"), url())
            .example(match named {
                true => "keycloak = https://keycloak.example.com/realms/main",
                false => "https://issuer.example.com",
            })
            .help("Who issues tokens; its document says where the keys are.")
            .sets_named(move |c, name, url| issuer(c, name).issuer = Some(url)),
        key(format!("{prefix}.default_key"), name())
            .example(if named { "keycloak = key-1" } else { "key-1" })
            .help("The key of tokens that name none.")
            .sets_named(move |c, name, key| issuer(c, name).default_key = Some(key)),
    ]
}

/// Where the options are; by the name of what they belong to, if it has one.
pub type TlsOf = for<'a> fn(&'a mut Config, &str) -> &'a mut ClientTls;

pub fn client_tls(prefix: &str, named: bool, tls: TlsOf) -> Vec<Key> {
    let under = |leaf: &str| format!("{prefix}.{leaf}");
    let verify = key(under("verify"), checks_peer());
    let verify = match named {
        true => verify.example("keycloak = verify_peer"),
        false => verify.default("verify_peer"),
    };
    let example = |plain: &'static str, of_one: &'static str| if named { of_one } else { plain };
    vec![
        verify
            .help("Whether the server's certificate is checked.")
            .sets_named(move |c, name, no| tls(c, name).no_verify = no),
        key(under("cacertfile"), path())
            .example(example("/etc/rabbitmq/ca.pem", "keycloak = /etc/rabbitmq/ca.pem"))
            .help("The authorities it is checked with; else those of the system.")
            .sets_named(move |c, name, file| tls(c, name).cacertfile = Some(file)),
        key(under("certfile"), path())
            .example(example(
                "/etc/rabbitmq/client.pem",
                "keycloak = /etc/rabbitmq/client.pem",
            ))
            .help("The certificate that is shown to the server.")
            .sets_named(move |c, name, file| tls(c, name).certfile = Some(file)),
        key(under("keyfile"), path())
            .example(example(
                "/etc/rabbitmq/client.key",
                "keycloak = /etc/rabbitmq/client.key",
            ))
            .help("Its private key.")
            .sets_named(move |c, name, file| tls(c, name).keyfile = Some(file)),
        key(under("password"), secret())
            .example(example("secret", "keycloak = secret"))
            .help("Password of the private key.")
            .sets_named(move |c, name, password| tls(c, name).password = Some(password)),
    ]
}

/// The older name of `verify`.
fn peer_verification(prefix: &str, named: bool, tls: TlsOf) -> Key {
    key(format!("{prefix}.peer_verification"), checks_peer())
        .example(if named { "keycloak = verify_peer" } else { "verify_peer" })
        .help("The older name of verify.")
        .sets_named(move |c, name, no| tls(c, name).no_verify = no)
}

fn checks_peer() -> value::Value<bool> {
    choice(&[("verify_peer", false), ("verify_none", true)])
}

fn backend() -> value::Value<AuthBackend> {
    choice(&[
        ("internal", AuthBackend::Internal),
        ("ldap", AuthBackend::Ldap),
        ("http", AuthBackend::Http),
        ("oauth", AuthBackend::Oauth2),
        ("oauth2", AuthBackend::Oauth2),
        ("cache", AuthBackend::Cache),
        ("rabbit_auth_backend_internal", AuthBackend::Internal),
        ("rabbit_auth_backend_ldap", AuthBackend::Ldap),
        ("rabbit_auth_backend_http", AuthBackend::Http),
        ("rabbit_auth_backend_oauth2", AuthBackend::Oauth2),
        ("rabbit_auth_backend_cache", AuthBackend::Cache),
    ])
}

fn jwt_algorithm() -> value::Value<&'static str> {
    choice(&[
        ("RS256", "RS256"),
        ("RS384", "RS384"),
        ("RS512", "RS512"),
        ("PS256", "PS256"),
        ("PS384", "PS384"),
        ("PS512", "PS512"),
        ("ES256", "ES256"),
        ("ES384", "ES384"),
        ("EdDSA", "EdDSA"),
    ])
}

fn link<'a>(config: &'a mut Config, num: &str) -> &'a mut ChainedBackend {
    // The names of keys are numbers in RabbitMQ's schema; another word comes last.
    let at = num.parse().unwrap_or(u32::MAX);
    config.auth.backends.chain.entry(at).or_default()
}

fn server_named<'a>(config: &'a mut Config, name: &str) -> &'a mut ResourceServer {
    config.auth.backends.oauth2.servers.entry(name.to_owned()).or_default()
}

fn issuer_named<'a>(config: &'a mut Config, name: &str) -> &'a mut TokenIssuer {
    config.auth.backends.oauth2.issuers.entry(name.to_owned()).or_default()
}
