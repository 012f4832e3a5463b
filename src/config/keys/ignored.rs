//! Keys that RabbitMQ accepts and that mean nothing to Warren: taken with one warning each, so
//! that an existing `rabbitmq.conf` still starts a node.
//!
//! The core's keys are listed one by one, because a slip of the pen in them must be found; those
//! of plug-ins that Warren does not have are passed over by their prefix.

use super::super::key::matches;

/// Why a key means nothing here; `None` when it is not known at all.
pub fn reason(segments: &[String]) -> Option<&'static str> {
    let listed = GROUPS.iter().find_map(|(reason, patterns)| {
        let known = patterns.iter().any(|pattern| matches(pattern, segments).is_some());
        known.then_some(*reason)
    });
    listed.or_else(|| tls_leaf(segments).then_some("this TLS option is not supported"))
}

/// TLS options that Warren does not have, under each prefix that TLS options can have.
fn tls_leaf(segments: &[String]) -> bool {
    TLS_PREFIXES.iter().any(|prefix| {
        TLS_LEAVES
            .iter()
            .any(|leaf| matches(&format!("{prefix}.{leaf}"), segments).is_some())
    })
}

const TLS_PREFIXES: [&str; 3] = ["ssl_options", "management.ssl", "prometheus.ssl"];

const TLS_LEAVES: [&str; 17] = [
    "cacerts.$name",
    "cert",
    "client_renegotiation",
    "crl_check",
    "dh",
    "dhfile",
    "honor_ecc_order",
    "key.RSAPrivateKey",
    "key.DSAPrivateKey",
    "key.PrivateKeyInfo",
    "log_level",
    "log_alert",
    "psk_identity",
    "reuse_sessions",
    "secure_renegotiate",
    "bypass_pem_cache",
    "backlog",
];

const GROUPS: [(&str, &[&str]); 13] = [
    (
        "it tunes the Erlang runtime, which is not there",
        &[
            "erlang.**",
            "num_acceptors.ssl",
            "num_acceptors.tcp",
            "socket_writer.gc_threshold",
            "delegate_count",
            "default_worker_pool_size",
            "ranch_connection_max",
            "hipe_compile",
            "background_gc_enabled",
            "background_gc_target_interval",
            "memory_monitor_interval",
            "vm_memory_calculation_strategy",
            "sysmon_handler.thresholds.busy_processes",
            "sysmon_handler.thresholds.busy_ports",
            "sysmon_handler.triggers.process.garbage_collection",
            "sysmon_handler.triggers.process.long_scheduled_execution",
            "sysmon_handler.triggers.process.heap_size",
            "sysmon_handler.triggers.port",
            "sysmon_handler.triggers.distribution_port",
        ],
    ),
    (
        "nodes are not joined by Erlang distribution and Mnesia",
        &[
            "net_ticktime",
            "distribution.listener.port_range.min",
            "distribution.listener.port_range.max",
            "distribution.listener.interface",
            "cluster_partition_handling.pause_if_all_down.recover",
            "cluster_keepalive_interval",
            "cluster_formation.node_type",
            "cluster_formation.internal_lock_retries",
            "cluster_formation.lock_retry_limit",
            "cluster_formation.lock_retry_timeout",
            "mnesia_table_loading_retry_timeout",
            "mnesia_table_loading_retry_limit",
            "metadata_store.khepri.default_timeout",
            "stream.replication.port_range.min",
            "stream.replication.port_range.max",
            "vhost_restart_strategy",
        ],
    ),
    (
        "messages are stored in another way",
        &[
            "mirroring_sync_batch_size",
            "mirroring_sync_max_throughput",
            "message_store_shutdown_timeout",
            "queue_index_embed_msgs_below",
            "vm_memory_high_watermark_paging_ratio",
            "queue_master_locator",
            "classic_queue.default_version",
            "quorum_queue.compute_checksums",
            "raft.segment_max_entries",
            "raft.wal_max_size_bytes",
            "raft.wal_max_entries",
            "raft.wal_hibernate_after",
            "raft.wal_max_batch_size",
            "raft.snapshot_chunk_size",
            "raft.data_dir",
            "raft.adaptive_failure_detector.poll_interval",
            "default_policies.operator.$id.max_in_memory_bytes",
            "default_policies.operator.$id.max_in_memory_length",
            "default_policies.operator.$id.classic_queues.ha_mode",
            "default_policies.operator.$id.classic_queues.ha_params",
            "default_policies.operator.$id.classic_queues.ha_sync_mode",
            "default_policies.operator.$id.classic_queues.queue_version",
        ],
    ),
    (
        "this socket option is left to the system",
        &[
            "tcp_listen_options",
            "tcp_listen_options.buffer",
            "tcp_listen_options.delay_send",
            "tcp_listen_options.dontroute",
            "tcp_listen_options.exit_on_close",
            "tcp_listen_options.fd",
            "tcp_listen_options.high_msgq_watermark",
            "tcp_listen_options.high_watermark",
            "tcp_listen_options.low_msgq_watermark",
            "tcp_listen_options.low_watermark",
            "tcp_listen_options.port",
            "tcp_listen_options.priority",
            "tcp_listen_options.send_timeout",
            "tcp_listen_options.send_timeout_close",
            "tcp_listen_options.tos",
            "tcp_listen_options.linger.on",
            "tcp_listen_options.linger.timeout",
            "reverse_dns_lookups",
        ],
    ),
    (
        "AMQP 1.0 is not spoken",
        &["session_max_per_connection", "link_max_per_session"],
    ),
    (
        "it belongs to TLS as Erlang does it",
        &["ssl_options", "ssl_allow_poodle_attack"],
    ),
    (
        "definitions are imported from files",
        &[
            "definitions.hashing.algorithm",
            "definitions.https.url",
            "definitions.tls.**",
        ],
    ),
    (
        "statistics are kept in another way",
        &[
            "collect_statistics",
            "management.db_cache_multiplier",
            "management.sample_retention_policies.$section.$interval",
            "management_agent.filter_aggregated_queue_metrics_pattern",
            "prometheus.filter_aggregated_queue_metrics_pattern",
        ],
    ),
    (
        "the HTTP server has no such setting",
        &[
            "management.http_log_dir",
            "management.tcp.idle_timeout",
            "management.tcp.inactivity_timeout",
            "management.tcp.request_timeout",
            "management.tcp.shutdown_timeout",
            "management.tcp.max_keepalive",
            "management.ssl.compress",
            "management.ssl.idle_timeout",
            "management.ssl.inactivity_timeout",
            "management.ssl.request_timeout",
            "management.ssl.shutdown_timeout",
            "management.ssl.max_keepalive",
            "management.listener.ssl",
            "management.listener.server.**",
            "management.listener.ssl_opts",
            "management.listener.ssl_opts.**",
            "management.oauth_enabled",
            "management.oauth_disable_basic_auth",
            "management.oauth_provider_url",
            "management.oauth_client_id",
            "management.oauth_client_secret",
            "management.oauth_response_type",
            "management.oauth_scopes",
            "management.oauth_metadata_url",
            "management.oauth_initiated_logon_type",
            "management.oauth_resource_servers.**",
            "prometheus.tcp.compress",
            "prometheus.tcp.idle_timeout",
            "prometheus.tcp.inactivity_timeout",
            "prometheus.tcp.request_timeout",
            "prometheus.tcp.shutdown_timeout",
            "prometheus.tcp.max_keepalive",
            "prometheus.ssl.compress",
            "prometheus.ssl.idle_timeout",
            "prometheus.ssl.inactivity_timeout",
            "prometheus.ssl.request_timeout",
            "prometheus.ssl.shutdown_timeout",
            "prometheus.ssl.max_keepalive",
        ],
    ),
    (
        "log lines go to the terminal and to one file, in one form",
        &[
            "motd_file",
            "log.console.use_colors",
            "log.console.color_esc_seqs.$level",
            "log.console.formatter.**",
            "log.file.formatter.**",
            "log.file.rotation.date",
            "log.file.rotation.compress",
            "log.exchange",
            "log.exchange.level",
            "log.exchange.formatter",
            "log.exchange.formatter.**",
            "log.journald",
            "log.journald.level",
            "log.journald.fields",
            "log.syslog",
            "log.syslog.**",
            "log.connection.file",
            "log.channel.file",
            "log.queue.file",
            "log.ra.file",
            "log.$category.rotation.date",
            "log.$category.rotation.compress",
            "log.$category.rotation.size",
            "log.$category.rotation.count",
            "log.mirroring.level",
            "log.mirroring.file",
            "log.federation.level",
            "log.federation.file",
            "log.upgrade.level",
            "log.upgrade.file",
        ],
    ),
    (
        "features that RabbitMQ deprecates are always permitted",
        &["deprecated_features.permit.$name"],
    ),
    (
        "Warren has no message interceptors and no limits of parameters",
        &[
            "message_interceptors.incoming.$interceptor.overwrite",
            "runtime_parameters.limits.$category",
        ],
    ),
    (
        "the plug-in it belongs to is not part of Warren",
        &[
            "auth_cache.**",
            "auth_http.**",
            "auth_ldap.**",
            "auth_oauth2.**",
            "aws.**",
            "cluster_formation.aws.**",
            "cluster_formation.consul.**",
            "cluster_formation.etcd.**",
            "cluster_formation.k8s.**",
            "cluster_formation.proxy.**",
            "event_exchange.**",
            "mqtt.**",
            "shovel.**",
            "stomp.**",
            "stream.**",
            "tracing.**",
            "trust_store.**",
            "web_mqtt.**",
            "web_stomp.**",
        ],
    ),
];
