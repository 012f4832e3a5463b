//! Users and rights: passwords, tags, permissions, what clients send to log in, who is signed in, and what tokens
//! and backends elsewhere grant.

pub mod attempts;
pub mod authorization_details;
pub mod login_sessions;
pub mod mechanism;
pub mod password;
pub mod permission;
pub mod question;
pub mod rights;
pub mod scopes;

pub use mechanism::{Credentials, Login};
pub use password::{HashAlgorithm, PasswordHash};
pub use permission::{Access, Permission, TopicPermission};
pub use rights::Rights;
