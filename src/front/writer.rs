//! Writes what gathers in a connection's outbox: many frames, few system calls.

use std::io::{self, IoSlice};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::{Control, Outbox};
use crate::listen::WriteHalf;
use crate::types::Output;

/// Pieces handed to the system at a time.
const SLICES: usize = 64;

/// Writes until the outbox is closed and empty, or the socket is broken.
pub async fn run(broker: Arc<Broker>, outbox: Arc<Outbox>, mut socket: WriteHalf) {
    let mut output = Output::new();
    while outbox.ready().await {
        outbox.take(&mut output);
        let bytes = output.len();
        if write(&mut socket, &mut output).await.is_err() {
            outbox.close();
            outbox.control(Control::Gone);
            return;
        }
        if outbox.sent(bytes, broker.now()) {
            broker.connections().moves(outbox.id);
        }
        if outbox.written() {
            broker.queues().serve_stalled(&outbox, None);
        }
    }
    // The client may be gone already.
    let _ = socket.shutdown().await;
}

async fn write(socket: &mut WriteHalf, output: &mut Output) -> io::Result<()> {
    while !output.is_empty() {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = output.io_slices(&mut slices);
        let written = socket.write_vectored(&slices[..filled]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        output.advance(written);
    }
    Ok(())
}
