//! Feature flags: the list of RabbitMQ 4.0, by which clients decide what they may ask for.
//!
//! Everything Warren has is always on, so nothing here can be switched: a flag that is off is of something
//! that RabbitMQ has in another way here.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::route::{Access, Route};
use crate::metadata::Catalogue;

/// What can be asked of flags, and of deprecated features.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/feature-flags",
        Access::Management,
        "Feature flags; none can be switched.",
        |_| Ok(Answer::Json(FLAGS.iter().map(Flag::view).collect())),
    ),
    Route::put(
        "/feature-flags/{name}/enable",
        Access::Administrator,
        "Enables a feature flag; all that can be are.",
        |call| Box::pin(async move { enable(call.name("name")) }),
    )
    .plain(),
    Route::get(
        "/deprecated-features",
        Access::Management,
        "What RabbitMQ 4.0 means to give up.",
        |_| Ok(Answer::Json(DEPRECATED.iter().map(Deprecated::view).collect())),
    ),
    Route::get(
        "/deprecated-features/used",
        Access::Management,
        "What of that is in use here.",
        |call| {
            let catalogue = call.broker.catalogue();
            let used = DEPRECATED.iter().filter(|feature| (feature.is_used)(&catalogue));
            Ok(Answer::Json(used.map(Deprecated::view).collect()))
        },
    ),
];

fn enable(name: &str) -> Answered {
    match FLAGS.iter().find(|flag| flag.name == name) {
        None => Err(Failure::bad("unsupported")),
        Some(flag) if flag.standing == Standing::Disabled => Err(Failure::bad(format!(
            "'{name}' has no meaning here and cannot be enabled: {}",
            flag.desc
        ))),
        Some(_) => Ok(Answer::Done),
    }
}

/// A feature that RabbitMQ has, and means to give up.
struct Deprecated {
    name: &'static str,
    /// What it is here.
    desc: &'static str,
    phase: &'static str,
    doc_url: &'static str,
    provided_by: &'static str,
    is_used: fn(&Catalogue) -> bool,
}

impl Deprecated {
    fn view(&self) -> Value {
        json!({
            "name": self.name,
            "desc": self.desc,
            "deprecation_phase": self.phase,
            "doc_url": self.doc_url,
            "provided_by": self.provided_by,
        })
    }
}

const PERMITTED: &str = "permitted_by_default";

/// RabbitMQ 4.0's list, in its order. What clients do leaves no trace that could be found here, as there.
static DEPRECATED: &[Deprecated] = &[
    Deprecated {
        name: "queue_master_locator",
        desc: "The old name of the leader locator; taken and acted on",
        phase: PERMITTED,
        doc_url: "",
        provided_by: "rabbit",
        is_used: |_| false,
    },
    Deprecated {
        name: "management_metrics_collection",
        desc: "Statistics in the HTTP API; here to stay in Warren",
        phase: PERMITTED,
        doc_url: "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#disable-metrics-delivery-via-the-management-api--ui",
        provided_by: "rabbitmq_management_agent",
        is_used: |_| false,
    },
    Deprecated {
        name: "global_qos",
        desc: "A prefetch for a whole channel; taken and acted on",
        phase: PERMITTED,
        doc_url: "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-global-qos",
        provided_by: "rabbit",
        is_used: |_| false,
    },
    Deprecated {
        name: "ram_node_type",
        desc: "Nodes that keep what is declared in memory only; Warren has none",
        phase: PERMITTED,
        doc_url: "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-ram-nodes",
        provided_by: "rabbit",
        is_used: |_| false,
    },
    Deprecated {
        name: "transient_nonexcl_queues",
        desc: "Queues that are neither durable nor exclusive; taken and acted on",
        phase: PERMITTED,
        doc_url: "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-transient-non-exclusive-queues",
        provided_by: "rabbit",
        is_used: |catalogue| {
            let mut queues = catalogue.vhosts().flat_map(|vhost| vhost.queues());
            queues.any(|spec| !spec.durable && spec.exclusive_owner.is_none())
        },
    },
    Deprecated {
        name: "amqp_address_v1",
        desc: "Old addresses of AMQP 1.0; Warren does not speak it",
        phase: PERMITTED,
        doc_url: "https://www.rabbitmq.com/docs/next/amqp#address",
        provided_by: "rabbit",
        is_used: |_| false,
    },
    Deprecated {
        name: "classic_queue_mirroring",
        desc: "Mirrored classic queues; quorum queues are in their place",
        phase: "removed",
        doc_url: "https://blog.rabbitmq.com/posts/2021/08/4.0-deprecation-announcements/#removal-of-classic-queue-mirroring",
        provided_by: "rabbit",
        is_used: |_| false,
    },
];

struct Flag {
    name: &'static str,
    standing: Standing,
    stability: Stability,
    provided_by: &'static str,
    doc_url: &'static str,
    desc: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    Enabled,
    Disabled,
}

#[derive(Clone, Copy)]
enum Stability {
    Required,
    Stable,
    Experimental,
}

const fn flag(
    name: &'static str,
    standing: Standing,
    stability: Stability,
    provided_by: &'static str,
    doc_url: &'static str,
    desc: &'static str,
) -> Flag {
    Flag {
        name,
        standing,
        stability,
        provided_by,
        doc_url,
        desc,
    }
}

impl Flag {
    fn view(&self) -> Value {
        json!({
            "name": self.name,
            "desc": self.desc,
            "doc_url": self.doc_url,
            "state": if self.standing == Standing::Disabled { "disabled" } else { "enabled" },
            "stability": match self.stability {
                Stability::Required => "required",
                Stability::Stable => "stable",
                Stability::Experimental => "experimental",
            },
            "provided_by": self.provided_by,
        })
    }
}

static FLAGS: &[Flag] = &[
    flag(
        "classic_mirrored_queue_version",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Support setting version for classic mirrored queues",
    ),
    flag(
        "classic_queue_type_delivery_support",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "https://github.com/rabbitmq/rabbitmq-server/issues/5931",
        "Bug fix for classic queue deliveries using mixed versions",
    ),
    flag(
        "detailed_queues_endpoint",
        Standing::Enabled,
        Stability::Stable,
        "rabbitmq_management",
        "",
        "Add a detailed queues HTTP API endpoint. Reduce number of metrics in the default endpoint.",
    ),
    flag(
        "direct_exchange_routing_v2",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "v2 direct exchange routing implementation",
    ),
    flag(
        "drop_unroutable_metric",
        Standing::Enabled,
        Stability::Required,
        "rabbitmq_management_agent",
        "",
        "Count unroutable publishes to be dropped in stats",
    ),
    flag(
        "empty_basic_get_metric",
        Standing::Enabled,
        Stability::Required,
        "rabbitmq_management_agent",
        "",
        "Count AMQP `basic.get` on empty queues in stats",
    ),
    flag(
        "feature_flags_v2",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Feature flags subsystem V2",
    ),
    flag(
        "implicit_default_bindings",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    flag(
        "khepri_db",
        Standing::Disabled,
        Stability::Experimental,
        "rabbit",
        "https://www.rabbitmq.com/docs/next/metadata-store",
        "New Raft-based metadata store. Fully supported as of RabbitMQ 4.0",
    ),
    flag(
        "listener_records_in_ets",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Store listener records in ETS instead of Mnesia",
    ),
    flag(
        "maintenance_mode_status",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Maintenance mode status",
    ),
    flag(
        "message_containers",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Message containers.",
    ),
    flag(
        "message_containers_deaths_v2",
        Standing::Enabled,
        Stability::Stable,
        "rabbit",
        "https://github.com/rabbitmq/rabbitmq-server/issues/11159",
        "Bug fix for dead letter cycle detection",
    ),
    flag(
        "quorum_queue",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "https://www.rabbitmq.com/docs/quorum-queues",
        "Support queues of type `quorum`",
    ),
    flag(
        "quorum_queue_non_voters",
        Standing::Enabled,
        Stability::Stable,
        "rabbit",
        "",
        "Allows new quorum queue members to be added as non voters initially.",
    ),
    flag(
        "rabbit_exchange_type_local_random",
        Standing::Enabled,
        Stability::Stable,
        "rabbit",
        "",
        "Local random exchange",
    ),
    flag(
        "rabbitmq_4.0.0",
        Standing::Enabled,
        Stability::Stable,
        "rabbit",
        "",
        "Allows rolling upgrades from 3.13.x to 4.0.x",
    ),
    flag(
        "restart_streams",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Support for restarting streams with optional preferred next leader argument. Used to implement stream leader rebalancing",
    ),
    flag(
        "stream_filtering",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Support for stream filtering.",
    ),
    flag(
        "stream_queue",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "https://www.rabbitmq.com/docs/stream",
        "Support queues of type `stream`",
    ),
    flag(
        "stream_sac_coordinator_unblock_group",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "https://github.com/rabbitmq/rabbitmq-server/issues/7743",
        "Bug fix to unblock a group of consumers in a super stream partition",
    ),
    flag(
        "stream_single_active_consumer",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "https://www.rabbitmq.com/docs/stream",
        "Single active consumer for streams",
    ),
    flag(
        "stream_update_config_command",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "A new internal command that is used to update streams as part of a policy.",
    ),
    flag(
        "tracking_records_in_ets",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Store tracking records in ETS instead of Mnesia",
    ),
    flag(
        "user_limits",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Configure connection and channel limits for a user",
    ),
    flag(
        "virtual_host_metadata",
        Standing::Enabled,
        Stability::Required,
        "rabbit",
        "",
        "Virtual host metadata (description, tags, etc)",
    ),
];
