//! What the properties of a publish have to say: whether it is taken, where else it goes, and how they are passed on.

use thiserror::Error;

use super::reply_to::{PSEUDO_QUEUE, Token};
use crate::codec::properties::{Edit, Edits, rewrite_properties};
use crate::codec::{PropertyError, PropertyScan, headers};
use crate::declare::DeclareError;
use crate::types::{FieldTable, FieldValue, Refusal, Reply, ReplyCode, UserName};

/// Why a message is not taken.
#[derive(Debug, Error)]
pub enum PublishError {
    #[error("immediate=true")]
    Immediate,
    #[error(transparent)]
    Exchange(#[from] DeclareError),
    #[error(transparent)]
    Properties(#[from] PropertyError),
    #[error("user_id property set to '{given}' but authenticated user was '{user}'")]
    UserId { given: String, user: UserName },
    #[error("invalid message: {{unacceptable_type_in_header,\"{header}\",{type_name}}}")]
    CopyHeader {
        header: &'static str,
        type_name: &'static str,
    },
}

impl Refusal for PublishError {
    fn reply(&self) -> Reply {
        match self {
            Self::Immediate => Reply::connection(ReplyCode::NotImplemented, self.to_string()),
            Self::Exchange(error) => error.reply(),
            Self::Properties(error) => error.reply(),
            Self::UserId { .. } | Self::CopyHeader { .. } => {
                Reply::channel(ReplyCode::PreconditionFailed, self.to_string())
            }
        }
    }
}

/// A message says who published it, truthfully unless the user may say what they like.
///
/// # Errors
/// When it does not.
pub fn check_user_id(user: &UserName, is_impersonator: bool, scan: &PropertyScan<'_>) -> Result<(), PublishError> {
    match scan.user_id {
        Some(given) if given != user.as_bytes() && !is_impersonator => Err(PublishError::UserId {
            given: String::from_utf8_lossy(given).into_owned(),
            user: user.clone(),
        }),
        _ => Ok(()),
    }
}

/// The further routing keys of a message.
#[derive(Default)]
pub struct Copies {
    pub keys: Vec<Vec<u8>>,
    has_bcc: bool,
}

impl Copies {
    /// Those that headers name.
    ///
    /// # Errors
    /// When a header that names copies is no list.
    pub fn of(table: &[u8]) -> Result<Self, PublishError> {
        let mut copies = Self::default();
        for header in ["CC", "BCC"] {
            let Some(value) = headers::find(table, header) else {
                continue;
            };
            let FieldValue::Array(keys) = value else {
                return Err(PublishError::CopyHeader {
                    header,
                    type_name: value.type_name(),
                });
            };
            copies.has_bcc |= header == "BCC";
            copies.keys.extend(keys.into_iter().filter_map(|key| match key {
                FieldValue::LongString(key) => Some(key),
                _ => None,
            }));
        }
        Ok(copies)
    }
}

/// The routing keys that a message of these properties is routed by: its own, and those that it is
/// copied to.
///
/// # Errors
/// When a header that names copies is no list.
pub fn routing_keys(own: &[u8], properties: &PropertyScan<'_>) -> Result<Vec<Vec<u8>>, PublishError> {
    let copies = properties.headers.map(Copies::of).transpose()?.unwrap_or_default();
    Ok([vec![own.to_vec()], copies.keys].concat())
}

/// Properties that are passed on otherwise than they came: without BCC, with the expiration as a
/// plain number, with the reply queue's own name. None where they are passed on as they are.
///
/// # Errors
/// When they cannot be read, or name a reply queue that the channel does not consume from.
pub fn edit(
    scan: &PropertyScan<'_>,
    properties: &[u8],
    copies: &Copies,
    reply_token: Option<Token>,
) -> Result<Option<Vec<u8>>, PublishError> {
    let expiration = scan
        .expiration
        .filter(|expiration| !expiration.is_canonical)
        .map(|expiration| expiration.ttl.to_string());
    let reply_to = match scan.reply_to {
        Some(name) if name == PSEUDO_QUEUE.as_bytes() => {
            let token = reply_token.ok_or(DeclareError::NoReplyConsumer)?;
            Some(token.to_string())
        }
        _ => None,
    };
    if expiration.is_none() && reply_to.is_none() && !copies.has_bcc {
        return Ok(None);
    }
    let mut table = scan
        .headers
        .and_then(|raw| FieldTable::decode(raw).ok())
        .map(|(table, _)| table);
    if let Some(table) = &mut table {
        table.0.retain(|(name, _)| name != "BCC");
    }
    let set = |text: &Option<String>| match text {
        Some(text) => Edit::Set(text.clone().into_bytes()),
        None => Edit::Keep,
    };
    let (expiration, reply_to) = (set(&expiration), set(&reply_to));
    let edits = Edits {
        headers: match &table {
            Some(table) if copies.has_bcc => Edit::Set(table),
            _ => Edit::Keep,
        },
        expiration: as_slice(&expiration),
        reply_to: as_slice(&reply_to),
        ..Edits::default()
    };
    Ok(Some(rewrite_properties(properties, &edits)?))
}

fn as_slice(edit: &Edit<Vec<u8>>) -> Edit<&[u8]> {
    match edit {
        Edit::Keep => Edit::Keep,
        Edit::Remove => Edit::Remove,
        Edit::Set(bytes) => Edit::Set(bytes),
    }
}
