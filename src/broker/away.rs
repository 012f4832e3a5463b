//! A queue whose machine is on another node, as the clients of this one use it.
//!
//! What is at stake is kept at the [`Desk`]; here it is said to whoever has the machine, as soon as
//! that is known and the link to it stands. Each use of the link begins with an `Attach` that says
//! everything, so nothing needs to be known of what became of the one before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Broker;
use super::consumer::{Consumer, ConsumerKey};
use super::desk::{Answer, Arrived, Call, Desk, GIVEN_UP, Seated};
use super::guests::WINDOW;
use super::joint::JointClaim;
use super::leaving::Undoing;
use super::outbox::Outbox;
use super::peers::{Way, wire};
use super::runner::{Away, ConfirmToken, Deferred, Handed, QueueHandle, Seat, State, answer, desk_of, hand_over};
use crate::channel::ConfirmOutcome;
use crate::codec::method::{BasicConsumeOk, Method};
use crate::queue::{Outcome, Publish, Rank, Slot};
use crate::types::{Message, NodeId, Reply, ReplyCode};

/// How long a client waits for another node's answer.
pub const DEADLINE: Duration = Duration::from_secs(8);
/// How often it is asked who leads while a client waits.
const ASK_AGAIN: Duration = Duration::from_millis(200);
/// Bytes of messages in one frame.
const FRAME_BYTES: usize = 512 * 1024;

/// Numbers of calls, for all queues of the process.
static NEXT_CALL: AtomicU64 = AtomicU64::new(1);

/// What is asked of the node that has the machine.
#[derive(Clone, Copy)]
pub enum Ask {
    Get { no_ack: bool },
    Purge,
    Count,
}

impl QueueHandle {
    /// The way to the node that has the machine, which has been told of this node's clients.
    pub(super) fn way(self: &Arc<Self>, broker: &Broker, state: &mut State) -> Option<Way> {
        let Seat::Elsewhere(Some(away)) = &mut state.seat else {
            broker.seekers.seek(self);
            return None;
        };
        let way = broker.peers.way(away.node)?;
        if away.attached.replace(way.epoch) != Some(way.epoch) {
            away.is_met = false;
            attach(self, desk_of(&mut state.desk), away.term, &way);
        }
        Some(way)
    }

    /// Publishes while the machine is elsewhere. Those for a queue that lives on a node which is
    /// away are refused.
    pub(super) fn publish_away(
        self: &Arc<Self>,
        broker: &Broker,
        state: &mut State,
        batch: impl IntoIterator<Item = Publish<ConfirmToken>>,
    ) {
        let way = self.way(broker, state);
        let desk = state.desk();
        if way.is_none() && !self.is_replicated() {
            return answer(batch.into_iter().filter_map(|publish| publish.publish), GIVEN_UP);
        }
        let mut messages = Vec::new();
        let first = desk.next_number();
        for publish in batch {
            messages.push(publish.message.clone());
            desk.publish(publish);
        }
        if let Some(way) = way {
            send_publishes(&way, self, first, &messages);
        }
    }

    /// Settles what clients of this node hold.
    pub(super) fn settle_away(
        self: &Arc<Self>,
        broker: &Broker,
        state: &mut State,
        outcome: Outcome,
        slots: Vec<Slot>,
        claim: Option<JointClaim>,
    ) {
        let way = self.way(broker, state);
        let desk = state.desk();
        let slots: Vec<Slot> = slots.into_iter().filter(|slot| desk.let_go(*slot)).collect();
        if slots.is_empty() {
            // They are another's by now.
            if let Some(claim) = claim {
                claim.answer(ConfirmOutcome::Ack);
            }
            return;
        }
        let batch = desk.settle(outcome, slots, claim);
        if let Some(way) = way {
            way.with(|buffer| wire::settle(buffer, self.spec.id, batch));
        }
    }

    /// Takes a consumer on whose queue is elsewhere; the client hears `consume-ok` at once, where
    /// no refusal is possible.
    pub(super) fn consume_away(self: &Arc<Self>, broker: &Broker, state: &mut State, consumer: &Arc<Consumer>) {
        let way = self.way(broker, state);
        let desk = state.desk();
        desk.seat(consumer);
        if let Some(way) = way {
            desk.is_known = true;
            let call = NEXT_CALL.fetch_add(1, Ordering::Relaxed);
            way.with(|buffer| wire::consume(buffer, self.spec.id, call, &wish(consumer, Rank::default())));
        }
    }

    /// A consumer of this node ends. What came for it and was not passed on, or is on its way, goes back
    /// in the same step.
    pub(super) fn cancel_away(
        self: &Arc<Self>,
        broker: &Broker,
        state: &mut State,
        key: ConsumerKey,
    ) -> Option<Undoing> {
        let way = self.way(broker, state);
        let desk = state.desk.as_mut()?;
        let seated = desk.consumers.remove(&key)?;
        for arrived in &seated.waiting {
            desk.let_go(arrived.slot);
        }
        let way = way?;
        let kept: Vec<Slot> = desk.held_by(key).collect();
        let (call, answer) = desk.call(None);
        way.with(|buffer| wire::cancel(buffer, self.spec.id, call, key.0, &kept));
        Some(Undoing::There(answer))
    }

    /// A client of this node goes: its consumers end with all that they hold, here or on its way, and
    /// what it had of the queue otherwise goes back too, in one step.
    pub(super) fn leave_away(
        self: &Arc<Self>,
        broker: &Broker,
        state: &mut State,
        consumers: &[Arc<Consumer>],
        mut slots: Vec<Slot>,
    ) -> Option<Undoing> {
        let way = self.way(broker, state);
        let desk = state.desk.as_mut()?;
        let mut keys = Vec::new();
        for consumer in consumers {
            if let Some(seated) = desk.consumers.remove(&consumer.key) {
                keys.push(consumer.key.0);
                slots.extend(seated.waiting.iter().map(|arrived| arrived.slot));
            }
        }
        slots.retain(|slot| desk.let_go(*slot));
        if slots.is_empty() && (keys.is_empty() || way.is_none()) {
            return None;
        }
        let batch = desk.settle(Outcome::Requeue, slots, None).clone();
        let way = way?;
        let (call, answer) = desk.call(None);
        way.with(|buffer| wire::leave(buffer, self.spec.id, call, &keys, &batch));
        Some(Undoing::There(answer))
    }

    /// Passes on what waits for a consumer whose client has room again.
    pub(super) fn pass_on(self: &Arc<Self>, broker: &Broker, state: &mut State, key: ConsumerKey) {
        let Some(desk) = &mut state.desk else { return };
        let Some(seated) = desk.consumers.get_mut(&key) else {
            return;
        };
        let told = seated.pass_on(self);
        if told > 0
            && let Some(way) = self.way(broker, state)
        {
            way.with(|buffer| wire::taken(buffer, self.spec.id, key.0, told));
        }
    }

    /// A message came for a consumer of this node.
    pub(super) fn arrived(self: &Arc<Self>, broker: &Broker, from: NodeId, key: ConsumerKey, arrived: Arrived) {
        let mut state = self.state.lock();
        if !state.is_met(from) {
            // It was sent before its sender knew what clients here hold, or by who does not have the
            // machine any more: whoever has gives it again.
            return;
        }
        let Some(desk) = &mut state.desk else { return };
        if arrived.slot != Slot::NONE {
            desk.hold(key, arrived.slot);
        }
        let Some(seated) = desk.consumers.get_mut(&key) else {
            return self.settle_away(broker, &mut state, Outcome::Requeue, vec![arrived.slot], None);
        };
        let is_stalled = !seated.waiting.is_empty();
        seated.waiting.push_back(arrived);
        if is_stalled {
            // It is asked again when its client has room: it need not stand there twice.
            return;
        }
        let told = seated.pass_on(self);
        if told > 0
            && let Some(way) = self.way(broker, &mut state)
        {
            way.with(|buffer| wire::taken(buffer, self.spec.id, key.0, told));
        }
    }

    /// Asks the node that has the machine. `None` when the machine is here by now: to be asked
    /// directly.
    ///
    /// # Errors
    /// What the other node said, or that it does not answer.
    pub(super) async fn ask(self: &Arc<Self>, broker: &Arc<Broker>, ask: Ask) -> Result<Option<Answer>, Reply> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (call, answer) = {
                let mut state = self.state.lock();
                if state.machine().is_some() || self.is_deleted() {
                    return Ok(None);
                }
                match self.begin(broker, &mut state, ask) {
                    Some(begun) => begun,
                    // A node that has just come may not have its way yet.
                    None if !self.is_replicated() && !broker.nodes.is_alive(self.spec.home) => {
                        return Err(self.is_away());
                    }
                    None => (0, None),
                }
            };
            let Some(mut answer) = answer else {
                if self.is_replicated() {
                    self.look_for_leader(broker);
                }
                let soon = (Instant::now() + ASK_AGAIN).min(deadline);
                if tokio::time::timeout_at(soon, changed).await.is_err() && Instant::now() >= deadline {
                    return Err(self.is_away());
                }
                continue;
            };
            match tokio::time::timeout_at(deadline, &mut answer).await {
                Ok(Ok(answer)) => return answer.map(Some),
                // The link broke, or another node leads.
                Ok(Err(_)) if self.is_replicated() => {}
                Ok(Err(_)) => return Err(self.is_away()),
                Err(_) => {
                    if let Some(desk) = &mut self.state.lock().desk {
                        desk.calls.remove(&call);
                    }
                    // It may have come in this moment, with a message that is this client's by now.
                    return match answer.try_recv() {
                        Ok(answer) => answer.map(Some),
                        Err(_) => Err(self.is_away()),
                    };
                }
            }
        }
    }

    #[expect(clippy::type_complexity, reason = "a call and where its answer comes")]
    fn begin(
        self: &Arc<Self>,
        broker: &Broker,
        state: &mut State,
        ask: Ask,
    ) -> Option<(u64, Option<oneshot::Receiver<Result<Answer, Reply>>>)> {
        let way = self.way(broker, state)?;
        let desk = state.desk();
        // What is fetched may not come.
        desk.is_known |= matches!(ask, Ask::Get { .. });
        let (call, answer) = desk.call(None);
        let id = self.spec.id;
        way.with(|buffer| match ask {
            Ask::Get { no_ack } => wire::get(buffer, id, call, no_ack),
            Ask::Purge => wire::purge(buffer, id, call),
            Ask::Count => wire::count(buffer, id, call),
        });
        Some((call, Some(answer)))
    }

    /// Asks the node where the queue lives whether it takes a consumer.
    ///
    /// # Errors
    /// What it said, or that it is away.
    pub(super) async fn ask_to_consume(
        self: &Arc<Self>,
        broker: &Arc<Broker>,
        consumer: &Arc<Consumer>,
        wants_answer: bool,
    ) -> Result<(), Reply> {
        let answer = {
            let mut state = self.state.lock();
            let way = self.way(broker, &mut state).ok_or_else(|| self.is_away())?;
            let desk = state.desk();
            desk.seat(consumer);
            let (call, answer) = desk.call(wants_answer.then(|| consumer.clone()));
            way.with(|buffer| wire::consume(buffer, self.spec.id, call, &wish(consumer, Rank::default())));
            answer
        };
        let refused = match tokio::time::timeout(DEADLINE, answer).await {
            Ok(Ok(Ok(_))) => return Ok(()),
            Ok(Ok(Err(refused))) => refused,
            _ => self.is_away(),
        };
        // Nobody is told that the consumer has ended.
        let _ = self.cancel_away(broker, &mut self.state.lock(), consumer.key);
        Err(refused)
    }

    /// Another node has the machine; whether it wants to hear all that is at stake, though it may have
    /// heard it before.
    pub(super) fn led_by(self: &Arc<Self>, broker: &Arc<Broker>, node: NodeId, term: u64, starts_anew: bool) {
        let mut state = self.state.lock();
        match &state.seat {
            Seat::Leading(leading) if leading.term >= term => return,
            Seat::Leading(_) => {
                drop(state);
                self.step_down(broker, None);
                state = self.state.lock();
            }
            Seat::Elsewhere(Some(away)) if away.term > term => return,
            // What it is told once more would void what it has delivered since.
            Seat::Elsewhere(Some(away))
                if !starts_anew
                    && (away.node, away.term) == (node, term)
                    && broker
                        .peers
                        .way(node)
                        .is_some_and(|way| away.attached == Some(way.epoch)) =>
            {
                return;
            }
            Seat::Elsewhere(_) | Seat::Here(_) => {}
        }
        if !matches!(state.seat, Seat::Elsewhere(_)) {
            return;
        }
        state.seat = Seat::Elsewhere(Some(Away {
            node,
            term,
            attached: None,
            is_met: false,
        }));
        let has_interest = state.desk.as_mut().is_some_and(|desk| {
            desk.drop_calls();
            desk.has_interest()
        });
        match has_interest {
            true => {
                self.way(broker, &mut state);
            }
            false => broker
                .peers
                .tell(node, |buffer| wire::nothing(buffer, self.spec.id, term)),
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// The node that has the machine is not to be reached, or does not have it any more. Clients of
    /// a queue that is not replicated lose what they have at stake.
    pub(super) fn lost_way(self: &Arc<Self>, broker: &Arc<Broker>, node: NodeId, is_gone: bool) {
        let mut deferred = Deferred::default();
        {
            let mut state = self.state.lock();
            let State { seat, desk, .. } = &mut *state;
            let Seat::Elsewhere(Some(away)) = seat else { return };
            if away.node != node {
                return;
            }
            let was_told = away.attached.take().is_some();
            away.is_met = false;
            let Some(desk) = desk else { return };
            desk.drop_calls();
            if self.is_replicated() {
                if is_gone {
                    *seat = Seat::Elsewhere(None);
                }
            } else {
                answer(desk.give_up(), GIVEN_UP);
                desk.held.clear();
                desk.forget_settles();
                deferred.cancelled = desk.unseat_all();
            }
            // The end of a link may be heard of after the beginning of the next, and a node may be given up
            // whose link stands: it would go on serving whom nobody here serves.
            if was_told {
                self.way(broker, &mut state);
            }
        }
        self.changed.notify_waiters();
        if !deferred.is_empty() {
            broker.carry_out(self, deferred);
        }
        if is_gone && self.is_replicated() {
            broker.seekers.seek(self);
        }
    }

    /// Asks the members which of them leads.
    pub(super) fn look_for_leader(&self, broker: &Broker) {
        for node in broker.members_of(self) {
            if node != broker.nodes.us() {
                broker.peers.tell(node, |buffer| wire::who(buffer, self.spec.id));
            }
        }
    }

    /// The queue is deleted: who waits is told so, as if it had taken everything.
    pub(super) fn drop_desk(&self) -> Deferred {
        let mut state = self.state.lock();
        if !matches!(state.seat, Seat::Here(_)) {
            state.seat = Seat::Elsewhere(None);
        }
        let Some(desk) = &mut state.desk else {
            return Deferred::default();
        };
        answer(desk.give_up(), ConfirmOutcome::Ack);
        desk.drop_calls();
        desk.held.clear();
        // What was settled is as gone as it can be.
        desk.settled(u64::MAX);
        Deferred {
            cancelled: desk.unseat_all(),
            ..Deferred::default()
        }
    }

    /// What clients hear when the queue's node, or its leader, cannot be reached.
    pub(super) fn is_away(&self) -> Reply {
        let text = format!(
            "queue '{}' in vhost '{}' process is stopped by supervisor",
            self.spec.name, self.spec.vhost
        );
        Reply::channel(ReplyCode::NotFound, text)
    }
}

impl Desk {
    /// A consumer of this node is to be told to whoever has the machine.
    pub fn seat(&mut self, consumer: &Arc<Consumer>) {
        let seated = Seated {
            consumer: consumer.clone(),
            rank: Rank::default(),
            waiting: Default::default(),
            untold: 0,
        };
        self.consumers.insert(consumer.key, seated);
    }

    /// All consumers of this node end.
    fn unseat_all(&mut self) -> Vec<Arc<Consumer>> {
        let all = std::mem::take(&mut self.consumers);
        all.into_values().map(|seated| seated.consumer).collect()
    }

    fn call(&mut self, consumer: Option<Arc<Consumer>>) -> (u64, oneshot::Receiver<Result<Answer, Reply>>) {
        let (answer, answered) = oneshot::channel();
        let call = NEXT_CALL.fetch_add(1, Ordering::Relaxed);
        self.calls.insert(call, Call { answer, consumer });
        (call, answered)
    }

    /// Whoever asked asks again.
    pub fn drop_calls(&mut self) {
        self.calls.clear();
    }
}

impl Call {
    /// Tells whoever asked; false when nobody waits any more.
    pub fn tell(self, answer: Result<Answer, Reply>) -> Result<(), Result<Answer, Reply>> {
        if let (Some(consumer), Ok(_)) = (&self.consumer, &answer) {
            consume_ok(&consumer.outbox, consumer);
        }
        self.answer.send(answer)
    }
}

impl Seated {
    /// Hands on what its client has room for. Returns the bytes that the leader may send anew, once
    /// they are worth a message.
    fn pass_on(&mut self, queue: &QueueHandle) -> u64 {
        let mut out = self.consumer.outbox.lock();
        while !self.waiting.is_empty()
            && out.room(&self.consumer)
            && let Some(arrived) = self.waiting.pop_front()
        {
            let handed = Handed {
                slot: arrived.slot,
                redelivered: arrived.redelivered,
                delivery_count: arrived.delivery_count,
            };
            // A channel that is closed gives back all that is held for it.
            hand_over(&mut out, queue, &self.consumer, handed, &arrived.message);
            self.untold += arrived.message.stored_len() as u64;
        }
        out.finish();
        match self.untold >= WINDOW / 4 {
            true => std::mem::take(&mut self.untold),
            false => 0,
        }
    }
}

/// Writes the answer to `basic.consume`.
pub(super) fn consume_ok(outbox: &Outbox, consumer: &Consumer) {
    let mut out = outbox.lock();
    if out.channel_as(consumer.channel, consumer.incarnation).is_some() {
        let answer = BasicConsumeOk {
            consumer_tag: consumer.tag.clone(),
        };
        Method::from(answer).encode_frame(consumer.channel, out.output.bytes());
    }
    out.finish();
}

fn wish(consumer: &Consumer, rank: Rank) -> wire::Wish<&str> {
    wire::Wish {
        key: consumer.key.0,
        tag: &consumer.tag,
        prefetch: consumer.prefetch,
        no_ack: consumer.no_ack,
        exclusive: consumer.exclusive,
        priority: consumer.priority,
        rank,
    }
}

/// Says everything that is at stake.
fn attach(queue: &QueueHandle, desk: &mut Desk, term: u64, out: &Way) {
    let id = queue.spec.id;
    desk.attaches += 1;
    desk.is_known = !(desk.consumers.is_empty() && desk.held.is_empty());
    let desk = &*desk;
    out.with(|buffer| {
        let wishes = desk
            .consumers
            .values()
            .map(|seated| wish(&seated.consumer, seated.rank));
        let held = desk.held.values().map(|held| (held.by.0, held.slot));
        let attaching = wire::Attaching {
            term,
            number: desk.attaches,
            producer: desk.producer.0,
        };
        wire::attach(buffer, id, &attaching, wishes, held, desk.settles());
    });
    let mut first = None;
    let mut run: Vec<Message> = Vec::new();
    for (number, message) in desk.unanswered() {
        let next = first.map(|first: u64| first + run.len() as u64);
        if next.is_some_and(|next| next != number)
            && let Some(first) = first.replace(number)
        {
            send_publishes(out, queue, first, &std::mem::take(&mut run));
        }
        first.get_or_insert(number);
        run.push(message.clone());
    }
    if let Some(first) = first {
        send_publishes(out, queue, first, &run);
    }
}

/// Sends numbered publishes, in frames that the other side can take in at once.
fn send_publishes(out: &Way, queue: &QueueHandle, mut first: u64, messages: &[Message]) {
    let mut rest = messages;
    while !rest.is_empty() {
        let mut bytes = 0;
        let count = rest.iter().take_while(|message| {
            let fits = bytes == 0 || bytes + message.memory() <= FRAME_BYTES;
            bytes += message.memory();
            fits
        });
        let (now, later) = rest.split_at(count.count());
        out.with(|buffer| wire::publish(buffer, queue.spec.id, first, now));
        first += now.len() as u64;
        rest = later;
    }
}
