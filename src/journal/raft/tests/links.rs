//! Groups over the real links of a cluster, which are cut again and again.

use std::sync::Arc;

use tempfile::TempDir;

use super::cluster::{Delegate, open_store, within};
use super::ledger::{Ledger, record};
use crate::cluster::identity::Identity;
use crate::cluster::rpc::Services;
use crate::cluster::tests::proxy::Proxy;
use crate::cluster::tests::support::Plan;
use crate::cluster::{Class, Cluster};
use crate::journal::raft::{
    Election, Group, GroupId, GroupSpec, Ledgers, Links, Pace, RAFT, RaftJournals, RaftService, Role,
};
use crate::store::tests::sim::SimDisk;
use crate::store::{OwnerId, Store};
use crate::types::NodeId;

const GROUPS: u64 = 2;
const RECORDS: u64 = 200;

struct Node {
    id: NodeId,
    cluster: Cluster,
    journals: RaftJournals,
    groups: Vec<Group<Ledger>>,
    store: Store,
    /// Others reach it only through this.
    wire: Proxy,
    _directories: (Arc<TempDir>, TempDir),
}

impl Node {
    async fn start(mut plan: Plan, wire: Proxy, seeds: &[&str]) -> Self {
        plan.settings.advertise = wire.address.to_string();
        let plan = plan.seeds(seeds);
        let directory = plan.directory;
        let identity = Identity::open(directory.path(), &plan.name, rand::random).expect("opens");
        let data = tempfile::tempdir().expect("a directory");
        let (store, _) = open_store(data.path(), &SimDisk::default());
        let links = Arc::new(Links::default());
        let journals = RaftJournals::new(identity.id(), store.clone(), links.clone());
        let delegate = Delegate::default();
        assert!(delegate.0.set(journals.clone()).is_ok());
        store.start(Arc::new(delegate));
        let mut groups = Vec::new();
        for number in 1..=GROUPS {
            let spec = GroupSpec {
                id: GroupId(number),
                log: OwnerId(10 * number),
                snapshots: OwnerId(10 * number + 1),
                pace: Pace::Quiet,
                is_shut: false,
            };
            let opened = journals.open(spec, Ledgers::default(), Ledger::default()).await;
            groups.push(opened.expect("a new group"));
        }
        let services = Services::default().serve(RAFT, Class::Data, Arc::new(RaftService(links.clone())));
        let cluster = Cluster::start(
            plan.settings,
            &identity,
            plan.secret.into(),
            services,
            plan.listener,
            directory.path(),
        );
        let cluster = cluster.expect("starts");
        links.start(cluster.clone(), journals.downgrade());
        Self {
            id: identity.id(),
            cluster,
            journals,
            groups,
            store,
            wire,
            _directories: (directory, data),
        }
    }

    async fn stop(self) {
        self.cluster.stop().await;
        for group in &self.groups {
            group.shutdown().await;
        }
        drop((self.groups, self.journals));
        let stopped = tokio::task::spawn_blocking(move || self.store.stop());
        stopped.await.expect("the store stops");
    }
}

/// Three nodes that know each other, with a group led by the first and one led by the second.
async fn three() -> Vec<Node> {
    let mut plans = Vec::new();
    for name in ["a", "b", "c"] {
        let plan = Plan::new(name).await;
        let wire = Proxy::before(plan.listener.local_addr().expect("bound")).await;
        plans.push((plan, wire));
    }
    let seeds: Vec<_> = plans.iter().map(|(_, wire)| wire.address.to_string()).collect();
    let seeds: Vec<_> = seeds.iter().map(String::as_str).collect();
    let mut nodes = Vec::new();
    for (plan, wire) in plans {
        nodes.push(Node::start(plan, wire, &seeds).await);
    }
    let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
    for (at, node) in nodes.iter().enumerate() {
        for id in ids.iter().filter(|id| **id != node.id) {
            within("links", node.cluster.linked(*id, Class::Data)).await;
        }
        if let Some(group) = node.groups.get(at) {
            group.found(ids.iter().copied()).await.expect("founded");
            leads(group).await;
        }
    }
    nodes
}

/// Lets a member lead; links that are not there yet may cost an election.
async fn leads(group: &Group<Ledger>) {
    within("a leader", async {
        let mut watch = group.watch();
        while watch.now().role != Role::Leader {
            let led = watch.until(|now| now.role == Role::Leader);
            if tokio::time::timeout(std::time::Duration::from_millis(300), led)
                .await
                .is_err()
            {
                group.elect(Election::LeaderSilent).await.expect("asked");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_go_on_when_links_are_killed() {
    let nodes = three().await;
    for number in 0..RECORDS {
        if number % 20 == 10 {
            nodes[(number / 20) as usize % nodes.len()].wire.cut();
        }
        for leader in &nodes[..GROUPS as usize] {
            let group = leader.groups.iter().find(|group| group.is_leader()).expect("it leads");
            // Some are too large for one message together with others.
            let bytes = if number % 20 == 10 { 700 * 1024 } else { 100 };
            let proposed = within("a majority", group.propose(record(number, bytes))).await;
            proposed.expect("applied");
        }
    }
    for (at, node) in nodes.iter().enumerate() {
        for group in &node.groups {
            let mut count = group.machine().watch();
            let all = count.wait_for(|count| *count as u64 == RECORDS);
            within("everything to be applied", all)
                .await
                .expect("the machine lives");
            assert!(group.machine().order.iter().copied().eq(0..RECORDS), "on node {at}");
        }
    }
    for node in nodes {
        node.stop().await;
    }
}
