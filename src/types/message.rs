//! A message: one allocation from the publisher's socket to the consumers'.
//!
//! Exchange, routing key, raw properties and body lie one behind the other after a small head;
//! a body of [`LARGE_BODY`] bytes or more has a buffer of its own that is never copied. The
//! properties stay as the publisher encoded them; [`Traits`] holds the few that the broker reads.

use bytes::Bytes;
use triomphe::ThinArc;

use super::units::Millis;

/// Bodies of this many bytes or more keep the buffer they were read into.
pub const LARGE_BODY: usize = 16 * 1024;

/// What the broker needs to know of a message's properties.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits {
    /// delivery-mode 2.
    pub persistent: bool,
    /// The priority property; `None` when absent.
    pub priority: Option<u8>,
    /// The expiration property, already checked.
    pub expiration: Option<Millis>,
}

/// The pieces a message is made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageParts<'a> {
    pub exchange: &'a [u8],
    pub routing_key: &'a [u8],
    /// Property flags and property list, as in the content header after the body size.
    pub properties: &'a [u8],
    pub traits: Traits,
}

#[derive(Debug)]
struct Head {
    exchange_len: u8,
    key_len: u8,
    properties_len: u32,
    traits: Traits,
    deaths: Deaths,
    large_body: Option<Bytes>,
}

/// What the broker remembers of a dead letter, beside the headers it wrote: in the highest bit
/// whether it is one, in the others how often quorum queues delivered it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Deaths(u16);

impl Deaths {
    const DIED: u16 = 1 << 15;

    fn died(self) -> bool {
        self.0 & Self::DIED != 0
    }

    fn deliveries(self) -> u16 {
        self.0 & !Self::DIED
    }
}

/// A published message; clones share it.
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

/// Why stored bytes are not a message.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("stored message is damaged")]
pub struct DamagedMessage;

impl Message {
    /// A message whose small body is copied behind its head. `scratch` is cleared and used to
    /// gather the pieces, so that its capacity is used again for the next message.
    pub fn new(parts: MessageParts<'_>, body: &[u8], scratch: &mut Vec<u8>) -> Self {
        let large_body = (body.len() >= LARGE_BODY).then(|| Bytes::copy_from_slice(body));
        Self::gather(parts, body, large_body, Deaths::default(), scratch)
    }

    /// A message around a body that already has its own buffer.
    pub fn with_body(parts: MessageParts<'_>, body: Bytes) -> Self {
        let large_body = (body.len() >= LARGE_BODY).then(|| body.clone());
        Self::gather(parts, &body, large_body, Deaths::default(), &mut Vec::new())
    }

    /// The exchange it was published to; at most 255 bytes.
    pub fn exchange(&self) -> &[u8] {
        &self.0.slice[..self.0.header.header.exchange_len.into()]
    }

    /// The exchange's name; names are checked to be UTF-8 before a message is made.
    pub fn exchange_str(&self) -> &str {
        std::str::from_utf8(self.exchange()).unwrap_or_default()
    }

    /// The routing key, which need not be UTF-8; at most 255 bytes.
    pub fn routing_key(&self) -> &[u8] {
        let start = usize::from(self.0.header.header.exchange_len);
        &self.0.slice[start..start + usize::from(self.0.header.header.key_len)]
    }

    /// Property flags and property list as they go on the wire.
    pub fn properties(&self) -> &[u8] {
        let start = self.names_len();
        &self.0.slice[start..start + self.0.header.header.properties_len as usize]
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        match &self.0.header.header.large_body {
            Some(body) => body,
            None => &self.0.slice[self.names_len() + self.0.header.header.properties_len as usize..],
        }
    }

    /// The body's own buffer when it is a large one.
    pub fn large_body(&self) -> Option<&Bytes> {
        self.0.header.header.large_body.as_ref()
    }

    /// The properties the broker reads.
    pub fn traits(&self) -> Traits {
        self.0.header.header.traits
    }

    /// Bytes this message keeps in memory, for limits of caches.
    pub fn memory(&self) -> usize {
        64 + self.0.slice.len() + self.0.header.header.large_body.as_ref().map_or(0, Bytes::len)
    }

    /// Whether it was dead-lettered before, so that its death headers are the broker's own. What a
    /// client sends under their names means nothing.
    pub fn died(&self) -> bool {
        self.0.header.header.deaths.died()
    }

    /// How often quorum queues that it died in delivered it; the next one counts on from here.
    pub fn deliveries(&self) -> u32 {
        self.0.header.header.deaths.deliveries().into()
    }

    /// The same message with other properties or another target.
    pub fn rewritten(&self, parts: MessageParts<'_>) -> Self {
        self.copied(parts, self.0.header.header.deaths)
    }

    /// The same message as dead-lettering makes it: from now on its death headers count.
    pub fn rewritten_by_death(&self, parts: MessageParts<'_>) -> Self {
        self.copied(parts, Deaths(self.0.header.header.deaths.0 | Deaths::DIED))
    }

    /// The same message with so many bytes of its body at most.
    pub fn cut(&self, body_bytes: usize) -> Self {
        let body = self.body();
        if body.len() <= body_bytes {
            return self.clone();
        }
        let parts = MessageParts {
            exchange: self.exchange(),
            routing_key: self.routing_key(),
            properties: self.properties(),
            traits: self.traits(),
        };
        let body = &body[..body_bytes];
        let large_body = (body.len() >= LARGE_BODY).then(|| Bytes::copy_from_slice(body));
        Self::gather(parts, body, large_body, self.0.header.header.deaths, &mut Vec::new())
    }

    /// The same message with that many deliveries counted.
    pub fn with_deliveries(&self, deliveries: u32) -> Self {
        let parts = MessageParts {
            exchange: self.exchange(),
            routing_key: self.routing_key(),
            properties: self.properties(),
            traits: self.traits(),
        };
        let died = self.0.header.header.deaths.0 & Deaths::DIED;
        let deliveries = deliveries.min((Deaths::DIED - 1).into()) as u16;
        self.copied(parts, Deaths(died | deliveries))
    }

    /// Bytes of the stored form.
    pub fn stored_len(&self) -> usize {
        let (head, [rest, large]) = self.stored();
        head.len() + rest.len() + large.len()
    }

    /// The stored form in pieces, to be written one after the other: head, names and properties
    /// (and small body), large body.
    pub fn stored(&self) -> ([u8; STORED_HEAD], [&[u8]; 2]) {
        let head = &self.0.header.header;
        let mut bytes = [0; STORED_HEAD];
        bytes[0] = head.exchange_len;
        bytes[1] = head.key_len;
        bytes[2..6].copy_from_slice(&head.properties_len.to_le_bytes());
        let traits = head.traits;
        bytes[6] = u8::from(traits.persistent)
            | u8::from(traits.priority.is_some()) << 1
            | u8::from(traits.expiration.is_some()) << 2;
        bytes[7] = traits.priority.unwrap_or(0);
        bytes[8..16].copy_from_slice(&traits.expiration.map_or(0, |ttl| ttl.0).to_le_bytes());
        bytes[16..18].copy_from_slice(&head.deaths.0.to_le_bytes());
        (bytes, [&self.0.slice, head.large_body.as_deref().unwrap_or_default()])
    }

    /// Reads what [`Message::stored`] gave.
    pub fn from_stored(bytes: &[u8]) -> Result<Self, DamagedMessage> {
        let (head, rest) = bytes.split_first_chunk::<STORED_HEAD>().ok_or(DamagedMessage)?;
        let (exchange_len, key_len) = (usize::from(head[0]), usize::from(head[1]));
        let properties_len = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (exchange, rest) = rest.split_at_checked(exchange_len).ok_or(DamagedMessage)?;
        let (routing_key, rest) = rest.split_at_checked(key_len).ok_or(DamagedMessage)?;
        let (properties, body) = rest.split_at_checked(properties_len).ok_or(DamagedMessage)?;
        let ttl = u64::from_le_bytes(head[8..16].try_into().map_err(|_| DamagedMessage)?);
        let traits = Traits {
            persistent: head[6] & 1 != 0,
            priority: (head[6] & 2 != 0).then_some(head[7]),
            expiration: (head[6] & 4 != 0).then_some(Millis(ttl)),
        };
        let parts = MessageParts {
            exchange,
            routing_key,
            properties,
            traits,
        };
        let deaths = Deaths(u16::from_le_bytes([head[16], head[17]]));
        let large_body = (body.len() >= LARGE_BODY).then(|| Bytes::copy_from_slice(body));
        Ok(Self::gather(
            parts,
            body,
            large_body,
            deaths,
            &mut Vec::with_capacity(bytes.len()),
        ))
    }

    fn copied(&self, parts: MessageParts<'_>, deaths: Deaths) -> Self {
        let large_body = self.large_body().cloned();
        Self::gather(parts, self.body(), large_body, deaths, &mut Vec::new())
    }

    /// Puts a message together; `body` is copied behind the head unless it has its own buffer.
    fn gather(
        parts: MessageParts<'_>,
        body: &[u8],
        large_body: Option<Bytes>,
        deaths: Deaths,
        scratch: &mut Vec<u8>,
    ) -> Self {
        debug_assert!(parts.exchange.len() <= 255 && parts.routing_key.len() <= 255);
        scratch.clear();
        scratch.extend_from_slice(parts.exchange);
        scratch.extend_from_slice(parts.routing_key);
        scratch.extend_from_slice(parts.properties);
        if large_body.is_none() {
            scratch.extend_from_slice(body);
        }
        let head = Head {
            exchange_len: parts.exchange.len() as u8,
            key_len: parts.routing_key.len() as u8,
            properties_len: parts.properties.len() as u32,
            traits: parts.traits,
            deaths,
            large_body,
        };
        Self(ThinArc::from_header_and_slice(head, scratch))
    }

    fn names_len(&self) -> usize {
        usize::from(self.0.header.header.exchange_len) + usize::from(self.0.header.header.key_len)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &String::from_utf8_lossy(self.exchange()))
            .field("routing_key", &String::from_utf8_lossy(self.routing_key()))
            .field("body_bytes", &self.body().len())
            .finish()
    }
}

/// Bytes before the names in the stored form.
pub const STORED_HEAD: usize = 18;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(traits: Traits) -> MessageParts<'static> {
        MessageParts {
            exchange: b"ex",
            routing_key: b"key",
            properties: &[0, 0],
            traits,
        }
    }

    #[test]
    fn a_message_comes_back_from_its_stored_form() {
        let traits = Traits {
            persistent: true,
            priority: Some(3),
            expiration: Some(Millis(5)),
        };
        for size in [0, 10, LARGE_BODY + 1] {
            let body = vec![7; size];
            let message = Message::new(parts(traits), &body, &mut Vec::new());
            let (head, [names, large]) = message.stored();
            let stored = [&head[..], names, large].concat();
            let back = Message::from_stored(&stored).expect("just stored");
            assert_eq!(back.exchange(), b"ex");
            assert_eq!(back.routing_key(), b"key");
            assert_eq!(back.properties(), &[0, 0]);
            assert_eq!(back.body(), body);
            assert_eq!(back.traits(), traits);
            assert_eq!(
                Message::from_stored(&stored[..STORED_HEAD + 3]).err(),
                Some(DamagedMessage)
            );
        }
    }

    #[test]
    fn deaths_go_with_a_message_wherever_it_goes() {
        for size in [1, LARGE_BODY] {
            let fresh = Message::new(parts(Traits::default()), &vec![7; size], &mut Vec::new());
            assert_eq!((fresh.died(), fresh.deliveries()), (false, 0));
            let counted = fresh.with_deliveries(3);
            assert_eq!((counted.died(), counted.deliveries()), (false, 3));
            let dead = counted.rewritten_by_death(parts(Traits::default()));
            let (head, [names, large]) = dead.stored();
            let back = Message::from_stored(&[&head[..], names, large].concat()).expect("just stored");
            let again = back.rewritten(parts(Traits::default()));
            assert_eq!(
                (again.died(), again.deliveries(), again.body()),
                (true, 3, fresh.body())
            );
            assert_eq!(fresh.with_deliveries(u32::MAX).deliveries(), 0x7fff);
        }
    }
}
