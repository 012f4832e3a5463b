//! A request as its handler sees it: who asks, names from the path, the query, the body.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::RawPathParams;
use axum::http::StatusCode;
use rustc_hash::FxHashMap;

use super::access::Caller;
use super::answer::{Answer, Answered, Failure};
use super::browser::Browser;
use super::endpoint::Endpoint;
use super::fields::Fields;
use super::form::Form;
use super::query::Query;
use super::windows;
use crate::broker::Broker;
use crate::broker::ConnectionInfo;
use crate::broker::gathered::Gathered;
use crate::broker::report::{About, Wanted};
use crate::declare::Actor;
use crate::metadata::{self, Command};
use crate::statistics::{Window, Windows};
use crate::types::{ConnectionId, NodeId, VhostName};

/// One request.
#[derive(Clone)]
pub struct Call {
    pub broker: Arc<Broker>,
    pub caller: Caller,
    /// Where the node listens.
    pub endpoints: Arc<[Endpoint]>,
    pub query: Query,
    pub(super) parameters: Arc<RawPathParams>,
    pub(super) body: Bytes,
    /// What the body is, where the request says.
    pub(super) content_type: Option<String>,
    pub(super) from: IpAddr,
    /// What the other nodes said, on the routes that ask them.
    pub gathered: Arc<Gathered>,
    /// Of which time numbers are shown, where the query asks for a time.
    pub windows: Windows,
    /// The same of the short histories in lists.
    pub trend: Option<Window>,
    pub(super) connections: OnceLock<FxHashMap<ConnectionId, Arc<ConnectionInfo>>>,
    pub(super) browser: Browser,
    /// Why a connection is closed, as the operator says.
    pub(super) reason: Option<String>,
}

impl Call {
    /// A name from the path; empty where the path has none.
    pub fn name(&self, parameter: &str) -> &str {
        named(&self.parameters, parameter).unwrap_or_default()
    }

    /// The vhost of the path.
    pub fn vhost(&self) -> VhostName {
        self.name("vhost").into()
    }

    /// The node of the path.
    ///
    /// # Errors
    /// When no member of the cluster has that name.
    pub fn node(&self) -> Result<NodeId, Failure> {
        self.broker
            .declarations()
            .node_named(self.name("node"))
            .ok_or(Failure::NotFound)
    }

    /// Something of the vhost of the path.
    ///
    /// # Errors
    /// When there is no such vhost.
    pub fn in_vhost<R>(&self, read: impl FnOnce(&metadata::Vhost) -> R) -> Result<R, Failure> {
        let catalogue = self.broker.catalogue();
        catalogue.vhost(self.name("vhost")).map(read).ok_or(Failure::NotFound)
    }

    /// Things of all vhosts whose contents are listed for the caller.
    pub fn in_vhosts<T>(&self, read: impl FnMut(&metadata::Vhost) -> Vec<T>) -> Vec<T> {
        let catalogue = self.broker.catalogue();
        let visible = self.caller.vhosts(&catalogue);
        let vhosts = visible.iter().filter_map(|name| catalogue.vhost(name));
        vhosts.flat_map(read).collect()
    }

    /// Notes of which time numbers are to be shown.
    ///
    /// # Errors
    /// When the query asks for too much of the past.
    pub(super) fn look_back(&mut self) -> Result<(), Failure> {
        let now = self.broker.reports().second();
        self.windows = windows::windows(&self.query, now)?;
        self.trend = windows::trend(&self.query, now).filter(|_| self.windows.lengths.is_none());
        Ok(())
    }

    /// Asks the other nodes for what they know; of queues, only of that of the path where it names one.
    ///
    /// # Errors
    /// When the query asks for too much of the past.
    pub(super) async fn gather(&mut self, about: About) -> Result<(), Failure> {
        self.look_back()?;
        let windows = Windows {
            lengths: self.windows.lengths.or(self.trend),
            ..self.windows
        };
        let has = |parameter| named(&self.parameters, parameter).is_some();
        if !(about == About::Queues && has("vhost") && has("name")) {
            self.gathered = self.broker.reports().gather(Wanted { about, windows }).await.into();
            return Ok(());
        }
        let vhost = self.broker.vhost(self.name("vhost"));
        if let Some(queue) = vhost.and_then(|vhost| vhost.queue(self.name("name"))) {
            let about = About::Queue(queue.spec.id);
            self.gathered = self.broker.reports().gather(Wanted { about, windows }).await.into();
        }
        Ok(())
    }

    /// The vhost of the path, if there is one.
    ///
    /// # Errors
    /// When there is none.
    pub fn declared_vhost(&self) -> Result<VhostName, Failure> {
        let name = self.in_vhost(|vhost| vhost.name().clone());
        name.map_err(|_| Failure::Missing("vhost_not_found".to_owned()))
    }

    /// Who asks, in the vhost of the path. Each request is a connection of its own: exclusive
    /// queues are never its.
    ///
    /// # Errors
    /// When there is no such vhost, or an administrator has no permission there: no client could come in.
    pub fn actor(&self) -> Result<Actor, Failure> {
        let vhost = self.declared_vhost()?;
        if !self.caller.may_use(&self.broker.catalogue(), &vhost) {
            return Err(Failure::NotAuthorised("Access refused."));
        }
        Ok(Actor {
            user: self.caller.name.clone(),
            vhost,
            connection: self.broker.next_connection(),
            rights: self.caller.rights.clone(),
        })
    }

    /// Whether no numbers are to be shown, because the query or the configuration says so.
    pub fn has_no_stats(&self) -> bool {
        let config = &self.broker.config().management;
        self.query.is_true("disable_stats") || config.disable_stats || config.keep_no_statistics
    }

    /// The body's fields; an empty body has none.
    ///
    /// # Errors
    /// When the body is not a JSON object.
    pub fn fields(&self) -> Result<Fields, Failure> {
        Fields::read(&self.body)
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
        self.broker
            .declarations()
            .command_by(Some(&self.caller.name), command)
            .await?;
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

/// The segment of a path that its pattern names so.
pub fn named<'a>(parameters: &'a RawPathParams, name: &str) -> Option<&'a str> {
    let mut all = parameters.iter();
    all.find(|(own, _)| *own == name).map(|(_, value)| value)
}
