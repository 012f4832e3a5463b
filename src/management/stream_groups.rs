//! Groups of streams' readers: all that read under one name in a vhost, whether anybody is connected or not. Where they
//! go on can be set.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::Fields;
use super::route::{Access, Route};
use super::{list, streams};
use crate::broker::QueueHandle;
use crate::broker::connections::ConnectionReport;
use crate::broker::delivery::streaming::SubscriptionReport;
use crate::broker::queue::stream::Tracked;
use crate::broker::report::About;
use crate::declare::access::{self, Operation};
use crate::queue::ConsumerStatus;
use crate::spec::QueueType;
use crate::stream::OffsetSpec;
use crate::types::{Timestamp, VhostName};

/// What can be asked of groups.
pub static ROUTES: &[Route] = &[
    Route::later(
        "/stream/groups",
        Access::Management,
        "Groups of streams' readers: members, partitions, stored offsets and lag.",
        |call| {
            Box::pin(async move {
                let visible = call.caller.vhosts(&call.broker.catalogue());
                list_groups(call, &visible).await
            })
        },
    ),
    Route::later(
        "/stream/groups/{vhost}",
        Access::Vhost,
        "Groups of streams' readers in a vhost.",
        |call| {
            Box::pin(async move {
                call.in_vhost(|_| ())?;
                let vhost = call.vhost();
                list_groups(call, &[vhost]).await
            })
        },
    ),
    Route::later(
        "/stream/groups/{vhost}/{name}",
        Access::Vhost,
        "A group of streams' readers.",
        |call| Box::pin(one_group(call)),
    ),
    Route::post(
        "/stream/groups/{vhost}/{name}/reset",
        Access::Vhost,
        "Sets the offset that a group has stored: offset (first, last, next, or a number), or timestamp; of one stream, \
         or of all. Refused while a member reads, unless force is true.",
        |call| Box::pin(reset(call)),
    ).plain(),
    Route::delete(
        "/stream/groups/{vhost}/{name}",
        Access::Vhost,
        "Forgets the offsets that a group has stored. Refused while a member reads.",
        |call| Box::pin(forget(call)),
    ),
];

/// Streams that are asked about side by side.
const AT_ONCE: usize = 32;

/// A stream that a group reads.
struct Partition {
    queue: Arc<QueueHandle>,
    tracked: Tracked,
    /// What the group has stored.
    stored: Option<u64>,
    members: Vec<Member>,
}

/// A subscription under the group's name.
#[derive(Clone)]
struct Member {
    connection: Value,
    subscription: SubscriptionReport,
}

/// Groups by vhost and name, with their partitions by name.
type Groups = BTreeMap<(VhostName, String), BTreeMap<String, Partition>>;

impl Member {
    fn property(&self, key: &str) -> Option<&str> {
        let mut properties = self.subscription.properties.iter();
        properties.find(|(own, _)| own == key).map(|(_, value)| value.as_str())
    }

    fn is_active(&self) -> bool {
        self.subscription.status != ConsumerStatus::Waiting
    }
}

/// What all streams of these vhosts have tracked, and who reads them under a name.
async fn gather(call: &mut Call, vhosts: &[VhostName]) -> Result<Groups, Failure> {
    call.gather(About::Clients).await?;
    let handles = vhosts.iter().filter_map(|vhost| call.broker.vhost(vhost));
    let queues = handles.flat_map(|vhost| vhost.queues());
    let queues = queues.filter(|queue| queue.spec.queue_type == QueueType::Stream);
    let broker = call.broker.clone();
    let known = futures_util::stream::iter(queues.collect::<Vec<_>>())
        .map(move |queue| {
            let broker = broker.clone();
            async move {
                let tracked = broker.reports().tracked(&queue).await;
                (queue, tracked)
            }
        })
        .buffered(AT_ONCE);
    let known: Vec<_> = known.collect().await;
    let members = members(call);
    let mut groups = Groups::new();
    for (queue, tracked) in known {
        let Some(tracked) = tracked else { continue };
        let of_queue = members.iter().filter(|(id, _)| *id == queue.spec.id);
        let mut readers = BTreeMap::<String, Vec<Member>>::new();
        for (_, member) in of_queue {
            if let Some(name) = member.property("name") {
                readers.entry(name.to_owned()).or_default().push(member.clone());
            }
        }
        for (name, _) in &tracked.cursors {
            readers.entry(name.clone()).or_default();
        }
        for (name, members) in readers {
            let stored = tracked.cursors.iter().find(|(own, _)| *own == name);
            let partition = Partition {
                queue: queue.clone(),
                stored: stored.map(|(_, offset)| *offset),
                tracked: tracked.clone(),
                members,
            };
            let group = groups.entry((queue.spec.vhost.clone(), name)).or_default();
            group.insert(queue.spec.name.to_string(), partition);
        }
    }
    Ok(groups)
}

fn members(call: &Call) -> Vec<(crate::types::QueueId, Member)> {
    let all = call.gathered.connections().iter();
    let member = |connection: &ConnectionReport, subscription: &SubscriptionReport| {
        let member = Member {
            connection: streams::connection_view(call, connection),
            subscription: subscription.clone(),
        };
        (subscription.queue, member)
    };
    let members = all.flat_map(|connection| {
        let client = connection.streaming.iter();
        let subscriptions = client.flat_map(|client| &client.subscriptions);
        subscriptions.map(move |subscription| member(connection, subscription))
    });
    members.collect()
}

async fn list_groups(mut call: Call, vhosts: &[VhostName]) -> Answered {
    let groups = gather(&mut call, vhosts).await?;
    let views = groups.iter().map(|(name, partitions)| view(name, partitions));
    list::listing(&call, views.collect(), &["vhost", "name"])
}

/// The group of the path.
async fn found(call: &mut Call) -> Result<BTreeMap<String, Partition>, Failure> {
    call.in_vhost(|_| ())?;
    let vhost = call.vhost();
    let mut groups = gather(call, std::slice::from_ref(&vhost)).await?;
    let group = groups.remove(&(vhost, call.name("name").to_owned()));
    group.ok_or(Failure::NotFound)
}

async fn one_group(mut call: Call) -> Answered {
    let partitions = found(&mut call).await?;
    let name = (call.vhost(), call.name("name").to_owned());
    Ok(Answer::Json(view(&name, &partitions)))
}

fn view((vhost, name): &(VhostName, String), partitions: &BTreeMap<String, Partition>) -> Value {
    let all = || partitions.values().flat_map(|partition| &partition.members);
    let lag: u64 = partitions.values().map(lag).sum();
    json!({
        "name": name,
        "vhost": vhost,
        "super_stream": all().find_map(|member| member.property("super-stream")),
        "state": if all().any(Member::is_active) { "active" } else { "empty" },
        "members": all().count(),
        "lag": lag,
        "partitions": partitions.iter().map(|(stream, partition)| partition_view(stream, partition)).collect::<Vec<_>>(),
    })
}

/// Messages behind the one that the group has stored; all that there are where it has stored none.
fn lag(partition: &Partition) -> u64 {
    let Tracked { first, end, .. } = partition.tracked;
    let next = partition
        .stored
        .map_or(first, |stored| stored.saturating_add(1).max(first));
    end.saturating_sub(next)
}

fn partition_view(stream: &str, partition: &Partition) -> Value {
    let members = partition.members.iter().map(|member| {
        json!({
            "connection_details": member.connection,
            "subscription_id": member.subscription.id,
            "activity_status": member.subscription.status.name(),
            "offset": member.subscription.offset,
        })
    });
    json!({
        "stream": stream,
        "stored_offset": partition.stored,
        "first_offset": partition.tracked.first,
        "end_offset": partition.tracked.end,
        "lag": lag(partition),
        "members": members.collect::<Vec<_>>(),
    })
}

/// Whoever sets or forgets an offset could as well read the stream and store it.
fn may_steer<'a>(call: &Call, streams: impl Iterator<Item = &'a String>) -> Result<(), Failure> {
    let actor = call.actor()?;
    let catalogue = call.broker.catalogue();
    let mut allowed = Ok(());
    // All of them, so that a backend is asked all at once.
    for stream in streams {
        let check = access::check(&catalogue, &actor.who(), Operation::TakeFromQueue(stream));
        allowed = allowed.and(check);
    }
    allowed.map_err(|_| Failure::NotAuthorised("Access refused."))
}

/// Refuses while a member reads: it would go on from where it is, and store that again.
fn must_rest(partitions: &BTreeMap<String, Partition>) -> Result<(), Failure> {
    let is_read = |partition: &&Partition| partition.members.iter().any(Member::is_active);
    match partitions.values().find(is_read) {
        None => Ok(()),
        Some(partition) => Err(Failure::bad(format!(
            "a member of the group reads '{}'; force says to set the offset nonetheless",
            partition.queue.spec.name
        ))),
    }
}

/// Where a group is to go on.
enum OffsetWanted {
    /// The message that is read next.
    Next(OffsetSpec),
    /// What is stored, whatever it means.
    Stored(u64),
}

fn offset_wanted(fields: &Fields) -> Result<OffsetWanted, Failure> {
    let none = || Failure::bad("offset is first, last, next or a number; or timestamp is a number of milliseconds");
    if let Some(at) = fields.integer("timestamp")? {
        let at = u64::try_from(at).map_err(|_| none())?;
        return Ok(OffsetWanted::Next(OffsetSpec::Time(Timestamp(at))));
    }
    match fields.get("offset").and_then(Value::as_str) {
        Some("first") => return Ok(OffsetWanted::Next(OffsetSpec::First)),
        Some("last") => return Ok(OffsetWanted::Next(OffsetSpec::Last)),
        Some("next") => return Ok(OffsetWanted::Next(OffsetSpec::Next)),
        _ => {}
    }
    let stored = fields.integer("offset").map_err(|_| none())?.ok_or_else(none)?;
    Ok(OffsetWanted::Stored(u64::try_from(stored).map_err(|_| none())?))
}

async fn reset(mut call: Call) -> Answered {
    let fields = call.fields()?;
    let wanted = offset_wanted(&fields)?;
    let is_forced = fields.boolean("force", false)?;
    let mut partitions = match found(&mut call).await {
        // A name that nothing is known of yet may be given an offset in a stream.
        Err(Failure::NotFound) if fields.text("stream")?.is_some() => BTreeMap::new(),
        found => found?,
    };
    let name = call.name("name").to_owned();
    if let Some(stream) = fields.text("stream")? {
        partitions.retain(|own, _| own == stream);
        if partitions.is_empty() {
            partitions.insert(stream.to_owned(), untouched(&call, stream).await?);
        }
    }
    if name.len() > crate::front::streams::NAME_BYTES {
        return Err(Failure::bad("the name is too long"));
    }
    may_steer(&call, partitions.keys())?;
    if !is_forced {
        must_rest(&partitions)?;
    }
    let mut stored = Vec::new();
    for (stream, partition) in &partitions {
        let offset = match wanted {
            OffsetWanted::Stored(offset) => offset,
            OffsetWanted::Next(spec) => {
                let next = call.broker.reports().offset_in(&partition.queue, spec).await;
                let next = next.ok_or_else(|| away(stream))?;
                // Clients go on behind what is stored.
                next.min(partition.tracked.end).saturating_sub(1)
            }
        };
        if !call
            .broker
            .reports()
            .keep_cursor(&partition.queue, &name, Some(offset))
            .await
        {
            return Err(away(stream));
        }
        stored.push(json!({"stream": stream, "stored_offset": offset}));
    }
    Ok(Answer::Json(stored.into()))
}

fn away(stream: &str) -> Failure {
    Failure::Broken(format!("no majority of the stream '{stream}' answers"))
}

/// A stream that the group has not read.
async fn untouched(call: &Call, stream: &str) -> Result<Partition, Failure> {
    let vhost = call.broker.vhost(call.name("vhost")).ok_or(Failure::NotFound)?;
    let queue = vhost.queue(stream).ok_or(Failure::NotFound)?;
    let tracked = call.broker.reports().tracked(&queue).await.ok_or(Failure::NotFound)?;
    Ok(Partition {
        queue,
        tracked,
        stored: None,
        members: Vec::new(),
    })
}

async fn forget(mut call: Call) -> Answered {
    let partitions = found(&mut call).await?;
    may_steer(&call, partitions.keys())?;
    must_rest(&partitions)?;
    let name = call.name("name").to_owned();
    for (stream, partition) in partitions.iter().filter(|(_, one)| one.stored.is_some()) {
        if !call.broker.reports().keep_cursor(&partition.queue, &name, None).await {
            return Err(away(stream));
        }
    }
    Ok(Answer::Done)
}
