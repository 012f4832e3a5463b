//! What can be said: the keys of commands with their versions, and the codes of answers.

/// A command of the protocol, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Key {
    DeclarePublisher = 1,
    Publish = 2,
    PublishConfirm = 3,
    PublishError = 4,
    QueryPublisherSequence = 5,
    DeletePublisher = 6,
    Subscribe = 7,
    Deliver = 8,
    Credit = 9,
    StoreOffset = 10,
    QueryOffset = 11,
    Unsubscribe = 12,
    Create = 13,
    Delete = 14,
    Metadata = 15,
    MetadataUpdate = 16,
    PeerProperties = 17,
    SaslHandshake = 18,
    SaslAuthenticate = 19,
    Tune = 20,
    Open = 21,
    Close = 22,
    Heartbeat = 23,
    Route = 24,
    Partitions = 25,
    ConsumerUpdate = 26,
    CommandVersions = 27,
    StreamStats = 28,
    CreateSuperStream = 29,
    DeleteSuperStream = 30,
}

use Key::*;

impl Key {
    /// All of them, by number from 1 on.
    pub const ALL: [Self; 30] = [
        DeclarePublisher,
        Publish,
        PublishConfirm,
        PublishError,
        QueryPublisherSequence,
        DeletePublisher,
        Subscribe,
        Deliver,
        Credit,
        StoreOffset,
        QueryOffset,
        Unsubscribe,
        Create,
        Delete,
        Metadata,
        MetadataUpdate,
        PeerProperties,
        SaslHandshake,
        SaslAuthenticate,
        Tune,
        Open,
        Close,
        Heartbeat,
        Route,
        Partitions,
        ConsumerUpdate,
        CommandVersions,
        StreamStats,
        CreateSuperStream,
        DeleteSuperStream,
    ];

    /// The command of a number.
    pub fn of(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

/// The lowest and highest version of each command that the server tells when it is asked: RabbitMQ leaves out
/// those of the handshake, and what only the server sends.
pub const VERSIONS: [(Key, u16, u16); 19] = [
    (DeclarePublisher, 1, 1),
    (Publish, 1, 2),
    (QueryPublisherSequence, 1, 1),
    (DeletePublisher, 1, 1),
    (Subscribe, 1, 1),
    (Credit, 1, 1),
    (StoreOffset, 1, 1),
    (QueryOffset, 1, 1),
    (Unsubscribe, 1, 1),
    (Create, 1, 1),
    (Delete, 1, 1),
    (Metadata, 1, 1),
    (Close, 1, 1),
    (Heartbeat, 1, 1),
    (Route, 1, 1),
    (Partitions, 1, 1),
    (StreamStats, 1, 1),
    (CreateSuperStream, 1, 1),
    (DeleteSuperStream, 1, 1),
];

/// The code of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum Code {
    Ok = 1,
    NoStream = 2,
    SubscriptionExists = 3,
    NoSubscription = 4,
    StreamExists = 5,
    NotAvailable = 6,
    MechanismNotSupported = 7,
    AuthenticationFailure = 8,
    SaslError = 9,
    /// The user may only come over the loopback interface.
    LoopbackOnly = 11,
    VhostAccess = 12,
    UnknownFrame = 13,
    FrameTooLarge = 14,
    InternalError = 15,
    AccessRefused = 16,
    PreconditionFailed = 17,
    NoPublisher = 18,
    NoOffset = 19,
    MechanismChanged = 20,
    UserChanged = 21,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_by_their_numbers() {
        for key in Key::ALL {
            assert_eq!(Key::of(key as u16), Some(key));
        }
        assert_eq!(Key::of(0), None);
        assert_eq!(Key::of(31), None);
        assert_eq!(Key::of(u16::MAX), None);
    }
}
