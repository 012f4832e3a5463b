//! Paths as the router takes them: with one spelling for each.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::uri::PathAndQuery;
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Gives a request the one spelling of its path, before it is routed.
pub async fn respelled(mut request: Request, next: Next) -> Response {
    let Some(path) = spelling(request.uri().path()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if path != request.uri().path() {
        let target = match request.uri().query() {
            Some(query) => format!("{path}?{query}"),
            None => path.into_owned(),
        };
        let Ok(target) = PathAndQuery::try_from(target) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        *request.uri_mut() = Uri::from(target);
    }
    next.run(request).await
}

/// A path in which letters, digits and `-._~` are not escaped (RFC 3986, 6.2.2.2), and without the
/// slash at its end: `/users/` is `/users`. `None` when an escape is none.
pub fn spelling(path: &str) -> Option<Cow<'_, str>> {
    let path = match path.strip_suffix('/') {
        None | Some("") => path,
        Some(rest) => rest,
    };
    let Some((first, rest)) = path.split_once('%') else {
        return Some(Cow::Borrowed(path));
    };
    let mut out = first.to_owned();
    for part in rest.split('%') {
        let (digits, rest) = part.split_at_checked(2)?;
        match u8::from_str_radix(digits, 16)
            .ok()
            .filter(|_| !digits.starts_with('+'))?
        {
            plain @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~') => out.push(plain.into()),
            _ => out.extend(["%", digits]),
        }
        out.push_str(rest);
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_spelling() {
        for (path, spelled) in [
            ("/users/", "/users"),
            ("/exchanges/v//", "/exchanges/v/"),
            ("/", "/"),
            ("/%71ueues/%2f/a%2Db%20", "/queues/%2f/a-b%20"),
            ("/a%252F", "/a%252F"),
        ] {
            assert_eq!(spelling(path).as_deref(), Some(spelled));
        }
    }

    #[test]
    fn bad_escapes_are_no_path() {
        for path in ["/a%", "/a%2", "/a%zz", "/a%+1", "/a%%41", "/a%2%41"] {
            assert_eq!(spelling(path), None, "{path}");
        }
    }
}
