//! Rows about this node, the cluster it belongs to, and who it says it is.

use super::super::sections::{Discovery, PartitionHandling};
use super::super::value::{duration, host_and_port, listener, node_name, text};
use super::*;

pub fn node_keys() -> Vec<Key> {
    vec![
        key("node.name", node_name())
            .flag("--node-name", "NAME")
            .example("rabbit@host-1")
            .help("The node's name; by default rabbit@ and the short host name.")
            .sets(|c, name| c.node.name = name),
        key("node.data_dir", path())
            .flag("--data-dir", "DIR")
            .example("/var/lib/rabbitmq")
            .help("Where everything of the node lies; by default /var/lib/rabbitmq if writable, else ./warren-data.")
            .sets(|c, path| c.node.data_dir = path),
        key("node.ports_file", path())
            .flag("--ports-file", "FILE")
            .example("/run/warren/ports.json")
            .help("Gets the ports listened on as JSON once the node is ready; of use with port 0, which picks a free one.")
            .sets(|c, path| c.node.ports_file = Some(path)),
        key("node.drain_time", duration())
            .flag("--drain-time", "TIME")
            .default("0")
            .help("How long a node that is told to stop serves its clients while health checks say that it goes.")
            .sets(|c, time| c.node.drain_time = time),
        key("node_tags.$tag", text())
            .example("zone = a")
            .help("Tags of the node, shown to operators.")
            .sets_named(|c, tag, value| {
                c.node.tags.insert(tag.to_owned(), value);
            }),
    ]
}

pub fn keys() -> Vec<Key> {
    let mut keys = link_keys();
    keys.extend(formation_keys());
    keys.extend(partition_keys());
    keys
}

fn partition_keys() -> Vec<Key> {
    let words = [
        ("ignore", PartitionHandling::Ignore),
        ("autoheal", PartitionHandling::Autoheal),
        ("pause_minority", PartitionHandling::PauseMinority),
        ("pause_if_all_down", PartitionHandling::PauseIfAllDown),
    ];
    vec![
        key("cluster_partition_handling", choice(&words))
            .default("ignore")
            .help("Whether a node that does not hear enough others sends its clients away.")
            .sets(|c, handling| c.cluster.partition_handling = handling),
        key("cluster_partition_handling.pause_if_all_down.nodes.$node", node_name())
            .example("1 = rabbit@host-1")
            .help("The nodes of which one has to be heard, for pause_if_all_down.")
            .sets_named(|c, at, name| c.cluster.pause_unless.set(at, name)),
    ]
}

fn link_keys() -> Vec<Key> {
    vec![
        key("cluster_name", name())
            .example("orders")
            .help("The cluster's name; by default the node's.")
            .sets(|c, name| c.cluster.name = Some(name)),
        key("cluster.listener", listener().or("none"))
            .flag("--cluster", "ADDR:PORT")
            .default("0.0.0.0:25672")
            .help("Where other nodes connect to, or 'none'.")
            .sets(|c, address| c.cluster.listener = address),
        key("cluster.advertise", host_and_port())
            .flag("--advertise", "ADDR:PORT")
            .example("host-1:25672")
            .help("Where others find this node; by default the host of the node name, and the cluster port.")
            .sets(|c, address| c.cluster.advertise = Some(address)),
        key("cluster.join", host_and_port().list())
            .flags("--join", "HOST:PORT")
            .example("host-1:25672, host-2:25672")
            .help("Nodes to join, by default none; this node's own address is passed over.")
            .sets(|c, nodes| c.cluster.join = nodes),
        key("cluster.secret_file", path())
            .flag("--cluster-secret-file", "FILE")
            .example("/etc/rabbitmq/cluster-secret")
            .help("A file with the secret that nodes know each other by; by default one in the data directory.")
            .sets(|c, file| c.cluster.secret_file = Some(file)),
        key("cluster.secret", secret())
            .example("secret")
            .help("The secret itself; a file keeps it better.")
            .sets(|c, secret| c.cluster.secret = Some(secret)),
        key("cluster.tls.cacertfile", path())
            .example("/etc/rabbitmq/cluster-ca.pem")
            .help("Authorities of the nodes' certificates: with the two below, nodes speak TLS only.")
            .sets(|c, file| c.cluster.tls.cacertfile = Some(file)),
        key("cluster.tls.certfile", path())
            .example("/etc/rabbitmq/cluster-cert.pem")
            .help("This node's certificate for other nodes, with the chain behind it; shown by both sides.")
            .sets(|c, file| c.cluster.tls.certfile = Some(file)),
        key("cluster.tls.keyfile", path())
            .example("/etc/rabbitmq/cluster-key.pem")
            .help("The private key of the certificate, without a password.")
            .sets(|c, file| c.cluster.tls.keyfile = Some(file)),
        key("cluster_tags.$tag", text())
            .example("region = north")
            .help("Tags of the cluster, shown to operators.")
            .sets_named(|c, tag, value| {
                c.cluster.tags.insert(tag.to_owned(), value);
            }),
    ]
}

const NO_CLEANUP: &str = "nodes are removed by forget_cluster_node only";

fn formation_keys() -> Vec<Key> {
    let backends = [
        ("classic_config", Discovery::Nodes),
        ("rabbit_peer_discovery_classic_config", Discovery::Nodes),
        ("dns", Discovery::Dns),
        ("rabbit_peer_discovery_dns", Discovery::Dns),
        ("k8s", Discovery::Foreign),
        ("kubernetes", Discovery::Foreign),
        ("rabbit_peer_discovery_k8s", Discovery::Foreign),
        ("consul", Discovery::Foreign),
        ("rabbit_peer_discovery_consul", Discovery::Foreign),
        ("etcd", Discovery::Foreign),
        ("rabbit_peer_discovery_etcd", Discovery::Foreign),
        ("aws", Discovery::Foreign),
        ("rabbit_peer_discovery_aws", Discovery::Foreign),
    ];
    let under = |leaf: &str| format!("cluster_formation.{leaf}");
    vec![
        key(under("peer_discovery_backend"), choice(&backends))
            .default("classic_config")
            .help("How peers are found: by the list of nodes, or by a DNS name.")
            .sets(|c, discovery| c.cluster.discovery = discovery),
        key(under("classic_config.nodes.$node"), node_name())
            .example("1 = rabbit@host-1")
            .help("The list of nodes.")
            .sets_named(|c, at, name| c.cluster.nodes.set(at, name)),
        key(under("dns.hostname"), text())
            .example("nodes.example.org")
            .help("The DNS name whose addresses are the nodes'.")
            .sets(|c, name| c.cluster.dns_hostname = Some(name)),
        key(under("discovery_retry_limit"), integer(0..=u32::MAX.into()))
            .default("30")
            .help("How often peers are looked for.")
            .unbuilt("peers are looked for until they are found")
            .sets(|c, times| c.cluster.discovery_retry_limit = times),
        key(under("discovery_retry_interval"), duration())
            .default("1000")
            .help("How long to wait in between.")
            .sets(|c, interval| c.cluster.discovery_retry_interval = interval),
        key(under("target_cluster_size_hint"), integer(1..=255))
            .example("3")
            .help("Nodes the cluster will have.")
            .unbuilt("nothing waits for the cluster to have that size")
            .sets(|c, nodes| c.cluster.target_size = Some(nodes)),
        key(under("node_cleanup.interval"), integer(1..=u32::MAX.into()))
            .term("rabbit.cluster_formation.node_cleanup.cleanup_interval")
            .default("60")
            .help("Seconds after which nodes that discovery does not know are looked for.")
            .unbuilt(NO_CLEANUP)
            .sets(|c, seconds| c.cluster.cleanup_interval_s = seconds),
        key(under("node_cleanup.only_log_warning"), switch())
            .term("rabbit.cluster_formation.node_cleanup.cleanup_only_log_warning")
            .default("true")
            .help("Such nodes are reported and not removed.")
            .unbuilt(NO_CLEANUP)
            .sets(|c, on| c.cluster.cleanup_only_warns = on),
    ]
}

pub fn identity_keys() -> Vec<Key> {
    vec![
        key("server_properties.product", name())
            .default("RabbitMQ")
            .help("The product that clients are told; some decide by it what they may use.")
            .sets(|c, product| c.product.product = product),
        key("server_properties.version", name())
            .default("4.0.5")
            .help("The version that clients are told.")
            .sets(|c, version| c.product.version = version),
        key("product.name", name())
            .term("rabbit.product_name")
            .default("Warren")
            .help("The product that the HTTP API names.")
            .sets(|c, name| c.product.product_name = name),
        key("product.version", name())
            .term("rabbit.product_version")
            .default(env!("CARGO_PKG_VERSION"))
            .help("The version that the HTTP API names.")
            .sets(|c, version| c.product.product_version = version),
    ]
}
