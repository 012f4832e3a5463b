//! Ctrl-C and SIGTERM, so that an interrupted run still reports and cleans up.

use std::io;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Calls `on_signal` at each SIGINT or SIGTERM, from a thread that lives as long as the process.
pub fn watch(mut on_signal: impl FnMut() + Send + 'static) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => on_signal(),
                    _ = terminate.recv() => on_signal(),
                }
            }
        });
    })?;
    Ok(())
}
