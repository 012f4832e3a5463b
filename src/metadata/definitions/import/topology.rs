//! Exchanges, queues and bindings of a document.

use serde_json::Value;

use super::item::Item;
use super::vhosts::default_type_of;
use super::{DefinitionError, Importer};
use crate::exchange::{self, ExchangeKind, ExchangeSpec};
use crate::metadata::command::Command;
use crate::metadata::vhost::is_in_every_vhost;
use crate::spec::arguments;
use crate::spec::{BindingSpec, Destination, QueueSpec, QueueType};
use crate::types::{FieldValue, NodeId, QueueId, VhostName};

impl<'a> Importer<'a> {
    pub(super) fn exchange(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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
        let there = self.setting.catalogue.vhost(&vhost);
        if there.is_some_and(|own| own.exchange(name).is_some()) {
            return Ok(());
        }
        let word = item.text("type")?;
        let unknown = || DefinitionError::ExchangeType(name.to_owned(), word.to_owned());
        let kind = ExchangeKind::named(word).ok_or_else(unknown)?;
        let arguments = item.arguments(|| format!("exchange '{name}'"))?;
        exchange::validate(kind, &vhost, name, &arguments)?;
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

    pub(super) fn queue(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = item.name("name")?;
        let vhost = self.vhost_of(item)?;
        let there = self.setting.catalogue.vhost(&vhost);
        if there.is_some_and(|own| own.queue(name).is_some()) {
            return Ok(());
        }
        if name.starts_with("amq.") {
            self.skip_queue(vhost, name, "names that begin with amq. are reserved");
            return Ok(());
        }
        let (durable, auto_delete) = (item.flag("durable", true)?, item.flag("auto_delete", false)?);
        let mut arguments = item.arguments(|| format!("queue '{name}'"))?;
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
            let own = self.setting.catalogue.vhost(vhost)?;
            own.spec.default_queue_type
        };
        Ok(made.or_else(there).unwrap_or(self.setting.default_type))
    }

    pub(super) fn binding(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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
            arguments: item.arguments(|| format!("the binding from '{source}' to '{destination}'"))?,
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
