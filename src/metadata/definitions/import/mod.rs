//! From a document to commands.
//!
//! Nothing of a document is changed in silence: a value of another kind than its key takes refuses
//! the document, and what cannot be made here is left out and told ([`Import::skipped`]). An empty
//! list counts as an empty object, for that is how PHP writes one; null counts as absent.

mod error;
mod item;
mod parameters;
mod topology;
mod users;
mod vhosts;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

pub use error::DefinitionError;
use item::Item;

use super::super::Catalogue;
use super::super::command::Command;
use crate::auth::HashAlgorithm;
use crate::spec::QueueType;
use crate::types::{UserName, VhostName};

/// What an import needs to know besides the document.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub catalogue: &'a Catalogue,
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
    /// The rule for passwords in plain text.
    pub takes_password: &'a dyn Fn(&str) -> bool,
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
                if self.setting.catalogue.vhost(name).is_none() && !made.contains(name) {
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

    fn skip(&mut self, what: String) {
        self.made.skipped.push(what);
    }
}
