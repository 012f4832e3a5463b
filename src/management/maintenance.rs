//! A node taken out of service by its operator, and put back: see `broker/cluster/maintenance.rs`.

use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};

/// What can be asked of maintenance.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/maintenance",
        Access::Monitoring,
        "Whether this node is drained, and whether it takes new clients.",
        |call| {
            Ok(Answer::Json(json!({
                "drained": call.broker.membership().is_drained(),
                "takes_clients": call.broker.membership().takes_clients(),
            })))
        },
    ),
    Route::new(
        Verb::Put,
        "/maintenance/{action}",
        Access::Administrator,
        "drain sends clients and leaders away from this node, revive puts it back into service; \
         suspend-listeners and resume-listeners are about new clients only. ignore-disk and watch-disk: whether \
         free disk under the limit is an alarm.",
        Run::Later(|call| Box::pin(act(call))),
    ),
];

async fn act(call: Call) -> Answered {
    let broker = &call.broker;
    match call.name("action") {
        "drain" => {
            let led = broker.membership().enter_maintenance().await;
            return Ok(Answer::Json(json!({"leaders": led})));
        }
        "revive" => broker.membership().leave_maintenance(),
        "suspend-listeners" => broker.membership().suspend_listeners(),
        "resume-listeners" => broker.membership().resume_listeners(),
        "watch-disk" => broker.alarms().watch_disk(true),
        "ignore-disk" => broker.alarms().watch_disk(false),
        _ => return Err(Failure::NotFound),
    }
    Ok(Answer::Done)
}
