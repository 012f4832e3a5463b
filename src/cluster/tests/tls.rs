//! TLS between nodes: who is let in, and that both sides say whose fault it is when somebody is not.

use std::path::PathBuf;

use bytes::Bytes;

use super::authority::{Authority, Papers};
use super::proxy::Proxy;
use super::support::*;
use crate::cluster::Health;
use crate::cluster::tls::{Tls, TlsError};
use crate::config::LinkTls;

impl Papers {
    fn config(&self) -> LinkTls {
        LinkTls {
            cacertfile: Some(self.cacertfile.clone()),
            certfile: Some(self.certfile.clone()),
            keyfile: Some(self.keyfile.clone()),
        }
    }
}

/// A node that is to run with a certificate of an authority.
async fn plan(name: &str, authority: &Authority) -> Plan {
    let mut plan = Plan::new(name).await;
    let papers = authority.issue(name, plan.directory.path());
    plan.settings.tls = Tls::of(&papers.config()).expect("good files");
    plan
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_one_authority_send_both_ways() {
    let authority = Authority::new("the cluster's");
    let (a, b) = (plan("a", &authority).await, plan("b", &authority).await);
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    agreed(&a, &b).await;
    for (from, to) in [(&a, &b), (&b, &a)] {
        from.echo(to).await;
        // Less than a record of TLS, and far more than it takes at once.
        for (service, bytes) in [(DATA, 1), (DATA, 20_000), (BULK, 5_000_000)] {
            let payload = Bytes::from_iter((0..bytes).map(|at| (at % 251) as u8));
            from.cluster.send(to.id, service, payload.clone()).await.expect("sent");
            assert!(to.recorder.take(1).await == [payload], "{bytes} bytes");
        }
    }
    b.cluster.stop().await;
    until(|| a.cluster.health(b.id) != Health::Up).await;
}

#[tokio::test]
async fn nothing_is_sent_in_plain_text() {
    let authority = Authority::new("the cluster's");
    let (mut a, mut b) = (plan("a", &authority).await, plan("b", &authority).await);
    let mut wires = Vec::new();
    for plan in [&mut a, &mut b] {
        let wire = Proxy::before(plan.listener.local_addr().expect("bound")).await;
        plan.settings.advertise = wire.address.to_string();
        wires.push(wire);
    }
    let to_b = wires[1].address.to_string();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    agreed(&a, &b).await;
    let message = Bytes::from_static(b"nobody on the way is to read this");
    a.cluster.send(b.id, DATA, message.clone()).await.expect("sent");
    assert!(b.recorder.take(1).await == [message.clone()]);
    assert!(wires[1].saw(b"\x16\x03"), "TLS begins there");
    for wire in wires {
        assert!(!wire.saw(b"WRNL") && !wire.saw(b"rabbit@") && !wire.saw(&message));
    }
}

#[tokio::test]
async fn a_node_that_dials_in_plain_text_is_told_and_named() {
    let (log, _guard) = Log::start();
    let authority = Authority::new("the cluster's");
    let (a, b) = (Plan::new("a").await, plan("b", &authority).await);
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("the peer refuses this node: rabbit@b requires TLS between nodes and rabbit@a speaks plain text"))
        .await;
    let listener = format!("rabbit@a ({}) speaks plain text and this node requires TLS", a.id);
    until(|| log.has(&listener)).await;
    assert_eq!(a.cluster.health(b.id), Health::Unknown);
}

#[tokio::test]
async fn a_node_that_dials_with_tls_is_told_that_the_other_speaks_plain_text() {
    let (log, _guard) = Log::start();
    let authority = Authority::new("the cluster's");
    let (a, b) = (plan("a", &authority).await, Plan::new("b").await);
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("the other side speaks plain text and this node requires TLS")).await;
    until(|| log.has("the other side speaks TLS and this node speaks plain text")).await;
    assert_eq!(a.cluster.health(b.id), Health::Unknown);
}

#[tokio::test]
async fn nodes_of_two_authorities_do_not_believe_each_other() {
    for other in ["another", "the cluster's"] {
        let (log, _guard) = Log::start();
        let (a, b) = (Authority::new("the cluster's"), Authority::new(other));
        let (a, b) = (plan("a", &a).await, plan("b", &b).await);
        let to_b = b.address();
        let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
        until(|| log.has("the certificate of the other side is of no authority in cluster.tls.cacertfile")).await;
        until(|| log.has("the other side refuses the certificate of this node, which is of no authority")).await;
        assert_eq!(a.cluster.health(b.id), Health::Unknown);
    }
}

#[tokio::test]
async fn a_dialler_whom_only_the_other_side_refuses_is_told() {
    let (log, _guard) = Log::start();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let (mut a, b) = (Plan::new("a").await, plan("b", &theirs).await);
    // It believes the other side, and is not believed.
    let mut papers = ours.issue("a", a.directory.path());
    papers.cacertfile = theirs.issue("x", a.directory.path()).cacertfile;
    a.settings.tls = Tls::of(&papers.config()).expect("good files");
    let to_b = b.address();
    let (a, b) = (a.seeds(&[&to_b]).start(), b.start());
    until(|| log.has("the other side refuses the certificate of this node, which is of no authority")).await;
    until(|| log.has("the certificate of the other side is of no authority in cluster.tls.cacertfile")).await;
    assert_eq!(a.cluster.health(b.id), Health::Unknown);
}

#[test]
fn what_is_configured_in_part_or_cannot_be_used_is_refused_with_the_reason() {
    assert!(Tls::of(&LinkTls::default()).expect("plain text").is_none());
    let directory = tempfile::tempdir().expect("temporary directory");
    let papers = Authority::new("the cluster's").issue("a", directory.path());
    let good = papers.config();
    assert!(Tls::of(&good).expect("good files").is_some());
    let refused = |change: fn(&mut LinkTls, PathBuf), path: &str| {
        let mut config = good.clone();
        change(&mut config, directory.path().join(path));
        Tls::of(&config).expect_err("not usable")
    };
    let error = refused(|config, _| config.keyfile = None, "");
    assert_eq!(
        error.to_string(),
        "cluster.tls.keyfile is not set: TLS between nodes needs cluster.tls.cacertfile, cluster.tls.certfile and \
         cluster.tls.keyfile"
    );
    let error = refused(|config, path| config.cacertfile = Some(path), "missing.pem");
    assert!(
        error
            .to_string()
            .starts_with("cannot read cluster.tls.cacertfile from ")
            && error.to_string().contains("missing.pem"),
        "{error}"
    );
    std::fs::write(directory.path().join("text.pem"), "nothing\n").expect("written");
    let error = refused(|config, path| config.certfile = Some(path), "text.pem");
    assert!(
        error
            .to_string()
            .starts_with("cluster.tls.certfile: there is no certificate in"),
        "{error}"
    );
    let error = refused(|config, path| config.keyfile = Some(path), "a-cert.pem");
    assert!(
        error
            .to_string()
            .starts_with("cluster.tls.keyfile: there is no private key in"),
        "{error}"
    );
    let error = refused(
        |config, path| {
            Authority::new("another").issue("b", path.parent().expect("a directory"));
            config.keyfile = Some(path);
        },
        "b-key.pem",
    );
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
}

#[test]
fn certificates_that_are_renewed_are_used_once_they_are_read_again() {
    let authority = Authority::new("the cluster's");
    let dir = tempfile::tempdir().expect("a directory");
    let papers = authority.issue_until("a", dir.path(), (2030, 2, 17));
    let tls = Tls::of(&papers.config()).expect("good files").expect("TLS");
    let end = || {
        let all = tls.certificates();
        let own = all.iter().find(|own| own.key == "cluster.tls.certfile");
        own.expect("the node's own").valid_until
    };
    assert_eq!(end(), 1_897_516_800);
    authority.issue_until("a", dir.path(), (2049, 2, 17));
    assert_eq!(end(), 1_897_516_800, "they are not read yet");
    tls.read_again().expect("good files");
    assert_eq!(end(), 2_497_132_800);
    std::fs::write(&papers.certfile, "rubbish").expect("it is ours");
    tls.read_again().expect_err("no certificate");
    assert_eq!(end(), 2_497_132_800, "what was read before is kept");
}
