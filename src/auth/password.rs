//! RabbitMQ's salted password hashes: base64 of 4 bytes of salt and the hash of salt and password
//! (RabbitMQ, "Passwords").

use md5::Md5;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use thiserror::Error;

use crate::types::base64;

const SALT_BYTES: usize = 4;

/// How a password was hashed, by the names of definitions files.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum HashAlgorithm {
    #[default]
    #[serde(rename = "rabbit_password_hashing_sha256")]
    Sha256,
    #[serde(rename = "rabbit_password_hashing_sha512")]
    Sha512,
    /// Of users that come from RabbitMQ before 3.6.
    #[serde(rename = "rabbit_password_hashing_md5")]
    Md5,
}

/// A stored password. The empty hash lets nobody in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PasswordHash {
    pub algorithm: HashAlgorithm,
    /// Salt and hash; empty for a user without a password.
    #[serde(with = "base64::in_json")]
    bytes: Vec<u8>,
}

/// The text is not base64.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a password hash")]
pub struct BadHash;

impl PasswordHash {
    /// Hashes a password with a salt that the caller drew by chance.
    pub fn new(algorithm: HashAlgorithm, salt: [u8; SALT_BYTES], password: &[u8]) -> Self {
        let mut bytes = salt.to_vec();
        bytes.extend(algorithm.digest(&salt, password));
        Self { algorithm, bytes }
    }

    /// Reads the text of a definitions file; an empty one is a user without a password. As with
    /// RabbitMQ a hash of another length is taken, and lets nobody in.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn from_base64(algorithm: HashAlgorithm, text: &str) -> Result<Self, BadHash> {
        let bytes = base64::decode(text).ok_or(BadHash)?;
        Ok(Self { algorithm, bytes })
    }

    /// The text of a definitions file.
    pub fn to_base64(&self) -> String {
        base64::encode(&self.bytes)
    }

    /// Whether that is the password. An empty password never is.
    pub fn matches(&self, password: &[u8]) -> bool {
        let Some((salt, hash)) = self.bytes.split_first_chunk::<SALT_BYTES>() else {
            return false;
        };
        let given = self.algorithm.digest(salt, password);
        // Every byte is compared, so that the time taken says nothing of the hash.
        let differing = given.iter().zip(hash).fold(0, |all, (a, b)| all | (a ^ b));
        !password.is_empty() && given.len() == hash.len() && differing == 0
    }
}

impl HashAlgorithm {
    /// The algorithm of that name in definitions files.
    pub fn named(name: &str) -> Option<Self> {
        serde_json::from_value(name.into()).ok()
    }

    fn digest(self, salt: &[u8], password: &[u8]) -> Vec<u8> {
        fn of<D: Digest>(salt: &[u8], password: &[u8]) -> Vec<u8> {
            D::new().chain_update(salt).chain_update(password).finalize().to_vec()
        }
        match self {
            Self::Sha256 => of::<Sha256>(salt, password),
            Self::Sha512 => of::<Sha512>(salt, password),
            Self::Md5 => of::<Md5>(salt, password),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_made_by_rabbitmqs_rule_matches_its_password() {
        // The worked example of RabbitMQ's documentation: salt 908DC60A, password test12.
        let text = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha256, text).expect("a salted SHA-256 hash");
        assert!(hash.matches(b"test12"));
        assert!(!hash.matches(b"test13"));
        assert_eq!(
            PasswordHash::new(HashAlgorithm::Sha256, [0x90, 0x8D, 0xC6, 0x0A], b"test12"),
            hash
        );
        assert_eq!(hash.to_base64(), text);
    }

    #[test]
    fn the_empty_hash_and_the_empty_password_let_nobody_in() {
        assert!(!PasswordHash::default().matches(b""));
        assert!(!PasswordHash::new(HashAlgorithm::Sha512, [1; 4], b"").matches(b""));
        assert!(PasswordHash::new(HashAlgorithm::Sha512, [1; 4], b"x").matches(b"x"));
    }

    #[test]
    fn a_hash_of_the_wrong_length_lets_nobody_in() {
        let text = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::from_base64(HashAlgorithm::Sha512, text).expect("base64");
        assert!(!hash.matches(b"test12"));
        let short = PasswordHash::from_base64(HashAlgorithm::Sha256, "AAAA").expect("base64");
        assert!(!short.matches(b""));
        assert_eq!(PasswordHash::from_base64(HashAlgorithm::Sha512, "%"), Err(BadHash));
    }

    #[test]
    fn hashes_of_old_users_are_md5() {
        let text = "AQIDBJR91gt1SAWTmvD+VzA7MFU=\n";
        let hash = PasswordHash::from_base64(HashAlgorithm::Md5, text).expect("a salted MD5 hash");
        assert!(hash.matches(b"pw"));
        assert!(!hash.matches(b"other"));
        assert_eq!(PasswordHash::new(HashAlgorithm::Md5, [1, 2, 3, 4], b"pw"), hash);
        assert_eq!(hash.to_base64(), text.trim_end());
    }

    #[test]
    fn definitions_name_the_algorithm() {
        assert_eq!(
            HashAlgorithm::named("rabbit_password_hashing_md5"),
            Some(HashAlgorithm::Md5)
        );
        assert_eq!(HashAlgorithm::named("md5"), None);
        let hash = PasswordHash::new(HashAlgorithm::Sha512, [1; 4], b"x");
        let json = serde_json::to_string(&hash).expect("plain data");
        assert!(json.contains("rabbit_password_hashing_sha512"));
        assert_eq!(serde_json::from_str::<PasswordHash>(&json).expect("just written"), hash);
    }
}
