//! The routes of the HTTP API, from the document that the broker makes of its own table.

use std::fmt;

use crate::support::Http;

/// What can be asked: a method, and a path below `/api` with names in braces.
pub struct Route {
    method: String,
    /// Below `/api`.
    pub path: String,
}

impl Route {
    /// Whether a request is one of this route. A word of the path goes before a name in another route.
    pub fn takes(&self, method: &str, path: &str) -> bool {
        let path = path.split('?').next().unwrap_or_default();
        let (own, asked) = (self.path.split('/'), path.split('/'));
        self.method == method
            && own.clone().count() == asked.clone().count()
            && own.zip(asked).all(|(own, asked)| own.starts_with('{') || own == asked)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// All of them.
pub fn routes(http: &Http) -> Vec<Route> {
    let document = http.get("/api/openapi.json").expect_status(200).json();
    let paths = document["paths"].as_object().expect("paths");
    let methods = ["get", "put", "post", "delete"];
    let routes: Vec<_> = paths
        .iter()
        .flat_map(|(path, of_path)| {
            let there = methods.into_iter().filter(|method| of_path.get(method).is_some());
            there.map(|method| Route {
                method: method.to_uppercase(),
                path: path.clone(),
            })
        })
        .collect();
    assert!(routes.len() > 200, "{}", routes.len());
    routes
}
