//! Values as RabbitMQ prints them in its texts: Erlang terms.

use crate::types::FieldValue;

/// A value as `~p` prints it.
pub fn term(value: &FieldValue) -> String {
    match value {
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => binary(bytes),
        FieldValue::Boolean(value) => value.to_string(),
        FieldValue::F32(value) => format!("{value:?}"),
        FieldValue::F64(value) => format!("{value:?}"),
        FieldValue::Decimal(scale, value) => format!("{{{scale},{value}}}"),
        FieldValue::Timestamp(seconds) => seconds.to_string(),
        FieldValue::Void => "undefined".to_owned(),
        FieldValue::Array(items) => list(
            items
                .iter()
                .map(|item| format!("{{{},{}}}", item.type_name(), term(item))),
        ),
        FieldValue::Table(table) => list(table.iter().map(|(name, value)| {
            let name = binary(name.as_bytes());
            format!("{{{name},{},{}}}", value.type_name(), term(value))
        })),
        other => other.as_int().unwrap_or_default().to_string(),
    }
}

/// A binary: in quotes when it is plain text, else as numbers.
pub fn binary(bytes: &[u8]) -> String {
    if !bytes.is_empty() && bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        let text: String = bytes.iter().flat_map(|byte| escaped(*byte)).collect();
        return format!("<<\"{text}\">>");
    }
    let numbers: Vec<_> = bytes.iter().map(u8::to_string).collect();
    format!("<<{}>>", numbers.join(","))
}

fn escaped(byte: u8) -> impl Iterator<Item = char> {
    let escape = matches!(byte, b'"' | b'\\').then_some('\\');
    escape.into_iter().chain([char::from(byte)])
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FieldTable;

    #[test]
    fn values_are_printed_as_erlang_terms() {
        let table = FieldTable(vec![("k".into(), FieldValue::Boolean(true))]);
        let cases = [
            (FieldValue::text("many"), "<<\"many\">>"),
            (FieldValue::text("a\"b"), "<<\"a\\\"b\">>"),
            (FieldValue::text(""), "<<>>"),
            (FieldValue::Bytes(vec![1, 200]), "<<1,200>>"),
            (FieldValue::I16(-3), "-3"),
            (FieldValue::F64(1.5), "1.5"),
            (FieldValue::Void, "undefined"),
            (FieldValue::Array(vec![FieldValue::I32(1)]), "[{signedint,1}]"),
            (FieldValue::Table(table), "[{<<\"k\">>,bool,true}]"),
        ];
        for (value, text) in cases {
            assert_eq!(term(&value), text);
        }
    }
}
