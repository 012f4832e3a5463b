//! Calls: answered in any order, and never left hanging.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::support::*;
use crate::cluster::calls::MOST_CALLS;
use crate::cluster::{CallError, SendError};
use crate::types::NodeId;

#[tokio::test]
async fn answers_come_in_any_order() {
    let (a, b) = pair().await;
    let (cluster, to) = (a.cluster.clone(), b.id);
    let waiting = tokio::spawn(async move { cluster.call(to, DATA, "wait".into(), soon()).await });
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 1).await;
    a.echo(&b).await;
    b.echo(&a).await;
    assert!(!waiting.is_finished());
    b.recorder.release.notify_one();
    assert_eq!(must(waiting).await.expect("no panic").expect("answered"), "wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_at_once_are_answered_each_with_its_own() {
    let (a, b) = pair().await;
    let calls: Vec<_> = (0..5000u32)
        .map(|number| {
            let (cluster, to) = (a.cluster.clone(), b.id);
            tokio::spawn(async move {
                let request = Bytes::copy_from_slice(&number.to_be_bytes());
                assert_eq!(cluster.call(to, DATA, request.clone(), soon()).await, Ok(request));
            })
        })
        .collect();
    for call in calls {
        must(call).await.expect("answered");
    }
}

#[tokio::test]
async fn more_calls_than_may_be_answered_at_once_wait_with_the_caller() {
    let (a, b) = pair().await;
    let calls: Vec<_> = (0..MOST_CALLS + 100)
        .map(|_| {
            let (cluster, to) = (a.cluster.clone(), b.id);
            tokio::spawn(async move { cluster.call(to, DATA, "wait".into(), soon()).await })
        })
        .collect();
    until(|| b.recorder.busy.load(Ordering::SeqCst) == MOST_CALLS).await;
    // A call of another class is not held up, nor is one the other way.
    b.echo(&a).await;
    let bulk = a.cluster.call(b.id, BULK, "echo".into(), soon()).await;
    assert_eq!(bulk.expect("answered"), "echo");
    assert_eq!(b.recorder.busy.load(Ordering::SeqCst), MOST_CALLS);
    for call in calls {
        until(|| {
            b.recorder.release.notify_waiters();
            call.is_finished()
        })
        .await;
        assert_eq!(call.await.expect("no panic").expect("answered"), "wait");
    }
}

#[tokio::test]
async fn a_deadline_ends_the_call_on_both_sides() {
    let (a, b) = pair().await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let result = a.cluster.call(b.id, DATA, "hang".into(), deadline).await;
    assert_eq!(result, Err(CallError::TimedOut));
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_caller_that_goes_away_is_not_worked_for() {
    let (a, b) = pair().await;
    let (cluster, to) = (a.cluster.clone(), b.id);
    let call = tokio::spawn(async move { cluster.call(to, DATA, "hang".into(), soon()).await });
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 1).await;
    call.abort();
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 0).await;
    a.echo(&b).await;
}

#[tokio::test]
async fn failures_say_what_failed() {
    let (a, b) = pair().await;
    let call = |request: &'static str| a.cluster.call(b.id, DATA, request.into(), soon());
    assert_eq!(call("fail").await, Err(CallError::Failed("as asked".to_owned())));
    assert_eq!(call("panic").await, Err(CallError::Failed(String::new())));
    a.echo(&b).await;
    let missing = a.cluster.call(b.id, MISSING, "x".into(), soon()).await;
    assert_eq!(missing, Err(CallError::NotServed(MISSING)));
    let nobody = NodeId(1);
    let unreachable = a.cluster.call(nobody, DATA, "x".into(), soon()).await;
    assert_eq!(unreachable, Err(CallError::Unreachable(nobody)));
    let large = Bytes::from(vec![b'e'; 33 * 1024 * 1024]);
    let too_large = a.cluster.call(b.id, DATA, large.clone(), soon()).await;
    assert_eq!(too_large, Err(CallError::TooLarge(large.len())));
    assert_eq!(
        a.cluster.try_send(b.id, DATA, large.clone()),
        Err(SendError::TooLarge(large.len()))
    );
}

#[tokio::test]
async fn a_node_that_stops_answers_nobody_any_more() {
    let (a, b) = pair().await;
    let (cluster, to) = (a.cluster.clone(), b.id);
    let waiting = tokio::spawn(async move { cluster.call(to, DATA, "hang".into(), soon()).await });
    until(|| b.recorder.busy.load(Ordering::SeqCst) == 1).await;
    b.cluster.stop().await;
    assert_eq!(must(waiting).await.expect("no panic"), Err(CallError::Broken));
    assert_eq!(b.recorder.busy.load(Ordering::SeqCst), 0);
}
