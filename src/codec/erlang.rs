//! Terms as RabbitMQ prints them in reply texts.
//!
//! Its texts quote octets and reasons in Erlang's notation, and clients' tests compare them.

use std::fmt::Write;

/// Column at which Erlang's pretty printer begins a new line.
const LINE_WIDTH: usize = 80;

/// A binary as `~p` prints it: `<<"abc">>` when it is text, else `<<1,2,3>>`.
pub fn pretty_binary(octets: &[u8]) -> String {
    if !octets.is_empty() && octets.iter().all(|&octet| is_printable(octet)) {
        format!("<<{}>>", quoted(octets))
    } else {
        plain_binary(octets)
    }
}

/// A binary as `~w` prints it: always numbers.
pub fn plain_binary(octets: &[u8]) -> String {
    let mut text = String::with_capacity(4 + octets.len() * 4);
    text.push_str("<<");
    for (at, octet) in octets.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}{octet}");
    }
    text.push_str(">>");
    text
}

/// Text in double quotes with Erlang's escapes.
pub fn quoted(text: &[u8]) -> String {
    let mut out = String::from('"');
    for &octet in text {
        match octet {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => out.push(char::from(other)),
        }
    }
    out.push('"');
    out
}

/// A pair `{word,number}` that begins at `column`, broken over two lines when it would be too long.
pub fn pair(column: usize, word: &str, number: impl std::fmt::Display) -> String {
    let one_line = format!("{{{word},{number}}}");
    if column + one_line.len() < LINE_WIDTH {
        return one_line;
    }
    format!("{{{word},\n{:indent$}{number}}}", "", indent = column + 1)
}

fn is_printable(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\n' | b'\r' | b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_text_only_when_all_of_it_is_printable() {
        assert_eq!(pretty_binary(b""), "<<>>");
        assert_eq!(pretty_binary(b"a\"b"), "<<\"a\\\"b\">>");
        assert_eq!(pretty_binary(&[0, 60]), "<<0,60>>");
        assert_eq!(plain_binary(b"az"), "<<97,122>>");
    }

    #[test]
    fn a_pair_is_broken_at_the_line_width() {
        assert_eq!(pair(10, "word", 7), "{word,7}");
        assert_eq!(pair(78, "word", 7), format!("{{word,\n{}7}}", " ".repeat(79)));
    }
}
