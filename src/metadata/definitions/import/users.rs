//! Users of a document, and what they may do.

use serde_json::Value;

use super::item::Item;
use super::{DefinitionError, Importer};
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::metadata::command::{Command, PermissionSpec, TopicPermissionSpec, UserLimit, UserSpec};
use crate::types::UserName;

impl<'a> Importer<'a> {
    pub(super) fn user(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
        let name = item.name("name")?;
        let hash = item.maybe_text("password_hash")?;
        let password = match (hash, item.maybe_text("password")?) {
            (Some(_), Some(_)) => return Err(DefinitionError::TwoPasswords),
            (Some(hash), None) => PasswordHash::from_base64(self.hashing_of(item, name)?, hash)
                .map_err(|_| DefinitionError::PasswordHash(name.to_owned()))?,
            (None, Some(password)) => {
                self.check_rule(password)?;
                PasswordHash::new(self.setting.hashing, (self.setting.salt)(), password.as_bytes())
            }
            (None, None) => {
                if self.setting.catalogue.user(name).is_none() {
                    self.check_rule("")?;
                }
                PasswordHash::default()
            }
        };
        // `administrator` is from the time before tags.
        let tags = match (item.get("tags"), item.get("administrator")) {
            (Some(tags), _) => item.tags("tags", tags)?,
            (None, Some(is_one)) => match is_administrator(item, is_one)? {
                true => vec!["administrator".to_owned()],
                false => Vec::new(),
            },
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

    fn check_rule(&self, password: &str) -> Result<(), DefinitionError> {
        match (self.setting.takes_password)(password) {
            true => Ok(()),
            false => Err(DefinitionError::PasswordRule),
        }
    }

    /// How the hash of a user was made. Documents of before 3.6.1 do not say.
    fn hashing_of(&self, item: Item<'a>, user: &str) -> Result<HashAlgorithm, DefinitionError> {
        if let Some(name) = item.maybe_text("hashing_algorithm")? {
            let unknown = || DefinitionError::Hashing(user.to_owned(), name.to_owned());
            return HashAlgorithm::named(name).ok_or_else(unknown);
        }
        let version = self
            .document
            .get("rabbitmq_version")
            .or_else(|| self.document.get("rabbit_version"));
        let version = match version {
            None | Some(Value::Null) => "",
            Some(Value::String(version)) => version,
            // The hash would be taken for what it may not be, and nobody could log in with it.
            Some(other) => return Err(DefinitionError::Version(other.to_string())),
        };
        let is_of = |series: &str| version.starts_with(series);
        Ok(match version {
            "3.6.0" => HashAlgorithm::Sha256,
            _ if ["3.0.", "3.1.", "3.2.", "3.3.", "3.4.", "3.5."].into_iter().any(is_of) => HashAlgorithm::Md5,
            _ => self.setting.hashing,
        })
    }

    pub(super) fn permission(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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

    pub(super) fn topic_permission(&mut self, item: Item<'a>) -> Result<(), DefinitionError> {
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
}

/// The texts are as good: RabbitMQ takes them too.
fn is_administrator(item: Item<'_>, value: &Value) -> Result<bool, DefinitionError> {
    match value {
        Value::Bool(is_one) => Ok(*is_one),
        Value::String(word) if word == "true" => Ok(true),
        Value::String(word) if word == "false" => Ok(false),
        other => Err(item.wrong("administrator", "true or false", other)),
    }
}
