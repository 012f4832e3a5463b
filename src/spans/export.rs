//! Sends spans to the collector, many at once.
//!
//! A collector that does not answer is tried again a few times; then its spans are lost, and the log says so.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::otlp::{self, Finished, Resource};
use super::{Parent, Span, Spans, What};
use crate::backends::Web;
use crate::config::{Config, Otlp};
use crate::tls_client::{self, TlsError};

/// Spans of one request, at most.
const MOST: usize = 512;
/// How long the first of them waits for others.
const LINGER: Duration = Duration::from_secs(1);
/// How long a collector has to take a connection, and to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a request is sent, with a rest before each that follows.
const TIMES: usize = 3;
const REST: Duration = Duration::from_secs(1);
/// How often the log says that spans were lost.
const REMIND: Duration = Duration::from_secs(60);
/// Publishes whose deliveries are awaited.
const REMEMBERED: usize = 8192;

/// See the head of this file.
pub struct Exporter {
    outlet: mpsc::Receiver<Span>,
    spans: Arc<Spans>,
    web: Web,
    url: String,
    headers: Vec<(String, String)>,
    resource: Resource,
    published: Published,
    /// Lost on the way to the collector.
    unsent: u64,
}

/// When messages were published, of those whose deliveries may come: the oldest are forgotten.
#[derive(Default)]
struct Published {
    at: HashMap<Parent, Duration>,
    order: VecDeque<Parent>,
}

impl Exporter {
    /// Where spans are handed in, and who sends them; none where no collector is configured.
    ///
    /// # Errors
    /// When the files for TLS cannot be used.
    pub fn of(config: &Config) -> Result<Option<(Arc<Spans>, Self)>, TlsError> {
        let Otlp {
            endpoint,
            service_name,
            headers,
            tls,
        } = &config.otlp;
        let Some(endpoint) = endpoint else {
            return Ok(None);
        };
        let (spans, outlet) = Spans::new();
        let spans = Arc::new(spans);
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.reveal().to_owned()));
        let exporter = Self {
            outlet,
            spans: spans.clone(),
            web: Web {
                tls: tls_client::client("otlp.ssl_options", tls)?,
                connecting: PATIENCE,
                answering: PATIENCE,
            },
            url: format!("{}/v1/traces", endpoint.trim_end_matches('/')),
            headers: headers.collect(),
            resource: Resource {
                service: service_name.clone(),
                instance: config.node.name.clone(),
            },
            published: Published::default(),
            unsent: 0,
        };
        Ok(Some((spans, exporter)))
    }

    /// Sends what comes until the task is dropped.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(MOST);
        let (mut told, mut since) = (0, None::<Instant>);
        while self.outlet.recv_many(&mut batch, MOST).await > 0 {
            let end = Instant::now() + LINGER;
            while batch.len() < MOST {
                let room = MOST - batch.len();
                match timeout_at(end, self.outlet.recv_many(&mut batch, room)).await {
                    Ok(0) | Err(_) => break,
                    Ok(_) => {}
                }
            }
            let finished: Vec<_> = batch.drain(..).map(|span| self.published.finish(span)).collect();
            let body = otlp::request(&self.resource, &finished).to_string();
            let failed = self.send(body).await.err();
            self.unsent += failed.as_ref().map_or(0, |_| finished.len() as u64);
            let lost = self.unsent + self.spans.lost();
            if lost > told && since.is_none_or(|at| at.elapsed() > REMIND) {
                let reason = failed.unwrap_or_else(|| "they came faster than they are sent".to_owned());
                tracing::warn!(lost = lost - told, reason, "spans were lost");
                (told, since) = (lost, Some(Instant::now()));
            }
        }
    }

    async fn send(&self, body: String) -> Result<(), String> {
        let mut reason = String::new();
        for time in 0..TIMES {
            if time > 0 {
                sleep(REST).await;
            }
            match self.web.post_json(&self.url, &self.headers, body.clone()).await {
                Ok((200..=299, _)) => return Ok(()),
                Ok((status @ (429 | 502..=504), _)) => reason = format!("the collector answered {status}"),
                Ok((status, _)) => return Err(format!("the collector answered {status}")),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }
}

impl Published {
    /// A delivery began when the message was published, where that was at this node and not long ago.
    fn finish(&mut self, span: Span) -> Finished {
        let began = match span.what {
            What::Published { .. } => {
                if self.at.insert(span.parent.clone(), span.at).is_none() {
                    self.order.push_back(span.parent.clone());
                }
                if self.order.len() > REMEMBERED {
                    let oldest = self.order.pop_front();
                    oldest.and_then(|oldest| self.at.remove(&oldest));
                }
                span.at
            }
            What::Delivered { .. } => self.at.get(&span.parent).map_or(span.at, |at| (*at).min(span.at)),
        };
        Finished {
            id: rand::random::<u64>().max(1),
            began,
            span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(n: usize, what: What, at: u64) -> Span {
        Span {
            parent: Parent {
                trace_id: format!("{n:032x}"),
                span_id: format!("{n:016x}"),
                state: String::new(),
            },
            vhost: "/".into(),
            exchange: "x".to_owned(),
            routing_key: "k".to_owned(),
            body_bytes: 1,
            what,
            at: Duration::from_secs(at),
        }
    }

    fn delivered() -> What {
        What::Delivered {
            queue: "q".into(),
            redelivered: false,
        }
    }

    #[test]
    fn a_delivery_begins_when_the_message_was_published() {
        let mut published = Published::default();
        let mut finish = |n, what, at| published.finish(span(n, what, at)).began.as_secs();
        assert_eq!(finish(1, What::Published { queues: 1 }, 5), 5);
        assert_eq!(finish(1, delivered(), 9), 5);
        assert_eq!(finish(2, delivered(), 9), 9, "it was published elsewhere");
        for n in 10..10 + REMEMBERED {
            finish(n, What::Published { queues: 1 }, 6);
        }
        assert_eq!(finish(1, delivered(), 9), 9, "it is forgotten");
        assert_eq!((published.at.len(), published.order.len()), (REMEMBERED, REMEMBERED));
    }
}
