//! Who comes in: users of the catalogue and of backends elsewhere, and whether they may come into a vhost.

use std::net::IpAddr;
use std::sync::Arc;

use super::catalogue::declarations::Declarations;
use super::clock::Clock;
use crate::auth::Rights;
use crate::auth::rights::Verdict;
use crate::backends::{Admitted, Attempt, Backends};
use crate::types::{UserName, VhostName};

/// How often something is done again because a question came up.
pub const ROUNDS: usize = 8;

/// See the head of this file.
pub struct Access {
    backends: Backends,
    clock: Clock,
    declarations: Arc<Declarations>,
}

impl Access {
    /// Users are asked about at these backends.
    pub(super) fn new(backends: Backends, clock: Clock, declarations: Arc<Declarations>) -> Self {
        Self {
            backends,
            clock,
            declarations,
        }
    }

    /// Who knows users besides the catalogue.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Lets a user in that a backend knows.
    ///
    /// # Errors
    /// Why nobody does, for the log.
    pub async fn log_in(&self, user: &str, password: Option<&[u8]>, from: IpAddr) -> Result<Admitted, String> {
        let attempt = Attempt {
            user,
            password,
            from: Some(from),
            now: self.clock.now(),
        };
        self.backends
            .log_in(attempt, |user, password| self.internal_tags(user, password))
            .await
    }

    /// The tags of a user of the catalogue, if that is the password or none is asked for.
    fn internal_tags(&self, user: &str, password: Option<&[u8]>) -> Option<Vec<String>> {
        let spec = self.declarations.catalogue().user(user).map(|user| user.spec.clone())?;
        let is_right = password.is_none_or(|password| spec.password.matches(password));
        is_right.then_some(spec.tags)
    }

    /// Whether a user may come into a vhost that is there; asks whoever has to be asked.
    pub async fn may_enter(&self, user: &UserName, rights: &Rights, vhost: &VhostName) -> bool {
        let has_permission = || {
            let catalogue = self.declarations.catalogue();
            let vhost = catalogue.vhost(vhost);
            vhost.is_some_and(|vhost| vhost.permissions.contains_key(user))
        };
        let Rights::Granted(granted) = rights else {
            return rights.is_operator() || has_permission();
        };
        granted.pass_time(self.clock.now());
        for _ in 0..ROUNDS {
            match granted.enters(vhost, has_permission) {
                Verdict::Allowed => return true,
                Verdict::Refused => return false,
                Verdict::Failed(why) => {
                    tracing::error!(%user, %vhost, "access to a vhost refused: {why}");
                    return false;
                }
                Verdict::Unknown => self.find_answers(rights).await,
            };
        }
        false
    }

    /// Has questions answered that came up when somebody acted. Whether there were any: then it is done again.
    pub async fn find_answers(&self, rights: &Rights) -> bool {
        match rights {
            Rights::Granted(granted) => self.backends.answer_all(granted, self.clock.now()).await,
            Rights::Internal | Rights::Operator => false,
        }
    }
}
