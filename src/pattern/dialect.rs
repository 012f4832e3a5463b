//! A pattern written for PCRE 8, written so that PCRE2 reads the same.
//!
//! PCRE2 has given meanings to what was plain text before (`{,3}`), and refuses escapes that stood
//! for their letter (`\y`).

/// A pattern for PCRE2.
pub struct Written {
    pub text: Vec<u8>,
    /// Each difference: how far the new text goes, and how many bytes it is longer from there on.
    shifts: Vec<(usize, isize)>,
}

impl Written {
    /// Where in the pattern as it was a place in the new text lies.
    pub fn before(&self, at: usize) -> usize {
        let shifts = self.shifts.iter().take_while(|(from, _)| *from <= at);
        at.saturating_add_signed(-shifts.last().map_or(0, |(_, longer)| *longer))
    }
}

/// Escapes of a letter that stand for that letter.
const PLAIN: &[u8] = b"FIJMOTYijmqy";
/// Those within a class.
const PLAIN_IN_CLASS: &[u8] = b"ABCFGIJKMORTXYZgijkmqyz";

/// Escapes of many characters.
const SETS: &[u8] = b"dDwWsShHvVpP";

/// Writes a pattern for PCRE2.
pub fn for_pcre2(pattern: &[u8]) -> Written {
    let mut writer = Writer {
        pattern,
        at: 0,
        out: Written {
            text: Vec::with_capacity(pattern.len()),
            shifts: Vec::new(),
        },
    };
    writer.leading_words();
    while let Some(byte) = writer.peek(0) {
        match byte {
            b'\\' => writer.escape(PLAIN),
            b'[' => writer.class(),
            b'{' if quantifier(&pattern[writer.at..]).is_none() => {
                writer.put(b"\\");
                writer.copy(1);
            }
            _ => writer.copy(1),
        }
    }
    writer.out
}

/// A number of times in braces, as it stands in a pattern.
pub struct Quantifier<'a> {
    /// Of all of it, braces too.
    pub length: usize,
    /// Digits.
    pub from: &'a [u8],
    /// Digits; none in `{2,}`.
    pub to: Option<&'a [u8]>,
}

/// The quantifier in braces at the front.
pub fn quantifier(text: &[u8]) -> Option<Quantifier<'_>> {
    let inside = text.strip_prefix(b"{")?;
    let end = inside.iter().position(|byte| *byte == b'}')?;
    let inside = &inside[..end];
    let (from, to) = match inside.iter().position(|byte| *byte == b',') {
        None => (inside, Some(inside)),
        Some(comma) => (&inside[..comma], Some(&inside[comma + 1..]).filter(|to| !to.is_empty())),
    };
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let length = end + 2;
    (is_number(from) && to.is_none_or(is_number)).then_some(Quantifier { length, from, to })
}

struct Writer<'a> {
    pattern: &'a [u8],
    at: usize,
    out: Written,
}

impl Writer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.pattern.get(self.at + ahead).copied()
    }

    fn copy(&mut self, count: usize) {
        let end = (self.at + count).min(self.pattern.len());
        self.out.text.extend_from_slice(&self.pattern[self.at..end]);
        self.at = end;
    }

    fn put(&mut self, bytes: &[u8]) {
        self.out.text.extend_from_slice(bytes);
        self.shifted();
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
        self.shifted();
    }

    fn shifted(&mut self) {
        let longer = self.out.text.len() as isize - self.at as isize;
        self.out.shifts.push((self.out.text.len(), longer));
    }

    /// `(*UTF8)` has lost its number.
    fn leading_words(&mut self) {
        while self.pattern[self.at..].starts_with(b"(*") {
            let rest = &self.pattern[self.at..];
            let Some(end) = rest.iter().position(|byte| *byte == b')') else {
                return;
            };
            if &rest[..=end] == b"(*UTF8)" {
                self.copy(end - 1);
                self.skip(1);
                self.copy(1);
            } else {
                self.copy(end + 1);
            }
        }
    }

    /// An escape, with what belongs to it in braces.
    fn escape(&mut self, plain: &[u8]) {
        match self.peek(1) {
            Some(b'Q') => {
                let rest = &self.pattern[self.at..];
                let end = rest.windows(2).position(|two| two == b"\\E");
                self.copy(end.map_or(rest.len(), |end| end + 2));
            }
            Some(letter) if plain.contains(&letter) => {
                self.skip(1);
                self.copy(1);
            }
            Some(b'x' | b'o' | b'p' | b'P' | b'g' | b'k' | b'N') if self.peek(2) == Some(b'{') => self.copy(3),
            Some(b'x')
                if !self
                    .peek(2)
                    .is_some_and(|byte| byte == b'{' || byte.is_ascii_hexdigit()) =>
            {
                self.copy(2);
                self.put(b"00");
            }
            // `\c` takes the next one along, whatever it is.
            Some(b'c') => self.copy(3),
            _ => self.copy(2),
        }
    }

    /// What is left of `\p{Lu}` or `\pL` once its letter, and the brace, are copied.
    fn rest_of_property(&mut self, is_set: bool) {
        match self.out.text.last() {
            Some(b'{') if is_set => {
                let end = self.pattern[self.at..].iter().position(|byte| *byte == b'}');
                self.copy(end.map_or(0, |end| end + 1));
            }
            Some(b'p' | b'P') if is_set => self.copy(1),
            _ => {}
        }
    }

    fn class(&mut self) {
        self.copy(1);
        if self.peek(0) == Some(b'^') {
            self.copy(1);
        }
        if self.peek(0) == Some(b']') {
            self.copy(1);
        }
        while let Some(byte) = self.peek(0) {
            let is_set = match byte {
                b'\\' => {
                    let is_set = self.peek(1).is_some_and(|letter| SETS.contains(&letter));
                    self.escape(PLAIN_IN_CLASS);
                    self.rest_of_property(is_set);
                    is_set
                }
                b'[' => {
                    let name = self.posix();
                    self.copy(name.unwrap_or(1));
                    name.is_some()
                }
                b']' => return self.copy(1),
                _ => {
                    self.copy(1);
                    false
                }
            };
            // Behind a set it is no range, whatever follows.
            if is_set && self.peek(0) == Some(b'-') && self.peek(1) != Some(b']') {
                self.put(b"\\");
                self.copy(1);
            }
        }
    }

    /// The length of a name such as `[:alpha:]` here.
    fn posix(&self) -> Option<usize> {
        let rest = &self.pattern[self.at..];
        let mark = *rest.get(1).filter(|mark| b":.=".contains(mark))?;
        let end = rest[2..].windows(2).position(|two| two == [mark, b']'])?;
        rest[2..2 + end]
            .iter()
            .all(|byte| byte.is_ascii_alphabetic() || *byte == b'^')
            .then_some(end + 4)
    }
}
