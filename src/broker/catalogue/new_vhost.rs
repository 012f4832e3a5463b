//! What a new vhost begins with.

use rand::random;

use crate::auth::{HashAlgorithm, PasswordHash};
use crate::config::{Config, OperatorPolicy, PasswordHashing};
use crate::metadata::{Catalogue, Command, PermissionSpec, UserSpec, VhostLimit};
use crate::pattern::Pattern;
use crate::spec::policy::{ApplyTo, PolicySpec};
use crate::types::{Millis, UserName, VhostName};

/// A new vhost has the limits, operator policies and users of the configuration, and the user who
/// made it may use it.
pub fn first_commands(
    config: &Config,
    catalogue: &Catalogue,
    vhost: &VhostName,
    maker: Option<&UserName>,
) -> Vec<Command> {
    let rules = &config.limits.new_vhosts;
    let applies = |pattern: &Option<String>| {
        let pattern = pattern.as_ref().map(|pattern| Pattern::new(pattern));
        pattern.is_none_or(|pattern| pattern.is_ok_and(|pattern| pattern.matches(vhost)))
    };
    let mut commands = Vec::new();
    if let Some(maker) = maker {
        commands.push(Command::SetPermission {
            user: maker.clone(),
            vhost: vhost.clone(),
            patterns: PermissionSpec {
                configure: ".*".into(),
                write: ".*".into(),
                read: ".*".into(),
            },
        });
    }
    if let Some(rule) = rules.values().find(|rule| applies(&rule.pattern)) {
        let limits = [
            (VhostLimit::MaxConnections, rule.max_connections),
            (VhostLimit::MaxQueues, rule.max_queues),
        ];
        commands.extend(limits.into_iter().filter_map(|(limit, value)| {
            Some(Command::SetVhostLimit {
                vhost: vhost.clone(),
                limit,
                value: Some(i64::try_from(value?).unwrap_or(i64::MAX)),
            })
        }));
    }
    let policies = &config.queues.operator_policies;
    let wanted = policies.iter().filter(|(_, policy)| applies(&policy.vhost_pattern));
    commands.extend(wanted.map(|(name, policy)| Command::PutOperatorPolicy(operator_policy(vhost, name, policy))));
    let users = config.auth.default_users.iter();
    for (name, user) in users.filter(|(_, user)| applies(&user.vhost_pattern)) {
        let user_name = UserName::from(name.as_str());
        if catalogue.user(&user_name).is_none() {
            let password = user.password.as_ref();
            let password = password.map(|password| hash(config, password.reveal().as_bytes()));
            commands.push(Command::PutUser(UserSpec {
                name: user_name.clone(),
                password: password.unwrap_or_default(),
                tags: user.tags.clone(),
            }));
        }
        commands.push(Command::SetPermission {
            user: user_name,
            vhost: vhost.clone(),
            patterns: PermissionSpec {
                configure: user.permissions.configure.clone(),
                write: user.permissions.write.clone(),
                read: user.permissions.read.clone(),
            },
        });
    }
    commands
}

fn operator_policy(vhost: &VhostName, name: &str, policy: &OperatorPolicy) -> PolicySpec {
    let millis = |duration: Option<Millis>| duration.map(|duration| duration.0);
    let numbers = [
        ("expires", millis(policy.expires)),
        ("message-ttl", millis(policy.message_ttl)),
        ("max-length", policy.max_length),
        ("max-length-bytes", policy.max_length_bytes),
        ("delivery-limit", policy.delivery_limit),
    ];
    let set = numbers
        .into_iter()
        .filter_map(|(key, number)| Some((key.to_owned(), number?.into())));
    PolicySpec {
        vhost: vhost.clone(),
        name: name.to_owned(),
        pattern: policy.queue_pattern.clone().unwrap_or_else(|| ".*".to_owned()),
        apply_to: ApplyTo::All,
        priority: 0,
        definition: set.collect(),
    }
}

/// The stored form of a new password.
pub fn hash(config: &Config, password: &[u8]) -> PasswordHash {
    let algorithm = match config.auth.password_hashing {
        PasswordHashing::Sha256 => HashAlgorithm::Sha256,
        PasswordHashing::Sha512 => HashAlgorithm::Sha512,
        PasswordHashing::Md5 => HashAlgorithm::Md5,
    };
    PasswordHash::new(algorithm, random(), password)
}
