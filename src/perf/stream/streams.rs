//! The streams of a run: made, deleted, and how much is in them.

use super::chunk::Chunk;
use super::link::Link;
use crate::perf::args::PerfArgs;
use crate::perf::link_error::LinkError;
use crate::stream_protocol::codec::request::Subscribe;
use crate::stream_protocol::codec::{Code, Key, Map, Request, StartAt};
use crate::types::FieldValue;

/// A connection to do it with, and their names.
pub struct Streams<'a> {
    link: Link,
    names: &'a [String],
}

impl<'a> Streams<'a> {
    /// Connects.
    pub fn open(args: &PerfArgs, names: &'a [String]) -> Result<Self, LinkError> {
        let link = Link::open(&args.uri, "warren perf control", 64 * 1024)?;
        Ok(Self { link, names })
    }

    /// Makes those that are not there; one that is stays as it is.
    pub fn create(&mut self, args: &PerfArgs) -> Result<(), LinkError> {
        let pairs: Vec<_> = args
            .queue_args
            .iter()
            .map(|(name, value)| (name, text(value)))
            .collect();
        let pairs = pairs.iter().map(|(name, value)| {
            let name = name.strip_prefix("x-").unwrap_or(name);
            (name, value.as_str())
        });
        let mut bytes = Vec::new();
        let arguments = Map::of(&mut bytes, pairs);
        for name in self.names {
            let stream = name.as_bytes();
            let (code, _) = self.link.ask_code("create", Request::Create { stream, arguments })?;
            if code != Code::Ok as u16 && code != Code::StreamExists as u16 {
                return Err(LinkError::Refused { what: "create", code });
            }
        }
        Ok(())
    }

    /// Deletes them.
    pub fn delete(&mut self) -> Result<(), LinkError> {
        for name in self.names {
            let stream = name.as_bytes();
            self.link.ask("delete", Request::Delete { stream })?;
        }
        Ok(())
    }

    /// Messages in all of them, from the first chunk to the last; they must exist.
    pub fn backlog(&mut self) -> Result<u64, LinkError> {
        let mut messages = 0;
        for name in self.names {
            messages += self.messages(name)?;
        }
        Ok(messages)
    }

    fn messages(&mut self, name: &str) -> Result<u64, LinkError> {
        let stream = name.as_bytes();
        let stats = self.link.ask("stream stats", Request::StreamStats { stream })?;
        if number(&stats, "committed_chunk_id") < Some(0) {
            return Ok(0);
        }
        let first = number(&stats, "first_chunk_id").ok_or(LinkError::Strange("stream stats without a first chunk"))?;
        // How long the last chunk is nobody tells but the chunk.
        let subscribe = Subscribe {
            subscription: 0,
            stream,
            start: StartAt::Last,
            credit: 1,
            properties: Map::default(),
        };
        self.link.put(Request::Subscribe(subscribe));
        let end = self.link.wait_for("subscribe", |frame| {
            let is_it = frame.key == Key::Deliver as u16 && !frame.is_answer;
            is_it.then(|| Chunk::read(frame.body.get(1..).unwrap_or_default()).map(|last| last.first + last.records))
        })??;
        self.link.ask("unsubscribe", Request::Unsubscribe { subscription: 0 })?;
        Ok(end.saturating_sub(first as u64))
    }

    /// Says goodbye.
    pub fn close(self) {
        self.link.close(std::time::Duration::from_secs(5));
    }
}

/// The number of that name in an answer about a stream.
fn number(stats: &[u8], name: &str) -> Option<i64> {
    let at = stats.windows(name.len()).position(|window| window == name.as_bytes())?;
    let bytes = stats.get(at + name.len()..)?.first_chunk::<8>()?;
    Some(i64::from_be_bytes(*bytes))
}

/// An argument as the stream protocol writes it.
fn text(value: &FieldValue) -> String {
    match value {
        FieldValue::LongString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        FieldValue::I64(number) => number.to_string(),
        FieldValue::Boolean(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}
