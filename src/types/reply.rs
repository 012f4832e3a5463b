//! What a peer hears when something is refused: AMQP reply code, text and scope.
//!
//! Every layer's error enum implements [`Refusal`]; nothing else chooses reply codes.

use std::fmt;

/// AMQP 0-9-1 reply codes that a broker sends (spec section 1.2, RabbitMQ's `rabbit_framing`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u16)]
pub enum ReplyCode {
    ReplySuccess = 200,
    ContentTooLarge = 311,
    NoRoute = 312,
    NoConsumers = 313,
    ConnectionForced = 320,
    InvalidPath = 402,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

const ALL: [ReplyCode; 19] = {
    use ReplyCode::*;
    [
        ReplySuccess,
        ContentTooLarge,
        NoRoute,
        NoConsumers,
        ConnectionForced,
        InvalidPath,
        AccessRefused,
        NotFound,
        ResourceLocked,
        PreconditionFailed,
        FrameError,
        SyntaxError,
        CommandInvalid,
        ChannelError,
        UnexpectedFrame,
        ResourceError,
        NotAllowed,
        NotImplemented,
        InternalError,
    ]
};

impl ReplyCode {
    /// The code of that number, if there is one.
    pub fn from_wire(code: u16) -> Option<Self> {
        ALL.into_iter().find(|own| own.code() == code)
    }

    /// The number on the wire.
    pub fn code(self) -> u16 {
        self as u16
    }

    /// The name RabbitMQ puts before ` - ` in reply texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::ReplySuccess => "REPLY_SUCCESS",
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::InvalidPath => "INVALID_PATH",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }
}

/// What is closed by a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    Channel,
    Connection,
}

/// A refusal as the peer hears it. The method that caused it is known to the caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    pub scope: Scope,
    pub code: ReplyCode,
    /// Without the `NAME - ` prefix; see [`Reply::wire_text`].
    pub text: String,
}

impl Reply {
    /// A refusal that closes the channel.
    pub fn channel(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            scope: Scope::Channel,
            code,
            text: text.into(),
        }
    }

    /// A refusal that closes the connection.
    pub fn connection(code: ReplyCode, text: impl Into<String>) -> Self {
        Self {
            scope: Scope::Connection,
            code,
            text: text.into(),
        }
    }

    /// The text as RabbitMQ sends it, `NAME - text`, or `NAME` alone when there is no more to say.
    /// One that does not fit into the 255 bytes of a short string ends in `...`.
    pub fn wire_text(&self) -> String {
        if self.text.is_empty() {
            return self.code.name().to_owned();
        }
        let mut text = format!("{} - {}", self.code.name(), self.text);
        if text.len() > 255 {
            let mut end = 252;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - {}", self.code.name(), self.text)
    }
}

/// An error that knows what the peer hears.
pub trait Refusal {
    /// The one place that maps this error to a code, a text and a scope.
    fn reply(&self) -> Reply;
}

/// So that `?` ends a layer's error where only the peer has still to hear of it.
impl<E: Refusal> From<E> for Reply {
    fn from(error: E) -> Self {
        error.reply()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_ends_in_dots() {
        let of = |text: &str| Reply::channel(ReplyCode::NotFound, text).wire_text();
        assert_eq!(of(""), "NOT_FOUND");
        let fits = "x".repeat(255 - "NOT_FOUND - ".len());
        assert_eq!(of(&fits), format!("NOT_FOUND - {fits}"));
        let long = of(&format!("{fits}x"));
        assert_eq!(long.len(), 255);
        assert!(long.ends_with("xx..."));
        // Never in the middle of a character.
        let long = of(&"\u{20ac}".repeat(100));
        assert!(long.len() <= 255 && long.ends_with("\u{20ac}..."));
    }
}
