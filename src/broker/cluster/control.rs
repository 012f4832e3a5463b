//! What nodes ask of each other beside messages and Raft: commands for the catalogue's leader, and
//! to join.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::report::{NodeReport, ReplicaReport, Subject, Wanted};
use super::sessions::{SessionAnswer, SessionWord};
use super::streams::StreamMember;
use crate::auth::attempts::Counts;
use crate::broker::alarms::Notice;
use crate::broker::catalogue::propose::{Catalogued, Proposed};
use crate::broker::delivery::connections::ClientCounts;
use crate::broker::delivery::leaving::PATIENCE;
use crate::broker::publish::moving::{MoveTo, Moved};
use crate::broker::publish::reply_to::Token;
use crate::broker::queue::asking::DEADLINE;
use crate::broker::queue::handle::QueueHandle;
use crate::broker::queue::peeking::{Peek, Peeked};
use crate::broker::queue::stream::Tracked;
use crate::broker::queue::vitals::QueueVitals;
use crate::broker::replicas::members::{HERE, MemberChange, MemberError};
use crate::broker::{Broker, BrokerError};
use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::journal::raft::Role;
use crate::metadata::CatalogueError;
use crate::statistics::{Figures, Spreads, Window, Windows};
use crate::types::{ConnectionId, NodeId, QueueId, Refusal, Reply, ReplyCode, Scope, UserName, VhostName};

/// The service of this file.
pub const CONTROL: u16 = 3;
/// How long the other side may take to reach a majority.
const THERE: Duration = Duration::from_secs(4);
/// How long it takes at most to make a node a member, or none.
pub const ADMISSION: Duration = Duration::from_secs(15);
/// For answers that somebody looks at and that need nobody else.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long whoever changed the catalogue waits at most for the other nodes to have applied it.
const EVERYWHERE: Duration = Duration::from_millis(500);
/// How long it rests while nobody leads.
const AGAIN: Duration = Duration::from_millis(50);

/// A request. Encoded as JSON with [`FORMAT`] before it. Commands for the catalogue are none of them:
/// they travel as they are written down, with [`COMMAND`] before them.
#[derive(Serialize, Deserialize)]
enum Request {
    /// How far is the catalogue?
    Index,
    /// The node wants to be a member. Whoever does not lead the catalogue's group asks its leader.
    Join {
        node: NodeId,
        name: String,
        address: String,
        /// Who it is without this, where it gives that up.
        was: Option<NodeId>,
    },
    /// A node is to be a member no more: it leaves itself, or it is gone.
    Forget(NodeId),
    /// The catalogue's group is to be with or without the node, which stays a member of the cluster.
    Catalogued(Catalogued),
    /// How the node is, as the HTTP API shows it, and was.
    Describe(Windows),
    /// What the node knows.
    Report(Wanted),
    /// How was it there?
    Series(Subject, Window),
    /// How long did things take there in the last so many seconds?
    Latencies(Subject, u64),
    /// The node's statistics are to begin anew.
    Reset,
    /// Close these connections of the node's clients, for that reason.
    Close(Vec<ConnectionId>, String),
    /// What the node that asks is short of.
    Note(Notice),
    /// What is the node short of?
    Shortage,
    /// A change of the group of a queue that the node leads.
    Member(QueueId, MemberChange),
    /// How the node's member of the group of a queue is.
    Replica(QueueId),
    /// Say when the node has applied the catalogue's entry of this index.
    Reached(u64),
    /// How many clients the node has of a user and in a vhost.
    Clients(UserName, VhostName),
    /// Where do clients of the stream protocol find the node, with or without TLS?
    StreamAddress(bool),
    /// How is the node's member of a stream?
    StreamMember(QueueId),
    /// What is tracked in a stream, as the node knows?
    Tracked(QueueId),
    /// Keep how far a reader of a stream has come, or forget it, if the node leads it.
    KeepCursor(QueueId, String, Option<u64>),
    /// Does a client of the node wait for answers under that name of a queue?
    ReplyQueue(String),
    /// How does a queue get on that the node leads?
    Vitals(QueueId),
    /// Look at messages of a queue that the node leads.
    Peek(QueueId, Peek),
    /// Move messages of a queue that the node leads.
    Move(QueueId, Vec<u64>, MoveTo),
    /// The jobs of the node.
    Jobs,
    /// Stop a job, or forget one that has ended.
    StopJob(String),
    /// May the node begin a cluster?
    Promise,
    /// How often did somebody try to log in at the node?
    Attempts,
    /// Count that from nothing again.
    ResetAttempts,
    /// Of browsers that are signed in.
    Session(SessionWord),
}

#[derive(Serialize, Deserialize)]
enum Response {
    Applied(u64),
    NotLeader,
    /// The other side lost the race for a name.
    Raced(String),
    Refused {
        code: u16,
        is_connection: bool,
        text: String,
    },
    NoMajority,
    /// The cluster that the node is a member of now.
    Joined(u64),
    /// It is one already, as who it was.
    AlreadyMember,
    Promised(bool),
    Forgotten,
    Catalogued,
    /// None while it does not serve clients.
    Described(Option<Value>),
    Report(Box<NodeReport>),
    Series(Figures),
    Latencies(Vec<Spreads>),
    /// As it was asked to.
    Done,
    Shortage(Notice),
    Changed(Result<(), MemberError>),
    Replica(Option<ReplicaReport>),
    Clients(ClientCounts),
    /// None where it does not listen for them.
    StreamAddress(Option<(String, u16)>),
    /// None where it has none.
    StreamMember(Option<StreamMember>),
    Tracked(Option<Box<Tracked>>),
    /// None where another leads.
    KeptCursor(Option<bool>),
    ReplyQueue(bool),
    /// None where the queue's machine is not.
    Vitals(Option<QueueVitals>),
    /// The same.
    Peeked(Option<Peeked>),
    /// The same.
    Moved(Option<Moved>),
    Jobs(Vec<Value>),
    Stopped(bool),
    /// By protocol.
    Attempts(Vec<(String, Counts)>),
    Session(SessionAnswer),
}

/// First byte of what is said in JSON.
pub const FORMAT: u8 = 1;
/// First byte of a command for the catalogue.
const COMMAND: u8 = 2;

fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = vec![FORMAT];
    // Plain data and a buffer in memory: nothing here can fail.
    serde_json::to_writer(&mut bytes, value).expect("requests are plain data");
    bytes.into()
}

fn decode<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, Failed> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => serde_json::from_slice(rest).map_err(|error| Failed(error.to_string())),
        _ => Err(Failed("a message of another version".to_owned())),
    }
}

/// The service.
pub struct ControlService(pub Weak<Broker>);

impl Handler for ControlService {
    fn call(&self, from: Origin, request: Bytes) -> CallFuture {
        let broker = self.0.clone();
        Box::pin(async move {
            let broker = broker.upgrade().ok_or_else(|| Failed("the node stops".to_owned()))?;
            let response = match request.first() {
                Some(&COMMAND) => broker.propose_for_another(&request[1..]).await,
                _ => broker.answer(from.node, decode(&request)?).await,
            };
            Ok(encode(&response))
        })
    }

    fn messages(&self, _from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        messages.clear();
        Flow::Ready
    }
}

impl Broker {
    async fn answer(self: &Arc<Self>, from: NodeId, request: Request) -> Response {
        let deadline = Instant::now() + THERE;
        match request {
            Request::Promise => return Response::Promised(self.promise(from)),
            Request::Describe(windows) => return Response::Described(self.own_description(windows).await),
            Request::Report(wanted) => return Response::Report(Box::new(self.report(wanted))),
            Request::Series(subject, window) => return Response::Series(self.series_here(&subject, window)),
            Request::Latencies(subject, age) => return Response::Latencies(self.latencies_here(&subject, age)),
            Request::Reset => {
                self.reset_here();
                return Response::Done;
            }
            Request::Close(connections, reason) => {
                self.close_here(&connections, &reason).await;
                return Response::Done;
            }
            Request::Note(notice) => {
                self.note(from, notice);
                return Response::Done;
            }
            Request::Attempts => return Response::Attempts(self.logins.attempts()),
            Request::ResetAttempts => {
                self.logins.reset_attempts();
                return Response::Done;
            }
            Request::Session(word) => return Response::Session(self.hear_of_sessions(word)),
            Request::Shortage => return Response::Shortage(*self.alarms.notices().borrow()),
            Request::Replica(queue) => return Response::Replica(self.replica_report(queue)),
            Request::Reached(index) => {
                let applied = tokio::time::timeout(EVERYWHERE, self.catalogue_group().applied(index)).await;
                return match applied {
                    Ok(true) => Response::Applied(index),
                    _ => Response::NotLeader,
                };
            }
            Request::Clients(user, vhost) => return Response::Clients(self.connections.count(&user, &vhost)),
            Request::StreamAddress(with_tls) => return Response::StreamAddress(self.own_stream_address(with_tls)),
            Request::StreamMember(queue) => return Response::StreamMember(self.stream_member_here(queue)),
            Request::Tracked(queue) => return Response::Tracked(self.tracked_here(queue).map(Box::new)),
            Request::KeepCursor(queue, name, offset) => {
                return Response::KeptCursor(self.keep_cursor_here(queue, &name, offset).await);
            }
            Request::ReplyQueue(name) => {
                // Only its own clients, lest two nodes ask each other.
                let token = Token::of(name.as_bytes()).filter(|token| token.node == self.nodes.us());
                return Response::ReplyQueue(token.is_some_and(|token| self.vhosts.reply_to.is_waiting(token)));
            }
            Request::Peek(queue, peek) => return Response::Peeked(self.queues.peek_for(queue, peek).await),
            Request::Move(queue, positions, to) => {
                return Response::Moved(self.vhosts.move_for(queue, positions, to).await);
            }
            Request::Jobs => return Response::Jobs(self.jobs_here()),
            Request::StopJob(id) => return Response::Stopped(self.stop_job_here(&id)),
            Request::Vitals(queue) => return Response::Vitals(self.queues.vitals_for(queue)),
            Request::Member(queue, change) => {
                let changed = self.change_member_here(queue, change, Instant::now() + HERE).await;
                return changed.map_or(Response::NotLeader, Response::Changed);
            }
            _ => {}
        }
        let leadership = self.catalogue_group().leadership();
        if leadership.role != Role::Leader {
            let leader = leadership.leader.filter(|leader| *leader != from);
            return match (&request, leader) {
                // The node that asks may have no link to the leader yet.
                (Request::Join { .. } | Request::Forget(_), Some(leader)) => {
                    let answer = self.ask(leader, &request, Instant::now() + ADMISSION).await;
                    answer.unwrap_or(Response::NotLeader)
                }
                _ => Response::NotLeader,
            };
        }
        match request {
            Request::Index => match tokio::time::timeout_at(deadline, self.catalogue_group().barrier()).await {
                Ok(Ok(())) => Response::Applied(self.catalogue_group().status().applied.unwrap_or(0)),
                _ => Response::NoMajority,
            },
            Request::Forget(node) => match self.forget_node(node).await {
                Ok(()) => Response::Forgotten,
                Err(_) => Response::NoMajority,
            },
            Request::Catalogued(change) => match self.set_catalogued(from, change).await {
                Ok(()) => Response::Catalogued,
                Err(_) => Response::NoMajority,
            },
            // It is about to begin a cluster, or to find one.
            Request::Join { .. } if !self.belongs() => Response::NotLeader,
            Request::Join {
                node,
                name,
                address,
                was,
            } => match self.admit(node, &name, &address, was).await {
                Ok(Some(cluster)) => Response::Joined(cluster.0),
                Ok(None) => Response::AlreadyMember,
                Err(text) => Response::Refused {
                    code: ReplyCode::PreconditionFailed.code(),
                    is_connection: false,
                    text,
                },
            },
            // They were answered above.
            Request::Promise
            | Request::Describe(_)
            | Request::Report(_)
            | Request::Series(..)
            | Request::Latencies(..)
            | Request::Reset
            | Request::Close(..)
            | Request::Note(_)
            | Request::Shortage
            | Request::Attempts
            | Request::ResetAttempts
            | Request::Session(_)
            | Request::Member(..)
            | Request::Replica(_)
            | Request::Reached(_)
            | Request::Clients(..)
            | Request::StreamAddress(_)
            | Request::StreamMember(_)
            | Request::Tracked(_)
            | Request::KeepCursor(..)
            | Request::ReplyQueue(_)
            | Request::Vitals(_)
            | Request::Peek(..)
            | Request::Move(..)
            | Request::Jobs
            | Request::StopJob(_) => Response::NotLeader,
        }
    }

    /// Proposes a command that another node has decided.
    async fn propose_for_another(&self, record: &[u8]) -> Response {
        if self.catalogue_group().leadership().role != Role::Leader {
            return Response::NotLeader;
        }
        // The log keeps it for long, and would keep the whole buffer of the link with it.
        let record = Bytes::copy_from_slice(record);
        match self.propose_here(record, Instant::now() + THERE).await {
            Proposed::Applied(index) => Response::Applied(index),
            Proposed::NotLeader => Response::NotLeader,
            Proposed::Refused(BrokerError::Catalogue(CatalogueError::Raced(name))) => Response::Raced(name),
            Proposed::Refused(BrokerError::NoMajority) => Response::NoMajority,
            Proposed::Refused(error) => {
                let reply = error.reply();
                Response::Refused {
                    code: reply.code.code(),
                    is_connection: reply.scope == Scope::Connection,
                    text: reply.text.clone(),
                }
            }
        }
    }

    /// Asks the leader of the catalogue's group to take a node out of the cluster; this node may be
    /// the leader.
    ///
    /// # Errors
    /// When it is not heard by a majority.
    pub async fn forget(self: &Arc<Self>, node: NodeId) -> Result<(), BrokerError> {
        let deadline = Instant::now() + ADMISSION;
        while Instant::now() < deadline {
            let leader = self.catalogue_group().leadership().leader;
            match leader {
                Some(leader) if leader == self.nodes.us() && node != leader => return self.forget_node(node).await,
                // A leader is taken out by another, once there is one.
                Some(leader) if leader == self.nodes.us() => {}
                Some(leader) => {
                    if let Some(Response::Forgotten) = self.ask(leader, &Request::Forget(node), deadline).await {
                        return Ok(());
                    }
                }
                None => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err(BrokerError::NoMajority)
    }

    /// How another node is, as its HTTP API shows it: the outer `None` when it does not answer at once, the
    /// inner one when it does not serve clients.
    pub async fn description_of(&self, node: NodeId, windows: Windows) -> Option<Option<Value>> {
        let request = Request::Describe(windows);
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::Described(description)) => Some(description),
            _ => None,
        }
    }

    /// How often somebody tried to log in at a node, by protocol; `None` when another does not answer.
    pub async fn attempts_at(&self, node: NodeId) -> Option<Vec<(String, Counts)>> {
        if node == self.nodes.us() {
            return Some(self.logins.attempts());
        }
        match self.ask(node, &Request::Attempts, Instant::now() + AT_ONCE).await {
            Some(Response::Attempts(attempts)) => Some(attempts),
            _ => None,
        }
    }

    /// Has a node count them from nothing again; whether it does.
    pub async fn reset_attempts_at(&self, node: NodeId) -> bool {
        if node == self.nodes.us() {
            self.logins.reset_attempts();
            return true;
        }
        let answer = self.ask(node, &Request::ResetAttempts, Instant::now() + AT_ONCE).await;
        matches!(answer, Some(Response::Done))
    }

    /// Tells another node what this one is short of; whether it has heard it.
    pub(super) async fn ask_to_note(&self, node: NodeId, notice: Notice) -> bool {
        let answer = self.ask(node, &Request::Note(notice), Instant::now() + AT_ONCE).await;
        matches!(answer, Some(Response::Done))
    }

    /// Asks another node what it is short of.
    pub(super) async fn ask_for_notice(&self, node: NodeId) -> Option<Notice> {
        match self.ask(node, &Request::Shortage, Instant::now() + AT_ONCE).await {
            Some(Response::Shortage(notice)) => Some(notice),
            _ => None,
        }
    }

    /// Asks another node to close connections of its clients; whether it does.
    pub(in crate::broker) async fn ask_to_close(
        &self,
        node: NodeId,
        connections: Vec<ConnectionId>,
        reason: &str,
    ) -> bool {
        let request = Request::Close(connections, reason.to_owned());
        let answer = self.ask(node, &request, Instant::now() + PATIENCE + AT_ONCE).await;
        matches!(answer, Some(Response::Done))
    }

    /// Asks another node for its report.
    pub(in crate::broker) async fn ask_for_report(
        &self,
        node: NodeId,
        wanted: Wanted,
        deadline: Instant,
    ) -> Option<NodeReport> {
        match self.ask(node, &Request::Report(wanted), deadline).await {
            Some(Response::Report(report)) => Some(*report),
            _ => None,
        }
    }

    /// Asks a node for the history of a thing; `None` when it does not answer in time.
    pub(in crate::broker) async fn ask_for_series(
        &self,
        node: NodeId,
        subject: &Subject,
        window: Window,
    ) -> Option<Figures> {
        let request = Request::Series(subject.clone(), window);
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::Series(figures)) => Some(figures),
            _ => None,
        }
    }

    /// Asks a node how long things took there, in the order of [`Delay::ALL`]; `None` when it does not answer.
    ///
    /// [`Delay::ALL`]: crate::statistics::Delay::ALL
    pub(in crate::broker) async fn ask_for_latencies(
        &self,
        node: NodeId,
        subject: &Subject,
        age: u64,
    ) -> Option<Vec<Spreads>> {
        let request = Request::Latencies(subject.clone(), age);
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::Latencies(spreads)) => Some(spreads),
            _ => None,
        }
    }

    /// Asks a node to begin its statistics anew; whether it has.
    pub(in crate::broker) async fn ask_to_reset(&self, node: NodeId) -> bool {
        let answer = self.ask(node, &Request::Reset, Instant::now() + AT_ONCE).await;
        matches!(answer, Some(Response::Done))
    }

    /// Says something of sessions to a node.
    pub(super) async fn say_of_sessions(&self, node: NodeId, word: &SessionWord) -> Option<SessionAnswer> {
        let request = Request::Session(word.clone());
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::Session(answer)) => Some(answer),
            _ => None,
        }
    }

    /// Asks the leader of a queue for a change of its group; `None` when it does not lead or does
    /// not get it done in time.
    pub(in crate::broker) async fn ask_for_change(
        &self,
        leader: NodeId,
        queue: QueueId,
        change: MemberChange,
        deadline: Instant,
    ) -> Option<Result<(), MemberError>> {
        match self.ask(leader, &Request::Member(queue, change), deadline).await {
            Some(Response::Changed(changed)) => Some(changed),
            _ => None,
        }
    }

    /// Asks a node how its member of a queue's group is; the outer `None` when it does not answer.
    pub(in crate::broker) async fn ask_for_replica(
        &self,
        node: NodeId,
        queue: QueueId,
    ) -> Option<Option<ReplicaReport>> {
        let deadline = Instant::now() + AT_ONCE;
        match self.ask(node, &Request::Replica(queue), deadline).await {
            Some(Response::Replica(report)) => Some(report),
            _ => None,
        }
    }

    /// Waits until a node has applied the catalogue's entry of that index, half a second at most.
    pub(in crate::broker) async fn ask_until_applied(&self, node: NodeId, index: u64) {
        let deadline = Instant::now() + EVERYWHERE;
        self.ask(node, &Request::Reached(index), deadline).await;
    }

    /// Asks a node how many clients it has of a user and in a vhost.
    pub(in crate::broker) async fn ask_for_clients(
        &self,
        node: NodeId,
        user: &UserName,
        vhost: &VhostName,
    ) -> Option<ClientCounts> {
        let request = Request::Clients(user.clone(), vhost.clone());
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::Clients(counts)) => Some(counts),
            _ => None,
        }
    }

    /// Asks a node where clients of the stream protocol find it.
    pub(super) async fn ask_for_stream_address(&self, node: NodeId, with_tls: bool) -> Option<(String, u16)> {
        let request = Request::StreamAddress(with_tls);
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::StreamAddress(address)) => address,
            _ => None,
        }
    }

    /// Asks a node whether a client of it waits for answers under that name of a queue.
    pub(super) async fn ask_for_reply_queue(&self, node: NodeId, name: &str) -> bool {
        let request = Request::ReplyQueue(name.to_owned());
        let answer = self.ask(node, &request, Instant::now() + AT_ONCE).await;
        matches!(answer, Some(Response::ReplyQueue(true)))
    }

    /// Looks at messages of a queue, wherever it is; `None` when nobody leads it who answers.
    pub async fn peek(self: &Arc<Self>, queue: &Arc<QueueHandle>, peek: &Peek) -> Option<Peeked> {
        let deadline = Instant::now() + THERE;
        loop {
            let leader = queue.leader();
            let peeked = match leader == self.nodes.us() {
                true => self.queues.peek_here(queue, peek.clone()).await,
                false => {
                    let request = Request::Peek(queue.spec.id, peek.clone());
                    match self.ask(leader, &request, deadline).await {
                        Some(Response::Peeked(peeked)) => peeked,
                        _ => None,
                    }
                }
            };
            if peeked.is_some() || Instant::now() + AGAIN >= deadline || queue.is_deleted() {
                return peeked;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Moves messages of a queue, wherever it is, by their positions, which are in order. `None` when
    /// nobody leads it who answers: then they may have been moved or not, and those that were are not
    /// ready any more.
    pub(in crate::broker) async fn move_messages(
        self: &Arc<Self>,
        queue: &Arc<QueueHandle>,
        positions: &[u64],
        to: &MoveTo,
    ) -> Option<Moved> {
        let leader = queue.leader();
        if leader == self.nodes.us() {
            return self.vhosts.move_here(queue, positions.to_vec(), to.clone()).await;
        }
        let request = Request::Move(queue.spec.id, positions.to_vec(), to.clone());
        let deadline = Instant::now() + 3 * DEADLINE;
        match self.ask(leader, &request, deadline).await {
            Some(Response::Moved(moved)) => moved,
            _ => None,
        }
    }

    /// The jobs of all nodes that answer.
    pub async fn all_jobs(&self) -> Vec<Value> {
        let mut jobs = self.jobs_here();
        let others = self.nodes.others_alive().into_iter();
        let asked = others.map(|node| async move {
            match self.ask(node, &Request::Jobs, Instant::now() + AT_ONCE).await {
                Some(Response::Jobs(jobs)) => jobs,
                _ => Vec::new(),
            }
        });
        jobs.extend(futures_util::future::join_all(asked).await.into_iter().flatten());
        jobs
    }

    /// Stops a job of any node, or forgets one that has ended; whether there was one.
    pub async fn stop_job(&self, id: &str) -> bool {
        if self.stop_job_here(id) {
            return true;
        }
        let others = self.nodes.others_alive().into_iter();
        let asked = others.map(|node| async move {
            let request = Request::StopJob(id.to_owned());
            let answer = self.ask(node, &request, Instant::now() + AT_ONCE).await;
            matches!(answer, Some(Response::Stopped(true)))
        });
        futures_util::future::join_all(asked).await.contains(&true)
    }

    /// Asks the node that leads a queue how it gets on; `None` where that is not known.
    async fn ask_for_vitals(&self, leader: NodeId, queue: QueueId) -> Option<QueueVitals> {
        match self
            .ask(leader, &Request::Vitals(queue), Instant::now() + AT_ONCE)
            .await
        {
            Some(Response::Vitals(vitals)) => vitals,
            _ => None,
        }
    }

    /// How a queue gets on, wherever it is; `None` where nobody says.
    pub async fn vitals_of(&self, queue: &QueueHandle) -> Option<QueueVitals> {
        match queue.leader() {
            leader if leader == self.nodes.us() => self.queues.vitals_here(queue),
            leader => self.ask_for_vitals(leader, queue.spec.id).await,
        }
    }

    pub(super) async fn ask_for_stream_member(&self, node: NodeId, queue: QueueId) -> Option<StreamMember> {
        let request = Request::StreamMember(queue);
        match self.ask(node, &request, Instant::now() + AT_ONCE).await {
            Some(Response::StreamMember(member)) => member,
            _ => None,
        }
    }

    pub(super) async fn ask_what_is_tracked(&self, node: NodeId, queue: QueueId) -> Option<Tracked> {
        match self.ask(node, &Request::Tracked(queue), Instant::now() + AT_ONCE).await {
            Some(Response::Tracked(tracked)) => tracked.map(|tracked| *tracked),
            _ => None,
        }
    }

    pub(super) async fn ask_to_keep_cursor(
        &self,
        leader: NodeId,
        queue: QueueId,
        name: &str,
        offset: Option<u64>,
    ) -> Option<bool> {
        let request = Request::KeepCursor(queue, name.to_owned(), offset);
        match self.ask(leader, &request, Instant::now() + THERE).await {
            Some(Response::KeptCursor(kept)) => kept,
            _ => None,
        }
    }

    async fn ask(&self, node: NodeId, request: &Request, deadline: Instant) -> Option<Response> {
        self.send(node, encode(request), deadline).await
    }

    async fn send(&self, node: NodeId, request: Bytes, deadline: Instant) -> Option<Response> {
        let cluster = self.nodes.cluster()?;
        let answer = cluster.call(node, CONTROL, request, deadline.into_std()).await;
        match answer {
            Ok(answer) => decode(&answer).ok(),
            Err(error) => {
                tracing::debug!(%node, %error, "no answer from a node");
                None
            }
        }
    }

    /// Sends a command to the node that leads the catalogue's group.
    pub(in crate::broker) async fn propose_there(&self, leader: NodeId, record: &[u8], deadline: Instant) -> Proposed {
        let request = [&[COMMAND], record].concat();
        match self.send(leader, request.into(), deadline).await {
            Some(Response::Applied(index)) => Proposed::Applied(index),
            Some(Response::Raced(name)) => Proposed::Refused(CatalogueError::Raced(name).into()),
            Some(Response::NoMajority) => Proposed::Refused(BrokerError::NoMajority),
            Some(Response::Refused {
                code,
                is_connection,
                text,
            }) => {
                let code = ReplyCode::from_wire(code).unwrap_or(ReplyCode::InternalError);
                Proposed::Refused(BrokerError::Reply(match is_connection {
                    true => Reply::connection(code, text),
                    false => Reply::channel(code, text),
                }))
            }
            _ => Proposed::NotLeader,
        }
    }

    /// Whether this node has applied all that was declared before the call.
    pub(in crate::broker) async fn is_caught_up(&self, deadline: Instant) -> bool {
        let group = self.catalogue_group();
        let index = match group.leadership().leader {
            Some(leader) if leader == self.nodes.us() => {
                return matches!(tokio::time::timeout_at(deadline, group.barrier()).await, Ok(Ok(())));
            }
            Some(leader) => self.ask(leader, &Request::Index, deadline).await,
            None => None,
        };
        let Some(Response::Applied(index)) = index else {
            return false;
        };
        matches!(tokio::time::timeout_at(deadline, group.applied(index)).await, Ok(true))
    }

    /// Asks a node to have the catalogue's group with or without this one; whether it is so.
    pub(in crate::broker) async fn ask_for_catalogue(&self, node: NodeId, change: Catalogued) -> bool {
        let answer = self
            .ask(node, &Request::Catalogued(change), Instant::now() + ADMISSION)
            .await;
        matches!(answer, Some(Response::Catalogued))
    }

    /// Asks a node to have this one taken out of its cluster again.
    pub(super) async fn ask_to_be_forgotten(&self, node: NodeId, deadline: Instant) {
        self.ask(node, &Request::Forget(self.nodes.us()), deadline).await;
    }

    /// Asks a node for its promise to let this one begin a cluster.
    pub(super) async fn ask_promise(&self, node: NodeId, deadline: Instant) -> bool {
        matches!(
            self.ask(node, &Request::Promise, deadline).await,
            Some(Response::Promised(true))
        )
    }

    /// Asks a node to be made a member of its cluster, unless this one is as who it `was`.
    pub(super) async fn ask_to_join(&self, node: NodeId, address: &str, was: Option<NodeId>) -> Joining {
        let request = Request::Join {
            node: self.nodes.us(),
            name: self.node.name.clone(),
            address: address.to_owned(),
            was,
        };
        match self.ask(node, &request, Instant::now() + ADMISSION).await {
            Some(Response::Joined(cluster)) => Joining::Joined(cluster),
            Some(Response::AlreadyMember) => Joining::AlreadyMember,
            Some(Response::Refused { text, .. }) => Joining::Refused(text),
            _ => Joining::Elsewhere,
        }
    }
}

/// What became of the request to join.
pub enum Joining {
    Joined(u64),
    AlreadyMember,
    Refused(String),
    /// The node does not lead, or does not answer.
    Elsewhere,
}
