//! Vhosts of a document, with their limits.

use serde_json::{Map, Value};

use super::item::Item;
use super::{DefinitionError, Importer};
use crate::metadata::command::{Command, VhostLimit, VhostSpec};
use crate::spec::QueueType;
use crate::types::VhostName;

impl<'a> Importer<'a> {
    pub(super) fn vhost(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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
        let is_new = self.setting.catalogue.vhost(&name).is_none();
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

    /// The limits of a vhost: all of them, so those that are not named go.
    pub(super) fn vhost_limits(
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
}

/// The default queue type of a vhost's item. Older versions wrote the word `undefined` for none,
/// and the names of Erlang's modules.
pub fn default_type_of(item: Item<'_>) -> Result<Option<QueueType>, DefinitionError> {
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
