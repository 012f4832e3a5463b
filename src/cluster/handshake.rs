//! How two nodes prove to each other that they know the cluster's secret. No socket, no clock.
//!
//! ```text
//! dialler                                listener
//!   hello: nonce, who, versions  ──→
//!                                ←──  hello: nonce, who, versions
//!   proof: MAC(dialler, both)    ──→     checked: Verified
//!                                ←──  proof: MAC(listener, both), or a refusal
//!   Done                                 Done
//! ```
//! A MAC covers both hellos byte for byte, so both nonces, ids, roles and versions: a proof is
//! worth nothing in another handshake (its nonces differ), on the other side (its label differs),
//! or for another node. The dialler proves first, so that a stranger who connects gets nothing
//! from which a weak secret could be guessed. Sizes are bounded before anything is known; the one
//! deadline is the shell's ([`super::link`]).

use bytes::{Bytes, BytesMut};
use hmac::Mac;

use super::hello::{self, Class, Hello, Introduction, Malformed, Nonce, Role, Span, Type};
use super::secret::SharedSecret;

/// Bytes of a proof.
const PROOF: usize = 32;
/// The largest text of a refusal.
const MOST_REASON: usize = 1024;

/// One side of a handshake.
pub struct Handshake {
    us: Introduction,
    secret: SharedSecret,
    state: State,
}

enum State {
    /// The dialler has sent its hello.
    Dialled {
        hello: Vec<u8>,
        nonce: Nonce,
        class: Class,
        attempt: u64,
    },
    /// The listener has sent nothing.
    Listening {
        nonce: Nonce,
    },
    /// The listener wants to know who it is that speaks plain text.
    TurningAway,
    /// Both hellos are known; the other side's proof is awaited.
    Proving {
        theirs: Hello,
        transcript: Vec<u8>,
        role: Role,
    },
    /// The listener believes the dialler, and decides whether it wants it.
    Verified {
        theirs: Hello,
        transcript: Vec<u8>,
    },
    Ended,
}

/// How far it is.
#[derive(Debug)]
pub enum Progress {
    /// More must come from the peer.
    More,
    /// To the listener: this peer knows the secret. Accept or refuse it.
    Verified(Peer),
    /// To the dialler: both sides agree.
    Done(Peer),
}

/// A peer that has proved to know the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub who: Introduction,
    pub class: Class,
    /// Of two connections that the same node dialled, the one with the greater number is newer.
    pub attempt: u64,
}

/// Why a listener does not want a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// The secrets differ.
    Secret = 1,
    /// One cannot read what the other writes.
    Versions = 2,
    /// They belong to different clusters.
    Cluster = 3,
    /// There is a connection of this class already. Not an error: both sides dialled.
    Duplicate = 4,
    /// The node was removed from the cluster.
    Forgotten = 5,
    /// A later process of the same node was here.
    Outdated = 6,
    /// Anything a later version may think of.
    Other = 7,
    /// One speaks TLS and the other does not.
    Tls = 8,
}

/// Why there is no connection.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("a message of the handshake came out of turn")]
    OutOfTurn,
    #[error("our own hello was sent back to us")]
    Reflected,
    #[error("{name} ({id}) does not know the secret of this node: set the same cluster.secret on both", id = who.id, name = who.name)]
    WrongSecret { who: Box<Introduction> },
    #[error("{name} ({id}) speaks plain text and this node requires TLS: set cluster.tls.* on both or on neither", id = who.id, name = who.name)]
    PlainText { who: Box<Introduction> },
    #[error("{0}")]
    Versions(String),
    #[error("{0}")]
    OtherCluster(String),
    #[error("{by} refuses this node: {reason}")]
    Refused { by: String, cause: Cause, reason: String },
}

impl Handshake {
    /// Begins as the one who dialled; what to send is appended to `out`. `attempt` is greater than
    /// in any earlier call of this process.
    pub fn dial(
        us: Introduction,
        (class, attempt): (Class, u64),
        secret: SharedSecret,
        nonce: Nonce,
        out: &mut Vec<u8>,
    ) -> Self {
        let hello = Hello {
            role: Role::Dialler,
            class,
            nonce,
            attempt,
            who: us.clone(),
        };
        let hello = hello.encode();
        hello::write(Type::Hello, &hello, out);
        Self {
            us,
            secret,
            state: State::Dialled {
                hello,
                nonce,
                class,
                attempt,
            },
        }
    }

    /// Begins as the one who was dialled.
    pub fn listen(us: Introduction, secret: SharedSecret, nonce: Nonce) -> Self {
        Self {
            us,
            secret,
            state: State::Listening { nonce },
        }
    }

    /// Begins as one who was dialled in plain text and speaks TLS only: whoever it was is told.
    pub fn turn_away(us: Introduction, secret: SharedSecret) -> Self {
        Self {
            us,
            secret,
            state: State::TurningAway,
        }
    }

    /// Takes what came from the peer; what to send is appended to `out`, also when it fails. What
    /// is not of the handshake stays in `input`.
    ///
    /// # Errors
    /// When the peer cannot be believed or understood: after `out` is sent, the connection ends.
    pub fn on_bytes(&mut self, input: &mut BytesMut, out: &mut Vec<u8>) -> Result<Progress, HandshakeError> {
        while !matches!(self.state, State::Verified { .. } | State::Ended) {
            let (kind, body) = match hello::read(input) {
                Ok(Some(message)) => message,
                Ok(None) => return Ok(Progress::More),
                Err(malformed) => {
                    if malformed == Malformed::Tls {
                        // What comes back is not TLS, which is all the dialler will understand of it.
                        refuse(Cause::Tls, &format!("{} speaks plain text", self.us.name), out);
                    }
                    return Err(malformed.into());
                }
            };
            if let Some(progress) = self.on_message(kind, &body, out)? {
                return Ok(progress);
            }
        }
        Ok(Progress::More)
    }

    /// The listener wants the peer: its own proof is appended to `out`.
    pub fn accept(&mut self, out: &mut Vec<u8>) {
        if let State::Verified { transcript, .. } = std::mem::replace(&mut self.state, State::Ended) {
            hello::write(Type::Proof, &self.prove(Role::Listener, &transcript), out);
        }
    }

    /// The listener does not want the peer.
    pub fn refuse(&mut self, cause: Cause, reason: &str, out: &mut Vec<u8>) {
        self.state = State::Ended;
        refuse(cause, reason, out);
    }

    /// The name the peer gave itself, whether it is to be believed or not.
    pub fn claimed(&self) -> Option<&Introduction> {
        match &self.state {
            State::Proving { theirs, .. } | State::Verified { theirs, .. } => Some(&theirs.who),
            _ => None,
        }
    }

    fn on_message(&mut self, kind: Type, body: &Bytes, out: &mut Vec<u8>) -> Result<Option<Progress>, HandshakeError> {
        match (std::mem::replace(&mut self.state, State::Ended), kind) {
            (
                State::Dialled {
                    hello,
                    nonce,
                    class,
                    attempt,
                },
                Type::Hello,
            ) => {
                let mut theirs = Hello::decode(body)?;
                if theirs.nonce == nonce || theirs.role != Role::Listener {
                    return Err(HandshakeError::Reflected);
                }
                if theirs.class != class {
                    return Err(Malformed::Damaged.into());
                }
                theirs.attempt = attempt;
                self.must_speak_with(&theirs.who, out)?;
                let transcript = transcript(&hello, body);
                hello::write(Type::Proof, &self.prove(Role::Dialler, &transcript), out);
                self.state = State::Proving {
                    theirs,
                    transcript,
                    role: Role::Dialler,
                };
                Ok(None)
            }
            (State::Listening { nonce }, Type::Hello) => {
                let theirs = Hello::decode(body)?;
                if theirs.nonce == nonce || theirs.role != Role::Dialler {
                    return Err(HandshakeError::Reflected);
                }
                self.must_speak_with(&theirs.who, out)?;
                let ours = Hello {
                    role: Role::Listener,
                    class: theirs.class,
                    nonce,
                    attempt: 0,
                    who: self.us.clone(),
                };
                let ours = ours.encode();
                hello::write(Type::Hello, &ours, out);
                self.state = State::Proving {
                    theirs,
                    transcript: transcript(body, &ours),
                    role: Role::Listener,
                };
                Ok(None)
            }
            (State::TurningAway, Type::Hello) => {
                let theirs = Hello::decode(body)?;
                let reason = format!(
                    "{} requires TLS between nodes and {} speaks plain text",
                    self.us.name, theirs.who.name
                );
                refuse(Cause::Tls, &reason, out);
                Err(HandshakeError::PlainText {
                    who: Box::new(theirs.who),
                })
            }
            (
                State::Proving {
                    theirs,
                    transcript,
                    role,
                },
                Type::Proof,
            ) => self.on_proof(body, theirs, transcript, role, out).map(Some),
            (State::Proving { theirs, .. }, Type::Refusal) => Err(refused(theirs.who.name, body)),
            (State::Dialled { .. } | State::Listening { .. }, Type::Refusal) => {
                Err(refused("the peer".to_owned(), body))
            }
            _ => Err(HandshakeError::OutOfTurn),
        }
    }

    fn on_proof(
        &mut self,
        proof: &[u8],
        theirs: Hello,
        transcript: Vec<u8>,
        role: Role,
        out: &mut Vec<u8>,
    ) -> Result<Progress, HandshakeError> {
        let theirs_is = match role {
            Role::Dialler => Role::Listener,
            Role::Listener => Role::Dialler,
        };
        let mut mac = self.secret.mac();
        mac.update(label(theirs_is));
        mac.update(&transcript);
        // Takes the same time wherever they differ.
        if mac.verify_slice(proof).is_err() {
            let reason = format!("{} does not know the secret of {}", theirs.who.name, self.us.name);
            refuse(Cause::Secret, &reason, out);
            return Err(HandshakeError::WrongSecret {
                who: Box::new(theirs.who),
            });
        }
        let peer = Peer {
            who: theirs.who.clone(),
            class: theirs.class,
            attempt: theirs.attempt,
        };
        self.must_belong_with(&peer.who, out)?;
        match role {
            Role::Dialler => Ok(Progress::Done(peer)),
            Role::Listener => {
                self.state = State::Verified { theirs, transcript };
                Ok(Progress::Verified(peer))
            }
        }
    }

    fn prove(&self, role: Role, transcript: &[u8]) -> [u8; PROOF] {
        let mut mac = self.secret.mac();
        mac.update(label(role));
        mac.update(transcript);
        mac.finalize().into_bytes().into()
    }

    /// Every format must have a version that both can read and write.
    fn must_speak_with(&self, them: &Introduction, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        let theirs = them.versions.named();
        for ((what, ours), (_, theirs)) in self.us.versions.named().into_iter().zip(theirs) {
            let (older, newer) = if ours.newest < theirs.oldest {
                (&self.us.name, &them.name)
            } else if theirs.newest < ours.oldest {
                (&them.name, &self.us.name)
            } else {
                continue;
            };
            let reason = format!(
                "{older} is too old for {newer}: of {what}, {} knows {} and {} knows {}",
                self.us.name,
                versions(ours),
                them.name,
                versions(theirs)
            );
            refuse(Cause::Versions, &reason, out);
            return Err(HandshakeError::Versions(reason));
        }
        Ok(())
    }

    fn must_belong_with(&self, them: &Introduction, out: &mut Vec<u8>) -> Result<(), HandshakeError> {
        match (self.us.cluster, them.cluster) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                let reason = format!(
                    "{} belongs to cluster {:016x} and {} to cluster {:016x}: reset the one that is to join the other",
                    self.us.name, ours.0, them.name, theirs.0
                );
                refuse(Cause::Cluster, &reason, out);
                Err(HandshakeError::OtherCluster(reason))
            }
            _ => Ok(()),
        }
    }
}

/// What the MACs cover besides the label.
fn transcript(dialler: &[u8], listener: &[u8]) -> Vec<u8> {
    let mut transcript = Vec::with_capacity(dialler.len() + listener.len() + 8);
    for hello in [dialler, listener] {
        // The length too: no two pairs of hellos have the same transcript.
        transcript.extend_from_slice(&(hello.len() as u32).to_be_bytes());
        transcript.extend_from_slice(hello);
    }
    transcript
}

fn label(role: Role) -> &'static [u8] {
    match role {
        Role::Dialler => b"warren between nodes, 1, dialler\0",
        Role::Listener => b"warren between nodes, 1, listener\0",
    }
}

fn versions(span: Span) -> String {
    match span.oldest == span.newest {
        _ if span == Span::UNTOLD => "none".to_owned(),
        true => format!("version {}", span.newest),
        false => format!("versions {} to {}", span.oldest, span.newest),
    }
}

fn refuse(cause: Cause, reason: &str, out: &mut Vec<u8>) {
    let mut body = vec![cause as u8];
    body.extend_from_slice(hello::cut(reason, MOST_REASON).as_bytes());
    hello::write(Type::Refusal, &body, out);
}

/// Whoever refuses need not have proved anything: its text is shown, and never acted on beyond
/// the end of this one connection.
fn refused(by: String, body: &[u8]) -> HandshakeError {
    let (cause, reason) = body.split_first().unwrap_or((&0, &[]));
    let cause = match cause {
        1 => Cause::Secret,
        2 => Cause::Versions,
        3 => Cause::Cluster,
        4 => Cause::Duplicate,
        5 => Cause::Forgotten,
        6 => Cause::Outdated,
        8 => Cause::Tls,
        _ => Cause::Other,
    };
    let reason = String::from_utf8_lossy(reason);
    let reason = hello::cut(&reason, MOST_REASON).chars();
    HandshakeError::Refused {
        by,
        cause,
        reason: reason.filter(|letter| !letter.is_control()).collect(),
    }
}
