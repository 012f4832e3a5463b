//! Which source comes over which: files, variables, flags.

use super::*;
use crate::types::ByteSize;

#[test]
fn a_flag_comes_over_the_environment_and_that_over_the_file() {
    let file = "listeners.tcp.default = 1000\nlisteners.tcp.other = 1001\n";
    let rabbitmq = ("RABBITMQ_NODE_PORT", "2000");
    let own = ("WARREN_AMQP", "127.0.0.1:3000,127.0.0.1:3001");
    let flag = ("--amqp", "127.0.0.1:0");
    let port = |variables: &[_], flags: &[_]| {
        let config = load_text(file, variables, flags).expect("loads");
        addresses(&config.listeners.tcp)
    };
    assert_eq!(addresses(&Config::default().listeners.tcp), ["0.0.0.0:5672"]);
    assert_eq!(port(&[], &[]), ["0.0.0.0:1000", "0.0.0.0:1001"]);
    assert_eq!(port(&[rabbitmq], &[]), ["0.0.0.0:2000"]);
    assert_eq!(port(&[rabbitmq, own], &[]), ["127.0.0.1:3000", "127.0.0.1:3001"]);
    assert_eq!(port(&[rabbitmq, own], &[flag]), ["127.0.0.1:0"]);
}

#[test]
fn rabbitmqs_variables_mean_what_they_mean_there() {
    let config = load_text(
        "",
        &[
            ("RABBITMQ_NODENAME", "hare@burrow"),
            ("RABBITMQ_NODE_IP_ADDRESS", "::1"),
            ("RABBITMQ_NODE_PORT", "5673"),
            ("RABBITMQ_DEFAULT_USER", "bob"),
            ("RABBITMQ_DEFAULT_PASS", "secret"),
            ("RABBITMQ_DEFAULT_VHOST", "/app"),
            ("RABBITMQ_MNESIA_BASE", "/base"),
            ("RABBITMQ_MNESIA_DIR", "/base/own"),
            ("RABBITMQ_LOGS", "/log/warren.log"),
            ("RABBITMQ_LOG", "warning,connection=debug,+json"),
            ("RABBITMQ_ERLANG_COOKIE", "COOKIE"),
            ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-proto_dist inet_tls"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "/plugins"),
            ("RABBITMQ_LOG_BASE", ""),
        ],
        &[],
    )
    .expect("loads");
    assert_eq!(config.node.name, "hare@burrow");
    assert_eq!(addresses(&config.listeners.tcp), ["[::1]:5673"]);
    assert_eq!(config.cluster.listener.map(|address| address.port()), Some(25673));
    assert_eq!(config.auth.default_user, "bob");
    assert_eq!(config.auth.default_pass.reveal(), "secret");
    assert_eq!(config.auth.default_vhost, "/app");
    assert_eq!(config.node.data_dir, PathBuf::from("/base/own"));
    assert_eq!(config.logging.file, Some(PathBuf::from("/log/warren.log")));
    assert_eq!(config.logging.level, Level::Warning);
    assert_eq!(config.logging.categories[&LogCategory::Connection], Level::Debug);
    assert_eq!(config.logging.console_format, LogFormat::Json);
    assert_eq!(config.cluster.secret.as_ref().map(Secret::reveal), Some("COOKIE"));
    assert_eq!(config.log_dir(), PathBuf::from("/base/own/text-log"));
    assert_eq!(
        config.warnings,
        [
            "RABBITMQ_ENABLED_PLUGINS_FILE: cannot read /plugins: No such file or directory (os error 2)",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS has no meaning here: nodes speak TLS when cluster.tls.* are set",
        ]
    );

    let other = load_text(
        "",
        &[("RABBITMQ_NODENAME", "hare"), ("RABBITMQ_DIST_PORT", "4000")],
        &[],
    )
    .expect("loads");
    assert!(
        other.node.name.starts_with("hare@") && other.node.name.len() > 5,
        "{}",
        other.node.name
    );
    assert_eq!(other.cluster.listener.map(|address| address.port()), Some(4000));
}

#[test]
fn words_about_the_log_are_read_as_rabbitmq_reads_them() {
    let log = |variable: &str, value: &str| load_text("log.file = r.log", &[(variable, value)], &[]).expect(value);
    let level = |value: &str, category| log("RABBITMQ_LOG", value).logging.categories.get(&category).copied();
    assert_eq!(level("connection", LogCategory::Connection), Some(Level::Info));
    assert_eq!(level("debug,queue", LogCategory::Queue), Some(Level::Info));
    assert_eq!(level("ra=none", LogCategory::Raft), Some(Level::None));
    let config = log(
        "RABBITMQ_LOG",
        "warning,federation=debug,channel=loud,nonsense,+color,+single_line",
    );
    assert_eq!(config.logging.level, Level::Warning);
    assert!(config.logging.categories.is_empty());
    assert_eq!(
        config.warnings,
        [
            "RABBITMQ_LOG: 'federation=debug' has no meaning here",
            "RABBITMQ_LOG: 'channel=loud' has no meaning here",
            "RABBITMQ_LOG: 'nonsense' has no meaning here",
        ]
    );

    let place = |value: &str| {
        let logging = log("RABBITMQ_LOGS", value).logging;
        (logging.console, logging.stream, logging.file)
    };
    assert_eq!(place("-"), (true, Stream::Stdout, None));
    assert_eq!(place("-stderr"), (true, Stream::Stderr, None));
    assert_eq!(place("/l"), (true, Stream::Stdout, Some(PathBuf::from("/l"))));
    let config = log("RABBITMQ_LOGS", "exchange:debug");
    assert_eq!(config.logging.file, Some(PathBuf::from("r.log")));
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
}

#[test]
fn any_key_can_be_set_in_the_environment() {
    let variables = [
        ("WARREN_MAX_MESSAGE_SIZE", "1MB"),
        ("WARREN_LOG_CONSOLE_LEVEL", "debug"),
        ("WARREN_DATA_DIR", "/data"),
        ("WARREN_HARTBEAT", "5"),
        ("WARREN_SERVICE_PORT", "5672"),
        ("WARREN_PORT_5672_TCP", "tcp://10.0.0.1:5672"),
    ];
    let config = load_text("max_message_size = 5", &variables, &[]).expect("loads");
    assert_eq!(config.limits.max_message_size, ByteSize(1 << 20));
    assert_eq!(config.logging.console_level, Some(Level::Debug));
    assert_eq!(config.node.data_dir, PathBuf::from("/data"));
    assert_eq!(config.warnings, ["WARREN_HARTBEAT is not a variable that is read"]);
    let error = load_text("", &[("WARREN_HEARTBEAT", "x")], &[]).expect_err("wrong");
    assert!(
        error.starts_with("WARREN_HEARTBEAT: 'x' is not a value for heartbeat"),
        "{error}"
    );
}

#[test]
fn a_value_may_stand_in_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("password");
    std::fs::write(&file, "secret\n").expect("written");
    let file = file.to_str().expect("a path");
    let config = load_text("", &[("RABBITMQ_DEFAULT_PASS_FILE", file)], &[]).expect("loads");
    assert_eq!(config.auth.default_pass.reveal(), "secret");
    let error = load_text("", &[("RABBITMQ_DEFAULT_PASS_FILE", "/nowhere")], &[]).expect_err("not there");
    assert!(error.starts_with("cannot read /nowhere: "), "{error}");
}

#[test]
fn a_variable_that_is_empty_says_nothing() {
    let variables = [
        "RABBITMQ_NODE_PORT",
        "RABBITMQ_DIST_PORT",
        "RABBITMQ_CONFIG_FILE",
        "WARREN_CONFIG",
    ];
    let config = load_text("heartbeat = 5", &variables.map(|name| (name, "")), &[]).expect("loads");
    assert_eq!(addresses(&config.listeners.tcp), ["0.0.0.0:5672"]);
    assert_eq!(config.limits.heartbeat_s, 5);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn a_file_that_a_variable_names_need_not_be_there() {
    let config = load_text("", &[("RABBITMQ_CONFIG_FILE", "/nowhere.conf")], &[]).expect("loads");
    assert!(config.files.is_empty());
    assert_eq!(config.warnings, ["RABBITMQ_CONFIG_FILE: there is no /nowhere.conf"]);
}

#[test]
fn erlang_terms_come_over_the_lines_and_variables_over_them() {
    let directory = tempfile::tempdir().expect("temporary directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("file");
    write("rabbitmq.conf", "heartbeat = 5\nchannel_max = 7\ndefault_user = bob\n");
    write(
        "advanced.config",
        "[{rabbit, [{heartbeat, 6}, {default_user, <<\"eve\">>}, {hipe_compile, true}, {odd, 1}]}].\n",
    );
    let variables = Environment::from_iter([("RABBITMQ_DEFAULT_USER", "ann")]);
    let config = load_from(&Flags::default(), &variables, directory.path()).expect("loads");
    assert_eq!((config.limits.heartbeat_s, config.limits.channel_max), (6, 7));
    assert_eq!(config.auth.default_user, "ann");
    let told: Vec<_> = config
        .warnings
        .iter()
        .filter_map(|line| line.rsplit_once("config:1: "))
        .collect();
    let told: Vec<_> = told.into_iter().map(|(_, told)| told).collect();
    assert_eq!(
        told,
        [
            "rabbit.odd has no meaning here",
            "hipe_compile has no effect: it tunes the Erlang runtime, which is not there",
        ]
    );
    write("advanced.config", "[{rabbit, [{heartbeat, soon}]}].");
    let error = load_from(&Flags::default(), &variables, directory.path()).expect_err("wrong");
    assert!(
        error
            .to_string()
            .contains("advanced.config:1: 'soon' is not a value for heartbeat"),
        "{error}"
    );
    std::fs::remove_file(directory.path().join("rabbitmq.conf")).expect("removed");
    std::fs::remove_file(directory.path().join("advanced.config")).expect("removed");
    write("rabbitmq.config", "[{rabbit, [{heartbeat, 9}]}].");
    let config = load_from(&Flags::default(), &variables, directory.path()).expect("loads");
    assert_eq!(config.limits.heartbeat_s, 9);
}
