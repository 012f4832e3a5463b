//! Erlang terms, as far as configuration files are written in them: `rabbitmq.config` and
//! `advanced.config`.
//!
//! A file is one term with a full stop behind it. Read are atoms, numbers, characters, texts,
//! binaries, lists, tuples and maps, with comments between them; nesting is limited, so that no file
//! can exhaust the stack. Knows nothing of what keys mean; [`super::advanced`] does.

use std::fmt;
use std::iter::Peekable;
use std::str::CharIndices;

/// A term; tuples know the line they begin in, for that is what a setting is.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    Atom(String),
    /// Digits as they would be written in base 10.
    Number(String),
    /// Written in double quotes, bare or in a binary.
    Text(String),
    List(Vec<Term>),
    Tuple {
        line: usize,
        items: Vec<Term>,
    },
    /// Keys and values.
    Map(Vec<(Term, Term)>),
}

/// As it would be written, on one line.
impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list(f: &mut fmt::Formatter<'_>, items: &[Term]) -> fmt::Result {
            for (at, item) in items.iter().enumerate() {
                write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
            }
            Ok(())
        }
        let escaped = |text: &str, quote: &str| {
            let escaped = text.replace('\\', "\\\\").replace(quote, &format!("\\{quote}"));
            escaped.replace('\n', "\\n")
        };
        match self {
            Self::Atom(name) => {
                let is_bare = name.starts_with(|c: char| c.is_ascii_lowercase())
                    && name
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '@'))
                    && !matches!(name.as_str(), "and" | "or" | "not");
                match is_bare {
                    true => f.write_str(name),
                    false => write!(f, "'{}'", escaped(name, "'")),
                }
            }
            Self::Number(digits) => f.write_str(digits),
            Self::Text(text) => write!(f, "\"{}\"", escaped(text, "\"")),
            Self::List(items) => {
                f.write_str("[")?;
                list(f, items)?;
                f.write_str("]")
            }
            Self::Tuple { items, .. } => {
                f.write_str("{")?;
                list(f, items)?;
                f.write_str("}")
            }
            Self::Map(entries) => {
                f.write_str("#{")?;
                for (at, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key} => {value}", if at == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Where a text is no term, and what was expected there.
#[derive(Debug, PartialEq)]
pub struct Unreadable {
    pub line: usize,
    pub expected: &'static str,
}

/// Lists, tuples and maps within each other.
const DEEPEST: usize = 64;

/// Reads the term of a file. An empty file is an empty list.
///
/// # Errors
/// At the first place that is not as it should be.
pub fn parse(text: &str) -> Result<Term, Unreadable> {
    let mut reader = Reader::of(text.trim_start_matches('\u{feff}'));
    reader.pass_blanks();
    if reader.peek().is_none() {
        return Ok(Term::List(Vec::new()));
    }
    let term = reader.term(0)?;
    reader.expect('.', "a full stop behind the term")?;
    reader.pass_blanks();
    match reader.peek() {
        None => Ok(term),
        Some(_) => Err(reader.wrong("nothing behind the full stop")),
    }
}

struct Reader<'a> {
    text: &'a str,
    letters: Peekable<CharIndices<'a>>,
    line: usize,
}

impl<'a> Reader<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            text,
            letters: text.char_indices().peekable(),
            line: 1,
        }
    }

    fn wrong(&self, expected: &'static str) -> Unreadable {
        let line = self.line;
        Unreadable { line, expected }
    }

    fn peek(&mut self) -> Option<char> {
        self.letters.peek().map(|(_, letter)| *letter)
    }

    fn next(&mut self) -> Option<char> {
        let (_, letter) = self.letters.next()?;
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    /// Takes a letter if it is the next one.
    fn take(&mut self, wanted: char) -> bool {
        let is_next = self.peek() == Some(wanted);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Takes a letter behind any blanks.
    fn expect(&mut self, wanted: char, expected: &'static str) -> Result<(), Unreadable> {
        self.pass_blanks();
        match self.take(wanted) {
            true => Ok(()),
            false => Err(self.wrong(expected)),
        }
    }

    /// Passes over white space and comments.
    fn pass_blanks(&mut self) {
        while let Some(letter) = self.peek() {
            match letter {
                '%' => while self.next().is_some_and(|letter| letter != '\n') {},
                _ if letter.is_whitespace() => {
                    self.next();
                }
                _ => return,
            }
        }
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let start = self.at();
        while self.peek().is_some_and(&belongs) {
            self.next();
        }
        let end = self.at();
        &self.text[start..end]
    }

    fn at(&mut self) -> usize {
        self.letters.peek().map_or(self.text.len(), |(at, _)| *at)
    }

    fn term(&mut self, depth: usize) -> Result<Term, Unreadable> {
        if depth == DEEPEST {
            return Err(self.wrong("terms that are nested less deeply"));
        }
        self.pass_blanks();
        let line = self.line;
        match self.peek() {
            Some('[') => Ok(Term::List(self.items(depth, ']', "',' or ']'")?)),
            Some('{') => Ok(Term::Tuple {
                line,
                items: self.items(depth, '}', "',' or '}'")?,
            }),
            Some('#') => self.map(depth),
            Some('<') => self.binary(),
            Some('"') => self.text(),
            Some('\'') => Ok(Term::Atom(self.quoted('\'')?)),
            Some('$') => self.character(),
            Some('-' | '+') => self.number(),
            Some(letter) if letter.is_ascii_digit() => self.number(),
            Some(letter) if letter.is_lowercase() => {
                let word = self.word(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '@'));
                Ok(Term::Atom(word.to_owned()))
            }
            _ => Err(self.wrong("a term")),
        }
    }

    /// What stands between brackets, which are not read yet.
    fn items(&mut self, depth: usize, end: char, expected: &'static str) -> Result<Vec<Term>, Unreadable> {
        self.next();
        let mut items = Vec::new();
        self.pass_blanks();
        if self.take(end) {
            return Ok(items);
        }
        loop {
            items.push(self.term(depth + 1)?);
            self.pass_blanks();
            if self.take(end) {
                return Ok(items);
            }
            self.expect(',', expected)?;
        }
    }

    fn map(&mut self, depth: usize) -> Result<Term, Unreadable> {
        self.next();
        self.expect('{', "'{' behind '#'")?;
        self.pass_blanks();
        let mut entries = Vec::new();
        if self.take('}') {
            return Ok(Term::Map(entries));
        }
        loop {
            let key = self.term(depth + 1)?;
            self.expect('=', "'=>'")?;
            self.expect('>', "'=>'")?;
            entries.push((key, self.term(depth + 1)?));
            self.pass_blanks();
            if self.take('}') {
                return Ok(Term::Map(entries));
            }
            self.expect(',', "',' or '}'")?;
        }
    }

    /// A binary: texts and bytes, which must make UTF-8 together.
    fn binary(&mut self) -> Result<Term, Unreadable> {
        self.next();
        self.expect('<', "'<<'")?;
        let mut bytes = Vec::new();
        self.pass_blanks();
        if !self.take('>') {
            loop {
                self.pass_blanks();
                match self.peek() {
                    Some('"') => bytes.extend(self.quoted('"')?.into_bytes()),
                    Some('$') => self.byte(Self::character, &mut bytes)?,
                    _ => self.byte(Self::number, &mut bytes)?,
                }
                if self.take('/') {
                    // The type of what it is made from: texts are UTF-8 here anyway.
                    self.word(|letter| letter.is_alphanumeric() || letter == '-');
                }
                self.pass_blanks();
                if self.take('>') {
                    break;
                }
                self.expect(',', "',' or '>>'")?;
            }
        }
        self.expect('>', "'>>'")?;
        let text = String::from_utf8(bytes);
        text.map(Term::Text).map_err(|_| self.wrong("a binary that is UTF-8"))
    }

    fn byte(&mut self, read: fn(&mut Self) -> Result<Term, Unreadable>, bytes: &mut Vec<u8>) -> Result<(), Unreadable> {
        let expected = "a text or a byte";
        let Term::Number(digits) = read(self)? else {
            return Err(self.wrong(expected));
        };
        bytes.push(digits.parse().map_err(|_| self.wrong(expected))?);
        Ok(())
    }

    /// Texts that stand one behind the other are one.
    fn text(&mut self) -> Result<Term, Unreadable> {
        let mut text = String::new();
        while self.peek() == Some('"') {
            text.push_str(&self.quoted('"')?);
            self.pass_blanks();
        }
        Ok(Term::Text(text))
    }

    fn quoted(&mut self, quote: char) -> Result<String, Unreadable> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some(letter) if letter == quote => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(letter) => text.push(letter),
                None => return Err(self.wrong("a closing quote")),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<char, Unreadable> {
        let unknown = "an escape such as \\n or \\x{1F600}";
        let letter = self.next().ok_or_else(|| self.wrong(unknown))?;
        Ok(match letter {
            'b' => '\u{8}',
            'd' => '\u{7f}',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            's' => ' ',
            't' => '\t',
            'v' => '\u{b}',
            'x' => {
                let braced = self.take('{');
                let digits = match braced {
                    true => self.word(|letter| letter.is_ascii_hexdigit()),
                    false => self.two_digits(),
                };
                let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
                let is_closed = !braced || self.take('}');
                code.filter(|_| is_closed).ok_or_else(|| self.wrong(unknown))?
            }
            '0'..='7' => {
                let mut code = letter.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.peek().and_then(|letter| letter.to_digit(8)) else {
                        break;
                    };
                    self.next();
                    code = code * 8 + digit;
                }
                char::from_u32(code).ok_or_else(|| self.wrong(unknown))?
            }
            other => other,
        })
    }

    fn two_digits(&mut self) -> &'a str {
        let start = self.at();
        for _ in 0..2 {
            if self.peek().is_some_and(|letter| letter.is_ascii_hexdigit()) {
                self.next();
            }
        }
        let end = self.at();
        &self.text[start..end]
    }

    /// `$a` is the number of the letter.
    fn character(&mut self) -> Result<Term, Unreadable> {
        self.next();
        let letter = match self.next() {
            Some('\\') => self.escape()?,
            Some(letter) => letter,
            None => return Err(self.wrong("a letter behind '$'")),
        };
        Ok(Term::Number(u32::from(letter).to_string()))
    }

    fn number(&mut self) -> Result<Term, Unreadable> {
        let expected = "a number";
        let sign = match self.peek() {
            Some('-') => "-",
            _ => "",
        };
        if matches!(self.peek(), Some('-' | '+')) {
            self.next();
        }
        let whole = self.digits(10)?;
        if self.take('#') {
            let base = whole.parse().ok().filter(|base| (2..=36).contains(base));
            let base: u32 = base.ok_or_else(|| self.wrong("a base from 2 to 36"))?;
            let digits = self.digits(base)?;
            let number = i128::from_str_radix(&digits, base).map_err(|_| self.wrong(expected))?;
            return Ok(Term::Number(format!("{sign}{number}")));
        }
        // A full stop ends the term, unless a digit follows it.
        let mut ahead = self.letters.clone();
        let is_fraction = ahead.next().is_some_and(|(_, letter)| letter == '.')
            && ahead.next().is_some_and(|(_, l)| l.is_ascii_digit());
        if !is_fraction {
            return Ok(Term::Number(format!("{sign}{whole}")));
        }
        self.next();
        let fraction = self.digits(10)?;
        let mut written = format!("{sign}{whole}.{fraction}");
        if self.take('e') || self.take('E') {
            written.push('e');
            if let Some(sign) = self.peek().filter(|letter| matches!(letter, '-' | '+')) {
                self.next();
                written.push(sign);
            }
            written.push_str(&self.digits(10)?);
            let number: f64 = written.parse().map_err(|_| self.wrong(expected))?;
            written = number.to_string();
        }
        Ok(Term::Number(written))
    }

    /// Digits, which may have `_` between them.
    fn digits(&mut self, base: u32) -> Result<String, Unreadable> {
        let word = self.word(|letter| letter.is_digit(base) || letter == '_');
        let digits = word.replace('_', "");
        match digits.is_empty() {
            false => Ok(digits),
            true => Err(self.wrong("a digit")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn atom(text: &str) -> Term {
        Term::Atom(text.to_owned())
    }

    fn number(text: &str) -> Term {
        Term::Number(text.to_owned())
    }

    fn text(text: &str) -> Term {
        Term::Text(text.to_owned())
    }

    #[test]
    fn terms_are_read_as_erlang_reads_them() {
        for (written, term) in [
            ("abc.", atom("abc")),
            ("'rabbit@host-1' .", atom("rabbit@host-1")),
            ("rabbit@host.", atom("rabbit@host")),
            ("5672.", number("5672")),
            ("-1.", number("-1")),
            ("1_000_000.", number("1000000")),
            ("16#ff.", number("255")),
            ("0.4.", number("0.4")),
            ("1.5e3.", number("1500")),
            ("$a.", number("97")),
            ("$\\n.", number("10")),
            ("\"a\\\"b\\n\\x41\\x{e9}\\101\".", text("a\"b\nA\u{e9}A")),
            ("\"one\" % and\n \"two\".", text("onetwo")),
            ("<<\"guest\">>.", text("guest")),
            ("<<\"\u{e9}\"/utf8>>.", text("\u{e9}")),
            ("<<97, $b, \"c\">>.", text("abc")),
            ("<<>>.", text("")),
            ("[].", Term::List(Vec::new())),
            ("", Term::List(Vec::new())),
            ("% nothing\n", Term::List(Vec::new())),
            (
                "#{a => 1, \"b\" => [c]}.",
                Term::Map(vec![(atom("a"), number("1")), (text("b"), Term::List(vec![atom("c")]))]),
            ),
            (
                "[a, [1], {}].",
                Term::List(vec![
                    atom("a"),
                    Term::List(vec![number("1")]),
                    Term::Tuple {
                        line: 1,
                        items: Vec::new(),
                    },
                ]),
            ),
        ] {
            assert_eq!(parse(written), Ok(term), "{written}");
        }
    }

    #[test]
    fn tuples_know_their_line() {
        let read = parse("%% first\n[\n  {rabbit, % second\n    [{heartbeat, 60}]}\n].\n").expect("a term");
        let Term::List(apps) = read else { panic!("{read:?}") };
        let Term::Tuple { line, items } = &apps[0] else {
            panic!("{apps:?}")
        };
        assert_eq!((*line, &items[0]), (3, &atom("rabbit")));
        let Term::List(settings) = &items[1] else {
            panic!("{items:?}")
        };
        assert!(matches!(settings[0], Term::Tuple { line: 4, .. }));
    }

    #[test]
    fn what_is_no_term_is_refused_with_its_line() {
        for (written, line, expected) in [
            ("[a", 1, "',' or ']'"),
            ("[\n{a, b]", 2, "',' or '}'"),
            ("[a].\n[b].", 2, "nothing behind the full stop"),
            ("[a]", 1, "a full stop behind the term"),
            ("[a,].", 1, "a term"),
            ("X.", 1, "a term"),
            ("\"a.", 1, "a closing quote"),
            ("<<300>>.", 1, "a text or a byte"),
            ("<<255>>.", 1, "a binary that is UTF-8"),
            ("1#1.", 1, "a base from 2 to 36"),
            ("-.", 1, "a digit"),
            ("#{a}.", 1, "'=>'"),
        ] {
            assert_eq!(parse(written), Err(Unreadable { line, expected }), "{written}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let deep = "[".repeat(100_000);
        assert_eq!(
            parse(&deep).expect_err("too deep").expected,
            "terms that are nested less deeply"
        );
        let fits = format!("{}{}.", "[".repeat(DEEPEST), "]".repeat(DEEPEST));
        assert!(parse(&fits).is_ok());
    }

    #[test]
    fn a_term_is_written_as_it_was_read() {
        for text in ["{'and', [a, 'B', \"c \\\"d\\\\\", {1, []}, #{x => \"y\"}]}", "'it\\'s'"] {
            let term = parse(&format!("{text}.")).expect("a term");
            assert_eq!(term.to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(any in "\\PC*", like in "[\\[\\]{}<>#$\"'\\\\x{}a1.,%=> \n]*") {
            let _ = parse(&any);
            let _ = parse(&like);
        }
    }
}
