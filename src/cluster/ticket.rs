//! A request to the HTTP API by whoever has the cluster's secret: signed with it, for that request and
//! the next moment only. The secret itself is not sent.
//!
//! `Warren TIME.NONCE.SIGNATURE`, in seconds since 1970 and hexadecimal. Whoever reads the line could
//! send the same request again: it is for TLS, and for lines inside of a machine. A nonce is taken once.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::secret::SharedSecret;

/// The scheme of the header.
pub const SCHEME: &str = "Warren";
/// How far the clocks of the two may be apart.
const WINDOW: Duration = Duration::from_secs(60);
/// Tickets of one window; more are refused.
const MOST: usize = 10_000;

/// The header for a request made now; `path` is with its query, as it is sent.
pub fn sign(secret: &SharedSecret, verb: &str, path: &str, now: SystemTime) -> String {
    let at = seconds(now);
    let nonce = rand::random();
    let signature = signed(secret, verb, path, at, nonce).finalize().into_bytes();
    let signature = String::from_iter(signature.iter().map(|byte| format!("{byte:02x}")));
    format!("{SCHEME} {at:x}.{nonce:x}.{signature}")
}

/// The tickets that were taken of late.
#[derive(Default)]
pub struct Tickets(Mutex<BTreeSet<(u64, u64)>>);

impl Tickets {
    /// Whether what stands behind the scheme is a ticket for this request, and a new one.
    pub fn take(&self, secret: &SharedSecret, verb: &str, path: &str, ticket: &str, now: SystemTime) -> bool {
        let Some((at, nonce, signature)) = read(ticket) else {
            return false;
        };
        let (now, window) = (seconds(now), WINDOW.as_secs());
        if now.abs_diff(at) > window || signed(secret, verb, path, at, nonce).verify_slice(&signature).is_err() {
            return false;
        }
        let mut taken = self.0.lock();
        *taken = taken.split_off(&(now.saturating_sub(window), 0));
        taken.len() < MOST && taken.insert((at, nonce))
    }
}

fn signed(secret: &SharedSecret, verb: &str, path: &str, at: u64, nonce: u64) -> Hmac<Sha256> {
    let mut mac = secret.mac();
    // So that it is never taken for something of the handshake between nodes.
    mac.update(format!("warren ticket\n{at:x}\n{nonce:x}\n{verb}\n{path}").as_bytes());
    mac
}

fn read(ticket: &str) -> Option<(u64, u64, Vec<u8>)> {
    let mut parts = ticket.split('.');
    let (at, nonce, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let number = |text| u64::from_str_radix(text, 16).ok();
    let bytes = (0..signature.len()).step_by(2).map(|at| {
        let byte = signature.get(at..at + 2)?;
        u8::from_str_radix(byte, 16).ok()
    });
    Some((number(at)?, number(nonce)?, bytes.collect::<Option<_>>()?))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn later(by: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + by)
    }

    fn taken(tickets: &Tickets, verb: &str, path: &str, header: &str, now: SystemTime) -> bool {
        let ticket = header.strip_prefix("Warren ").expect("the scheme");
        tickets.take(&SharedSecret::from("secret"), verb, path, ticket, now)
    }

    #[test]
    fn a_ticket_is_for_one_request_and_taken_once() {
        let tickets = Tickets::default();
        let header = sign(&SharedSecret::from("secret"), "GET", "/api/nodes", later(0));
        assert!(!taken(&tickets, "DELETE", "/api/nodes", &header, later(1)));
        assert!(!taken(&tickets, "GET", "/api/users", &header, later(1)));
        assert!(taken(&tickets, "GET", "/api/nodes", &header, later(1)));
        assert!(!taken(&tickets, "GET", "/api/nodes", &header, later(2)), "again");
    }

    #[test]
    fn a_ticket_ends_and_is_of_who_has_the_secret() {
        let tickets = Tickets::default();
        let header = sign(&SharedSecret::from("secret"), "GET", "/", later(0));
        assert!(!taken(&tickets, "GET", "/", &header, later(61)));
        let other = sign(&SharedSecret::from("another"), "GET", "/", later(0));
        assert!(!taken(&tickets, "GET", "/", &other, later(0)));
        assert!(taken(&tickets, "GET", "/", &header, later(60)));
    }

    #[test]
    fn what_is_no_ticket_is_refused() {
        let tickets = Tickets::default();
        for text in [
            "Warren ",
            "Warren 1.2",
            "Warren x.y.z",
            "Warren 1.2.é",
            "Warren 1.2.abc",
        ] {
            assert!(!taken(&tickets, "GET", "/", text, later(0)), "{text}");
        }
    }
}
