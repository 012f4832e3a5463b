//! Users: their passwords and tags.

use serde_json::{Value, json};

use super::answer::{Answer, Answered, Failure};
use super::call::Call;
use super::fields::{Fields, checked_name};
use super::list;
use super::permissions;
use super::route::{Access, Route};
use super::views;
use crate::auth::{HashAlgorithm, PasswordHash};
use crate::config::{Auth, PasswordCheck, PasswordHashing};
use crate::metadata::definitions;
use crate::metadata::{Catalogue, Command, User, UserSpec};
use crate::pattern::Pattern;
use crate::types::UserName;

/// What can be asked of users.
pub static ROUTES: &[Route] = &[
    Route::get("/whoami", Access::Management, "The user who asks.", |call| {
        Ok(Answer::Json(json!({
            "name": call.caller.name,
            "tags": call.caller.tags,
            "is_internal_user": call.caller.rights.granted().is_none(),
        })))
    }),
    Route::get("/users", Access::Administrator, "All users.", |call| {
        list(call, |_, _| true)
    }),
    Route::get(
        "/users/without-permissions",
        Access::Administrator,
        "Users who may use no vhost.",
        |call| list(call, |catalogue, user| !has_permission(catalogue, user)),
    ),
    Route::post(
        "/users/bulk-delete",
        Access::Administrator,
        "Deletes the users of a list: {\"users\": [\"a\", \"b\"]}.",
        |call| Box::pin(bulk_delete(call)),
    ),
    Route::get("/users/{user}", Access::Administrator, "A user.", |call| {
        with_user(call, definitions::user)
    }),
    Route::put(
        "/users/{user}",
        Access::Administrator,
        "Makes a user or changes it: tags, and password or password_hash with hashing_algorithm.",
        |call| Box::pin(put(call)),
    ),
    Route::delete("/users/{user}", Access::Administrator, "Deletes a user.", |call| {
        Box::pin(delete(call))
    }),
    Route::get(
        "/users/{user}/permissions",
        Access::Administrator,
        "A user's permissions.",
        |call| permissions_of(call, permissions::of_user),
    ),
    Route::get(
        "/users/{user}/topic-permissions",
        Access::Administrator,
        "A user's topic permissions.",
        |call| permissions_of(call, permissions::topics_of_user),
    )
    .plain(),
    Route::get(
        "/auth/hash_password/{password}",
        Access::Administrator,
        "The hash of a password, as users have it.",
        |call| {
            let hash = hashed(&call.broker.config().auth, call.name("password"));
            Ok(Answer::Json(json!({"ok": hash.to_base64()})))
        },
    ),
];

fn list(call: &Call, wanted: fn(&Catalogue, &User) -> bool) -> Answered {
    let catalogue = call.broker.catalogue();
    let users = catalogue
        .users()
        .filter(|user| wanted(&catalogue, user))
        .map(definitions::user);
    list::listing(call, users.collect(), &["name"])
}

fn has_permission(catalogue: &Catalogue, user: &User) -> bool {
    catalogue
        .vhosts()
        .any(|vhost| vhost.permissions.contains_key(&user.spec.name))
}

fn with_user(call: &Call, view: fn(&User) -> Value) -> Answered {
    let catalogue = call.broker.catalogue();
    let user = catalogue.user(call.name("user")).ok_or(Failure::NotFound)?;
    Ok(Answer::Json(view(user)))
}

fn permissions_of(call: &Call, list: fn(&Catalogue, &UserName) -> Vec<Value>) -> Answered {
    let catalogue = call.broker.catalogue();
    let user = catalogue.user(call.name("user")).ok_or(Failure::NotFound)?;
    Ok(Answer::Json(list(&catalogue, &user.spec.name).into()))
}

async fn put(call: Call) -> Answered {
    let fields = call.fields()?;
    let name = checked_name(call.name("user"))?;
    let existed = call.broker.catalogue().user(name).is_some();
    let spec = UserSpec {
        name: name.into(),
        password: password(&call.broker.config().auth, &fields, existed)?,
        tags: tags(&fields)?,
    };
    call.put(existed, Command::PutUser(spec)).await
}

fn tags(fields: &Fields) -> Result<Vec<String>, Failure> {
    // `administrator` is from the time before tags.
    match (fields.get("tags"), fields.get("administrator")) {
        (Some(tags), _) => views::tags(tags).ok_or_else(|| Failure::bad("tags must be a list of texts")),
        (None, Some(_)) if fields.boolean("administrator", false)? => Ok(vec!["administrator".into()]),
        (None, Some(_)) => Ok(Vec::new()),
        (None, None) => Err(Failure::bad("tags_not_present")),
    }
}

/// The stored form of what the fields say; without either field nobody gets in as that user, who can
/// only be made so where no rule forbids it.
fn password(auth: &Auth, fields: &Fields, existed: bool) -> Result<PasswordHash, Failure> {
    if let Some(hash) = fields.text("password_hash")? {
        if fields.get("password").is_some() {
            return Err(Failure::bad("both_password_and_password_hash_are_provided"));
        }
        let algorithm = match fields.text("hashing_algorithm")? {
            None => default_algorithm(auth),
            Some(name) => algorithm(name)?,
        };
        return PasswordHash::from_base64(algorithm, hash).map_err(|_| Failure::Bad(json!(["not_base64", hash])));
    }
    let given = fields.text("password")?;
    let password = given.unwrap_or_default();
    if (given.is_some() || !existed) && !takes_password(auth, password) {
        return Err(Failure::bad("credential_validation_failed"));
    }
    Ok(hashed(auth, password))
}

fn hashed(auth: &Auth, password: &str) -> PasswordHash {
    PasswordHash::new(default_algorithm(auth), rand::random(), password.as_bytes())
}

/// How passwords are hashed that do not say otherwise.
pub fn default_algorithm(auth: &Auth) -> HashAlgorithm {
    match auth.password_hashing {
        PasswordHashing::Sha256 => HashAlgorithm::Sha256,
        PasswordHashing::Sha512 => HashAlgorithm::Sha512,
        PasswordHashing::Md5 => HashAlgorithm::Md5,
    }
}

fn algorithm(name: &str) -> Result<HashAlgorithm, Failure> {
    let unknown = || Failure::bad(format!("Unknown password hashing algorithm: {name}"));
    HashAlgorithm::named(name).ok_or_else(unknown)
}

/// Whether the rule of the configuration lets a password be set.
pub fn takes_password(auth: &Auth, password: &str) -> bool {
    let rule = &auth.password_rule;
    match rule.check {
        PasswordCheck::None => true,
        PasswordCheck::MinLength => password.chars().count() >= rule.min_length,
        PasswordCheck::Regexp => matches(rule.regexp.as_deref(), password),
    }
}

fn matches(regexp: Option<&str>, password: &str) -> bool {
    regexp.is_none_or(|regexp| Pattern::new(regexp).is_ok_and(|pattern| pattern.matches(password)))
}

async fn delete(call: Call) -> Answered {
    let name = UserName::from(call.name("user"));
    if call.broker.catalogue().user(&name).is_none() {
        return Err(Failure::NotFound);
    }
    call.command(Command::DeleteUser(name)).await?;
    Ok(Answer::Done)
}

async fn bulk_delete(call: Call) -> Answered {
    let fields = call.fields()?;
    fields.need(&["users"])?;
    let names: Option<Vec<&str>> = match fields.get("users") {
        Some(Value::Array(names)) => names.iter().map(Value::as_str).collect(),
        _ => None,
    };
    for name in names.ok_or_else(|| Failure::bad("users must be a list of names"))? {
        let there = call.broker.catalogue().user(name).is_some();
        if there {
            call.command(Command::DeleteUser(name.into())).await?;
        }
    }
    Ok(Answer::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn tags_come_as_text_or_list() {
        let read = |value| tags(&Fields::of(value));
        let texts = |tags: &[&str]| Ok(tags.iter().map(|tag| (*tag).to_owned()).collect());
        assert_eq!(read(json!({"tags": ""})), texts(&[]));
        assert_eq!(
            read(json!({"tags": "management, custom"})),
            texts(&["management", "custom"])
        );
        assert_eq!(read(json!({"tags": ["a", "b"]})), texts(&["a", "b"]));
        assert_eq!(read(json!({"administrator": "true"})), texts(&["administrator"]));
        assert_eq!(read(json!({})), Err(Failure::bad("tags_not_present")));
    }

    #[test]
    fn passwords_come_plain_or_hashed() {
        let auth = Config::default().auth;
        let plain = password(&auth, &Fields::of(json!({"password": "secret"})), false).expect("a password");
        assert!(plain.matches(b"secret"));
        let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hashed = password(&auth, &Fields::of(json!({"password_hash": hash})), false).expect("a hash");
        assert!(hashed.matches(b"test12"));
        let broken = format!("{hash}\n");
        let broken = password(&auth, &Fields::of(json!({"password_hash": broken})), false).expect("a hash");
        assert_eq!(broken, hashed);
        assert_eq!(
            password(
                &auth,
                &Fields::of(json!({"password_hash": hash, "password": "x"})),
                false
            ),
            Err(Failure::bad("both_password_and_password_hash_are_provided"))
        );
        let nobody = password(&auth, &Fields::of(json!({"password_hash": ""})), false).expect("no password");
        assert!(!nobody.matches(b""));
        assert_eq!(
            password(&auth, &Fields::of(json!({"password_hash": "***"})), false),
            Err(Failure::Bad(json!(["not_base64", "***"])))
        );
    }

    #[test]
    fn passwords_follow_the_rule_of_the_configuration() {
        let mut auth = Config::default().auth;
        auth.password_rule.check = PasswordCheck::MinLength;
        assert_eq!(
            password(&auth, &Fields::of(json!({"password": "short"})), false),
            Err(Failure::bad("credential_validation_failed"))
        );
        let without = Fields::of(json!({}));
        assert!(password(&auth, &without, false).is_err());
        assert!(password(&auth, &without, true).is_ok());
        auth.password_rule.check = PasswordCheck::Regexp;
        auth.password_rule.regexp = Some("^[a-z]+$".into());
        assert!(password(&auth, &Fields::of(json!({"password": "short"})), false).is_ok());
        assert!(password(&auth, &Fields::of(json!({"password": "S"})), false).is_err());
    }
}
