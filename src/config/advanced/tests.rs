//! Terms, and what they are in `rabbitmq.conf`.

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
