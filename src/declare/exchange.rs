//! `exchange.declare`, `exchange.delete`, and the exchange a message is published to.

use super::access::{self, Operation, Who};
use super::{DeclareError, vhost, without_line_ends};
use crate::codec::method::{ExchangeDeclare, ExchangeDelete};
use crate::exchange::again::{ExchangeAgain, check_same};
use crate::exchange::{self, ExchangeKind, ExchangeSpec, exchange_kind};
use crate::metadata::{Catalogue, CatalogueError, Command};
use crate::spec::exchange_arguments;
use crate::types::NodeId;

/// What is to be done for `exchange.declare`.
#[derive(Debug)]
pub enum ExchangePlan {
    /// Nothing: it is there.
    Existing,
    Create(ExchangeSpec),
}

/// Looks at `exchange.declare`.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn exchange_declare(
    catalogue: &Catalogue,
    who: &Who<'_>,
    method: &ExchangeDeclare,
) -> Result<ExchangePlan, DeclareError> {
    let name = without_line_ends(&method.exchange);
    if method.passive {
        check_not_default(&name)?;
        let found = vhost(catalogue, who)?.exchange(&name);
        found.ok_or_else(|| CatalogueError::NoExchange(who.vhost.clone(), name.as_ref().into()))?;
        return Ok(ExchangePlan::Existing);
    }
    let kind = exchange_kind(&method.kind)?;
    check_not_default(&name)?;
    access::check(catalogue, who, Operation::DeclareExchange(&name))?;
    match vhost(catalogue, who)?.exchange(&name) {
        Some(existing) => {
            let again = ExchangeAgain {
                kind,
                durable: method.durable,
                auto_delete: method.auto_delete,
                internal: method.internal,
                arguments: &method.arguments,
            };
            check_same(existing, &again)?;
            Ok(ExchangePlan::Existing)
        }
        None => create(catalogue, who, &name, kind, method),
    }
}

fn create(
    catalogue: &Catalogue,
    who: &Who<'_>,
    name: &str,
    kind: ExchangeKind,
    method: &ExchangeDeclare,
) -> Result<ExchangePlan, DeclareError> {
    if name.starts_with("amq.") {
        let (what, name) = ("exchange", name.to_owned());
        return Err(DeclareError::Reserved { what, name });
    }
    if let Some(alternate) = exchange_arguments::alternate_exchange(who.vhost, name, &method.arguments)? {
        let (exchange, alternate) = (name, alternate.as_ref());
        access::check(catalogue, who, Operation::Alternate { exchange, alternate })?;
    }
    exchange::validate(kind, who.vhost, name, &method.arguments)?;
    Ok(ExchangePlan::Create(ExchangeSpec {
        vhost: who.vhost.clone(),
        name: name.into(),
        kind,
        durable: method.durable,
        auto_delete: method.auto_delete,
        internal: method.internal,
        home: NodeId::default(),
        arguments: method.arguments.clone(),
        user: who.user.clone(),
    }))
}

/// Looks at `exchange.delete`. Deleting a missing exchange is a command without effect.
///
/// # Errors
/// What RabbitMQ would refuse; that it is in use is the catalogue's to say.
pub fn exchange_delete(catalogue: &Catalogue, who: &Who<'_>, method: &ExchangeDelete) -> Result<Command, DeclareError> {
    let name = without_line_ends(&method.exchange);
    check_not_default(&name)?;
    if name.starts_with("amq.") {
        return Err(CatalogueError::SystemExchange(who.vhost.clone(), name.as_ref().into()).into());
    }
    access::check(catalogue, who, Operation::DeleteExchange(&name))?;
    Ok(Command::DeleteExchange {
        vhost: who.vhost.clone(),
        name: name.as_ref().into(),
        if_unused: method.if_unused,
    })
}

/// The exchange that a message is published to. The answer holds while neither rights
/// ([`Catalogue::rights_version`]) nor exchanges change.
///
/// # Errors
/// When the user may not, or there is none, or it is internal.
pub fn publish_target<'a>(
    catalogue: &'a Catalogue,
    who: &Who<'_>,
    exchange: &str,
    key: &[u8],
) -> Result<&'a ExchangeSpec, DeclareError> {
    let key = &*String::from_utf8_lossy(key);
    access::check(catalogue, who, Operation::Publish { exchange, key })?;
    let spec = vhost(catalogue, who)?.exchange(exchange);
    let spec = spec.ok_or_else(|| CatalogueError::NoExchange(who.vhost.clone(), exchange.into()))?;
    if spec.internal {
        return Err(DeclareError::InternalExchange(spec.vhost.clone(), spec.name.clone()));
    }
    Ok(spec)
}

pub(super) fn check_not_default(name: &str) -> Result<(), DeclareError> {
    match name {
        "" => Err(CatalogueError::DefaultExchange.into()),
        _ => Ok(()),
    }
}
