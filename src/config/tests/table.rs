//! Every key of the table, and every key of RabbitMQ's.

use super::*;
use crate::config::key::Sample;

/// Keys with a value that is good and one that is not. Every key of the table is here, so that a
/// new one is not forgotten; an empty bad value says that every text is good.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("node.name", "rabbit@a-1.b", "rabbit"),
    ("node.data_dir", "/data", ""),
    ("node.ports_file", "/run/ports.json", ""),
    ("node_tags.zone", "a", ""),
    ("listeners.tcp", "5672,[::1]:5672", "5672,x"),
    ("listeners.tcp.1", "127.0.0.1:5672", "127.0.0.1"),
    ("listeners.ssl", "none", "all"),
    ("listeners.ssl.1", "5671", "65536"),
    ("handshake_timeout", "infinity", "soon"),
    ("ssl_handshake_timeout", "5s", "-1"),
    ("proxy_protocol", "yes", "1"),
    ("tcp_listen_options.backlog", "0", "-1"),
    ("tcp_listen_options.nodelay", "false", "maybe"),
    ("tcp_listen_options.keepalive", "on", "2"),
    ("tcp_listen_options.sndbuf", "0", "few"),
    ("tcp_listen_options.recbuf", "192KB", "many"),
    ("heartbeat", "0", "65536"),
    ("frame_max", "128KB", "-1"),
    ("initial_frame_max", "8192", "100"),
    ("channel_max", "0", "70000"),
    ("channel_max_per_node", "0", "all"),
    ("connection_max", "0", "unlimited"),
    ("consumer_max_per_channel", "100", "1.5"),
    ("vhost_max", "100", "none"),
    ("cluster_queue_limit", "10", "ten"),
    ("max_message_size", "536870912", "536870913"),
    ("default_limits.vhosts.1.pattern", "^a", "("),
    ("default_limits.vhosts.1.max_connections", "0", "infinity"),
    ("default_limits.vhosts.1.max_queues", "10", "-10"),
    ("default_user", "bob", "''"),
    ("default_pass", "pass", "encrypted:abc"),
    ("default_vhost", "/", "''"),
    ("default_user_tags.administrator", "true", "admin"),
    ("default_permissions.configure", "^$", "["),
    ("default_permissions.read", ".*", "*"),
    ("default_permissions.write", "^(a|b)$", ")"),
    ("default_users.bob.password", "x", "encrypted:x"),
    ("default_users.bob.tags", "a, b", "a,,b"),
    ("default_users.bob.vhost_pattern", ".*", "("),
    ("default_users.bob.configure", ".*", "("),
    ("default_users.bob.read", ".*", "("),
    ("default_users.bob.write", ".*", "("),
    ("loopback_users.guest", "false", "none"),
    ("loopback_users", "none", "guest"),
    ("auth_mechanisms.1", "EXTERNAL", "plain"),
    ("auth_backends.1", "ldap", "kerberos"),
    ("auth_backends.1.authn", "rabbit_auth_backend_internal", "amqp"),
    ("auth_backends.1.authz", "http", "x"),
    ("auth_cache.cached_backend", "http", "x"),
    ("auth_cache.cached_backend.authn", "ldap", "x"),
    ("auth_cache.cached_backend.authz", "internal", "x"),
    ("auth_cache.cache_ttl", "1000", "0"),
    ("auth_cache.cache_refusals", "true", "x"),
    ("auth_http.http_method", "post", "put"),
    ("auth_http.user_path", "http://h/u", "h/u"),
    ("auth_http.vhost_path", "https://h/u", "ftp://h"),
    ("auth_http.resource_path", "http://h:1/u", "http://"),
    ("auth_http.topic_path", "http://h", "http:// h"),
    ("auth_http.request_timeout", "5000", "0"),
    ("auth_http.connection_timeout", "5000", "x"),
    ("auth_http.ssl_options.verify", "verify_none", "none"),
    ("auth_http.ssl_options.cacertfile", "/ca", "''"),
    ("auth_http.ssl_options.certfile", "/cert", "''"),
    ("auth_http.ssl_options.keyfile", "/key", "''"),
    ("auth_http.ssl_options.password", "x", "encrypted:x"),
    ("auth_ldap.servers.1", "ldap.example", "''"),
    ("auth_ldap.port", "636", "0"),
    ("auth_ldap.connection_pool_size", "8", "0"),
    ("auth_ldap.timeout", "500", "never"),
    ("auth_ldap.idle_timeout", "infinity", "never"),
    ("auth_ldap.user_bind_pattern", "${username}@x", ""),
    ("auth_ldap.user_dn_pattern", "cn=${username}", ""),
    ("auth_ldap.dn_lookup_attribute", "uid", "''"),
    ("auth_ldap.dn_lookup_base", "dc=x", ""),
    ("auth_ldap.group_lookup_base", "dc=x", ""),
    ("auth_ldap.use_ssl", "true", "x"),
    ("auth_ldap.use_starttls", "true", "x"),
    (
        "auth_ldap.queries.vhost_access",
        "{exists, \"cn=x\"}",
        "{exist, \"cn=x\"}",
    ),
    ("auth_ldap.queries.resource_access", "{constant, true}", "true"),
    ("auth_ldap.queries.topic_access", "{constant, false}", "{constant, x}"),
    ("auth_ldap.queries.tags", "[]", "{constant, true}"),
    ("auth_ldap.dn_lookup_bind", "anon", "me"),
    ("auth_ldap.dn_lookup_bind.user_dn", "cn=x", ""),
    ("auth_ldap.dn_lookup_bind.password", "x", "encrypted:x"),
    ("auth_ldap.other_bind", "anon", "me"),
    ("auth_ldap.other_bind.user_dn", "cn=x", ""),
    ("auth_ldap.other_bind.password", "x", "encrypted:x"),
    ("auth_ldap.ssl_options.verify", "verify_none", "none"),
    ("auth_ldap.ssl_options.cacertfile", "/ca", "''"),
    ("auth_ldap.ssl_options.certfile", "/cert", "''"),
    ("auth_ldap.ssl_options.keyfile", "/key", "''"),
    ("auth_ldap.ssl_options.password", "x", "encrypted:x"),
    ("auth_oauth2.verify_aud", "false", "x"),
    ("auth_oauth2.scope_aliases.a", "b c", ""),
    ("auth_oauth2.default_oauth_provider", "k", "''"),
    ("auth_oauth2.resource_servers.a.id", "b", "''"),
    ("auth_oauth2.resource_servers.a.oauth_provider_id", "k", "''"),
    ("auth_oauth2.resource_servers.a.scope_prefix", "b.", ""),
    ("auth_oauth2.resource_servers.a.additional_scopes_key", "roles", ""),
    ("auth_oauth2.resource_servers.a.resource_server_type", "b", "''"),
    ("auth_oauth2.resource_server_id", "rabbitmq", "''"),
    ("auth_oauth2.scope_prefix", "x.", ""),
    ("auth_oauth2.additional_scopes_key", "roles", ""),
    ("auth_oauth2.resource_server_type", "rabbitmq", "''"),
    ("auth_oauth2.preferred_username_claims.1", "mail", "''"),
    ("auth_oauth2.jwks_url", "https://i/k", "i/k"),
    ("auth_oauth2.issuer", "https://i", "i"),
    ("auth_oauth2.default_key", "k", "''"),
    ("auth_oauth2.signing_keys.k", "/k.pem", "''"),
    ("auth_oauth2.algorithms.1", "RS256", "HS256"),
    ("auth_oauth2.oauth_providers.k.jwks_uri", "https://i/k", "i/k"),
    ("auth_oauth2.oauth_providers.k.issuer", "https://i", "i"),
    ("auth_oauth2.oauth_providers.k.default_key", "k", "''"),
    ("auth_oauth2.oauth_providers.k.signing_keys.1", "/k.pem", "''"),
    ("auth_oauth2.oauth_providers.k.algorithms.1", "ES256", "HS256"),
    ("auth_oauth2.oauth_providers.k.https.verify", "verify_none", "none"),
    (
        "auth_oauth2.oauth_providers.k.https.peer_verification",
        "verify_peer",
        "none",
    ),
    ("auth_oauth2.oauth_providers.k.https.cacertfile", "/ca", "''"),
    ("auth_oauth2.oauth_providers.k.https.certfile", "/c", "''"),
    ("auth_oauth2.oauth_providers.k.https.keyfile", "/k", "''"),
    ("auth_oauth2.oauth_providers.k.https.password", "p", "encrypted:x"),
    (
        "auth_oauth2.resource_servers.s.preferred_username_claims.1",
        "mail",
        "''",
    ),
    ("auth_oauth2.https.peer_verification", "verify_none", "none"),
    ("otlp.endpoint", "http://c:4318", "c:4318"),
    ("otlp.service_name", "shop", "''"),
    ("otlp.headers.authorization", "Bearer x", "encrypted:x"),
    ("otlp.ssl_options.verify", "verify_none", "none"),
    ("otlp.ssl_options.cacertfile", "/ca", "''"),
    ("otlp.ssl_options.certfile", "/c", "''"),
    ("otlp.ssl_options.keyfile", "/k", "''"),
    ("otlp.ssl_options.password", "p", "encrypted:x"),
    ("auth_oauth2.https.verify", "verify_none", "none"),
    ("auth_oauth2.https.cacertfile", "/ca", "''"),
    ("auth_oauth2.https.certfile", "/cert", "''"),
    ("auth_oauth2.https.keyfile", "/key", "''"),
    ("auth_oauth2.https.password", "x", "encrypted:x"),
    ("anonymous_login_user", "none", "''"),
    ("anonymous_login_pass", "guest", "encrypted:guest"),
    (
        "password_hashing_module",
        "rabbit_password_hashing_sha512",
        "rabbit_password_hashing_crc",
    ),
    (
        "credential_validator.validation_backend",
        "rabbit_credential_validator_password_regexp",
        "strict",
    ),
    ("credential_validator.min_length", "12", "x"),
    ("credential_validator.regexp", "^a{3}$", "a("),
    ("ssl_cert_login_from", "common_name", "cn"),
    ("ssl_cert_login_san_type", "email", "mail"),
    ("ssl_cert_login_san_index", "1", "-1"),
    ("node.drain_time", "5s", "soon"),
    ("proxy_protocol.sources", "10.0.0.0/8, ::1", "10.0.0.0/33"),
    ("management.proxy_protocol", "true", "x"),
    ("vm_memory_high_watermark.relative", "0.4", "1.1"),
    ("vm_memory_high_watermark.absolute", "2GB", "2 GB"),
    ("total_memory_available_override_value", "4GiB", "lots"),
    ("disk_free_limit.absolute", "50MB", "-1"),
    ("disk_free_limit.relative", "1.5", "-1.5"),
    ("default_queue_type", "rabbit_quorum_queue", "fast"),
    ("consumer_timeout", "30m", "never"),
    (
        "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration",
        "true",
        "relaxed",
    ),
    ("queue_leader_locator", "random", "somewhere"),
    ("quorum_queue.continuous_membership_reconciliation.enabled", "true", "2"),
    (
        "quorum_queue.continuous_membership_reconciliation.auto_remove",
        "true",
        "2",
    ),
    (
        "quorum_queue.continuous_membership_reconciliation.interval",
        "60000",
        "x",
    ),
    (
        "quorum_queue.continuous_membership_reconciliation.trigger_interval",
        "60000",
        "x",
    ),
    (
        "quorum_queue.continuous_membership_reconciliation.target_group_size",
        "3",
        "0",
    ),
    ("default_policies.operator.a.vhost_pattern", ".*", "("),
    ("default_policies.operator.a.queue_pattern", ".*", "("),
    ("default_policies.operator.a.expires", "1h", "1hour"),
    ("default_policies.operator.a.message_ttl", "1000", "x"),
    ("default_policies.operator.a.max_length", "10", "x"),
    ("default_policies.operator.a.max_length_bytes", "1MB", "x"),
    ("default_policies.operator.a.delivery_limit", "20", "x"),
    ("load_definitions", "/d.json", ""),
    ("management.load_definitions", "/d.json", ""),
    ("definitions.import_backend", "local_filesystem", "https"),
    ("definitions.local.path", "/d", ""),
    ("definitions.skip_if_unchanged", "true", "x"),
    ("management.tcp.listener", "127.0.0.1:15672", "host:15672"),
    ("management.tcp.port", "15672", "http"),
    ("management.tcp.ip", "::1", "host"),
    ("management.ssl.port", "15671", "x"),
    ("management.ssl.ip", "0.0.0.0", "x"),
    ("management.listener.port", "15672", "x"),
    ("management.listener.ip", "127.0.0.1", "x"),
    ("management.path_prefix", "/rabbit", ""),
    ("management.login_session_timeout", "0", "-1"),
    ("management.http.max_body_size", "10000000", "2GB"),
    ("management.tcp.compress", "false", "x"),
    ("management.rates_mode", "none", "fine"),
    ("management.disable_basic_auth", "true", "x"),
    ("management.disable_stats", "true", "x"),
    ("collect_statistics_interval", "1000", "0"),
    ("management_agent.disable_metrics_collector", "true", "x"),
    ("management.enable_queue_totals", "true", "x"),
    ("management.restrictions.operator_policy_changes.disabled", "true", "x"),
    (
        "management.restrictions.quorum_queue_replica_operations.disabled",
        "true",
        "x",
    ),
    ("management.cors.allow_origins.1", "*", ""),
    ("management.cors.allow_origins", "none", "all"),
    ("management.cors.max_age", "3600", "x"),
    ("management.csp.policy", "default-src 'self'", ""),
    ("management.hsts.policy", "max-age=1; includeSubDomains", ""),
    ("management.headers.content_type_options", "nosniff", ""),
    ("management.headers.xss_protection", "1; mode=block", ""),
    ("management.headers.frame_options", "DENY", ""),
    ("prometheus.tcp.listener", "none", "off"),
    ("prometheus.tcp.port", "0", "x"),
    ("prometheus.tcp.ip", "127.0.0.1", "x"),
    ("prometheus.ssl.port", "15691", "x"),
    ("prometheus.ssl.ip", "::", "x"),
    ("prometheus.path", "/m", ""),
    ("prometheus.return_per_object_metrics", "true", "x"),
    ("prometheus.authentication.enabled", "true", "x"),
    ("stream.listeners.tcp", "5552,[::1]:5552", "5552,x"),
    ("stream.listeners.tcp.1", "127.0.0.1:5552", "127.0.0.1"),
    ("stream.listeners.ssl", "none", "all"),
    ("stream.listeners.ssl.1", "5551", "65536"),
    ("stream.proxy_protocol", "true", "x"),
    ("stream.tcp_listen_options.backlog", "4096", "x"),
    ("stream.tcp_listen_options.nodelay", "false", "x"),
    ("stream.tcp_listen_options.keepalive", "true", "x"),
    ("stream.tcp_listen_options.sndbuf", "192KiB", "x"),
    ("stream.tcp_listen_options.recbuf", "196608", "x"),
    ("stream.advertised_host", "a.b", ""),
    ("stream.advertised_port", "5552", "0"),
    ("stream.advertised_tls_host", "a.b", ""),
    ("stream.advertised_tls_port", "5551", "70000"),
    ("stream.frame_max", "1048576", "100"),
    ("stream.heartbeat", "0", "x"),
    ("stream.initial_credits", "1000", "0"),
    ("stream.credits_required_for_unblocking", "0", "x"),
    ("log.console", "false", "stdout"),
    ("log.console.level", "debug", "trace"),
    ("log.console.formatter", "json", "xml"),
    ("log.console.stdio", "stderr", "file"),
    ("log.file", "false", ""),
    ("log.file.level", "none", "=debug"),
    ("log.file.formatter", "plaintext", "text"),
    ("log.file.rotation.size", "0", "large"),
    ("log.file.rotation.count", "0", "-1"),
    ("log.dir", "/var/log", ""),
    ("log.default.level", "critical", "x"),
    ("log.connection.level", "alert", "x"),
    ("log.channel.level", "emergency", "x"),
    ("log.queue.level", "notice", "x"),
    ("log.ra.level", "error", "x"),
    ("cluster_name", "orders", "''"),
    ("cluster.listener", "none", "host"),
    ("cluster.advertise", "host:25672", "host"),
    ("cluster.join", "a:1, b:2", "a"),
    ("cluster.secret_file", "/s", ""),
    ("cluster.secret", "s", "encrypted:s"),
    ("cluster.tls.cacertfile", "/ca.pem", ""),
    ("cluster.tls.certfile", "/cert.pem", ""),
    ("cluster.tls.keyfile", "/key.pem", ""),
    ("cluster_tags.region", "north", ""),
    ("cluster_formation.peer_discovery_backend", "dns", "guess"),
    ("cluster_formation.classic_config.nodes.1", "rabbit@a", "a"),
    ("cluster_formation.dns.hostname", "a.b", ""),
    ("cluster_formation.discovery_retry_limit", "10", "unlimited"),
    ("cluster_formation.discovery_retry_interval", "500", "x"),
    ("cluster_formation.target_cluster_size_hint", "3", "0"),
    ("cluster_formation.node_cleanup.interval", "60", "0"),
    ("cluster_partition_handling", "pause_minority", "pause"),
    (
        "cluster_partition_handling.pause_if_all_down.nodes.1",
        "rabbit@host-1",
        "host-1",
    ),
    ("cluster_formation.node_cleanup.only_log_warning", "false", "x"),
    ("server_properties.product", "Warren", "''"),
    ("server_properties.version", "1.0", "''"),
    ("product.name", "X", "''"),
    ("product.version", "X", "''"),
];

/// The TLS keys, which are the same under three prefixes.
const TLS_EXAMPLES: &[(&str, &str, &str)] = &[
    ("cacertfile", "/ca.pem", ""),
    ("certfile", "/cert.pem", ""),
    ("keyfile", "/key.pem", ""),
    ("password", "t0p$3kRe7", "encrypted:x"),
    ("verify", "verify_peer", "peer"),
    ("fail_if_no_peer_cert", "true", "x"),
    ("depth", "2", "x"),
    ("versions.1", "tlsv1.3", "tlsv1.1"),
    ("ciphers.1", "TLS_AES_256_GCM_SHA384", "TLS_AES_256_GCM_SHA38"),
    ("sni_hosts.a\\.b.certfile", "/cert.pem", ""),
    ("sni_hosts.a\\.b.keyfile", "/key.pem", ""),
    ("honor_cipher_order", "true", "x"),
];

fn examples() -> Vec<(String, &'static str, &'static str)> {
    let mut all: Vec<_> = EXAMPLES
        .iter()
        .map(|(key, good, bad)| ((*key).to_owned(), *good, *bad))
        .collect();
    for prefix in ["ssl_options", "management.ssl", "prometheus.ssl"] {
        all.extend(
            TLS_EXAMPLES
                .iter()
                .map(|(leaf, good, bad)| (format!("{prefix}.{leaf}"), *good, *bad)),
        );
    }
    all
}

#[test]
fn every_key_takes_a_good_value_and_refuses_a_bad_one() {
    for (key, good, bad) in examples() {
        let loaded = from_text(&format!("{key} = {good}\n"));
        assert!(loaded.is_ok(), "{key} = {good}: {loaded:?}");
        if bad.is_empty() {
            continue;
        }
        let refused = from_text(&format!("# first\n{key} = {bad}\n")).expect_err(&key);
        let start = "rabbitmq.conf:2: '";
        let told = refused.starts_with(start) && refused.contains(&format!(" for {key}: expected "));
        assert!(told, "{key} = {bad}: {refused}");
    }
}

#[test]
fn every_row_of_the_table_has_an_example() {
    let known: Vec<_> = examples().iter().map(|(key, ..)| key::segments(key)).collect();
    for row in keys::all() {
        let tried = known.iter().any(|key| row.matches(key).is_some());
        assert!(tried, "{} has no example", row.pattern);
        assert!(!row.help.is_empty(), "{} has no help", row.pattern);
    }
}

#[test]
fn every_default_of_the_table_is_what_holds_when_nothing_is_set() {
    for row in keys::all() {
        let mut config = Config::default();
        for (placeholder, value) in row.samples() {
            assert!(row.apply(&mut config, placeholder, value), "{}: {value}", row.pattern);
        }
        if matches!(row.sample, Sample::Default(_)) {
            assert_eq!(config, Config::default(), "{}", row.pattern);
        }
    }
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let mut variables: Vec<_> = keys::all()
        .filter_map(|row| Some((row.variable()?, row.pattern.clone())))
        .collect();
    variables.extend(keys::flags().map(|(flag, key)| (flag.variable(), key.pattern.clone())));
    variables.push((env::CONFIG_FILE.to_owned(), String::new()));
    // A flag and its key may share a variable.
    variables.sort();
    variables.dedup();
    for pair in variables.windows(2) {
        assert_ne!(pair[0].0, pair[1].0, "{pair:?}");
    }
}

#[test]
fn no_key_is_both_meaningful_and_without_effect() {
    for (key, ..) in examples() {
        let segments = key::segments(&key);
        let both = keys::ignored::reason(&segments).is_some() && keys::find(&segments).is_none();
        assert!(!both, "{key}");
    }
}

#[test]
fn every_key_of_rabbitmqs_is_known() {
    let keys = include_str!("../../../tests/data/rabbitmq_keys.txt");
    for key in keys.lines().filter(|line| !line.starts_with('#')) {
        let segments = key::segments(&key.replace('$', "some_"));
        let known = keys::find(&segments).is_some() || keys::ignored::reason(&segments).is_some();
        assert!(known, "{key}");
    }
}

/// What Erlang writes in a way of its own, though one key alone stands for it.
const SHAPED: [&str; 6] = [
    "rabbit.cluster_tags",
    "rabbit.default_user_tags",
    "rabbit.loopback_users",
    "rabbit.node_tags",
    "rabbitmq_auth_backend_oauth2.key_config.signing_keys",
    "rabbitmq_prometheus.tcp_config",
];

#[test]
fn every_key_is_set_by_what_erlang_calls_it() {
    let pairs = include_str!("../../../tests/data/rabbitmq_terms.txt");
    let pairs = pairs.lines().filter(|line| !line.starts_with('#'));
    let pairs: Vec<_> = pairs.filter_map(|line| line.split_once(' ')).collect();
    let examples = examples();
    let mut tried = 0;
    for (key, term) in &pairs {
        let segments = key::segments(key);
        // Keys that stand in one term together are written in a shape of its own, which `advanced` tries.
        let is_shaped = pairs.iter().filter(|(_, other)| other == term).count() > 1 || SHAPED.contains(term);
        if is_shaped || keys::find(&segments).is_none() {
            continue;
        }
        let good = examples.iter().find(|(own, ..)| {
            let own = key::segments(own);
            keys::find(&own).map(|(row, _)| &row.pattern) == keys::find(&segments).map(|(row, _)| &row.pattern)
        });
        let good = good.expect(key).1.trim_matches('\'');
        let is_list = key.contains('$');
        let value = if is_list {
            format!("[\"{good}\"]")
        } else {
            format!("\"{good}\"")
        };
        let (app, within) = term.split_once('.').expect("an application");
        let settings = within
            .rsplit('.')
            .fold(value, |value, name| format!("[{{{name}, {value}}}]"));
        let lines = advanced::parse(Path::new("a.config"), &format!("[{{{app}, {settings}}}]."));
        assert!(lines.problems.is_empty(), "{key}: {:?}", lines.problems);
        let set = lines.settings.iter();
        let set: Vec<_> = set
            .map(|setting| format!("{} = {}", setting.key, setting.value))
            .collect();
        let expected = match key.rsplit_once(".$") {
            Some((list, _)) => format!("{list}.1 = {good}"),
            None => format!("{key} = {good}"),
        };
        assert_eq!(set, [expected], "{term}");
        tried += 1;
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn the_sample_file_is_written_from_the_table_and_loads() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rabbitmq.conf.sample");
    let text = sample::text();
    if std::env::var_os("WARREN_WRITE_SAMPLE").is_some() {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/rabbitmq.conf.sample is out of date: run `make sample`"
    );
    assert!(from_text(&written).expect("loads").warnings.is_empty());
    for row in keys::all() {
        for line in sample::lines(row) {
            assert!(written.contains(&format!("\n# {line}\n")), "{line}");
        }
    }
    // And with the comment signs taken away every line is a setting that is accepted.
    let live = written.replace("\n# ", "\n");
    from_text(&live).expect("every line of the sample is right");
}
