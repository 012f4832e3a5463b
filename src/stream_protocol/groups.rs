//! Single active consumers: of the members of a group one reads, and the others wait.
//!
//! ```text
//! Waiting ── it is its turn ──► Activating ── answer ──► Active ── another's turn ──► Deactivating ── answer ──► Waiting
//! ```
//! Members stand in the order in which they came. Of a stream by itself the first is the active one; of a partition
//! of a super stream it is the one whose place is the partition's number, counted around. A member is asked to
//! begin only when the one before has answered that it has ended, so that never two read.

/// The members of a group, each known by a key.
#[derive(Debug)]
pub struct Group<K> {
    members: Vec<(K, State)>,
    /// The number of the partition; 0 for a stream by itself.
    partition: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Activating,
    Active,
    Deactivating,
}

/// What a member is asked: whether it is active from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Update<K> {
    pub member: K,
    pub is_active: bool,
}

impl<K: Copy + Eq> Group<K> {
    /// A group without members.
    pub fn new(partition: usize) -> Self {
        Self {
            members: Vec::new(),
            partition,
        }
    }

    /// Whether there is nobody in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member comes.
    pub fn join(&mut self, member: K) -> Option<Update<K>> {
        self.members.push((member, State::Waiting));
        self.settle()
    }

    /// A member goes, whatever it was asked.
    pub fn leave(&mut self, member: K) -> Option<Update<K>> {
        self.members.retain(|(other, _)| *other != member);
        self.settle()
    }

    /// A member has answered what it was asked last.
    pub fn answered(&mut self, member: K) -> Option<Update<K>> {
        if let Some((_, state)) = self.members.iter_mut().find(|(other, _)| *other == member) {
            *state = match state {
                State::Activating => State::Active,
                State::Deactivating => State::Waiting,
                State::Waiting | State::Active => return None,
            };
        }
        self.settle()
    }

    /// Whose turn it is now; nothing while somebody is asked.
    fn settle(&mut self) -> Option<Update<K>> {
        let is_asked = |state: &State| matches!(state, State::Activating | State::Deactivating);
        if self.members.is_empty() || self.members.iter().any(|(_, state)| is_asked(state)) {
            return None;
        }
        let turn = self.partition % self.members.len();
        let active = self.members.iter().position(|(_, state)| *state == State::Active);
        let (at, state) = match active {
            Some(active) if active == turn => return None,
            Some(active) => (active, State::Deactivating),
            None => (turn, State::Activating),
        };
        let (member, before) = &mut self.members[at];
        *before = state;
        Some(Update {
            member: *member,
            is_active: state == State::Activating,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn begin(member: u8) -> Option<Update<u8>> {
        Some(Update {
            member,
            is_active: true,
        })
    }

    fn end(member: u8) -> Option<Update<u8>> {
        Some(Update {
            member,
            is_active: false,
        })
    }

    #[test]
    fn the_first_reads_and_the_next_when_it_goes() {
        let mut group = Group::new(0);
        assert_eq!(group.join(1), begin(1));
        assert_eq!(group.join(2), None);
        assert_eq!(group.answered(1), None);
        assert_eq!(group.leave(1), begin(2));
        assert_eq!(group.answered(2), None);
        assert_eq!(group.leave(2), None);
        assert!(group.is_empty());
    }

    #[test]
    fn a_partition_goes_to_another_after_the_one_before_has_answered() {
        let mut group = Group::new(1);
        assert_eq!(group.join(1), begin(1));
        assert_eq!(group.answered(1), None);
        assert_eq!(group.join(2), end(1));
        assert_eq!(group.answered(1), begin(2));
        assert_eq!(group.answered(2), None);
        assert_eq!(group.leave(2), begin(1));
    }

    #[test]
    fn a_member_that_goes_while_it_is_asked_holds_up_nobody() {
        let mut group = Group::new(1);
        group.join(1);
        group.answered(1);
        assert_eq!(group.join(2), end(1));
        assert_eq!(group.leave(1), begin(2));
        assert_eq!(group.answered(1), None, "it is not there");
    }

    proptest! {
        #[test]
        fn never_two_read_and_somebody_does_in_the_end(
            steps in vec((0..3_u8, 0..6_u8), 0..60),
            partition in 0..4_usize,
        ) {
            let mut group = Group::new(partition);
            let (mut there, mut reads, mut asked) = (Vec::new(), None, None::<Update<u8>>);
            let mut steps = steps.into_iter();
            loop {
                // In the end all that is asked is answered.
                let (what, member) = steps.next().unwrap_or((2, 0));
                let update = match what {
                    0 if !there.contains(&member) => {
                        there.push(member);
                        group.join(member)
                    }
                    1 => {
                        there.retain(|other| *other != member);
                        reads = reads.filter(|reader| *reader != member);
                        asked = asked.filter(|asked| asked.member != member);
                        group.leave(member)
                    }
                    2 => match asked.take() {
                        Some(answered) => {
                            if answered.is_active {
                                prop_assert_eq!(reads, None, "two read");
                                reads = Some(answered.member);
                            } else {
                                reads = None;
                            }
                            group.answered(answered.member)
                        }
                        None if steps.len() == 0 => break,
                        None => None,
                    },
                    _ => None,
                };
                if update.is_some() {
                    prop_assert_eq!(asked, None, "one is asked at a time");
                    asked = update;
                }
            }
            let turn = there.get(partition % there.len().max(1));
            prop_assert_eq!(reads, turn.copied());
        }
    }
}
