//! What systemd is told by the process that it started (sd_notify(3)), and what the process takes from the
//! system.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Tells the service manager, where there is one.
pub fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let told = UnixDatagram::unbound().and_then(|from| {
        let name = socket.as_encoded_bytes();
        match name.strip_prefix(b"@") {
            Some(name) => from.send_to_addr(state.as_bytes(), &SocketAddr::from_abstract_name(name)?),
            None => from.send_to(state.as_bytes(), Path::new(&socket)),
        }
    });
    if let Err(error) = told {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

/// Tells it that the process goes on, as often as it asks for. A process in which no task gets a turn any more
/// is one that it starts again.
pub async fn keep_watchdog() {
    let Some(period) = watchdog_period(std::env::var("WATCHDOG_USEC").ok().as_deref()) else {
        return;
    };
    loop {
        tell("WATCHDOG=1");
        tokio::time::sleep(period).await;
    }
}

/// Twice as often as it must be told, so that one time may be late.
fn watchdog_period(microseconds: Option<&str>) -> Option<Duration> {
    let microseconds: u64 = microseconds?.parse().ok()?;
    (microseconds > 0).then(|| Duration::from_micros(microseconds / 2))
}

/// Takes as many file descriptors as the system lets this process have, and says how many those are: a
/// connection needs one.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files cannot be raised");
        }
    }
    let limit = getrlimit(Resource::Nofile).current;
    match limit {
        Some(files) if files < FEW => tracing::warn!(files, "few files may be open at once, and so few connections"),
        _ => tracing::info!(files = limit, "files that may be open at once"),
    }
}

/// Open files that are few for a broker.
const FEW: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_told_twice_as_often_as_it_asks() {
        assert_eq!(watchdog_period(Some("30000000")), Some(Duration::from_secs(15)));
        assert_eq!(watchdog_period(None), None);
        assert_eq!(watchdog_period(Some("0")), None);
        assert_eq!(watchdog_period(Some("soon")), None);
    }
}
