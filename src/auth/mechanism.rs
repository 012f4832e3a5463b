//! What clients send to log in: SASL PLAIN (RFC 4616) and RabbitMQ's AMQPLAIN.

use crate::types::{FieldTable, FieldValue};

/// What a client sends to log in, not looked at.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub mechanism: String,
    pub response: Vec<u8>,
}

/// Responses hold passwords and are not printed.
impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Login")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// A user and a password as given by a client; nothing is checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub password: Vec<u8>,
}

/// Passwords are not printed.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Reads a PLAIN response: NUL, user, NUL, password. An authorisation identity is not taken, as
/// in RabbitMQ. `None` when it is malformed: the socket is closed without a word.
pub fn plain(response: &[u8]) -> Option<Credentials> {
    let (user, password) = response.strip_prefix(b"\0").and_then(|rest| {
        let at = rest.iter().position(|byte| *byte == 0)?;
        Some((&rest[..at], &rest[at + 1..]))
    })?;
    if password.contains(&0) {
        return None;
    }
    Some(Credentials {
        user: String::from_utf8(user.to_vec()).ok()?,
        password: password.to_vec(),
    })
}

/// Reads an AMQPLAIN response: a field table without its length, with LOGIN and PASSWORD. `None`
/// when it is malformed or one is missing.
pub fn amqplain(response: &[u8]) -> Option<Credentials> {
    let length = u32::try_from(response.len()).ok()?;
    let framed = [&length.to_be_bytes(), response].concat();
    let (table, _) = FieldTable::decode(&framed).ok()?;
    let user = table.get("LOGIN").and_then(FieldValue::as_str)?.to_owned();
    match table.get("PASSWORD")? {
        FieldValue::LongString(password) => Some(Credentials {
            user,
            password: password.clone(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials {
            user: user.into(),
            password: password.into(),
        })
    }

    #[test]
    fn plain_takes_user_and_password_and_nothing_else() {
        assert_eq!(plain(b"\0guest\0secret"), credentials("guest", "secret"));
        assert_eq!(plain(b"\0\0"), credentials("", ""));
        for bad in [
            &b"guest"[..],
            b"",
            b"\0guest",
            b"other\0guest\0guest",
            b"\0a\0b\0c",
            b"\0\xff\0x",
        ] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn amqplain_is_a_table_without_its_length() {
        let mut bytes = Vec::new();
        let table = FieldTable(vec![
            ("LOGIN".into(), FieldValue::text("guest")),
            ("PASSWORD".into(), FieldValue::text("secret")),
        ]);
        table.encode(&mut bytes);
        assert_eq!(amqplain(&bytes[4..]), credentials("guest", "secret"));
        assert_eq!(amqplain(b"xx"), None);
        assert_eq!(amqplain(b""), None);
    }
}
