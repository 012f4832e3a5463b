//! Somebody who wants to come in, and what a backend finds out about them.

use std::net::IpAddr;

use crate::auth::rights::Token;
use crate::types::{Timestamp, UserName};

/// Somebody who wants to come in.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    pub user: &'a str,
    /// `None` where another proof was given: a certificate.
    pub password: Option<&'a [u8]>,
    pub from: Option<IpAddr>,
    pub now: Timestamp,
}

/// What a backend found out about somebody.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub user: UserName,
    pub tags: Vec<String>,
    pub dn: Option<String>,
    pub token: Option<Token>,
}

impl Known {
    pub fn named(user: &str, tags: Vec<String>) -> Self {
        Self {
            user: user.into(),
            tags,
            dn: None,
            token: None,
        }
    }
}
