//! A request as its handler sees it: who asks, names from the path, the query, the body.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::http::StatusCode;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};

use super::access::{self, Caller, Credentials};
use super::answer::{Answer, Answered, Failure};
use super::endpoint::Endpoint;
use super::form::Form;
use super::route::{Access, Parameters};
use crate::broker::Broker;
use crate::broker::connections::ConnectionInfo;
use crate::broker::gather::{About, Gathered};
use crate::declare::Who;
use crate::metadata::{self, Command};
use crate::types::names::MAX_NAME_BYTES;
use crate::types::{ConnectionId, UserName, VhostName};

/// One request.
pub struct Call {
    pub broker: Arc<Broker>,
    pub caller: Caller,
    /// Where the node listens.
    pub endpoints: Arc<[Endpoint]>,
    pub query: Query,
    pub(super) parameters: Parameters,
    pub(super) body: Bytes,
    /// What the body is, where the request says.
    pub(super) content_type: Option<String>,
    pub(super) from: IpAddr,
    /// What the other nodes said, on the routes that ask them.
    pub gathered: Gathered,
    pub(super) connections: OnceLock<FxHashMap<ConnectionId, Arc<ConnectionInfo>>>,
    /// Why a connection is closed, as the operator says.
    pub(super) reason: Option<String>,
}

/// The part of a URL behind the question mark.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; what is malformed is left out.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let plain = |text: &str| super::text::unquoted(text);
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (plain(name), plain(value))
                })
                .collect(),
        )
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether it is there and true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

impl Call {
    /// A name from the path.
    pub fn name(&self, parameter: &str) -> &str {
        self.parameters
            .iter()
            .find(|(name, _)| *name == parameter)
            .map_or("", |(_, value)| value)
    }

    /// The vhost of the path.
    pub fn vhost(&self) -> VhostName {
        self.name("vhost").into()
    }

    /// Something of the vhost of the path.
    ///
    /// # Errors
    /// When there is no such vhost.
    pub fn in_vhost<R>(&self, read: impl FnOnce(&metadata::Vhost) -> R) -> Result<R, Failure> {
        let catalog = self.broker.catalog();
        catalog.vhost(self.name("vhost")).map(read).ok_or(Failure::NotFound)
    }

    /// Asks the other nodes for what they know; of queues, only of that of the path where it names one.
    pub(super) async fn gather(&mut self, about: About) {
        let has = |parameter| self.parameters.iter().any(|(name, _)| *name == parameter);
        if !(about == About::Queues && has("vhost") && has("name")) {
            self.gathered = self.broker.gather(about).await;
            return;
        }
        let vhost = self.broker.vhost(self.name("vhost"));
        if let Some(queue) = vhost.and_then(|vhost| vhost.queue(self.name("name"))) {
            self.gathered = self.broker.gather(About::Queue(queue.spec.id)).await;
        }
    }

    /// Who asks, in the vhost of the path. Each request is a connection of its own: exclusive
    /// queues are never its.
    ///
    /// # Errors
    /// When there is no such vhost.
    pub fn identity(&self) -> Result<Identity, Failure> {
        let name = self.in_vhost(|vhost| vhost.name().clone());
        Ok(Identity {
            user: self.caller.name.clone(),
            vhost: name.map_err(|_| Failure::Missing("vhost_not_found".to_owned()))?,
            connection: self.broker.next_connection(),
            operator: self.caller.operator,
        })
    }

    /// The body's fields; an empty body has none.
    ///
    /// # Errors
    /// When the body is not a JSON object.
    pub fn fields(&self) -> Result<Fields, Failure> {
        if self.body.is_empty() {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(Value::String(_)) => Err(Failure::bad(DOUBLY_ENCODED)),
            _ => Err(Failure::bad("not_json")),
        }
    }

    /// Whether that is the user's password, and the user may come from where the request comes.
    ///
    /// # Errors
    /// When not, or when the user has none of the management tags.
    pub fn log_in(&self, user: &str, password: &str) -> Result<(), Failure> {
        let credentials = Credentials::Given {
            user: user.to_owned(),
            password: password.as_bytes().to_vec(),
        };
        let caller = access::authenticate(&self.broker, credentials, self.from)?;
        access::check(Access::Management, &caller, None, &self.broker.catalog())
    }

    /// The connections of the node by their ids, as they were when first asked for.
    pub fn connections(&self) -> &FxHashMap<ConnectionId, Arc<ConnectionInfo>> {
        self.connections.get_or_init(|| {
            let all = self.broker.connections().all().into_iter();
            all.map(|connection| (connection.id, connection)).collect()
        })
    }

    /// The body as a form with parts, if it is said to be one.
    ///
    /// # Errors
    /// When it is none all the same.
    pub fn form(&self) -> Option<Result<Form<'_>, Failure>> {
        let content_type = self.content_type.as_deref()?;
        let kind = content_type.split(';').next().unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        let form = Form::read(content_type, &self.body);
        Some(form.ok_or(Failure::Status(StatusCode::BAD_REQUEST)))
    }

    /// The body as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Sends a command to the catalogue.
    ///
    /// # Errors
    /// In the broker's words.
    pub async fn command(&self, command: Command) -> Result<(), Failure> {
        self.broker.command(command).await?;
        Ok(())
    }

    /// The same, for a thing that is put: 201 when it is new, else 204.
    ///
    /// # Errors
    /// In the broker's words.
    pub async fn put(&self, existed: bool, command: Command) -> Answered {
        self.command(command).await?;
        Ok(if existed { Answer::Done } else { Answer::Created(None) })
    }
}

/// The user and the vhost of a request, as the broker's rules ask for them.
pub struct Identity {
    pub user: UserName,
    pub vhost: VhostName,
    connection: ConnectionId,
    operator: bool,
}

impl Identity {
    /// Who asks.
    pub fn who(&self) -> Who<'_> {
        Who {
            user: &self.user,
            vhost: &self.vhost,
            connection: self.connection,
            operator: self.operator,
        }
    }
}

/// The fields of a JSON body.
#[derive(Debug)]
pub struct Fields(pub Map<String, Value>);

impl Fields {
    /// The fields of an object, for tests.
    #[cfg(test)]
    pub fn of(value: Value) -> Self {
        match value {
            Value::Object(fields) => Self(fields),
            _ => panic!("an object"),
        }
    }

    /// All these fields are there.
    ///
    /// # Errors
    /// With those that are missing, in the order asked.
    pub fn need(&self, keys: &[&str]) -> Result<(), Failure> {
        let missing: Vec<_> = keys.iter().copied().filter(|key| !self.0.contains_key(*key)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Failure::keys_missing(&missing))
        }
    }

    /// A field; null counts as absent.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    /// A text, if the field is there.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Failure::Bad(json!(["not_string", other]))),
        }
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// When it is missing, null or something else.
    pub fn some_text(&self, key: &str) -> Result<&str, Failure> {
        self.need(&[key])?;
        let text = self.text(key)?;
        text.ok_or_else(|| Failure::Bad(json!(["not_string", null])))
    }

    /// A boolean, also as text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn boolean(&self, key: &str, default: bool) -> Result<bool, Failure> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Failure::Bad(json!(["not_boolean", other]))),
        }
    }

    /// An integer, also as text.
    ///
    /// # Errors
    /// When it is something else.
    pub fn integer(&self, key: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = match value {
            Value::String(text) => text.parse().ok(),
            other => other.as_i64(),
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(Failure::Bad(json!(["not_integer", value]))),
        }
    }
}

/// A name of a path or a body that is put in the catalogue: no longer than the wire can carry.
///
/// # Errors
/// When it is longer.
pub fn checked_name(name: &str) -> Result<&str, Failure> {
    if name.len() <= MAX_NAME_BYTES {
        Ok(name)
    } else {
        Err(Failure::bad(format!(
            "Resource name is longer than {MAX_NAME_BYTES} bytes"
        )))
    }
}

const DOUBLY_ENCODED: &str =
    "invalid payload: the request body JSON-decoded to a string. Is the input doubly-JSON-encoded?";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_text_too() {
        let fields = Fields::of(json!({"a": "true", "b": "maybe", "n": "12", "x": "x", "none": null}));
        assert_eq!(fields.boolean("a", false), Ok(true));
        assert_eq!(
            fields.boolean("b", false),
            Err(Failure::Bad(json!(["not_boolean", "maybe"])))
        );
        assert_eq!(fields.boolean("none", true), Ok(true));
        assert_eq!(fields.integer("n"), Ok(Some(12)));
        assert_eq!(fields.integer("x"), Err(Failure::Bad(json!(["not_integer", "x"]))));
        assert_eq!(fields.integer("missing"), Ok(None));
        assert_eq!(fields.some_text("x"), Ok("x"));
        assert_eq!(fields.some_text("none"), Err(Failure::Bad(json!(["not_string", null]))));
        assert_eq!(fields.some_text("missing"), Err(Failure::keys_missing(&["missing"])));
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse("page=1&name=%5Eord+x&pagination&bad=%zz");
        assert_eq!(query.get("page"), Some("1"));
        assert_eq!(query.get("name"), Some("^ord x"));
        assert_eq!(query.get("pagination"), Some(""));
        assert_eq!(query.get("other"), None);
    }
}
