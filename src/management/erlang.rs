//! What RabbitMQ tells of Erlang, for programs that read it or stop where it is missing. There is no Erlang here:
//! what counts its doings is 0, what names it says `none`.

use serde_json::{Value, json};

use super::figures;
use crate::statistics::{Window, Windows};

/// The version of what is not there.
pub const VERSION: &str = "none";

/// What RabbitMQ counts of Erlang's machine, of its database and of stores that this node has not.
const OF_NODE: [&str; 8] = [
    "gc_num",
    "gc_bytes_reclaimed",
    "mnesia_ram_tx_count",
    "mnesia_disk_tx_count",
    "msg_store_read_count",
    "msg_store_write_count",
    "queue_index_write_count",
    "queue_index_read_count",
];

/// Files that are read or written anew in RabbitMQ's stores. The log is written in one go.
const OF_FILES: [&str; 3] = ["io_seek_count", "io_seek_avg_time", "io_reopen_count"];

/// Writes what a process has done, where RabbitMQ runs one for the thing.
pub fn write_work(view: &mut Value, window: Option<Window>) {
    figures::write_nothing(view, "reductions", window);
}

/// The same with its memory.
pub fn write_process(view: &mut Value, window: Option<Window>) {
    view["garbage_collection"] = json!({
        "fullsweep_after": 0,
        "max_heap_size": 0,
        "min_bin_vheap_size": 0,
        "min_heap_size": 0,
        "minor_gcs": 0,
    });
    write_work(view, window);
}

/// Writes what a node's machine, database and stores have done.
pub fn write_node(view: &mut Value, windows: Windows) {
    for key in OF_NODE.iter().chain(&OF_FILES) {
        figures::write_nothing(view, key, windows.node);
    }
    let kinds = [
        "connection_closed",
        "channel_closed",
        "consumer_deleted",
        "exchange_deleted",
        "queue_deleted",
        "vhost_deleted",
        "node_node_deleted",
        "channel_consumer_deleted",
    ];
    view["metrics_gc_queue_length"] = kinds.into_iter().map(|kind| (kind, 0)).collect();
    view["ra_open_file_metrics"] = json!({"ra_log_wal": 0, "ra_log_segment_writer": 0});
}
