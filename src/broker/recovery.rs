//! A broker out of what survived: the catalogue, then every queue from its ledger.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use parking_lot::{Mutex, RwLock};
use rand::random;
use thiserror::Error;

use super::alarms::Alarms;
use super::catalogue::{settings_of, survives};
use super::delayed::{self, Delayer};
use super::{Broker, BrokerError, Clock, Connections, NodeInfo, Vhost};
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::config::Config;
use crate::config::PasswordHashing;
use crate::metadata::{Catalog, Command, FormatError, PermissionSpec, UserSpec, VhostSpec};
use crate::queue::{self, Queue};
use crate::spec::ExchangeKind;
use crate::store::{LedgerEntry, Lsn, OwnerId, OwnerLedger, Owners, Recovered, Store, StoreError, StoreOptions};
use crate::types::NodeId;

/// Why a node cannot start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the catalogue cannot be read: {0}")]
    Catalogue(#[from] FormatError),
    #[error(
        "the catalogue's log is damaged: it is not known what was declared; restore the data directory, or start with an empty one"
    )]
    CatalogueDamaged,
}

impl Broker {
    /// Opens the data directory and makes everything in it live.
    ///
    /// # Errors
    /// [`StartError`]; the data directory is as it was.
    pub fn open(config: Arc<Config>) -> Result<Arc<Self>, StartError> {
        let (store, recovered) = Store::open(&config.node.data_dir, StoreOptions::default())?;
        if recovered.catalogue_damaged {
            return Err(StartError::CatalogueDamaged);
        }
        if recovered.unknown_damage {
            tracing::error!("part of the log is damaged and cannot be told to belong to any queue");
        }
        let is_new = recovered.catalogue.is_none() && recovered.commands.is_empty();
        let catalog = catalog_of(&recovered)?;
        let clock = Clock::start();
        let name = config.node.name.clone();
        let broker = Arc::new(Self {
            node: NodeInfo {
                cluster_name: config.cluster.name.clone().unwrap_or_else(|| name.clone()),
                name,
                started_at: clock.now(),
            },
            clock,
            store,
            rights: AtomicU64::new(catalog.rights_version()),
            catalog: RwLock::new(catalog),
            catalogue_lsn: Mutex::new(recovered.catalogue_lsn),
            vhosts: RwLock::default(),
            owners: RwLock::default(),
            delayed: Delayer::default(),
            reply_to: Default::default(),
            timers: Default::default(),
            connections: Connections::default(),
            alarms: Alarms::new(&config.resources),
            runtime: tokio::runtime::Handle::current(),
            next_connection: AtomicU64::new(1),
            failed: AtomicBool::new(false),
            config,
        });
        broker.make_live(recovered.owners);
        broker.store.start(Arc::new(Journal(Arc::downgrade(&broker))));
        if is_new {
            broker.first_start();
        }
        Ok(broker)
    }

    fn make_live(self: &Arc<Self>, mut owners: HashMap<OwnerId, OwnerLedger>) {
        let catalog = self.catalog.read();
        for declared in catalog.vhosts() {
            let vhost = Arc::new(Vhost::new(declared.name().clone()));
            self.vhosts.write().insert(vhost.name.clone(), vhost.clone());
            for exchange in declared.exchanges() {
                self.live_exchange(&catalog, exchange);
                let owner = delayed::owner_of(&exchange.vhost, &exchange.name);
                if exchange.kind == ExchangeKind::DelayedMessage
                    && let Some(ledger) = owners.remove(&owner)
                {
                    let names = Some((&exchange.vhost, &exchange.name));
                    self.delayed.recover(self, names, owner, ledger);
                }
            }
            for spec in declared.queues() {
                let settings = settings_of(&catalog, spec);
                let ledger = owners.remove(&OwnerId(spec.id.0)).unwrap_or_default();
                let damaged = ledger.damaged;
                if damaged {
                    tracing::error!(queue = %spec.name, vhost = %spec.vhost, "records of the queue are damaged: it is not served");
                }
                let machine = match survives(spec) {
                    true => Queue::recover(
                        spec.queue_type,
                        settings,
                        self.now(),
                        entries(ledger.entries),
                        ledger.next_seq.max(1),
                        mark(ledger.mark.as_deref()),
                    ),
                    false => Queue::new(spec.queue_type, false, settings, self.now()),
                };
                self.live_queue(spec.clone(), machine, damaged);
            }
            for binding in declared.bindings() {
                self.live_binding(&vhost, binding, &mut Vec::new());
            }
        }
        drop(catalog);
        for (owner, ledger) in owners {
            if delayed::is_exchange(owner) {
                self.delayed.recover(self, None, owner, ledger);
            } else {
                // Its queue was deleted, and the node stopped before the store had heard of it.
                self.store.forget(owner);
            }
        }
    }

    /// The first user and vhost of an empty data directory.
    fn first_start(self: &Arc<Self>) {
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
        for command in commands {
            if let Err(error) = self.apply(|_| Ok::<_, BrokerError>((Some(command), ()))) {
                tracing::error!(%error, "the first vhost and user could not be made");
            }
        }
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
        if delayed::is_exchange(owner) {
            return broker.delayed.durable(&broker, owner, up_to_seq);
        }
        let queue = broker.owners.read().get(&owner).cloned();
        if let Some(queue) = queue {
            queue.with(&broker, |machine, now, sink| machine.durable(now, up_to_seq, sink));
        }
    }

    fn catalogue(&self) -> (Lsn, Vec<u8>) {
        let Some(broker) = self.0.upgrade() else {
            return Default::default();
        };
        let catalog = broker.catalog.read();
        let position = *broker.catalogue_lsn.lock();
        (position, catalog.snapshot())
    }

    fn failed(&self, error: &StoreError) {
        if let Some(broker) = self.0.upgrade() {
            broker.fail(error);
        }
    }
}

fn catalog_of(recovered: &Recovered) -> Result<Catalog, FormatError> {
    let mut catalog = match &recovered.catalogue {
        Some(snapshot) => Catalog::restore(snapshot)?,
        None => Catalog::new(),
    };
    for bytes in &recovered.commands {
        let command = Command::decode(bytes)?;
        if let Err(error) = catalog.apply(&command, &mut Vec::new()) {
            tracing::debug!(%error, "a command of the log changes nothing any more");
        }
    }
    catalog.apply(&Command::EndRun(NodeId::default()), &mut Vec::new())?;
    Ok(catalog)
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
fn mark(bytes: Option<&[u8]>) -> u64 {
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}
