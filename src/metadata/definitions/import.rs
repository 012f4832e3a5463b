//! From a document to commands.

use serde_json::{Map, Value};
use thiserror::Error;

use super::super::command::{Command, PermissionSpec, TopicPermissionSpec, UserSpec, VhostSpec};
use super::super::json::{NotATable, to_table};
use super::super::{Catalog, is_predeclared};
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::spec::arguments::{self, SpecError};
use crate::spec::policy::PolicySpec;
use crate::spec::{BindingSpec, Destination, ExchangeKind, ExchangeSpec, QueueSpec, QueueType};
use crate::types::{FieldValue, NodeId, QueueId, UserName, VhostName};

/// Why a document is not taken. Nothing of it has happened then.
#[derive(Debug, Error)]
pub enum DefinitionError {
    #[error("failed_to_parse_json")]
    NotAnObject,
    #[error("{section} should be a list")]
    NotAList { section: &'static str },
    #[error("an item of {section} has no usable '{key}'")]
    Missing { section: &'static str, key: &'static str },
    #[error("Please create virtual host \"{0}\" prior to importing definitions.")]
    NoVhost(String),
    #[error("exchange '{0}' has the unknown type '{1}'")]
    ExchangeType(String, String),
    #[error("the password hash of user '{0}' is not base64")]
    PasswordHash(String),
    #[error("queue '{0}' is a stream, and streams are not implemented")]
    Stream(String),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("the arguments of {0}: {1}")]
    Arguments(String, NotATable),
}

/// What an import needs to know besides the document.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub catalog: &'a Catalog,
    /// The owner of what is declared.
    pub by: &'a UserName,
    /// Of queues that do not say, in vhosts that do not say.
    pub default_type: QueueType,
    /// Draws the salt for a password that is given in plain text.
    pub salt: fn() -> [u8; 4],
}

/// The commands that make what a document of a whole cluster says. Queues have no id yet, and
/// things belong to no node.
///
/// # Errors
/// The first item that cannot be taken.
pub fn import(setting: Setting<'_>, document: &Value) -> Result<Vec<Command>, DefinitionError> {
    let importer = Importer {
        setting,
        document: document.as_object().ok_or(DefinitionError::NotAnObject)?,
        scope: None,
    };
    importer.check_vhosts()?;
    let mut commands = Vec::new();
    importer.each("vhosts", &mut commands, Importer::vhost)?;
    importer.each("users", &mut commands, Importer::user)?;
    importer.each("permissions", &mut commands, Importer::permission)?;
    importer.each("topic_permissions", &mut commands, Importer::topic_permission)?;
    importer.within_vhosts(&mut commands)?;
    importer.each("global_parameters", &mut commands, Importer::global_parameter)?;
    Ok(commands)
}

/// The same for a document of one vhost, into any vhost.
///
/// # Errors
/// The first item that cannot be taken.
pub fn import_vhost(
    setting: Setting<'_>,
    document: &Value,
    vhost: &VhostName,
) -> Result<Vec<Command>, DefinitionError> {
    let importer = Importer {
        setting,
        document: document.as_object().ok_or(DefinitionError::NotAnObject)?,
        scope: Some(vhost),
    };
    let mut commands = Vec::new();
    importer.within_vhosts(&mut commands)?;
    if let Some(limits) = importer.document.get("limits") {
        limits_of(vhost, limits, &mut commands);
    }
    Ok(commands)
}

struct Importer<'a> {
    setting: Setting<'a>,
    document: &'a Map<String, Value>,
    /// The vhost of all items, where the document does not say.
    scope: Option<&'a VhostName>,
}

/// One item of a list.
#[derive(Clone, Copy)]
struct Item<'a> {
    section: &'static str,
    fields: &'a Value,
}

type Commands = Vec<Command>;

impl<'a> Item<'a> {
    fn text(&self, key: &'static str) -> Result<&'a str, DefinitionError> {
        self.maybe_text(key).ok_or(DefinitionError::Missing {
            section: self.section,
            key,
        })
    }

    fn maybe_text(&self, key: &str) -> Option<&'a str> {
        self.fields.get(key).and_then(Value::as_str)
    }

    fn flag(&self, key: &str, default: bool) -> bool {
        self.fields.get(key).and_then(Value::as_bool).unwrap_or(default)
    }

    fn value(&self, key: &'static str) -> Result<&'a Value, DefinitionError> {
        self.fields.get(key).ok_or(DefinitionError::Missing {
            section: self.section,
            key,
        })
    }
}

impl<'a> Importer<'a> {
    fn items(&self, section: &'static str) -> Result<impl Iterator<Item = Item<'a>> + use<'a>, DefinitionError> {
        let items: &[Value] = match self.document.get(section) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(_) => return Err(DefinitionError::NotAList { section }),
        };
        Ok(items.iter().map(move |fields| Item { section, fields }))
    }

    fn each(
        &self,
        section: &'static str,
        commands: &mut Commands,
        read: fn(&Self, Item<'a>, &mut Commands) -> Result<(), DefinitionError>,
    ) -> Result<(), DefinitionError> {
        self.items(section)?.try_for_each(|item| read(self, item, commands))
    }

    fn within_vhosts(&self, commands: &mut Commands) -> Result<(), DefinitionError> {
        self.each("parameters", commands, Self::parameter)?;
        self.each("policies", commands, Self::policy)?;
        self.each("exchanges", commands, Self::exchange)?;
        self.each("queues", commands, Self::queue)?;
        self.each("bindings", commands, Self::binding)
    }

    /// Every vhost that something is in is there, or in the document.
    fn check_vhosts(&self) -> Result<(), DefinitionError> {
        for section in [
            "permissions",
            "parameters",
            "policies",
            "queues",
            "exchanges",
            "bindings",
        ] {
            for item in self.items(section)? {
                let name = item.text("vhost")?;
                let mut made = self.items("vhosts")?;
                if self.setting.catalog.vhost(name).is_none()
                    && !made.any(|vhost| vhost.maybe_text("name") == Some(name))
                {
                    return Err(DefinitionError::NoVhost(name.to_owned()));
                }
            }
        }
        Ok(())
    }

    fn vhost_of(&self, item: Item<'_>) -> Result<VhostName, DefinitionError> {
        match self.scope {
            Some(vhost) => Ok(vhost.clone()),
            None => item.text("vhost").map(VhostName::from),
        }
    }

    fn vhost(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let name = VhostName::from(item.text("name")?);
        let metadata = item.fields.get("metadata");
        let either = |key| {
            metadata
                .and_then(|metadata| metadata.get(key))
                .or_else(|| item.fields.get(key))
        };
        let text = |key| either(key).and_then(Value::as_str);
        commands.push(Command::PutVhost(VhostSpec {
            name: name.clone(),
            description: text("description").unwrap_or_default().to_owned(),
            tags: either("tags").map(tags).unwrap_or_default(),
            default_queue_type: text("default_queue_type").and_then(queue_type_named),
            protected: either("protected_from_deletion").and_then(Value::as_bool) == Some(true),
        }));
        if let Some(limits) = item.fields.get("limits") {
            limits_of(&name, limits, commands);
        }
        Ok(())
    }

    fn user(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let name = item.text("name")?;
        let algorithm = item.fields.get("hashing_algorithm").cloned();
        let algorithm: HashAlgorithm = algorithm
            .and_then(|algorithm| serde_json::from_value(algorithm).ok())
            .unwrap_or_default();
        let password = match (item.maybe_text("password_hash"), item.maybe_text("password")) {
            (Some(hash), _) => PasswordHash::from_base64(algorithm, hash)
                .map_err(|_| DefinitionError::PasswordHash(name.to_owned()))?,
            (None, Some(password)) => PasswordHash::new(algorithm, (self.setting.salt)(), password.as_bytes()),
            (None, None) => PasswordHash::default(),
        };
        let user = UserName::from(name);
        commands.push(Command::PutUser(UserSpec {
            name: user.clone(),
            password,
            tags: item.fields.get("tags").map(tags).unwrap_or_default(),
        }));
        let limits = item.fields.get("limits").and_then(Value::as_object);
        for (limit, value) in limits.into_iter().flatten() {
            if let Ok(limit) = serde_json::from_value(limit.as_str().into()) {
                let (user, value) = (user.clone(), value.as_i64());
                commands.push(Command::SetUserLimit { user, limit, value });
            }
        }
        Ok(())
    }

    fn permission(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        commands.push(Command::SetPermission {
            user: item.text("user")?.into(),
            vhost: item.text("vhost")?.into(),
            patterns: PermissionSpec {
                configure: item.text("configure")?.to_owned(),
                write: item.text("write")?.to_owned(),
                read: item.text("read")?.to_owned(),
            },
        });
        Ok(())
    }

    fn topic_permission(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        commands.push(Command::SetTopicPermission {
            user: item.text("user")?.into(),
            vhost: item.text("vhost")?.into(),
            exchange: item.text("exchange")?.into(),
            patterns: TopicPermissionSpec {
                write: item.text("write")?.to_owned(),
                read: item.text("read")?.to_owned(),
            },
        });
        Ok(())
    }

    fn parameter(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let vhost = self.vhost_of(item)?;
        let (component, name) = (item.text("component")?, item.text("name")?);
        let value = item.value("value")?;
        match component {
            "vhost-limits" => limits_of(&vhost, value, commands),
            "operator_policy" => {
                let fields = Item {
                    section: item.section,
                    fields: value,
                };
                commands.push(Command::PutOperatorPolicy(policy(vhost, name, fields)?));
            }
            _ => commands.push(Command::PutParameter {
                vhost,
                component: component.to_owned(),
                name: name.to_owned(),
                value: value.clone(),
            }),
        }
        Ok(())
    }

    fn policy(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let vhost = self.vhost_of(item)?;
        commands.push(Command::PutPolicy(policy(vhost, item.text("name")?, item)?));
        Ok(())
    }

    fn global_parameter(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let name = item.text("name")?;
        // The identity of another cluster is not ours.
        if name != "internal_cluster_id" {
            commands.push(Command::PutGlobalParameter {
                name: name.to_owned(),
                value: item.value("value")?.clone(),
            });
        }
        Ok(())
    }

    fn exchange(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let name = item.text("name")?;
        if is_predeclared(name) {
            return Ok(());
        }
        let kind = item.text("type")?;
        let unknown = || DefinitionError::ExchangeType(name.to_owned(), kind.to_owned());
        commands.push(Command::DeclareExchange(ExchangeSpec {
            vhost: self.vhost_of(item)?,
            name: name.into(),
            kind: ExchangeKind::named(kind).ok_or_else(unknown)?,
            durable: item.flag("durable", true),
            auto_delete: item.flag("auto_delete", false),
            internal: item.flag("internal", false),
            home: NodeId::default(),
            arguments: arguments_of(item, || format!("exchange '{name}'"))?,
            user: self.setting.by.clone(),
        }));
        Ok(())
    }

    fn queue(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let name = item.text("name")?;
        let vhost = self.vhost_of(item)?;
        if self
            .setting
            .catalog
            .vhost(&vhost)
            .is_some_and(|own| own.queue(name).is_some())
        {
            return Ok(());
        }
        let (durable, auto_delete) = (item.flag("durable", true), item.flag("auto_delete", false));
        let mut arguments = arguments_of(item, || format!("queue '{name}'"))?;
        let kind = arguments::queue_type(
            &arguments,
            self.default_type_in(&vhost, durable, auto_delete),
            &vhost,
            name,
        )?;
        if kind == QueueType::Stream {
            return Err(DefinitionError::Stream(name.to_owned()));
        }
        arguments::validate(kind, &vhost, name, &arguments)?;
        arguments::validate_properties(kind, &vhost, name, durable, false, auto_delete)?;
        // Kept with the type it got: defaults may change, this queue does not.
        arguments.set("x-queue-type", FieldValue::text(arguments::type_name(kind)));
        commands.push(Command::DeclareQueue(QueueSpec {
            id: QueueId(0),
            vhost,
            name: name.into(),
            queue_type: kind,
            durable,
            auto_delete,
            exclusive_owner: None,
            home: NodeId::default(),
            members: Vec::new(),
            generations: 0,
            arguments,
            user: self.setting.by.clone(),
        }));
        Ok(())
    }

    /// The type of a queue whose arguments do not say: the vhost's, as it will be, or the node's;
    /// a default does not get in the way of a queue that it cannot be.
    fn default_type_in(&self, vhost: &VhostName, durable: bool, auto_delete: bool) -> QueueType {
        if !durable || auto_delete {
            return QueueType::Classic;
        }
        let made = self.items("vhosts").ok().into_iter().flatten();
        let mut made = made.filter(|item| item.maybe_text("name") == Some(vhost.as_str()));
        let made = made.next().and_then(|item| item.maybe_text("default_queue_type"));
        let there = || {
            self.setting
                .catalog
                .vhost(vhost)
                .and_then(|own| own.spec.default_queue_type)
        };
        made.and_then(queue_type_named)
            .or_else(there)
            .unwrap_or(self.setting.default_type)
    }

    fn binding(&self, item: Item<'a>, commands: &mut Commands) -> Result<(), DefinitionError> {
        let (source, destination) = (item.text("source")?, item.text("destination")?);
        // Those of the default exchange follow from the queues.
        if source.is_empty() {
            return Ok(());
        }
        let binding = BindingSpec {
            source: source.into(),
            destination: match item.text("destination_type")? {
                "exchange" => Destination::Exchange(destination.into()),
                _ => Destination::Queue(destination.into()),
            },
            key: item.text("routing_key")?.to_owned(),
            arguments: arguments_of(item, || format!("the binding from '{source}' to '{destination}'"))?,
        };
        let vhost = self.vhost_of(item)?;
        commands.push(Command::Bind { vhost, binding });
        Ok(())
    }
}

fn policy(vhost: VhostName, name: &str, item: Item<'_>) -> Result<PolicySpec, DefinitionError> {
    let missing = |key| DefinitionError::Missing {
        section: item.section,
        key,
    };
    let apply_to = item.fields.get("apply-to").cloned().map(serde_json::from_value);
    let definition = item.value("definition")?.as_object();
    Ok(PolicySpec {
        vhost,
        name: name.to_owned(),
        pattern: item.text("pattern")?.to_owned(),
        apply_to: apply_to
            .transpose()
            .map_err(|_| missing("apply-to"))?
            .unwrap_or_default(),
        priority: item.fields.get("priority").and_then(Value::as_i64).unwrap_or(0),
        definition: definition.ok_or_else(|| missing("definition"))?.clone(),
    })
}

fn arguments_of(item: Item<'_>, what: impl FnOnce() -> String) -> Result<crate::types::FieldTable, DefinitionError> {
    let arguments = item.fields.get("arguments").filter(|value| !value.is_null());
    // An empty list is what some tools make of an empty object.
    let arguments = arguments.filter(|value| value.as_array().is_none_or(|items| !items.is_empty()));
    to_table(arguments).map_err(|error| DefinitionError::Arguments(what(), error))
}

/// Limits that are not known have no effect.
fn limits_of(vhost: &VhostName, limits: &Value, commands: &mut Commands) {
    for (limit, value) in limits.as_object().into_iter().flatten() {
        if let Ok(limit) = serde_json::from_value(limit.as_str().into()) {
            commands.push(Command::SetVhostLimit {
                vhost: vhost.clone(),
                limit,
                value: value.as_i64(),
            });
        }
    }
}

fn tags(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => text
            .split(',')
            .map(str::trim)
            .filter(|tag| !tag.is_empty())
            .map(str::to_owned)
            .collect(),
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn queue_type_named(name: &str) -> Option<QueueType> {
    let all = [QueueType::Classic, QueueType::Quorum, QueueType::Stream];
    all.into_iter().find(|kind| arguments::type_name(*kind) == name)
}
