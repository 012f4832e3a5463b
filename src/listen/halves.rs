//! The two directions of a connection, read and written without a wait where there is something to do.
//!
//! A plain socket is a branch away from what it was. Of TLS both directions share one session behind a lock
//! that is held while bytes are encrypted or decrypted, never while a socket is waited for; records are read
//! through a buffer of our own, many at a time, which an idle connection gives back.

use std::io::{self, BufRead, IoSlice, Write};
use std::sync::Arc;

use bytes::BufMut;
use parking_lot::Mutex;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::rustls::ServerConnection;

use super::read_buffer::ReadBuffer;

/// What is read from.
pub enum ReadHalf {
    Plain(OwnedReadHalf),
    Tls(Box<TlsReader>),
}

/// What is written to.
pub enum WriteHalf {
    Plain(OwnedWriteHalf),
    Tls(TlsWriter),
}

/// The reading side of a TLS connection.
pub struct TlsReader {
    socket: OwnedReadHalf,
    session: Arc<Mutex<ServerConnection>>,
    /// Records as they came.
    records: ReadBuffer,
}

/// The writing side of a TLS connection.
pub struct TlsWriter {
    socket: OwnedWriteHalf,
    session: Arc<Mutex<ServerConnection>>,
}

/// Both sides of a connection whose handshake is over.
pub(super) fn tls_halves(socket: TcpStream, session: ServerConnection) -> (ReadHalf, WriteHalf) {
    let (read, write) = socket.into_split();
    let session = Arc::new(Mutex::new(session));
    let reader = TlsReader {
        socket: read,
        session: session.clone(),
        records: ReadBuffer::default(),
    };
    let writer = TlsWriter { socket: write, session };
    (ReadHalf::Tls(Box::new(reader)), WriteHalf::Tls(writer))
}

impl ReadHalf {
    /// Waits until there may be something to read, after a read had nothing.
    ///
    /// # Errors
    /// When the socket is broken.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.readable().await,
            Self::Tls(reader) => reader.socket.readable().await,
        }
    }

    /// Waits until the connection is broken, without a look at what it has to read.
    pub async fn broken(&self) {
        let socket = match self {
            Self::Plain(socket) => socket,
            Self::Tls(reader) => &reader.socket,
        };
        // An error of the wait is one of the socket.
        let _ = socket.ready(Interest::ERROR).await;
    }

    /// Reads what is there: 0 bytes at the end of the connection.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when nothing is there yet, and when the connection is broken.
    pub fn try_read(&mut self, mut room: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read(room),
            Self::Tls(reader) => reader.try_read(&mut room),
        }
    }

    /// The same into a buffer.
    ///
    /// # Errors
    /// As of [`Self::try_read`].
    pub fn try_read_buf(&mut self, room: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read_buf(room),
            Self::Tls(reader) => reader.try_read(room),
        }
    }
}

impl TlsReader {
    fn try_read(&mut self, room: &mut impl BufMut) -> io::Result<usize> {
        let mut session = self.session.lock();
        let mut count = 0;
        loop {
            match take(&mut session, room, &mut count) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // What was read before the end is given first; the end is found again.
                Err(_) if count > 0 => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            if !room.has_remaining_mut() {
                return Ok(count);
            }
            if self.records.filled().is_empty() {
                if count > 0 {
                    return Ok(count);
                }
                let read = match self.socket.try_read(self.records.room(1)) {
                    Ok(read) => read,
                    Err(error) => {
                        self.records.rest();
                        return Err(error);
                    }
                };
                self.records.filled_more(read);
                if read == 0 {
                    return Ok(0);
                }
            }
            let mut records = self.records.filled();
            let before = records.len();
            session.read_tls(&mut records)?;
            let taken = before - records.len();
            self.records.consume(taken);
            let processed = session.process_new_packets();
            if session.wants_write() {
                // An alert, or an answer to new keys. What the socket does not take goes with the next write.
                let _ = write_out(&mut session, self.socket.as_ref());
            }
            match processed {
                Ok(state) if state.peer_has_closed() && state.plaintext_bytes_to_read() == 0 => return Ok(count),
                Ok(_) => {}
                Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            }
        }
    }
}

/// Takes what is decrypted, as far as there is room.
fn take(session: &mut ServerConnection, room: &mut impl BufMut, count: &mut usize) -> io::Result<()> {
    let mut reader = session.reader();
    while room.has_remaining_mut() {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            // Closed in order.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = chunk.len().min(room.remaining_mut());
        room.put_slice(&chunk[..taken]);
        reader.consume(taken);
        *count += taken;
    }
    Ok(())
}

/// Writes what is encrypted, as far as the socket takes it.
fn write_out(session: &mut ServerConnection, socket: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut AtOnce(socket))?;
    }
    Ok(())
}

impl WriteHalf {
    /// Writes some of it.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write_vectored(slices).await,
            Self::Tls(writer) => {
                let taken = writer.session.lock().writer().write_vectored(slices)?;
                writer.flush().await?;
                Ok(taken)
            }
        }
    }

    /// Says that nothing more comes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown().await,
            Self::Tls(writer) => {
                writer.session.lock().send_close_notify();
                writer.flush().await?;
                writer.socket.shutdown().await
            }
        }
    }
}

impl TlsWriter {
    async fn flush(&mut self) -> io::Result<()> {
        loop {
            let written = write_out(&mut self.session.lock(), self.socket.as_ref());
            match written {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(error) => return Err(error),
            }
        }
    }
}

/// A socket that does not wait.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
