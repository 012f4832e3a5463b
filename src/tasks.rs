//! The only place that starts long tasks: each has a name, and a panic in it is told.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Starts a task. Whoever starts it says what ends it; dropping the handle lets it run on.
///
/// In a box, as all tasks are the same to the runtime then: what it needs for each kind is four kilobytes of
/// the program.
pub fn spawn<T: Send + 'static>(name: &'static str, task: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let task: BoxFuture<'static, T> = Box::pin(task);
    tokio::spawn(named(name, task))
}

/// Gives each worker that rests something to do, so that it looks around before it rests again. Two
/// tasks for each: the one that is woken first takes what it finds and wakes the next for the rest.
pub fn wake_workers() {
    let workers = Handle::current().metrics().num_workers();
    (0..2 * workers).for_each(|_| drop(tokio::spawn(std::future::ready(()))));
}

/// The task, with its name told when it panics.
async fn named<T>(name: &'static str, task: BoxFuture<'static, T>) -> T {
    let _guard = Named(name);
    task.await
}

/// Begins something here and makes it a task once it is woken. A task that waits from its beginning would
/// take the place of what it waits for on this thread, and have another thread woken for that.
pub fn begin(name: &'static str, future: impl Future<Output = ()> + Send + 'static) {
    let begun = Arc::new(Begun {
        name,
        runtime: Handle::current(),
        future: Mutex::new(None),
        is_woken: AtomicBool::new(false),
    });
    let mut future: BoxFuture<'static, ()> = Box::pin(future);
    let waker = Waker::from(begun.clone());
    if future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        *begun.future.lock() = Some(future);
        if begun.is_woken.load(Ordering::SeqCst) {
            begun.go_on();
        }
    }
}

/// What [`begin`] began. Either whoever wakes it sees the future, or `begin` sees that it was woken.
struct Begun {
    name: &'static str,
    runtime: Handle,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    is_woken: AtomicBool,
}

impl Begun {
    fn go_on(&self) {
        if let Some(future) = self.future.lock().take() {
            self.runtime.spawn(named(self.name, future));
        }
    }
}

impl Wake for Begun {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.go_on();
    }
}

/// Runs what may wait for the disk beside the tasks.
pub fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    if in_line::IS_ON.get() {
        let result = call();
        return tokio::spawn(std::future::ready(result));
    }
    let call: Box<dyn FnOnce() -> T + Send> = Box::new(call);
    tokio::task::spawn_blocking(call)
}

/// Tells when the task it lives in panics.
struct Named(&'static str);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "a task panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_goes_on_whenever_it_is_woken() {
        let (done, mut end) = tokio::sync::mpsc::unbounded_channel();
        let (answer, answered) = oneshot::channel::<()>();
        let ends = done.clone();
        begin("late", async move {
            let _ = answered.await;
            let _ = ends.send("late");
        });
        let ends = done.clone();
        begin("at once", async move {
            let _ = ends.send("at once");
        });
        assert_eq!(end.try_recv(), Ok("at once"));
        let ends = done.clone();
        begin("while it begins", async move {
            tokio::task::yield_now().await;
            let _ = ends.send("while it begins");
        });
        assert_eq!(end.recv().await, Some("while it begins"));
        assert!(end.try_recv().is_err());
        // From a thread that has no runtime.
        std::thread::spawn(move || answer.send(()))
            .join()
            .expect("no panic")
            .expect("waits");
        assert_eq!(end.recv().await, Some("late"));
    }
}

#[cfg(test)]
pub mod in_line {
    //! What may wait for the disk runs where it is asked for: a simulation has one thread.

    use std::cell::Cell;

    thread_local! {
        /// Of this thread.
        pub static IS_ON: Cell<bool> = const { Cell::new(false) };
    }
}
