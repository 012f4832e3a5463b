//! From a document to commands.
//!
//! Nothing of a document is changed in silence: a value of another kind than its key takes refuses
//! the document, and what cannot be made here is left out and told ([`Import::skipped`]). An empty
//! list counts as an empty object, for that is how PHP writes one; null counts as absent.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use thiserror::Error;

use super::super::Catalog;
use super::super::command::{Command, PermissionSpec, TopicPermissionSpec, UserLimit, UserSpec, VhostLimit, VhostSpec};
use super::super::json::{NotATable, to_table};
use super::super::vhost::is_in_every_vhost;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::spec::arguments::{self, SpecError};
use crate::spec::exchange_arguments;
use crate::spec::policy::PolicySpec;
use crate::spec::{BindingSpec, Destination, ExchangeKind, ExchangeSpec, QueueSpec, QueueType};
use crate::types::names::MAX_NAME_BYTES;
use crate::types::{FieldTable, FieldValue, NodeId, QueueId, UserName, VhostName};

/// Why a document is not taken. Nothing of it has happened then.
#[derive(Debug, Error)]
pub enum DefinitionError {
    #[error("failed_to_parse_json")]
    NotAnObject,
    #[error("{section} should be a list")]
    NotAList { section: &'static str },
    #[error("an item of {section} has no usable '{key}'")]
    Missing { section: &'static str, key: &'static str },
    #[error("'{key}' of {item} should be {expected}, actually was {value}")]
    Value {
        /// The section and, where it has one, the name.
        item: String,
        key: String,
        expected: &'static str,
        value: String,
    },
    #[error("'{key}' of an item of {section} is longer than {MAX_NAME_BYTES} bytes")]
    LongName { section: &'static str, key: &'static str },
    #[error("Please create virtual host \"{0}\" prior to importing definitions.")]
    NoVhost(String),
    #[error("exchange '{0}' has the unknown type '{1}'")]
    ExchangeType(String, String),
    #[error("the password hash of user '{0}' is not base64")]
    PasswordHash(String),
    #[error("user '{0}' has the unknown hashing algorithm '{1}'")]
    Hashing(String, String),
    #[error("both_password_and_password_hash_are_provided")]
    TwoPasswords,
    #[error("tags_not_present")]
    NoTags,
    #[error("Validation failed\n\n{why}\n ({vhost}/{name})")]
    Invalid {
        vhost: VhostName,
        name: String,
        why: String,
    },
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
    /// Of passwords in plain text, and of hashes that do not say in documents that do not say.
    pub hashing: HashAlgorithm,
    /// Draws the salt for a password that is given in plain text.
    pub salt: fn() -> [u8; 4],
    /// What a new vhost begins with.
    pub first_of: &'a dyn Fn(&VhostName) -> Vec<Command>,
}

/// What a document comes to.
#[derive(Debug, Default)]
pub struct Import {
    /// What makes what it says, in an order that applies. Queues have no id yet, and things belong
    /// to no node.
    pub commands: Vec<Command>,
    /// What of it is not made, and why: for the operator.
    pub skipped: Vec<String>,
}

/// Reads a document of a whole cluster.
///
/// # Errors
/// The first item that cannot be taken.
pub fn import(setting: Setting<'_>, document: &Value) -> Result<Import, DefinitionError> {
    let mut importer = Importer::of(setting, document, None)?;
    importer.check_vhosts()?;
    importer.each("vhosts", Importer::vhost)?;
    importer.each("users", Importer::user)?;
    importer.each("permissions", Importer::permission)?;
    importer.each("topic_permissions", Importer::topic_permission)?;
    importer.within_vhosts()?;
    importer.each("global_parameters", Importer::global_parameter)?;
    Ok(importer.made)
}

/// The same for a document of one vhost, into any vhost.
///
/// # Errors
/// The first item that cannot be taken.
pub fn import_vhost(setting: Setting<'_>, document: &Value, vhost: &VhostName) -> Result<Import, DefinitionError> {
    let mut importer = Importer::of(setting, document, Some(vhost))?;
    importer.within_vhosts()?;
    let whole = Item {
        section: "the vhost",
        fields: document,
    };
    if let Some(limits) = whole.object("limits")? {
        importer.vhost_limits(vhost, "limits", &limits)?;
    }
    Ok(importer.made)
}

struct Importer<'a> {
    setting: Setting<'a>,
    document: &'a Map<String, Value>,
    /// The vhost of all items, where the document does not say.
    scope: Option<&'a VhostName>,
    /// Queues of the document that are not made, with their vhosts.
    without: BTreeSet<(VhostName, &'a str)>,
    made: Import,
}

/// One item of a list.
#[derive(Clone, Copy)]
struct Item<'a> {
    section: &'static str,
    fields: &'a Value,
}

impl<'a> Item<'a> {
    /// A field; null counts as absent.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn need(&self, key: &'static str) -> Result<&'a Value, DefinitionError> {
        let section = self.section;
        self.get(key).ok_or(DefinitionError::Missing { section, key })
    }

    fn text(&self, key: &'static str) -> Result<&'a str, DefinitionError> {
        let section = self.section;
        let text = self.need(key)?.as_str();
        text.ok_or(DefinitionError::Missing { section, key })
    }

    /// A text that becomes a name.
    fn name(&self, key: &'static str) -> Result<&'a str, DefinitionError> {
        let section = self.section;
        match self.text(key)? {
            name if name.len() <= MAX_NAME_BYTES => Ok(name),
            _ => Err(DefinitionError::LongName { section, key }),
        }
    }

    fn maybe_text(&self, key: &str) -> Result<Option<&'a str>, DefinitionError> {
        self.get(key).map(|value| self.as_text(key, value)).transpose()
    }

    fn as_text(&self, key: &str, value: &'a Value) -> Result<&'a str, DefinitionError> {
        value.as_str().ok_or_else(|| self.wrong(key, "a text", value))
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool, DefinitionError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(key, "true or false", value)),
        }
    }

    /// An object; an empty list is an empty one.
    fn object(&self, key: &str) -> Result<Option<Map<String, Value>>, DefinitionError> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object.clone())),
            Some(Value::Array(items)) if items.is_empty() => Ok(Some(Map::new())),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }

    /// A field that stands in the item's metadata or, as it did before there was metadata, in the
    /// item itself.
    fn described(&self, key: &str) -> Option<&'a Value> {
        let within = self.fields.get("metadata").and_then(|metadata| metadata.get(key));
        within.filter(|value| !value.is_null()).or_else(|| self.get(key))
    }

    fn tags(&self, key: &str, value: &Value) -> Result<Vec<String>, DefinitionError> {
        let wrong = || self.wrong(key, "a text with commas or a list of texts", value);
        match value {
            Value::String(text) => {
                let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
                Ok(tags.map(str::to_owned).collect())
            }
            Value::Array(tags) => {
                let tags = tags.iter().map(|tag| tag.as_str().map(str::to_owned));
                tags.collect::<Option<_>>().ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    fn wrong(&self, key: &str, expected: &'static str, value: &Value) -> DefinitionError {
        let item = match self.fields.get("name").and_then(Value::as_str) {
            Some(name) => format!("'{name}' in {}", self.section),
            None => format!("an item of {}", self.section),
        };
        DefinitionError::Value {
            item,
            key: key.to_owned(),
            expected,
            value: value.to_string(),
        }
    }
}

impl<'a> Importer<'a> {
    fn of(setting: Setting<'a>, document: &'a Value, scope: Option<&'a VhostName>) -> Result<Self, DefinitionError> {
        Ok(Self {
            setting,
            document: document.as_object().ok_or(DefinitionError::NotAnObject)?,
            scope,
            without: BTreeSet::new(),
            made: Import::default(),
        })
    }

    fn items(&self, section: &'static str) -> Result<impl Iterator<Item = Item<'a>> + use<'a>, DefinitionError> {
        let items: &[Value] = match self.document.get(section) {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(_) => return Err(DefinitionError::NotAList { section }),
        };
        Ok(items.iter().map(move |fields| Item { section, fields }))
    }

    fn each(
        &mut self,
        section: &'static str,
        read: fn(&mut Self, Item<'a>) -> Result<(), DefinitionError>,
    ) -> Result<(), DefinitionError> {
        self.items(section)?.try_for_each(|item| read(self, item))
    }

    fn within_vhosts(&mut self) -> Result<(), DefinitionError> {
        self.each("parameters", Self::parameter)?;
        self.each("policies", Self::policy)?;
        self.each("exchanges", Self::exchange)?;
        self.each("queues", Self::queue)?;
        self.each("bindings", Self::binding)
    }

    fn make(&mut self, command: Command) {
        self.made.commands.push(command);
    }

    /// Every vhost that something is in is there, or in the document.
    fn check_vhosts(&self) -> Result<(), DefinitionError> {
        let names = self
            .items("vhosts")?
            .filter_map(|vhost| vhost.fields.get("name")?.as_str());
        let made: BTreeSet<&str> = names.collect();
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
                if self.setting.catalog.vhost(name).is_none() && !made.contains(name) {
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

    fn vhost(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = VhostName::from(item.name("name")?);
        // Looked at for its kind only.
        item.object("metadata")?;
        let description = item.described("description");
        let description = description
            .map(|value| item.as_text("description", value))
            .transpose()?;
        let tags = item.described("tags").map(|tags| item.tags("tags", tags)).transpose()?;
        let protected = match item.described("protected_from_deletion") {
            None => false,
            Some(Value::Bool(protected)) => *protected,
            Some(other) => return Err(item.wrong("protected_from_deletion", "true or false", other)),
        };
        let is_new = self.setting.catalog.vhost(&name).is_none();
        self.make(Command::PutVhost(VhostSpec {
            name: name.clone(),
            description: description.unwrap_or_default().to_owned(),
            tags: tags.unwrap_or_default(),
            default_queue_type: default_type_of(item)?,
            protected,
        }));
        if is_new {
            let first = (self.setting.first_of)(&name);
            self.made.commands.extend(first);
        }
        match item.object("limits")? {
            Some(limits) => self.vhost_limits(&name, "limits", &limits),
            None => Ok(()),
        }
    }

    fn user(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = item.name("name")?;
        let hash = item.maybe_text("password_hash")?;
        let password = match (hash, item.maybe_text("password")?) {
            (Some(_), Some(_)) => return Err(DefinitionError::TwoPasswords),
            (Some(hash), None) => PasswordHash::from_base64(self.hashing_of(item)?, hash)
                .map_err(|_| DefinitionError::PasswordHash(name.to_owned()))?,
            (None, Some(password)) => {
                PasswordHash::new(self.setting.hashing, (self.setting.salt)(), password.as_bytes())
            }
            (None, None) => PasswordHash::default(),
        };
        // `administrator` is from the time before tags.
        let tags = match (item.get("tags"), item.get("administrator")) {
            (Some(tags), _) => item.tags("tags", tags)?,
            (None, Some(Value::Bool(true))) => vec!["administrator".to_owned()],
            (None, Some(Value::String(word))) if word == "true" => vec!["administrator".to_owned()],
            (None, Some(_)) => Vec::new(),
            (None, None) => return Err(DefinitionError::NoTags),
        };
        let user = UserName::from(name);
        self.make(Command::PutUser(UserSpec {
            name: user.clone(),
            password,
            tags,
        }));
        for (key, value) in item.object("limits")?.unwrap_or_default() {
            let unknown = || item.wrong(&key, "a limit of users", &value);
            let limit: UserLimit = serde_json::from_value(key.as_str().into()).map_err(|_| unknown())?;
            let number = value.as_i64().ok_or_else(|| item.wrong(&key, "a number", &value))?;
            self.make(Command::SetUserLimit {
                user: user.clone(),
                limit,
                value: Some(number),
            });
        }
        Ok(())
    }

    /// How the hash of a user was made. Documents of before 3.6.1 do not say.
    fn hashing_of(&self, item: Item<'a>) -> Result<HashAlgorithm, DefinitionError> {
        if let Some(name) = item.maybe_text("hashing_algorithm")? {
            let unknown =
                || DefinitionError::Hashing(item.text("name").unwrap_or_default().to_owned(), name.to_owned());
            return HashAlgorithm::named(name).ok_or_else(unknown);
        }
        let version = self
            .document
            .get("rabbitmq_version")
            .or_else(|| self.document.get("rabbit_version"));
        let version = version.and_then(Value::as_str).unwrap_or_default();
        let is_of = |series: &str| version.starts_with(series);
        Ok(match version {
            "3.6.0" => HashAlgorithm::Sha256,
            _ if ["3.0.", "3.1.", "3.2.", "3.3.", "3.4.", "3.5."].into_iter().any(is_of) => HashAlgorithm::Md5,
            _ => self.setting.hashing,
        })
    }

    fn permission(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        self.make(Command::SetPermission {
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

    fn topic_permission(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        self.make(Command::SetTopicPermission {
            user: item.text("user")?.into(),
            vhost: item.text("vhost")?.into(),
            exchange: item.name("exchange")?.into(),
            patterns: TopicPermissionSpec {
                write: item.text("write")?.to_owned(),
                read: item.text("read")?.to_owned(),
            },
        });
        Ok(())
    }

    fn parameter(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let vhost = self.vhost_of(item)?;
        let (component, name) = (item.name("component")?, item.name("name")?);
        match component {
            "vhost-limits" => match item.object("value")? {
                Some(limits) => self.vhost_limits(&vhost, name, &limits)?,
                None => {
                    item.need("value")?;
                }
            },
            "operator_policy" => {
                let fields = Item {
                    section: item.section,
                    fields: item.need("value")?,
                };
                let policy = policy(vhost, name, fields)?;
                self.make(Command::PutOperatorPolicy(policy));
            }
            _ => {
                let value = item.fields.get("value");
                let section = item.section;
                let value = value.ok_or(DefinitionError::Missing { section, key: "value" })?.clone();
                self.make(Command::PutParameter {
                    vhost,
                    component: component.to_owned(),
                    name: name.to_owned(),
                    value,
                });
            }
        }
        Ok(())
    }

    /// The limits of a vhost: all of them, so those that are not named go.
    fn vhost_limits(
        &mut self,
        vhost: &VhostName,
        name: &str,
        limits: &Map<String, Value>,
    ) -> Result<(), DefinitionError> {
        let invalid = |why: String| DefinitionError::Invalid {
            vhost: vhost.clone(),
            name: name.to_owned(),
            why,
        };
        let mut set = Vec::new();
        for (key, value) in limits {
            let limit: VhostLimit = serde_json::from_value(key.as_str().into())
                .map_err(|_| invalid(format!("Unrecognised terms \"{key}\" in limits")))?;
            let number = value.as_i64();
            let number = number.ok_or_else(|| invalid(format!("{key} should be a number, actually was {value}")))?;
            set.push((limit, number));
        }
        for limit in [VhostLimit::MaxConnections, VhostLimit::MaxQueues] {
            let value = set.iter().find(|(own, _)| *own == limit).map(|(_, value)| *value);
            let vhost = vhost.clone();
            self.make(Command::SetVhostLimit { vhost, limit, value });
        }
        Ok(())
    }

    fn policy(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let vhost = self.vhost_of(item)?;
        let policy = policy(vhost, item.name("name")?, item)?;
        self.make(Command::PutPolicy(policy));
        Ok(())
    }

    fn global_parameter(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let (name, section) = (item.name("name")?, item.section);
        // The identity of another cluster is not ours.
        if name != "internal_cluster_id" {
            let value = item.fields.get("value");
            let value = value.ok_or(DefinitionError::Missing { section, key: "value" })?.clone();
            let name = name.to_owned();
            self.make(Command::PutGlobalParameter { name, value });
        }
        Ok(())
    }

    fn exchange(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = item.name("name")?;
        if is_in_every_vhost(name) {
            return Ok(());
        }
        let vhost = self.vhost_of(item)?;
        if name.starts_with("amq.") {
            self.skip(format!(
                "exchange '{name}' in vhost '{vhost}': names that begin with amq. are reserved"
            ));
            return Ok(());
        }
        let there = self.setting.catalog.vhost(&vhost);
        if there.is_some_and(|own| own.exchange(name).is_some()) {
            return Ok(());
        }
        let word = item.text("type")?;
        let unknown = || DefinitionError::ExchangeType(name.to_owned(), word.to_owned());
        let kind = ExchangeKind::named(word).ok_or_else(unknown)?;
        let arguments = arguments_of(item, || format!("exchange '{name}'"))?;
        exchange_arguments::validate(kind, &vhost, name, &arguments)?;
        let spec = ExchangeSpec {
            vhost,
            name: name.into(),
            kind,
            durable: item.flag("durable", true)?,
            auto_delete: item.flag("auto_delete", false)?,
            internal: item.flag("internal", false)?,
            home: NodeId::default(),
            arguments,
            user: self.setting.by.clone(),
        };
        self.make(Command::DeclareExchange(spec));
        Ok(())
    }

    fn queue(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = item.name("name")?;
        let vhost = self.vhost_of(item)?;
        let there = self.setting.catalog.vhost(&vhost);
        if there.is_some_and(|own| own.queue(name).is_some()) {
            return Ok(());
        }
        if name.starts_with("amq.") {
            self.skip_queue(vhost, name, "names that begin with amq. are reserved");
            return Ok(());
        }
        let (durable, auto_delete) = (item.flag("durable", true)?, item.flag("auto_delete", false)?);
        let mut arguments = arguments_of(item, || format!("queue '{name}'"))?;
        let default_type = self.default_type_in(&vhost, durable, auto_delete)?;
        let kind = arguments::queue_type(&arguments, default_type, &vhost, name)?;
        arguments::validate(kind, &vhost, name, &arguments)?;
        arguments::validate_properties(kind, &vhost, name, durable, false, auto_delete)?;
        if kind == QueueType::Stream {
            self.skip_queue(vhost, name, "it is a stream, and streams are not implemented");
            return Ok(());
        }
        // Kept with the type it got: defaults may change, this queue does not.
        arguments.set("x-queue-type", FieldValue::text(arguments::type_name(kind)));
        let spec = QueueSpec {
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
        };
        self.make(Command::DeclareQueue(spec));
        Ok(())
    }

    fn skip_queue(&mut self, vhost: VhostName, name: &'a str, why: &str) {
        self.skip(format!("queue '{name}' in vhost '{vhost}': {why}"));
        self.without.insert((vhost, name));
    }

    fn skip(&mut self, what: String) {
        self.made.skipped.push(what);
    }

    /// The type of a queue whose arguments do not say: the vhost's, as it will be, or the node's;
    /// a default does not get in the way of a queue that it cannot be.
    fn default_type_in(
        &self,
        vhost: &VhostName,
        durable: bool,
        auto_delete: bool,
    ) -> Result<QueueType, DefinitionError> {
        if !durable || auto_delete {
            return Ok(QueueType::Classic);
        }
        let mut made = self.items("vhosts")?;
        let made = made.find(|item| item.fields.get("name").and_then(Value::as_str) == Some(vhost.as_str()));
        let made = made.map(default_type_of).transpose()?.flatten();
        let there = || {
            let own = self.setting.catalog.vhost(vhost)?;
            own.spec.default_queue_type
        };
        Ok(made.or_else(there).unwrap_or(self.setting.default_type))
    }

    fn binding(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let (source, destination) = (item.name("source")?, item.name("destination")?);
        // Those of the default exchange follow from the queues.
        if source.is_empty() {
            return Ok(());
        }
        let vhost = self.vhost_of(item)?;
        let to = match item.text("destination_type")? {
            "exchange" => Destination::Exchange(destination.into()),
            "queue" => Destination::Queue(destination.into()),
            _ => {
                let value = item.need("destination_type")?;
                return Err(item.wrong("destination_type", "'queue' or 'exchange'", value));
            }
        };
        let binding = BindingSpec {
            source: source.into(),
            destination: to,
            key: item.name("routing_key")?.to_owned(),
            arguments: arguments_of(item, || format!("the binding from '{source}' to '{destination}'"))?,
        };
        let is_to_queue = matches!(binding.destination, Destination::Queue(_));
        let subject = (vhost, destination);
        if is_to_queue && self.without.contains(&subject) {
            let (vhost, _) = subject;
            self.skip(format!(
                "the binding from '{source}' to queue '{destination}' in vhost '{vhost}': the queue is not made"
            ));
            return Ok(());
        }
        let (vhost, _) = subject;
        self.make(Command::Bind { vhost, binding });
        Ok(())
    }
}

fn policy(vhost: VhostName, name: &str, item: Item<'_>) -> Result<PolicySpec, DefinitionError> {
    let invalid = |why: String| DefinitionError::Invalid {
        vhost: vhost.clone(),
        name: name.to_owned(),
        why,
    };
    let text = |key| {
        let value = item.need(key)?;
        let text = value.as_str();
        text.ok_or_else(|| invalid(format!("{key} should be a binary but was {value}")))
    };
    let priority = match item.get("priority") {
        None => 0,
        Some(value) => value
            .as_i64()
            .ok_or_else(|| invalid(format!("priority should be a number, actually was {value}")))?,
    };
    let apply_to = match item.get("apply-to") {
        None => Default::default(),
        Some(value) => serde_json::from_value(value.clone())
            .map_err(|_| invalid(format!("apply-to {value} unrecognised; {APPLY_TO}")))?,
    };
    let pattern = text("pattern")?.to_owned();
    let section = item.section;
    let definition = item.object("definition")?;
    let definition = definition.ok_or(DefinitionError::Missing {
        section,
        key: "definition",
    })?;
    Ok(PolicySpec {
        vhost: vhost.clone(),
        name: name.to_owned(),
        pattern,
        apply_to,
        priority,
        definition,
    })
}

/// RabbitMQ's words, spaces included.
const APPLY_TO: &str =
    "should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', 'exchanges', or 'all'";

fn arguments_of(item: Item<'_>, what: impl FnOnce() -> String) -> Result<FieldTable, DefinitionError> {
    to_table(item.get("arguments")).map_err(|error| DefinitionError::Arguments(what(), error))
}

/// The default queue type of a vhost's item. Older versions wrote the word `undefined` for none,
/// and the names of Erlang's modules.
fn default_type_of(item: Item<'_>) -> Result<Option<QueueType>, DefinitionError> {
    let key = "default_queue_type";
    let Some(value) = item.described(key) else {
        return Ok(None);
    };
    Ok(Some(match item.as_text(key, value)? {
        "" | "undefined" => return Ok(None),
        "classic" | "rabbit_classic_queue" => QueueType::Classic,
        "quorum" | "rabbit_quorum_queue" => QueueType::Quorum,
        "stream" | "rabbit_stream_queue" => QueueType::Stream,
        _ => return Err(item.wrong(key, "a type of queues", value)),
    }))
}
