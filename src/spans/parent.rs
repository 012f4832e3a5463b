//! What a publisher says of its trace, in the headers of a message: `traceparent` and `tracestate` of the W3C's
//! recommendation.

use memchr::memmem;

use crate::codec::Properties;
use crate::types::Message;

/// The span that a message was sent in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parent {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// As it came; empty where there is none.
    pub state: String,
}

const HEADER: &str = "traceparent";
/// The longest `tracestate` that is passed on, in bytes: what everybody has to take.
const MOST_STATE: usize = 512;

impl Parent {
    /// Of a message that its publisher traces and has sampled.
    pub fn of(message: &Message) -> Option<Self> {
        memmem::find(message.properties(), HEADER.as_bytes())?;
        let headers = Properties::decode(message.properties()).ok()?.headers?;
        let state = headers.get("tracestate").and_then(|value| value.as_str());
        Self::parse(headers.get(HEADER)?.as_str()?, state.unwrap_or_default())
    }

    fn parse(header: &str, state: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let mut digits = |count: usize| {
            let part = parts.next().filter(|part| part.len() == count)?;
            let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            part.bytes().all(is_hex).then_some(part)
        };
        let version = digits(2).filter(|version| *version != "ff")?;
        let (trace_id, span_id) = (digits(32)?, digits(16)?);
        let flags = u8::from_str_radix(digits(2)?, 16).ok()?;
        // Later versions may have more behind it.
        let is_whole = version != "00" || parts.next().is_none();
        let is_one = |id: &str| id.bytes().any(|byte| byte != b'0');
        let is_sampled = flags & 1 == 1;
        (is_whole && is_one(trace_id) && is_one(span_id) && is_sampled).then(|| Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
            state: if state.len() > MOST_STATE { "" } else { state }.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn sampled_parents_are_taken_and_others_are_not() {
        let found = Parent::parse(&format!("00-{TRACE}-{SPAN}-01"), "a=1").expect("well formed");
        assert_eq!((found.trace_id.as_str(), found.span_id.as_str()), (TRACE, SPAN));
        assert_eq!(found.state, "a=1");
        assert!(Parent::parse(&format!("01-{TRACE}-{SPAN}-03-more"), "").is_some());
        let none = "0".repeat(32);
        for wrong in [
            String::new(),
            format!("00-{TRACE}-{SPAN}-00"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{none}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{SPAN}-{TRACE}-01"),
        ] {
            assert_eq!(Parent::parse(&wrong, ""), None, "{wrong}");
        }
    }
}
