//! What the machine costs by itself. Run with
//! `cargo test --release --lib queue::tests::measure -- --ignored --nocapture --test-threads=1`.

use super::*;

const BATCH: u64 = 256;
const ROUNDS: u64 = 20_000;

/// A sink that does nothing but keep the slots.
#[derive(Default)]
struct Nowhere {
    slots: Vec<Slot>,
    last_stored: u64,
    confirmed: u64,
}

impl Sink for Nowhere {
    type Consumer = u32;
    type Publish = u64;

    fn room(&mut self, _consumer: &u32) -> bool {
        true
    }
    fn deliver(&mut self, _consumer: &u32, _id: ConsumerId, delivery: Delivery<'_>) {
        self.slots.push(delivery.slot);
    }
    fn confirm(&mut self, _publish: u64) {
        self.confirmed += 1;
    }
    fn refuse(&mut self, _publish: u64) {}
    fn dead_letter(&mut self, _slot: Slot, _message: Message, _reason: DeathReason) {}
    fn cancel(&mut self, _consumer: u32) {}
    fn store(&mut self, seq: u64, _meta: [u8; META_LEN], _message: &Message, _keep: Keep) -> Loc {
        self.last_stored = seq;
        seq
    }
    fn settled(&mut self, _seq: u64) {}
    fn returned(&mut self, _seq: u64, _count: u32) {}
    fn discarded(&mut self, _seq: u64, _count: u32, _reason: DeathReason) {}
    fn delivered_up_to(&mut self, _mark: u64) {}
    fn fetch(&mut self, _wanted: &[(u64, Loc)]) {}
}

fn time_of(kind: QueueType, persistent: bool, backlog: u64) -> f64 {
    let mut queue: Queue<u32, u64> = Queue::new(kind, true, QueueSettings::default(), Timestamp(0));
    let mut sink = Nowhere::default();
    let traits = Traits {
        persistent,
        ..Traits::default()
    };
    let message = named("sixteen bytes ok", traits);
    let publishes = |count| {
        let message = message.clone();
        (0..count).map(move |number| Publish {
            message: message.clone(),
            publish: Some(number),
        })
    };
    queue.publish(Timestamp(0), publishes(backlog), &mut sink);
    queue.durable(Timestamp(0), sink.last_stored, &mut sink);
    let consumer = Consume {
        handle: 1,
        prefetch: Some(BATCH as u32),
        no_ack: false,
        exclusive: false,
        priority: 0,
        rank: Rank::default(),
    };
    queue.consume(Timestamp(0), consumer, &mut sink).expect("taken");
    let mut slots = Vec::with_capacity(BATCH as usize);
    let begin = processor_ns();
    for _ in 0..ROUNDS {
        queue.publish(Timestamp(1), publishes(BATCH), &mut sink);
        queue.durable(Timestamp(1), sink.last_stored, &mut sink);
        std::mem::swap(&mut slots, &mut sink.slots);
        queue.settle(Timestamp(2), slots.drain(..), Outcome::Accept, &mut sink);
    }
    let spent = processor_ns() - begin;
    assert_eq!(queue.ready() + queue.unacked(), backlog);
    assert_eq!(sink.confirmed, backlog + ROUNDS * BATCH);
    spent as f64 / (ROUNDS * BATCH) as f64
}

/// Processor time of this thread: other programs disturb it less than the clock on the wall.
fn processor_ns() -> u64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let ns = schedstat.split(' ').next().and_then(|ns| ns.parse().ok());
    ns.expect("a number")
}

#[test]
#[ignore = "a measurement"]
fn nanoseconds_for_a_message() {
    for (what, kind, persistent, backlog) in [
        ("classic, transient, empty", QueueType::Classic, false, 0),
        ("classic, persistent, empty", QueueType::Classic, true, 0),
        ("classic, transient, 10,000 waiting", QueueType::Classic, false, 10_000),
        ("quorum, empty", QueueType::Quorum, true, 0),
    ] {
        println!("{what}: {:.1} ns a message", time_of(kind, persistent, backlog));
    }
}

#[test]
#[ignore = "a measurement"]
fn bytes_for_a_waiting_message() {
    const MESSAGES: u64 = 1_000_000;
    let resident = || {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
        let pages: u64 = statm
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse().ok())
            .expect("a number");
        pages * 4096
    };
    let mut queue: Queue<u32, u64> = Queue::new(QueueType::Classic, true, QueueSettings::default(), Timestamp(0));
    let mut sink = Nowhere::default();
    queue.set_cache_limit(ByteSize(0), &mut sink);
    let traits = Traits {
        persistent: true,
        ..Traits::default()
    };
    let before = resident();
    for number in 0..MESSAGES {
        let message = named("sixteen bytes ok", traits);
        let publish = Some(number);
        queue.publish(Timestamp(0), [Publish { message, publish }], &mut sink);
        queue.durable(Timestamp(0), sink.last_stored, &mut sink);
    }
    assert_eq!(queue.counts().paged_out, MESSAGES - 1);
    println!("{} bytes a message", (resident() - before) / MESSAGES);
}
