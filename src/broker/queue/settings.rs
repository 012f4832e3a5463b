//! What a queue goes by.

use super::handle::QueueHandle;
use super::queues::Queues;
use crate::metadata::Catalogue;
use crate::spec::policy::{Subject, queue_settings};
use crate::spec::{QueueSettings, QueueSpec};

/// What the queue goes by: its arguments merged with the policies.
pub(in crate::broker) fn settings_of(catalogue: &Catalogue, spec: &QueueSpec) -> QueueSettings {
    let definition = catalogue
        .vhost(&spec.vhost)
        .map(|vhost| vhost.definition_for(Subject::Queue(spec.queue_type), &spec.name))
        .unwrap_or_default();
    queue_settings(spec, &definition)
}

impl Queues {
    /// What a queue goes by.
    pub fn settings_of(&self, queue: &QueueHandle) -> QueueSettings {
        settings_of(&self.catalogue(), &queue.spec)
    }
}
