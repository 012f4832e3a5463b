//! PROXY protocol headers (HAProxy, versions 1 and 2): who the client behind a proxy is.
//!
//! Read from the socket byte for byte before anything else, because what follows is AMQP's. A
//! connection without a header, or with one that names nobody, is closed, as RabbitMQ does it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use ppp::{HeaderResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Longest header of version 1, line end included.
const MOST_V1: usize = 107;
/// First bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of version 2 before its addresses; the last two say how many follow.
const V2_FIXED: usize = 16;
/// Longest version 2 header that is taken.
const MOST_V2: usize = 4096;
/// Longest wait for the header.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Client and server address as the proxy saw them; `None` when it speaks for itself (a health
/// check).
pub type Ends = Option<(SocketAddr, SocketAddr)>;

/// Reads a header off the socket.
///
/// # Errors
/// When there is none, or it names nobody; the connection is to be closed.
pub async fn read(socket: &mut TcpStream) -> io::Result<Ends> {
    let header = tokio::time::timeout(TIMEOUT, read_header(socket)).await??;
    ends(&header).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

async fn read_header(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut header = vec![0; SIGNATURE.len()];
    socket.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(V2_FIXED, 0);
        socket.read_exact(&mut header[SIGNATURE.len()..]).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if V2_FIXED + rest > MOST_V2 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        header.resize(V2_FIXED + rest, 0);
        socket.read_exact(&mut header[V2_FIXED..]).await?;
        return Ok(header);
    }
    while !header.ends_with(b"\r\n") {
        if header.len() >= MOST_V1 || !b"PROXY ".iter().zip(&header).all(|(a, b)| a == b) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        header.push(socket.read_u8().await?);
    }
    Ok(header)
}

/// The ends that a whole header names; `None` when it is no header, or one of nobody.
fn ends(header: &[u8]) -> Option<Ends> {
    match HeaderResult::parse(header) {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(a) => Some(Some((
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ))),
            v1::Addresses::Tcp6(a) => Some(Some((
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ))),
            v1::Addresses::Unknown => None,
        },
        HeaderResult::V2(Ok(header)) => match (header.command, header.addresses) {
            (v2::Command::Local, _) => Some(None),
            (v2::Command::Proxy, v2::Addresses::IPv4(a)) => Some(Some((
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ))),
            (v2::Command::Proxy, v2::Addresses::IPv6(a)) => Some(Some((
                (a.source_address, a.source_port).into(),
                (a.destination_address, a.destination_port).into(),
            ))),
            (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
        },
        HeaderResult::V1(Err(_)) | HeaderResult::V2(Err(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str, destination: &str) -> Option<Ends> {
        let parse = |text: &str| text.parse().expect("an address");
        Some(Some((parse(source), parse(destination))))
    }

    #[test]
    fn headers_are_read_as_rabbitmq_reads_them() {
        let v2 = |rest: &[u8]| [SIGNATURE.as_slice(), rest].concat();
        let tcp4 = b"!\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xb2n\x16(";
        let with_tlv = b"!\x11\x00\x12\xc0\x00\x02\x01\xc6\x33\x64\x02\xb2n\x16(\x04\x00\x03abc";
        let four = named("192.0.2.1:45678", "198.51.100.2:5672");
        for (header, expected) in [
            (b"PROXY TCP4 192.0.2.1 198.51.100.2 45678 5672\r\n".to_vec(), four),
            (
                b"PROXY TCP6 2001:db8::1 2001:db8::2 45678 5672\r\n".to_vec(),
                named("[2001:db8::1]:45678", "[2001:db8::2]:5672"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY FOO\r\n".to_vec(), None),
            (v2(tcp4), four),
            (v2(with_tlv), four),
            (v2(b" \x00\x00\x00"), Some(None)),
        ] {
            assert_eq!(ends(&header), expected, "{header:?}");
        }
    }
}
