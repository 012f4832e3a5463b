//! A cluster that begins: its first node, and its first vhost and user.

use std::sync::Arc;

use rand::random;

use super::Membership;
use crate::broker::catalogue::new_vhost::{first_commands, hash};
use crate::broker::{BrokerError, StartError};
use crate::cluster::identity::{ClusterId, IdentityError};
use crate::journal::raft::GroupError;
use crate::metadata::{Command, PermissionSpec, UserSpec, VhostSpec};
use crate::types::VhostName;

impl Membership {
    /// Begins a cluster of this node alone.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub async fn found(self: &Arc<Self>, address: &str) -> Result<(), StartError> {
        let us = self.nodes.us();
        match self.declarations.group().found([us]).await {
            Ok(()) | Err(GroupError::Exists) => {}
            Err(error) => return Err(error.into()),
        }
        self.declarations.lead_alone().await;
        self.first_start(address).await?;
        let cluster = ClusterId(random::<u64>().max(1));
        self.belong_to(cluster)?;
        Ok(())
    }

    /// Notes that this node belongs to a cluster from now on.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(super) fn belong_to(&self, cluster: ClusterId) -> Result<(), IdentityError> {
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
        self.declarations.command(member).await?;
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
                password: hash(&self.config, auth.default_pass.reveal().as_bytes()),
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
            self.declarations.command(command).await?;
        }
        let commands = first_commands(&self.config, &self.declarations.catalogue(), &first, None);
        for command in commands {
            self.declarations.command(command).await?;
        }
        Ok(())
    }
}
