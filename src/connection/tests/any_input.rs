//! Whatever bytes come, and however they are split.

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::codec::method::{BasicAck, BasicQos, ChannelFlow, ConnectionUpdateSecret};
use crate::connection::content::RESERVE_MOST;

/// What a client may do, sensible or not, on channels 0 to 4.
fn any_frames() -> impl Strategy<Value = Vec<u8>> {
    let channel = || prop_oneof![1 => Just(0u16), 30 => 1u16..5];
    prop_oneof![
        1 => channel().prop_map(open_channel),
        1 => channel().prop_map(close_channel),
        1 => channel().prop_map(|channel| on(channel, Method::ChannelCloseOk)),
        12 => (1u16..3, 0usize..300, prop_oneof![Just(64u32), Just(FRAME_MAX)])
            .prop_map(|(channel, size, frame_max)| publish(channel, &vec![7; size], frame_max)),
        8 => (1u16..3, 16_000usize..70_000, 16_392u32..40_000)
            .prop_map(|(channel, size, frame_max)| publish(channel, &vec![8; size], frame_max)),
        1 => (1u16..3).prop_map(|channel| publish(channel, &vec![9; 200_000], 200)),
        2 => (channel(), any::<u64>(), any::<bool>()).prop_map(|(channel, delivery_tag, multiple)| {
            on(channel, BasicAck { delivery_tag, multiple })
        }),
        2 => channel().prop_map(|channel| on(channel, BasicQos::default())),
        1 => channel().prop_map(|channel| on(channel, ChannelFlow { active: true })),
        1 => Just(on(0, ConnectionUpdateSecret::default())),
        2 => Just(frame::HEARTBEAT.to_vec()),
        1 => prop_oneof![Just(close()), Just(on(0, Method::ConnectionCloseOk))],
        1 => (any::<u8>(), channel(), proptest::collection::vec(any::<u8>(), 0..40))
            .prop_map(|(kind, channel, payload)| raw(kind, channel, &payload)),
    ]
}

/// One change of the bytes.
#[derive(Debug, Clone)]
enum Mutation {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, octet)| Mutation::Set(at, octet)),
        (any::<Index>(), proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, octets)| Mutation::Insert(at, octets)),
        (any::<Index>(), 1usize..8).prop_map(|(at, count)| Mutation::Remove(at, count)),
    ]
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Set(at, octet) => {
                let at = at.index(bytes.len());
                bytes[at] = *octet;
            }
            Self::Insert(at, octets) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, octets.iter().copied());
            }
            Self::Remove(at, count) => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
        }
    }
}

fn handshake() -> Vec<u8> {
    [
        HEADER.to_vec(),
        start_ok("PLAIN", b"\0guest\0guest", true),
        tune_ok(3, FRAME_MAX, 60),
        open("golden"),
        open_channel(1),
        open_channel(2),
    ]
    .concat()
}

/// Feeds the bytes in parts of these sizes, over and over, and holds what must always hold.
fn fed(bytes: &[u8], sizes: &[usize], is_direct: bool) -> Session {
    let mut session = Session::new();
    session.is_direct = is_direct;
    let mut rest = bytes;
    let mut arrived = 0;
    for size in sizes.iter().cycle() {
        let (part, later) = rest.split_at((*size).min(rest.len()));
        session.feed(part);
        arrived += part.len();
        let channels = session.connection.channel_count();
        assert!(channels <= usize::from(session.connection.channel_max()));
        let held = session.connection.channels.capacity();
        assert!(
            held <= 2 * arrived + channels * RESERVE_MOST,
            "{held} held of {arrived}"
        );
        rest = later;
        if rest.is_empty() {
            return session;
        }
    }
    session
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        proptest::collection::vec(1usize..50, 1..10),
        proptest::collection::vec(1usize..20_000, 1..20),
    ]
}

#[test]
fn a_session_fed_byte_by_byte_sees_the_same() {
    let bytes = [
        handshake(),
        publish(1, b"hello", FRAME_MAX),
        publish(2, &[3; 20_000], FRAME_MAX),
        publish(1, b"", FRAME_MAX),
        on(2, BasicAck::default()),
        close_channel(2),
        close(),
        publish(1, b"late", FRAME_MAX),
    ]
    .concat();
    let whole = fed(&bytes, &[bytes.len()], false);
    assert_eq!(whole.seen.len(), 10, "{:?}", whole.seen);
    for is_direct in [false, true] {
        let parts = fed(&bytes, &[1], is_direct);
        assert_eq!((parts.seen, parts.out), (whole.seen.clone(), whole.out.clone()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_are_split_does_not_matter(
        frames in proptest::collection::vec(any_frames(), 0..20),
        mutations in proptest::collection::vec(any_mutation(), 0..3),
        sizes in sizes(),
    ) {
        let mut bytes = [handshake(), frames.concat()].concat();
        for mutation in mutations {
            mutation.apply(&mut bytes);
        }
        let whole = fed(&bytes, &[bytes.len()], false);
        for is_direct in [false, true] {
            let parts = fed(&bytes, &sizes, is_direct);
            prop_assert_eq!(&parts.seen, &whole.seen);
            prop_assert_eq!(&parts.out, &whole.out);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(
        starts_well in 0usize..4,
        bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0u8..4, Just(frame::END)], 1..600),
        sizes in sizes(),
        is_direct in any::<bool>(),
    ) {
        let handshake = handshake();
        let begun = &handshake[..[0, 8, 60, handshake.len()][starts_well]];
        let session = fed(&[begun, &bytes].concat(), &sizes, is_direct);
        prop_assert!(session.input.len() <= FRAME_MAX as usize + frame::OVERHEAD);
    }
}
