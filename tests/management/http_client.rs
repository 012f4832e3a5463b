//! The crate `rabbitmq_http_client`, whose types say which fields RabbitMQ's answers have: what it declares it reads
//! back. What it knows and RabbitMQ 4.0 has not either is refused in the same way.

use std::time::Duration;

use rabbitmq_http_client::blocking_api::Client;
use rabbitmq_http_client::commons::{
    BindingDestinationType, ExchangeType, PaginationParams, PolicyTarget, SupportedProtocol, UserLimitTarget,
    VirtualHostLimitTarget,
};
use rabbitmq_http_client::error::{Error, HttpClientError};
use rabbitmq_http_client::password_hashing;
use rabbitmq_http_client::requests::{
    BindingDeletionParams, EnforcedLimitParams, ExchangeParams, GlobalRuntimeParameterDefinition, Permissions,
    PolicyParams, QueueParams, RuntimeParameterDefinition, TopicPermissions, UserParams, VirtualHostParams,
    XArgumentsBuilder,
};
use serde_json::{Map, Value, json};

use crate::support::{Broker, Steps};

type Api = Client<String, &'static str, &'static str>;

/// Where the tests declare things.
const VHOST: &str = "typed";

/// A broker, its API, and a vhost that the user may use.
fn start() -> (Broker, Api) {
    let broker = Broker::start();
    let endpoint = format!("http://{}/api", broker.http().address());
    let api = Client::new(endpoint, "guest", "guest");
    let vhost = VirtualHostParams::named(VHOST).with_description("of a typed client");
    api.create_vhost(&vhost.with_tags(vec!["eu", "test"])).expect("created");
    api.grant_full_permissions("guest", VHOST).expect("granted");
    (broker, api)
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().expect("an object")
}

/// The status of a refusal.
fn status<T: std::fmt::Debug>(result: Result<T, HttpClientError>) -> u16 {
    match result.expect_err("refused") {
        Error::ClientErrorResponse { status_code, .. }
        | Error::ServerErrorResponse { status_code, .. }
        | Error::HealthCheckFailed { status_code, .. } => status_code.as_u16(),
        Error::NotFound => 404,
        other => panic!("{other:?}"),
    }
}

#[test]
fn vhosts_users_and_permissions() {
    let (broker, api) = start();
    let vhost = api.get_vhost(VHOST).expect("there");
    assert_eq!(vhost.description.as_deref(), Some("of a typed client"));
    assert_eq!(vhost.tags.as_ref().map(|tags| tags.len()), Some(2));
    assert_eq!(api.list_vhosts().expect("a list").len(), 2);
    let page = PaginationParams::new(1, 1);
    assert_eq!(api.list_vhosts_paged(&page).expect("a page").len(), 1);

    let hash = password_hashing::base64_encoded_salted_password_hash_sha256(&password_hashing::salt(), "secret");
    api.create_user(&UserParams::monitoring("typed", &hash))
        .expect("created");
    assert_eq!(api.get_user("typed").expect("there").name, "typed");
    assert_eq!(api.list_users().expect("a list").len(), 2);
    assert_eq!(api.list_users_without_permissions().expect("a list")[0].name, "typed");
    assert_eq!(api.current_user().expect("me").name, "guest");
    let endpoint = format!("http://{}/api", broker.http().address());
    let other = Client::new(endpoint, "typed", "secret");
    assert_eq!(other.current_user().expect("me").name, "typed");
    assert_eq!(status(other.list_users()), 401);

    let permissions = Permissions {
        user: "typed",
        vhost: VHOST,
        configure: "^a",
        read: ".*",
        write: "",
    };
    api.grant_permissions(&permissions).expect("granted");
    let granted = api.get_permissions(VHOST, "typed").expect("there");
    assert_eq!((granted.configure.as_str(), granted.write.as_str()), ("^a", ""));
    assert_eq!(api.list_permissions_in(VHOST).expect("a list").len(), 2);
    assert_eq!(api.list_permissions_of("typed").expect("a list").len(), 1);
    assert_eq!(api.list_permissions().expect("a list").len(), 3);
    let topics = TopicPermissions {
        user: "typed",
        vhost: VHOST,
        write: "^w",
        read: "^r",
        exchange: "amq.topic",
    };
    api.declare_topic_permissions(&topics).expect("granted");
    assert_eq!(
        api.get_topic_permissions_of(VHOST, "typed").expect("there").exchange,
        "amq.topic"
    );
    assert_eq!(api.list_topic_permissions().expect("a list").len(), 1);
    assert_eq!(api.list_topic_permissions_in(VHOST).expect("a list").len(), 1);
    assert_eq!(api.list_topic_permissions_of("typed").expect("a list").len(), 1);
    api.clear_topic_permissions(VHOST, "typed", false).expect("cleared");
    api.clear_permissions(VHOST, "typed", false).expect("cleared");
    assert_eq!(status(api.clear_permissions(VHOST, "typed", false)), 404);

    api.set_user_limit("typed", EnforcedLimitParams::new(UserLimitTarget::MaxChannels, 7))
        .expect("set");
    assert_eq!(api.list_user_limits("typed").expect("a list").len(), 1);
    assert_eq!(api.list_all_user_limits().expect("a list").len(), 1);
    api.clear_user_limit("typed", UserLimitTarget::MaxChannels)
        .expect("cleared");
    api.set_vhost_limit(VHOST, EnforcedLimitParams::new(VirtualHostLimitTarget::MaxQueues, 9))
        .expect("set");
    assert_eq!(api.list_vhost_limits(VHOST).expect("a list").len(), 1);
    assert_eq!(api.list_all_vhost_limits().expect("a list").len(), 1);
    api.clear_vhost_limit(VHOST, VirtualHostLimitTarget::MaxQueues)
        .expect("cleared");

    api.delete_user("typed", false).expect("deleted");
    api.delete_users(vec!["typed", "nobody"]).expect("deleted");
    assert_eq!(status(api.delete_user("typed", false)), 404);
    assert_eq!(status(api.enable_vhost_deletion_protection(VHOST)), 405);
    api.delete_vhost(VHOST, false).expect("deleted");
    api.delete_vhost(VHOST, true).expect("gone already");
}

#[test]
fn exchanges_queues_and_bindings() {
    let (_broker, api) = start();
    let arguments = XArgumentsBuilder::new()
        .max_length(1000)
        .dead_letter_exchange("lost")
        .build();
    api.declare_queue(VHOST, &QueueParams::new_durable_classic_queue("jobs", arguments))
        .expect("declared");
    api.declare_quorum_queue(VHOST, "orders").expect("declared");
    api.declare_queue(VHOST, &QueueParams::new_transient_autodelete("brief", None))
        .expect("declared");
    let jobs = api.get_queue_info(VHOST, "jobs").expect("there");
    assert_eq!(
        (jobs.queue_type.as_str(), jobs.durable, jobs.state.as_str()),
        ("classic", true, "running")
    );
    assert_eq!(jobs.arguments.0["x-max-length"], 1000);
    let orders = api.get_queue_info(VHOST, "orders").expect("there");
    assert_eq!(orders.queue_type, "quorum");
    assert!(orders.leader.is_some() && orders.members.is_some() && orders.online.is_some());
    assert_eq!(api.list_queues().expect("a list").len(), 3);
    assert_eq!(api.list_queues_in(VHOST).expect("a list").len(), 3);
    assert_eq!(api.list_queues_with_details().expect("a list").len(), 3);
    assert_eq!(api.list_classic_queues().expect("a list").len(), 2);
    assert_eq!(api.list_quorum_queues_in(VHOST).expect("a list").len(), 1);
    assert_eq!(
        api.list_queues_paged(&PaginationParams::new(1, 2))
            .expect("a page")
            .len(),
        2
    );
    assert_eq!(
        api.list_queues_in_paged(VHOST, &PaginationParams::new(2, 2))
            .expect("a page")
            .len(),
        1
    );
    assert_eq!(status(api.get_queue_info(VHOST, "none")), 404);

    api.declare_exchange(VHOST, &ExchangeParams::durable_fanout("lost", None))
        .expect("declared");
    api.declare_exchange(VHOST, &ExchangeParams::durable_topic("shop", None))
        .expect("declared");
    let own = ExchangeParams::plugin("spread", "x-consistent-hash".to_owned(), true, false, None);
    api.declare_exchange(VHOST, &own).expect("declared");
    assert_eq!(
        api.get_exchange_info(VHOST, "shop").expect("there").exchange_type,
        "topic".to_owned()
    );
    let unequal = ExchangeParams::durable("shop", ExchangeType::Direct, None);
    assert_eq!(status(api.declare_exchange(VHOST, &unequal)), 400);
    assert_eq!(api.list_exchanges_in(VHOST).expect("a list").len(), 10);
    assert!(api.list_exchanges().expect("a list").len() > 10);
    assert_eq!(
        api.list_exchanges_paged(&PaginationParams::new(1, 5))
            .expect("a page")
            .len(),
        5
    );

    api.bind_queue(VHOST, "jobs", "shop", Some("job.#"), None)
        .expect("bound");
    let arguments = XArgumentsBuilder::new().custom("color", json!("red")).build();
    api.bind_queue(VHOST, "orders", "shop", Some("order"), arguments)
        .expect("bound");
    api.bind_exchange(VHOST, "lost", "shop", Some("copy"), None)
        .expect("bound");
    assert_eq!(api.list_queue_bindings(VHOST, "jobs").expect("a list").len(), 2);
    assert_eq!(
        api.list_exchange_bindings_with_source(VHOST, "shop")
            .expect("a list")
            .len(),
        3
    );
    let bindings = api
        .list_exchange_bindings_with_destination(VHOST, "lost")
        .expect("a list");
    assert_eq!(bindings[0].destination_type, BindingDestinationType::Exchange);
    assert_eq!(api.list_bindings().expect("a list").len(), 6);
    let bindings = api.list_bindings_in(VHOST).expect("a list");
    let ours: Vec<_> = bindings.iter().filter(|binding| binding.source == "shop").collect();
    for binding in &ours {
        api.delete_binding(&BindingDeletionParams::from(*binding), false)
            .expect("deleted");
    }
    assert_eq!(api.list_bindings_in(VHOST).expect("a list").len(), 3);
    api.recreate_binding(ours[0]).expect("bound again");

    let routed = api
        .publish_message(VHOST, "", "jobs", "hello", Map::new())
        .expect("published");
    assert!(routed.routed);
    let got = api.get_messages(VHOST, "jobs", 1, "ack_requeue_true").expect("got");
    assert_eq!((got[0].payload.as_str(), got[0].redelivered), ("hello", false));
    api.purge_queue(VHOST, "jobs").expect("purged");
    assert!(
        api.get_messages(VHOST, "jobs", 1, "ack_requeue_false")
            .expect("an answer")
            .is_empty()
    );
    api.delete_exchange(VHOST, "spread", false).expect("deleted");
    api.delete_queue(VHOST, "brief", false).expect("deleted");
    api.delete_queues(VHOST, &["jobs", "orders", "none"], true)
        .expect("deleted");
}

#[test]
fn policies_parameters_and_definitions() {
    let (_broker, api) = start();
    let policy = PolicyParams {
        vhost: VHOST,
        name: "limits",
        pattern: "^a",
        apply_to: PolicyTarget::QuorumQueues,
        priority: 3,
        definition: map(json!({"max-length": 10})),
    };
    api.declare_policy(&policy).expect("declared");
    let known = api.get_policy(VHOST, "limits").expect("there");
    assert_eq!((known.apply_to, known.priority), (PolicyTarget::QuorumQueues, 3));
    assert_eq!(api.list_policies().expect("a list").len(), 1);
    assert_eq!(api.list_policies_in(VHOST).expect("a list").len(), 1);
    api.declare_operator_policy(&policy).expect("declared");
    assert_eq!(api.get_operator_policy(VHOST, "limits").expect("there").pattern, "^a");
    assert_eq!(api.list_operator_policies().expect("a list").len(), 1);
    assert_eq!(api.list_operator_policies_in(VHOST).expect("a list").len(), 1);

    let own = GlobalRuntimeParameterDefinition {
        name: "own",
        value: map(json!({"a": [1, "b"]})),
    };
    api.upsert_global_runtime_parameter(&own).expect("set");
    assert_eq!(api.get_global_runtime_parameter("own").expect("there").name, "own");
    assert!(!api.list_global_runtime_parameters().expect("a list").is_empty());
    api.clear_global_runtime_parameter("own").expect("cleared");
    api.set_cluster_tags(map(json!({"zone": "x"}))).expect("set");
    assert_eq!(api.get_cluster_tags().expect("there").0["zone"], "x");
    api.clear_cluster_tags().expect("cleared");
    // Limits of vhosts are parameters too.
    let limits = RuntimeParameterDefinition {
        name: "limits",
        vhost: VHOST,
        component: "vhost-limits",
        value: map(json!({"max-queues": 5})),
    };
    api.upsert_runtime_parameter(&limits).expect("set");
    assert_eq!(
        api.list_runtime_parameters_of_component("vhost-limits")
            .expect("a list")
            .len(),
        1
    );
    assert_eq!(
        api.list_runtime_parameters_of_component_in("vhost-limits", VHOST)
            .expect("a list")
            .len(),
        1
    );
    assert_eq!(
        api.get_runtime_parameter("vhost-limits", VHOST, "limits")
            .expect("there")
            .name,
        "limits"
    );
    assert!(!api.list_runtime_parameters().expect("a list").is_empty());
    api.clear_runtime_parameter("vhost-limits", VHOST, "limits", false)
        .expect("cleared");

    api.declare_quorum_queue(VHOST, "kept").expect("declared");
    let all = api.export_cluster_wide_definitions_as_data().expect("definitions");
    assert_eq!((all.queues.len(), all.policies.len()), (1, 1));
    let one = api.export_vhost_definitions_as_data(VHOST).expect("definitions");
    assert_eq!(one.queues.len(), 1);
    let text = api.export_cluster_wide_definitions_as_string().expect("definitions");
    api.delete_queue(VHOST, "kept", false).expect("deleted");
    api.delete_policy(VHOST, "limits", false).expect("deleted");
    api.delete_operator_policy(VHOST, "limits", false).expect("deleted");
    api.import_definitions(serde_json::from_str(&text).expect("JSON"))
        .expect("imported");
    assert_eq!(api.list_quorum_queues_in(VHOST).expect("a list").len(), 1);
    let text = api.export_vhost_definitions_as_string(VHOST).expect("definitions");
    api.import_vhost_definitions(VHOST, serde_json::from_str(&text).expect("JSON"))
        .expect("imported");

    // Nothing acts on these, so that they are refused, as by a RabbitMQ without the plug-ins.
    let upstream = RuntimeParameterDefinition {
        name: "up",
        vhost: VHOST,
        component: "federation-upstream",
        value: map(json!({"uri": "amqp://localhost"})),
    };
    assert_eq!(status(api.upsert_runtime_parameter(&upstream)), 400);
    assert!(api.list_federation_upstreams().expect("a list").is_empty());
    assert_eq!(status(api.list_federation_links()), 404);
    assert_eq!(status(api.list_shovels()), 404);
    assert_eq!(status(api.list_shovels_in(VHOST)), 404);
}

#[test]
fn nodes_health_and_features() {
    let (broker, api) = start();
    let overview = api.overview().expect("an overview");
    assert_eq!(overview.object_totals.queues, 0);
    assert_eq!(api.server_version().expect("a version"), overview.rabbitmq_version);
    let nodes = api.list_nodes().expect("a list");
    let name = nodes[0].name.as_str();
    let node = api.get_node_info(name).expect("there");
    assert!(!node.being_drained && !node.has_memory_alarm_in_effect);
    let memory = api
        .get_node_memory_footprint(name)
        .expect("there")
        .breakdown
        .expect("known");
    assert!(memory.total.rss > 0);
    assert_eq!(
        memory.other_system + memory.classic_queue_procs + memory.quorum_queue_procs,
        memory.total.rss
    );
    assert!(!api.list_node_plugins(name).expect("a list").is_empty());
    assert!(!api.list_all_cluster_plugins().expect("a list").is_empty());
    let attempts = api.auth_attempts_statistics(name).expect("a list");
    assert!(attempts.iter().any(|one| one.success_count > 0));
    assert!(!api.oauth_configuration().expect("an answer").oauth_enabled);

    api.set_cluster_name("typed").expect("set");
    assert_eq!(api.get_cluster_name().expect("a name").name, "typed");
    api.health_check_cluster_wide_alarms().expect("healthy");
    api.health_check_local_alarms().expect("healthy");
    api.health_check_if_node_is_quorum_critical().expect("healthy");
    api.health_check_protocol_listener(SupportedProtocol::AMQP)
        .expect("healthy");
    let port = broker
        .uri()
        .rsplit_once(':')
        .and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
    api.health_check_port_listener(port.expect("a port")).expect("healthy");
    assert_eq!(status(api.health_check_port_listener(1)), 503);
    api.rebalance_queue_leaders().expect("accepted");

    let flags = api.list_feature_flags().expect("a list");
    assert!(flags.0.iter().any(|flag| flag.name == "quorum_queue"));
    api.enable_feature_flag("quorum_queue").expect("on");
    assert!(!api.list_all_deprecated_features().expect("a list").0.is_empty());
    assert!(api.list_deprecated_features_in_use().expect("a list").0.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_listed_and_closed() {
    let broker = Broker::start();
    let endpoint = format!("http://{}/api", broker.http().address());
    let client = broker.client().await;
    client.plain_queue("q").await;
    client.basic_qos(7, Default::default()).await.expect("answered");
    let _consumer = client.consume("q").await;
    let look = move || {
        let api = Client::new(endpoint, "guest", "guest");
        let connections = api.list_connections().expect("a list");
        let name = connections[0].name.clone();
        assert_eq!(api.get_connection_info(&name).expect("there").username, "guest");
        assert_eq!(api.list_connections_in("/").expect("a list").len(), 1);
        assert_eq!(
            api.list_connections_paged(&PaginationParams::new(1, 5))
                .expect("a page")
                .len(),
            1
        );
        assert_eq!(api.list_user_connections("guest").expect("a list")[0].name, name);
        let channels = api.list_channels().expect("a list");
        assert_eq!((channels[0].prefetch_count, channels[0].consumer_count), (7, 1));
        assert_eq!(
            api.get_channel_info(&channels[0].name).expect("there").id,
            channels[0].id
        );
        assert_eq!(api.list_channels_in("/").expect("a list").len(), 1);
        assert_eq!(api.list_channels_on(&name).expect("a list").len(), 1);
        assert_eq!(
            api.list_channels_paged(&PaginationParams::new(1, 5))
                .expect("a page")
                .len(),
            1
        );
        let consumers = api.list_consumers().expect("a list");
        assert_eq!((consumers.len(), consumers[0].prefetch_count), (1, 7));
        assert_eq!(api.list_consumers_in("/").expect("a list").len(), 1);
        api.close_connection(&name, Some("a test"), false).expect("closed");
        api.close_user_connections("guest", Some("a test"), true)
            .expect("closed");
    };
    tokio::time::timeout(Duration::from_secs(60), tokio::task::spawn_blocking(look))
        .await
        .expect("in time")
        .expect("as expected");
}
