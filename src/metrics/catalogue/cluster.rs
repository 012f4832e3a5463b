//! What is declared in the cluster: only where it is asked for, with the same answer from each node.

use super::family::{Family, Metric, Read, Where, family, gauge};

pub static FAMILIES: &[Family] = &[
    of_cluster("vhost_status", VHOSTS),
    of_cluster("exchange_bindings", BINDINGS),
    of_cluster("exchange_names", NAMES),
];

const fn of_cluster(name: &'static str, metrics: &'static [Metric]) -> Family {
    Family {
        detailed_prefix: "rabbitmq_cluster",
        where_shown: Where::Detailed,
        ..family(name, metrics)
    }
}

const VHOSTS: &[Metric] = &[gauge(
    "vhost_status",
    "Whether a given vhost is running",
    Read::Vhost(|vhost| vhost.is_running.into()),
)];

const BINDINGS: &[Metric] = &[gauge(
    "exchange_bindings",
    "Number of bindings for an exchange. This value is cluster-wide.",
    Read::Exchange(|exchange| exchange.bindings.into()),
)];

const NAMES: &[Metric] = &[gauge(
    "exchange_name",
    "Enumerates exchanges without any additional info. This value is cluster-wide. A cheaper alternative to \
     `exchange_bindings`",
    Read::Exchange(|_| 1_u64.into()),
)];
