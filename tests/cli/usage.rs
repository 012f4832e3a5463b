//! How commands are written, and what is said when they are not.

use std::process::Command;

use super::{ctl, ran};
use crate::support::Broker;

#[test]
fn the_binary_is_a_tool_by_its_name() {
    let broker = Broker::start();
    let dir = tempfile::tempdir().expect("a directory");
    let tools = ["rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues"];
    for tool in tools
        .into_iter()
        .chain(["rabbitmq-plugins", "rabbitmq-streams", "rabbitmq-upgrade"])
    {
        let path = dir.path().join(tool);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
        let mut command = Command::new(&path);
        command.args(["-n", "g1@localhost", "help", "a", "b"]);
        assert_eq!(
            ran(command).failed(64),
            format!(
                "Error (argument validation): too many arguments.\nArguments given:\n\
                 \t-n g1@localhost help a b\n\nUsage\n\n\
                 {tool} [--node <node>] [--longnames] [--quiet] help [<command>]\n"
            )
        );
    }
    for variable in ["WARREN_DATA_DIR", "RABBITMQ_MNESIA_BASE"] {
        let mut command = Command::new(dir.path().join("rabbitmqctl"));
        command.args(["list_vhosts", "-s"]).env(variable, broker.data_dir());
        assert_eq!(ran(command).well(), "/\n");
    }
    let mut command = Command::new(dir.path().join("rabbitmqctl"));
    command.arg("drain");
    assert_eq!(
        ran(command).failed(64),
        "\nCommand 'drain' not found. \nIt is one of rabbitmq-upgrade.\n\n"
    );
}

#[test]
fn a_tool_that_is_not_there_runs_no_node() {
    let dir = tempfile::tempdir().expect("a directory");
    for tool in ["rabbitmqadmin", "rabbitmq-collect-env"] {
        let path = dir.path().join(tool);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
        let mut command = Command::new(&path);
        command.env("WARREN_DATA_DIR", dir.path().join("data"));
        let said = ran(command).failed(64);
        assert_eq!(
            said,
            format!("{tool} is not part of Warren; `warren help` says what is\n")
        );
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn a_listener_with_tls_is_refused_without_a_certificate() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command
        .args(["server", "--amqps", "127.0.0.1:0"])
        .env("WARREN_DATA_DIR", dir.path().join("data"));
    let said = ran(command).failed(1);
    assert!(said.starts_with("ssl_options.certfile is not set"), "{said}");
}

#[test]
fn what_is_no_command_is_answered_with_all_there_are() {
    let broker = Broker::start();
    let said = ctl(&broker, &["frobnicate"]).failed(64);
    let start = "\nCommand 'frobnicate' not found. \n\nUsage\n\nwarren ctl [--node <node>] [--timeout <timeout>] \
                 [--longnames] [--quiet] <command> [<command options>]\n\nAvailable commands:\n\nHelp:\n";
    assert!(said.starts_with(start), "{said}");
    let end = "Use 'warren ctl help <command>' to learn more about a specific command\n";
    assert!(said.ends_with(end), "{said}");
    let said = ctl(&broker, &["list_user"]).failed(64);
    assert!(said.contains("\nDid you mean 'list_users'? \n"), "{said}");
}

#[test]
fn help_needs_no_node() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command.args(["ctl", "--data-dir", "/nowhere"]).args(arguments);
        ran(command).well()
    };
    let all = run(&["help"]);
    assert!(all.contains("\nPolicies:\n\n   clear_operator_policy "), "{all}");
    let one = run(&["help", "list_queues"]);
    let usage = "\nUsage\n\nwarren ctl [--node <node>] [--longnames] [--quiet] list_queues [--vhost <vhost>] [--online] \
                 [--offline] [--local] [--no-table-headers] [<column>, ...] [--timeout <timeout>]\n\n\
                 Lists the queues of a virtual host.\n\nArguments and Options\n\n<column>\n\tone of arguments, ";
    assert!(one.starts_with(usage), "{one}");
    assert_eq!(run(&["list_queues", "--help"]), one);
}

/// All commands that RabbitMQ 4.0.5's tools list, by tool, which are not streams': those are not there.
const OF_RABBITMQ: [(&str, &str); 6] = [
    (
        "rabbitmqctl",
        "activate_free_disk_space_monitoring add_user add_vhost authenticate_user autocomplete await_online_nodes await_startup change_cluster_node_type change_password check_if_any_deprecated_features_are_used clear_global_parameter clear_operator_policy clear_parameter clear_password clear_permissions clear_policy clear_topic_permissions clear_user_limits clear_vhost_limits close_all_connections close_all_user_connections close_connection cluster_status deactivate_free_disk_space_monitoring decode decrypt_conf_value delete_queue delete_user delete_vhost enable_feature_flag encode encrypt_conf_value environment eval eval_file exec export_definitions force_boot force_gc force_reset force_standalone_khepri_boot forget_cluster_node hash_password help import_definitions join_cluster list_bindings list_channels list_ciphers list_connections list_consumers list_deprecated_features list_exchanges list_feature_flags list_global_parameters list_hashes list_node_auth_attempt_stats list_operator_policies list_parameters list_permissions list_policies list_queues list_topic_permissions list_unresponsive_queues list_user_limits list_user_permissions list_user_topic_permissions list_users list_vhost_limits list_vhosts node_health_check ping purge_queue reconcile_vhosts remove_classic_queue_mirroring_from_policies rename_cluster_node report reset restart_vhost resume_listeners rotate_logs schema_info set_cluster_name set_disk_free_limit set_global_parameter set_log_level set_operator_policy set_parameter set_permissions set_permissions_globally set_policy set_topic_permissions set_user_limits set_user_tags set_vhost_limits set_vhost_tags set_vm_memory_high_watermark shutdown start_app status stop stop_app suspend_listeners trace_off trace_on update_cluster_nodes update_vhost_metadata version wait",
    ),
    (
        "rabbitmq-diagnostics",
        "activate_free_disk_space_monitoring alarms autocomplete certificates check_alarms check_certificate_expiration check_if_any_deprecated_features_are_used check_if_cluster_has_classic_queue_mirroring_policy check_if_new_quorum_queue_replicas_have_finished_initial_sync check_if_node_is_mirror_sync_critical check_if_node_is_quorum_critical check_local_alarms check_port_connectivity check_port_listener check_protocol_listener check_running check_virtual_hosts cipher_suites cluster_status command_line_arguments consume_event_stream coordinator_status deactivate_free_disk_space_monitoring disable_auth_attempt_source_tracking discover_peers enable_auth_attempt_source_tracking environment erlang_cookie_hash erlang_cookie_sources erlang_version help is_booting is_running list_bindings list_channels list_ciphers list_connections list_consumers list_deprecated_features list_exchanges list_feature_flags list_global_parameters list_hashes list_network_interfaces list_node_auth_attempt_stats list_operator_policies list_operator_policies_with_classic_queue_mirroring list_parameters list_permissions list_policies list_policies_that_match list_policies_with_classic_queue_mirroring list_queues list_topic_permissions list_unresponsive_queues list_user_limits list_user_permissions list_user_topic_permissions list_users list_vhost_limits list_vhosts listeners log_location log_tail log_tail_stream maybe_stuck memory_breakdown metadata_store_status node_health_check observer os_env ping quorum_status reclaim_quorum_memory remote_shell report reset_node_auth_attempt_metrics resolve_hostname resolver_info runtime_thread_stats schema_info server_version status stream_status tls_versions version wait",
    ),
    (
        "rabbitmq-queues",
        "add_member autocomplete check_if_cluster_has_classic_queue_mirroring_policy check_if_new_quorum_queue_replicas_have_finished_initial_sync check_if_node_is_mirror_sync_critical check_if_node_is_quorum_critical delete_member grow help list_operator_policies_with_classic_queue_mirroring list_policies_with_classic_queue_mirroring peek quorum_status rebalance reclaim_quorum_memory shrink stream_status",
    ),
    (
        "rabbitmq-plugins",
        "autocomplete directories disable enable help is_enabled list set version",
    ),
    (
        "rabbitmq-streams",
        "add_replica coordinator_status delete_replica help restart_stream set_stream_retention_policy stream_status",
    ),
    (
        "rabbitmq-upgrade",
        "await_online_quorum_plus_one drain help post_upgrade revive",
    ),
];

#[test]
fn each_command_of_rabbitmqs_is_there_or_says_why_not() {
    let dir = tempfile::tempdir().expect("a directory");
    for (tool, commands) in OF_RABBITMQ {
        let path = dir.path().join(tool);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
        for name in commands.split(' ') {
            let mut command = Command::new(&path);
            command.args(["help", name]);
            let got = ran(command);
            match got.status {
                0 => assert!(
                    got.out.starts_with(&format!("\nUsage\n\n{tool} ")),
                    "{tool} {name}: {}",
                    got.out
                ),
                64 => {
                    let said = format!("\nCommand '{name}' is not there: ");
                    assert!(got.errors.starts_with(&said), "{tool} {name}: {}", got.errors);
                }
                other => panic!("{tool} {name}: {other}"),
            }
        }
    }
}

#[test]
fn shells_complete_commands_and_options() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("rabbitmqctl");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_warren"), &path).expect("a link");
    for shell in ["bash", "zsh", "fish"] {
        let mut command = Command::new(&path);
        command.args(["completion", shell]);
        let script = ran(command).well();
        for word in ["rabbitmqctl", "list_queues", "no-table-headers"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let mut command = Command::new(&path);
    command.args(["completion", "tcsh"]);
    assert!(ran(command).failed(64).contains("'tcsh' is no shell of"));
    let script = ran({
        let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
        command.args(["ctl", "completion", "bash"]);
        command
    });
    // What bash makes of it: the commands that begin so.
    let file = dir.path().join("warren.bash");
    std::fs::write(&file, script.well()).expect("written");
    let mut bash = Command::new("bash");
    let line =
        "source $0; COMP_WORDS=(warren ctl list_us); COMP_CWORD=2; _warren warren list_us ctl; echo ${COMPREPLY[@]}";
    bash.arg("-c").arg(line).arg(&file);
    assert_eq!(
        ran(bash).well(),
        "list_users list_user_permissions list_user_topic_permissions list_user_limits\n"
    );
    let mut command = Command::new(&path);
    command.args(["autocomplete", "list_us"]);
    assert_eq!(
        ran(command).well(),
        "list_user_limits\nlist_user_permissions\nlist_user_topic_permissions\nlist_users\n"
    );
}
