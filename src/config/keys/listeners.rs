//! Rows about AMQP listeners and their sockets.

use super::super::value::{duration, listener, network};
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = vec![
        key("listeners.tcp", listener().list().or("none"))
            .term("rabbit.tcp_listeners")
            .flags("--amqp", "ADDR:PORT")
            .example("0.0.0.0:5672, [::]:5672")
            .help("Plain AMQP listeners, all at once, by default port 5672; 'none' turns them off.")
            .sets(|c, addresses| c.listeners.tcp.replace(addresses.unwrap_or_default())),
        key("listeners.tcp.$name", listener())
            .default("default = 5672")
            .help("A plain AMQP listener: port, or address and port.")
            .sets_named(|c, name, address| c.listeners.tcp.set(name, address)),
        key("listeners.ssl", listener().list().or("none"))
            .term("rabbit.ssl_listeners")
            .flags("--amqps", "ADDR:PORT")
            .default("none")
            .help("AMQP listeners over TLS, all at once.")
            .sets(|c, addresses| c.listeners.tls.replace(addresses.unwrap_or_default())),
        key("listeners.ssl.$name", listener())
            .example("default = 5671")
            .help("An AMQP listener over TLS.")
            .sets_named(|c, name, address| c.listeners.tls.set(name, address)),
        key("handshake_timeout", duration().or("infinity"))
            .default("10000")
            .help("Time for everything from the protocol header to open-ok.")
            .sets(|c, timeout| c.listeners.handshake_timeout = timeout),
        key("ssl_handshake_timeout", duration())
            .default("5000")
            .help("Time for the TLS handshake.")
            .sets(|c, timeout| c.listeners.tls_handshake_timeout = timeout),
        key("proxy_protocol", switch())
            .default("false")
            .help("AMQP connections begin with a PROXY protocol header.")
            .sets(|c, on| c.listeners.proxy_protocol = on),
        key("proxy_protocol.sources", network().list())
            .example("10.0.0.0/8, 192.0.2.7")
            .help("From where such headers are taken, also for HTTP; by default from anywhere.")
            .sets(|c, sources| c.listeners.proxy_sources = sources),
        key("tcp_listen_options.backlog", integer(0..=i32::MAX as u64))
            .default("128")
            .help("Connections that may wait to be accepted.")
            .sets(|c, backlog| c.listeners.socket.backlog = backlog),
        key("tcp_listen_options.nodelay", switch())
            .default("true")
            .help("TCP_NODELAY: small writes leave at once.")
            .sets(|c, on| c.listeners.socket.nodelay = on),
        key("tcp_listen_options.keepalive", switch())
            .default("false")
            .help("SO_KEEPALIVE: the system finds out about dead peers.")
            .sets(|c, on| c.listeners.socket.keepalive = on),
        key("tcp_listen_options.sndbuf", binary_size(0..=1 << 30))
            .example("196608")
            .help("Send buffer of a socket, in bytes; by default the system decides.")
            .sets(|c, bytes| c.listeners.socket.sndbuf = Some(bytes)),
        key("tcp_listen_options.recbuf", binary_size(0..=1 << 30))
            .example("196608")
            .help("Receive buffer of a socket, in bytes; by default the system decides.")
            .sets(|c, bytes| c.listeners.socket.recbuf = Some(bytes)),
    ];
    keys.extend(tls_keys("ssl_options", |c| &mut c.tls));
    keys
}
