//! Lines to a service: what gathers, where it is cut, and what a link that ends takes with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::support::*;
use crate::cluster::line::{Line, MESSAGE_BYTES};
use crate::cluster::{Class, Ending};

const HEAD: &[u8] = b"!";

/// Runs a line and counts how often it was opened.
fn run<S: Default + Send + 'static>(
    line: &Arc<Line<S>>,
    node: &Node,
    ended: impl Fn(&mut S) + Send + 'static,
) -> Arc<AtomicUsize> {
    let opened = Arc::new(AtomicUsize::new(0));
    let count = opened.clone();
    let began = move || {
        count.fetch_add(1, Ordering::SeqCst);
    };
    tokio::spawn(Line::run(Arc::downgrade(line), node.cluster.clone(), began, ended));
    opened
}

async fn is_open<S: Default>(line: &Line<S>) {
    until(|| line.epoch().is_some()).await;
}

/// Ends the connection that carries the lines.
fn break_link(from: &Node, to: &Node) {
    let connection = from.cluster.0.links.current(to.id, Class::Data);
    connection.expect("connected").end(Ending::Io("as asked".to_owned()));
}

#[tokio::test]
async fn what_is_written_comes_in_order_and_each_message_has_its_head() {
    let (a, b) = pair().await;
    let line = Arc::new(Line::new(b.id, DATA, HEAD));
    run(&line, &a, |()| {});
    is_open(&line).await;
    let mut expected = Vec::new();
    for number in 0..1000_u32 {
        line.with(|frames| frames.extend_from_slice(&number.to_le_bytes()));
        expected.extend_from_slice(&number.to_le_bytes());
        if number % 100 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut came = Vec::new();
    while came.len() < expected.len() {
        for message in b.recorder.take(1).await {
            assert_eq!(&message[..1], HEAD);
            came.extend_from_slice(&message[1..]);
        }
    }
    assert!(came == expected);
}

#[tokio::test]
async fn what_gathers_is_cut_between_frames() {
    let (a, b) = pair().await;
    let sizes = [10, 600_000, 500_000, 3 * MESSAGE_BYTES, 20, 30, MESSAGE_BYTES - 40, 5];
    let together = [
        &[10, 600_000][..],
        &[500_000],
        &[3 * MESSAGE_BYTES],
        &[20, 30],
        &[MESSAGE_BYTES - 40, 5],
    ];
    for head in [HEAD, b""] {
        let line = Arc::new(Line::<()>::new(b.id, DATA, head));
        // All of it is there before the task begins.
        line.open_if_linked(&a.cluster);
        for (number, size) in sizes.into_iter().enumerate() {
            line.with(|frames| frames.resize(frames.len() + size, number as u8));
        }
        run(&line, &a, |()| {});
        let came = b.recorder.take(together.len()).await;
        let sizes = came.iter().map(|message| message.len() - head.len());
        assert!(sizes.eq(together.map(|sizes| sizes.iter().sum::<usize>())));
        assert!(came.iter().all(|message| message.starts_with(head)));
        let numbers: Vec<_> = came.iter().flat_map(|message| message[head.len()..].iter()).collect();
        assert!(numbers.is_sorted());
    }
}

#[tokio::test]
async fn what_ends_with_a_large_piece_is_a_message_of_its_own_in_its_place() {
    let (a, b) = pair().await;
    let large = bytes::Bytes::from(vec![3; 5 * MESSAGE_BYTES]);
    for head in [HEAD, b""] {
        let line = Arc::new(Line::<()>::new(b.id, DATA, head));
        line.open_if_linked(&a.cluster);
        line.with(|frames| frames.push(1));
        for number in [2, 4] {
            let tail = Some(large.clone());
            assert!(line.write_before(None, |frames, ()| frames.push(number), tail));
        }
        line.with(|frames| frames.push(5));
        run(&line, &a, |()| {});
        let came = b.recorder.take(4).await;
        let expected = [
            &[1][..],
            &[&[2], &large[..]].concat(),
            &[&[4], &large[..]].concat(),
            &[5],
        ];
        for (came, expected) in came.iter().zip(expected) {
            assert!(*came == [head, expected].concat());
        }
        // The link goes on with a buffer for what is small.
        line.with(|frames| frames.push(6));
        assert_eq!(b.recorder.take(1).await, [[head, &[6]].concat()]);
    }
}

#[tokio::test]
async fn without_a_link_nothing_is_kept() {
    let alone = Plan::new("a").await.start();
    let line = Arc::new(Line::<Vec<u8>>::new(alone.id, DATA, HEAD));
    line.open_if_linked(&alone.cluster);
    assert_eq!(line.epoch(), None);
    assert!(!line.write(None, |_, _| unreachable!("closed")));
    line.beside(|beside| beside.push(1));
    assert_eq!(line.beside(std::mem::take), [1]);
}

#[tokio::test]
async fn a_link_that_ends_takes_what_waits_with_it() {
    let (a, b) = pair().await;
    let line = Arc::new(Line::<Vec<u8>>::new(b.id, DATA, HEAD));
    let lost = Arc::new(Mutex::new(Vec::new()));
    let losing = lost.clone();
    let opened = run(&line, &a, move |beside| losing.lock().append(beside));
    is_open(&line).await;
    for round in 1..=3_u8 {
        let epoch = line.epoch().expect("open");
        assert_eq!(opened.load(Ordering::SeqCst), usize::from(round));
        assert!(line.write(Some(epoch), |frames, _| frames.push(round)));
        assert_eq!(b.recorder.take(1).await, [[b'!', round].as_slice()]);
        // The task does not run between these.
        let written = line.write(None, |frames, beside| {
            frames.push(99);
            beside.push(round);
        });
        assert!(written);
        break_link(&a, &b);
        until(|| line.epoch().is_some_and(|now| now > epoch)).await;
        assert_eq!(*lost.lock(), (1..=round).collect::<Vec<_>>());
        assert!(!line.write(Some(epoch), |frames, _| frames.push(99)), "of another use");
    }
    assert!(line.write(None, |frames, _| frames.push(4)));
    assert_eq!(b.recorder.take(1).await, [b"!\x04".as_slice()]);
}

#[tokio::test]
async fn a_line_ends_with_its_holder_or_with_the_links() {
    let (a, b) = pair().await;
    let dropped = Arc::new(Line::<()>::new(b.id, DATA, HEAD));
    let running = tokio::spawn(Line::run(Arc::downgrade(&dropped), a.cluster.clone(), || {}, |()| {}));
    is_open(&dropped).await;
    drop(dropped);
    break_link(&a, &b);
    must(running).await.expect("no panic");

    let missing = Arc::new(Line::<()>::new(a.id, DATA, HEAD));
    let waiting = tokio::spawn(Line::run(Arc::downgrade(&missing), a.cluster.clone(), || {}, |()| {}));
    let held = Arc::new(Line::<()>::new(b.id, DATA, HEAD));
    let pumping = tokio::spawn(Line::run(Arc::downgrade(&held), a.cluster.clone(), || {}, |()| {}));
    must(a.cluster.stop()).await;
    must(waiting).await.expect("no panic");
    must(pumping).await.expect("no panic");
}
