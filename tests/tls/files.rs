//! What is wrong in the configuration or in files is said at the start.

use std::process::Command;

use super::configuration;
use crate::support::authority::{Authority, Papers};

/// What a broker says that is to start with these files and lines, and does not.
pub fn refusal(papers: &Papers, lines: &[&str]) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let config = configuration(papers, lines, directory.path());
    let data = directory.path().join("data");
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args([
            "server",
            "--config",
            &config,
            "--amqp",
            "127.0.0.1:0",
            "--amqps",
            "127.0.0.1:0",
        ])
        .args(["--management", "none", "--prometheus", "none", "--cluster", "none"])
        .args(["--stream", "none"])
        .arg("--data-dir")
        .arg(&data)
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_cannot_be_used_is_refused_with_its_key_and_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("ours");
    let issue = |name: &str| authority.issue_for(name, &["localhost"], directory.path());
    let (good, other) = (issue("good"), issue("other"));
    let with = |change: fn(&mut Papers, &Papers)| {
        let mut papers = issue("changed");
        change(&mut papers, &other);
        papers
    };
    let text = refusal(&with(|papers, other| papers.keyfile.clone_from(&other.keyfile)), &[]);
    assert!(
        text.starts_with("ssl_options.keyfile: the key in ") && text.contains("other-key.pem does not belong to"),
        "{text}"
    );
    let text = refusal(&with(|papers, _| papers.certfile = "/nowhere.pem".into()), &[]);
    assert!(
        text.starts_with("cannot read ssl_options.certfile from /nowhere.pem"),
        "{text}"
    );
    let text = refusal(
        &with(|papers, _| papers.cacertfile.clone_from(&papers.keyfile)),
        &["ssl_options.verify = verify_peer"],
    );
    assert!(
        text.starts_with("ssl_options.cacertfile: there is no certificate in "),
        "{text}"
    );
    let text = refusal(&good, &["ssl_options.fail_if_no_peer_cert = true"]);
    assert!(text.contains("asks for ssl_options.verify = verify_peer"), "{text}");
    let text = refusal(&good, &["ssl_options.ciphers.1 = ECDHE-RSA-AES257"]);
    assert!(
        text.contains("tls.conf:4: 'ECDHE-RSA-AES257' is not a value for ssl_options.ciphers.1: expected a cipher"),
        "{text}"
    );
    let text = refusal(&good, &["ssl_options.ciphers.1 = AES256-SHA"]);
    assert!(text.contains("ssl_options.ciphers: none of them is spoken"), "{text}");
    let text = refusal(
        &good,
        &[
            "ssl_options.versions.1 = tlsv1.3",
            "ssl_options.ciphers.1 = ECDHE-RSA-AES128-GCM-SHA256",
        ],
    );
    assert!(text.contains("ssl_options.ciphers: none of them is spoken"), "{text}");
}
