//! The protocols that clients speak: a row for each, which its listener gives to whoever connects there.

/// What is said of a connection that speaks it.
#[derive(Debug)]
pub struct Protocol {
    /// Its name among nodes.
    pub key: &'static str,
    /// Its name as RabbitMQ shows it.
    pub name: &'static str,
    /// Its name where RabbitMQ counts logins.
    pub logins: &'static str,
    /// The `type` of its connections, where RabbitMQ shows one.
    pub kind: Option<&'static str>,
}

/// AMQP 0-9-1.
pub static AMQP: Protocol = Protocol {
    key: "Amqp",
    name: "AMQP 0-9-1",
    logins: "amqp091",
    kind: Some("network"),
};

/// The stream protocol.
pub static STREAM: Protocol = Protocol {
    key: "Stream",
    name: "stream",
    logins: "stream",
    kind: None,
};

/// Other versions that do not tell speak the first.
static ALL: [&Protocol; 2] = [&AMQP, &STREAM];

impl Protocol {
    /// The one of that name among nodes; none where the node of the connection knows more of them.
    pub fn of(key: &str) -> Option<&'static Self> {
        let mut all = ALL.iter().copied();
        all.find(|one| one.key == key || key.is_empty())
    }
}
