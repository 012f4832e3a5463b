//! A broker out of what survived: the catalogue from its log, then every queue from its ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use rand::random;
use thiserror::Error;

use super::alarms::Alarms;
use super::catalogue::listener;
use super::delayed::{self, Delayer};
use super::nodes::Nodes;
use super::owners::group_owners;
use super::{Broker, BrokerError, Clock, Connections, NodeInfo};
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::cluster::identity::{Identity, IdentityError};
use crate::config::Config;
use crate::config::PasswordHashing;
use crate::journal::raft::{GroupId, GroupSpec, Ledgers, OpenError, Pace};
use crate::metadata::replicated::Replicated;
use crate::metadata::{Command, PermissionSpec, UserSpec, VhostSpec};
use crate::queue;
use crate::store::{LedgerEntry, Lsn, OwnerId, OwnerLedger, Owners, Store, StoreError, StoreOptions};
use crate::types::QueueId;

/// Why a node cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "the catalogue cannot be read: it is not known what was declared; restore the data directory, or start with an empty one: {0}"
    )]
    Catalogue(#[from] OpenError),
    #[error(
        "the data directory was written by a version whose catalogue was not replicated: export its definitions with that version"
    )]
    OldCatalogue,
    #[error("the catalogue is not there: {0}")]
    Unformed(#[from] BrokerError),
    #[error("the links to other nodes cannot be made: {0}")]
    Links(String),
}

/// What survived and was not taken by whom it belongs to yet.
pub(super) type LeftOver = HashMap<OwnerId, OwnerLedger>;

impl Broker {
    /// Opens the data directory. Nothing is live before the node has formed or found its cluster.
    ///
    /// # Errors
    /// [`StartError`]; the data directory is as it was.
    pub async fn open(config: Arc<Config>) -> Result<Arc<Self>, StartError> {
        let (store, mut recovered) = Store::open(&config.node.data_dir, StoreOptions::default())?;
        if recovered.catalogue.is_some() || !recovered.commands.is_empty() {
            return Err(StartError::OldCatalogue);
        }
        if recovered.unknown_damage {
            tracing::error!("part of the log is damaged and cannot be told to belong to any queue");
        }
        let name = config.node.name.clone();
        let identity = Identity::open(&config.node.data_dir, &name, random)?;
        let clock = Clock::start();
        let (log, snapshots) = group_owners(QueueId(0), 0);
        let ledgers = Ledgers {
            log: recovered.owners.remove(&log),
            snapshots: recovered.owners.remove(&snapshots),
        };
        let heard = Arc::new(OnceLock::new());
        let machine = Replicated::new(listener(heard.clone()));
        let broker = Arc::new(Self {
            node: NodeInfo {
                cluster_name: config.cluster.name.clone().unwrap_or_else(|| name.clone()),
                name,
                started_at: clock.now(),
            },
            clock,
            nodes: Nodes::new(identity.id(), store.clone()),
            identity: Mutex::new(identity),
            store,
            rights: AtomicU64::new(0),
            catalog: machine.catalog(),
            snapshot_bytes: machine.snapshot_bytes(),
            catalogue: OnceLock::new(),
            live: AtomicBool::new(false),
            left_over: Mutex::new(recovered.owners),
            vhosts: RwLock::default(),
            owners: RwLock::default(),
            delayed: Delayer::default(),
            reply_to: Default::default(),
            timers: Default::default(),
            connections: Connections::default(),
            alarms: Alarms::new(&config.resources),
            runtime: tokio::runtime::Handle::current(),
            // Unlike those of other nodes, and of this one before it was started again.
            next_connection: AtomicU64::new(u64::from(random::<u32>() >> 1) << 32 | 1),
            failed: AtomicBool::new(false),
            config,
        });
        // It is empty until here.
        let _ = heard.set(Arc::downgrade(&broker));
        broker.store.start(Arc::new(Journal(Arc::downgrade(&broker))));
        let spec = GroupSpec {
            id: GroupId(0),
            log,
            snapshots,
            pace: Pace::Ticking,
        };
        let group = broker.nodes.journals().open(spec, ledgers, machine).await?;
        // It is empty until here.
        let _ = broker.catalogue.set(group);
        Ok(broker)
    }

    /// What survived of an owner, once.
    pub(super) fn take_recovered(&self, owner: OwnerId) -> Option<OwnerLedger> {
        self.left_over.lock().remove(&owner)
    }

    /// What belongs to nothing that is declared is no more.
    pub(super) fn forget_left_over(&self) {
        let left_over = std::mem::take(&mut *self.left_over.lock());
        for (owner, ledger) in left_over {
            if delayed::is_exchange(owner) {
                self.delayed.recover(self, None, owner, ledger);
            } else {
                self.store.forget(owner);
            }
        }
    }

    /// What makes the first user and vhost of a new cluster.
    pub(super) fn first_commands(&self) -> Vec<Command> {
        let auth = &self.config.auth;
        let vhost = VhostSpec {
            name: auth.default_vhost.as_str().into(),
            description: "Default virtual host".to_owned(),
            tags: Vec::new(),
            default_queue_type: None,
            protected: false,
        };
        let tags = auth.default_user_tags.iter().filter(|(_, on)| **on);
        let mut commands = vec![
            Command::PutVhost(vhost),
            Command::PutUser(UserSpec {
                name: auth.default_user.as_str().into(),
                password: self.hash(auth.default_pass.reveal().as_bytes()),
                tags: tags.map(|(tag, _)| tag.to_owned()).collect(),
            }),
            Command::SetPermission {
                user: auth.default_user.as_str().into(),
                vhost: auth.default_vhost.as_str().into(),
                patterns: PermissionSpec {
                    configure: auth.default_permissions.configure.clone(),
                    write: auth.default_permissions.write.clone(),
                    read: auth.default_permissions.read.clone(),
                },
            },
        ];
        for (name, user) in &auth.default_users {
            let password = user.password.as_ref();
            commands.push(Command::PutUser(UserSpec {
                name: name.as_str().into(),
                password: password.map_or_else(PasswordHash::default, |password| {
                    self.hash(password.reveal().as_bytes())
                }),
                tags: user.tags.clone(),
            }));
            let pattern = user.vhost_pattern.as_deref().unwrap_or("");
            let in_vhost = regex::Regex::new(pattern).is_ok_and(|regex| regex.is_match(&auth.default_vhost));
            if in_vhost {
                commands.push(Command::SetPermission {
                    user: name.as_str().into(),
                    vhost: auth.default_vhost.as_str().into(),
                    patterns: PermissionSpec {
                        configure: user.permissions.configure.clone(),
                        write: user.permissions.write.clone(),
                        read: user.permissions.read.clone(),
                    },
                });
            }
        }
        commands
    }

    /// The stored form of a new password.
    pub fn hash(&self, password: &[u8]) -> PasswordHash {
        let algorithm = match self.config.auth.password_hashing {
            PasswordHashing::Sha256 => HashAlgorithm::Sha256,
            PasswordHashing::Sha512 => HashAlgorithm::Sha512,
        };
        PasswordHash::new(algorithm, random(), password)
    }
}

/// The store calls back here.
struct Journal(std::sync::Weak<Broker>);

impl Owners for Journal {
    fn durable(&self, owner: OwnerId, up_to_seq: u64) {
        let Some(broker) = self.0.upgrade() else {
            return;
        };
        if broker.nodes.journals().durable(owner, up_to_seq) {
            return;
        }
        if delayed::is_exchange(owner) {
            return broker.delayed.durable(&broker, owner, up_to_seq);
        }
        let queue = broker.owners.read().get(&owner).cloned();
        if let Some(queue) = queue {
            queue.with(&broker, |machine, now, sink| machine.durable(now, up_to_seq, sink));
        }
    }

    fn catalogue(&self) -> (Lsn, Vec<u8>) {
        // It is a group's, and the store has none of its own.
        Default::default()
    }

    fn failed(&self, error: &StoreError) {
        if let Some(broker) = self.0.upgrade() {
            broker.nodes.journals().failed(error);
            broker.fail(error);
        }
    }
}

/// Entries as the queue machine takes them.
pub(super) fn entries(entries: Vec<LedgerEntry>) -> Vec<queue::Recovered> {
    entries
        .into_iter()
        .map(|entry| queue::Recovered {
            seq: entry.seq,
            loc: entry.loc.to_raw(),
            meta: entry.meta,
            count: entry.count,
            len: entry.len,
        })
        .collect()
}

/// Up to where messages may have been delivered.
pub(super) fn mark(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
