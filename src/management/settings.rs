//! What whoever runs a node may change of its configuration while it runs. It holds until the node
//! ends: the files say what holds at the next start.

use crate::broker::Broker;
use crate::logging;

/// Gives a key another value.
///
/// # Errors
/// When it cannot be changed, or that is no value for it; for people.
pub fn set(broker: &Broker, key: &str, value: &str) -> Result<(), String> {
    let config = broker
        .config()
        .with(key, value)
        .map_err(|problem| problem.to_string())?;
    match key {
        "vm_memory_high_watermark.relative" | "vm_memory_high_watermark.absolute" => {
            broker.alarms().set_memory_limit(&config.resources);
        }
        "disk_free_limit.relative" | "disk_free_limit.absolute" => broker.alarms().set_disk_limit(&config.resources),
        "log.default.level" => logging::set_level(config.logging.level),
        _ => return Err(format!("{key} cannot be changed while the node runs")),
    }
    tracing::info!(key, value, "a setting was changed");
    Ok(())
}
