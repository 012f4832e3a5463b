//! Commands about users.

use std::io;

use serde_json::{Value, json};

use super::column::{Column, Kind};
use super::command::{Call, Command, Group, Output, Tool};
use super::failed::{Failed, exit};

/// What can be done with users.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "add_user",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> [<password>] [<password_hash> --pre-hashed-password]",
        help: "Makes a user, who may do nothing yet",
        arguments: 1..=2,
        options: &["pre-hashed-password"],
        banner: |call| format!("Adding user \"{}\" ...", call.argument(0)),
        run: add,
        ..Command::ROW
    },
    Command {
        name: "delete_user",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username>",
        help: "Deletes a user",
        arguments: 1..=1,
        banner: |call| format!("Deleting user \"{}\" ...", call.argument(0)),
        run: |call| call.delete(&["users", call.argument(0)]).map(|_| Output::Nothing),
        ..Command::ROW
    },
    Command {
        name: "change_password",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> [<password>] [<password_hash> --pre-hashed-password]",
        help: "Gives a user another password",
        arguments: 1..=2,
        options: &["pre-hashed-password"],
        banner: |call| format!("Changing password for user \"{}\" ...", call.argument(0)),
        run: change_password,
        ..Command::ROW
    },
    Command {
        name: "clear_password",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username>",
        help: "Takes away the password of a user, who cannot log in with one any more",
        arguments: 1..=1,
        banner: |call| format!("Clearing password for user \"{}\" ...", call.argument(0)),
        run: |call| {
            let user = call.need_user(call.argument(0))?;
            let body = json!({"tags": user["tags"], "password_hash": ""});
            call.put(&["users", call.argument(0)], &body)
        },
        ..Command::ROW
    },
    Command {
        name: "hash_password",
        tools: &[Tool::Ctl],
        group: Group::Other,
        usage: "<cleartext_password>",
        help: "Shows the hash of a password as definitions hold it",
        arguments: 1..=1,
        banner: |call| format!("Will hash password {}", call.argument(0)),
        run: |call| {
            let hashed = call.get(&["auth", "hash_password", call.argument(0)])?;
            Ok(Output::message(hashed["ok"].as_str().unwrap_or_default()))
        },
        ..Command::ROW
    },
    Command {
        name: "authenticate_user",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> [<password>]",
        help: "Fails unless that is the password of the user",
        arguments: 1..=2,
        banner: |call| format!("Authenticating user \"{}\" ...", call.argument(0)),
        run: authenticate,
        ..Command::ROW
    },
    Command {
        name: "set_user_tags",
        tools: &[Tool::Ctl],
        group: Group::Users,
        usage: "<username> [<tag> ...]",
        help: "Gives a user these tags in place of those it has",
        arguments: 1..=usize::MAX,
        banner: |call| {
            let tags = call.arguments().get(1..).unwrap_or_default();
            format!(
                "Setting tags for user \"{}\" to [{}] ...",
                call.argument(0),
                tags.join(", ")
            )
        },
        run: |call| {
            let user = call.need_user(call.argument(0))?;
            let tags = call.arguments().get(1..).unwrap_or_default();
            let body = json!({
                "tags": tags,
                "password_hash": user["password_hash"],
                "hashing_algorithm": user["hashing_algorithm"],
            });
            call.put(&["users", call.argument(0)], &body)
        },
        ..Command::ROW
    },
    Command {
        name: "list_users",
        tools: &[Tool::Ctl, Tool::Diagnostics],
        group: Group::Users,
        usage: "[--no-table-headers]",
        help: "Lists the users and their tags",
        banner: |_| "Listing users ...".to_owned(),
        run: |call| {
            let name = Column {
                name: "user",
                ..Column::plain("name")
            };
            Ok(Output::rows(
                vec![name, Column::of("tags", "tags", Kind::Word)],
                call.list(&["users"])?,
            ))
        },
        ..Command::ROW
    },
];

fn add(call: &Call) -> Result<Output, Failed> {
    let path = ["users", call.argument(0)];
    let mut body = password(call)?;
    if call.find(&path)?.is_some() {
        let text = format!("User \"{}\" already exists", call.argument(0));
        return Err(Failed::told(exit::SOFTWARE, text));
    }
    body["tags"] = json!([]);
    call.put(&path, &body)?;
    let program = &call.program;
    let text = format!(
        "Done. Don't forget to grant the user permissions to some virtual hosts! See '{program} help \
         set_permissions' to learn more."
    );
    Ok(Output::message(text))
}

fn change_password(call: &Call) -> Result<Output, Failed> {
    let name = call.argument(0);
    let missing = || Failed::told(exit::NO_USER, format!("User \"{name}\" does not exist"));
    let user = call.find(&["users", name])?.ok_or_else(missing)?;
    let mut body = password(call)?;
    body["tags"] = user["tags"].clone();
    call.put(&["users", call.argument(0)], &body)
}

fn authenticate(call: &Call) -> Result<Output, Failed> {
    let user = call.argument(0);
    let answer = call.answered(call.client.log_in(user, &secret(call)?))?;
    // Whoever may not use the API is told so only after the password was right.
    if answer.status < 300 || answer.json()["reason"] == "Not management user" {
        return Ok(Output::message("Success"));
    }
    let text = format!("Error: failed to authenticate user \"{user}\"\nuser '{user}' - invalid credentials");
    Err(Failed::told(exit::DATA, text))
}

/// The password or its hash as fields of a user.
fn password(call: &Call) -> Result<Value, Failed> {
    let given = secret(call)?;
    if given.is_empty() && !call.options.pre_hashed_password {
        return Err(Failed::told(exit::DATA, "password cannot be empty"));
    }
    let field = match call.options.pre_hashed_password {
        true => "password_hash",
        false => "password",
    };
    Ok(json!({field: given}))
}

/// The second argument; without it a line of the standard input, which no list of processes shows.
fn secret(call: &Call) -> Result<String, Failed> {
    if let Some(given) = call.arguments().get(1) {
        return Ok(given.clone());
    }
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line);
    read.map_err(|error| Failed::told(exit::DATA, format!("Cannot read a password: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
