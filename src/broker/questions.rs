//! What nodes ask of each other beside messages, streams and Raft: how a question is written, and who answers it.
//!
//! Each room that asks has its questions and answers in a file `questions.rs`: two enums, what is answered, and
//! what is made of the answers. All of them travel over one service, and the first room that knows a question
//! answers it; so no two have the same name.
//!
//! ```text
//! room: nodes.ask(node, Question) ──service 3──→ QuestionService → Answers::answer of each room → Answer
//! ```

use std::sync::{Arc, Weak};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::cluster::rpc::{CallFuture, Failed, Flow, Handler, Origin};
use crate::types::NodeId;

/// The service of this file.
pub const QUESTIONS: u16 = 3;
/// First byte of what is said in JSON.
pub const FORMAT: u8 = 1;

/// An answer that is on its way, as it is sent.
pub type Answering = BoxFuture<'static, Bytes>;

/// Who answers some of the questions.
pub trait Answers: Send + Sync {
    /// The answer to a question of that node; none when it is no question for this one.
    fn answer(self: Arc<Self>, from: NodeId, question: &Bytes) -> Option<Answering>;
}

/// A question or an answer as it is sent.
pub fn written<T: Serialize>(value: &T) -> Bytes {
    let mut bytes = vec![FORMAT];
    // Plain data and a buffer in memory: nothing here can fail.
    serde_json::to_writer(&mut bytes, value).expect("questions are plain data");
    bytes.into()
}

/// What was sent, if it is one of these.
pub fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Option<T> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => serde_json::from_slice(rest).ok(),
        _ => None,
    }
}

/// The service: those who answer, in order, as long as they are there.
pub struct QuestionService(pub Arc<[Weak<dyn Answers>]>);

impl Handler for QuestionService {
    fn call(&self, from: Origin, question: Bytes) -> CallFuture {
        let rooms = self.0.clone();
        Box::pin(async move {
            let answering = {
                let mut there = rooms.iter().filter_map(Weak::upgrade);
                there.find_map(|room| room.answer(from.node, &question))
            };
            match answering {
                Some(answering) => Ok(answering.await),
                None => Err(Failed("nobody here knows the question".to_owned())),
            }
        })
    }

    fn messages(&self, _from: &Origin, messages: &mut Vec<Bytes>) -> Flow {
        messages.clear();
        Flow::Ready
    }
}
