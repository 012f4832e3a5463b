//! Plain patterns, written for an engine that takes time linear in the subject.
//!
//! Only what means the same in both is translated: text, classes, groups, alternatives, numbers of
//! times, and `^` and `$` where they stand for the ends. It is only asked whether there is a match,
//! so it does not matter which alternative comes first.

use std::fmt::Write;

use regex::bytes::{Regex, RegexBuilder};

use super::case::Case;
use super::dialect::{Quantifier, quantifier};

/// Bytes that a compiled pattern may take; a larger one is left to PCRE2.
const MOST_MEMORY: usize = 256 * 1024;
/// Times that something may be repeated; more is left to PCRE2.
const MOST_TIMES: u32 = 1000;
/// Groups within groups.
const MOST_DEPTH: usize = 50;

/// A pattern that PCRE has taken, for the linear engine; `None` when it holds something else than
/// plain constructs.
pub fn regex(pattern: &[u8], case: Case) -> Option<Regex> {
    let (pattern, case) = match pattern.strip_prefix(b"(?i)") {
        Some(rest) => (rest, Case::Ignored),
        None => (pattern, case),
    };
    // The two have other ideas of the case of what is not ASCII.
    if case == Case::Ignored && !pattern.is_ascii() {
        return None;
    }
    let mut translator = Translator {
        rest: pattern,
        out: String::with_capacity(pattern.len() * 2),
        depth: 0,
    };
    translator.alternatives()?;
    if !translator.rest.is_empty() {
        return None;
    }
    RegexBuilder::new(&translator.out)
        .unicode(false)
        .case_insensitive(case == Case::Ignored)
        .size_limit(MOST_MEMORY)
        .build()
        .ok()
}

struct Translator<'a> {
    rest: &'a [u8],
    out: String,
    depth: usize,
}

impl Translator<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn take(&mut self, prefix: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Up to the end, or a `)` that is not taken.
    fn alternatives(&mut self) -> Option<()> {
        while let Some(byte) = self.rest.first() {
            match byte {
                b')' => break,
                b'|' => {
                    self.next();
                    self.out.push('|');
                }
                b'^' => {
                    self.next();
                    self.out.push_str("\\A");
                }
                b'$' => {
                    self.next();
                    self.end()?;
                }
                _ => {
                    self.atom()?;
                    self.times()?;
                }
            }
        }
        Some(())
    }

    /// `$` stands before a last newline too. Where nothing follows it does not matter that the
    /// newline is taken.
    fn end(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        let mut after = self.rest.iter();
        let last = loop {
            match after.next() {
                None => break true,
                Some(b')') if depth < self.depth => depth += 1,
                // Another alternative of the whole pattern.
                Some(b'|') => break depth == self.depth,
                Some(_) => break false,
            }
        };
        last.then(|| self.out.push_str("(?:\\n?\\z)"))
    }

    fn atom(&mut self) -> Option<()> {
        match self.next()? {
            b'(' => return self.group(),
            b'[' => return self.class(),
            b'.' => self.out.push_str("[^\\n]"),
            b'\\' => match self.next()? {
                byte if byte.is_ascii_punctuation() => self.byte(byte),
                letter => {
                    let set = set(letter)?;
                    let _ = write!(self.out, "[{set}]");
                }
            },
            b'{' | b'*' | b'+' | b'?' => return None,
            byte => self.byte(byte),
        }
        Some(())
    }

    fn group(&mut self) -> Option<()> {
        if !self.take(b"?:") && matches!(self.rest.first(), Some(b'?' | b'*')) {
            return None;
        }
        self.depth += 1;
        if self.depth > MOST_DEPTH {
            return None;
        }
        self.out.push_str("(?:");
        self.alternatives()?;
        self.out.push(')');
        self.depth -= 1;
        self.take(b")").then_some(())
    }

    /// How often the atom before is meant. Lazy or not makes no difference; possessive does.
    fn times(&mut self) -> Option<()> {
        match self.rest.first() {
            Some(sign @ (b'*' | b'+' | b'?')) => self.out.push(char::from(*sign)),
            Some(b'{') => {
                let Quantifier { length, from, to } = quantifier(self.rest)?;
                let number = |digits: &[u8]| {
                    let digits = std::str::from_utf8(digits).ok()?;
                    digits.parse().ok().filter(|times: &u32| *times <= MOST_TIMES)
                };
                let from = number(from)?;
                let _ = match to {
                    Some(to) => write!(self.out, "{{{from},{}}}", number(to)?),
                    None => write!(self.out, "{{{from},}}"),
                };
                self.rest = &self.rest[length - 1..];
            }
            _ => return Some(()),
        }
        self.next();
        self.take(b"?");
        (!matches!(self.rest.first(), Some(b'+' | b'*' | b'?' | b'{'))).then_some(())
    }

    fn class(&mut self) -> Option<()> {
        self.out.push('[');
        if self.take(b"^") {
            self.out.push('^');
        }
        if self.rest.first() == Some(&b']') {
            return None;
        }
        let mut first = true;
        while !self.take(b"]") {
            let low = match self.member()? {
                Member::Byte(byte) => byte,
                Member::Set(set) => {
                    self.out.push_str(set);
                    // Behind a set it is no range.
                    if self.take(b"-") {
                        self.byte(b'-');
                    }
                    first = false;
                    continue;
                }
            };
            if low == b'-' && !first && self.rest.first() != Some(&b']') {
                return None;
            }
            first = false;
            self.byte(low);
            if self.rest.first() == Some(&b'-') && self.rest.get(1) != Some(&b']') {
                self.next();
                let Member::Byte(high) = self.member()? else {
                    return None;
                };
                self.out.push('-');
                self.byte(high);
            }
        }
        self.out.push(']');
        Some(())
    }

    fn member(&mut self) -> Option<Member> {
        match self.next()? {
            b'[' => None,
            b'\\' => match self.next()? {
                byte if byte.is_ascii_punctuation() => Some(Member::Byte(byte)),
                // What is left out of a set cannot be said within a class.
                letter @ (b'd' | b'w' | b's') => set(letter).map(Member::Set),
                _ => None,
            },
            byte => Some(Member::Byte(byte)),
        }
    }

    fn byte(&mut self, byte: u8) {
        let _ = write!(self.out, "\\x{byte:02x}");
    }
}

enum Member {
    Byte(u8),
    Set(&'static str),
}

/// The characters of an escape, for a class.
fn set(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'd' => "0-9",
        b'D' => "^0-9",
        b's' => "\\x09-\\x0d\\x20",
        b'S' => "^\\x09-\\x0d\\x20",
        b'w' => "0-9A-Z_a-z\\xaa\\xb5\\xba\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\xff",
        b'W' => "^0-9A-Z_a-z\\xaa\\xb5\\xba\\xc0-\\xd6\\xd8-\\xf6\\xf8-\\xff",
        _ => return None,
    })
}
