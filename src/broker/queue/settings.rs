//! What a queue goes by.

use crate::metadata::Catalog;
use crate::spec::policy::{Subject, queue_settings};
use crate::spec::{QueueSettings, QueueSpec};

/// What the queue goes by: its arguments merged with the policies.
pub(in crate::broker) fn settings_of(catalog: &Catalog, spec: &QueueSpec) -> QueueSettings {
    let definition = catalog
        .vhost(&spec.vhost)
        .map(|vhost| vhost.definition_for(Subject::Queue(spec.queue_type), &spec.name))
        .unwrap_or_default();
    queue_settings(spec, &definition)
}
