//! What must be the same when an exchange is declared again.

use super::{ExchangeKind, ExchangeSpec};
use crate::spec::SpecError;
use crate::spec::equivalence::{compare, compare_argument};
use crate::spec::error::exchange_in_vhost;
use crate::spec::exchange_arguments::OF_EVERY_EXCHANGE;
use crate::types::FieldTable;

/// An exchange as it is declared again.
pub struct ExchangeAgain<'a> {
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    pub internal: bool,
    pub arguments: &'a FieldTable,
}

/// Whether an exchange declared again is the same as the one there.
///
/// # Errors
/// The first property or argument that differs.
pub fn check_same(existing: &ExchangeSpec, again: &ExchangeAgain<'_>) -> Result<(), SpecError> {
    let target = exchange_in_vhost(&existing.vhost, &existing.name);
    compare("type", &target, again.kind.name(), existing.kind.name())?;
    compare("durable", &target, again.durable, existing.durable)?;
    compare("auto_delete", &target, again.auto_delete, existing.auto_delete)?;
    compare("internal", &target, again.internal, existing.internal)?;
    let arguments = OF_EVERY_EXCHANGE.iter().chain(existing.kind.spec().arguments);
    let mut compared = arguments.filter(|row| row.is_compared);
    compared.try_for_each(|row| {
        let (received, current) = (again.arguments.get(row.name), existing.arguments.get(row.name));
        compare_argument(row.name, &target, received, current)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{FieldValue, NodeId};

    #[test]
    fn an_exchange_declared_again_must_have_the_same_properties_and_alternate() {
        let spec = ExchangeSpec {
            vhost: "v".into(),
            name: "e".into(),
            kind: ExchangeKind::Direct,
            durable: true,
            auto_delete: false,
            internal: false,
            home: NodeId::default(),
            arguments: FieldTable::of(&[("alternate-exchange", FieldValue::text("amq.fanout"))]),
            user: "guest".into(),
        };
        let same = ExchangeAgain {
            kind: spec.kind,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: &spec.arguments,
        };
        let text = |again: &ExchangeAgain<'_>| check_same(&spec, again).err().map(|error| error.to_string());
        let expected = |name: &str, end: &str| {
            Some(format!(
                "inequivalent arg '{name}' for exchange 'e' in vhost 'v': {end}"
            ))
        };
        assert_eq!(text(&same), None);
        assert_eq!(
            text(&ExchangeAgain {
                kind: ExchangeKind::Fanout,
                durable: false,
                ..same
            }),
            expected("type", "received 'fanout' but current is 'direct'")
        );
        assert_eq!(
            text(&ExchangeAgain {
                durable: false,
                internal: true,
                ..same
            }),
            expected("durable", "received 'false' but current is 'true'")
        );
        assert_eq!(
            text(&ExchangeAgain { internal: true, ..same }),
            expected("internal", "received 'true' but current is 'false'")
        );
        let other = FieldTable::of(&[
            ("alternate-exchange", FieldValue::text("amq.topic")),
            ("x-foo", FieldValue::I32(1)),
        ]);
        assert_eq!(
            text(&ExchangeAgain {
                arguments: &other,
                ..same
            }),
            expected("alternate-exchange", "received 'amq.topic' but current is 'amq.fanout'")
        );
        assert_eq!(
            text(&ExchangeAgain {
                arguments: &FieldTable::new(),
                ..same
            }),
            expected(
                "alternate-exchange",
                "received none but current is the value 'amq.fanout' of type 'longstr'"
            )
        );
    }
}
