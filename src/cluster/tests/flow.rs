//! Messages: in order, whatever their size, and held up by a reader that is behind.

use std::time::Duration;

use bytes::Bytes;

use super::support::*;
use crate::cluster::SendError;

/// A message that says its number, of any size.
fn numbered(number: u32, bytes: usize) -> Bytes {
    let mut message = vec![number as u8; bytes.max(4)];
    message[..4].copy_from_slice(&number.to_be_bytes());
    message.into()
}

fn number(message: &Bytes) -> u32 {
    assert!(message[4..].iter().all(|byte| *byte == message[3]), "damaged");
    u32::from_be_bytes(message[..4].try_into().expect("four bytes"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_small_messages_stay_in_order() {
    let (a, b) = pair().await;
    let stream = a.cluster.stream(b.id, DATA).expect("connected");
    let sizes = [10, 100, 8191, 8192, 70_000, 1024 * 1024];
    for at in 0..300u32 {
        let size = if at % 25 == 0 { sizes[5] } else { sizes[at as usize % 5] };
        must(stream.send(numbered(at, size))).await.expect("sent");
    }
    let numbers: Vec<_> = b.recorder.take(300).await.iter().map(number).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders_share_a_connection_and_each_stays_in_order() {
    let (a, b) = pair().await;
    let senders: Vec<_> = (0..8u32)
        .map(|sender| {
            let stream = a.cluster.stream(b.id, DATA).expect("connected");
            tokio::spawn(async move {
                for at in 0..2000 {
                    stream.send(numbered(sender << 16 | at, 20)).await.expect("sent");
                }
            })
        })
        .collect();
    let messages = b.recorder.take(16_000).await;
    for sender in senders {
        sender.await.expect("no panic");
    }
    let mut next = [0; 8];
    for message in &messages {
        let number = number(message);
        let sender = (number >> 16) as usize;
        assert_eq!(number & 0xffff, next[sender]);
        next[sender] += 1;
    }
    assert_eq!(next, [2000; 8]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_the_sender_up_and_nothing_is_lost() {
    const SIZE: usize = 64 * 1024;
    let (a, b) = pair().await;
    let stream = a.cluster.stream(b.id, GATED).expect("connected");
    // Until neither this side nor the sockets take any more: a moment later there may be room
    // again while the writer works, so a sender that waits is the sign.
    let mut sent = 0;
    let mut stuck = Box::pin(stream.send(numbered(sent, SIZE)));
    let moment = Duration::from_millis(500);
    while let Ok(result) = tokio::time::timeout(moment, &mut stuck).await {
        result.expect("sent");
        sent += 1;
        assert!((sent as usize) * SIZE < 64 * 1024 * 1024, "nobody holds the sender up");
        stuck = Box::pin(stream.send(numbered(sent, SIZE)));
    }
    assert!(stream.waiting() <= crate::cluster::OUTBOX_BYTES + SIZE);
    assert_eq!(stream.try_send(numbered(0, SIZE)), Err(SendError::Full));
    // Other classes do not notice.
    let bulk = a.cluster.call(b.id, BULK, "echo".into(), soon()).await;
    assert_eq!(bulk.expect("answered"), "echo");
    b.gate.open.close();
    must(stuck).await.expect("sent");
    let numbers: Vec<_> = b
        .gate
        .recorder
        .take(sent as usize + 1)
        .await
        .iter()
        .map(number)
        .collect();
    assert_eq!(numbers, (0..=sent).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_message_larger_than_the_outbox_passes() {
    let (a, b) = pair().await;
    let size = 2 * crate::cluster::OUTBOX_BYTES;
    must(a.cluster.send(b.id, BULK, numbered(7, size))).await.expect("sent");
    let messages = b.recorder.take(1).await;
    assert_eq!((number(&messages[0]), messages[0].len()), (7, size));
}
