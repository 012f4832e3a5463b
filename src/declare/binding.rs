//! `queue.bind`, `queue.unbind`, `exchange.bind` and `exchange.unbind`.

use super::access::{self, Operation, Resource, Who};
use super::exchange::check_not_default;
use super::{DeclareError, check_owner, named, vhost, without_line_ends};
use crate::codec::method::{ExchangeBind, ExchangeUnbind, QueueBind, QueueUnbind};
use crate::exchange::{self, NewBinding};
use crate::metadata::{Catalogue, CatalogueError, Command, Vhost};
use crate::spec::{BindingSpec, Destination};
use crate::types::FieldTable;

/// Looks at `queue.bind`.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn queue_bind(
    catalogue: &Catalogue,
    who: &Who<'_>,
    last_queue: Option<&str>,
    method: &QueueBind,
) -> Result<Command, DeclareError> {
    let requested = of_queue(
        &method.queue,
        &method.exchange,
        &method.routing_key,
        &method.arguments,
        last_queue,
    )?;
    bind(catalogue, who, requested)
}

/// Looks at `queue.unbind`. Taking away what is not there is a command without effect.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn queue_unbind(
    catalogue: &Catalogue,
    who: &Who<'_>,
    last_queue: Option<&str>,
    method: &QueueUnbind,
) -> Result<Command, DeclareError> {
    let requested = of_queue(
        &method.queue,
        &method.exchange,
        &method.routing_key,
        &method.arguments,
        last_queue,
    )?;
    unbind(catalogue, who, requested)
}

/// Looks at `exchange.bind`.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn exchange_bind(catalogue: &Catalogue, who: &Who<'_>, method: &ExchangeBind) -> Result<Command, DeclareError> {
    let requested = of_exchange(
        &method.destination,
        &method.source,
        &method.routing_key,
        &method.arguments,
    );
    bind(catalogue, who, requested)
}

/// Looks at `exchange.unbind`. Taking away what is not there is a command without effect.
///
/// # Errors
/// What RabbitMQ would refuse, in the order it looks.
pub fn exchange_unbind(catalogue: &Catalogue, who: &Who<'_>, method: &ExchangeUnbind) -> Result<Command, DeclareError> {
    let requested = of_exchange(
        &method.destination,
        &method.source,
        &method.routing_key,
        &method.arguments,
    );
    unbind(catalogue, who, requested)
}

fn of_queue(
    queue: &str,
    exchange: &str,
    key: &str,
    arguments: &FieldTable,
    last_queue: Option<&str>,
) -> Result<BindingSpec, DeclareError> {
    let name = named(queue, last_queue)?;
    // With neither a queue nor a key, the last queue's name is both.
    let key = if queue.is_empty() && key.is_empty() { name } else { key };
    Ok(BindingSpec {
        source: without_line_ends(exchange).as_ref().into(),
        destination: Destination::Queue(without_line_ends(name).as_ref().into()),
        key: key.to_owned(),
        arguments: arguments.clone(),
    })
}

fn of_exchange(destination: &str, source: &str, key: &str, arguments: &FieldTable) -> BindingSpec {
    BindingSpec {
        source: without_line_ends(source).as_ref().into(),
        destination: Destination::Exchange(without_line_ends(destination).as_ref().into()),
        key: key.to_owned(),
        arguments: arguments.clone(),
    }
}

fn bind(catalogue: &Catalogue, who: &Who<'_>, requested: BindingSpec) -> Result<Command, DeclareError> {
    check_ends(catalogue, who, &requested)?;
    let here = vhost(catalogue, who)?;
    let source = here
        .exchange(&requested.source)
        .ok_or_else(|| CatalogueError::NoExchange(who.vhost.clone(), requested.source.clone()))?;
    let target = match &requested.destination {
        Destination::Queue(name) => {
            let queue = here.queue(name);
            let queue = queue.ok_or_else(|| CatalogueError::NoQueue(who.vhost.clone(), name.clone()))?;
            check_owner(queue, who)?;
            Some(queue.queue_type)
        }
        Destination::Exchange(name) => {
            let exchange = here.exchange(name);
            exchange.ok_or_else(|| CatalogueError::NoExchange(who.vhost.clone(), name.clone()))?;
            None
        }
    };
    let new = NewBinding {
        key: &requested.key,
        arguments: &requested.arguments,
        destination: target,
    };
    exchange::validate_binding(source.routes_as(), &new)?;
    Ok(Command::Bind {
        vhost: who.vhost.clone(),
        binding: requested,
    })
}

fn unbind(catalogue: &Catalogue, who: &Who<'_>, requested: BindingSpec) -> Result<Command, DeclareError> {
    check_ends(catalogue, who, &requested)?;
    let here = vhost(catalogue, who)?;
    // Whose queue it is matters only when there is something to take away.
    if let Destination::Queue(name) = &requested.destination
        && let Some(queue) = here.queue(name)
        && is_bound(here, &requested)
    {
        check_owner(queue, who)?;
    }
    Ok(Command::Unbind {
        vhost: who.vhost.clone(),
        binding: requested,
    })
}

fn is_bound(here: &Vhost, requested: &BindingSpec) -> bool {
    here.bindings_to(&requested.destination).any(|bound| bound == requested)
}

/// Checks the rights on both ends, and that neither is the default exchange.
fn check_ends(catalogue: &Catalogue, who: &Who<'_>, requested: &BindingSpec) -> Result<(), DeclareError> {
    let destination = match &requested.destination {
        Destination::Queue(name) => Resource::Queue(name),
        Destination::Exchange(name) => Resource::Exchange(name),
    };
    access::check(catalogue, who, Operation::BindTo(destination))?;
    if let Destination::Exchange(name) = &requested.destination {
        check_not_default(name)?;
    }
    check_not_default(&requested.source)?;
    let from = Operation::BindFrom {
        exchange: &requested.source,
        key: &requested.key,
    };
    Ok(access::check(catalogue, who, from)?)
}
