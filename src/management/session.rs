//! Browsers that sign in: the cookie they get, and what it takes to use it.
//!
//! The cookie holds a token drawn by chance, out of reach of scripts ([`crate::auth::login_sessions`]). A
//! page of another site cannot send the header [`CONSOLE`] without asking first, and no other site is
//! let do that unless it is configured; so whatever changes something needs it beside the cookie.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::access::{self, Caller, Credentials};
use super::answer::{Answer, Answered, Failure};
use super::browser::COOKIE_NAME;
use super::call::Call;
use super::query::Query;
use super::route::{Access, Route, Run, Verb};
use crate::auth::PasswordHash;
use crate::auth::login_sessions::{LoginSession, TokenDigest};
use crate::metadata::Catalogue;
use crate::types::{Millis, Timestamp};

/// What can be asked of sessions, by browsers and about them.
pub static ROUTES: &[Route] = &[
    Route::get(
        "/session",
        Access::Management,
        "Who asks, with tags and permissions: what a page needs to know first.",
        |call| Ok(Answer::Json(view(&call.caller, &call.broker.catalogue()))),
    ),
    Route::post(
        "/session",
        Access::Anyone,
        "Signs a browser in: username and password, as JSON or a form. Needs the header X-Warren-Session, as does \
         every request with the cookie that changes something.",
        |call| Box::pin(sign_in(call)),
    ),
    Route::delete("/session", Access::Anyone, "Signs the browser out.", |call| {
        Box::pin(sign_out(call))
    }),
    Route::new(
        Verb::Get,
        "/sessions",
        Access::Administrator,
        "Browsers that are signed in, at whichever node.",
        Run::Later(|call| {
            Box::pin(async move {
                let own = call.browser.token.as_deref().map(TokenDigest::of);
                let names = call.broker.declarations().node_names();
                let open = call.broker.membership().sessions().await;
                let views = open.iter().map(|(token, session)| {
                    let node = names.get(&session.node);
                    line((*token, session), node, own == Some(*token))
                });
                super::list::listing(&call, views.collect(), &["since"])
            })
        }),
    ),
    Route::delete(
        "/sessions/{id}",
        Access::Administrator,
        "Signs a browser out.",
        |call| {
            Box::pin(async move {
                let number = call.name("id").parse().map_err(|_| Failure::NotFound)?;
                match call
                    .broker
                    .membership()
                    .close_session_numbered(number, longest(&call))
                    .await
                {
                    true => Ok(Answer::Done),
                    false => Err(Failure::NotFound),
                }
            })
        },
    ),
];

async fn sign_in(call: Call) -> Answered {
    if !call.browser.is_console {
        return Err(Failure::Forbidden("the header X-Warren-Session is missing"));
    }
    let is_json = call.content_type.as_deref().is_some_and(|kind| kind.contains("json"));
    let (user, password) = match is_json {
        true => {
            let fields = call.fields()?;
            let user = fields.some_text("username")?.to_owned();
            (user, fields.some_text("password")?.to_owned())
        }
        false => form(&call)
            .await
            .ok_or_else(|| Failure::keys_missing(&["username", "password"]))?,
    };
    let caller = signed_in(&call, &user, &password).await?;
    let cookie = open(&call, &caller).await?;
    let value = view(&caller, &call.broker.catalogue());
    Ok(Answer::Cookie {
        cookie,
        value: Some(value),
    })
}

/// The user and the password of a form.
pub async fn form(call: &Call) -> Option<(String, String)> {
    let form = Query::of_form(call.body.clone()).await;
    let text = |name| form.get(name).map(str::to_owned);
    text("username").zip(text("password"))
}

/// Who that is, if the password is theirs and they may use the API.
///
/// # Errors
/// As for any request.
pub async fn signed_in(call: &Call, user: &str, password: &str) -> Result<Caller, Failure> {
    let credentials = Credentials::Given {
        user: user.to_owned(),
        password: password.as_bytes().to_vec(),
    };
    let caller = access::authenticate(&call.broker, credentials, call.from).await?;
    access::check(Access::Management, &caller, None, &call.broker.catalogue())?;
    Ok(caller)
}

/// Opens a session and gives its cookie.
///
/// # Errors
/// When the user is gone in the meantime.
pub async fn open(call: &Call, caller: &Caller) -> Result<String, Failure> {
    let broker = &call.broker;
    let lifetime_s = lifetime_s(call);
    let password = broker
        .catalogue()
        .user(&caller.name)
        .map(|user| user.spec.password.clone());
    let granted = caller.rights.granted().map(|granted| Box::new(granted.grant()));
    let token = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>());
    let now = broker.now();
    let session = LoginSession {
        user: caller.name.clone(),
        password: match &granted {
            Some(_) => PasswordHash::default(),
            None => password.ok_or(Failure::WrongPassword)?,
        },
        granted,
        from: call.from,
        node: broker.nodes().us(),
        since: now,
        last_used: now,
        expires_at: now + Millis(1000 * lifetime_s),
    };
    broker.membership().open_session(&token, session).await;
    Ok(cookie(call, &token, lifetime_s))
}

/// Seconds that a session goes on.
fn lifetime_s(call: &Call) -> u64 {
    60 * u64::from(call.broker.config().management.login_session_timeout_min)
}

/// Until when one that is open now goes on at most.
fn longest(call: &Call) -> Timestamp {
    call.broker.now() + Millis(1000 * lifetime_s(call))
}

async fn sign_out(call: Call) -> Answered {
    if !call.browser.is_console {
        return Err(Failure::Forbidden("the header X-Warren-Session is missing"));
    }
    if let Some(token) = &call.browser.token {
        call.broker.membership().close_session(token, longest(&call)).await;
    }
    Ok(Answer::Cookie {
        cookie: cookie(&call, "", 0),
        value: None,
    })
}

fn cookie(call: &Call, token: &str, lifetime_s: u64) -> String {
    let prefix = &call.broker.config().management.path_prefix;
    let secure = if call.browser.is_secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={token}; Path={prefix}/; Max-Age={lifetime_s}; HttpOnly; SameSite=Strict{secure}")
}

/// What a page needs to know of its user: the vhosts it shows, each with what the user may do there; nothing
/// where an administrator has no permission.
fn view(caller: &Caller, catalogue: &Catalogue) -> Value {
    let visible = catalogue.vhosts().filter(|vhost| caller.sees(vhost));
    let vhosts = visible.map(|vhost| {
        let patterns = vhost.permissions.get(&caller.name).map(|(patterns, _)| patterns);
        json!({
            "name": vhost.name(),
            "configure": patterns.map(|patterns| &patterns.configure),
            "write": patterns.map(|patterns| &patterns.write),
            "read": patterns.map(|patterns| &patterns.read),
        })
    });
    json!({
        "user": caller.name,
        "tags": caller.tags,
        "vhosts": vhosts.collect::<Value>(),
    })
}

fn line((token, session): (TokenDigest, &LoginSession), node: Option<&String>, is_own: bool) -> Value {
    json!({
        "id": token.number(),
        "user": session.user,
        "from": session.from.to_canonical().to_string(),
        "since": session.since,
        "last_used": session.last_used,
        "expires_at": session.expires_at,
        "node": node,
        "is_own": is_own,
    })
}
