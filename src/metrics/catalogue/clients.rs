//! Connections and channels of this node. Sums of what is counted are the node's own, which do not count back
//! when a client goes.

use super::family::{Family, Metric, Read, counter, family, gauge};
use crate::statistics::Measure;

pub static FAMILIES: &[Family] = &[
    family("connection_churn_metrics", CHURN),
    family("channel_metrics", CHANNELS),
    family("channel_exchange_metrics", PUBLISHES),
    family("channel_queue_metrics", DELIVERIES),
    family("connection_coarse_metrics", BYTES),
    family("connection_metrics", CONNECTIONS),
    family("exchange_metrics", EXCHANGES),
];

const CHURN: &[Metric] = &[
    counter(
        "connections_opened",
        "Total number of connections opened",
        Read::Node(|node| node.tally[Measure::ConnectionCreated].into()),
    ),
    counter(
        "connections_closed",
        "Total number of connections closed or terminated",
        Read::Node(|node| node.tally[Measure::ConnectionClosed].into()),
    ),
    counter(
        "channels_opened",
        "Total number of channels opened",
        Read::Node(|node| node.tally[Measure::ChannelCreated].into()),
    ),
    counter(
        "channels_closed",
        "Total number of channels closed",
        Read::Node(|node| node.tally[Measure::ChannelClosed].into()),
    ),
    counter(
        "queues_declared",
        "Total number of queues declared",
        Read::Node(|node| node.tally[Measure::QueueDeclared].into()),
    ),
    counter(
        "queues_created",
        "Total number of queues created",
        Read::Node(|node| node.tally[Measure::QueueCreated].into()),
    ),
    counter(
        "queues_deleted",
        "Total number of queues deleted",
        Read::Node(|node| node.tally[Measure::QueueDeleted].into()),
    ),
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
    gauge(
        "channel_messages_uncommitted",
        "Messages received in a transaction but not yet committed",
        Read::Channel(|channel| channel.uncommitted.into()),
    ),
    gauge(
        "channel_acks_uncommitted",
        "Message acknowledgements in a transaction not yet committed",
        Read::Channel(|channel| channel.uncommitted_acks.into()),
    ),
    gauge(
        "consumer_prefetch",
        "Limit of unacknowledged messages for each consumer",
        Read::Channel(|channel| channel.prefetch.into()),
    ),
    gauge(
        "channel_prefetch",
        "Limit of unacknowledged messages for all consumers of a channel",
        Read::Channel(|channel| channel.channel_prefetch.into()),
    ),
];

// RabbitMQ tells these for each channel and exchange together.
const PUBLISHES: &[Metric] = &[
    counter(
        "channel_messages_published",
        "Total number of messages published into an exchange on a channel",
        Read::Channel(|channel| channel.tally[Measure::Publish].into()),
    )
    .summed(|node| node.tally[Measure::Publish].into()),
    counter(
        "channel_messages_confirmed",
        "Total number of messages published into an exchange and confirmed on the channel",
        Read::Channel(|channel| channel.tally[Measure::Confirm].into()),
    )
    .summed(|node| node.tally[Measure::Confirm].into()),
    counter(
        "channel_messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Read::Channel(|channel| channel.tally[Measure::ReturnUnroutable].into()),
    )
    .summed(|node| node.tally[Measure::ReturnUnroutable].into()),
    counter(
        "channel_messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Read::Channel(|channel| channel.tally[Measure::DropUnroutable].into()),
    )
    .summed(|node| node.tally[Measure::DropUnroutable].into()),
];

// And these for each channel and queue.
const DELIVERIES: &[Metric] = &[
    counter(
        "channel_get_ack",
        "Total number of messages fetched with basic.get in manual acknowledgement mode",
        Read::Channel(|channel| channel.tally[Measure::Get].into()),
    )
    .summed(|node| node.tally[Measure::Get].into()),
    counter(
        "channel_get",
        "Total number of messages fetched with basic.get in automatic acknowledgement mode",
        Read::Channel(|channel| channel.tally[Measure::GetNoAck].into()),
    )
    .summed(|node| node.tally[Measure::GetNoAck].into()),
    counter(
        "channel_messages_delivered_ack",
        "Total number of messages delivered to consumers in manual acknowledgement mode",
        Read::Channel(|channel| channel.tally[Measure::Deliver].into()),
    )
    .summed(|node| node.tally[Measure::Deliver].into()),
    counter(
        "channel_messages_delivered",
        "Total number of messages delivered to consumers in automatic acknowledgement mode",
        Read::Channel(|channel| channel.tally[Measure::DeliverNoAck].into()),
    )
    .summed(|node| node.tally[Measure::DeliverNoAck].into()),
    counter(
        "channel_messages_redelivered",
        "Total number of messages redelivered to consumers",
        Read::Channel(|channel| channel.tally[Measure::Redeliver].into()),
    )
    .summed(|node| node.tally[Measure::Redeliver].into()),
    counter(
        "channel_messages_acked",
        "Total number of messages acknowledged by consumers",
        Read::Channel(|channel| channel.tally[Measure::Ack].into()),
    )
    .summed(|node| node.tally[Measure::Ack].into()),
    counter(
        "channel_get_empty",
        "Total number of times basic.get operations fetched no message",
        Read::Channel(|channel| channel.tally[Measure::GetEmpty].into()),
    )
    .summed(|node| node.tally[Measure::GetEmpty].into()),
];

const BYTES: &[Metric] = &[
    counter(
        "connection_incoming_bytes",
        "Total number of bytes received on a connection",
        Read::Connection(|connection| connection.tally[Measure::RecvOct].into()),
    )
    .summed(|node| node.tally[Measure::RecvOct].into()),
    counter(
        "connection_outgoing_bytes",
        "Total number of bytes sent on a connection",
        Read::Connection(|connection| connection.tally[Measure::SendOct].into()),
    )
    .summed(|node| node.tally[Measure::SendOct].into()),
];

const CONNECTIONS: &[Metric] = &[
    counter(
        "connection_incoming_packets",
        "Total number of packets received on a connection",
        Read::Connection(|connection| connection.tally[Measure::RecvCnt].into()),
    )
    .summed(|node| node.tally[Measure::RecvCnt].into()),
    counter(
        "connection_outgoing_packets",
        "Total number of packets sent on a connection",
        Read::Connection(|connection| connection.tally[Measure::SendCnt].into()),
    )
    .summed(|node| node.tally[Measure::SendCnt].into()),
    gauge(
        "connection_channels",
        "Channels on a connection",
        Read::Connection(|connection| connection.channels.into()),
    ),
];

const EXCHANGES: &[Metric] = &[
    counter(
        "exchange_messages_published",
        "Total number of messages published into an exchange",
        Read::ExchangeTraffic(|exchange| exchange.tally[Measure::PublishIn].into()),
    )
    .summed(|node| node.tally[Measure::PublishIn].into()),
    counter(
        "exchange_messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Read::ExchangeTraffic(|exchange| exchange.tally[Measure::ReturnUnroutable].into()),
    )
    .summed(|node| node.tally[Measure::ReturnUnroutable].into()),
    counter(
        "exchange_messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Read::ExchangeTraffic(|exchange| exchange.tally[Measure::DropUnroutable].into()),
    )
    .summed(|node| node.tally[Measure::DropUnroutable].into()),
];
