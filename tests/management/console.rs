//! The console's files: where they are served, and with which headers.

use crate::header;
use crate::support::Broker;

#[test]
fn the_page_is_served_at_the_root_and_kept_by_nobody() {
    let broker = Broker::start();
    for path in ["/", "/index.html"] {
        let page = broker.http().get(path);
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(header(&page, "cache-control"), Some("no-store"));
        assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
        let policy = header(&page, "content-security-policy").expect("a policy");
        assert!(
            policy.contains("default-src 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert!(page.body.contains("<title>Warren</title>"), "{}", page.body);
    }
    broker.http().get("/assets/no-such-file.js").expect_status(404);
    broker.http().post("/", "").expect_status(405);
}

#[test]
fn the_page_lies_below_the_prefix_and_other_ways_lead_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let lines = "management.path_prefix = /rabbit\nmanagement.csp.policy = default-src 'self'\n";
    std::fs::write(&config, lines).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let page = broker.http().get("/rabbit/");
    assert_eq!(page.status, 200);
    assert_eq!(header(&page, "content-security-policy"), Some("default-src 'self'"));
    for path in ["/rabbit", "/"] {
        let moved = broker.http().get(path);
        assert_eq!(header(moved.expect_status(301), "location"), Some("/rabbit/"));
    }
}
