//! Work that outlives the request that began it: messages moved, queues purged or deleted.
//!
//! A job is a task of the node that was asked for it, and ends with that node's run: what it has done
//! is done, and nothing is ever half done. Any node tells of the jobs of all and stops them.
//!
//! ```text
//! running ──all done──→ done
//!    ├──stopped by somebody──→ stopped
//!    └──nobody answers──→ failed
//! ```

mod bulk;
mod questions;
mod redrive;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::catalogue::declarations::Declarations;
use super::nodes::{NodeInfo, Nodes};
use super::publish::vhosts::Vhosts;
use super::queue::queues::Queues;
use crate::tasks;
use crate::types::{Timestamp, UserName};

pub use bulk::{Bulk, BulkQueue};
pub use redrive::{Died, Plan, Redrive};

/// Jobs that have ended and are still told of.
const ENDED: usize = 100;
/// Jobs that run at a time.
const MOST: usize = 50;
/// Failures that a job tells of one by one.
const FAILURES: usize = 100;

/// The jobs of this node, and what they work on. The room's handle.
pub struct Jobs {
    node: Arc<NodeInfo>,
    nodes: Arc<Nodes>,
    queues: Arc<Queues>,
    vhosts: Arc<Vhosts>,
    declarations: Arc<Declarations>,
    next: AtomicU64,
    all: Mutex<BTreeMap<u64, Arc<Job>>>,
}

/// One job.
pub struct Job {
    id: String,
    kind: &'static str,
    by: UserName,
    /// What it is about, for people.
    what: String,
    started: Timestamp,
    is_stopped: AtomicBool,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    done: u64,
    of: u64,
    failed: u64,
    failures: Vec<(String, String)>,
    ended: Option<(End, Timestamp)>,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Done,
    Stopped,
    Failed,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// So many jobs run that no other begins.
#[derive(Debug, thiserror::Error)]
#[error("{MOST} jobs are running; wait until one has ended, or stop one")]
pub struct TooManyJobs;

impl Job {
    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    fn done(&self, count: u64) {
        self.progress.lock().done += count;
    }

    fn failed(&self, what: impl Into<String>, why: impl Into<String>) {
        let mut progress = self.progress.lock();
        progress.failed += 1;
        if progress.failures.len() < FAILURES {
            progress.failures.push((what.into(), why.into()));
        }
    }

    fn view(&self) -> Value {
        let progress = self.progress.lock();
        let failures = progress.failures.iter();
        json!({
            "id": self.id,
            "kind": self.kind,
            "by": self.by,
            "what": self.what,
            "state": progress.ended.map_or("running", |(end, _)| end.name()),
            "done": progress.done,
            "of": progress.of,
            "failed": failures.map(|(what, reason)| json!({"what": what, "reason": reason})).collect::<Value>(),
            "failed_count": progress.failed,
            "started": self.started,
            "ended": progress.ended.map(|(_, at)| at),
        })
    }
}

impl Jobs {
    /// None has begun.
    pub(super) fn new(
        node: Arc<NodeInfo>,
        nodes: Arc<Nodes>,
        queues: Arc<Queues>,
        vhosts: Arc<Vhosts>,
        declarations: Arc<Declarations>,
    ) -> Self {
        Self {
            node,
            nodes,
            queues,
            vhosts,
            declarations,
            next: AtomicU64::new(0),
            all: Mutex::default(),
        }
    }

    /// Begins a job over so many things; `run` does it and says how it ended. Gives its id.
    fn begin<F>(
        self: &Arc<Self>,
        (kind, by, what, of): (&'static str, UserName, String, u64),
        run: impl FnOnce(Arc<Self>, Arc<Job>) -> F,
    ) -> Result<String, TooManyJobs>
    where
        F: Future<Output = End> + Send + 'static,
    {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let job = Arc::new(Job {
            // Numbers begin again with each run of the node.
            id: format!("{:x}-{:x}-{number}", self.nodes.us().0, self.node.started_at.0),
            kind,
            by,
            what,
            started: self.queues.now(),
            is_stopped: AtomicBool::new(false),
            progress: Mutex::new(Progress {
                of,
                ..Progress::default()
            }),
        });
        let mut all = self.all.lock();
        let has_ended = |job: &Job| job.progress.lock().ended.is_some();
        if all.values().filter(|job| !has_ended(job)).count() >= MOST {
            return Err(TooManyJobs);
        }
        while all.len() >= ENDED + MOST
            && let Some(oldest) = all.iter().find(|(_, job)| has_ended(job)).map(|(number, _)| *number)
        {
            all.remove(&oldest);
        }
        all.insert(number, job.clone());
        drop(all);
        let (id, queues) = (job.id.clone(), self.queues.clone());
        let running = run(self.clone(), job.clone());
        tasks::begin("job", async move {
            let end = tasks::spawn("job's work", running).await.unwrap_or(End::Failed);
            job.progress.lock().ended = Some((end, queues.now()));
        });
        Ok(id)
    }

    /// The jobs of this node, the latest first.
    fn here(&self) -> Vec<Value> {
        let all = self.all.lock();
        all.values().rev().map(|job| job.view()).collect()
    }

    /// Stops a job of this node, or forgets it if it has ended; whether there is one.
    fn stop_here(&self, id: &str) -> bool {
        let mut all = self.all.lock();
        let found = all.iter().find(|(_, job)| job.id == id);
        let Some((number, job)) = found.map(|(number, job)| (*number, job.clone())) else {
            return false;
        };
        let has_ended = job.progress.lock().ended.is_some();
        match has_ended {
            true => drop(all.remove(&number)),
            false => job.is_stopped.store(true, Ordering::Relaxed),
        }
        true
    }
}
