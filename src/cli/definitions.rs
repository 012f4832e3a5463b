//! Commands that carry definitions out and in.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde_json::json;

use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, bad, exit};

/// What can be done with definitions.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "export_definitions",
        tools: &[Tool::Ctl],
        group: Group::Definitions,
        usage: "<file_path | \"-\"> [--format <json | erlang>] [--timeout <timeout>]",
        help: "Writes all definitions to a file, or to standard output",
        arguments: 1..=1,
        options: &["format"],
        banner: |call| match call.argument(0) {
            "-" => String::new(),
            path => format!("Exporting definitions in JSON to a file at \"{path}\" ..."),
        },
        run: export,
        ..Command::ROW
    },
    Command {
        name: "import_definitions",
        tools: &[Tool::Ctl],
        group: Group::Definitions,
        usage: "<file_path | \"-\"> [--format <json | erlang>] [--timeout <timeout>]",
        help: "Reads definitions from a file, or from standard input, and adds them to what there is",
        arguments: 0..=1,
        options: &["format"],
        banner: |call| match call.argument(0) {
            "-" | "" => "Importing definitions in JSON from standard input ...".to_owned(),
            path => format!("Importing definitions in JSON from a file at \"{path}\" ..."),
        },
        run: import,
        ..Command::ROW
    },
];

fn export(call: &Call) -> Result<Output, Failed> {
    check_format(call)?;
    let document = call.get(&["definitions"])?;
    match call.argument(0) {
        "-" => Ok(Output::Text {
            text: document.to_string(),
            json: document,
        }),
        path => {
            let directory = Path::new(path).parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(directory) = directory.filter(|directory| !directory.is_dir()) {
                return Err(bad(format!(
                    "Bad argument: Directory {} does not exist",
                    directory.display()
                )));
            }
            let failed = |error| Failed::told(exit::DATA, format!("Cannot write {path}: {error}"));
            fs::write(path, document.to_string()).map_err(failed)?;
            Ok(Output::Silent)
        }
    }
}

fn import(call: &Call) -> Result<Output, Failed> {
    check_format(call)?;
    let mut bytes = Vec::new();
    let read = match call.argument(0) {
        "-" | "" => io::stdin().read_to_end(&mut bytes).map(|_| ()),
        path if !Path::new(path).exists() => return Err(bad(format!("Bad argument: File {path} does not exist"))),
        path => fs::read(path).map(|read| bytes = read),
    };
    let place = call.argument(0);
    read.map_err(|error| Failed::told(exit::DATA, format!("Cannot read {place}: {error}")))?;
    let answer = call.post(&["definitions"], &bytes)?;
    if answer.status >= 300 {
        return Err(Failed::told(exit::DATA, answer.reason()));
    }
    Ok(Output::Text {
        text: "Definitions were imported.".to_owned(),
        json: json!({"node": call.node(), "result": "ok"}),
    })
}

fn check_format(call: &Call) -> Result<(), Failed> {
    match call.options.format.as_deref() {
        None | Some("json" | "JSON") => Ok(()),
        Some(other) => Err(Failed::arguments(format!(
            "Format {other} is not supported: definitions are JSON"
        ))),
    }
}
