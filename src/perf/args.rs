//! The options of `warren perf`, named as PerfTest names them where it has the same.

use crate::perf::limits;
use clap::{Args, ValueEnum};

use super::limits::MAX_PUBLISHERS;
use super::stamp;
use super::uri::{Protocol, Uri};
use crate::stream_protocol::codec::StartAt;
use crate::types::FieldValue;

/// Subscriptions that a connection may have.
const MOST_SUBSCRIPTIONS: usize = 256;

/// Puts load on a broker and reports throughput and latency.
#[derive(Args, Debug, Clone)]
pub struct PerfArgs {
    /// Brokers to connect to, as amqp://user:password@host:port/vhost, or rabbitmq-stream:// for the stream protocol;
    /// connections take turns
    #[arg(long, value_delimiter = ',', default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    pub uri: Vec<Uri>,
    /// Publishers, each a connection and a thread
    #[arg(short = 'x', long, visible_alias = "producers", default_value_t = 1)]
    pub publishers: usize,
    /// Consumers, each a connection and a thread
    #[arg(short = 'y', long, default_value_t = 1)]
    pub consumers: usize,
    /// Name of the queue, and the beginning of the names when there are several
    #[arg(short = 'u', long, default_value = "warren-perf")]
    pub queue: String,
    /// Number of queues
    #[arg(long, default_value_t = 1)]
    pub queues: usize,
    /// Type of the queues; without it the broker's default
    #[arg(long)]
    pub queue_type: Option<QueueType>,
    /// Further queue arguments, as name=value; numbers and true or false are sent as such
    #[arg(long, value_delimiter = ',', value_parser = argument)]
    pub queue_args: Vec<(String, FieldValue)>,
    /// Declare the queues (and the exchange) as not durable
    #[arg(long)]
    pub transient_queue: bool,
    /// Publish to an exchange of this type instead of the default exchange; fanout copies to all queues
    #[arg(short = 't', long, value_name = "TYPE")]
    pub exchange: Option<String>,
    /// Bindings of a topic exchange, spread over the queues; publishers go through keys that match each of them
    #[arg(long, default_value_t = 0)]
    pub bindings: usize,
    /// Body size in bytes
    #[arg(short = 's', long, default_value_t = 16)]
    pub size: usize,
    /// Messages per second of each publisher; without it as many as go
    #[arg(short = 'r', long)]
    pub rate: Option<u64>,
    /// Messages a publisher may have unconfirmed; 0 publishes without confirms
    #[arg(short = 'c', long, value_name = "WINDOW", default_value_t = 0)]
    pub confirm: usize,
    /// Messages a consumer may have unacknowledged; 0 is no limit
    #[arg(short = 'q', long, visible_alias = "qos", default_value_t = 1000)]
    pub prefetch: u16,
    /// Acknowledge every so many messages at once; 0 consumes without acknowledgements
    #[arg(
        short = 'A',
        long,
        visible_alias = "multi-ack-every",
        value_name = "N",
        default_value_t = 1
    )]
    pub ack_every: u64,
    /// Messages in one publish frame of the stream protocol
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub per_frame: usize,
    /// Chunks a consumer of the stream protocol may be sent ahead
    #[arg(long, value_name = "CHUNKS", default_value_t = 10)]
    pub credit: u16,
    /// Publishers of the stream protocol have names, by which the broker drops what it has already
    #[arg(long)]
    pub named: bool,
    /// Where consumers of a stream begin: first, last, next or an offset; without it at its end, with --drain at its
    /// beginning
    #[arg(long, value_name = "OFFSET", value_parser = start)]
    pub stream_offset: Option<Start>,
    /// Publish with delivery mode 2 (the default)
    #[arg(long, conflicts_with = "transient")]
    pub persistent: bool,
    /// Publish with delivery mode 1
    #[arg(long)]
    pub transient: bool,
    /// Publish as mandatory; what no queue takes is returned and counted
    #[arg(long)]
    pub mandatory: bool,
    /// Stop after so many published messages, all publishers together; with --drain after so many consumed
    #[arg(short = 'C', long, value_name = "N")]
    pub messages: Option<u64>,
    /// Stop after so many measured seconds; without this and --messages, when interrupted
    #[arg(short = 'z', long, value_name = "N")]
    pub seconds: Option<f64>,
    /// Seconds of load before measuring begins
    #[arg(long, value_name = "N", default_value_t = 0.0)]
    pub warmup: f64,
    /// Print one JSON object at the end; live lines go to the error output
    #[arg(long)]
    pub json: bool,
    /// Measure the time from publish to delivery, with times in the bodies
    #[arg(long)]
    pub latency: bool,
    /// Check that every message arrives once, whole and in order
    #[arg(long)]
    pub verify: bool,
    /// Consume what is in existing queues until they are empty, and publish nothing
    #[arg(long)]
    pub drain: bool,
    /// Keep the queues and the exchange at the end
    #[arg(long)]
    pub keep: bool,
    /// Delete the queues after --drain, which otherwise leaves them
    #[arg(long, requires = "drain", conflicts_with = "keep")]
    pub delete: bool,
    /// Only open so many connections and hold them, for --seconds or until interrupted
    #[arg(long, visible_alias = "connections-only", value_name = "N", conflicts_with_all = ["drain", "declare"])]
    pub idle: Option<usize>,
    /// Only declare so many queues one after the other and report the time
    #[arg(long, value_name = "N", conflicts_with = "drain")]
    pub declare: Option<usize>,
    /// Only let so many clients a second come and go, --publishers at a time at most: each declares a queue,
    /// publishes five messages, consumes them, deletes the queue and closes
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["drain", "declare", "idle"]
    )]
    pub churn: Option<u32>,
}

/// Queue types as `x-queue-type` names them.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    Classic,
    Quorum,
    Stream,
}

impl QueueType {
    /// The value of `x-queue-type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Quorum => "quorum",
            Self::Stream => "stream",
        }
    }
}

/// Where consumers of a stream begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    First,
    Last,
    Next,
    Offset(u64),
}

impl From<Start> for StartAt {
    fn from(start: Start) -> Self {
        match start {
            Start::First => Self::First,
            Start::Last => Self::Last,
            Start::Next => Self::Next,
            Start::Offset(offset) => Self::Offset(offset),
        }
    }
}

impl From<Start> for FieldValue {
    /// As `x-stream-offset` says it.
    fn from(start: Start) -> Self {
        match start {
            Start::First => Self::text("first"),
            Start::Last => Self::text("last"),
            Start::Next => Self::text("next"),
            Start::Offset(offset) => Self::I64(offset.cast_signed()),
        }
    }
}

/// Options that do not go together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct Contradiction(&'static str);

impl PerfArgs {
    /// Looks for options that cannot work together.
    pub fn check(&self) -> Result<(), Contradiction> {
        let stream = self.is_of_streams();
        let speaks_stream = self.speaks_stream();
        let only_speaks_stream = speaks_stream && self.publishers > 0 && !self.drain;
        let rules = [
            (
                self.uri.iter().any(|uri| uri.protocol != self.uri[0].protocol),
                "all addresses must be of one protocol",
            ),
            (
                speaks_stream && (self.idle.is_some() || self.declare.is_some() || self.churn.is_some()),
                "--idle, --declare and --churn are for AMQP 0-9-1",
            ),
            (
                speaks_stream && (self.exchange.is_some() || self.mandatory || self.transient || self.transient_queue),
                "over the stream protocol there are no exchanges, and all is durable",
            ),
            (
                speaks_stream && self.queue_type.is_some_and(|kind| kind != QueueType::Stream),
                "over the stream protocol there are only streams",
            ),
            (
                only_speaks_stream && self.confirm == 0,
                "the stream protocol always confirms: --confirm must be at least 1",
            ),
            (
                only_speaks_stream && self.queues > self.publishers,
                "a publisher of the stream protocol writes to one stream: --publishers must not be under --queues",
            ),
            (
                speaks_stream && self.queues.div_ceil(self.consumers.max(1)) > MOST_SUBSCRIPTIONS,
                "at most 256 streams for each consumer",
            ),
            (self.per_frame == 0, "--per-frame must be at least 1"),
            (self.credit == 0, "--credit must be at least 1"),
            (!speaks_stream && self.named, "--named is for the stream protocol"),
            (
                !stream && self.stream_offset.is_some(),
                "--stream-offset is for streams",
            ),
            (self.queues == 0, "--queues must be at least 1"),
            (
                self.publishers > usize::from(MAX_PUBLISHERS),
                "at most 10000 publishers",
            ),
            (self.rate == Some(0), "--rate must be at least 1"),
            (
                self.prefetch != 0 && self.ack_every > u64::from(self.prefetch),
                "--ack-every over --prefetch would wait for ever",
            ),
            (
                self.bindings > 0 && self.exchange.as_deref() != Some("topic"),
                "--bindings needs --exchange topic",
            ),
            (self.bindings > limits::MAX_BINDINGS, "at most 100000 bindings"),
            (
                self.verify && self.size < stamp::SEQ_BYTES,
                "--verify needs bodies of 8 bytes or more",
            ),
            (
                self.latency && self.size < stamp::STAMP_BYTES,
                "--latency needs bodies of 16 bytes or more",
            ),
            (
                stream && !speaks_stream && (self.ack_every == 0 || self.prefetch == 0),
                "streams need --ack-every and --prefetch",
            ),
            (
                stream && self.verify && self.consumers > self.queues,
                "--verify of a stream needs one consumer per queue: each reads everything",
            ),
            (self.drain && self.consumers == 0, "--drain needs a consumer"),
            (
                !self.drain && self.publishers + self.consumers == 0,
                "without publishers and consumers there is nothing to do",
            ),
            (
                self.seconds.is_some_and(|s| !(0.0..1e9).contains(&s)) || !(0.0..1e9).contains(&self.warmup),
                "--seconds and --warmup must not be negative",
            ),
        ];
        match rules.iter().find(|(broken, _)| *broken) {
            Some((_, text)) => Err(Contradiction(text)),
            None => Ok(()),
        }
    }

    /// Whether the stream protocol is spoken.
    pub fn speaks_stream(&self) -> bool {
        self.uri.first().is_some_and(|uri| uri.protocol == Protocol::Stream)
    }

    /// Whether the queues are streams.
    pub fn is_of_streams(&self) -> bool {
        self.speaks_stream() || self.queue_type == Some(QueueType::Stream)
    }

    /// Where consumers of a stream begin. A new one is read from its end, which is where the publishers begin; a
    /// backlog from its beginning.
    pub fn start(&self) -> Start {
        let usual = if self.drain { Start::First } else { Start::Next };
        self.stream_offset.unwrap_or(usual)
    }

    /// The addresses for connection number `index`: the one whose turn it is, then the others.
    pub fn uris_for(&self, index: usize) -> Vec<Uri> {
        let mut uris = self.uri.clone();
        let turn = index % uris.len().max(1);
        uris.rotate_left(turn);
        uris
    }
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "first" => Ok(Start::First),
        "last" => Ok(Start::Last),
        "next" => Ok(Start::Next),
        offset => offset
            .parse()
            .map(Start::Offset)
            .map_err(|_| "expected first, last, next or a number".to_owned()),
    }
}

fn argument(text: &str) -> Result<(String, FieldValue), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    let value = match (value, value.parse::<i64>()) {
        ("true", _) => FieldValue::Boolean(true),
        ("false", _) => FieldValue::Boolean(false),
        (_, Ok(number)) => FieldValue::I64(number),
        (text, Err(_)) => FieldValue::text(text),
    };
    Ok((name.to_owned(), value))
}

#[cfg(test)]
pub mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: PerfArgs,
    }

    /// The options of a command line.
    pub fn parsed(line: &str) -> PerfArgs {
        let words = std::iter::once("perf").chain(line.split_whitespace());
        Command::try_parse_from(words).map(|command| command.args).expect(line)
    }

    #[test]
    fn queue_arguments_have_the_types_they_look_like() {
        let args =
            parsed("--queue-args x-max-length=10,x-single-active-consumer=true --queue-args x-overflow=drop-head");
        assert_eq!(
            args.queue_args,
            [
                ("x-max-length".to_owned(), FieldValue::I64(10)),
                ("x-single-active-consumer".to_owned(), FieldValue::Boolean(true)),
                ("x-overflow".to_owned(), FieldValue::text("drop-head")),
            ]
        );
    }

    #[test]
    fn connections_take_turns_over_several_addresses() {
        let args = parsed("--uri amqp://a,amqp://b --uri amqp://c");
        let hosts: Vec<_> = args.uris_for(4).into_iter().map(|uri| uri.host).collect();
        assert_eq!(hosts, ["b", "c", "a"]);
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        assert_eq!(parsed("").check(), Ok(()));
        assert_eq!(
            parsed("--uri rabbitmq-stream://h -c 1 --stream-offset 7").check(),
            Ok(())
        );
        for line in [
            "--ack-every 10 --prefetch 5",
            "--bindings 3",
            "--verify --size 4",
            "--latency --size 8",
            "--queue-type stream --ack-every 0",
            "-x 0 -y 0",
            "--queues 0",
            "--warmup=-1",
            "--stream-offset first",
            "--named",
            "--uri rabbitmq-stream://h --confirm 0",
            "--uri rabbitmq-stream://h,amqp://h -c 1",
            "--uri rabbitmq-stream://h -c 1 -t topic",
            "--uri rabbitmq-stream://h -c 1 --queues 2",
        ] {
            assert!(parsed(line).check().is_err(), "{line}");
        }
    }
}
