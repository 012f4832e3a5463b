//! What is declared on the cluster: one machine that takes commands.
//!
//! [`Catalogue::apply`] is deterministic and all or nothing; what the broker must do with its live
//! queues and routers comes out as [`Change`]s. Rights, equivalence of a repeated declare and
//! reserved names are the broker's to check before it sends a command; the catalogue checks what
//! depends on other declared things. A snapshot is the list of commands that makes the same
//! catalogue again, so there is one way to read either.

mod command;
pub mod definitions;
mod difference;
mod error;
pub mod json;
pub mod replicated;
mod vhost;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

pub use command::{Change, Command, PermissionSpec, TopicPermissionSpec, UserLimit, UserSpec, VhostLimit, VhostSpec};
pub use error::CatalogueError;
pub use vhost::Vhost;

use crate::auth::{Permission, TopicPermission};
use crate::spec::policy::{Policy, PolicyKind, PolicySpec};
use crate::spec::{Member, QueueSpec};
use crate::types::sorting::sort;
use crate::types::{ExchangeName, NodeId, QueueId, UserName, VhostName};

/// First byte of an encoded command or snapshot: the version of what follows.
pub const FORMAT: u8 = 2;

/// Everything declared.
#[derive(Debug)]
pub struct Catalogue {
    vhosts: BTreeMap<VhostName, Vhost>,
    users: BTreeMap<UserName, User>,
    global_parameters: BTreeMap<String, Value>,
    nodes: BTreeMap<NodeId, Node>,
    next_queue_id: u64,
    rights: u64,
}

/// A user with limits.
#[derive(Debug)]
pub struct User {
    pub spec: UserSpec,
    pub limits: BTreeMap<UserLimit, i64>,
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `rabbit@host`.
    pub name: String,
    /// HOST:PORT where other nodes find it.
    pub address: String,
}

/// Bytes that are no command or snapshot this version can read.
#[derive(Debug, Error)]
pub enum FormatError {
    #[error("the catalogue's format version {0} is unknown; this version reads {FORMAT}")]
    Version(u8),
    #[error("the catalogue's record is empty")]
    Empty,
    #[error("the catalogue's record is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error("the catalogue's snapshot contradicts itself: {0}")]
    Contradiction(#[from] CatalogueError),
}

#[derive(Serialize, Deserialize)]
struct Snapshot {
    next_queue_id: u64,
    commands: Vec<Command>,
}

impl Command {
    /// The command as it is written down.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self)
    }

    /// Reads what [`Command::encode`] gave.
    ///
    /// # Errors
    /// When the version is unknown or the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decoded(bytes)
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalogue {
    /// Nothing declared.
    pub fn new() -> Self {
        Self {
            vhosts: BTreeMap::new(),
            users: BTreeMap::new(),
            global_parameters: BTreeMap::new(),
            nodes: BTreeMap::new(),
            next_queue_id: 1,
            rights: 0,
        }
    }

    /// The members of the cluster.
    pub fn nodes(&self) -> &BTreeMap<NodeId, Node> {
        &self.nodes
    }

    /// Whether the command would change nothing, which saves its way to all nodes.
    pub fn has_already(&self, command: &Command) -> bool {
        match command {
            Command::Bind { vhost, binding } => self.vhost(vhost).is_some_and(|vhost| {
                let mut bound = vhost.bindings_to(&binding.destination);
                bound.any(|own| own == binding)
            }),
            _ => false,
        }
    }

    /// Looks whether a command can be carried out in little time.
    ///
    /// # Errors
    /// When it puts a policy whose pattern takes too many steps for the names that are there.
    pub fn check_steps(&self, command: &Command) -> Result<(), CatalogueError> {
        let (kind, spec) = match command {
            Command::PutPolicy(spec) => (PolicyKind::User, spec),
            Command::PutOperatorPolicy(spec) => (PolicyKind::Operator, spec),
            _ => return Ok(()),
        };
        let Some(vhost) = self.vhost(&spec.vhost) else {
            return Ok(());
        };
        Policy::new(kind, spec.clone())?.check_steps(vhost.names())?;
        Ok(())
    }

    /// A vhost.
    pub fn vhost(&self, name: &str) -> Option<&Vhost> {
        self.vhosts.get(name)
    }

    /// All vhosts by name.
    pub fn vhosts(&self) -> impl Iterator<Item = &Vhost> {
        self.vhosts.values()
    }

    /// A user.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// All users by name.
    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    /// All global parameters by name.
    pub fn global_parameters(&self) -> &BTreeMap<String, Value> {
        &self.global_parameters
    }

    /// Counts changes of users' rights: what was found out under an older count is to be asked
    /// again.
    pub fn rights_version(&self) -> u64 {
        self.rights
    }

    /// The catalogue as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        encoded(&Snapshot {
            next_queue_id: self.next_queue_id,
            commands: self.to_commands(),
        })
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// When the version is unknown, or the bytes are damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, FormatError> {
        let snapshot: Snapshot = decoded(bytes)?;
        let mut catalogue = Self::new();
        for command in &snapshot.commands {
            match catalogue.apply(command, &mut Vec::new()) {
                // A version with another engine took it. Nobody gets more rights by leaving it out.
                Err(error) if error.is_bad_pattern() => tracing::error!(%error, "a pattern is left out"),
                applied => applied?,
            }
        }
        catalogue.next_queue_id = catalogue.next_queue_id.max(snapshot.next_queue_id);
        Ok(catalogue)
    }

    /// Applies a command; `changes` gets what follows from it, in order.
    ///
    /// # Errors
    /// When something the command needs is missing or forbids it. Nothing has changed then.
    pub fn apply(&mut self, command: &Command, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        match command {
            Command::PutNode { node, name, address } => {
                let known = Node {
                    name: name.clone(),
                    address: address.clone(),
                };
                if self.nodes.insert(*node, known.clone()) != Some(known) {
                    changes.push(Change::NodesChanged);
                }
            }
            Command::RemoveNode(node) => self.remove_node(*node, changes),
            Command::EndRun(node) => {
                for vhost in self.vhosts.values_mut() {
                    vhost.end_run(*node, false, changes);
                }
            }
            Command::AddQueueMember { vhost, name, node } => {
                return self.vhost_mut(vhost)?.change_members(name, *node, true, changes);
            }
            Command::RemoveQueueMember { vhost, name, node } => {
                return self.vhost_mut(vhost)?.change_members(name, *node, false, changes);
            }
            Command::RenewQueueMember {
                vhost,
                name,
                node,
                generation,
            } => {
                let old = Member {
                    node: *node,
                    generation: *generation,
                };
                return self.vhost_mut(vhost)?.renew_member(name, old, changes);
            }
            Command::PutVhost(spec) => self.put_vhost(spec, changes),
            Command::DeleteVhost(name) => return self.delete_vhost(name, changes),
            Command::SetVhostLimit { vhost, limit, value } => {
                set_limit(&mut self.vhost_mut(vhost)?.limits, *limit, *value);
            }
            Command::PutUser(spec) => self.put_user(spec),
            Command::DeleteUser(name) => return self.delete_user(name, changes),
            Command::SetUserLimit { user, limit, value } => {
                set_limit(&mut self.user_mut(user)?.limits, *limit, *value);
            }
            Command::SetPermission { user, vhost, patterns } => {
                let compiled = Permission::new(&patterns.configure, &patterns.write, &patterns.read)?;
                self.user_mut(user)?;
                self.vhost_mut(vhost)?
                    .permissions
                    .insert(user.clone(), (patterns.clone(), compiled));
                self.rights += 1;
            }
            Command::ClearPermission { user, vhost } => {
                self.vhost_mut(vhost)?.permissions.remove(user);
                self.rights += 1;
            }
            Command::SetTopicPermission {
                user,
                vhost,
                exchange,
                patterns,
            } => {
                let compiled = TopicPermission::new(&patterns.write, &patterns.read, user, vhost)?;
                self.user_mut(user)?;
                let key = (user.clone(), exchange.clone());
                self.vhost_mut(vhost)?
                    .topic_permissions
                    .insert(key, (patterns.clone(), compiled));
                self.rights += 1;
            }
            Command::ClearTopicPermissions { user, vhost, exchange } => {
                let cleared = |own: &(UserName, ExchangeName)| {
                    own.0 == *user && exchange.as_ref().is_none_or(|exchange| own.1 == *exchange)
                };
                self.vhost_mut(vhost)?.topic_permissions.retain(|own, _| !cleared(own));
                self.rights += 1;
            }
            Command::PutPolicy(spec) => return self.put_policy(PolicyKind::User, spec, changes),
            Command::PutOperatorPolicy(spec) => return self.put_policy(PolicyKind::Operator, spec, changes),
            Command::DeletePolicy { vhost, name } => {
                self.vhost_mut(vhost)?.policies.remove(name);
                changes.push(Change::PoliciesChanged(vhost.clone()));
            }
            Command::DeleteOperatorPolicy { vhost, name } => {
                self.vhost_mut(vhost)?.operator_policies.remove(name);
                changes.push(Change::PoliciesChanged(vhost.clone()));
            }
            Command::PutGlobalParameter { name, value } => {
                self.global_parameters.insert(name.clone(), value.clone());
            }
            Command::DeleteGlobalParameter(name) => {
                self.global_parameters.remove(name);
            }
            Command::PutParameter {
                vhost,
                component,
                name,
                value,
            } => {
                let key = (component.clone(), name.clone());
                self.vhost_mut(vhost)?.parameters.insert(key, value.clone());
            }
            Command::DeleteParameter { vhost, component, name } => {
                self.vhost_mut(vhost)?
                    .parameters
                    .remove(&(component.clone(), name.clone()));
            }
            Command::DeclareExchange(spec) => return self.vhost_mut(&spec.vhost)?.declare_exchange(spec, changes),
            Command::DeleteExchange { vhost, name, if_unused } => {
                return self.vhost_mut(vhost)?.delete_exchange(name, *if_unused, changes);
            }
            Command::DeclareQueue(spec) => return self.declare_queue(spec, changes),
            Command::DeleteQueue { vhost, name, id } => return self.vhost_mut(vhost)?.delete_queue(name, *id, changes),
            Command::Bind { vhost, binding } => return self.vhost_mut(vhost)?.bind(binding, changes),
            Command::Unbind { vhost, binding } => return self.vhost_mut(vhost)?.unbind(binding, changes),
        }
        Ok(())
    }

    fn declare_queue(&mut self, spec: &QueueSpec, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        // One out of a snapshot has its id; whoever proposes a new one cannot know it.
        let id = match spec.id {
            QueueId(0) => QueueId(self.next_queue_id),
            id => id,
        };
        if self.vhost_mut(&spec.vhost)?.declare_queue(spec, id, changes)? {
            // An id is never used again.
            self.next_queue_id = self.next_queue_id.max(id.0.saturating_add(1));
        }
        Ok(())
    }

    fn remove_node(&mut self, node: NodeId, changes: &mut Vec<Change>) {
        if self.nodes.remove(&node).is_none() {
            return;
        }
        changes.push(Change::NodesChanged);
        for vhost in self.vhosts.values_mut() {
            vhost.end_run(node, true, changes);
            let is_member = |spec: &&QueueSpec| spec.members.iter().any(|member| member.node == node);
            let mut replicated: Vec<_> = vhost.queues().filter(is_member).map(|spec| spec.name.clone()).collect();
            sort(&mut replicated);
            for name in replicated {
                // It was just found.
                let _ = vhost.change_members(&name, node, false, changes);
            }
        }
    }

    fn put_vhost(&mut self, spec: &VhostSpec, changes: &mut Vec<Change>) {
        match self.vhosts.get_mut(&spec.name) {
            Some(vhost) => vhost.spec = spec.clone(),
            None => {
                self.vhosts.insert(spec.name.clone(), Vhost::new(spec.clone(), changes));
            }
        }
    }

    fn delete_vhost(&mut self, name: &VhostName, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        if self.vhost_mut(name)?.spec.protected {
            return Err(CatalogueError::ProtectedVhost(name.clone()));
        }
        self.vhosts.remove(name);
        self.rights += 1;
        changes.push(Change::VhostDeleted(name.clone()));
        Ok(())
    }

    fn put_user(&mut self, spec: &UserSpec) {
        match self.users.get_mut(&spec.name) {
            Some(user) => user.spec = spec.clone(),
            None => {
                self.users.insert(
                    spec.name.clone(),
                    User {
                        spec: spec.clone(),
                        limits: BTreeMap::new(),
                    },
                );
            }
        }
    }

    fn delete_user(&mut self, name: &UserName, changes: &mut Vec<Change>) -> Result<(), CatalogueError> {
        self.user_mut(name)?;
        self.users.remove(name);
        for vhost in self.vhosts.values_mut() {
            vhost.permissions.remove(name);
            vhost.topic_permissions.retain(|(user, _), _| user != name);
        }
        self.rights += 1;
        changes.push(Change::UserDeleted(name.clone()));
        Ok(())
    }

    fn put_policy(
        &mut self,
        kind: PolicyKind,
        spec: &PolicySpec,
        changes: &mut Vec<Change>,
    ) -> Result<(), CatalogueError> {
        let policy = Policy::new(kind, spec.clone())?;
        let vhost = self.vhost_mut(&spec.vhost)?;
        let policies = match kind {
            PolicyKind::User => &mut vhost.policies,
            PolicyKind::Operator => &mut vhost.operator_policies,
        };
        policies.insert(spec.name.clone(), policy);
        changes.push(Change::PoliciesChanged(spec.vhost.clone()));
        Ok(())
    }

    fn vhost_mut(&mut self, name: &VhostName) -> Result<&mut Vhost, CatalogueError> {
        self.vhosts
            .get_mut(name)
            .ok_or_else(|| CatalogueError::NoVhost(name.clone()))
    }

    fn user_mut(&mut self, name: &UserName) -> Result<&mut User, CatalogueError> {
        self.users
            .get_mut(name)
            .ok_or_else(|| CatalogueError::NoUser(name.clone()))
    }

    /// The commands that make the same again, in an order that applies.
    fn to_commands(&self) -> Vec<Command> {
        let mut commands: Vec<_> = self
            .nodes
            .iter()
            .map(|(node, known)| Command::PutNode {
                node: *node,
                name: known.name.clone(),
                address: known.address.clone(),
            })
            .collect();
        for user in self.users.values() {
            let name = &user.spec.name;
            commands.push(Command::PutUser(user.spec.clone()));
            commands.extend(user.limits.iter().map(|(limit, value)| Command::SetUserLimit {
                user: name.clone(),
                limit: *limit,
                value: Some(*value),
            }));
        }
        for (name, value) in &self.global_parameters {
            commands.push(Command::PutGlobalParameter {
                name: name.clone(),
                value: value.clone(),
            });
        }
        for vhost in self.vhosts.values() {
            vhost_commands(vhost, &mut commands);
        }
        commands
    }
}

fn vhost_commands(vhost: &Vhost, commands: &mut Vec<Command>) {
    let name = vhost.name();
    commands.push(Command::PutVhost(vhost.spec.clone()));
    for (user, (patterns, _)) in &vhost.permissions {
        let (user, vhost, patterns) = (user.clone(), name.clone(), patterns.clone());
        commands.push(Command::SetPermission { user, vhost, patterns });
    }
    for ((user, exchange), (patterns, _)) in &vhost.topic_permissions {
        let (user, vhost, exchange, patterns) = (user.clone(), name.clone(), exchange.clone(), patterns.clone());
        commands.push(Command::SetTopicPermission {
            user,
            vhost,
            exchange,
            patterns,
        });
    }
    commands.extend(
        vhost
            .policies
            .values()
            .map(|policy| Command::PutPolicy(policy.spec.clone())),
    );
    commands.extend(
        vhost
            .operator_policies
            .values()
            .map(|policy| Command::PutOperatorPolicy(policy.spec.clone())),
    );
    for ((component, parameter), value) in &vhost.parameters {
        commands.push(Command::PutParameter {
            vhost: name.clone(),
            component: component.clone(),
            name: parameter.clone(),
            value: value.clone(),
        });
    }
    let exchanges = vhost.exchanges().filter(|spec| !is_predeclared(&spec.name));
    commands.extend(exchanges.cloned().map(Command::DeclareExchange));
    commands.extend(vhost.queues().cloned().map(Command::DeclareQueue));
    for binding in vhost.bindings() {
        commands.push(Command::Bind {
            vhost: name.clone(),
            binding: binding.clone(),
        });
    }
    // Last: a limit may be lower than what there is.
    commands.extend(vhost.limits.iter().map(|(limit, value)| Command::SetVhostLimit {
        vhost: name.clone(),
        limit: *limit,
        value: Some(*value),
    }));
}
fn is_predeclared(name: &str) -> bool {
    name.is_empty() || name.starts_with("amq.")
}

fn set_limit<L: Ord>(limits: &mut BTreeMap<L, i64>, limit: L, value: Option<i64>) {
    match value {
        Some(value) => limits.insert(limit, value),
        None => limits.remove(&limit),
    };
}

fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    // Plain data with text keys and a buffer in memory: nothing here can fail.
    serde_json::to_writer(&mut bytes, value).expect("commands are plain data");
    bytes
}

fn decoded<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, FormatError> {
    match bytes.split_first() {
        None => Err(FormatError::Empty),
        Some((&FORMAT, rest)) => Ok(serde_json::from_slice(rest)?),
        Some((version, _)) => Err(FormatError::Version(*version)),
    }
}

#[cfg(test)]
mod tests;
