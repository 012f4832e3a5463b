//! How lists and values are written: tables with tabs, drawn tables, CSV and JSON, each as
//! RabbitMQ's tools write them.

use serde_json::{Value, json};

use super::column::{Column, Kind, numbers, typed, version};
use super::erlang;
use crate::types::sorting::sort;

/// A way to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formatter {
    Table,
    PrettyTable,
    Csv,
    Json,
    Erlang,
}

impl Formatter {
    /// By its name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "table" => Self::Table,
            "pretty_table" => Self::PrettyTable,
            "csv" => Self::Csv,
            "json" => Self::Json,
            "erlang" => Self::Erlang,
            _ => return None,
        })
    }
}

/// A list as lines.
pub fn rows(formatter: Formatter, headers: bool, columns: &[Column], items: &[Value]) -> String {
    match formatter {
        Formatter::Json => json_rows(columns, items),
        Formatter::Erlang => erlang::rows(columns, items) + "\n",
        // Without rows there is nothing to head.
        _ if items.is_empty() => String::new(),
        Formatter::Table => lines(headers, columns, items, |cells| cells.join("\t")),
        Formatter::Csv => lines(headers, columns, items, |cells| {
            let quoted: Vec<_> = cells
                .iter()
                .map(|cell| format!("\"{}\"", cell.replace('"', "\"\"")))
                .collect();
            quoted.join(",")
        }),
        Formatter::PrettyTable => drawn(columns, items),
    }
}

fn lines(headers: bool, columns: &[Column], items: &[Value], join: fn(&[String]) -> String) -> String {
    let head: Vec<_> = columns.iter().map(|column| column.name.to_owned()).collect();
    let head = headers.then(|| join(&head));
    let body = items.iter().map(|item| join(&cells(columns, item)));
    head.into_iter().chain(body).map(|line| line + "\n").collect()
}

fn cells(columns: &[Column], item: &Value) -> Vec<String> {
    columns
        .iter()
        .map(|column| printable(&cell(column, &item[column.field])))
        .collect()
}

/// Names may hold anything; what would move the cursor of a terminal is escaped.
fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter.is_control() {
            true => letter.escape_default().to_string(),
            false => letter.to_string(),
        })
        .collect()
}

fn cell(column: &Column, value: &Value) -> String {
    match (column.kind, value) {
        (_, Value::Null) => String::new(),
        (Kind::Document, value) => value.to_string(),
        (Kind::Map, value) => map(value),
        (Kind::Table | Kind::Pairs, value) => pairs(value),
        (Kind::Protocol, value) => {
            let numbers: Vec<_> = version(value).iter().map(u64::to_string).collect();
            format!("{{{}}}", numbers.join(","))
        }
        (_, Value::String(text)) => text.clone(),
        (Kind::Word, Value::Object(fields)) => {
            let fields = fields
                .iter()
                .map(|(key, value)| format!("{{{key}, {}}}", plain_text(value)));
            format!("[{}]", fields.collect::<Vec<_>>().join(", "))
        }
        (_, Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(plain_text).collect();
            format!("[{}]", items.join(", "))
        }
        (_, value) => value.to_string(),
    }
}

fn plain_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `[{"x-max-length",5}]`
fn pairs(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(key, value)| format!("{{{},{}}}", Value::from(key.as_str()), pairs(value)))
                .collect();
            format!("[{}]", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(pairs).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// `#{<<"name">> => <<"app">>}`
fn map(value: &Value) -> String {
    let term = |value: &Value| match value.as_str() {
        Some(text) => format!("<<{}>>", Value::from(text)),
        None => value.to_string(),
    };
    let fields = value.as_object().into_iter().flatten();
    let mut fields: Vec<_> = fields
        .map(|(key, value)| format!("<<{}>> => {}", Value::from(key.as_str()), term(value)))
        .collect();
    sort(&mut fields);
    format!("#{{{}}}", fields.join(","))
}

fn json_rows(columns: &[Column], items: &[Value]) -> String {
    let rows = items.iter().map(|item| {
        let fields = columns
            .iter()
            .map(|column| (column.name.to_owned(), json_cell(column, &item[column.field])));
        Value::Object(fields.collect()).to_string()
    });
    let rows: Vec<_> = rows.collect();
    match rows.is_empty() {
        true => "[\n]\n".to_owned(),
        false => format!("[\n{}\n]\n", rows.join("\n,")),
    }
}

fn json_cell(column: &Column, value: &Value) -> Value {
    match (column.kind, value) {
        (_, Value::Null) => json!(""),
        (Kind::Plain | Kind::Word | Kind::Map, value) => value.clone(),
        (Kind::Pairs, value) => {
            let fields = value.as_object().into_iter().flatten();
            fields.map(|(key, value)| json!([key, value])).collect()
        }
        (Kind::Table, value) => typed(value),
        (Kind::Document, value) => value.to_string().into(),
        (Kind::Address | Kind::Protocol, value) => numbers(column.kind, value),
    }
}

/// A text as a table of one column.
pub fn drawn_text(text: &str) -> String {
    let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    let column = [Column::plain(HEAD)];
    let widest = width.max(HEAD.len());
    let lines = text.lines().map(|line| json!({HEAD: format!("{line:widest$}")}));
    let lines: Vec<_> = lines.collect();
    let drawn = drawn(&column, &lines);
    // The lines of a text are not told apart.
    let rule = format!("{GRAPHIC}t{}u{PLAIN}\n", "q".repeat(widest + 2));
    match drawn.split_once(&rule) {
        Some((head, body)) => head.to_owned() + &rule + &body.replace(&rule, ""),
        None => drawn,
    }
}

/// The head of the column of a text.
const HEAD: &str = "Output";

/// Lines of the terminal's graphic letters, the heads in bold.
fn drawn(columns: &[Column], items: &[Value]) -> String {
    let body: Vec<_> = items.iter().map(|item| cells(columns, item)).collect();
    let head: Vec<_> = columns.iter().map(|column| column.name.to_owned()).collect();
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..columns.len())
        .map(|at| body.iter().chain([&head]).map(|row| width(&row[at])).max().unwrap_or(0))
        .collect();
    let rule = |left: &str, middle: &str, right: &str| {
        let parts: Vec<_> = widths.iter().map(|width| "q".repeat(width + 2)).collect();
        format!("{GRAPHIC}{left}{}{right}{PLAIN}\n", parts.join(middle))
    };
    let bar = format!("{GRAPHIC}x{PLAIN}");
    let row = |cells: &[String], bold: bool| {
        let cells = cells.iter().zip(&widths).map(|(cell, most)| {
            let padding = " ".repeat(most - width(cell));
            match bold {
                true => format!(" \x1b[1m{cell}\x1b[0m{padding} {bar}"),
                false => format!(" {cell}{padding} {bar}"),
            }
        });
        format!("{bar}{}\n", cells.collect::<String>())
    };
    let mut out = rule("l", "w", "k") + &row(&head, true);
    for cells in &body {
        out += &rule("t", "n", "u");
        out += &row(cells, false);
    }
    out + &rule("m", "v", "j")
}

const GRAPHIC: &str = "\x1b(0";
const PLAIN: &str = "\x1b(B";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::column::plain;

    fn two() -> (Vec<Column>, Vec<Value>) {
        let items = vec![
            json!({"name": "moved", "messages": 0}),
            json!({"name": "a/b \"c", "messages": 67}),
        ];
        (plain(&["name", "messages"]), items)
    }

    fn written(formatter: Formatter, headers: bool) -> String {
        let (columns, items) = two();
        rows(formatter, headers, &columns, &items)
    }

    #[test]
    fn lists_are_written_as_rabbitmq_writes_them() {
        assert_eq!(
            written(Formatter::Table, true),
            "name\tmessages\nmoved\t0\na/b \"c\t67\n"
        );
        assert_eq!(written(Formatter::Table, false), "moved\t0\na/b \"c\t67\n");
        assert_eq!(
            written(Formatter::Csv, true),
            "\"name\",\"messages\"\n\"moved\",\"0\"\n\"a/b \"\"c\",\"67\"\n"
        );
        assert_eq!(
            written(Formatter::Json, true),
            "[\n{\"name\":\"moved\",\"messages\":0}\n,{\"name\":\"a/b \\\"c\",\"messages\":67}\n]\n"
        );
    }

    #[test]
    fn tables_are_drawn() {
        let (columns, items) = two();
        let drawn = drawn(&columns, &items[..1]);
        let expected = "\x1b(0lqqqqqqqwqqqqqqqqqqk\x1b(B\n\
             \x1b(0x\x1b(B \x1b[1mname\x1b[0m  \x1b(0x\x1b(B \x1b[1mmessages\x1b[0m \x1b(0x\x1b(B\n\
             \x1b(0tqqqqqqqnqqqqqqqqqqu\x1b(B\n\
             \x1b(0x\x1b(B moved \x1b(0x\x1b(B 0        \x1b(0x\x1b(B\n\
             \x1b(0mqqqqqqqvqqqqqqqqqqj\x1b(B\n";
        assert_eq!(drawn, expected);
    }

    #[test]
    fn values_have_two_faces() {
        let both = |kind, value: Value| {
            let column = Column::of("x", "x", kind);
            (cell(&column, &value), json_cell(&column, &value).to_string())
        };
        let pair = |text: &str, json: &str| (text.to_owned(), json.to_owned());
        let arguments = json!({"x-max-length": 5, "x-queue-type": "classic"});
        assert_eq!(
            both(Kind::Table, arguments),
            pair(
                r#"[{"x-max-length",5},{"x-queue-type","classic"}]"#,
                r#"[["x-max-length","long",5],["x-queue-type","longstr","classic"]]"#
            )
        );
        assert_eq!(both(Kind::Table, json!({})), pair("[]", "[]"));
        assert_eq!(both(Kind::Plain, json!(["a", "b"])), pair("[a, b]", r#"["a","b"]"#));
        assert_eq!(
            both(Kind::Address, json!("127.0.0.1")),
            pair("127.0.0.1", "[127,0,0,1]")
        );
        assert_eq!(both(Kind::Protocol, json!("AMQP 0-9-1")), pair("{0,9,1}", "[0,9,1]"));
        assert_eq!(both(Kind::Plain, Value::Null), pair("", "\"\""));
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
    }
}
