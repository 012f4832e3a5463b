//! What the machine does with one input, seen from outside. Whole clusters of it run in the broker's
//! simulation.

use bytes::Bytes;

use super::message::{Delivered, FrameBody};
use super::*;
use crate::queue::ledger::Ledger;
use crate::queue::{ConsumerId, DeathReason, Delivery, Keep, Loc, META_LEN, Publish, Sink, Slot};
use crate::types::{FieldTable, Message, MessageParts, Millis, Reply, Traits};

const US: NodeId = NodeId(1);
const LEADER: NodeId = NodeId(2);
const KEY: ConsumerKey = ConsumerKey(1);
const NOW: Timestamp = Timestamp(1000);

enum Words {}

impl Handles for Words {
    type Consumer = ConsumerKey;
    type Publish = u64;
    type Settlement = u64;
    type Call = u64;
    type Line = NodeId;
    type Journal = ();

    const RECORD_BYTES: usize = 1024 * 1024;
}

impl LocalConsumer for ConsumerKey {
    fn key(&self) -> ConsumerKey {
        *self
    }

    fn spec(&self) -> ConsumerSpec<&str> {
        ConsumerSpec {
            key: self.0,
            tag: "tag",
            prefetch: None,
            no_ack: false,
            exclusive: false,
            priority: 0,
            rank: Rank::default(),
        }
    }
}

/// Notes what the machine wants done.
#[derive(Default)]
struct Seen {
    has_room: bool,
    passed_on: Vec<Slot>,
    confirmed: Vec<u64>,
    answered: Vec<(u64, CallResult)>,
    frames: Vec<FrameBody>,
}

impl Sink for Seen {
    type Consumer = ConsumerKey;
    type Publish = u64;

    fn room(&mut self, _: &ConsumerKey) -> bool {
        self.has_room
    }
    fn deliver(&mut self, _: &ConsumerKey, _: ConsumerId, delivery: Delivery<'_>) {
        self.passed_on.push(delivery.slot);
    }
    fn confirm(&mut self, publish: u64) {
        self.confirmed.push(publish);
    }
    fn refuse(&mut self, _: u64) {}
    fn dead_letter(&mut self, _: Slot, _: Message, _: DeathReason) {}
    fn cancel(&mut self, _: ConsumerKey) {}
    fn store(&mut self, _: u64, _: [u8; META_LEN], _: &Message, _: Keep) -> Loc {
        Loc::default()
    }
    fn settled(&mut self, _: u64) {}
    fn returned(&mut self, _: u64, _: u32) {}
    fn discarded(&mut self, _: u64, _: u32, _: DeathReason) {}
    fn delivered_up_to(&mut self, _: u64) {}
    fn fetch(&mut self, _: &[(u64, Loc)]) {}
}

impl Effects<Words> for Seen {
    fn pass_on(&mut self, _: &ConsumerKey, delivery: &RemoteDelivery) {
        self.passed_on.push(delivery.slot);
    }
    fn consuming(&mut self, _: &ConsumerKey) {}
    fn overdue(&mut self, _: &ConsumerKey, _: Millis) {}
    fn held_by_client(&mut self, _: &ConsumerKey) -> Vec<Slot> {
        Vec::new()
    }
    fn committed(&mut self, _: u64) {}
    fn answer(&mut self, call: u64, answer: CallResult) -> bool {
        self.answered.push((call, answer));
        true
    }
    fn line(&mut self, node: NodeId) -> Option<NodeId> {
        Some(node)
    }
    fn epoch(&mut self, _: &NodeId) -> Option<u64> {
        Some(1)
    }
    fn write(&mut self, _: &NodeId, _: Option<u64>, frames: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = vec![wire::FORMAT];
        frames(&mut bytes);
        for frame in wire::frames(&Bytes::from(bytes)) {
            self.frames.push(frame.expect("just written").body);
        }
    }
    fn write_to_all(&mut self, _: impl Fn(&mut Vec<u8>)) {}
    fn unreadable(&mut self) {}
    fn refusal(&mut self, error: ConsumeError) -> Reply {
        Reply::channel(crate::types::ReplyCode::AccessRefused, error.to_string())
    }
    fn holds_lease(&mut self, _: &()) -> bool {
        true
    }
    fn regain_lease(&mut self, _: &(), _: u64) {}
    fn submit(&mut self, _: &(), _: u64, _: Bytes, _: Flight) {}
    fn when_synced(&mut self, _: Unsynced<Words>) {}
    fn wake(&mut self, _: Millis, _: Wake) {}
    fn look_up_leader(&mut self) {}
    fn changed(&mut self) {}
    fn last_consumer_ended(&mut self, _: Option<(NodeId, u64)>) {}
    fn panicked(&mut self, _: Panicked, _: u32) {}
}

fn spec() -> QueueSpec {
    QueueSpec {
        id: QueueId(7),
        vhost: "/".into(),
        name: "queue".into(),
        queue_type: QueueType::Quorum,
        durable: true,
        auto_delete: false,
        exclusive_owner: None,
        home: US,
        members: Vec::new(),
        generations: 0,
        arguments: FieldTable::new(),
        user: "user".into(),
    }
}

fn message() -> Message {
    let parts = MessageParts {
        exchange: b"",
        routing_key: b"queue",
        properties: &[0, 0],
        traits: Traits::default(),
    };
    Message::new(parts, b"", &mut Vec::new())
}

/// A queue that the other node leads, with a consumer here of which that knows.
fn consuming(seen: &mut Seen) -> ClusteredQueue<Words> {
    let mut queue = ClusteredQueue::elsewhere(US, &spec(), None, ProducerId(3));
    say(
        &mut queue,
        FrameBody::Lead {
            term: 1,
            starts_anew: true,
        },
        seen,
    );
    assert!(matches!(queue.consume(NOW, &KEY, false, seen), Consumed::Taken));
    say(
        &mut queue,
        FrameBody::Attached {
            number: 1,
            lost: Vec::new(),
        },
        seen,
    );
    queue
}

/// The leader says something.
fn say(queue: &mut ClusteredQueue<Words>, body: FrameBody, seen: &mut Seen) {
    let from = LinkUse {
        node: LEADER,
        incarnation: 1,
        connection: 1,
    };
    queue.on_frame(NOW, from, body, seen);
}

fn deliver(queue: &mut ClusteredQueue<Words>, slot: Slot, seen: &mut Seen) {
    let (head, [rest, large]) = {
        let message = message();
        let (head, [rest, large]) = message.stored();
        (head.to_vec(), [rest.to_vec(), large.to_vec()])
    };
    let delivered = Delivered {
        slot,
        redelivered: false,
        delivery_count: 0,
    };
    let deliver = FrameBody::Deliver {
        key: KEY.0,
        delivered,
        message: [head, rest, large].concat().into(),
    };
    say(queue, deliver, seen);
}

#[test]
fn what_waits_for_a_client_and_is_another_s_is_not_passed_on() {
    let mut seen = Seen::default();
    let mut queue = consuming(&mut seen);
    let [first, second] = [1, 2].map(|seq| Slot::from_parts((0, 0, seq)));
    for slot in [first, second] {
        deliver(&mut queue, slot, &mut seen);
    }
    // The leader is told again of all, and has given one to somebody else meanwhile.
    say(
        &mut queue,
        FrameBody::Lead {
            term: 2,
            starts_anew: true,
        },
        &mut seen,
    );
    let attached = FrameBody::Attached {
        number: 2,
        lost: vec![first],
    };
    say(&mut queue, attached, &mut seen);
    seen.has_room = true;
    queue.unstall(NOW, KEY, &mut seen);
    assert_eq!(seen.passed_on, [second]);
    assert!(!queue.is_held_here(first), "nobody here has it");
    assert!(queue.is_held_here(second));
}

#[test]
fn what_is_not_answered_is_said_again_to_the_next_leader() {
    let mut seen = Seen::default();
    let mut queue = consuming(&mut seen);
    let batch = [10, 11].map(|number| Publish {
        message: message(),
        publish: Some(number),
    });
    queue.publish(NOW, batch, &mut seen);
    let answered = FrameBody::Answered {
        is_accepted: true,
        first: 1,
        last: 1,
    };
    say(&mut queue, answered, &mut seen);
    assert_eq!(seen.confirmed, [10]);
    seen.frames.clear();
    say(
        &mut queue,
        FrameBody::Lead {
            term: 2,
            starts_anew: true,
        },
        &mut seen,
    );
    let [FrameBody::Attach(attach), FrameBody::Publish { first: 2, messages }] = &seen.frames[..] else {
        panic!("all that is at stake: {:?}", seen.frames);
    };
    assert_eq!((attach.term, attach.number, attach.producer), (2, 2, 3));
    assert_eq!(messages.len(), 1);
}

#[test]
fn who_asked_another_leader_asks_again_when_this_node_leads() {
    let mut seen = Seen::default();
    let mut queue = consuming(&mut seen);
    assert_eq!(queue.ask(Ask::Get { no_ack: false }, 5, &mut seen), Some(1));
    let leads = Leads::of(&Ledger::new(), Default::default(), None, NOW, 2, ());
    queue.lead(NOW, leads, &[], &mut seen);
    assert!(queue.is_answered(), "the one before will not answer any more");
}
