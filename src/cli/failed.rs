//! Why a command did not do what it should.

/// An argument of the right kind whose value is none.
pub fn bad(why: impl AsRef<str>) -> Failed {
    Failed {
        status: exit::DATA,
        ..Failed::arguments(why)
    }
}

/// There is no such vhost.
pub fn no_vhost(name: &str) -> Failed {
    Failed::bare(exit::DATA, format!("Virtual host '{name}' does not exist"))
}

/// Why a command did not do what it should: the exit status and what is said.
#[derive(Debug, PartialEq)]
pub struct Failed {
    pub status: u8,
    pub text: String,
    /// The arguments were wrong: the usage is shown too.
    pub usage: bool,
}

/// Exit statuses, RabbitMQ's (from `sysexits.h`).
pub mod exit {
    pub const USAGE: u8 = 64;
    pub const DATA: u8 = 65;
    pub const NO_USER: u8 = 67;
    pub const UNAVAILABLE: u8 = 69;
    pub const SOFTWARE: u8 = 70;
    pub const TEMPORARY: u8 = 75;
}

impl Failed {
    /// Said below the word `Error:`.
    pub fn told(status: u8, text: impl AsRef<str>) -> Self {
        Self::bare(status, format!("Error:\n{}", text.as_ref()))
    }

    /// Said as it is.
    pub fn bare(status: u8, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            usage: false,
        }
    }

    /// The arguments are wrong.
    pub fn arguments(why: impl AsRef<str>) -> Self {
        Self {
            status: exit::USAGE,
            text: format!("Error (argument validation): {}", why.as_ref()),
            usage: true,
        }
    }

    /// The command is not for a node in that state, or not for that node.
    pub fn misplaced(why: impl AsRef<str>) -> Self {
        Self {
            status: exit::USAGE,
            text: format!("Error: {}", why.as_ref()),
            usage: true,
        }
    }
}
