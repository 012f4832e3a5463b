//! One connection: bytes in → protocol machine → streams; what comes out goes to the outbox.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::confirms::Flow;
use super::later::Later;
use super::notice::Notice;
use super::offer::Offer;
use super::publisher::Publisher;
use super::single_active::Groups;
use super::streams::Stream;
use super::subscribing::Subscription;
use crate::auth::Login;
use crate::broker::{Broker, Vhost};
use crate::front::connection::{self, ClientConnection};
use crate::front::protocol::STREAM;
use crate::front::streams::Streams;
use crate::listen::{Opened, ReadBuffer};
use crate::stream_protocol::codec::{Code, StartAt, response};
use crate::stream_protocol::connection::{Connection, Ending, Step};
use crate::tasks;
use crate::types::{Millis, Timestamp};

/// How long a client may take to answer that it reads, or does not any more.
const TURN_PATIENCE: Millis = Millis(60_000);

/// The reading side of a connection.
pub(super) struct Session {
    pub connection: ClientConnection,
    pub streams: Streams,
    pub offer: Arc<Offer>,
    pub machine: Connection,
    /// When what it has logged in with is worth nothing any more.
    pub expires_at: Option<Timestamp>,
    /// Set once the connection is open.
    pub vhost: Option<Arc<Vhost>>,
    pub publishers: FxHashMap<u8, Publisher>,
    /// Publishers with something in their batches.
    pub publishing: Vec<u8>,
    pub subscriptions: FxHashMap<u8, Subscription>,
    pub flow: Arc<Flow>,
    /// Counts subscriptions.
    pub incarnations: u64,
    pub groups: Groups,
    /// What single active consumers were told and have not answered.
    pub turns: Vec<Turn>,
    /// Counts what the server asks.
    pub asked: u32,
    /// Streams in use, each with the task that waits for what ends that use.
    watched: FxHashMap<(String, Use), AbortHandle>,
    /// At most one for each use of a stream and each turn of a subscription, and for what is lost.
    pub notices: mpsc::UnboundedReceiver<Notice>,
    pub inbox: mpsc::UnboundedSender<Notice>,
}

/// A single active consumer that was told of its turn and owes an answer.
pub(super) struct Turn {
    pub correlation: u32,
    pub subscription: u8,
    pub incarnation: u64,
    pub is_active: bool,
    pub until: Timestamp,
}

/// How a stream is used.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Use {
    /// It must be led here.
    Led,
    /// It must have a member here.
    Read,
}

/// Why the session stopped taking steps.
enum Pause {
    /// At least so many bytes are wanted.
    Read(usize),
    Login(Login),
    Open(String),
    LoginAgain(u32, Login),
    Later(u32, Later),
    /// A backend has to be asked before the next command.
    Ask,
    /// What is read has enough in it for now.
    Full,
    End(Ending),
}

/// Serves a connection until it ends.
pub(super) async fn serve(broker: Arc<Broker>, offer: Arc<Offer>, opened: Opened) {
    let begin = |connection: ClientConnection| {
        let (inbox, notices) = mpsc::unbounded_channel();
        let broker = &connection.broker;
        Session {
            machine: Connection::new(offer.settings.clone(), broker.now()),
            streams: Streams(broker.clone()),
            flow: Arc::new(Flow::new(&broker.config().stream)),
            groups: offer.groups.clone(),
            connection,
            offer,
            expires_at: None,
            vhost: None,
            publishers: FxHashMap::default(),
            publishing: Vec::new(),
            subscriptions: FxHashMap::default(),
            incarnations: 0,
            turns: Vec::new(),
            asked: 0,
            watched: FxHashMap::default(),
            notices,
            inbox,
        }
    };
    connection::serve(broker, &STREAM, opened, begin).await;
}

impl connection::Session for Session {
    fn connection(&self) -> &ClientConnection {
        &self.connection
    }

    async fn run(&mut self) {
        let mut input = ReadBuffer::default();
        let ending = loop {
            let pause = self.process(&mut input);
            self.connection.send_own();
            let ended = match pause {
                Pause::Read(least) => self.read(&mut input, least).await,
                Pause::Full => self.wait_behind().await,
                Pause::End(ending) => Some(ending),
                Pause::Login(login) => {
                    self.on_login(&login).await;
                    None
                }
                Pause::Open(vhost) => {
                    self.on_open(&vhost).await;
                    None
                }
                Pause::LoginAgain(correlation, login) => {
                    self.on_login_again(correlation, &login).await;
                    None
                }
                Pause::Later(correlation, later) => {
                    self.on_later(correlation, later).await;
                    None
                }
                Pause::Ask => {
                    self.connection.find_answers().await;
                    None
                }
            };
            self.connection.send_own();
            if let Some(ending) = ended {
                break ending;
            }
        };
        self.connection.log_end(&ending, &Ending::Closed);
    }

    /// All it has goes with it.
    async fn clean_up(&mut self) {}

    fn was_open(&self) -> bool {
        self.vhost.is_some()
    }

    /// Observers hear of the connections of AMQP only.
    fn tell_of_end(&self) {}
}

impl Session {
    /// Takes steps until one must be waited for.
    fn process(&mut self, input: &mut ReadBuffer) -> Pause {
        let now = self.connection.broker.now();
        self.connection.pass_time(now);
        let pause = loop {
            if self.must_wait() {
                break Pause::Full;
            }
            match self.machine.step(now, input.filled(), &mut self.connection.out) {
                Step::More(least) => break Pause::Read(least),
                Step::Done { consumed } => input.consume(consumed),
                Step::Command { consumed, command } => {
                    let answered = self.connection.out.len();
                    let later = self.on_command(command);
                    if self.connection.has_questions() {
                        // It was refused for want of an answer: it is taken again with that.
                        self.connection.out.truncate(answered);
                        break Pause::Ask;
                    }
                    input.consume(consumed);
                    if let Some((correlation, later)) = later {
                        break Pause::Later(correlation, later);
                    }
                }
                Step::Login { consumed, login } => {
                    input.consume(consumed);
                    break Pause::Login(login);
                }
                Step::Open { consumed, vhost } => {
                    input.consume(consumed);
                    break Pause::Open(vhost);
                }
                Step::LoginAgain {
                    consumed,
                    correlation,
                    login,
                } => {
                    input.consume(consumed);
                    break Pause::LoginAgain(correlation, login);
                }
                Step::Closing { consumed, correlation } => {
                    input.consume(consumed);
                    self.flush_publishes();
                    self.publishers.clear();
                    self.subscriptions.clear();
                    self.machine.closed(correlation, &mut self.connection.out);
                }
                Step::End(ending) => break Pause::End(ending),
            }
        };
        // Before more is read, what there is may go together with it.
        if !matches!(pause, Pause::Read(_)) {
            self.flush_publishes();
        }
        pause
    }

    /// Looks out for what ends the use of a stream.
    pub(super) fn watch(&mut self, name: &str, stream: &Stream, used: Use) {
        let inbox = self.inbox.clone();
        let watched = self.watched.entry((name.to_owned(), used));
        watched.or_insert_with_key(|(name, used)| {
            let (name, used, stream) = (name.clone(), *used, stream.clone());
            let watching = async move {
                match used {
                    Use::Led => stream.deposed().await,
                    Use::Read => stream.gone().await,
                }
                // The session may be gone as well.
                let _ = inbox.send(Notice::Moved(name));
            };
            tasks::spawn("use of a stream", watching).abort_handle()
        });
    }

    /// The client has nothing of a stream any more, and is told to look where it is.
    pub(super) fn drop_stream(&mut self, name: &str) {
        self.flush_publishes();
        self.publishers.retain(|_, publisher| publisher.stream != name);
        self.subscriptions
            .retain(|_, subscription| subscription.stream() != name);
        self.watched.retain(|(watched, _), watching| {
            let stays = watched != name;
            if !stays {
                watching.abort();
            }
            stays
        });
        response::metadata_update(&mut self.connection.out, name.as_bytes());
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Moved(name) => {
                let has = self.publishers.values().any(|publisher| publisher.stream == name)
                    || self.subscriptions.values().any(|one| one.stream() == name);
                match has {
                    true => self.drop_stream(&name),
                    false => self.watched.retain(|(watched, _), _| *watched != name),
                }
            }
            Notice::Turn {
                subscription,
                incarnation,
                is_active,
            } => self.on_turn(subscription, incarnation, is_active),
        }
    }

    /// Tells a single active consumer whether it is to read.
    fn on_turn(&mut self, id: u8, incarnation: u64, is_active: bool) {
        let subscription = self.subscriptions.get_mut(&id);
        let Some(subscription) = subscription.filter(|one| one.incarnation == incarnation) else {
            return;
        };
        if !is_active {
            subscription.stop();
        }
        let correlation = self.asked;
        self.asked = self.asked.wrapping_add(1);
        response::consumer_update(&mut self.connection.out, correlation, id, is_active);
        self.turns.push(Turn {
            correlation,
            subscription: id,
            incarnation,
            is_active,
            until: self.connection.broker.now() + TURN_PATIENCE,
        });
    }

    /// The client has answered that it reads from there, or does not any more.
    pub(super) fn on_turn_taken(&mut self, correlation: u32, start: Option<StartAt>) {
        let Some(at) = self.turns.iter().position(|turn| turn.correlation == correlation) else {
            return self.close(Code::UnknownFrame, "unknown frame");
        };
        let turn = self.turns.swap_remove(at);
        let subscription = self.subscriptions.get_mut(&turn.subscription);
        if let Some(subscription) = subscription.filter(|one| one.incarnation == turn.incarnation) {
            if turn.is_active {
                subscription.begin(start);
            }
            subscription.answered();
        }
    }

    pub(super) fn close(&mut self, code: Code, reason: &str) {
        let now = self.connection.broker.now();
        self.machine.close(now, code, reason, &mut self.connection.out);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.watched.values().for_each(AbortHandle::abort);
    }
}
