//! Signing in, and what RabbitMQ's tools ask for that has no counterpart here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::{Call, Query};
use super::flags;
use super::route::{Access, Route};

/// What else can be asked.
pub static ROUTES: &[Route] = &[
    Route::post(
        "/login",
        Access::Anyone,
        "Checks a user's password: a form with username and password.",
        |call| Box::pin(log_in(call)),
    ),
    Route::get("/auth", Access::Anyone, "How users sign in.", |_| {
        Ok(Answer::Json(json!({"oauth_enabled": false})))
    }),
    Route::get(
        "/feature-flags",
        Access::Management,
        "Feature flags; none can be switched.",
        |_| Ok(Answer::Json(flags::views())),
    ),
    Route::get(
        "/deprecated-features",
        Access::Management,
        "Deprecated features; there are none.",
        |_| Ok(Answer::Json(json!([]))),
    ),
    Route::get(
        "/deprecated-features/used",
        Access::Management,
        "Deprecated features in use; there are none.",
        |_| Ok(Answer::Json(json!([]))),
    ),
];

async fn log_in(call: Call) -> Answered {
    let form = Query::parse(&String::from_utf8_lossy(call.body()));
    let (user, password) = (form.get("username"), form.get("password"));
    let (user, password) = user.zip(password).ok_or(Failure::WrongPassword)?;
    call.log_in(user, password)?;
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    Ok(Answer::LoggedIn {
        cookie: format!("auth={credentials}"),
    })
}
