//! Rows about the HTTP API, the console, and metrics.

use super::super::sections::{HttpListener, HttpState, RatesMode};
use super::super::value::{ip, listener, text};
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = http_keys(HTTP, |c| &mut c.management.tcp, |c| &mut c.management.tls);
    keys.extend(tls_keys("management.ssl", |c| &mut c.management.tls_options));
    keys.extend(behaviour_keys());
    keys.extend(header_keys());
    keys
}

pub fn prometheus_keys() -> Vec<Key> {
    let mut keys = http_keys(METRICS, |c| &mut c.prometheus.tcp, |c| &mut c.prometheus.tls);
    keys.extend(tls_keys("prometheus.ssl", |c| &mut c.prometheus.tls_options));
    keys.extend([
        key("prometheus.path", text())
            .default("/metrics")
            .help("Where the metrics are.")
            .sets(|c, path| c.prometheus.path = path),
        key("prometheus.return_per_object_metrics", switch())
            .default("false")
            .help("Metrics of each queue, connection and channel instead of sums.")
            .sets(|c, on| c.prometheus.per_object = on),
        key("prometheus.authentication.enabled", switch())
            .default("false")
            .help("Metrics need a user's name and password.")
            .sets(|c, on| c.prometheus.authentication = on),
    ]);
    keys
}

/// What two families of HTTP listeners differ in.
struct Family {
    prefix: &'static str,
    flag: &'static str,
    help: &'static str,
    listener: &'static str,
    port: &'static str,
    tls_port: &'static str,
}

const HTTP: Family = Family {
    prefix: "management",
    flag: "--management",
    help: "The HTTP API: address and port at once; 'none' turns it off.",
    listener: "0.0.0.0:15672",
    port: "15672",
    tls_port: "15671",
};

const METRICS: Family = Family {
    prefix: "prometheus",
    flag: "--prometheus",
    help: "Metrics for Prometheus: address and port at once; 'none' turns them off.",
    listener: "0.0.0.0:15692",
    port: "15692",
    tls_port: "15691",
};

/// The listeners of which nothing was said: plain HTTP, unless TLS is asked for.
pub fn stand_by_default(config: &mut Config) {
    let (management, prometheus) = (&mut config.management, &mut config.prometheus);
    management.tcp.state = HttpState::ByDefault;
    prometheus.tcp.state = HttpState::ByDefault;
    for (tls, family) in [(&mut management.tls, HTTP), (&mut prometheus.tls, METRICS)] {
        tls.port = family.tls_port.parse().expect("a number stands above");
    }
}

fn http_keys(
    family: Family,
    tcp: fn(&mut Config) -> &mut HttpListener,
    tls: fn(&mut Config) -> &mut HttpListener,
) -> Vec<Key> {
    let under = |leaf: &str| format!("{}.{leaf}", family.prefix);
    vec![
        key(under("tcp.listener"), listener().or("none"))
            .flag(family.flag, "ADDR:PORT")
            .default(family.listener)
            .help(family.help)
            .sets(move |c, address| tcp(c).listen(address)),
        key(under("tcp.port"), integer(0..=65535))
            .default(family.port)
            .help("The port alone.")
            .sets(move |c, port| on(tcp(c)).port = port),
        key(under("tcp.ip"), ip())
            .default("0.0.0.0")
            .help("The address alone.")
            .sets(move |c, ip| on(tcp(c)).ip = ip),
        key(under("ssl.port"), integer(0..=65535))
            .example(family.tls_port)
            .help("Port for TLS; asking for it alone turns the plain port off.")
            .sets(move |c, port| on(tls(c)).port = port),
        key(under("ssl.ip"), ip())
            .example("0.0.0.0")
            .help("Address for TLS.")
            .sets(move |c, ip| on(tls(c)).ip = ip),
    ]
}

fn on(listener: &mut HttpListener) -> &mut HttpListener {
    listener.state = HttpState::On;
    listener
}

fn behaviour_keys() -> Vec<Key> {
    let modes = [
        ("basic", RatesMode::Basic),
        ("detailed", RatesMode::Detailed),
        ("none", RatesMode::None),
    ];
    vec![
        key("management.listener.port", integer(0..=65535))
            .default("15672")
            .help("An older name of management.tcp.port.")
            .sets(|c, port| on(&mut c.management.tcp).port = port),
        key("management.listener.ip", ip())
            .default("0.0.0.0")
            .help("An older name of management.tcp.ip.")
            .sets(|c, ip| on(&mut c.management.tcp).ip = ip),
        key("management.path_prefix", text())
            .example("/rabbit")
            .help("Put before every path.")
            .sets(|c, prefix: String| {
                let prefix = prefix.trim_matches('/');
                c.management.path_prefix = match prefix {
                    "" => String::new(),
                    prefix => format!("/{prefix}"),
                };
            }),
        key("management.login_session_timeout", integer(0..=u32::MAX.into()))
            .default("480")
            .help("Minutes that a login to the console lasts.")
            .sets(|c, minutes| c.management.login_session_timeout_min = minutes),
        key("management.proxy_protocol", switch())
            .default("false")
            .help("HTTP connections begin with a PROXY protocol header.")
            .sets(|c, on| c.management.proxy_protocol = on),
        key("management.http.max_body_size", binary_size(0..=LARGEST_BODY))
            .term("rabbitmq_management.max_http_body_size")
            .default("10000000")
            .help("Largest request body in bytes.")
            .sets(|c, bytes| c.management.max_body_bytes = bytes),
        key("management.tcp.compress", switch())
            .default("true")
            .help("Answers are compressed for clients that take that.")
            .sets(|c, on| c.management.compress = on),
        key("management.rates_mode", choice(&modes))
            .default("basic")
            .help("How much of the message rates is kept.")
            .sets(|c, mode| c.management.rates_mode = mode),
        key("management.disable_basic_auth", switch())
            .default("false")
            .help("No name and password over HTTP.")
            .sets(|c, on| c.management.disable_basic_auth = on),
        key("management.disable_stats", switch())
            .term("rabbitmq_management.disable_management_stats")
            .default("false")
            .help("Only what is declared is shown, no statistics.")
            .sets(|c, on| c.management.disable_stats = on),
        key("collect_statistics_interval", integer(1..=u32::MAX.into()))
            .default("5000")
            .help("Milliseconds over which rates are taken, in whole seconds up to 50; totals are always up to date.")
            .sets(|c, ms| c.management.rate_interval_ms = ms),
        key("management_agent.disable_metrics_collector", switch())
            .default("false")
            .help("No rates, histories and statistics over HTTP; what Prometheus reads is counted all the same.")
            .sets(|c, off| c.management.keep_no_statistics = off),
        key("management.enable_queue_totals", switch())
            .default("false")
            .help("Message counts of queues although statistics are off.")
            .sets(|c, on| c.management.enable_queue_totals = on),
        key("management.restrictions.operator_policy_changes.disabled", switch())
            .default("false")
            .help("Operator policies cannot be changed over HTTP.")
            .sets(|c, on| c.management.forbid_operator_policy_changes = on),
        key(
            "management.restrictions.quorum_queue_replica_operations.disabled",
            switch(),
        )
        .default("false")
        .help("Replicas of quorum queues cannot be changed over HTTP.")
        .sets(|c, on| c.management.forbid_replica_operations = on),
    ]
}

fn header_keys() -> Vec<Key> {
    vec![
        key("management.cors.allow_origins.$name", text())
            .example("1 = https://example.org")
            .help("Sites whose pages may use the HTTP API; * is all.")
            .sets_named(|c, at, origin| c.management.cors_allow_origins.set(at, origin)),
        key("management.cors.allow_origins", choice(&[("none", ())]))
            .term("rabbitmq_management.cors_allow_origins")
            .default("none")
            .help("No other site's pages may.")
            .sets(|c, ()| c.management.cors_allow_origins.replace([])),
        key("management.cors.max_age", integer(0..=u32::MAX.into()))
            .term("rabbitmq_management.cors_max_age")
            .default("1800")
            .help("Seconds that a browser may remember it.")
            .sets(|c, seconds| c.management.cors_max_age_s = seconds),
        key("management.csp.policy", text())
            .term("rabbitmq_management.content_security_policy")
            .default("script-src 'self' 'unsafe-eval' 'unsafe-inline'; object-src 'self'")
            .help("The Content-Security-Policy header.")
            .sets(|c, policy| c.management.content_security_policy = Some(policy)),
        key("management.hsts.policy", text())
            .term("rabbitmq_management.strict_transport_security")
            .example("max-age=31536000; includeSubDomains")
            .help("The Strict-Transport-Security header.")
            .sets(|c, policy| c.management.strict_transport_security = Some(policy)),
        key("management.headers.content_type_options", text())
            .example("nosniff")
            .help("The X-Content-Type-Options header.")
            .sets(|c, header| c.management.content_type_options = Some(header)),
        key("management.headers.xss_protection", text())
            .example("1; mode=block")
            .help("The X-XSS-Protection header.")
            .sets(|c, header| c.management.xss_protection = Some(header)),
        key("management.headers.frame_options", text())
            .example("DENY")
            .help("The X-Frame-Options header.")
            .sets(|c, header| c.management.frame_options = Some(header)),
    ]
}

/// A request body is held in memory, so this is what an operator may ask for at most.
const LARGEST_BODY: u64 = 1 << 30;
