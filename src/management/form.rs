//! Forms that a browser or `curl -F` uploads (RFC 7578): the parts of a body by their names.

/// The parts of a form.
#[derive(Debug, PartialEq, Eq)]
pub struct Form<'a>(Vec<(String, &'a [u8])>);

/// Parts that are read; no form of ours has more.
const MOST_PARTS: usize = 64;

impl<'a> Form<'a> {
    /// Reads a body. `None` when the type names no boundary or the body does not keep to it.
    pub fn read(content_type: &str, body: &'a [u8]) -> Option<Self> {
        let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty())?;
        // The first boundary stands alone on its line, the others end the part before them.
        let first = format!("--{boundary}");
        let between = format!("\r\n{first}");
        let mut rest = match body.strip_prefix(first.as_bytes()) {
            Some(rest) => rest,
            None => split_at(body, between.as_bytes())?.1,
        };
        let mut parts = Vec::new();
        while !rest.starts_with(b"--") {
            if parts.len() == MOST_PARTS {
                return None;
            }
            let (_, part) = split_at(rest, b"\r\n")?;
            let (part, behind) = split_at(part, between.as_bytes())?;
            let (head, content) = match part.strip_prefix(b"\r\n") {
                Some(content) => (&part[..0], content),
                None => split_at(part, b"\r\n\r\n")?,
            };
            if let Some(name) = name(std::str::from_utf8(head).ok()?) {
                parts.push((name, content));
            }
            rest = behind;
        }
        Some(Self(parts))
    }

    /// The content of the first part of that name.
    pub fn part(&self, name: &str) -> Option<&'a [u8]> {
        let mut parts = self.0.iter();
        parts.find(|(own, _)| own == name).map(|(_, content)| *content)
    }
}

/// What stands before the first `mark`, and what behind it.
fn split_at<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(mark.len()).position(|window| window == mark)?;
    Some((&bytes[..at], &bytes[at + mark.len()..]))
}

/// The name that the head of a part gives it.
fn name(head: &str) -> Option<String> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) = lines.find(|(key, _)| key.trim().eq_ignore_ascii_case("content-disposition"))?;
    parameter(disposition, "name")
}

/// A parameter of a header's value: `; key=value` or `; key="value"`.
fn parameter(value: &str, key: &str) -> Option<String> {
    let mut rest = value.split_once(';')?.1;
    loop {
        let (own, behind) = rest.split_once('=')?;
        let (text, after) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let (text, after) = quoted.split_once('"')?;
                (text, after.split_once(';').map_or("", |(_, after)| after))
            }
            None => behind.split_once(';').unwrap_or((behind, "")),
        };
        if own.trim().eq_ignore_ascii_case(key) {
            return Some(text.trim().to_owned());
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    #[test]
    fn parts_are_found_by_their_names() {
        let body = b"--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a;b.json\"\r\n\
            Content-Type: application/json\r\n\r\n{\"a\":\r\n1}\r\n--XX\r\n\
            content-disposition: form-data; filename=x; name=redirect\r\n\r\n\r\n--XX--\r\n";
        let form = Form::read(TYPE, body).expect("a form");
        assert_eq!(form.part("file"), Some(&b"{\"a\":\r\n1}"[..]));
        assert_eq!(form.part("redirect"), Some(&b""[..]));
        assert_eq!(form.part("other"), None);
        let quoted = Form::read("multipart/form-data; charset=utf-8; boundary=\"XX\"", body);
        assert_eq!(quoted, Some(form));
    }

    #[test]
    fn what_stands_before_the_first_boundary_is_passed_over() {
        let body = b"for people\r\n--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XX--";
        assert_eq!(Form::read(TYPE, body).expect("a form").part("a"), Some(&b"1"[..]));
    }

    #[test]
    fn what_is_no_form_is_none() {
        for (content_type, body) in [
            ("multipart/form-data", &b"--XX--"[..]),
            ("multipart/form-data; boundary=", b"----"),
            (TYPE, b"zz"),
            (TYPE, b""),
            (TYPE, b"--XX"),
            (
                TYPE,
                b"--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nnever ends",
            ),
            (TYPE, b"--XX\r\nno head\r\n--XX--"),
        ] {
            assert_eq!(Form::read(content_type, body), None, "{content_type} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(content_type in "\\PC*", body in any::<Vec<u8>>()) {
            let _ = Form::read(&content_type, &body);
            let _ = Form::read(TYPE, &[b"--XX\r\n", &body[..], b"\r\n--XX--"].concat());
        }
    }
}
