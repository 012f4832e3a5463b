//! What keys mean, and what an operator reads when something is wrong.

use proptest::prelude::*;

use super::*;
use crate::types::{ByteSize, Millis};

#[test]
fn a_grown_configuration_loads_with_a_warning_for_each_key_without_effect() {
    let text = include_str!("../../../tests/data/busy.conf");
    let config = load_text(text, &[("CLUSTER", "orders")], &[]).expect("loads");
    assert_eq!(addresses(&config.listeners.tcp), ["0.0.0.0:5672", "[::1]:5673"]);
    assert_eq!(config.auth.default_pass.reveal(), "with # inside");
    assert_eq!(config.auth.default_users["bob"].tags, ["management", "monitoring"]);
    assert_eq!(config.auth.default_users["bob"].permissions.read, ".*");
    assert_eq!(config.resources.memory_limit(ByteSize(1)), ByteSize(2_000_000_000));
    assert_eq!(config.management.address(), "127.0.0.1:8080".parse().ok());
    assert_eq!(config.cluster.name.as_deref(), Some("orders"));
    assert_eq!(config.cluster.seeds(), ["one:25672", "two:25672"]);
    assert_eq!(config.cluster.partition_handling, PartitionHandling::PauseMinority);
    assert_eq!(config.queues.default_type, "quorum");
    assert_eq!(config.queues.consumer_timeout, Some(Millis(3_600_000)));
    let told = "rabbitmq.conf:2: num_acceptors.tcp has no effect: it tunes the Erlang runtime, which is not there";
    assert_eq!(config.warnings.first().map(String::as_str), Some(told));
    assert_eq!(config.warnings.len(), 15, "{:#?}", config.warnings);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_a_suggestion() {
    for (text, error) in [
        (
            "heartbeat = 5\nhartbeat = 5",
            "rabbitmq.conf:2: unknown key 'hartbeat' (did you mean 'heartbeat'?)",
        ),
        ("nothing.like.it = 5", "rabbitmq.conf:1: unknown key 'nothing.like.it'"),
        (
            "listeners.tcp.1.2 = 5",
            "rabbitmq.conf:1: unknown key 'listeners.tcp.1.2'",
        ),
        (
            "ssl_options.certifle = x",
            "rabbitmq.conf:1: unknown key 'ssl_options.certifle' (did you mean 'ssl_options.certfile'?)",
        ),
    ] {
        assert_eq!(from_text(text).expect_err(text), error);
    }
}

#[test]
fn all_problems_are_told_at_once_and_passwords_are_not() {
    let error = load_text(
        "heartbeat = x\ndefault_pass = encrypted:abc\nx",
        &[("RABBITMQ_NODE_PORT", "high"), ("RABBITMQ_SSL_CERTFILE", "/c")],
        &[("--amqp", "here")],
    )
    .expect_err("many problems");
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "rabbitmq.conf:3: expected 'key = value'",
            "rabbitmq.conf:1: 'x' is not a value for heartbeat: expected a whole number from 0 to 65535",
            "rabbitmq.conf:2: '…' is not a value for default_pass: expected a text that is not 'encrypted:…'",
            "RABBITMQ_NODE_PORT: 'high' is not a value for RABBITMQ_NODE_PORT: expected a port",
            "RABBITMQ_SSL_CERTFILE is no longer read (RabbitMQ's image refuses it too): use rabbitmq.conf",
            "--amqp: 'here' is not a value for listeners.tcp: expected a port or ADDRESS:PORT, such as 5672, \
             127.0.0.1:5672 or [::]:5672 (several with commas between them), or 'none'",
        ]
    );
}

#[test]
fn what_is_not_built_is_told() {
    let config = from_text("cluster_formation.target_cluster_size_hint = 3").expect("loads");
    assert_eq!(
        config.warnings,
        [
            "rabbitmq.conf:1: cluster_formation.target_cluster_size_hint has no effect: nothing waits for the cluster to \
             have that size"
        ]
    );
}

#[test]
fn definitions_that_are_configured_in_any_way_are_known_to_be() {
    for (text, configured) in [
        ("", false),
        ("load_definitions = /d.json", true),
        ("management.load_definitions = /d.json", true),
        ("definitions.local.path = /d", true),
        ("definitions.https.url = https://d", true),
    ] {
        assert_eq!(
            from_text(text).expect(text).definitions.configured,
            configured,
            "{text}"
        );
    }
    let all = from_text("management.load_definitions = /3\nload_definitions = /1\ndefinitions.local.path = /2");
    let all = all.expect("loads");
    let places: Vec<_> = all
        .definitions
        .places()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(places, ["/1", "/2", "/3"]);
}

#[test]
fn zeros_mean_what_they_mean_to_rabbitmq() {
    let config = from_text(
        "log.file.rotation.size = 0\ntcp_listen_options.backlog = 0\ntcp_listen_options.sndbuf = 0\n\
         tcp_listen_options.recbuf = 0\nconsumer_max_per_channel = 0",
    );
    let config = config.expect("loads");
    assert_eq!(config.logging.rotation_size, None);
    assert_eq!(config.listeners.socket.backlog, 0);
    assert_eq!(config.limits.consumer_max_per_channel, Some(0));
    assert_eq!(
        from_text("log.file.rotation.size = 100")
            .expect("loads")
            .logging
            .rotation_size,
        Some(ByteSize(100))
    );
}

#[test]
fn loopback_users_are_those_named_and_guest_only_when_none_is() {
    let bound = |text: &str| -> Vec<String> {
        let config = from_text(text).expect(text);
        let users = config.auth.loopback_users.iter();
        users.filter(|(_, on)| **on).map(|(name, _)| name.to_owned()).collect()
    };
    assert_eq!(bound(""), ["guest"]);
    assert_eq!(bound("loopback_users.guest = false"), Vec::<String>::new());
    assert_eq!(bound("loopback_users = none"), Vec::<String>::new());
    assert_eq!(bound("loopback_users.admin = true"), ["admin"]);
}

#[test]
fn asking_for_tls_alone_turns_plain_http_off() {
    let management = |text: &str| from_text(text).expect(text).management.address();
    assert_eq!(management(""), "0.0.0.0:15672".parse().ok());
    assert_eq!(management("management.ssl.port = 15671"), None);
    assert_eq!(
        management("management.ssl.port = 15671\nmanagement.tcp.port = 15672"),
        "0.0.0.0:15672".parse().ok()
    );
    assert_eq!(management("management.tcp.listener = none"), None);
    let config = from_text("management.ssl.port = 15671").expect("loads");
    assert_eq!(config.management.tls_address(), "0.0.0.0:15671".parse().ok());
}

#[test]
fn the_alarms_limits_follow_from_the_memory_there_is() {
    let limits = |text: &str| {
        let resources = from_text(text).expect(text).resources;
        let machine = ByteSize(10_000_000_000);
        (resources.memory_limit(machine).0, resources.disk_limit(machine).0)
    };
    assert_eq!(limits(""), (6_000_000_000, 50_000_000));
    assert_eq!(
        limits("vm_memory_high_watermark.absolute = 1GiB\ndisk_free_limit.relative = 1.5"),
        (1 << 30, 15_000_000_000)
    );
    assert_eq!(
        limits("total_memory_available_override_value = 1GB\nvm_memory_high_watermark.relative = 0.5"),
        (500_000_000, 50_000_000)
    );
}

proptest! {
    #[test]
    fn no_text_makes_loading_panic(lines in proptest::collection::vec(line(), 0..20)) {
        let environment = Environment::default();
        let parsed = file::parse(Path::new("a"), &lines.join("\n"), &environment);
        let mut problems = parsed.problems;
        let mut config = Config::default();
        config.apply_all(parsed.settings, &mut problems);
        for problem in problems {
            prop_assert!(!problem.to_string().is_empty());
        }
    }
}

/// Lines that are nonsense, or a known key with a value that may be.
fn line() -> impl Strategy<Value = String> {
    let keys: Vec<String> = keys::all().map(|row| row.pattern.replace('$', "")).collect();
    prop_oneof![
        any::<String>(),
        (proptest::sample::select(keys), any::<String>()).prop_map(|(key, value)| format!("{key} = {value}")),
        (
            proptest::sample::select(vec!["heartbeat", "listeners.tcp.1", "log.file"]),
            "[0-9:.a-zA-Z$()'# -]{0,20}"
        )
            .prop_map(|(key, value)| format!("{key} = {value}")),
    ]
}
