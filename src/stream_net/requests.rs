//! What clients ask for, each request checked in RabbitMQ's order.

use std::sync::Arc;

use super::later::Later;
use super::publisher::Publisher;
use super::session::{Session, Use};
use super::streams::{Stream, matcher};
use super::subscribing::{Reading, Subscription};
use crate::broker::ROUNDS;
use crate::broker::delivery::streaming::SubscriptionCounts;
use crate::declare::Actor;
use crate::declare::access::{self, Operation, Resource};
use crate::front::streams::NAME_BYTES;
use crate::stream::Matcher;
use crate::stream_protocol::codec::request::Subscribe;
use crate::stream_protocol::codec::response;
use crate::stream_protocol::codec::{Code, Command, Key, Map, Request};

/// What a subscription says of itself.
#[derive(Default)]
struct SubscriptionProperties {
    name: Option<String>,
    is_single_active: bool,
    super_stream: Option<String>,
    filter: Option<Matcher>,
}

impl SubscriptionProperties {
    fn of(map: Map<'_>) -> Self {
        let mut properties = Self::default();
        let (mut values, mut match_unfiltered) = (Vec::new(), false);
        for (key, value) in map {
            match key {
                b"name" => properties.name = Some(String::from_utf8_lossy(value).into_owned()),
                b"super-stream" => properties.super_stream = Some(String::from_utf8_lossy(value).into_owned()),
                b"single-active-consumer" => properties.is_single_active = value == b"true",
                b"match-unfiltered" => match_unfiltered = value == b"true",
                key if key.starts_with(b"filter.") => values.push(value.to_vec()),
                _ => {}
            }
        }
        properties.filter = matcher(values, match_unfiltered);
        properties
    }
}

impl Session {
    /// Carries a command out at once, or says for what something must be waited.
    pub(super) fn on_command(&mut self, command: Command<'_>) -> Option<(u32, Later)> {
        match command {
            Command::Ask { correlation, request } => return self.on_request(correlation, request),
            Command::Publish { publisher, entries } => self.on_publish(publisher, entries),
            Command::Credit { subscription, credit } => match self.subscriptions.get(&subscription) {
                Some(waiting) if waiting.is_waiting() => {
                    self.note(Code::PreconditionFailed);
                    response::refuse_credit(&mut self.connection.out, subscription, Code::PreconditionFailed);
                }
                Some(subscription) => subscription.give(credit),
                None => {
                    self.note(Code::NoSubscription);
                    response::refuse_credit(&mut self.connection.out, subscription, Code::NoSubscription);
                }
            },
            Command::StoreOffset {
                reference,
                stream,
                offset,
            } => self.store_offset(reference, stream, offset),
            Command::ConsumerUpdated { correlation, start, .. } => self.on_turn_taken(correlation, start),
            // The machine's own.
            Command::Tune(_) | Command::Heartbeat | Command::Closed => {}
        }
        None
    }

    fn on_request(&mut self, correlation: u32, request: Request<'_>) -> Option<(u32, Later)> {
        let key = request.key();
        let code = match request {
            Request::DeclarePublisher {
                publisher,
                reference,
                stream,
            } => self.declare_publisher(publisher, reference, stream),
            Request::DeletePublisher { publisher } => {
                // What it has published before goes on its way first.
                self.flush_publishes();
                match self.publishers.remove(&publisher) {
                    Some(_) => Ok(()),
                    None => Err(Code::NoPublisher),
                }
            }
            Request::QueryPublisherSequence { reference, stream } => {
                self.flush_publishes();
                let (name, stream) = (reference.to_vec(), stream.to_vec());
                return Some((correlation, Later::Sequence { name, stream }));
            }
            Request::QueryOffset { reference, stream } => {
                let (name, stream) = (reference.to_vec(), stream.to_vec());
                return Some((correlation, Later::StoredOffset { name, stream }));
            }
            Request::Subscribe(subscribe) => return self.subscribe(correlation, subscribe),
            Request::Unsubscribe { subscription } => match self.subscriptions.remove(&subscription) {
                Some(_) => Ok(()),
                None => Err(Code::NoSubscription),
            },
            Request::Metadata { streams } => {
                let names = streams.map(<[u8]>::to_vec).collect();
                return Some((correlation, Later::Metadata { names }));
            }
            Request::Partitions { super_stream } => {
                let name = String::from_utf8_lossy(super_stream);
                let vhost = self.vhost.as_ref().ok_or(Code::InternalError);
                let partitions = vhost.and_then(|vhost| Ok(self.streams.partitions(&vhost.name, &name)?));
                return self.answer_strings(key, correlation, partitions);
            }
            Request::Route {
                key: routing_key,
                super_stream,
            } => {
                let name = String::from_utf8_lossy(super_stream);
                let routing_key = String::from_utf8_lossy(routing_key);
                let vhost = self.vhost.as_ref().ok_or(Code::InternalError);
                let found = vhost.and_then(|vhost| Ok(self.streams.route(vhost, &name, &routing_key)?));
                return self.answer_strings(key, correlation, found);
            }
            Request::StreamStats { stream } => return self.stream_stats(correlation, stream),
            Request::Create { stream, arguments } => match text(stream) {
                Some(name) => {
                    let arguments = texts(arguments);
                    return Some((correlation, Later::Create { name, arguments }));
                }
                None => Err(Code::PreconditionFailed),
            },
            Request::Delete { stream } => match text(stream) {
                Some(name) => return Some((correlation, Later::Delete { name })),
                None => Err(Code::NoStream),
            },
            Request::CreateSuperStream(create) => {
                let partitions: Option<Vec<_>> = create.partitions.map(text).collect();
                let keys: Option<Vec<_>> = create.binding_keys.map(text).collect();
                match (text(create.name), partitions, keys) {
                    (Some(name), Some(partitions), Some(keys)) if partitions.len() == keys.len() => {
                        let partitions = partitions.into_iter().zip(keys).collect();
                        let arguments = texts(create.arguments);
                        let create = Later::CreateSuper {
                            name,
                            partitions,
                            arguments,
                        };
                        return Some((correlation, create));
                    }
                    _ => Err(Code::PreconditionFailed),
                }
            }
            Request::DeleteSuperStream { name } => match text(name) {
                Some(name) => return Some((correlation, Later::DeleteSuper { name })),
                None => Err(Code::NoStream),
            },
            // The machine's own.
            Request::SubscribeNowhere
            | Request::PeerProperties { .. }
            | Request::SaslHandshake
            | Request::SaslAuthenticate { .. }
            | Request::Open { .. }
            | Request::Close { .. }
            | Request::CommandVersions { .. } => return None,
        };
        self.answer(key, correlation, code);
        None
    }

    /// Carries out what must be waited for; where a backend has to be asked first, again with its answer.
    pub(super) async fn on_later(&mut self, correlation: u32, later: Later) {
        let Some(granted) = self.connection.rights.granted().cloned() else {
            return self.carry_out(correlation, later).await;
        };
        let answered = self.connection.out.len();
        for _ in 0..ROUNDS {
            self.carry_out(correlation, later.clone()).await;
            if !self.connection.find_answers().await {
                return;
            }
            self.connection.out.truncate(answered);
        }
        self.carry_out(correlation, later).await;
        // What is still asked is refused.
        granted.unanswered();
    }

    async fn carry_out(&mut self, correlation: u32, later: Later) {
        let Some(actor) = self.actor() else { return };
        let streams = self.streams.clone();
        let key = later.key();
        let code = match later {
            Later::Metadata { names } => return self.on_metadata(correlation, names).await,
            Later::Sequence { name, stream } => {
                let sequence = self.sequence(&name, &stream).await;
                return self.answer_number(key, correlation, sequence);
            }
            Later::StoredOffset { name, stream } => {
                let stored = self.stored_offset(&name, &stream).await;
                return self.answer_number(key, correlation, stored);
            }
            Later::Create { name, arguments } => streams.create(&actor, &name, &arguments).await,
            Later::Delete { name } => streams.delete(&actor, &name).await,
            Later::CreateSuper {
                name,
                partitions,
                arguments,
            } => streams.create_super(&actor, &name, &partitions, &arguments).await,
            Later::DeleteSuper { name } => streams.delete_super(&actor, &name).await,
        };
        self.answer(key, correlation, code.map_err(Code::from));
    }

    /// Counts what is refused.
    pub(super) fn note(&self, code: Code) {
        if code != Code::Ok {
            self.connection.broker.statistics().streaming().refuse(code as u16, 1);
        }
    }

    fn answer(&mut self, key: Key, correlation: u32, code: Result<(), Code>) {
        let code = code.err().unwrap_or(Code::Ok);
        self.note(code);
        response::answer(&mut self.connection.out, key, correlation, code);
    }

    fn answer_number(&mut self, key: Key, correlation: u32, number: Result<u64, Code>) {
        let code = number.err().unwrap_or(Code::Ok);
        self.note(code);
        response::answer_number(&mut self.connection.out, key, correlation, code, number.unwrap_or(0));
    }

    /// The highest number of a publisher's name, from where the stream is led: whoever goes on from an older one
    /// would be taken for somebody who publishes again.
    async fn sequence(&self, name: &[u8], stream: &[u8]) -> Result<u64, Code> {
        let stream = self.readable(stream)?;
        stream.led().await;
        if !stream.is_led_here() {
            return Err(Code::NotAvailable);
        }
        let name = std::str::from_utf8(name).ok();
        Ok(name.and_then(|name| stream.sequence(name)).unwrap_or(0))
    }

    /// How far a reader has come, once it is known: not while the log of the stream is read again.
    async fn stored_offset(&self, name: &[u8], stream: &[u8]) -> Result<u64, Code> {
        let stream = self.readable(stream)?;
        stream.led().await;
        if !stream.is_led_here() && stream.place().leader.is_none() {
            return Err(Code::NotAvailable);
        }
        let name = std::str::from_utf8(name).ok();
        name.and_then(|name| stream.stored_offset(name)).ok_or(Code::NoOffset)
    }

    fn answer_strings<T>(&mut self, key: Key, correlation: u32, strings: Result<Vec<String>, Code>) -> Option<T> {
        let code = strings.as_ref().err().copied().unwrap_or(Code::Ok);
        self.note(code);
        let strings = strings.unwrap_or_default();
        response::answer_strings(
            &mut self.connection.out,
            key,
            correlation,
            code,
            strings.iter().map(String::as_bytes),
        );
        None
    }

    fn declare_publisher(&mut self, id: u8, reference: &[u8], stream: &[u8]) -> Result<(), Code> {
        if self.is_disk_short() {
            return Err(Code::PreconditionFailed);
        }
        let name = text(stream).ok_or(Code::NoStream)?;
        self.check(Operation::BindTo(Resource::Queue(&name)))?;
        if reference.len() > NAME_BYTES {
            return Err(Code::PreconditionFailed);
        }
        let reference = match reference {
            [] => None,
            reference => Some(text(reference).ok_or(Code::PreconditionFailed)?),
        };
        let is_same =
            |publisher: &Publisher| reference.is_some() && publisher.reference == reference && publisher.stream == name;
        if self.publishers.contains_key(&id) || self.publishers.values().any(is_same) {
            return Err(Code::PreconditionFailed);
        }
        let handle = self.find(&name)?;
        if !handle.is_led_here() {
            return Err(Code::NotAvailable);
        }
        self.watch(&name, &handle, Use::Led);
        self.publishers.insert(
            id,
            Publisher::new((id, self.connection.info.clone()), reference, name, handle),
        );
        Ok(())
    }

    fn subscribe(&mut self, correlation: u32, subscribe: Subscribe<'_>) -> Option<(u32, Later)> {
        let id = subscribe.subscription;
        let taken = self.look_at_subscribe(&subscribe);
        self.answer(
            Key::Subscribe,
            correlation,
            taken.as_ref().map(drop).map_err(|code| *code),
        );
        let Ok((reading, group)) = taken else { return None };
        self.watch(&reading.name, &reading.stream, Use::Read);
        self.incarnations += 1;
        let incarnation = self.incarnations;
        let (name, stream) = (reading.name.clone(), reading.stream.clone());
        let mut subscription = Subscription::new(reading, incarnation, self.connection.info.clone());
        match group {
            None => {
                // Deliveries come behind the answer.
                self.connection.send_own();
                subscription.begin(None);
            }
            Some((group, partition)) => {
                self.watch(&name, &stream, Use::Led);
                let key = (stream.id(), group);
                let inbox = (id, self.inbox.clone());
                // Before the answer: whoever has it stands before all who come later. Its turn is told behind it.
                let membership = self
                    .groups
                    .join(key, partition, (self.connection.info.id, incarnation), inbox);
                subscription.wait(membership);
            }
        }
        self.subscriptions.insert(id, subscription);
        None
    }

    /// What is to be read; and where that waits for its turn, the group and the number of the partition.
    fn look_at_subscribe(&self, subscribe: &Subscribe<'_>) -> Result<(Reading, Option<(String, usize)>), Code> {
        let id = subscribe.subscription;
        let name = text(subscribe.stream).ok_or(Code::NoStream)?;
        let asked = SubscriptionProperties::of(subscribe.properties);
        self.check(Operation::TakeFromQueue(&name))?;
        if asked.name.as_ref().is_some_and(|name| name.len() > NAME_BYTES) {
            return Err(Code::PreconditionFailed);
        }
        let stream = self.find(&name)?;
        if !stream.is_here() {
            return Err(Code::NotAvailable);
        }
        if self.subscriptions.contains_key(&subscribe.subscription) {
            return Err(Code::SubscriptionExists);
        }
        let group = match (asked.is_single_active, asked.name) {
            (false, _) => None,
            (true, None) => return Err(Code::PreconditionFailed),
            // Groups are known where the stream is led, lest two members read.
            (true, Some(_)) if !stream.is_led_here() => return Err(Code::NotAvailable),
            (true, Some(group)) => Some((group, self.partition_number(asked.super_stream.as_deref(), &name))),
        };
        let properties = texts(subscribe.properties);
        let client = (
            self.connection.info.id,
            self.connection.user.clone().ok_or(Code::AccessRefused)?,
            id,
        );
        let counts = SubscriptionCounts::new((stream.id(), name.clone()), client, properties, subscribe.credit);
        let reading = Reading {
            id,
            name,
            stream,
            start: subscribe.start,
            filter: asked.filter,
            version: self.machine.deliver_version(),
            outbox: self.connection.outbox.clone(),
            counts: Arc::new(counts),
            broker: self.connection.broker.clone(),
        };
        Ok((reading, group))
    }

    /// The place of a stream among the partitions of its super stream; 0 where it is none.
    fn partition_number(&self, super_stream: Option<&str>, name: &str) -> usize {
        let (Some(super_stream), Some(vhost)) = (super_stream, &self.vhost) else {
            return 0;
        };
        let partitions = self.streams.partitions(&vhost.name, super_stream).unwrap_or_default();
        partitions.iter().position(|partition| partition == name).unwrap_or(0)
    }

    /// Has no answer; what is refused is silent.
    fn store_offset(&self, reference: &[u8], stream: &[u8], offset: u64) {
        let name = std::str::from_utf8(reference).ok();
        let name = name.filter(|name| name.len() <= NAME_BYTES);
        if let (Some(name), Ok(stream)) = (name, self.readable(stream)) {
            stream.store_offset(name, offset);
        }
    }

    fn stream_stats(&mut self, correlation: u32, stream: &[u8]) -> Option<(u32, Later)> {
        let stream = self.readable(stream);
        let code = stream.as_ref().err().copied().unwrap_or(Code::Ok);
        self.note(code);
        let bounds = stream.ok().and_then(|stream| stream.bounds());
        let (first, last) = match bounds.and_then(|bounds| bounds.last_chunk.map(|last| (bounds.first, last))) {
            Some((first, last)) => (first as i64, last as i64),
            None => (-1, -1),
        };
        let numbers = [
            ("first_chunk_id", first),
            ("last_chunk_id", last),
            ("committed_chunk_id", last),
        ];
        let numbers: &[_] = if code == Code::Ok { &numbers } else { &[] };
        response::answer_stats(&mut self.connection.out, correlation, code, numbers);
        None
    }

    /// Drops what the user may not have any more.
    pub(super) async fn look_at_rights(&mut self) {
        self.flush_publishes();
        let mut lost = self.lost();
        for _ in 0..ROUNDS {
            if !self.connection.find_answers().await {
                break;
            }
            lost = self.lost();
        }
        if let Some(granted) = self.connection.rights.granted() {
            // What is still asked is refused.
            granted.unanswered();
        }
        lost.iter().for_each(|stream| self.drop_stream(stream));
    }

    /// The streams that the user may not use as it does.
    fn lost(&self) -> Vec<String> {
        let mut lost: Vec<String> = Vec::new();
        let publishers = self.publishers.values();
        let written = publishers.map(|one| (one.stream.as_str(), Operation::BindTo(Resource::Queue(&one.stream))));
        let subscriptions = self.subscriptions.values();
        let read = subscriptions.map(|one| (one.stream(), Operation::TakeFromQueue(one.stream())));
        for (stream, operation) in written.chain(read) {
            if self.check(operation).is_err() && !lost.iter().any(|lost| lost == stream) {
                lost.push(stream.to_owned());
            }
        }
        lost
    }

    /// Who asks.
    fn actor(&self) -> Option<Actor> {
        Some(Actor {
            user: self.connection.user.clone()?,
            vhost: self.vhost.as_ref()?.name.clone(),
            connection: self.connection.info.id,
            rights: self.connection.rights.clone(),
        })
    }

    fn check(&self, operation: Operation<'_>) -> Result<(), Code> {
        let actor = self.actor().ok_or(Code::AccessRefused)?;
        let allowed = access::check(&self.connection.broker.catalogue(), &actor.who(), operation);
        allowed.map_err(|_| Code::AccessRefused)
    }

    pub(super) fn find(&self, name: &str) -> Result<Stream, Code> {
        let vhost = self.vhost.as_ref().ok_or(Code::InternalError)?;
        Stream::find(&self.streams, &vhost.name, name)
    }

    /// A stream that the client may read.
    fn readable(&self, name: &[u8]) -> Result<Stream, Code> {
        let name = text(name).ok_or(Code::NoStream)?;
        self.check(Operation::TakeFromQueue(&name))?;
        self.find(&name)
    }
}

pub(super) fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

fn texts(map: Map<'_>) -> Vec<(String, String)> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    map.map(|(key, value)| (text(key), text(value))).collect()
}
