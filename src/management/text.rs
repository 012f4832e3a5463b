//! Texts: escaping in URLs, names in paths, and values as RabbitMQ prints them in reasons.

use std::fmt::Write;

/// Decodes a form-encoded text: `+` is a space. What is malformed stays as it is.
pub fn unquoted(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = || {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            u8::from_str_radix(digits, 16).ok()
        };
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escaped() {
                Some(value) => {
                    out.push(value);
                    rest = &after[2..];
                }
                None => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes a text so that nothing but letters, digits, `-`, `_` and `.` stays; a space is `+`.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(byte.into()),
            b' ' => out.push('+'),
            other => {
                // Writing to a text cannot fail.
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

/// A text as one segment of an address.
pub fn encoded(text: &str) -> String {
    quoted(text).replace('+', "%20")
}

/// The exchange of a path: the default one has a name there.
pub fn exchange_name(name: &str) -> &str {
    if name == "amq.default" { "" } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_undone_by_unquoting() {
        for text in ["order.#", "a~b/c d", "", "ü+%", "copy.*"] {
            assert_eq!(unquoted(&quoted(text)), text);
        }
        assert_eq!(quoted("a~b/c d"), "a%7Eb%2Fc+d");
        assert_eq!(quoted("copy.*"), "copy.%2A");
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unquoted("%zz%4"), "%zz%4");
        assert_eq!(unquoted("%41"), "A");
    }
}
