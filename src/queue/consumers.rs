//! Who wants messages, and whose turn it is.
//!
//! Consumers that may take a message now stand in lines by priority, the one that waited longest
//! in front. The others are known by their [`Standing`]:
//!
//! ```text
//!            prefetch used up               no room at the client
//!   Full ◄──────────────────── InLine ────────────────────► Stalled
//!     └──── a settle ──────────►  ▲ ◄──────── unstall ──────────┘
//!                                 │ becomes the single active consumer
//!                              Standby
//! ```
//!
//! Holds: a consumer stands in the line of its priority exactly when it is `InLine`; with a single
//! active consumer everyone else is `Standby`.
//!
//! A new leader of a replicated queue hears of the consumers that are there in any order. When it has
//! heard all, they stand in line as they came, and the one that was active last goes on.

use std::collections::VecDeque;

use crate::spec::QueueType;

use super::sink::{Consume, ConsumeError, ConsumerId, Rank};

/// The consumers of one queue; `C` is what the caller calls them.
pub(super) struct Consumers<C> {
    cells: Vec<Cell<C>>,
    free: Vec<u32>,
    /// By descending priority; only of priorities that somebody has.
    lines: Vec<Line>,
    count: usize,
    /// The last number that was given, see [`Rank`].
    numbers: u64,
    /// Those that were there under the leader before are being heard: none is made the active one yet.
    gathering: bool,
    /// Sum of the prefetches, and consumers without one.
    prefetch: (u64, usize),
    mode: Mode,
    kind: QueueType,
}

/// How many messages consumers may want beyond the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// No more than they may hold.
    Most(u64),
    /// One of them has no limit.
    Everything,
}

/// Whether all consumers are served, or one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    All,
    SingleActive { active: Option<u32> },
}

/// One consumer.
pub(super) struct Consumer<C> {
    pub handle: C,
    pub prefetch: Option<u32>,
    pub no_ack: bool,
    pub exclusive: bool,
    pub priority: i32,
    /// Messages it holds.
    pub unacked: u32,
    pub standing: Standing,
    pub rank: Rank,
}

/// What keeps a consumer from its next message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// Nothing: it waits for its turn.
    InLine,
    /// Its prefetch is used up.
    Full,
    /// Its client takes no more now.
    Stalled,
    /// Another is the single active consumer, or this one is and makes way.
    Standby,
}

struct Cell<C> {
    generation: u32,
    consumer: Option<Consumer<C>>,
}

struct Line {
    priority: i32,
    waiting: VecDeque<u32>,
}

/// Bits of an id that number the cell; the others count its users.
const INDEX_BITS: u32 = 20;
const INDEX_MASK: u32 = (1 << INDEX_BITS) - 1;

impl<C> Consumers<C> {
    pub fn new(kind: QueueType, single_active: bool) -> Self {
        Self {
            cells: Vec::new(),
            free: Vec::new(),
            lines: Vec::new(),
            count: 0,
            numbers: 0,
            gathering: false,
            prefetch: (0, 0),
            mode: if single_active {
                Mode::SingleActive { active: None }
            } else {
                Mode::All
            },
            kind,
        }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    /// Numbers begin here, beyond those of the leader before, whose consumers are heard until
    /// [`Consumers::open`].
    pub fn gather(&mut self, numbers: u64) {
        self.numbers = numbers;
        self.gathering = true;
    }

    /// All that were there under the leader before have been heard.
    pub fn open(&mut self) {
        if !std::mem::take(&mut self.gathering) {
            return;
        }
        let cells = &self.cells;
        for line in &mut self.lines {
            let arrival = |index: &u32| cells[*index as usize].consumer.as_ref().map(|one| one.rank.arrival);
            line.waiting.make_contiguous().sort_by_key(arrival);
        }
        let was_active = self.iter().filter(|(_, one)| one.rank.activation > 0);
        let last = was_active.max_by_key(|(_, one)| one.rank.activation);
        if let Some(index) = last.map(|(id, _)| id.0 & INDEX_MASK) {
            self.activate(Some(index));
        }
        self.elect();
    }

    /// Takes a consumer in. Quorum queues ignore the request to be exclusive; classic queues refuse
    /// it beside others and on a single-active-consumer queue.
    pub fn add(&mut self, request: Consume<C>) -> Result<ConsumerId, ConsumeError> {
        self.check_add(request.exclusive)?;
        let exclusive = self.is_exclusive(request.exclusive);
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.cells.push(Cell {
                    generation: 0,
                    consumer: None,
                });
                (self.cells.len() - 1) as u32
            }
        };
        if !self.lines.iter().any(|line| line.priority == request.priority) {
            let at = self.lines.partition_point(|line| line.priority > request.priority);
            let waiting = VecDeque::new();
            self.lines.insert(
                at,
                Line {
                    priority: request.priority,
                    waiting,
                },
            );
        }
        self.count += 1;
        let mut rank = request.rank;
        if rank.arrival == 0 {
            self.numbers += 1;
            rank.arrival = self.numbers;
        }
        match request.prefetch.filter(|_| !request.no_ack) {
            Some(prefetch) => self.prefetch.0 += u64::from(prefetch),
            None => self.prefetch.1 += 1,
        }
        let cell = &mut self.cells[index as usize];
        cell.consumer = Some(Consumer {
            handle: request.handle,
            prefetch: request.prefetch.filter(|_| !request.no_ack),
            no_ack: request.no_ack,
            exclusive,
            priority: request.priority,
            unacked: 0,
            standing: Standing::Standby,
            rank,
        });
        let id = ConsumerId(cell.generation << INDEX_BITS | index);
        self.elect();
        self.stand(index);
        Ok(id)
    }

    /// Whether [`Consumers::add`] would take such a consumer.
    pub fn check_add(&self, exclusive: bool) -> Result<(), ConsumeError> {
        let single = self.mode != Mode::All;
        let alone = self.count == 0;
        if self.is_exclusive(exclusive) && (single || !alone) || self.iter().any(|(_, other)| other.exclusive) {
            return Err(ConsumeError::ExclusiveUse);
        }
        if self.free.is_empty() && self.cells.len() as u32 > INDEX_MASK {
            return Err(ConsumeError::TooMany);
        }
        Ok(())
    }

    /// Quorum queues ignore the request to be exclusive.
    fn is_exclusive(&self, requested: bool) -> bool {
        requested && self.kind != QueueType::Quorum
    }

    /// Takes a consumer out; what it holds stays outstanding.
    pub fn remove(&mut self, id: ConsumerId) -> Option<C> {
        let index = self.index(id)?;
        self.leave_line(index);
        let cell = &mut self.cells[index as usize];
        let gone = cell.consumer.take()?;
        cell.generation = cell.generation.wrapping_add(1);
        // A cell whose ids are used up stays empty: an old id must not name a new consumer.
        if cell.generation << INDEX_BITS != 0 {
            self.free.push(index);
        }
        self.count -= 1;
        match gone.prefetch {
            Some(prefetch) => self.prefetch.0 -= u64::from(prefetch),
            None => self.prefetch.1 -= 1,
        }
        if !self.iter().any(|(_, other)| other.priority == gone.priority) {
            self.lines.retain(|line| line.priority != gone.priority);
        }
        if self.mode == (Mode::SingleActive { active: Some(index) }) {
            self.mode = Mode::SingleActive { active: None };
        }
        self.elect();
        Some(gone.handle)
    }

    /// Takes every consumer out.
    pub fn drain(&mut self) -> Vec<C> {
        let ids: Vec<_> = self.iter().map(|(id, _)| id).collect();
        ids.into_iter().filter_map(|id| self.remove(id)).collect()
    }

    /// The consumer whose turn it is.
    pub fn next(&self) -> Option<u32> {
        self.lines.iter().find_map(|line| line.waiting.front().copied())
    }

    /// The consumer at the index that [`Consumers::next`] gave, with its id.
    pub fn at(&self, index: u32) -> Option<(ConsumerId, &Consumer<C>)> {
        let cell = self.cells.get(index as usize)?;
        Some((
            ConsumerId(cell.generation << INDEX_BITS | index),
            cell.consumer.as_ref()?,
        ))
    }

    /// The consumer whose turn it was got a message.
    pub fn took(&mut self, index: u32) {
        let Some(consumer) = self.cells[index as usize].consumer.as_mut() else {
            return;
        };
        if !consumer.no_ack {
            consumer.unacked += 1;
        }
        let full = consumer.full();
        if full {
            consumer.standing = Standing::Full;
        }
        let priority = consumer.priority;
        let Some(line) = self.lines.iter_mut().find(|line| line.priority == priority) else {
            return;
        };
        if full {
            line.waiting.pop_front();
        } else if line.waiting.len() > 1 {
            line.waiting.rotate_left(1);
        }
    }

    /// The consumer settled a message.
    pub fn settled(&mut self, id: ConsumerId) {
        let Some(index) = self.index(id) else {
            return;
        };
        let Some(consumer) = self.cells[index as usize].consumer.as_mut() else {
            return;
        };
        consumer.unacked = consumer.unacked.saturating_sub(1);
        match consumer.standing {
            Standing::Full => self.stand(index),
            Standing::Standby => self.elect(),
            Standing::InLine | Standing::Stalled => {}
        }
    }

    /// The client of the consumer whose turn it is takes no more now.
    pub fn stall(&mut self, index: u32) {
        self.leave_line(index);
        if let Some(consumer) = self.cells[index as usize].consumer.as_mut() {
            consumer.standing = Standing::Stalled;
        }
    }

    /// The client takes messages again.
    pub fn unstall(&mut self, id: ConsumerId) {
        if let Some(index) = self.index(id)
            && self
                .at(index)
                .is_some_and(|(_, consumer)| consumer.standing == Standing::Stalled)
        {
            self.stand(index);
        }
    }

    /// Whoever had no room takes messages again.
    pub fn unstall_all(&mut self) {
        let stalled = self.iter().filter(|(_, one)| one.standing == Standing::Stalled);
        let ids: Vec<_> = stalled.map(|(id, _)| id).collect();
        ids.into_iter().for_each(|id| self.unstall(id));
    }

    /// The consumer holds a message that was not delivered to it here.
    pub fn holds_one_more(&mut self, id: ConsumerId) {
        let Some(index) = self.index(id) else {
            return;
        };
        let Some(consumer) = self.cells[index as usize].consumer.as_mut() else {
            return;
        };
        consumer.unacked += 1;
        if consumer.standing != Standing::Stalled {
            self.stand(index);
        }
    }

    /// How far ahead of the consumers to look.
    pub fn wanted(&self) -> Wanted {
        match self.prefetch {
            (most, 0) => Wanted::Most(most),
            _ => Wanted::Everything,
        }
    }

    /// Every consumer with its id, by cell.
    pub fn iter(&self) -> impl Iterator<Item = (ConsumerId, &Consumer<C>)> {
        (0..self.cells.len() as u32).filter_map(|index| self.at(index))
    }

    /// The consumer of that id, if it is still there.
    pub fn get(&self, id: ConsumerId) -> Option<&Consumer<C>> {
        Some(self.at(self.index(id)?)?.1)
    }

    /// The one that is served, where only one is.
    pub fn single_active(&self) -> Option<ConsumerId> {
        match self.mode {
            Mode::SingleActive { active: Some(index) } => Some(self.at(index)?.0),
            _ => None,
        }
    }

    /// Whether only one is served.
    pub fn is_single_active(&self) -> bool {
        self.mode != Mode::All
    }

    /// Panics when lines and standings do not agree.
    pub fn check(&self) {
        assert_eq!(self.count, self.iter().count());
        let limits = || self.iter().map(|(_, one)| one.prefetch);
        let sums = (
            limits().flatten().map(u64::from).sum(),
            limits().filter(Option::is_none).count(),
        );
        assert_eq!(self.prefetch, sums, "sum of prefetches");
        for (id, consumer) in self.iter() {
            let index = id.0 & INDEX_MASK;
            let lines = self.lines.iter().filter(|line| line.waiting.contains(&index));
            let priorities: Vec<_> = lines.map(|line| line.priority).collect();
            match consumer.standing {
                Standing::InLine => {
                    assert_eq!(priorities, [consumer.priority]);
                    assert!(!consumer.full(), "a full consumer is in line");
                }
                _ => assert!(priorities.is_empty(), "in line and {:?}", consumer.standing),
            }
            assert!(consumer.standing != Standing::Full || consumer.full());
            if let Mode::SingleActive { active } = self.mode {
                let way = active != Some(index) || self.makes_way(index);
                assert_eq!(consumer.standing == Standing::Standby, way, "single active consumer");
            } else {
                assert_ne!(consumer.standing, Standing::Standby);
            }
        }
        let waiting: usize = self.lines.iter().map(|line| line.waiting.len()).sum();
        assert_eq!(
            waiting,
            self.iter().filter(|(_, one)| one.standing == Standing::InLine).count()
        );
        assert!(self.lines.is_sorted_by(|one, next| one.priority > next.priority));
        let is_chosen = self.mode != (Mode::SingleActive { active: None });
        assert!(is_chosen || self.count == 0 || self.gathering);
    }

    fn index(&self, id: ConsumerId) -> Option<u32> {
        let index = id.0 & INDEX_MASK;
        (self.at(index)?.0 == id).then_some(index)
    }

    /// Gives a consumer its place again after something about it changed.
    fn stand(&mut self, index: u32) {
        self.leave_line(index);
        let idle = match self.mode {
            Mode::All => false,
            Mode::SingleActive { active } => active != Some(index) || self.makes_way(index),
        };
        let Some(consumer) = self.cells[index as usize].consumer.as_mut() else {
            return;
        };
        consumer.standing = match consumer.full() {
            _ if idle => Standing::Standby,
            true => Standing::Full,
            false => Standing::InLine,
        };
        if consumer.standing == Standing::InLine {
            let priority = consumer.priority;
            if let Some(line) = self.lines.iter_mut().find(|line| line.priority == priority) {
                line.waiting.push_back(index);
            }
        }
    }

    fn leave_line(&mut self, index: u32) {
        let Some((_, consumer)) = self.at(index) else {
            return;
        };
        if consumer.standing != Standing::InLine {
            return;
        }
        let priority = consumer.priority;
        let Some(line) = self.lines.iter_mut().find(|line| line.priority == priority) else {
            return;
        };
        if line.waiting.front() == Some(&index) {
            line.waiting.pop_front();
        } else {
            line.waiting.retain(|other| *other != index);
        }
    }

    /// Chooses the single active consumer: the one of highest priority that came first. On a
    /// classic queue whoever is active stays so; on a quorum queue one of higher priority takes
    /// over, as soon as the active one holds nothing.
    fn elect(&mut self) {
        let Mode::SingleActive { active } = self.mode else {
            return;
        };
        if self.gathering {
            return;
        }
        if let Some(active) = active {
            if !self.outranked(active) {
                // The one it made way for may have gone.
                if self
                    .at(active)
                    .is_some_and(|(_, one)| one.standing == Standing::Standby)
                {
                    self.stand(active);
                }
                return;
            }
            if self.makes_way(active) {
                return self.stand(active);
            }
        }
        let best = self
            .iter()
            .max_by_key(|(_, one)| (one.priority, std::cmp::Reverse(one.rank.arrival)));
        self.activate(best.map(|(id, _)| id.0 & INDEX_MASK));
    }

    /// Makes a consumer the single active one, where only one is served.
    fn activate(&mut self, next: Option<u32>) {
        let Mode::SingleActive { active } = self.mode else {
            return;
        };
        self.mode = Mode::SingleActive { active: next };
        if let Some(consumer) = next.and_then(|next| self.cells[next as usize].consumer.as_mut()) {
            self.numbers += 1;
            consumer.rank.activation = self.numbers;
        }
        for index in active.into_iter().chain(next) {
            self.stand(index);
        }
    }

    /// Whether another has a better claim to be the single active consumer.
    fn outranked(&self, active: u32) -> bool {
        let Some((_, active)) = self.at(active) else {
            return true;
        };
        self.kind == QueueType::Quorum && self.iter().any(|(_, other)| other.priority > active.priority)
    }

    /// Whether the active consumer gets no more because another waits for its last settle.
    fn makes_way(&self, active: u32) -> bool {
        self.outranked(active) && self.at(active).is_some_and(|(_, active)| active.unacked > 0)
    }
}

impl<C> Consumer<C> {
    fn full(&self) -> bool {
        self.prefetch.is_some_and(|prefetch| self.unacked >= prefetch)
    }
}
