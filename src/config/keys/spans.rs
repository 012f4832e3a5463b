//! Rows about spans.

use super::backends::client_tls;
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = vec![
        key("otlp.endpoint", value::url())
            .example("http://collector:4318")
            .help("The collector that hears of messages with a header traceparent, over OTLP with HTTP and JSON.")
            .sets(|c, url| c.otlp.endpoint = Some(url)),
        key("otlp.service_name", name())
            .default("warren")
            .help("The name of this service among others; nodes tell theirs besides.")
            .sets(|c, name| c.otlp.service_name = name),
        key("otlp.headers.$name", secret())
            .example("authorization = Bearer a-token")
            .help("A header of requests to the collector.")
            .sets_named(|c, name, value| {
                c.otlp.headers.insert(name.to_owned(), value);
            }),
    ];
    keys.extend(client_tls("otlp.ssl_options", false, |c, _| &mut c.otlp.tls));
    keys
}
