//! Rows about the stream protocol.

use super::super::value::{listener, text};
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = listener_keys();
    keys.extend(advertised_keys());
    keys.extend([
        key("stream.frame_max", integer(8192..=256 << 20))
            .default("1048576")
            .help("Largest frame, in bytes.")
            .sets(|c, bytes| c.stream.frame_max = bytes),
        key("stream.heartbeat", integer(0..=86_400))
            .default("60")
            .help("Heartbeat interval offered, in seconds; 0 offers none.")
            .sets(|c, seconds| c.stream.heartbeat_s = seconds),
        key("stream.initial_credits", integer(1..=10_000_000))
            .default("50000")
            .help("Entries of a connection that may be unconfirmed; it is not read when there are so many.")
            .sets(|c, credits| c.stream.initial_credits = credits),
        key("stream.credits_required_for_unblocking", integer(0..=10_000_000))
            .default("12500")
            .help("Of these, how many must be confirmed before it is read again.")
            .sets(|c, credits| c.stream.unblocking_credits = credits),
    ]);
    keys
}

fn listener_keys() -> Vec<Key> {
    vec![
        key("stream.listeners.tcp", listener().list().or("none"))
            .term("rabbitmq_stream.tcp_listeners")
            .flags("--stream", "ADDR:PORT")
            .example("0.0.0.0:5552, [::]:5552")
            .help("Listeners of the stream protocol, all at once, by default port 5552; 'none' turns them off.")
            .sets(|c, addresses| c.stream.tcp.replace(addresses.unwrap_or_default())),
        key("stream.listeners.tcp.$name", listener())
            .default("default = 5552")
            .help("A listener of the stream protocol: port, or address and port.")
            .sets_named(|c, name, address| c.stream.tcp.set(name, address)),
        key("stream.listeners.ssl", listener().list().or("none"))
            .term("rabbitmq_stream.ssl_listeners")
            .default("none")
            .help("The same over TLS, with the certificates of ssl_options.")
            .sets(|c, addresses| c.stream.tls.replace(addresses.unwrap_or_default())),
        key("stream.listeners.ssl.$name", listener())
            .example("default = 5551")
            .help("A listener of the stream protocol over TLS.")
            .sets_named(|c, name, address| c.stream.tls.set(name, address)),
        key("stream.proxy_protocol", switch())
            .default("false")
            .help("Connections of the stream protocol begin with a PROXY protocol header.")
            .sets(|c, on| c.stream.proxy_protocol = on),
        key("stream.tcp_listen_options.backlog", integer(0..=i32::MAX as u64))
            .default("128")
            .help("Connections that may wait to be accepted.")
            .sets(|c, backlog| c.stream.socket.backlog = backlog),
        key("stream.tcp_listen_options.nodelay", switch())
            .default("true")
            .help("TCP_NODELAY: small writes leave at once.")
            .sets(|c, on| c.stream.socket.nodelay = on),
        key("stream.tcp_listen_options.keepalive", switch())
            .default("false")
            .help("SO_KEEPALIVE: the system finds out about dead peers.")
            .sets(|c, on| c.stream.socket.keepalive = on),
        key("stream.tcp_listen_options.sndbuf", binary_size(0..=1 << 30))
            .example("196608")
            .help("Send buffer of a socket, in bytes; by default the system decides.")
            .sets(|c, bytes| c.stream.socket.sndbuf = Some(bytes)),
        key("stream.tcp_listen_options.recbuf", binary_size(0..=1 << 30))
            .example("196608")
            .help("Receive buffer of a socket, in bytes; by default the system decides.")
            .sets(|c, bytes| c.stream.socket.recbuf = Some(bytes)),
    ]
}

fn advertised_keys() -> Vec<Key> {
    vec![
        key("stream.advertised_host", text())
            .example("broker-1.example.org")
            .help("The host that clients are told to connect to; by default that of the node's name.")
            .sets(|c, host| c.stream.advertised.host = Some(host)),
        key("stream.advertised_port", integer(1..=65_535))
            .example("5552")
            .help("The port that clients are told; by default that of the listener.")
            .sets(|c, port| c.stream.advertised.port = Some(port)),
        key("stream.advertised_tls_host", text())
            .example("broker-1.example.org")
            .help("The same for clients that speak TLS.")
            .sets(|c, host| c.stream.advertised_tls.host = Some(host)),
        key("stream.advertised_tls_port", integer(1..=65_535))
            .example("5551")
            .help("The same for clients that speak TLS.")
            .sets(|c, port| c.stream.advertised_tls.port = Some(port)),
    ]
}
