//! The last lines of the node's log and its events, for operators: those that there are, or those that come.

use std::time::Duration;

use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use crate::logging;
use crate::logging::recent::Recent;
use crate::tasks;
use crate::types::Millis;

/// What can be asked of the log.
pub static ROUTES: &[Route] = &[
    Route::new(
        Verb::Get,
        "/log",
        Access::Administrator,
        "The last lines of the node's log: ?lines=50, or ?after=N&wait=SECONDS for those from number N on.",
        Run::Later(|call| {
            Box::pin(async move {
                let recent = logging::recent().ok_or_else(|| Failure::Missing("the node has no log".to_owned()))?;
                lines(&call, recent).await
            })
        }),
    ),
    Route::new(
        Verb::Get,
        "/events",
        Access::Administrator,
        "What happens on the node, a line of JSON for each event as amq.rabbitmq.event has it, from the first such \
         request on: ?lines=50, or ?after=N&wait=SECONDS.",
        Run::Later(|call| {
            Box::pin(async move {
                let until = call.broker.now() + Millis(2 * LONGEST.as_millis() as u64);
                lines(&call, call.broker.observers().follow(until)).await
            })
        }),
    ),
    Route::post(
        "/log/reopen",
        Access::Administrator,
        "Opens the log file again, once it was moved away.",
        |_| {
            Box::pin(async {
                // It waits for a place behind the lines that are not written yet.
                let reopened = tasks::blocking(logging::reopen).await;
                reopened.map_err(|_| Failure::Broken("the log file cannot be opened again".to_owned()))?;
                tracing::info!("the log file is opened again");
                Ok(Answer::Done)
            })
        },
    ),
];

/// Lines of an answer, at most.
const MOST: usize = 4096;
/// Lines when the request does not say.
const USUAL: usize = 50;
/// The longest wait for a line.
const LONGEST: Duration = Duration::from_secs(30);

async fn lines(call: &Call, recent: &Recent) -> Answered {
    let number = |name: &str| match call.query.get(name) {
        None => Ok(None),
        Some(text) => {
            let wrong = |_| Failure::bad(format!("{name} is a number"));
            text.parse::<u64>().map(Some).map_err(wrong)
        }
    };
    let count = number("lines")?.map_or(USUAL, |count| usize::try_from(count).unwrap_or(MOST));
    let found = match number("after")? {
        None => recent.last(count.min(MOST)),
        Some(after) => {
            let wait = number("wait")?.map_or(Duration::ZERO, Duration::from_secs);
            // The answer is what there is then, be it nothing.
            let _ = tokio::time::timeout(wait.min(LONGEST), recent.reaches(after)).await;
            recent.from(after, MOST)
        }
    };
    Ok(Answer::Json(json!({"lines": found.lines, "next": found.next})))
}
