//! The only place that starts long tasks: each has a name, and a panic in it is told.

use std::future::Future;

use tokio::task::JoinHandle;

/// Starts a task. Whoever starts it says what ends it; dropping the handle lets it run on.
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let guard = Named(name);
    tokio::spawn(async move {
        let _guard = guard;
        task.await
    })
}

/// Runs what may wait for the disk beside the tasks.
pub fn blocking<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    if in_line::IS_ON.get() {
        let result = call();
        return tokio::spawn(std::future::ready(result));
    }
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
pub mod in_line {
    //! What may wait for the disk runs where it is asked for: a simulation has one thread.

    use std::cell::Cell;

    thread_local! {
        /// Of this thread.
        pub static IS_ON: Cell<bool> = const { Cell::new(false) };
    }
}
