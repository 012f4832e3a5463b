//! What a request says of the browser it comes from.

use axum::http::header::{COOKIE, HeaderName};
use axum::http::request::Parts;

use super::socket::Origin;

/// The header that the console sends with every request, whatever its value.
pub const CONSOLE: HeaderName = HeaderName::from_static("x-warren-session");
/// The cookie's name.
pub const COOKIE_NAME: &str = "warren_session";

/// What a request says of the browser it comes from.
#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// The token of its cookie.
    pub token: Option<String>,
    /// It is a page of ours that asks.
    pub is_console: bool,
    /// It came over TLS, to us or to what stands before us.
    pub is_secure: bool,
}

impl Browser {
    /// Reads the headers.
    pub fn of(parts: &Parts, from: Origin) -> Self {
        let cookies = parts.headers.get_all(COOKIE).iter();
        let mut cookies = cookies
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='));
        let token = cookies.find(|(name, _)| *name == COOKIE_NAME);
        let proxied = parts.headers.get("x-forwarded-proto");
        Self {
            token: token.map(|(_, token)| token.to_owned()),
            is_console: parts.headers.contains_key(CONSOLE),
            is_secure: matches!(from, Origin::Tls(_))
                || proxied.is_some_and(|scheme| scheme.as_bytes().eq_ignore_ascii_case(b"https")),
        }
    }
}
