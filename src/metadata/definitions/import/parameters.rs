//! Parameters of a document, of which policies and limits are kinds.

use super::item::Item;
use super::{DefinitionError, Importer};
use crate::metadata::command::Command;
use crate::spec::policy::PolicySpec;
use crate::types::VhostName;

impl<'a> Importer<'a> {
    pub(super) fn parameter(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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

    pub(super) fn policy(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let vhost = self.vhost_of(item)?;
        let policy = policy(vhost, item.name("name")?, item)?;
        self.make(Command::PutPolicy(policy));
        Ok(())
    }

    pub(super) fn global_parameter(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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
