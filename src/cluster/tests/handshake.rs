//! The handshake: who is believed, who is not, and that nothing that comes makes it panic.

use bytes::BytesMut;
use proptest::prelude::*;

use crate::cluster::handshake::{Cause, Handshake, HandshakeError, Peer, Progress};
use crate::cluster::hello::{Class, Introduction, Malformed, Span, Versions};
use crate::cluster::identity::{ClusterId, Incarnation};
use crate::cluster::secret::SharedSecret;
use crate::types::NodeId;

fn node(id: u64, name: &str) -> Introduction {
    Introduction {
        id: NodeId(id),
        incarnation: Incarnation(id * 10),
        cluster: None,
        name: name.to_owned(),
        address: format!("{name}:25672"),
        versions: Versions {
            entries: Span { oldest: 1, newest: 3 },
            ..Versions::all(Span::only(1))
        },
    }
}

/// Both sides of one handshake, and all that went over the wire.
struct Pair {
    dialler: Handshake,
    listener: Handshake,
    /// What the dialler has sent, and the listener.
    sent: (Vec<u8>, Vec<u8>),
    results: (Option<Outcome>, Option<Outcome>),
}

type Outcome = Result<Peer, HandshakeError>;

impl Pair {
    fn of(a: (Introduction, &str), b: (Introduction, &str)) -> Self {
        let mut sent = Vec::new();
        let dialler = Handshake::dial(a.0, (Class::Data, 9), a.1.into(), [1; 32], &mut sent);
        let listener = Handshake::listen(b.0, b.1.into(), [2; 32]);
        Self {
            dialler,
            listener,
            sent: (sent, Vec::new()),
            results: (None, None),
        }
    }

    /// Carries bytes in pieces of `piece` until nothing moves any more.
    fn run(mut self, piece: usize) -> Self {
        let (mut there, mut back) = (0, 0);
        let (mut to_listener, mut to_dialler) = (BytesMut::new(), BytesMut::new());
        loop {
            let mut moved = false;
            if there < self.sent.0.len() && self.results.1.is_none() {
                let end = self.sent.0.len().min(there + piece);
                to_listener.extend_from_slice(&self.sent.0[there..end]);
                there = end;
                moved = true;
                match self.listener.on_bytes(&mut to_listener, &mut self.sent.1) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Verified(peer)) => {
                        self.listener.accept(&mut self.sent.1);
                        self.results.1 = Some(Ok(peer));
                    }
                    Ok(Progress::Done(_)) => panic!("a listener is never done by itself"),
                    Err(error) => self.results.1 = Some(Err(error)),
                }
            }
            if back < self.sent.1.len() && self.results.0.is_none() {
                let end = self.sent.1.len().min(back + piece);
                to_dialler.extend_from_slice(&self.sent.1[back..end]);
                back = end;
                moved = true;
                match self.dialler.on_bytes(&mut to_dialler, &mut self.sent.0) {
                    Ok(Progress::More) => {}
                    Ok(Progress::Done(peer)) => self.results.0 = Some(Ok(peer)),
                    Ok(Progress::Verified(_)) => panic!("a dialler has nothing to decide"),
                    Err(error) => self.results.0 = Some(Err(error)),
                }
            }
            if !moved {
                return self;
            }
        }
    }
}

fn both(a: (Introduction, &str), b: (Introduction, &str)) -> (Outcome, Outcome) {
    let (dialler, listener) = Pair::of(a, b).run(usize::MAX >> 1).results;
    (dialler.expect("the dialler ends"), listener.expect("the listener ends"))
}

#[test]
fn who_knows_the_secret_is_believed() {
    let (a, b) = (node(1, "rabbit@a"), node(2, "rabbit@b"));
    let (dialler, listener) = both((a.clone(), "secret"), (b.clone(), "secret"));
    assert_eq!(dialler.expect("believed").who, b);
    assert_eq!(
        listener.expect("believed"),
        Peer {
            who: a,
            class: Class::Data,
            attempt: 9
        }
    );
}

#[test]
fn pieces_of_any_size_make_no_difference() {
    for piece in 1..200 {
        let pair = Pair::of((node(1, "a"), "s"), (node(2, "b"), "s")).run(piece);
        assert!(matches!(pair.results, (Some(Ok(_)), Some(Ok(_)))), "{piece}");
    }
}

#[test]
fn a_wrong_secret_is_told_on_both_sides_with_names() {
    let (dialler, listener) = both((node(1, "rabbit@a"), "right"), (node(2, "rabbit@b"), "wrong"));
    let listener = listener.expect_err("not believed").to_string();
    assert!(
        listener.starts_with("rabbit@a (0000000000000001) does not know the secret of this node"),
        "{listener}"
    );
    let dialler = dialler.expect_err("refused");
    assert!(matches!(
        dialler,
        HandshakeError::Refused {
            cause: Cause::Secret,
            ..
        }
    ));
    let dialler = dialler.to_string();
    assert_eq!(
        dialler,
        "rabbit@b refuses this node: rabbit@a does not know the secret of rabbit@b"
    );
}

#[test]
fn a_listener_that_only_pretends_is_found_out() {
    // It says what the real one would, but cannot prove anything.
    let mut pair = Pair::of((node(1, "a"), "secret"), (node(2, "b"), "guess"));
    let mut input = BytesMut::from(&pair.sent.0[..]);
    pair.listener.on_bytes(&mut input, &mut pair.sent.1).expect("a hello");
    let mut input = BytesMut::from(&pair.sent.1[..]);
    pair.dialler.on_bytes(&mut input, &mut pair.sent.0).expect("a hello");
    let mut forged = Vec::new();
    crate::cluster::hello::write(crate::cluster::hello::Type::Proof, &[7; 32], &mut forged);
    let before = pair.sent.0.len();
    let error = pair
        .dialler
        .on_bytes(&mut BytesMut::from(&forged[..]), &mut pair.sent.0);
    assert!(matches!(error, Err(HandshakeError::WrongSecret { who }) if who.name == "b"));
    assert!(pair.sent.0.len() > before, "the listener is told");
}

#[test]
fn a_replayed_handshake_is_refused() {
    let recorded = Pair::of((node(1, "a"), "s"), (node(2, "b"), "s")).run(1000).sent.0;
    // The same listener in its next handshake has another nonce.
    let mut listener = Handshake::listen(node(2, "b"), "s".into(), [3; 32]);
    let result = listener.on_bytes(&mut BytesMut::from(&recorded[..]), &mut Vec::new());
    assert!(matches!(result, Err(HandshakeError::WrongSecret { .. })));
}

#[test]
fn what_a_node_sent_itself_is_refused() {
    // A dialler gets its own hello back.
    let mut hello = Vec::new();
    let mut dialler = Handshake::dial(node(1, "a"), (Class::Data, 9), "s".into(), [1; 32], &mut hello);
    let result = dialler.on_bytes(&mut BytesMut::from(&hello[..]), &mut Vec::new());
    assert_eq!(result.expect_err("refused"), HandshakeError::Reflected);
    // A listener gets another listener's hello.
    let sent = Pair::of((node(1, "a"), "s"), (node(2, "b"), "s")).run(1000).sent.1;
    let mut listener = Handshake::listen(node(1, "a"), "s".into(), [4; 32]);
    let result = listener.on_bytes(&mut BytesMut::from(&sent[..]), &mut Vec::new());
    assert_eq!(result.expect_err("refused"), HandshakeError::Reflected);
}

#[test]
fn a_proof_sent_back_proves_nothing() {
    let mut pair = Pair::of((node(1, "a"), "s"), (node(2, "b"), "s"));
    pair.listener
        .on_bytes(&mut BytesMut::from(&pair.sent.0[..]), &mut pair.sent.1)
        .expect("hello");
    let mut proof = Vec::new();
    pair.dialler
        .on_bytes(&mut BytesMut::from(&pair.sent.1[..]), &mut proof)
        .expect("hello");
    let result = pair.dialler.on_bytes(&mut BytesMut::from(&proof[..]), &mut Vec::new());
    assert!(matches!(result, Err(HandshakeError::WrongSecret { .. })));
}

#[test]
fn versions_that_do_not_meet_are_refused_and_the_older_side_is_named() {
    let (old, mut new) = (node(1, "rabbit@old"), node(2, "rabbit@new"));
    new.versions.entries = Span { oldest: 4, newest: 6 };
    let text = "rabbit@old is too old for rabbit@new: of log entries, rabbit@new knows versions 4 to 6 \
                and rabbit@old knows versions 1 to 3";
    let (dialler, listener) = both((old.clone(), "s"), (new.clone(), "s"));
    assert_eq!(listener.expect_err("refused").to_string(), text);
    assert_eq!(
        dialler.expect_err("refused").to_string(),
        format!("the peer refuses this node: {text}")
    );
    let (_, listener) = both((new, "s"), (old, "s"));
    let listener = listener.expect_err("refused").to_string();
    assert!(
        listener.starts_with("rabbit@old is too old for rabbit@new"),
        "{listener}"
    );
}

#[test]
fn each_format_must_be_known_to_both() {
    let change: [fn(&mut Versions) -> &mut Span; 8] = [
        |versions| &mut versions.link,
        |versions| &mut versions.entries,
        |versions| &mut versions.snapshots,
        |versions| &mut versions.catalogue,
        |versions| &mut versions.queues,
        |versions| &mut versions.records,
        |versions| &mut versions.raft,
        |versions| &mut versions.requests,
    ];
    for (change, (what, _)) in change.into_iter().zip(Versions::all(Span::only(1)).named()) {
        let (old, mut new) = (node(1, "rabbit@old"), node(2, "rabbit@new"));
        *change(&mut new.versions) = Span::only(9);
        let (dialler, listener) = both((old, "s"), (new, "s"));
        let text = format!("rabbit@old is too old for rabbit@new: of {what}, rabbit@new knows version 9");
        let refused = listener.expect_err("refused").to_string();
        assert!(refused.starts_with(&text), "{refused}");
        assert!(dialler.is_err());
    }
}

#[test]
fn a_node_that_does_not_tell_of_the_later_formats_is_too_old() {
    let mut pair = Pair::of((node(1, "rabbit@old"), "s"), (node(2, "rabbit@new"), "s"));
    // The hello ends before them, as that of an older version does.
    let hello = &mut pair.sent.0;
    hello.truncate(hello.len() - 16);
    let length = u16::from_be_bytes([hello[5], hello[6]]) - 16;
    hello[5..7].copy_from_slice(&length.to_be_bytes());
    let mut input = BytesMut::from(&hello[..]);
    let refused = pair.listener.on_bytes(&mut input, &mut pair.sent.1);
    assert_eq!(
        refused.expect_err("refused").to_string(),
        "rabbit@old is too old for rabbit@new: of frames about queues, rabbit@new knows version 1 \
         and rabbit@old knows none"
    );
}

#[test]
fn versions_that_meet_in_one_are_enough() {
    let (a, mut b) = (node(1, "a"), node(2, "b"));
    b.versions.entries = Span { oldest: 3, newest: 9 };
    let (dialler, listener) = both((a, "s"), (b, "s"));
    assert!(dialler.is_ok() && listener.is_ok());
}

#[test]
fn nodes_of_two_clusters_do_not_mix() {
    let (mut a, mut b) = (node(1, "rabbit@a"), node(2, "rabbit@b"));
    a.cluster = Some(ClusterId(1));
    let (dialler, _) = both((a.clone(), "s"), (b.clone(), "s"));
    assert!(dialler.is_ok(), "a node of none may come");
    b.cluster = Some(ClusterId(2));
    let (dialler, listener) = both((a, "s"), (b, "s"));
    assert!(matches!(listener, Err(HandshakeError::OtherCluster(_))));
    assert!(matches!(
        dialler,
        Err(HandshakeError::Refused {
            cause: Cause::Cluster,
            ..
        })
    ));
}

#[test]
fn other_protocols_are_known_by_their_first_byte() {
    let mut listener = Handshake::listen(node(1, "a"), "s".into(), [1; 32]);
    let result = listener.on_bytes(&mut BytesMut::from(&b"G"[..]), &mut Vec::new());
    assert_eq!(result.expect_err("refused"), Malformed::NotOurs.into());
}

#[test]
fn who_begins_with_tls_is_told_in_plain_text() {
    let (mut listener, mut out) = (Handshake::listen(node(1, "a"), "s".into(), [1; 32]), Vec::new());
    let result = listener.on_bytes(&mut BytesMut::from(&b"\x16\x03\x01"[..]), &mut out);
    assert_eq!(result.expect_err("refused"), Malformed::Tls.into());
    assert!(out.ends_with(b"a speaks plain text"), "{out:?}");
}

#[test]
fn who_begins_in_plain_text_where_tls_is_required_is_named_and_told() {
    let mut pair = Pair::of((node(1, "rabbit@a"), "s"), (node(2, "rabbit@b"), "s"));
    pair.listener = Handshake::turn_away(node(2, "rabbit@b"), "s".into());
    let (dialler, listener) = pair.run(7).results;
    let listener = listener.expect("it ends").expect_err("refused").to_string();
    assert!(
        listener.starts_with("rabbit@a (0000000000000001) speaks plain text and this node requires TLS"),
        "{listener}"
    );
    let dialler = dialler.expect("it ends").expect_err("refused");
    assert!(matches!(dialler, HandshakeError::Refused { cause: Cause::Tls, .. }));
    assert!(
        dialler
            .to_string()
            .ends_with("rabbit@b requires TLS between nodes and rabbit@a speaks plain text")
    );
}

#[test]
fn a_claimed_length_is_checked_before_it_is_waited_for() {
    let mut listener = Handshake::listen(node(1, "a"), "s".into(), [1; 32]);
    let result = listener.on_bytes(&mut BytesMut::from(&b"WRNL\x01\xff\xff"[..]), &mut Vec::new());
    assert_eq!(result.expect_err("refused"), Malformed::TooLarge.into());
}

#[test]
fn names_of_any_length_are_sent_and_cut() {
    let mut long = node(1, &"ä".repeat(4000));
    long.address = "x".repeat(5000);
    let (dialler, listener) = both((long, "s"), (node(2, "b"), "s"));
    assert!(dialler.is_ok());
    assert_eq!(listener.expect("believed").who.name.len(), 512);
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 1usize..50) {
        let secret = SharedSecret::from("s");
        let mut listener = Handshake::listen(node(1, "a"), secret.clone(), [1; 32]);
        let mut dialler = Handshake::dial(node(1, "a"), (Class::Bulk, 9), secret, [1; 32], &mut Vec::new());
        for side in [&mut listener, &mut dialler] {
            let mut input = BytesMut::new();
            for piece in bytes.chunks(cut) {
                input.extend_from_slice(piece);
                match side.on_bytes(&mut input, &mut Vec::new()) {
                    Ok(Progress::More) => prop_assert!(input.len() < 2100),
                    Ok(_) => prop_assert!(false, "chance was believed"),
                    Err(_) => break,
                }
            }
        }
    }

    /// One byte changed anywhere on the way: nobody is believed by both, and nobody panics.
    #[test]
    fn a_changed_byte_is_noticed(at in 0usize..2000, with in 1u8..) {
        let mut pair = Pair::of((node(1, "a"), "s"), (node(2, "b"), "s"));
        let at = at % pair.sent.0.len();
        pair.sent.0[at] ^= with;
        let results = pair.run(1000).results;
        prop_assert!(!matches!(results, (Some(Ok(_)), Some(Ok(_)))), "byte {at}");
    }
}
