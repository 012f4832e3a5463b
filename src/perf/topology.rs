//! What the generator declares, and which publisher sends where.

use super::args::{PerfArgs, QueueType};
use super::link::Link;
use super::link_error::LinkError;
use super::wire::{MethodFrame, id};
use crate::types::{FieldTable, FieldValue};

/// Where a message ends up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The queue of this number.
    Queue(usize),
    /// Every queue.
    Every,
    /// One queue, of the exchange's choosing.
    Any,
}

/// The targets a publisher goes through in turn, by sequence number.
#[derive(Debug, Clone)]
pub struct Lanes(Vec<Target>);

impl Lanes {
    /// `targets` must not be empty.
    pub fn new(targets: Vec<Target>) -> Self {
        debug_assert!(!targets.is_empty());
        Self(targets)
    }

    /// Where the message of that sequence number goes.
    pub fn target(&self, seq: u64) -> Target {
        self.0[(seq % self.0.len() as u64) as usize]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Binding {
    queue: usize,
    key: String,
}

/// Names, keys and bindings of one run.
#[derive(Debug, Clone)]
pub struct Topology {
    /// The exchange's name and type; `None` is the default exchange.
    exchange: Option<(String, String)>,
    pub queues: Vec<String>,
    /// What may be published: routing keys of equal length, each with its target.
    routes: Vec<(String, Target)>,
    bindings: Vec<Binding>,
    durable: bool,
    arguments: FieldTable,
}

impl Topology {
    /// What the options ask for.
    pub fn of(args: &PerfArgs) -> Self {
        let queues = queue_names(&args.queue, args.queues);
        let (routes, bindings) = routes(args, &queues);
        Self {
            exchange: args
                .exchange
                .as_ref()
                .map(|kind| (format!("{}-{kind}", args.queue), kind.clone())),
            queues,
            routes,
            bindings,
            durable: !args.transient_queue,
            arguments: queue_arguments(args),
        }
    }

    /// The exchange's name as publish says it.
    pub fn exchange(&self) -> &str {
        self.exchange.as_ref().map_or("", |(name, _)| name)
    }

    /// Whether each message is copied to every queue.
    pub fn copies(&self) -> bool {
        self.routes.iter().any(|(_, target)| *target == Target::Every)
    }

    /// The routing keys of one publisher of `publishers` and where they lead: its share when there are more keys
    /// than publishers, else the one whose turn it is.
    pub fn lanes(&self, publisher: usize, publishers: usize) -> (Vec<String>, Lanes) {
        let mine: Vec<_> = match self.routes.len() >= publishers {
            true => self.routes.iter().skip(publisher).step_by(publishers).collect(),
            false => vec![&self.routes[publisher % self.routes.len()]],
        };
        let keys = mine.iter().map(|(key, _)| key.clone()).collect();
        (keys, Lanes::new(mine.iter().map(|(_, target)| *target).collect()))
    }

    /// The queues one consumer of `consumers` reads: its share when there are more queues than consumers, else the
    /// one whose turn it is.
    pub fn queues_of(&self, consumer: usize, consumers: usize) -> Vec<usize> {
        match self.queues.len() >= consumers {
            true => (consumer..self.queues.len()).step_by(consumers).collect(),
            false => vec![consumer % self.queues.len()],
        }
    }

    /// Declares everything.
    pub fn declare(&self, link: &mut Link) -> Result<(), LinkError> {
        if let Some((name, kind)) = &self.exchange {
            MethodFrame::begin(&mut link.pipe.output, 1, id::EXCHANGE_DECLARE)
                .u16(0)
                .short(name)
                .short(kind)
                .u8(u8::from(self.durable) << 1)
                .table(&FieldTable::new())
                .end();
            link.call("exchange.declare", id::EXCHANGE_DECLARE_OK)?;
        }
        for queue in &self.queues {
            declare_queue(link, queue, self.durable, &self.arguments)?;
        }
        for binding in &self.bindings {
            MethodFrame::begin(&mut link.pipe.output, 1, id::QUEUE_BIND)
                .u16(0)
                .short(&self.queues[binding.queue])
                .short(self.exchange())
                .short(&binding.key)
                .u8(0)
                .table(&FieldTable::new())
                .end();
            link.call("queue.bind", id::QUEUE_BIND_OK)?;
        }
        Ok(())
    }

    /// How many messages are ready in the queues, which must exist.
    pub fn backlog(&self, link: &mut Link) -> Result<u64, LinkError> {
        let mut messages = 0;
        for queue in &self.queues {
            MethodFrame::begin(&mut link.pipe.output, 1, id::QUEUE_DECLARE)
                .u16(0)
                .short(queue)
                .u8(1)
                .table(&FieldTable::new())
                .end();
            messages += u64::from(link.call("queue.declare (passive)", id::QUEUE_DECLARE_OK)?);
        }
        Ok(messages)
    }

    /// Deletes everything.
    pub fn delete(&self, link: &mut Link) -> Result<(), LinkError> {
        for queue in &self.queues {
            delete_queue(link, queue)?;
        }
        if let Some((name, _)) = &self.exchange {
            MethodFrame::begin(&mut link.pipe.output, 1, id::EXCHANGE_DELETE)
                .u16(0)
                .short(name)
                .u8(0)
                .end();
            link.call("exchange.delete", id::EXCHANGE_DELETE_OK)?;
        }
        Ok(())
    }
}

/// Declares one queue and waits for the reply.
pub fn declare_queue(link: &mut Link, name: &str, durable: bool, arguments: &FieldTable) -> Result<(), LinkError> {
    MethodFrame::begin(&mut link.pipe.output, 1, id::QUEUE_DECLARE)
        .u16(0)
        .short(name)
        .u8(u8::from(durable) << 1)
        .table(arguments)
        .end();
    link.call("queue.declare", id::QUEUE_DECLARE_OK)?;
    Ok(())
}

/// Deletes one queue and waits for the reply.
pub fn delete_queue(link: &mut Link, name: &str) -> Result<(), LinkError> {
    MethodFrame::begin(&mut link.pipe.output, 1, id::QUEUE_DELETE)
        .u16(0)
        .short(name)
        .u8(0)
        .end();
    link.call("queue.delete", id::QUEUE_DELETE_OK)?;
    Ok(())
}

/// The arguments the options give each queue.
pub fn queue_arguments(args: &PerfArgs) -> FieldTable {
    let kind = args.queue_type.map(QueueType::as_str);
    let kind = kind.map(|kind| ("x-queue-type".to_owned(), FieldValue::text(kind)));
    FieldTable(kind.into_iter().chain(args.queue_args.iter().cloned()).collect())
}

/// One queue has the name itself; several have a number behind it, all of equal length.
pub fn queue_names(name: &str, count: usize) -> Vec<String> {
    let digits = count.saturating_sub(1).to_string().len();
    match count {
        1 => vec![name.to_owned()],
        _ => (0..count).map(|queue| format!("{name}-{queue:0digits$}")).collect(),
    }
}

fn routes(args: &PerfArgs, queues: &[String]) -> (Vec<(String, Target)>, Vec<Binding>) {
    let each = 0..queues.len();
    let bind = |queue, key: &str| Binding {
        queue,
        key: key.to_owned(),
    };
    match args.exchange.as_deref() {
        None => {
            let route = |queue: usize| (queues[queue].clone(), Target::Queue(queue));
            (each.map(route).collect(), Vec::new())
        }
        Some("direct") => (
            each.clone().map(|q| (queues[q].clone(), Target::Queue(q))).collect(),
            each.map(|q| bind(q, &queues[q])).collect(),
        ),
        Some("topic") => {
            // Without --bindings one per queue. Three kinds of binding key take turns; each routing key matches one.
            let numbers = 0..args.bindings.max(queues.len());
            let queue = |number: usize| number % queues.len();
            let routes = numbers
                .clone()
                .map(|n| (format!("perf.{n:05}.event"), Target::Queue(queue(n))));
            let bindings = numbers.map(|n| match n % 3 {
                0 => bind(queue(n), &format!("perf.{n:05}.*")),
                1 => bind(queue(n), &format!("*.{n:05}.event")),
                _ => bind(queue(n), &format!("perf.{n:05}.#")),
            });
            (routes.collect(), bindings.collect())
        }
        Some("fanout" | "headers") => (
            vec![("perf".to_owned(), Target::Every)],
            each.map(|q| bind(q, "perf")).collect(),
        ),
        // Exchanges that choose: the binding key is a weight, and many routing keys give them a choice.
        Some(_) => (
            (0..1000).map(|n| (format!("perf.{n:05}"), Target::Any)).collect(),
            each.map(|q| bind(q, "1")).collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::perf::args::tests::parsed;

    #[test]
    fn routing_keys_have_one_length_so_that_they_can_be_patched() {
        for line in [
            "--queues 101",
            "--queues 11 -t direct",
            "-t topic --bindings 1000",
            "-t x-random",
        ] {
            let topology = Topology::of(&parsed(line));
            let (keys, _) = topology.lanes(0, 1);
            assert!(keys.iter().all(|key| key.len() == keys[0].len()), "{line}");
        }
    }

    #[test]
    fn every_queue_has_a_publisher_and_a_consumer_whatever_their_numbers() {
        for (queues, workers) in [(1, 1), (1, 3), (3, 1), (3, 2), (2, 3)] {
            let topology = Topology::of(&parsed(&format!("--queues {queues}")));
            let mut targets = vec![0; queues];
            let mut consumed = vec![0; queues];
            for worker in 0..workers {
                let (keys, lanes) = topology.lanes(worker, workers);
                for (seq, key) in keys.iter().enumerate() {
                    let Target::Queue(queue) = lanes.target(seq as u64) else {
                        panic!("the default exchange names queues");
                    };
                    assert_eq!(*key, topology.queues[queue]);
                    targets[queue] += 1;
                }
                for queue in topology.queues_of(worker, workers) {
                    consumed[queue] += 1;
                }
            }
            assert!(
                targets.iter().chain(&consumed).all(|count| *count > 0),
                "{queues} {workers}"
            );
        }
    }

    #[test]
    fn a_topic_exchange_gets_as_many_bindings_as_asked_for() {
        let topology = Topology::of(&parsed("-t topic --bindings 1000 --queues 10"));
        assert_eq!(topology.bindings.len(), 1000);
        assert_eq!(topology.bindings[999].queue, 9);
        assert_eq!(topology.lanes(0, 1).0.len(), 1000);
    }

    #[test]
    fn a_fanout_exchange_copies_to_every_queue() {
        let topology = Topology::of(&parsed("-t fanout --queues 10"));
        assert!(topology.copies());
        assert_eq!(topology.bindings.len(), 10);
        assert_eq!(topology.lanes(0, 1).1.target(7), Target::Every);
    }

    #[test]
    fn a_single_queue_has_the_name_as_given() {
        assert_eq!(queue_names("q", 1), ["q"]);
        assert_eq!(queue_names("q", 11)[3], "q-03");
    }
}
