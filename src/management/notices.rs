//! What an operator has to know, for the banner of the console.

use serde_json::{Value, json};

use super::answer::Answer;
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use super::text::encoded;
use crate::broker::notices::{About as Subject, Notice, Sees};
use crate::broker::report::About;

/// What can be asked of notices.
pub static ROUTES: &[Route] = &[Route::new(
    Verb::Get,
    "/notices",
    Access::Management,
    "What an operator has to know, the worst first: alarms, nodes and queues that do not serve, certificates.",
    Run::Gathered(About::Nodes, |call| {
        let notices = told(call);
        Ok(Answer::Json(notices.iter().map(view).collect()))
    }),
)];

/// What there is to know for whoever asks.
fn told(call: &Call) -> Vec<Notice> {
    let visible = call.caller.vhosts(&call.broker.catalogue());
    let sees = match call.caller.is_monitor() {
        true => Sees::Everything,
        false => Sees::Queues,
    };
    call.broker
        .reports()
        .notices(&call.gathered, sees, |spec| visible.contains(&spec.vhost))
}

fn view(notice: &Notice) -> Value {
    let (kind, name, vhost, link) = match &notice.about {
        Subject::Cluster => ("cluster", None, None, "#/cluster".to_owned()),
        Subject::Node(name) => ("node", Some(name), None, format!("#/nodes/{}", encoded(name))),
        Subject::Queue { vhost, name } => (
            "queue",
            Some(name),
            Some(vhost),
            format!("#/queues/{}/{}", encoded(vhost), encoded(name)),
        ),
        Subject::Queues => ("queues", None, None, "#/queues".to_owned()),
    };
    json!({
        "level": notice.level.name(),
        "code": notice.code,
        "subject": {"kind": kind, "name": name, "vhost": vhost},
        "since": notice.since,
        "text": notice.text,
        "do": notice.remedy,
        "link": link,
    })
}
