//! Every method, properties and tables beside amq-protocol: what is written here is what it reads,
//! and what it writes of that is the same, octet for octet.
//!
//! Kept out are the things in which the two differ on purpose: order and duplicates in tables, and
//! short strings that are not UTF-8.

use amq_protocol::frame::{WriteContext, gen_frame, parse_frame};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::frame::{self, FrameKind};
use super::method::{BASIC, Method};
use super::properties::Properties;
use super::wire::ShortBytes;
use crate::types::{FieldTable, FieldValue};

/// Draws values of the wire.
pub struct Draw(StdRng);

/// What can stand in a method.
pub trait Drawn: Sized {
    fn drawn(draw: &mut Draw) -> Self;
}

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0.random_range(0..most)
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.0.random()).collect()
    }

    fn text(&mut self, most: usize) -> String {
        (0..self.below(most)).map(|_| self.0.random_range(' '..'ÿ')).collect()
    }

    fn maybe<T: Drawn>(&mut self) -> Option<T> {
        self.0.random::<bool>().then(|| T::drawn(self))
    }

    fn table(&mut self, depth: usize) -> FieldTable {
        let mut table = FieldTable::new();
        for _ in 0..self.below(6) {
            let value = self.value(depth);
            table.set(&self.text(12), value);
        }
        table.sorted()
    }

    fn value(&mut self, depth: usize) -> FieldValue {
        match self.below(if depth > 2 { 15 } else { 17 }) {
            0 => FieldValue::Boolean(self.0.random()),
            1 => FieldValue::I8(self.0.random()),
            2 => FieldValue::U8(self.0.random()),
            3 => FieldValue::I16(self.0.random()),
            4 => FieldValue::U16(self.0.random()),
            5 => FieldValue::I32(self.0.random()),
            6 => FieldValue::U32(self.0.random()),
            7 => FieldValue::I64(self.0.random()),
            8 => FieldValue::F32(self.0.random()),
            9 => FieldValue::F64(self.0.random()),
            10 => FieldValue::Decimal(self.0.random(), self.0.random()),
            11 => FieldValue::LongString(self.bytes(40)),
            12 => FieldValue::Timestamp(self.0.random()),
            13 => FieldValue::Void,
            14 => FieldValue::Bytes(self.bytes(40)),
            15 => FieldValue::Array((0..self.below(5)).map(|_| self.value(depth + 1)).collect()),
            _ => FieldValue::Table(self.table(depth + 1)),
        }
    }
}

macro_rules! drawn {
    ($($type:ty)*) => { $(
        impl Drawn for $type {
            fn drawn(draw: &mut Draw) -> Self {
                draw.0.random()
            }
        }
    )* };
}
drawn!(bool u8 u16 u32 u64);

impl Drawn for String {
    fn drawn(draw: &mut Draw) -> Self {
        draw.text(60)
    }
}

impl Drawn for ShortBytes {
    fn drawn(draw: &mut Draw) -> Self {
        Self(draw.text(60).into_bytes())
    }
}

impl Drawn for Vec<u8> {
    fn drawn(draw: &mut Draw) -> Self {
        draw.bytes(300)
    }
}

impl Drawn for FieldTable {
    fn drawn(draw: &mut Draw) -> Self {
        draw.table(0)
    }
}

impl Drawn for Properties {
    fn drawn(draw: &mut Draw) -> Self {
        Self {
            content_type: draw.maybe(),
            content_encoding: draw.maybe(),
            headers: draw.maybe(),
            delivery_mode: draw.maybe(),
            priority: draw.maybe(),
            correlation_id: draw.maybe(),
            reply_to: draw.maybe(),
            expiration: draw.maybe(),
            message_id: draw.maybe(),
            timestamp: draw.maybe(),
            kind: draw.maybe(),
            user_id: draw.maybe(),
            app_id: draw.maybe(),
            cluster_id: draw.maybe(),
        }
    }
}

/// With what amq-protocol always writes in the fields that it does not keep.
fn unreserved(mut method: Method) -> Method {
    match &mut method {
        Method::ConnectionOpen(open) => (open.capabilities, open.insist) = (String::new(), false),
        Method::ConnectionOpenOk(open) => open.known_hosts.clear(),
        Method::ChannelOpen(open) => open.out_of_band.clear(),
        Method::ChannelOpenOk(open) => open.channel_id.clear(),
        Method::AccessRequestOk(ok) => ok.ticket = 1,
        Method::BasicQos(qos) => qos.prefetch_size = 0,
        Method::BasicGetEmpty(empty) => empty.cluster_id.clear(),
        _ => {}
    }
    method
}

/// What amq-protocol writes of the frame that it reads.
fn echoed(bytes: &[u8]) -> Vec<u8> {
    let (rest, frame) = parse_frame(bytes).expect("a frame to amq-protocol too");
    assert!(rest.is_empty());
    let written = gen_frame(&frame)(WriteContext::from(Vec::new())).expect("written");
    written.into_inner().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_method_is_the_same_to_amq_protocol(seed in any::<u64>(), channel in any::<u16>()) {
        let methods = Method::every(&mut Draw(StdRng::seed_from_u64(seed)));
        prop_assert!(methods.len() > 60);
        for method in methods.into_iter().map(unreserved) {
            let mut bytes = Vec::new();
            method.encode_frame(channel, &mut bytes);
            let echoed = echoed(&bytes);
            prop_assert_eq!(&echoed, &bytes, "{:?}", method);
            let payload = &echoed[frame::HEAD_BYTES..echoed.len() - 1];
            prop_assert_eq!(Method::parse(payload), Ok(method));
        }
    }

    #[test]
    fn properties_and_tables_are_the_same_to_amq_protocol(seed in any::<u64>(), size in any::<u64>()) {
        let properties = Properties::drawn(&mut Draw(StdRng::seed_from_u64(seed)));
        let encoded = properties.encode();
        let payload = [&BASIC.to_be_bytes()[..], &[0, 0], &size.to_be_bytes(), &encoded].concat();
        let length = (payload.len() as u32).to_be_bytes();
        let bytes = [&[FrameKind::Header as u8, 0, 1][..], &length, &payload, &[frame::END]].concat();
        let echoed = echoed(&bytes);
        prop_assert_eq!(&echoed, &bytes, "{:?}", properties);
        let back = &echoed[frame::HEAD_BYTES + 12..echoed.len() - 1];
        prop_assert_eq!(Properties::decode(back), Ok(properties));
    }
}
