//! What the HTTP API is served on: TCP, and a socket in the data directory for whoever runs the
//! node.
//!
//! The file of that socket is for its owner alone, and the kernel says who is at the other end:
//! the user of this process and root need no password there, anybody else is cut off.

use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::{fs, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};

use crate::listen;

/// The longest path that the address of a Unix socket holds, the closing zero left out.
const LONGEST_PATH: usize = 107;

/// A listening socket.
pub enum Listener {
    Tcp(listen::Listener),
    Local(LocalSocket),
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    Address(IpAddr),
    /// The same, over TLS.
    Tls(IpAddr),
    /// The socket in the data directory.
    Operator,
}

impl Origin {
    /// The address; the operator is on this machine.
    pub fn address(self) -> IpAddr {
        match self {
            Self::Address(address) | Self::Tls(address) => address,
            Self::Operator => Ipv4Addr::LOCALHOST.into(),
        }
    }

    /// Whether nobody between the two ends reads or changes what goes over the line.
    pub fn is_private(self) -> bool {
        match self {
            Self::Address(address) => address.to_canonical().is_loopback(),
            Self::Tls(_) | Self::Operator => true,
        }
    }
}

impl From<listen::Listener> for Listener {
    fn from(listener: listen::Listener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<LocalSocket> for Listener {
    fn from(socket: LocalSocket) -> Self {
        Self::Local(socket)
    }
}

impl Listener {
    /// Waits for a connection.
    ///
    /// # Errors
    /// When the system has none to give, such as for want of file descriptors.
    pub async fn accept(&self) -> io::Result<Incoming> {
        match self {
            Self::Tcp(listener) => Ok(Incoming::Tcp(listener.accept().await)),
            Self::Local(socket) => Ok(Incoming::Local(socket.accept().await?)),
        }
    }
}

/// The socket of the operator. Its file goes when it is dropped.
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl LocalSocket {
    /// Makes the socket anew; the data directory is ours, so one that is there is left from a node
    /// that ended.
    ///
    /// # Errors
    /// When the path is too long, or the file cannot be made.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let length = path.as_os_str().as_bytes().len();
        if length > LONGEST_PATH {
            let text = format!("its path has {length} bytes, a Unix socket's has at most {LONGEST_PATH}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        // Who comes before this is known by the credentials all the same.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        Ok(Self {
            listener,
            path: path.to_owned(),
        })
    }

    /// The next connection of somebody who may run this node.
    async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            let peer = stream.peer_cred()?.uid();
            if may_operate(peer, rustix::process::geteuid().as_raw()) {
                return Ok(stream);
            }
            tracing::warn!(uid = peer, "a connection to the socket of the operator was refused");
        }
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        // A file that stays is removed by the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// The user whose process this is, and root.
fn may_operate(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}

/// A connection that was accepted.
pub enum Incoming {
    Tcp(listen::Incoming),
    Local(UnixStream),
}

impl Incoming {
    /// Makes it ready for requests; `None` when nothing comes of it.
    pub async fn open(self) -> Option<(Stream, Origin)> {
        match self {
            Self::Local(stream) => Some((Stream::Local(stream), Origin::Operator)),
            Self::Tcp(incoming) => {
                let opened = incoming.open().await?;
                let from = opened.peer.ip();
                let origin = opened.tls.as_ref().map_or(Origin::Address(from), |_| Origin::Tls(from));
                Some((Stream::Tcp(opened.stream), origin))
            }
        }
    }
}

/// A connection of either kind.
pub enum Stream {
    Tcp(listen::Stream),
    Local(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Local(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Local(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Local(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_and_root_may_operate() {
        assert!(may_operate(1000, 1000));
        assert!(may_operate(0, 1000));
        assert!(!may_operate(1001, 1000));
        assert!(!may_operate(1001, 0));
    }

    #[test]
    fn a_line_is_private_over_tls_and_inside_of_the_machine() {
        let [far, near] = ["192.0.2.1", "::ffff:127.0.0.1"].map(|address| address.parse().expect("an address"));
        assert!(!Origin::Address(far).is_private() && Origin::Tls(far).is_private());
        assert!(Origin::Address(near).is_private() && Origin::Operator.is_private());
    }

    #[tokio::test]
    async fn what_is_left_of_a_node_gives_way_and_other_files_do_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ctl.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let socket = LocalSocket::bind(&path).expect("made anew");
        let mode = fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
        fs::write(&path, "mine").expect("written");
        assert!(LocalSocket::bind(&path).is_err());
        assert_eq!(fs::read(&path).expect("kept"), b"mine");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_said_to_be() {
        let path = PathBuf::from("/tmp").join("x".repeat(120));
        let error = LocalSocket::bind(&path).err().expect("refused");
        assert!(error.to_string().contains("at most 107"), "{error}");
    }
}
