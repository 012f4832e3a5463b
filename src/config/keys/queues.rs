//! Rows about queues, consumers, operator policies, and the import of definitions.

use super::super::sections::{LeaderLocator, OperatorPolicy};
use super::super::value::{duration, regular_expression};
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = queue_keys();
    keys.extend(operator_policy_keys());
    keys
}

fn queue_keys() -> Vec<Key> {
    let types = [
        ("classic", "classic".to_owned()),
        ("rabbit_classic_queue", "classic".to_owned()),
        ("quorum", "quorum".to_owned()),
        ("rabbit_quorum_queue", "quorum".to_owned()),
        ("stream", "stream".to_owned()),
        ("rabbit_stream_queue", "stream".to_owned()),
    ];
    let locators = [
        ("client-local", LeaderLocator::ClientLocal),
        ("balanced", LeaderLocator::Balanced),
        // RabbitMQ's words of before, which mean the same there.
        ("random", LeaderLocator::Balanced),
        ("least-leaders", LeaderLocator::Balanced),
        ("min-masters", LeaderLocator::Balanced),
    ];
    let reconciliation = |leaf: &str| format!("quorum_queue.continuous_membership_reconciliation.{leaf}");
    vec![
        key("default_queue_type", choice(&types))
            .default("classic")
            .help("The type of queues that do not say, in vhosts that do not say.")
            .sets(|c, name| c.queues.default_type = name),
        key("consumer_timeout", duration().or("infinity"))
            .default("1800000")
            .help("Longest time a consumer may hold a message before its channel is closed.")
            .sets(|c, timeout| c.queues.consumer_timeout = timeout),
        key(
            "quorum_queue.property_equivalence.relaxed_checks_on_redeclaration",
            switch(),
        )
        .term("rabbit.quorum_relaxed_checks_on_redeclaration")
        .default("false")
        .help("Declaring a quorum queue again as a classic one succeeds.")
        .sets(|c, on| c.queues.relaxed_redeclaration = on),
        key("queue_leader_locator", choice(&locators))
            .default("client-local")
            .help("Where the leader of a new replicated queue is put.")
            .sets(|c, locator| c.queues.leader_locator = locator),
        key(reconciliation("enabled"), switch())
            .term("rabbit.quorum_membership_reconciliation_enabled")
            .default("false")
            .help("Quorum queues grow to new nodes by themselves.")
            .sets(|c, on| c.queues.membership.enabled = on),
        key(reconciliation("auto_remove"), switch())
            .term("rabbit.quorum_membership_reconciliation_auto_remove")
            .default("false")
            .help("Members on nodes that left the cluster are removed.")
            .unbuilt("members of nodes that were forgotten are always replaced, others never removed")
            .sets(|c, on| c.queues.membership.auto_remove = on),
        key(reconciliation("interval"), duration())
            .term("rabbit.quorum_membership_reconciliation_interval")
            .default("3600000")
            .help("How often members are looked at.")
            .sets(|c, interval| c.queues.membership.interval = interval),
        key(reconciliation("trigger_interval"), duration())
            .term("rabbit.quorum_membership_reconciliation_trigger_interval")
            .default("10000")
            .help("How long after a change of the cluster.")
            .sets(|c, interval| c.queues.membership.trigger_interval = interval),
        key(reconciliation("target_group_size"), integer(1..=255))
            .term("rabbit.quorum_membership_reconciliation_target_group_size")
            .example("3")
            .help("Members a queue should have.")
            .sets(|c, members| c.queues.membership.target_group_size = Some(members)),
    ]
}

fn operator_policy_keys() -> Vec<Key> {
    let under = |leaf: &str| format!("default_policies.operator.$id.{leaf}");
    let bytes = || binary_size::<u64>(0..=i64::MAX as u64);
    vec![
        key(under("vhost_pattern"), regular_expression())
            .example("1 = ^device")
            .help("An operator policy that new vhosts get: the names they have.")
            .sets_named(|c, id, pattern| policy(c, id).vhost_pattern = Some(pattern)),
        key(under("queue_pattern"), regular_expression())
            .example("1 = .*")
            .help("An operator policy of new vhosts: the queues it applies to.")
            .sets_named(|c, id, pattern| policy(c, id).queue_pattern = Some(pattern)),
        key(under("expires"), duration())
            .example("1 = 1h")
            .help("An operator policy of new vhosts: time without use after which a queue goes.")
            .sets_named(|c, id, time| policy(c, id).expires = Some(time)),
        key(under("message_ttl"), duration())
            .example("1 = 1d")
            .help("An operator policy of new vhosts: time a message may wait.")
            .sets_named(|c, id, time| policy(c, id).message_ttl = Some(time)),
        key(under("max_length"), integer(0..=u64::MAX))
            .example("1 = 100000")
            .help("An operator policy of new vhosts: messages of a queue.")
            .sets_named(|c, id, count| policy(c, id).max_length = Some(count)),
        key(under("max_length_bytes"), bytes())
            .example("1 = 1GB")
            .help("An operator policy of new vhosts: bytes of a queue.")
            .sets_named(|c, id, bytes| policy(c, id).max_length_bytes = Some(bytes)),
        key(under("delivery_limit"), integer(0..=u64::MAX))
            .example("1 = 20")
            .help("An operator policy of new vhosts: deliveries of a message of a quorum queue.")
            .sets_named(|c, id, count| policy(c, id).delivery_limit = Some(count)),
    ]
}

pub fn definition_keys() -> Vec<Key> {
    vec![
        key("load_definitions", path())
            .example("/etc/rabbitmq/definitions.json")
            .help("Definitions imported at start: a JSON file, or a directory of them.")
            .sets(|c, path| c.definitions.load = Some(path)),
        key("management.load_definitions", path())
            .example("/etc/rabbitmq/definitions.json")
            .help("The same, imported after them.")
            .sets(|c, path| c.definitions.management_load = Some(path)),
        key(
            "definitions.import_backend",
            choice(&[
                ("local_filesystem", ()),
                ("rabbit_definitions_import_local_filesystem", ()),
            ]),
        )
        .default("local_filesystem")
        .help("Where definitions come from: from files.")
        .sets(|_, ()| {}),
        key("definitions.local.path", path())
            .term("rabbit.definitions.local_path")
            .example("/etc/rabbitmq/definitions.d")
            .help("The same as load_definitions, for the import from files.")
            .sets(|c, path| c.definitions.local_path = Some(path)),
        key("definitions.skip_if_unchanged", switch())
            .default("false")
            .help("Definitions that were imported before are not imported again.")
            .sets(|c, on| c.definitions.skip_if_unchanged = on),
    ]
}

fn policy<'a>(config: &'a mut Config, id: &str) -> &'a mut OperatorPolicy {
    config.queues.operator_policies.entry(id.to_owned()).or_default()
}
