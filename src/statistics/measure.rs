//! What is measured, by RabbitMQ's names where it has one.

use serde::{Deserialize, Serialize};

/// How a measure behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It counts up; what matters is how fast.
    Counter,
    /// It is as it is.
    Gauge,
}

macro_rules! measures {
    ($kinds:ident: $($(#[$doc:meta])* $measure:ident, $kind:ident, $name:literal;)*) => {
        /// One thing that is measured. Counters stand before gauges.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        #[repr(u8)]
        pub enum Measure {
            $($(#[$doc])* #[serde(rename = $name)] $measure,)*
        }

        const $kinds: &[(Measure, Kind, &str)] = &[$((Measure::$measure, Kind::$kind, $name),)*];
    };
}

measures! { TABLE:
    /// Messages that came to a channel; of a queue, those that came to it.
    Publish, Counter, "publish";
    /// Of those that came to a channel, those that it is to confirm.
    PublishToConfirm, Counter, "publish_to_confirm";
    /// Messages that came to an exchange.
    PublishIn, Counter, "publish_in";
    /// Messages that an exchange gave to queues, each as often as it has queues.
    PublishOut, Counter, "publish_out";
    /// Publishes that were confirmed; those that were refused are none.
    Confirm, Counter, "confirm";
    /// Mandatory messages that went back to their publisher.
    ReturnUnroutable, Counter, "return_unroutable";
    /// Messages that no queue got and nobody wanted back.
    DropUnroutable, Counter, "drop_unroutable";
    /// Deliveries to consumers that acknowledge.
    Deliver, Counter, "deliver";
    /// Deliveries to consumers that do not.
    DeliverNoAck, Counter, "deliver_no_ack";
    /// Messages fetched by `basic.get`, to be acknowledged.
    Get, Counter, "get";
    /// The same without.
    GetNoAck, Counter, "get_no_ack";
    /// Fetches that found nothing.
    GetEmpty, Counter, "get_empty";
    /// Messages that were acknowledged.
    Ack, Counter, "ack";
    /// Of the messages delivered and fetched, those that had been before.
    Redeliver, Counter, "redeliver";
    /// Bodies of waiting messages that were read back from the disk.
    DiskReads, Counter, "disk_reads";
    /// Messages that were written to the log.
    DiskWrites, Counter, "disk_writes";
    /// Bytes that clients sent.
    RecvOct, Counter, "recv_oct";
    /// Bytes that were sent to clients.
    SendOct, Counter, "send_oct";
    /// Reads from clients' sockets.
    RecvCnt, Counter, "recv_cnt";
    /// Writes to clients' sockets.
    SendCnt, Counter, "send_cnt";
    ConnectionCreated, Counter, "connection_created";
    ConnectionClosed, Counter, "connection_closed";
    ChannelCreated, Counter, "channel_created";
    ChannelClosed, Counter, "channel_closed";
    /// Declares of queues that succeeded, also of those that were there.
    QueueDeclared, Counter, "queue_declared";
    QueueCreated, Counter, "queue_created";
    QueueDeleted, Counter, "queue_deleted";
    /// Writes to the log.
    IoWriteCount, Counter, "io_write_count";
    /// Bytes written to the log.
    IoWriteBytes, Counter, "io_write_bytes";
    /// Syncs of the log.
    IoSyncCount, Counter, "io_sync_count";
    /// What they took together, in microseconds.
    IoSyncMicros, Counter, "io_sync_micros";
    /// Messages that wait.
    Ready, Gauge, "messages_ready";
    /// Messages that clients hold.
    Unacked, Gauge, "messages_unacknowledged";
    /// Bytes of the bodies of those that wait.
    ReadyBytes, Gauge, "message_bytes_ready";
    /// Bytes of the bodies of those that clients hold.
    UnackedBytes, Gauge, "message_bytes_unacknowledged";
    /// Bytes of memory.
    MemUsed, Gauge, "mem_used";
    /// Open files.
    FdUsed, Gauge, "fd_used";
    /// Of those, sockets.
    SocketsUsed, Gauge, "sockets_used";
    /// Threads, where RabbitMQ counts Erlang's processes.
    ProcUsed, Gauge, "proc_used";
    /// Bytes that are free where the data is.
    DiskFree, Gauge, "disk_free";
}

impl Measure {
    /// Deliveries and fetches, of which RabbitMQ makes one more number.
    pub const DELIVER_GET: &'static [Self] = &[Self::Deliver, Self::DeliverNoAck, Self::Get, Self::GetNoAck];
    /// How many counters there are.
    pub const COUNTERS: usize = Self::Ready as usize;
    /// How many gauges there are.
    pub const GAUGES: usize = TABLE.len() - Self::COUNTERS;

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(measure, _, _)| *measure)
    }

    /// The counters.
    pub fn counters() -> impl Iterator<Item = Self> {
        Self::all().take(Self::COUNTERS)
    }

    /// The gauges.
    pub fn gauges() -> impl Iterator<Item = Self> {
        Self::all().skip(Self::COUNTERS)
    }

    /// RabbitMQ's name of it.
    pub fn name(self) -> &'static str {
        TABLE[self as usize].2
    }

    /// The measure of that name.
    pub fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.2 == name).map(|row| row.0)
    }

    /// How it behaves.
    pub fn kind(self) -> Kind {
        TABLE[self as usize].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_stand_before_gauges_and_each_name_is_one_measure() {
        for measure in Measure::all() {
            let is_counter = (measure as usize) < Measure::COUNTERS;
            assert_eq!(measure.kind() == Kind::Counter, is_counter, "{measure:?}");
            assert_eq!(Measure::named(measure.name()), Some(measure));
        }
        assert_eq!(Measure::counters().count() + Measure::gauges().count(), TABLE.len());
    }
}
