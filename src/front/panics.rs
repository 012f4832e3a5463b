//! A connection that panics ends alone.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs to the end and says whether a panic was it. A connection must not take others' messages
/// with it, whatever is wrong with it.
pub async fn has_panicked(mut task: Pin<Box<impl Future<Output = ()>>>) -> bool {
    let run = |cx: &mut Context<'_>| {
        let polled = catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(false),
            Err(_) => Poll::Ready(true),
        }
    };
    poll_fn(run).await
}
