//! A cluster that begins: its first node, and its first vhost and user.

use std::sync::Arc;

use rand::random;

use crate::auth::{HashAlgorithm, PasswordHash};
use crate::broker::catalogue::new_vhost::first_commands;
use crate::broker::observers::EVENTS;
use crate::broker::{Broker, BrokerError, StartError};
use crate::cluster::identity::{ClusterId, IdentityError};
use crate::config::PasswordHashing;
use crate::exchange::{ExchangeKind, ExchangeSpec};
use crate::journal::raft::GroupError;
use crate::metadata::{Command, PermissionSpec, UserSpec, VhostSpec};
use crate::types::{FieldTable, NodeId, VhostName};

impl Broker {
    /// Begins a cluster of this node alone.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn found(self: &Arc<Self>, address: &str) -> Result<(), StartError> {
        let us = self.nodes.us();
        match self.catalogue_group().found([us]).await {
            Ok(()) | Err(GroupError::Exists) => {}
            Err(error) => return Err(error.into()),
        }
        self.lead_alone().await;
        self.first_start(address).await?;
        let cluster = ClusterId(random::<u64>().max(1));
        self.belong_to(cluster)?;
        Ok(())
    }

    /// Notes that this node belongs to a cluster from now on.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(in crate::broker) fn belong_to(&self, cluster: ClusterId) -> Result<(), IdentityError> {
        self.identity.lock().belong_to(Some(cluster))?;
        if let Some(links) = self.nodes.cluster() {
            links.belong_to(Some(cluster));
        }
        Ok(())
    }

    /// The first node of a new cluster, and its first vhost and user unless they are imported.
    async fn first_start(self: &Arc<Self>, address: &str) -> Result<(), BrokerError> {
        let member = Command::PutNode {
            node: self.nodes.us(),
            name: self.node.name.clone(),
            address: address.to_owned(),
        };
        self.command(member).await?;
        if self.config.definitions.configured {
            // A user with a known password beside those of the operator would be a way in.
            tracing::info!("no default user and vhost are made: there are definitions to import");
            return Ok(());
        }
        let auth = &self.config.auth;
        let first = VhostName::from(auth.default_vhost.as_str());
        let vhost = VhostSpec {
            name: first.clone(),
            description: "Default virtual host".to_owned(),
            tags: Vec::new(),
            default_queue_type: None,
            protected: false,
        };
        let tags = auth.default_user_tags.iter().filter(|(_, on)| **on);
        let commands = [
            Command::PutVhost(vhost),
            Command::PutUser(UserSpec {
                name: auth.default_user.as_str().into(),
                password: self.hash(auth.default_pass.reveal().as_bytes()),
                tags: tags.map(|(tag, _)| tag.to_owned()).collect(),
            }),
            Command::SetPermission {
                user: auth.default_user.as_str().into(),
                vhost: first.clone(),
                patterns: PermissionSpec {
                    configure: auth.default_permissions.configure.clone(),
                    write: auth.default_permissions.write.clone(),
                    read: auth.default_permissions.read.clone(),
                },
            },
        ];
        for command in commands {
            self.command(command).await?;
        }
        let commands = first_commands(self, &self.catalogue(), &first, None);
        for command in commands {
            self.command(command).await?;
        }
        Ok(())
    }

    /// Declares the exchange of events, which RabbitMQ's plug-in does when it starts.
    pub async fn declare_event_exchange(self: &Arc<Self>) {
        let vhost = VhostName::from(self.config.auth.default_vhost.as_str());
        let declared = self.decide(|catalogue| {
            let known = catalogue.vhost(&vhost);
            let is_missing = known.is_some_and(|vhost| vhost.exchange(EVENTS).is_none());
            let spec = is_missing.then(|| ExchangeSpec {
                vhost: vhost.clone(),
                name: EVENTS.into(),
                kind: ExchangeKind::Topic,
                durable: true,
                auto_delete: false,
                internal: true,
                home: NodeId::default(),
                arguments: FieldTable::new(),
                user: "rmq-internal".into(),
            });
            Ok::<_, BrokerError>((spec.map(Command::DeclareExchange), ()))
        });
        if let Err(error) = declared.await {
            tracing::warn!(%error, "the exchange of events could not be declared");
        }
    }

    /// The stored form of a new password.
    pub fn hash(&self, password: &[u8]) -> PasswordHash {
        let algorithm = match self.config.auth.password_hashing {
            PasswordHashing::Sha256 => HashAlgorithm::Sha256,
            PasswordHashing::Sha512 => HashAlgorithm::Sha512,
            PasswordHashing::Md5 => HashAlgorithm::Md5,
        };
        PasswordHash::new(algorithm, random(), password)
    }
}
