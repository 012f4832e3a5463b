//! Every change an operator or a client can make to what is declared, and what follows from it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::PasswordHash;
use crate::exchange::ExchangeSpec;
use crate::spec::policy::PolicySpec;
use crate::spec::{BindingSpec, QueueSpec, QueueType};
use crate::types::{ExchangeName, NodeId, QueueId, QueueName, UserName, VhostName};

/// A command, stamped with everything that was decided by whoever sent it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// A node is a member of the cluster, or has another name or address.
    PutNode {
        node: NodeId,
        name: String,
        address: String,
    },
    /// A node is no member any more: what lived on it is gone.
    RemoveNode(NodeId),
    /// A run of a node is over: what was declared for that long is gone.
    EndRun(NodeId),
    /// A node is to be in the group of a replicated queue.
    AddQueueMember {
        vhost: VhostName,
        name: QueueName,
        node: NodeId,
    },
    /// A node is to leave the group of a replicated queue.
    RemoveQueueMember {
        vhost: VhostName,
        name: QueueName,
        node: NodeId,
    },
    /// The member of that generation has lost its data: another takes its place on its node.
    RenewQueueMember {
        vhost: VhostName,
        name: QueueName,
        node: NodeId,
        generation: u32,
    },
    PutVhost(VhostSpec),
    DeleteVhost(VhostName),
    /// `None` takes the limit away.
    SetVhostLimit {
        vhost: VhostName,
        limit: VhostLimit,
        value: Option<i64>,
    },
    PutUser(UserSpec),
    DeleteUser(UserName),
    SetUserLimit {
        user: UserName,
        limit: UserLimit,
        value: Option<i64>,
    },
    SetPermission {
        user: UserName,
        vhost: VhostName,
        patterns: PermissionSpec,
    },
    ClearPermission {
        user: UserName,
        vhost: VhostName,
    },
    SetTopicPermission {
        user: UserName,
        vhost: VhostName,
        exchange: ExchangeName,
        patterns: TopicPermissionSpec,
    },
    /// All of the user in the vhost, or those on one exchange.
    ClearTopicPermissions {
        user: UserName,
        vhost: VhostName,
        exchange: Option<ExchangeName>,
    },
    PutPolicy(PolicySpec),
    DeletePolicy {
        vhost: VhostName,
        name: String,
    },
    PutOperatorPolicy(PolicySpec),
    DeleteOperatorPolicy {
        vhost: VhostName,
        name: String,
    },
    PutGlobalParameter {
        name: String,
        value: Value,
    },
    DeleteGlobalParameter(String),
    PutParameter {
        vhost: VhostName,
        component: String,
        name: String,
        value: Value,
    },
    DeleteParameter {
        vhost: VhostName,
        component: String,
        name: String,
    },
    DeclareExchange(ExchangeSpec),
    DeleteExchange {
        vhost: VhostName,
        name: ExchangeName,
        if_unused: bool,
    },
    DeclareQueue(QueueSpec),
    /// Deletes this very queue, and not another that has taken its name.
    DeleteQueue {
        vhost: VhostName,
        name: QueueName,
        id: QueueId,
    },
    Bind {
        vhost: VhostName,
        binding: BindingSpec,
    },
    Unbind {
        vhost: VhostName,
        binding: BindingSpec,
    },
}

/// A virtual host as put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VhostSpec {
    pub name: VhostName,
    pub description: String,
    pub tags: Vec<String>,
    /// `None` takes the node's.
    pub default_queue_type: Option<QueueType>,
    /// Protected from deletion.
    pub protected: bool,
}

/// A limit of a vhost; negative is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VhostLimit {
    MaxConnections,
    MaxQueues,
}

/// A limit of a user; negative is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserLimit {
    MaxConnections,
    MaxChannels,
}

/// A user as put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserSpec {
    pub name: UserName,
    pub password: PasswordHash,
    pub tags: Vec<String>,
}

/// The patterns of a permission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PermissionSpec {
    pub configure: String,
    pub write: String,
    pub read: String,
}

/// The patterns of a topic permission.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopicPermissionSpec {
    pub write: String,
    pub read: String,
}

/// What the broker carries out after a command, in this order.
#[derive(Clone, Debug)]
pub enum Change {
    /// The members of the cluster are others.
    NodesChanged,
    /// The nodes that have a replicated queue are others.
    QueueMembersChanged(QueueSpec),
    VhostAdded(VhostName),
    /// Everything in it is gone with it; no other change says so.
    VhostDeleted(VhostName),
    ExchangeDeclared(ExchangeSpec),
    ExchangeDeleted(ExchangeSpec),
    QueueDeclared(QueueSpec),
    QueueDeleted(QueueSpec),
    Bound(VhostName, BindingSpec),
    Unbound(VhostName, BindingSpec),
    PoliciesChanged(VhostName),
    UserDeleted(UserName),
}
