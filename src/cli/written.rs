//! What a command puts out, as the chosen format has it.

use serde_json::json;

use super::command::{Call, Output};
use super::erlang;
use super::print::{self, Formatter};

/// The text of what came out.
pub(super) fn written(output: Output, formatter: Option<Formatter>, call: &Call) -> String {
    let options = &call.options;
    let headers = !(options.no_table_headers || options.silent);
    let list = |formatter, columns: &[_], items: &[_]| print::rows(formatter, headers, columns, items);
    match output {
        Output::Silent => String::new(),
        Output::Written(text) => text,
        Output::Nothing => match formatter {
            Some(Formatter::Json) => format!("{}\n", json!({"node": call.node(), "result": "ok"})),
            _ => String::new(),
        },
        Output::Text { json, .. } | Output::Drawn { json, .. } if formatter == Some(Formatter::Json) => {
            format!("{json}\n")
        }
        Output::Text { json, .. } | Output::Drawn { json, .. } if formatter == Some(Formatter::Erlang) => {
            format!("{}\n", erlang::value(&json))
        }
        Output::Text { text, .. } if formatter == Some(Formatter::PrettyTable) => {
            print::drawn_text(text.trim_end_matches('\n'))
        }
        Output::Text { text, .. } => format!("{}\n", text.trim_end_matches('\n')),
        Output::Listed { text, columns, items } => match formatter {
            None | Some(Formatter::Table) if text.is_empty() => String::new(),
            None | Some(Formatter::Table) => format!("{text}\n"),
            Some(formatter) => list(formatter, &columns, &items),
        },
        Output::Drawn { columns, items, .. } => list(formatter.unwrap_or(Formatter::PrettyTable), &columns, &items),
        Output::Rows { columns, items, fancy } => {
            let usual = if fancy {
                Formatter::PrettyTable
            } else {
                Formatter::Table
            };
            list(formatter.unwrap_or(usual), &columns, &items)
        }
    }
}
