//! Users and rights: passwords, tags, permissions, what clients send to log in, and who is signed in.

pub mod attempts;
pub mod login_sessions;
pub mod mechanism;
pub mod password;
pub mod permission;

pub use mechanism::Credentials;
pub use password::{HashAlgorithm, PasswordHash};
pub use permission::{Access, Permission, TopicPermission};
