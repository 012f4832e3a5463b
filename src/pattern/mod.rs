//! Patterns: the regular expressions of permissions, policies, lists and the configuration.
//!
//! They mean what they mean in RabbitMQ, which asks PCRE 8 about bytes: letters are those of
//! ISO 8859-1, a dot is one byte, `$` stands before a newline at the end too, and a match may begin
//! anywhere. A pattern of plain constructs is run in time linear in the subject ([`linear`]), any
//! other by PCRE2 with a bound on its steps ([`pcre`]). Which is which never changes an answer.
//!
//! A match that runs into the bound is none, with one warning for each pattern. What took many steps is
//! remembered ([`memo`]).

mod case;
mod characters;
mod dialect;
mod linear;
mod memo;
mod pcre;
mod refusal;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use refusal::{BadPattern, TooManySteps};

use case::Case;
use pcre::Bound;

/// A compiled pattern with its text. Copies share what was compiled.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    text: String,
    engine: Engine,
    /// A match ran into the bound, and the log says so.
    warned: AtomicBool,
}

#[derive(Debug)]
enum Engine {
    Linear(regex::bytes::Regex),
    Backtracking(pcre::Code, memo::Memo),
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// With PCRE's reason when it is none.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        Self::compile(text, Case::Matters)
    }

    /// Compiles a pattern for which letters of either case are the same.
    ///
    /// # Errors
    /// With PCRE's reason when it is none.
    pub fn ignoring_case(text: &str) -> Result<Self, BadPattern> {
        Self::compile(text, Case::Ignored)
    }

    fn compile(text: &str, case: Case) -> Result<Self, BadPattern> {
        // PCRE reads the text as C does.
        let bytes = text.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default();
        let code = pcre::Code::compile(bytes, case)?;
        let engine = match linear::regex(bytes, case) {
            Some(regex) => Engine::Linear(regex),
            None => Engine::Backtracking(code, memo::Memo::default()),
        };
        Ok(Self(Arc::new(Compiled {
            text: text.to_owned(),
            engine,
            warned: AtomicBool::new(false),
        })))
    }

    /// The pattern as written.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether it is found in the subject. Where that takes too many steps to tell it is not, and
    /// the log says so once.
    pub fn matches(&self, subject: &str) -> bool {
        self.find(subject).unwrap_or_else(|TooManySteps| {
            if !self.0.warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    pattern = self.text(),
                    "a pattern needs too many steps for some names, which it does not match then"
                );
            }
            false
        })
    }

    /// Whether it is found in the subject.
    ///
    /// # Errors
    /// When it takes too many steps to tell.
    pub fn find(&self, subject: &str) -> Result<bool, TooManySteps> {
        match &self.0.engine {
            Engine::Linear(regex) => Ok(regex.is_match(subject.as_bytes())),
            Engine::Backtracking(code, memo) => {
                let subject = subject.as_bytes();
                if let Some(said) = memo.of(subject) {
                    return said;
                }
                code.find(subject, Bound::Few).or_else(|TooManySteps| {
                    let said = code.find(subject, Bound::Most);
                    memo.note(subject, said);
                    said
                })
            }
        }
    }
}

/// The text with everything escaped that means something in a pattern.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_ascii_punctuation() {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests;
