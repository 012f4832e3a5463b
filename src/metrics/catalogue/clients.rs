//! Connections and channels of this node.

use super::{Family, Metric, Read, family, gauge};

pub static FAMILIES: &[Family] = &[
    family("channel_metrics", CHANNELS),
    family("connection_metrics", CONNECTIONS),
];

const CHANNELS: &[Metric] = &[
    gauge(
        "channel_consumers",
        "Consumers on a channel",
        Read::Channel(|channel| channel.consumers.into()),
    ),
    gauge(
        "channel_messages_unacked",
        "Delivered but not yet acknowledged messages",
        Read::Channel(|channel| channel.unacked.into()),
    ),
    gauge(
        "channel_messages_unconfirmed",
        "Published but not yet confirmed messages",
        Read::Channel(|channel| channel.unconfirmed.into()),
    ),
];

const CONNECTIONS: &[Metric] = &[gauge(
    "connection_channels",
    "Channels on a connection",
    Read::Connection(|connection| connection.channels.into()),
)];
