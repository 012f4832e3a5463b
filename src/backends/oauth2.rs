//! Tokens (`auth_oauth2.*`): JSON Web Tokens that an issuer has signed, in the place of a password.
//!
//! What is checked: the signature, with a key of the issuer's of the kind that the token says it is (keys that both sides
//! share are not taken), that it has not expired, and that it is for this broker. The user's name stands in it.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::attempt::{Attempt, Known};
use super::error::BackendError;
use super::web::Web;
use crate::auth::authorization_details;
use crate::auth::rights::Token;
use crate::auth::scopes::Scopes;
use crate::config::{AuthOauth2, ClientTls, ResourceServer, TokenIssuer};
use crate::types::Timestamp;
use crate::{small_file, tls_client};

/// How long an issuer has to give its keys.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two requests for keys that are not known.
const REST: Duration = Duration::from_secs(2);
/// After that keys are asked for again: one may have been taken back.
const FRESH: Duration = Duration::from_secs(3600);
/// The longest token, in bytes.
const MOST: usize = 64 * 1024;
/// The largest file with a key, in bytes.
const MOST_OF_A_KEY: u64 = 64 * 1024;

/// Those whose tokens are taken.
#[derive(Debug)]
pub(super) struct Oauth2 {
    config: AuthOauth2,
    /// The one that has no name is for those who name none.
    issuers: HashMap<Option<String>, Issuer>,
}

struct Issuer {
    config: TokenIssuer,
    algorithms: Vec<Algorithm>,
    files: HashMap<String, Key>,
    web: Web,
    fetched: tokio::sync::Mutex<Fetched>,
}

/// A key, and the signatures it can check.
#[derive(Clone)]
struct Key {
    key: DecodingKey,
    algorithms: &'static [Algorithm],
}

/// Keys from a URL.
#[derive(Default)]
struct Fetched {
    keys: HashMap<String, Key>,
    at: Option<Instant>,
}

const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const EC: &[Algorithm] = &[Algorithm::ES256, Algorithm::ES384];
const ED: &[Algorithm] = &[Algorithm::EdDSA];

type Claims = Map<String, Value>;

impl Oauth2 {
    pub(super) fn of(config: &AuthOauth2) -> Result<Self, BackendError> {
        let has_id = config.server.id.is_some() || config.servers.values().any(|server| server.id.is_some());
        if !has_id {
            return Err(BackendError::Incomplete("oauth2", "auth_oauth2.resource_server_id"));
        }
        let mut issuers = HashMap::new();
        let for_all = config.issuer.tls.clone().unwrap_or_default();
        issuers.insert(None, Issuer::of("auth_oauth2", &config.issuer, &for_all)?);
        for (name, issuer) in &config.issuers {
            let tls = issuer.tls.as_ref().unwrap_or(&for_all);
            let prefix = format!("auth_oauth2.oauth_providers.{name}");
            issuers.insert(Some(name.clone()), Issuer::of(&prefix, issuer, tls)?);
        }
        let servers = config.servers.values().chain([&config.server]);
        let named = servers.filter_map(|server| server.issuer.as_ref());
        if let Some(unknown) = named
            .chain(&config.default_issuer)
            .find(|name| !config.issuers.contains_key(*name))
        {
            return Err(BackendError::NoIssuer(unknown.clone()));
        }
        Ok(Self {
            config: config.clone(),
            issuers,
        })
    }

    /// Reads the token that came in the place of a password.
    pub(super) async fn log_in(&self, attempt: Attempt<'_>) -> Result<Known, String> {
        let token = attempt.password.ok_or("no token was given")?;
        let token = std::str::from_utf8(token).map_err(|_| "what was given is no token")?;
        if token.len() > MOST {
            return Err("the token is too long".to_owned());
        }
        let unchecked = unchecked(token).ok_or("what was given is no token")?;
        let server = self.server_of(&unchecked)?;
        let issuer = server.issuer.as_ref().or(self.config.default_issuer.as_ref());
        let issuer = self
            .issuers
            .get(&issuer.cloned())
            .ok_or("nobody is known to issue such tokens")?;
        let claims = issuer.check(token).await?;
        let expires_at = claims.get("exp").and_then(Value::as_f64);
        let expires_at = expires_at.map(|seconds| Timestamp((seconds.max(0.0) * 1000.0) as u64));
        if let Some(end) = expires_at.filter(|end| *end <= attempt.now) {
            return Err(format!("the token has expired at {} (Unix time)", end.0 / 1000));
        }
        let scopes = scopes(server, &self.config, &claims);
        let scopes = Scopes::of(scopes.iter().map(String::as_str));
        Ok(Known {
            user: user_name(server, &claims).into(),
            tags: scopes.tags().to_vec(),
            dn: None,
            token: Some(Token { scopes, expires_at }),
        })
    }

    /// What the token is for: it has to be one of the names of this broker.
    fn server_of(&self, claims: &Claims) -> Result<&ResourceServer, String> {
        let servers = self.config.servers.values().chain([&self.config.server]);
        let mut servers = servers.filter(|server| server.id.is_some());
        if !self.config.verify_aud {
            let first = servers.next();
            return first.ok_or_else(|| "this broker has no name as an audience".to_owned());
        }
        let audience = words(claims.get("aud"));
        let named = servers.find(|server| server.id.as_ref().is_some_and(|id| audience.contains(id)));
        named.ok_or_else(|| format!("the token is for another audience: {audience:?}"))
    }
}

impl Issuer {
    /// The one whose keys of the configuration begin so.
    fn of(prefix: &str, config: &TokenIssuer, tls: &ClientTls) -> Result<Self, BackendError> {
        let mut files = HashMap::new();
        for (name, path) in &config.signing_keys {
            let failed = |reason: String| BackendError::Key {
                key: format!("{prefix}.signing_keys.{name}"),
                path: path.clone(),
                reason,
            };
            let text =
                small_file::read(path, MOST_OF_A_KEY).map_err(|error| failed(format!("cannot be read ({error})")))?;
            let text = text.ok_or_else(|| failed("there is no file".to_owned()))?;
            let key = Key::of_pem(&text).ok_or_else(|| failed("there is no public key in PEM".to_owned()))?;
            files.insert(name.clone(), key);
        }
        let algorithms = config.algorithms.values().filter_map(|name| name.parse().ok());
        Ok(Self {
            algorithms: algorithms.collect(),
            files,
            web: Web {
                tls: tls_client::client(&format!("{prefix}.https"), tls)?,
                connecting: PATIENCE,
                answering: PATIENCE,
            },
            fetched: Default::default(),
            config: config.clone(),
        })
    }

    /// What a token says, if the signature is right.
    async fn check(&self, token: &str) -> Result<Claims, String> {
        let header = decode_header(token).map_err(|error| format!("the token cannot be read: {error}"))?;
        let name = header.kid.or_else(|| self.config.default_key.clone());
        let name = name.ok_or("the token names no key, and there is no auth_oauth2.default_key")?;
        let key = self.key(&name).await?;
        let is_allowed = self.algorithms.is_empty() || self.algorithms.contains(&header.alg);
        if !is_allowed || !key.algorithms.contains(&header.alg) {
            return Err(format!(
                "signatures by {:?} are not taken from the key '{name}'",
                header.alg
            ));
        }
        // What else is to be checked is checked by us, as RabbitMQ does it.
        let mut validation = Validation::new(header.alg);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let token = decode::<Claims>(token, &key.key, &validation);
        Ok(token.map_err(|error| format!("the token is not good: {error}"))?.claims)
    }

    async fn key(&self, name: &str) -> Result<Key, String> {
        if let Some(key) = self.files.get(name) {
            return Ok(key.clone());
        }
        // Others wait for the same keys.
        let mut fetched = self.fetched.lock().await;
        let age = fetched.at.map(|at| at.elapsed());
        let known = fetched.keys.get(name).cloned();
        if let Some(key) = known.clone().filter(|_| age.is_some_and(|age| age < FRESH)) {
            return Ok(key);
        }
        if age.is_none_or(|age| age >= REST) {
            fetched.at = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => fetched.keys = keys,
                Err(why) if known.is_some() => {
                    tracing::warn!("an issuer of tokens does not give its keys, the old ones stay: {why}");
                }
                Err(why) => return Err(why),
            }
        }
        let key = fetched.keys.get(name).cloned();
        key.ok_or_else(|| format!("the key '{name}' is not known"))
    }

    async fn fetch(&self) -> Result<HashMap<String, Key>, String> {
        let url = match (&self.config.jwks_url, &self.config.issuer) {
            (Some(url), _) => url.clone(),
            (None, Some(issuer)) => {
                let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let document: Value = self.json(&place).await?;
                let url = document.get("jwks_uri").and_then(Value::as_str);
                url.ok_or_else(|| format!("{place} names no jwks_uri"))?.to_owned()
            }
            (None, None) => return Ok(HashMap::new()),
        };
        let set: JwkSet = self.json(&url).await?;
        let keys = set
            .keys
            .iter()
            .filter_map(|jwk| Some((jwk.common.key_id.clone()?, Key::of_jwk(jwk)?)));
        Ok(keys.collect())
    }

    async fn json<T: serde::de::DeserializeOwned>(&self, url: &str) -> Result<T, String> {
        match self.web.get(url).await? {
            (200, body) => serde_json::from_slice(&body).map_err(|error| format!("{url} gave no such JSON: {error}")),
            (status, _) => Err(format!("{url} answered with the status {status}")),
        }
    }
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Key {
    fn of_pem(text: &[u8]) -> Option<Self> {
        let rsa = DecodingKey::from_rsa_pem(text).map(|key| (key, RSA));
        let key = rsa
            .or_else(|_| DecodingKey::from_ec_pem(text).map(|key| (key, EC)))
            .or_else(|_| DecodingKey::from_ed_pem(text).map(|key| (key, ED)));
        key.ok().map(|(key, algorithms)| Self { key, algorithms })
    }

    /// A key that both sides share is none here: whoever knows it could sign.
    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(_) => EC,
            AlgorithmParameters::OctetKeyPair(_) => ED,
            AlgorithmParameters::OctetKey(_) => return None,
        };
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { key, algorithms })
    }
}

/// What a token says of itself; nothing is checked.
fn unchecked(token: &str) -> Option<Claims> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&claims).ok()
}

/// The first claim there is that has a name.
fn user_name(server: &ResourceServer, claims: &Claims) -> String {
    let named = server.username_claims.values().map(String::as_str);
    let mut names = named
        .chain(["sub", "client_id"])
        .filter_map(|claim| match claims.get(claim)? {
            Value::String(name) => Some(name.clone()),
            Value::Array(names) => names.first().and_then(Value::as_str).map(str::to_owned),
            _ => None,
        });
    names.next().unwrap_or_else(|| "unknown".to_owned())
}

/// The scopes that are for this broker, without their prefix.
fn scopes(server: &ResourceServer, config: &AuthOauth2, claims: &Claims) -> Vec<String> {
    let mut all = words(claims.get("scope"));
    let id = server.id.as_deref().unwrap_or_default();
    // Of requesting party tokens.
    let permissions = claims.get("authorization").and_then(|part| part.get("permissions"));
    for permission in permissions.and_then(Value::as_array).into_iter().flatten() {
        all.extend(words(permission.get("scopes")));
    }
    for name in server
        .additional_scopes_key
        .iter()
        .flat_map(|key| key.split_whitespace())
    {
        let path = name.split('.').try_fold(None, |at: Option<&Value>, part| {
            let next = at.map_or_else(|| claims.get(part), |at| at.get(part));
            next.map(Some)
        });
        let value = claims.get(name).or(path.flatten());
        all.extend(match value {
            Some(Value::Object(servers)) => match servers.get(id) {
                Some(Value::Array(scopes)) => scopes
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|scope| format!("{id}.{scope}"))
                    .collect(),
                other => words(other),
            },
            other => words(other),
        });
    }
    let aliases = all.iter().filter_map(|scope| config.scope_aliases.get(scope));
    let meant: Vec<_> = aliases.flatten().cloned().collect();
    all.extend(meant);
    let prefix = match &server.scope_prefix {
        Some(prefix) => prefix.clone(),
        None => format!("{id}."),
    };
    let own = all.iter().filter_map(|scope| scope.strip_prefix(prefix.as_str()));
    let mut own: Vec<_> = own.map(str::to_owned).collect();
    if let (Some(kind), Some(details)) = (&server.kind, claims.get("authorization_details")) {
        own.extend(authorization_details::scopes(details, kind, id));
    }
    own
}

/// The words of a claim: a list, or a text with spaces between them.
fn words(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => text.split_whitespace().map(str::to_owned).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    fn server() -> ResourceServer {
        ResourceServer {
            id: Some("rabbitmq".to_owned()),
            ..ResourceServer::default()
        }
    }

    #[test]
    fn scopes_come_from_several_claims_and_lose_their_prefix() {
        let mut config = AuthOauth2::default();
        config
            .scope_aliases
            .insert("admin".to_owned(), vec!["rabbitmq.tag:administrator".to_owned()]);
        let server = ResourceServer {
            additional_scopes_key: Some("roles realm.roles".to_owned()),
            ..server()
        };
        let claims = claims(json!({
            "scope": "rabbitmq.read:*/* other.write:*/* admin",
            "authorization": {"permissions": [{"scopes": ["rabbitmq.write:a/b"]}]},
            "roles": {"rabbitmq": ["configure:c/d"]},
            "realm": {"roles": "rabbitmq.read:e/f"},
        }));
        assert_eq!(
            scopes(&server, &config, &claims),
            [
                "read:*/*",
                "write:a/b",
                "configure:c/d",
                "read:e/f",
                "tag:administrator"
            ]
        );
        let server = ResourceServer {
            scope_prefix: Some(String::new()),
            ..server
        };
        assert!(scopes(&server, &config, &claims).contains(&"rabbitmq.read:*/*".to_owned()));
    }

    #[test]
    fn the_users_name_is_in_the_first_claim_there_is() {
        let all = claims(json!({"sub": "s", "client_id": "c", "mail": ["m", "n"]}));
        let mut server = server();
        assert_eq!(user_name(&server, &all), "s");
        server.username_claims.set("1", "none".to_owned());
        server.username_claims.set("2", "mail".to_owned());
        assert_eq!(user_name(&server, &all), "m");
        assert_eq!(user_name(&server, &Claims::new()), "unknown");
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", "a", "a.b", "a.b.c", "a.e30.c", "..."] {
            let _ = unchecked(text);
        }
        assert_eq!(unchecked("a.e30.c"), Some(Claims::new()));
        assert_eq!(unchecked("a.!.c"), None);
    }
}
