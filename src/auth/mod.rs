//! Users and rights: passwords, tags, permissions, and what clients send to log in.

pub mod mechanism;
pub mod password;
pub mod permission;

pub use mechanism::Credentials;
pub use password::{HashAlgorithm, PasswordHash};
pub use permission::{Access, Permission, TopicPermission};
