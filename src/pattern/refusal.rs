//! Why a text is no pattern, in the words of PCRE 8, which RabbitMQ shows.

use std::fmt;

use thiserror::Error;

/// A text that is no pattern. Shown as Erlang shows it: `{"missing )",1}`.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub struct BadPattern {
    /// The text, in bytes.
    pub pattern: Vec<u8>,
    /// What is wrong.
    pub reason: String,
    /// The byte at which that was seen.
    pub position: usize,
}

impl BadPattern {
    /// What PCRE2 says in its words and with its number, in those of PCRE 8 where they differ.
    pub(super) fn new(pattern: &[u8], error: i32, text: String, position: usize) -> Self {
        let known = TEXTS.iter().find(|(number, _)| *number == error);
        Self {
            pattern: pattern.to_vec(),
            reason: known.map_or(text, |(_, text)| (*text).to_owned()),
            position: position.saturating_sub(usize::from(SEEN_EARLIER.contains(&error))),
        }
    }

    /// As Erlang's pretty printer shows it behind so much text: in two lines when it is too long.
    pub fn in_column(&self, column: usize) -> String {
        let (reason, position) = (self.quoted_reason(), self.position);
        let line = self.to_string();
        if column + line.len() < LINE_WIDTH {
            return line;
        }
        format!("{{{reason},\n{:indent$}{position}}}", "", indent = column + 1)
    }

    fn quoted_reason(&self) -> String {
        format!("\"{}\"", self.reason.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// Columns that Erlang's pretty printer fills.
const LINE_WIDTH: usize = 79;

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{},{}}}", self.quoted_reason(), self.position)
    }
}

/// What PCRE 8 sees one byte earlier.
const SEEN_EARLIER: [i32; 7] = [137, 143, 147, 150, 151, 169, 171];

/// PCRE2's numbers whose texts differ.
const TEXTS: &[(i32, &str)] = &[
    (103, "unrecognized character follows \\"),
    (107, "invalid escape sequence in character class"),
    (109, "nothing to repeat"),
    (114, "missing )"),
    (118, "missing ) after comment"),
    (122, "unmatched parentheses"),
    (124, "malformed number or name after (?("),
    (125, "lookbehind assertion is not fixed length"),
    (126, "a numbered reference must not be zero"),
    (127, "conditional group contains more than two branches"),
    (128, "assertion expected after (?( or (?(?C)"),
    (134, "character value in \\x{} or \\o{} is too large"),
    (137, "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"),
    (138, "number after (?C is > 255"),
    (139, "closing ) for (?C expected"),
    (142, "syntax error in subpattern name (missing terminator)"),
    (143, "two named subpatterns have the same name"),
    (144, "group name must start with a non-digit"),
    (147, "unknown property name after \\P or \\p"),
    (148, "subpattern name is too long (maximum 32 characters)"),
    (154, "DEFINE group contains more than one branch"),
    (158, "(?R or (?[+-]digits must be followed by )"),
    (168, "\\c must be followed by an ASCII character"),
    (178, "digits missing in \\x{} or \\o{}"),
    (193, "PCRE does not support \\L, \\l, \\N{name}, \\U, or \\u"),
    (200, "lookbehind assertion is not fixed length"),
];

/// A match needs more steps than any may take.
#[derive(Debug, Error, PartialEq, Eq, Clone, Copy)]
#[error("the pattern needs too many steps")]
pub struct TooManySteps;
