//! Signing in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::query::Query;
use super::route::{Access, Route};

/// What can be asked without a password.
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
];

async fn log_in(call: Call) -> Answered {
    let form = Query::of_form(call.body.clone()).await;
    let (user, password) = (form.get("username"), form.get("password"));
    let (user, password) = user.zip(password).ok_or(Failure::WrongPassword)?;
    call.log_in(user, password)?;
    let credentials = STANDARD.encode(format!("{user}:{password}"));
    Ok(Answer::LoggedIn {
        cookie: format!("auth={credentials}"),
    })
}
