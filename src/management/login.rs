//! Signing in as programs made for RabbitMQ do, and how often it was tried.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::route::{Access, Route, Run, Verb};
use super::session;
use crate::auth::attempts::Counts;

/// What can be asked of logins.
pub static ROUTES: &[Route] = &[
    Route::post(
        "/login",
        Access::Anyone,
        "Signs a browser in: a form with username and password. The cookie holds no password.",
        |call| Box::pin(log_in(call)),
    ),
    Route::get("/auth", Access::Anyone, "How users sign in.", |_| {
        Ok(Answer::Json(json!({"oauth_enabled": false})))
    }),
    Route::new(
        Verb::Get,
        "/auth/attempts/{node}",
        Access::Monitoring,
        "How often somebody tried to log in at a node, by protocol.",
        Run::Later(|call| {
            Box::pin(async move {
                let attempts = call.broker.membership().attempts_at(call.node()?).await;
                let attempts = attempts.ok_or_else(|| Failure::Broken("the node did not answer".to_owned()))?;
                Ok(Answer::Json(attempts.into_iter().map(view).collect()))
            })
        }),
    ),
    Route::get(
        "/auth/attempts/{node}/source",
        Access::Monitoring,
        "The same by address and user; that is not counted, as by RabbitMQ unless it is asked for.",
        |call| {
            call.node()?;
            Ok(Answer::Json(json!([])))
        },
    ),
    Route::delete(
        "/auth/attempts/{node}",
        Access::Monitoring,
        "Counts them from nothing again.",
        |call| Box::pin(reset(call)),
    ),
    Route::delete(
        "/auth/attempts/{node}/source",
        Access::Monitoring,
        "Counts them from nothing again.",
        |call| Box::pin(reset(call)),
    ),
];

async fn log_in(call: Call) -> Answered {
    let (user, password) = session::form(&call).await.ok_or(Failure::WrongPassword)?;
    let caller = session::signed_in(&call, &user, &password).await?;
    Ok(Answer::Cookie {
        cookie: session::open(&call, &caller).await?,
        value: Some(json!("ok")),
    })
}

async fn reset(call: Call) -> Answered {
    match call.broker.membership().reset_attempts_at(call.node()?).await {
        true => Ok(Answer::Done),
        false => Err(Failure::Broken("the node did not answer".to_owned())),
    }
}

fn view((protocol, counts): (String, Counts)) -> Value {
    json!({
        "protocol": protocol,
        "auth_attempts": counts.succeeded + counts.failed,
        "auth_attempts_failed": counts.failed,
        "auth_attempts_succeeded": counts.succeeded,
    })
}
