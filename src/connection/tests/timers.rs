//! Deadlines and heartbeats.

use super::*;
use crate::heartbeat::Tick;
use crate::types::ReplyCode;

fn ticks(session: &mut Session, at: u64) -> Tick<Ending> {
    session.connection.on_tick(Timestamp(at), &mut session.out)
}

#[test]
fn one_deadline_holds_for_the_whole_handshake() {
    let frames = [
        HEADER.to_vec(),
        start_ok("PLAIN", b"\0guest\0guest", true),
        tune_ok(2047, FRAME_MAX, 0),
    ];
    for count in 0..=frames.len() {
        let mut session = Session::new();
        for (at, frame) in (0..).zip(&frames[..count]) {
            session.now = Timestamp(3_000 * at);
            session.feed(frame);
        }
        assert_eq!(session.connection.next_deadline(), Some(Timestamp(10_000)));
        assert_eq!(ticks(&mut session, 9_999), Tick::Nothing);
        assert_eq!(ticks(&mut session, 10_000), Tick::End(Ending::HandshakeTimeout));
        session.feed(b"more");
        assert_eq!(session.seen.last(), Some(&Seen::End(Ending::HandshakeTimeout)));
        assert_eq!(session.connection.next_deadline(), None);
    }
    assert_eq!(Session::opened().connection.next_deadline(), None);
}

#[test]
fn heartbeats_go_both_ways() {
    let mut session = Session::tuned(2047, FRAME_MAX, 2);
    assert_eq!(session.connection.next_deadline(), Some(Timestamp(1_000)));
    assert_eq!(ticks(&mut session, 1_000), Tick::Heartbeat);
    assert_eq!(session.written(), [(0, "heartbeat".into())]);
    session.connection.on_sent(Timestamp(1_900));
    assert_eq!(ticks(&mut session, 2_000), Tick::Nothing);
    session.connection.on_heard(Timestamp(5_000));
    assert_eq!(ticks(&mut session, 10_999), Tick::Heartbeat);
    assert_eq!(ticks(&mut session, 11_000), Tick::End(Ending::Silent));
    assert!(session.connection.is_ended());
    session.feed(&frame::HEARTBEAT);
    assert_eq!(session.seen, [Seen::End(Ending::Silent)]);
}

#[test]
fn a_client_that_is_not_read_is_not_gone() {
    let mut session = Session::tuned(2047, FRAME_MAX, 2);
    session.connection.pause(true, Timestamp(1_000));
    assert_eq!(ticks(&mut session, 100_000), Tick::Heartbeat);
    session.connection.pause(false, Timestamp(100_000));
    session.connection.on_sent(Timestamp(105_999));
    assert_eq!(ticks(&mut session, 105_999), Tick::Nothing);
    assert_eq!(ticks(&mut session, 106_000), Tick::End(Ending::Silent));
}

#[test]
fn a_close_is_not_awaited_for_ever() {
    let reply = Reply::connection(ReplyCode::ConnectionForced, "");
    for (heartbeat, wait) in [(0, 30_000), (60, 30_000), (5, 5_000)] {
        let mut session = Session::tuned(2047, FRAME_MAX, heartbeat);
        session
            .connection
            .close(Timestamp(500), (0, 0), &reply, &mut session.out);
        session
            .connection
            .close(Timestamp(700), (0, 0), &reply, &mut session.out);
        assert_eq!(session.connection.next_deadline(), Some(Timestamp(500 + wait)));
        assert_eq!(ticks(&mut session, 499 + wait), Tick::Nothing);
        assert_eq!(ticks(&mut session, 500 + wait), Tick::End(Ending::NoCloseOk));
    }
}

#[test]
fn the_wait_for_a_close_begins_when_it_is_written() {
    let mut session = Session::tuned(2047, FRAME_MAX, 1);
    let second = open_channel(1);
    let step = session.connection.step(Timestamp(0), &second, &mut session.out);
    let Step::Refused { ids, reply, .. } = step else {
        panic!("{step:?}")
    };
    session.connection.close(Timestamp(800), ids, &reply, &mut session.out);
    assert_eq!(session.connection.next_deadline(), Some(Timestamp(1_800)));
}

#[test]
fn a_close_in_the_handshake_keeps_to_its_deadline() {
    let mut session = Session::new();
    session.feed(HEADER);
    session.now = Timestamp(4_000);
    session.feed(&start_ok("PLAIN", b"\0guest\0wrong", true));
    assert_eq!(session.connection.next_deadline(), Some(Timestamp(10_000)));
}
