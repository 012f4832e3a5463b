//! What is counted in a queue, by the names it is shown by.

use serde_json::{Value, json};

use crate::queue::Counts;
use crate::spec::QueueType;

/// Shows what is counted.
pub fn write_counts(view: &mut Value, kind: QueueType, counts: Counts) {
    for (key, number) in numbers(kind, counts) {
        view[key] = json!(number);
    }
}

/// What is counted in a queue, by RabbitMQ's names.
pub fn numbers(kind: QueueType, counts: Counts) -> impl Iterator<Item = (&'static str, u64)> {
    let total = counts.ready + counts.unacked + counts.discarded;
    let bytes = counts.ready_bytes + counts.unacked_bytes + counts.discarded_bytes;
    // The queue counts bodies that are on disk only, not their bytes.
    let paged_bytes = match counts.ready {
        0 => 0,
        ready => (u128::from(counts.ready_bytes) * u128::from(counts.paged_out) / u128::from(ready)) as u64,
    };
    let ready_in_memory = counts.ready.saturating_sub(counts.paged_out);
    let numbers = [
        ("consumers", counts.consumers),
        ("memory", counts.memory_bytes),
        ("message_bytes", bytes),
        ("message_bytes_persistent", counts.persistent_bytes),
        ("message_bytes_ram", bytes.saturating_sub(paged_bytes)),
        ("message_bytes_ready", counts.ready_bytes),
        ("message_bytes_unacknowledged", counts.unacked_bytes),
        ("messages", total),
        ("messages_persistent", counts.persistent),
        ("messages_ram", ready_in_memory + counts.unacked),
        ("messages_ready", counts.ready),
        ("messages_unacknowledged", counts.unacked),
    ];
    let of_classic = [
        ("message_bytes_paged_out", paged_bytes),
        ("messages_paged_out", counts.paged_out),
        ("messages_ready_ram", ready_in_memory),
        ("messages_unacknowledged_ram", counts.unacked),
    ];
    let of_quorum = [
        ("message_bytes_dlx", counts.discarded_bytes),
        ("messages_dlx", counts.discarded),
        ("messages_ready_high", counts.ready_high),
        ("messages_ready_normal", counts.ready_normal()),
        ("messages_ready_returned", counts.ready_returned),
    ];
    // What a stream holds is not kept by bytes, or in memory.
    let of_stream = [
        "consumers",
        "memory",
        "messages",
        "messages_ready",
        "messages_unacknowledged",
    ];
    let numbers = numbers.into_iter();
    let numbers = numbers.filter(move |(name, _)| kind != QueueType::Stream || of_stream.contains(name));
    let of_classic = of_classic.into_iter().filter(move |_| kind == QueueType::Classic);
    let of_quorum = of_quorum.into_iter().filter(move |_| kind == QueueType::Quorum);
    numbers.chain(of_classic).chain(of_quorum)
}

/// What a stream has besides, which RabbitMQ does not tell: the offset of its oldest message, the one that comes next,
/// and the bytes that its leader keeps.
pub fn stream_numbers(counts: Counts) -> impl Iterator<Item = (&'static str, u64)> {
    let numbers = [
        ("first_offset", counts.first_offset),
        ("next_offset", counts.first_offset + counts.ready),
        ("bytes", counts.ready_bytes),
    ];
    numbers.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_add_up() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            unacked: 1,
            unacked_bytes: 50,
            paged_out: 3,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Classic, counts);
        assert_eq!(view["messages"], 5);
        assert_eq!(view["messages_ram"], 2);
        assert_eq!(view["message_bytes"], 450);
        assert_eq!(view["message_bytes_paged_out"], 300);
        assert_eq!(view["message_bytes_ram"], 150);
    }

    #[test]
    fn dead_letters_that_are_kept_are_messages() {
        let mut view = json!({});
        let counts = Counts {
            ready: 4,
            ready_bytes: 400,
            discarded: 2,
            discarded_bytes: 30,
            ..Counts::default()
        };
        write_counts(&mut view, QueueType::Quorum, counts);
        assert_eq!((&view["messages"], &view["messages_dlx"]), (&json!(6), &json!(2)));
        assert_eq!(view["message_bytes"], 430);
        assert_eq!(view["message_bytes_dlx"], 30);
    }
}
