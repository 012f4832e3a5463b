//! Streams and their protocol, by the names of RabbitMQ's plug-in.

use super::family::{Family, Metric, Read, counter, family, gauge, plain};

pub static FAMILIES: &[Family] = &[
    family("stream_consumer_metrics", LAGS),
    plain("global_stream_errors", ERRORS),
];

const LAGS: &[Metric] = &[gauge(
    "stream_consumer_max_offset_lag",
    "Current maximum of offset lag of consumers",
    Read::Stream(|stream| stream.max_lag.into()),
)
.summed(|node| node.stream_max_lag.into())];

const ERRORS: &[Metric] = &[
    counter(
        "global_stream_error_stream_does_not_exist",
        "Total number of commands rejected with stream does not exist error",
        Read::StreamErrors(|errors| errors.of(2).into()),
    ),
    counter(
        "global_stream_error_subscription_id_already_exists",
        "Total number of commands failed with subscription id already exists",
        Read::StreamErrors(|errors| errors.of(3).into()),
    ),
    counter(
        "global_stream_error_subscription_id_does_not_exist",
        "Total number of commands failed with subscription id does not exist",
        Read::StreamErrors(|errors| errors.of(4).into()),
    ),
    counter(
        "global_stream_error_stream_already_exists",
        "Total number of commands failed with stream already exists",
        Read::StreamErrors(|errors| errors.of(5).into()),
    ),
    counter(
        "global_stream_error_stream_not_available",
        "Total number of commands failed with stream not available",
        Read::StreamErrors(|errors| errors.of(6).into()),
    ),
    counter(
        "global_stream_error_sasl_mechanism_not_supported",
        "Total number of commands failed with sasl mechanism not supported",
        Read::StreamErrors(|errors| errors.of(7).into()),
    ),
    counter(
        "global_stream_error_authentication_failure",
        "Total number of commands failed with authentication failure",
        Read::StreamErrors(|errors| errors.of(8).into()),
    ),
    counter(
        "global_stream_error_sasl_error",
        "Total number of commands failed with sasl error",
        Read::StreamErrors(|errors| errors.of(9).into()),
    ),
    counter(
        "global_stream_error_sasl_challenge",
        "Total number of commands failed with sasl challenge",
        Read::StreamErrors(|errors| errors.of(10).into()),
    ),
    counter(
        "global_stream_error_sasl_authentication_failure_loopback",
        "Total number of commands failed with sasl authentication failure loopback",
        Read::StreamErrors(|errors| errors.of(11).into()),
    ),
    counter(
        "global_stream_error_vhost_access_failure",
        "Total number of commands failed with vhost access failure",
        Read::StreamErrors(|errors| errors.of(12).into()),
    ),
    counter(
        "global_stream_error_unknown_frame",
        "Total number of commands failed with unknown frame",
        Read::StreamErrors(|errors| errors.of(13).into()),
    ),
    counter(
        "global_stream_error_frame_too_large",
        "Total number of commands failed with frame too large",
        Read::StreamErrors(|errors| errors.of(14).into()),
    ),
    counter(
        "global_stream_error_internal_error",
        "Total number of commands failed with internal error",
        Read::StreamErrors(|errors| errors.of(15).into()),
    ),
    counter(
        "global_stream_error_access_refused",
        "Total number of commands failed with access refused",
        Read::StreamErrors(|errors| errors.of(16).into()),
    ),
    counter(
        "global_stream_error_precondition_failed",
        "Total number of commands failed with precondition failed",
        Read::StreamErrors(|errors| errors.of(17).into()),
    ),
    counter(
        "global_stream_error_publisher_does_not_exist",
        "Total number of commands failed with publisher does not exist",
        Read::StreamErrors(|errors| errors.of(18).into()),
    ),
];
