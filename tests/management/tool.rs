//! The script that operators fetch from a node.

use std::process::Command;

use crate::header;
use crate::support::Broker;

/// Runs the script against a broker; what it says, if it ends well.
fn admin(broker: &Broker, words: &[&str]) -> Result<String, String> {
    let address = broker.management.as_ref().expect("the HTTP API");
    let (host, port) = address.rsplit_once(':').expect("a port");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/management/tool/rabbitmqadmin");
    let output = Command::new("python3")
        .arg(script)
        .args(["-H", host, "-P", port, "-c", "/dev/null"])
        .args(words)
        .output()
        .expect("Python 3 runs");
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.success() {
        true => Ok(said(&output.stdout)),
        false => Err(said(&output.stderr)),
    }
}

#[test]
fn the_script_is_fetched_without_a_password() {
    let broker = Broker::start();
    let http = crate::support::Http::anonymous(broker.management.as_ref().expect("the HTTP API"));
    let script = http.get("/cli/rabbitmqadmin");
    assert!(script.expect_status(200).body.starts_with("#!/usr/bin/env python3\n"));
    assert_eq!(header(&script, "content-type"), Some("application/octet-stream"));
    let page = http.get("/cli/index.html");
    assert!(page.expect_status(200).body.contains("href=\"rabbitmqadmin\""));
    let policy = header(&page, "content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(header(&page, "x-frame-options"), Some("DENY"));
    assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"));
}

#[test]
fn the_script_does_what_scripts_know() {
    let broker = Broker::start();
    let ok = |words: &[&str]| admin(&broker, words).expect("done");
    assert_eq!(ok(&["declare", "vhost", "name=v"]), "vhost declared");
    let permission = [
        "declare",
        "permission",
        "vhost=v",
        "user=guest",
        "configure=.*",
        "write=.*",
        "read=.*",
    ];
    assert_eq!(ok(&permission), "permission declared");
    assert_eq!(
        ok(&["-V", "v", "declare", "queue", "name=a/b", "queue_type=quorum"]),
        "queue declared"
    );
    assert_eq!(
        ok(&["-V", "v", "-f", "tsv", "list", "queues", "name", "type"]),
        "name\ttype\na/b\tquorum"
    );
    let binding = [
        "-V",
        "v",
        "declare",
        "binding",
        "source=amq.topic",
        "destination=a/b",
        "routing_key=k.#",
    ];
    assert_eq!(ok(&binding), "binding declared");
    let publish = [
        "-V",
        "v",
        "publish",
        "exchange=amq.topic",
        "routing_key=k.1",
        "payload=hello",
    ];
    assert_eq!(ok(&publish), "Message published");
    assert!(ok(&["-V", "v", "get", "queue=a/b", "ackmode=ack_requeue_false"]).contains("hello"));
    assert_eq!(ok(&["-V", "v", "get", "queue=a/b"]), "No items");
    assert_eq!(
        ok(&[
            "-V",
            "v",
            "delete",
            "binding",
            "source=amq.topic",
            "destination=a/b",
            "properties_key=k.%23"
        ]),
        "binding deleted"
    );
    assert_eq!(ok(&["-V", "v", "delete", "queue", "name=a/b"]), "queue deleted");
    let gone = admin(&broker, &["-V", "v", "delete", "queue", "name=a/b"]);
    assert!(gone.expect_err("it is gone").contains("Not found"));
    assert!(
        admin(&broker, &["-p", "nope", "list", "users"])
            .expect_err("refused")
            .contains("refused")
    );
}
