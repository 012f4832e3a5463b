//! What moves through the node, by protocol and by type of queue; `rabbitmq_global_*`. These never count back,
//! whatever is deleted or closed.

use super::family::{Family, Metric, Read, counter, gauge, histogram, plain};
use crate::statistics::Measure;

pub static FAMILIES: &[Family] = &[
    plain("global", BY_PROTOCOL),
    plain("global_by_type", BY_TYPE),
    plain("global_deaths", DEATHS),
    plain("message_size", SIZES),
];

const DEATHS: &[Metric] = &[
    counter(
        "global_messages_dead_lettered_maxlen",
        "Total number of messages dead-lettered due to overflow drop-head or reject-publish-dlx",
        Read::Deaths(|deaths| deaths.max_length.into()),
    ),
    counter(
        "global_messages_dead_lettered_expired",
        "Total number of messages dead-lettered due to message TTL exceeded",
        Read::Deaths(|deaths| deaths.expired.into()),
    ),
    counter(
        "global_messages_dead_lettered_rejected",
        "Total number of messages dead-lettered due to basic.reject or basic.nack",
        Read::Deaths(|deaths| deaths.rejected.into()),
    ),
    counter(
        "global_messages_dead_lettered_delivery_limit",
        "Total number of messages dead-lettered due to delivery-limit exceeded",
        Read::Deaths(|deaths| deaths.delivery_limit.into()),
    ),
    counter(
        "global_messages_dead_lettered_confirmed",
        "Total number of messages dead-lettered and confirmed by target queues",
        Read::Deaths(|deaths| deaths.confirmed.into()),
    ),
];

// As RabbitMQ 4.2 and its dashboards name it.
const SIZES: &[Metric] = &[histogram(
    "message_size_bytes",
    "Size of messages received from publishers",
    Read::Sizes,
)];

const BY_PROTOCOL: &[Metric] = &[
    counter(
        "global_messages_received",
        "Total number of messages received from publishers",
        Read::Protocol(|protocol| protocol.tally[Measure::Publish].into()),
    ),
    counter(
        "global_messages_received_confirm",
        "Total number of messages received from publishers expecting confirmations",
        Read::Protocol(|protocol| protocol.tally[Measure::PublishToConfirm].into()),
    ),
    counter(
        "global_messages_confirmed",
        "Total number of messages confirmed to publishers",
        Read::Protocol(|protocol| protocol.tally[Measure::Confirm].into()),
    ),
    counter(
        "global_messages_routed",
        "Total number of messages routed to queues or streams",
        Read::Protocol(|protocol| protocol.tally[Measure::PublishOut].into()),
    ),
    counter(
        "global_messages_unroutable_returned",
        "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable",
        Read::Protocol(|protocol| protocol.tally[Measure::ReturnUnroutable].into()),
    ),
    counter(
        "global_messages_unroutable_dropped",
        "Total number of messages published as non-mandatory into an exchange and dropped as unroutable",
        Read::Protocol(|protocol| protocol.tally[Measure::DropUnroutable].into()),
    ),
    gauge(
        "global_publishers",
        "Current number of publishers",
        Read::Protocol(|protocol| protocol.publishers.into()),
    ),
    gauge(
        "global_consumers",
        "Current number of consumers",
        Read::Protocol(|protocol| protocol.consumers.into()),
    ),
];

const BY_TYPE: &[Metric] = &[
    counter(
        "global_messages_delivered",
        "Total number of messages delivered to consumers",
        Read::TypeTraffic(|traffic| traffic.delivered.into()),
    ),
    counter(
        "global_messages_delivered_consume_manual_ack",
        "Total number of messages delivered to consumers using basic.consume with manual acknowledgment",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::Deliver].into()),
    ),
    counter(
        "global_messages_delivered_consume_auto_ack",
        "Total number of messages delivered to consumers using basic.consume with automatic acknowledgment",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::DeliverNoAck].into()),
    ),
    counter(
        "global_messages_delivered_get_manual_ack",
        "Total number of messages delivered to consumers using basic.get with manual acknowledgment",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::Get].into()),
    ),
    counter(
        "global_messages_delivered_get_auto_ack",
        "Total number of messages delivered to consumers using basic.get with automatic acknowledgment",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::GetNoAck].into()),
    ),
    counter(
        "global_messages_get_empty",
        "Total number of times basic.get operations fetched no message",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::GetEmpty].into()),
    ),
    counter(
        "global_messages_redelivered",
        "Total number of messages redelivered to consumers",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::Redeliver].into()),
    ),
    counter(
        "global_messages_acknowledged",
        "Total number of messages acknowledged by consumers",
        Read::TypeTraffic(|traffic| traffic.tally[Measure::Ack].into()),
    ),
];
