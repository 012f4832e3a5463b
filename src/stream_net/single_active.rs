//! Groups of single active consumers on this node, which leads their streams.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::mpsc;

use super::notice::Notice;
use crate::stream_protocol::groups::{Group, Update};
use crate::types::{ConnectionId, QueueId};

/// All groups.
#[derive(Clone, Default)]
pub(super) struct Groups(Arc<Mutex<FxHashMap<GroupKey, Members>>>);

/// A group: a stream and a name.
type GroupKey = (QueueId, String);

/// A member: a subscription of a connection, told from earlier ones of its id.
type MemberKey = (ConnectionId, u64);

struct Members {
    group: Group<MemberKey>,
    /// Where each hears of its turn: what its session is told.
    inboxes: FxHashMap<MemberKey, (u8, mpsc::UnboundedSender<Notice>)>,
}

/// A subscription's place in its group, which it leaves when this is dropped.
pub(super) struct Membership {
    groups: Groups,
    key: GroupKey,
    member: MemberKey,
}

impl Groups {
    /// A subscription joins a group.
    pub fn join(
        &self,
        key: GroupKey,
        partition: usize,
        (connection, incarnation): MemberKey,
        (subscription, inbox): (u8, mpsc::UnboundedSender<Notice>),
    ) -> Membership {
        let member = (connection, incarnation);
        let mut groups = self.0.lock();
        let members = groups.entry(key.clone()).or_insert_with(|| Members {
            group: Group::new(partition),
            inboxes: FxHashMap::default(),
        });
        members.inboxes.insert(member, (subscription, inbox));
        let update = members.group.join(member);
        members.tell(update);
        Membership {
            groups: self.clone(),
            key,
            member,
        }
    }
}

impl Members {
    fn tell(&self, update: Option<Update<MemberKey>>) {
        let Some(Update { member, is_active }) = update else {
            return;
        };
        if let Some((subscription, inbox)) = self.inboxes.get(&member) {
            let (subscription, incarnation) = (*subscription, member.1);
            // A session that has ended leaves its groups.
            let _ = inbox.send(Notice::Turn {
                subscription,
                incarnation,
                is_active,
            });
        }
    }
}

impl Membership {
    /// The client has answered what it was told.
    pub fn answered(&self) {
        if let Some(members) = self.groups.0.lock().get_mut(&self.key) {
            let update = members.group.answered(self.member);
            members.tell(update);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut groups = self.groups.0.lock();
        let Some(members) = groups.get_mut(&self.key) else {
            return;
        };
        members.inboxes.remove(&self.member);
        let update = members.group.leave(self.member);
        members.tell(update);
        if members.group.is_empty() {
            groups.remove(&self.key);
        }
    }
}
