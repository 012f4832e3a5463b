//! A socket that never blocks, plain or with TLS over it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

use super::link_error::LinkError;
use super::uri::Uri;
use crate::config::ClientTls;
use crate::tls_client::{self, TlsError};

/// See the head of this file.
pub enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// What is spoken over a connection to that address.
    ///
    /// # Errors
    /// When its files of certificates cannot be used. That the server is another shows with the first bytes.
    pub fn of(socket: TcpStream, uri: &Uri) -> Result<Self, LinkError> {
        let Some(tls) = &uri.tls else {
            return Ok(Self::Plain(socket));
        };
        let config = ClientTls {
            cacertfile: tls.cacertfile.clone(),
            certfile: tls.certfile.clone(),
            keyfile: tls.keyfile.clone(),
            password: None,
            no_verify: tls.no_verify,
        };
        let config = tls_client::client("amqps", &config)?;
        let name = tls.server_name.as_ref().unwrap_or(&uri.host);
        let server = ServerName::try_from(name.clone()).map_err(|_| LinkError::ServerName(name.clone()))?;
        let client =
            ClientConnection::new(config, server).map_err(|error| TlsError::Other("amqps".to_owned(), error))?;
        Ok(Self::Tls(Box::new(StreamOwned::new(client, socket))))
    }

    /// What may be polled.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }

    /// Whether something was taken by [`Write::write`] that the socket has not got yet.
    pub fn has_unsent(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.conn.wants_write(),
        }
    }

    /// Whether something can be read though nothing may come any more.
    pub fn has_unread(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            // An error comes again where it is read.
            Self::Tls(tls) => tls
                .conn
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0),
        }
    }

    /// Sends what was taken, as far as the socket has room.
    pub fn push(&mut self) -> io::Result<()> {
        let Self::Tls(tls) = self else { return Ok(()) };
        while tls.conn.wants_write() {
            match tls.conn.write_tls(&mut tls.sock) {
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.push()
    }
}
