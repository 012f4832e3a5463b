//! What stands behind the question mark of a URL, and forms that are written in the same way.

use axum::RequestExt;
use axum::body::Body;
use axum::extract::{Form, Query as Decoded, Request};
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Uri};

/// Values by their names, decoded; what is malformed stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a URL.
    pub fn of(url: &Uri) -> Self {
        // Texts are taken whatever they hold.
        Self(Decoded::try_from_uri(url).map_or_else(|_| Vec::new(), |Decoded(pairs)| pairs))
    }

    /// A form, whatever its request says that it is.
    pub async fn of_form(body: impl Into<Body>) -> Self {
        let mut request = Request::new(body.into());
        *request.method_mut() = Method::POST;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, kind);
        let read = request.extract::<Form<_>, _>().await;
        Self(read.map_or_else(|_| Vec::new(), |Form(pairs)| pairs))
    }

    /// The first value of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub fn all(&self, name: &str) -> Vec<String> {
        let named = self.0.iter().filter(|(own, _)| own == name);
        named.map(|(_, value)| value.clone()).collect()
    }

    /// Whether it is there and true.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_query_and_a_form_are_decoded() {
        const TEXT: &str = "page=1&name=%5Eord+x&pagination&bad=%zz";
        let url = format!("/api/queues?{TEXT}").parse().expect("a URL");
        for query in [Query::of(&url), Query::of_form(TEXT).await] {
            assert_eq!(query.get("page"), Some("1"));
            assert_eq!(query.get("name"), Some("^ord x"));
            assert_eq!(query.get("pagination"), Some(""));
            assert_eq!(query.get("bad"), Some("%zz"));
            assert_eq!(query.get("other"), None);
        }
        assert_eq!(Query::of(&"/api/queues".parse().expect("a URL")).get(""), None);
    }
}
