//! `warren migrate`: moves the messages of queues from one broker to another, RabbitMQ or Warren each.
//!
//! ```text
//! source ── deliver ─→ Mover ── publish, mandatory ─→ target
//!        ←── ack ───         ←── confirm ──────────
//! ```
//! A message is taken from the source only when the target has confirmed it: whatever ends in between, nothing is lost, and it
//! is enough to run it again. What was confirmed and not acknowledged yet then is moved a second time. One queue after the
//! other, in order.

mod args;
mod content;
mod mover;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use self::mover::{MoveError, Mover};
pub use args::MigrateArgs;

/// Before a broker that went away is tried again.
const REST: Duration = Duration::from_secs(1);

/// Why there is nothing to move.
#[derive(Debug, thiserror::Error)]
enum Unclear {
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    #[error("{} is no file of definitions: {reason}", path.display())]
    NoDefinitions { path: PathBuf, reason: String },
    #[error("--follow is for one queue")]
    FollowOne,
}

/// Moves what the arguments say, and tells of each queue.
pub fn run(args: &MigrateArgs) -> ExitCode {
    let queues = match queues(args) {
        Ok(queues) => queues,
        Err(error) => {
            eprintln!("warren migrate: {error}");
            return ExitCode::from(2);
        }
    };
    let mut failed = 0;
    let mut total = 0;
    for queue in &queues {
        let (moved, error) = move_queue(args, queue);
        total += moved;
        match error {
            None => println!("{queue}: {moved} messages moved, none left"),
            Some(error) => {
                failed += 1;
                println!("{queue}: {moved} messages moved, then: {error}");
            }
        }
    }
    println!(
        "{total} messages of {} queues moved, {failed} queues not to their end",
        queues.len()
    );
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Moves the messages of a queue, over new connections where old ones break. How many, and why no more.
fn move_queue(args: &MigrateArgs, queue: &str) -> (u64, Option<MoveError>) {
    let mut moved = 0;
    let mut retries = args.retries;
    loop {
        let done = Mover::open(args, queue).and_then(|mut mover| {
            let done = mover.run(&mut moved);
            mover.close();
            done
        });
        match done {
            Ok(()) => return (moved, None),
            Err(error) if error.may_pass() && retries > 0 => {
                eprintln!("{queue}: {error}; it is tried again");
                retries -= 1;
                std::thread::sleep(REST);
            }
            Err(error) => return (moved, Some(error)),
        }
    }
}

fn queues(args: &MigrateArgs) -> Result<Vec<String>, Unclear> {
    let Some(path) = &args.definitions else {
        return match args.follow && args.queues.len() > 1 {
            true => Err(Unclear::FollowOne),
            false => Ok(args.queues.clone()),
        };
    };
    let text = std::fs::read(path).map_err(|error| Unclear::Unreadable {
        path: path.clone(),
        error,
    })?;
    let named = of_definitions(&text, &args.from.vhost).map_err(|reason| Unclear::NoDefinitions {
        path: path.clone(),
        reason,
    })?;
    for stream in &named.streams {
        println!("{stream}: a stream, whose messages stay where they are");
    }
    Ok(named.queues)
}

/// The queues of a vhost.
#[derive(Debug, Default, PartialEq)]
struct Named {
    queues: Vec<String>,
    streams: Vec<String>,
}

fn of_definitions(text: &[u8], vhost: &str) -> Result<Named, String> {
    let definitions: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let all = definitions.get("queues").and_then(Value::as_array);
    let all = all.ok_or("it has no queues")?;
    let mut named = Named::default();
    for queue in all {
        let Some(name) = queue.get("name").and_then(Value::as_str) else {
            return Err("a queue has no name".to_owned());
        };
        // Files of one vhost do not say it.
        let own = queue.get("vhost").and_then(Value::as_str).unwrap_or(vhost);
        if own != vhost {
            continue;
        }
        let kind = queue
            .get("arguments")
            .and_then(|arguments| arguments.get("x-queue-type"));
        match kind.and_then(Value::as_str) {
            Some("stream") => named.streams.push(name.to_owned()),
            _ => named.queues.push(name.to_owned()),
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_those_of_the_vhost_and_no_streams() {
        let text = br#"{"queues": [
            {"name": "a", "vhost": "/", "arguments": {}},
            {"name": "b", "vhost": "other", "arguments": {}},
            {"name": "c", "vhost": "/", "arguments": {"x-queue-type": "stream"}},
            {"name": "d", "vhost": "/", "arguments": {"x-queue-type": "quorum"}}]}"#;
        let named = of_definitions(text, "/").expect("definitions");
        assert_eq!(
            (named.queues, named.streams),
            (vec!["a".into(), "d".into()], vec!["c".into()])
        );
        assert_eq!(
            of_definitions(br#"{"queues": [{"name": "a"}]}"#, "v")
                .expect("of one vhost")
                .queues,
            ["a"]
        );
        for bad in ["", "[]", "{}", r#"{"queues": [{}]}"#] {
            assert!(of_definitions(bad.as_bytes(), "/").is_err(), "{bad}");
        }
    }
}
