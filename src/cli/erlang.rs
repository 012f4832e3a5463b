//! Values as terms of Erlang, broken into lines as its pretty printer does it: for scripts that read
//! `--formatter erlang`.
//!
//! What the HTTP API gives does not say which text is an atom to RabbitMQ; columns do ([`Kind`]).

use serde_json::Value;

use super::column::{Column, Kind, typed_value};

/// Letters of a line.
const WIDTH: usize = 80;

/// A term.
enum Term {
    /// A name, quoted where it needs it.
    Atom(String),
    /// A text, which is a binary.
    Text(String),
    /// A number, as it is written.
    Number(String),
    List(Vec<Self>),
    Tuple(Vec<Self>),
}

/// A list of what has columns: each item is a list of pairs.
pub fn rows(columns: &[Column], items: &[Value]) -> String {
    let row = |item: &Value| {
        let pairs = columns.iter().map(|column| {
            let name = Term::Atom(column.name.to_owned());
            Term::Tuple(vec![name, cell(column.kind, &item[column.field])])
        });
        Term::List(pairs.collect())
    };
    printed(&Term::List(items.iter().map(row).collect()))
}

/// A value without columns: fields become pairs, a message is its text.
pub fn value(value: &Value) -> String {
    match value.as_object() {
        Some(fields) if fields.len() == 1 && fields.contains_key("message") => printed(&plain(&value["message"])),
        _ => printed(&plain(value)),
    }
}

fn cell(kind: Kind, value: &Value) -> Term {
    match (kind, value) {
        (_, Value::Null) => Term::Atom(String::new()),
        (Kind::Word, value) => words(value),
        (Kind::Document, value) => Term::Text(value.to_string()),
        (Kind::Table, Value::Object(fields)) => {
            let entry = |(key, value): (&String, &Value)| {
                let (kind, value) = typed_value(value);
                Term::Tuple(vec![
                    Term::Text(key.clone()),
                    Term::Atom(kind.to_owned()),
                    table(&value),
                ])
            };
            Term::List(fields.iter().map(entry).collect())
        }
        (Kind::Pairs, Value::Object(fields)) => {
            let pair = |(key, value): (&String, &Value)| Term::Tuple(vec![Term::Text(key.clone()), plain(value)]);
            Term::List(fields.iter().map(pair).collect())
        }
        (Kind::Address | Kind::Protocol, value) => match super::column::numbers(kind, value).as_array() {
            Some(numbers) => Term::Tuple(numbers.iter().map(plain).collect()),
            None => plain(value),
        },
        (_, value) => plain(value),
    }
}

/// Names, also inside of lists and as the values of fields.
fn words(value: &Value) -> Term {
    match value {
        Value::String(word) => Term::Atom(word.clone()),
        Value::Array(items) => Term::List(items.iter().map(words).collect()),
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| Term::Tuple(vec![Term::Atom(key.clone()), words(value)]);
            Term::List(fields.iter().map(pair).collect())
        }
        other => plain(other),
    }
}

/// What [`typed_value`] makes of values: lists of their parts.
fn table(value: &Value) -> Term {
    match value {
        Value::Array(parts) => {
            let part = |part: &Value| match part.as_array() {
                Some(inner) => Term::Tuple(inner.iter().map(table).collect()),
                None => table(part),
            };
            Term::List(parts.iter().map(part).collect())
        }
        other => plain(other),
    }
}

fn plain(value: &Value) -> Term {
    match value {
        Value::Null => Term::Atom(String::new()),
        Value::Bool(is_so) => Term::Atom(is_so.to_string()),
        Value::Number(number) => Term::Number(number.to_string()),
        Value::String(text) => Term::Text(text.clone()),
        Value::Array(items) => Term::List(items.iter().map(plain).collect()),
        Value::Object(fields) => {
            let pair = |(key, value): (&String, &Value)| Term::Tuple(vec![Term::Atom(key.clone()), plain(value)]);
            Term::List(fields.iter().map(pair).collect())
        }
    }
}

fn printed(term: &Term) -> String {
    let mut out = String::new();
    print(term, 0, &mut out);
    out
}

/// Writes a term that begins in that column: in one line if it fits, else each element in its own.
fn print(term: &Term, column: usize, out: &mut String) {
    let line = flat(term);
    let (open, close, elements) = match term {
        Term::List(elements) => ('[', ']', elements),
        Term::Tuple(elements) => ('{', '}', elements),
        _ => return out.push_str(&line),
    };
    if column + line.chars().count() <= WIDTH {
        return out.push_str(&line);
    }
    out.push(open);
    let mut at = column + 1;
    let last = elements.len().saturating_sub(1);
    for (place, element) in elements.iter().enumerate() {
        print(element, at, out);
        if place == last {
            break;
        }
        out.push(',');
        match term {
            // A name and what it names stay together.
            Term::Tuple(_) if matches!(element, Term::Atom(_)) => at += flat(element).chars().count() + 1,
            _ => {
                out.push('\n');
                out.push_str(&" ".repeat(column + 1));
                at = column + 1;
            }
        }
    }
    out.push(close);
}

fn flat(term: &Term) -> String {
    let joined = |elements: &[Term]| elements.iter().map(flat).collect::<Vec<_>>().join(",");
    match term {
        Term::Atom(name) => atom(name),
        Term::Text(text) if text.is_ascii() => format!("<<{}>>", quoted(text, '"')),
        Term::Text(text) if text.is_empty() => "<<>>".to_owned(),
        Term::Text(text) => format!("<<{}/utf8>>", quoted(text, '"')),
        Term::Number(number) => number.clone(),
        Term::List(elements) => format!("[{}]", joined(elements)),
        Term::Tuple(elements) => format!("{{{}}}", joined(elements)),
    }
}

fn atom(name: &str) -> String {
    let begins_well = name.starts_with(|letter: char| letter.is_ascii_lowercase());
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '@');
    match begins_well && name.chars().all(is_plain) {
        true => name.to_owned(),
        false => quoted(name, '\''),
    }
}

fn quoted(text: &str, quote: char) -> String {
    if text.is_empty() && quote == '"' {
        return String::new();
    }
    let mut out = String::from(quote);
    for letter in text.chars() {
        match letter {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control.is_control() => out.push_str(&format!("\\x{{{:X}}}", u32::from(control))),
            special if special == quote || special == '\\' => out.extend(['\\', special]),
            plain => out.push(plain),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_that_fits_is_one_line_for_each_item() {
        let columns = [
            Column::plain("name"),
            Column::of("type", "type", Kind::Word),
            Column::plain("durable"),
            Column::of("arguments", "arguments", Kind::Table),
            Column::plain("policy"),
        ];
        let item =
            |name: &str| json!({"name": name, "type": "direct", "durable": true, "arguments": {}, "policy": null});
        // As RabbitMQ 4.0.5 wrote it.
        let expected = "\
[[{name,<<>>},{type,direct},{durable,true},{arguments,[]},{policy,''}],
 [{name,<<\"amq.direct\">>},
  {type,direct},
  {durable,true},
  {arguments,[]},
  {policy,''}]]";
        assert_eq!(rows(&columns, &[item(""), item("amq.direct")]), expected);
        assert_eq!(rows(&columns, &[]), "[]");
    }

    #[test]
    fn arguments_have_types_and_their_own_lines() {
        let columns = [
            Column::plain("name"),
            Column::of("arguments", "arguments", Kind::Table),
            Column::of("definition", "definition", Kind::Pairs),
            Column::of("members", "members", Kind::Word),
        ];
        let item = json!({
            "name": "q1", "arguments": {"x-delivery-limit": 7, "x-queue-type": "quorum"},
            "definition": {"max-length": 100}, "members": ["a@localhost"],
        });
        let expected = "\
[[{name,<<\"q1\">>},
  {arguments,[{<<\"x-delivery-limit\">>,long,7},
              {<<\"x-queue-type\">>,longstr,<<\"quorum\">>}]},
  {definition,[{<<\"max-length\">>,100}]},
  {members,[a@localhost]}]]";
        assert_eq!(rows(&columns, &[item]), expected);
    }

    #[test]
    fn names_and_texts_are_quoted_where_they_need_it() {
        assert_eq!(atom("rabbitmq_4.0.0"), "'rabbitmq_4.0.0'");
        assert_eq!(atom("apply-to"), "'apply-to'");
        assert_eq!(atom("a@b"), "a@b");
        assert_eq!(value(&json!({"message": "Ping \"ok\""})), "<<\"Ping \\\"ok\\\"\">>");
        assert_eq!(value(&json!({"result": "ok"})), "[{result,<<\"ok\">>}]");
        assert_eq!(value(&json!("ä")), "<<\"ä\"/utf8>>");
    }
}
