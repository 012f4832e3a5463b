//! A page of metrics: which rows of the table it has, whether things stand there one by one, and the text.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::catalogue::{ALWAYS, FAMILIES, Family, Metric, Read, Row, Where};
use super::facts::{BOUNDS, Facts, Protocol};
use super::number::Number;
use crate::statistics::{LatencyTotals, SIZES};

/// The format of the text (Prometheus 0.0.4), as RabbitMQ names it.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// What a scraper asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// The node, and sums over queues, connections and channels.
    Sums,
    /// The same with each of them by itself.
    Each,
    /// Some families, each thing by itself; of these vhosts only, unless there are none.
    Detailed { families: Vec<String>, vhosts: Vec<String> },
    /// What takes how much memory.
    Memory,
}

/// The lists of [`Facts`] that a page reads: others need not be gathered.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Needs {
    pub queues: bool,
    /// What was counted of queues, of their types, and of exchanges.
    pub traffic: bool,
    pub connections: bool,
    pub channels: bool,
    pub groups: bool,
    pub exchanges: bool,
    pub vhosts: bool,
}

impl Page {
    /// What is to be gathered for it.
    pub fn needs(&self) -> Needs {
        let mut needs = Needs::default();
        for family in self.families() {
            for metric in family.metrics {
                match metric.read {
                    Read::Queue(_) | Read::Queues => needs.queues = true,
                    Read::QueueTraffic(_) | Read::TypeTraffic(_) | Read::ExchangeTraffic(_) => needs.traffic = true,
                    Read::Protocol(_) | Read::Sizes => needs.channels = true,
                    Read::Connection(_) => needs.connections = true,
                    Read::Channel(_) => needs.channels = true,
                    Read::Group(_) => needs.groups = true,
                    Read::Exchange(_) => needs.exchanges = true,
                    Read::Vhost(_) => needs.vhosts = true,
                    Read::Node(_)
                    | Read::Times(_)
                    | Read::About(_)
                    | Read::Link(_)
                    | Read::Logins(_)
                    | Read::Certificate(_)
                    | Read::Deaths(_)
                    | Read::Stream(_)
                    | Read::StreamErrors(_) => {}
                }
            }
        }
        needs
    }

    /// Whether it tells of things of that vhost.
    pub fn shows_vhost(&self, vhost: &str) -> bool {
        match self {
            Self::Detailed { vhosts, .. } if !vhosts.is_empty() => vhosts.iter().any(|wanted| wanted == vhost),
            _ => true,
        }
    }

    /// The page in the text format.
    pub fn text(&self, facts: Facts) -> String {
        let facts = Arc::new(facts);
        let mut registry = Registry::default();
        let in_detail = matches!(self, Self::Detailed { .. });
        let one_by_one = in_detail || *self == Self::Each;
        for family in self.families() {
            let prefix = match in_detail {
                true => family.detailed_prefix,
                false => family.prefix,
            };
            registry
                .sub_registry_with_prefix(prefix)
                .register_collector(Box::new(Rows {
                    metrics: family.metrics,
                    facts: facts.clone(),
                    one_by_one,
                }));
        }
        registry.register_collector(Box::new(Rows {
            metrics: ALWAYS,
            facts,
            one_by_one,
        }));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a text takes whatever is written to it");
        text
    }

    fn families(&self) -> impl Iterator<Item = &'static Family> {
        let all = FAMILIES.iter().flat_map(|part| part.iter());
        all.filter(move |family| match (self, family.where_shown) {
            (Self::Sums | Self::Each, shown) => matches!(shown, Where::Everywhere | Where::Plain),
            (Self::Detailed { families, .. }, Where::Everywhere | Where::Detailed) => {
                families.iter().any(|wanted| wanted == family.name)
            }
            (Self::Detailed { .. }, _) => false,
            (Self::Memory, shown) => shown == Where::Memory,
        })
    }
}

/// Rows of the table with the numbers of one moment.
struct Rows {
    metrics: &'static [Metric],
    facts: Arc<Facts>,
    one_by_one: bool,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").finish_non_exhaustive()
    }
}

impl Collector for Rows {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.metrics.iter().try_for_each(|metric| {
            let samples = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            self.read(
                Samples {
                    encoder: samples,
                    kind: metric.kind,
                    one_by_one: self.one_by_one,
                },
                metric,
            )
        })
    }
}

impl Rows {
    fn read(&self, mut samples: Samples<'_>, metric: &Metric) -> fmt::Result {
        let facts = &*self.facts;
        if let (false, Some(sum)) = (self.one_by_one, metric.sum) {
            return samples.put(sum(&facts.node));
        }
        match metric.read {
            Read::Node(read) => samples.put(read(&facts.node)),
            Read::Times(read) => samples.times(read(&facts.node)),
            Read::Queues => samples.put((facts.queues.len() as u64).into()),
            Read::About(read) => {
                let labels = read(&facts.node);
                let one = Number::Count(1);
                Samples {
                    encoder: samples.encoder.encode_family(&labels)?,
                    ..samples
                }
                .put(one)
            }
            Read::Queue(read) => samples.rows(&facts.queues, read),
            Read::QueueTraffic(read) => samples.rows(&facts.queue_traffic, read),
            Read::ExchangeTraffic(read) => samples.rows(&facts.exchange_traffic, read),
            Read::Connection(read) => samples.rows(&facts.connections, read),
            Read::Channel(read) => samples.rows(&facts.channels, read),
            Read::Group(read) => samples.rows(&facts.groups, read),
            Read::Exchange(read) => samples.rows(&facts.exchanges, read),
            Read::Vhost(read) => samples.rows(&facts.vhosts, read),
            Read::Protocol(read) => samples.each(&facts.protocols, read),
            Read::Stream(read) => samples.rows(&facts.streams, read),
            Read::StreamErrors(read) => samples.each(&facts.stream_errors, read),
            Read::TypeTraffic(read) => samples.each(&facts.type_traffic, read),
            Read::Link(read) => samples.each(&facts.links, read),
            Read::Logins(read) => samples.each(&facts.logins, read),
            Read::Certificate(read) => samples.each(&facts.certificates, read),
            Read::Deaths(read) => samples.each(&facts.deaths, read),
            Read::Sizes => facts.protocols.iter().try_for_each(|row| samples.sizes(row)),
        }
    }
}

/// Takes the samples of one metric.
struct Samples<'a> {
    encoder: MetricEncoder<'a>,
    kind: MetricType,
    one_by_one: bool,
}

impl Samples<'_> {
    fn rows<R: Row>(&mut self, rows: &[R], read: fn(&R) -> Number) -> fmt::Result {
        if self.one_by_one {
            return self.each(rows, read);
        }
        let sum = rows.iter().map(read).fold(Number::Count(0), Number::plus);
        self.put(sum)
    }

    fn each<R: Row>(&mut self, rows: &[R], read: fn(&R) -> Number) -> fmt::Result {
        let kind = self.kind;
        rows.iter()
            .try_for_each(|row| put(&mut self.encoder.encode_family(row.labels())?, kind, read(row)))
    }

    fn times(&mut self, times: &LatencyTotals) -> fmt::Result {
        let mut before = 0;
        let counts = times
            .at_most
            .iter()
            .map(|at_most| at_most - std::mem::replace(&mut before, *at_most));
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64);
        let buckets: Vec<_> = bounds.zip(counts).collect();
        self.encoder
            .encode_histogram::<NoLabelSet>(times.sum.as_secs_f64(), times.count, &buckets, None)
    }

    fn sizes(&mut self, protocol: &Protocol) -> fmt::Result {
        let Some(sizes) = &protocol.sizes else {
            return Ok(());
        };
        let bounds = SIZES.iter().map(|bound| *bound as f64);
        // What is larger than all of them is in the count alone.
        let buckets: Vec<_> = bounds.zip(sizes.counts).collect();
        let mut row = self.encoder.encode_family(&protocol.labels)?;
        row.encode_histogram::<NoLabelSet>(sizes.sum as f64, sizes.len(), &buckets, None)
    }

    fn put(&mut self, number: Number) -> fmt::Result {
        put(&mut self.encoder, self.kind, number)
    }
}

fn put(encoder: &mut MetricEncoder<'_>, kind: MetricType, number: Number) -> fmt::Result {
    match (kind, number) {
        (_, Number::Unknown) => Ok(()),
        (MetricType::Counter, number) => encoder.encode_counter::<NoLabelSet, _, f64>(&number, None::<&Exemplar<_, _>>),
        _ => encoder.encode_gauge(&number),
    }
}
