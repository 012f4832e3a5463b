//! Where users are looked up: the chain of backends, and each backend's own settings.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Secret;
use crate::config::Named;
use crate::config::ldap_query::{Query, TagQuery};
use crate::types::Millis;

/// Who knows users and their rights.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthBackends {
    /// Asked in the order of their numbers; none is the catalogue alone.
    pub chain: BTreeMap<u32, ChainedBackend>,
    pub cache: AuthCache,
    pub http: AuthHttp,
    pub ldap: AuthLdap,
    pub oauth2: AuthOauth2,
}

/// A link of the chain. Where one of both is not set, it is as the other.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct ChainedBackend {
    /// Who checks what a user comes with.
    pub authn: Option<AuthBackend>,
    /// Who says what it may do.
    pub authz: Option<AuthBackend>,
}

/// The backends there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthBackend {
    Internal,
    Ldap,
    Http,
    Oauth2,
    /// Another one, whose answers are kept.
    Cache,
}

/// Answers of another backend that are kept.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthCache {
    pub backend: ChainedBackend,
    pub ttl: Millis,
    /// Refusals too.
    pub refusals: bool,
}

/// A server that is asked over HTTP.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthHttp {
    /// By POST, else by GET.
    pub post: bool,
    pub user_path: String,
    pub vhost_path: String,
    pub resource_path: String,
    pub topic_path: String,
    pub request_timeout: Millis,
    pub connection_timeout: Millis,
    pub tls: ClientTls,
}

/// A directory.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthLdap {
    /// Hosts, tried in the order of their names.
    pub servers: Named<String>,
    pub port: u16,
    /// Connections at a time.
    pub pool_size: usize,
    /// For each answer; `None` waits as long as the longest deadline of this node.
    pub timeout: Option<Millis>,
    /// How long a connection is kept for the next question.
    pub idle_timeout: Option<Millis>,
    /// What a user binds as, if that is not the distinguished name.
    pub user_bind_pattern: Option<String>,
    pub user_dn_pattern: String,
    pub dn_lookup_attribute: Option<String>,
    pub dn_lookup_base: Option<String>,
    pub dn_lookup_bind: LdapBind,
    pub other_bind: LdapBind,
    pub group_lookup_base: Option<String>,
    pub use_ssl: bool,
    pub use_starttls: bool,
    pub tls: ClientTls,
    pub vhost_access: Query,
    pub resource_access: Query,
    pub topic_access: Query,
    pub tags: Vec<TagQuery>,
}

/// Who asks a directory.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct LdapBind {
    /// Nobody, where neither a name is set; else the user itself.
    pub anonymous: bool,
    pub user_dn: Option<String>,
    pub password: Option<Secret>,
}

/// Tokens that are taken.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AuthOauth2 {
    /// This broker, as tokens name it.
    pub server: ResourceServer,
    /// Further names, by any word.
    pub servers: BTreeMap<String, ResourceServer>,
    pub verify_aud: bool,
    /// Scopes that stand for others.
    pub scope_aliases: BTreeMap<String, Vec<String>>,
    /// Who issues tokens, if no other is named.
    pub issuer: TokenIssuer,
    pub issuers: BTreeMap<String, TokenIssuer>,
    pub default_issuer: Option<String>,
}

/// What tokens are for.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ResourceServer {
    pub id: Option<String>,
    /// What stands before its scopes; else its id and a dot.
    pub scope_prefix: Option<String>,
    /// The type of `authorization_details` that are for it; none are read where there is none.
    pub kind: Option<String>,
    /// Further claims with scopes.
    pub additional_scopes_key: Option<String>,
    /// Claims with the user's name, before `sub` and `client_id`.
    pub username_claims: Named<String>,
    /// Whose tokens are taken.
    pub issuer: Option<String>,
}

/// Who signs tokens, and with what.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct TokenIssuer {
    /// Below it, the document is that says where the keys are.
    pub issuer: Option<String>,
    pub jwks_url: Option<String>,
    /// The key of tokens that name none.
    pub default_key: Option<String>,
    /// Files with public keys.
    pub signing_keys: BTreeMap<String, PathBuf>,
    /// Those that are taken; none is all that the keys allow.
    pub algorithms: Named<String>,
    /// Towards it; a named one that says nothing of it is asked as the one without a name.
    pub tls: Option<ClientTls>,
}

/// TLS towards a server.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ClientTls {
    pub cacertfile: Option<PathBuf>,
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
    pub password: Option<Secret>,
    /// The server's certificate is not checked.
    pub no_verify: bool,
}

impl AuthBackends {
    /// Who checks users and who says what they may do, in order.
    pub fn in_order(&self) -> Vec<(AuthBackend, AuthBackend)> {
        match self.chain.is_empty() {
            true => vec![(AuthBackend::Internal, AuthBackend::Internal)],
            false => self.chain.values().map(ChainedBackend::both).collect(),
        }
    }
}

impl ChainedBackend {
    /// Who checks users, and who says what they may do.
    pub fn both(&self) -> (AuthBackend, AuthBackend) {
        let any = self.authn.or(self.authz).unwrap_or(AuthBackend::Internal);
        (self.authn.unwrap_or(any), self.authz.unwrap_or(any))
    }
}
