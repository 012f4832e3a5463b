//! `rabbitmqadmin`: a script that operators fetch from the node it is for.

use axum::Router;
use axum::body::Body;
use axum::http::Response;
use axum::routing::get;

use super::answer::Answer;
use super::response::{self, By};

/// The script.
const SCRIPT: &str = include_str!("tool/rabbitmqadmin");

/// Where the script is, and the page that says so.
pub fn pages(prefix: &str) -> Router {
    Router::new()
        .without_v07_checks()
        .route(
            &format!("{prefix}/cli/index.html"),
            get(async || sent(Answer::Html(page()))),
        )
        .route(
            &format!("{prefix}/cli/rabbitmqadmin"),
            get(async || sent(Answer::Script(SCRIPT))),
        )
}

fn sent(answer: Answer) -> Response<Body> {
    response::of(Ok(answer), By::Table)
}

fn page() -> String {
    "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>rabbitmqadmin</title></head>\n<body>\n\
     <h1>rabbitmqadmin</h1>\n<p>A script for the command line of any machine that has Python 3: \
     <a href=\"rabbitmqadmin\" download>rabbitmqadmin</a>. Make it executable, and ask it for its <code>--help</code>.</p>\n\
     </body>\n</html>\n"
        .to_owned()
}
