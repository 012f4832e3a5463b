//! Rows about users, passwords and how clients log in.

use super::super::sections::{
    AlternativeName, CertificateName, DefaultUser, Mechanism, PasswordCheck, PasswordHashing,
};
use super::super::value::regular_expression;
use super::*;

pub fn keys() -> Vec<Key> {
    let mut keys = first_user_keys();
    keys.extend(login_keys());
    keys
}

fn first_user_keys() -> Vec<Key> {
    vec![
        key("default_user", name())
            .default("guest")
            .help("The first user, made when the node starts with an empty data directory.")
            .sets(|c, name| c.auth.default_user = name),
        key("default_pass", secret())
            .default("guest")
            .help("Password of the first user.")
            .sets(|c, password| c.auth.default_pass = password),
        key("default_vhost", name())
            .default("/")
            .help("The first vhost.")
            .sets(|c, name| c.auth.default_vhost = name),
        key("default_user_tags.$tag", switch())
            .default("administrator = true")
            .help("Tags of the first user.")
            .sets_named(|c, tag, on| c.auth.default_user_tags.set(tag, on)),
        key("default_permissions.configure", regular_expression())
            .default(".*")
            .help("What the first user may declare and delete in the first vhost.")
            .sets(|c, pattern| c.auth.default_permissions.configure = pattern),
        key("default_permissions.read", regular_expression())
            .default(".*")
            .help("What it may read from.")
            .sets(|c, pattern| c.auth.default_permissions.read = pattern),
        key("default_permissions.write", regular_expression())
            .default(".*")
            .help("What it may write to.")
            .sets(|c, pattern| c.auth.default_permissions.write = pattern),
        key("default_users.$name.password", secret())
            .example("bob = secret")
            .help("A further user at the first start: the password.")
            .sets_named(|c, name, password| user(c, name).password = Some(password)),
        key("default_users.$name.tags", name().list())
            .example("bob = management, monitoring")
            .help("A further user at the first start: tags.")
            .sets_named(|c, name, tags| user(c, name).tags = tags),
        key("default_users.$name.vhost_pattern", regular_expression())
            .example("bob = ^dev")
            .help("A further user at the first start: the vhosts it has permissions in.")
            .sets_named(|c, name, pattern| user(c, name).vhost_pattern = Some(pattern)),
        key("default_users.$name.configure", regular_expression())
            .example("bob = .*")
            .help("A further user at the first start: what it may declare and delete.")
            .sets_named(|c, name, pattern| user(c, name).permissions.configure = pattern),
        key("default_users.$name.read", regular_expression())
            .example("bob = .*")
            .help("A further user at the first start: what it may read from.")
            .sets_named(|c, name, pattern| user(c, name).permissions.read = pattern),
        key("default_users.$name.write", regular_expression())
            .example("bob = .*")
            .help("A further user at the first start: what it may write to.")
            .sets_named(|c, name, pattern| user(c, name).permissions.write = pattern),
    ]
}

fn login_keys() -> Vec<Key> {
    vec![
        key("loopback_users.$user", switch())
            .default("guest = true")
            .help("Users that may connect from this machine only; 'guest = false' lets guest in from anywhere.")
            .sets_named(|c, name, on| c.auth.loopback_users.set(name, on)),
        key("loopback_users", choice(&[("none", ())]))
            .example("none")
            .help("No user is bound to this machine.")
            .sets(|c, ()| c.auth.loopback_users.replace([])),
        key(
            "auth_mechanisms.$name",
            choice(&[
                ("PLAIN", Mechanism::Plain),
                ("AMQPLAIN", Mechanism::Amqplain),
                ("EXTERNAL", Mechanism::External),
                ("ANONYMOUS", Mechanism::Anonymous),
            ]),
        )
        // Named as RabbitMQ numbers them.
        .defaults(&["1 = PLAIN", "2 = AMQPLAIN", "3 = ANONYMOUS"])
        .help("Mechanisms offered.")
        .sets_named(|c, at, mechanism| c.auth.mechanisms.set(at, mechanism)),
        key("anonymous_login_user", name().or("none"))
            .default("guest")
            .help("The user of clients that log in as ANONYMOUS.")
            .sets(|c, name| c.auth.anonymous_user = name),
        key("anonymous_login_pass", secret())
            .default("guest")
            .help("Its password.")
            .sets(|c, password| c.auth.anonymous_pass = password),
        key(
            "password_hashing_module",
            choice(&[
                ("rabbit_password_hashing_sha256", PasswordHashing::Sha256),
                ("rabbit_password_hashing_sha512", PasswordHashing::Sha512),
                ("rabbit_password_hashing_md5", PasswordHashing::Md5),
            ]),
        )
        .default("rabbit_password_hashing_sha256")
        .help("How new passwords are stored.")
        .sets(|c, hashing| c.auth.password_hashing = hashing),
        key(
            "credential_validator.validation_backend",
            choice(&[
                ("rabbit_credential_validator_accept_everything", PasswordCheck::None),
                (
                    "rabbit_credential_validator_min_password_length",
                    PasswordCheck::MinLength,
                ),
                ("rabbit_credential_validator_password_regexp", PasswordCheck::Regexp),
            ]),
        )
        .default("rabbit_credential_validator_accept_everything")
        .help("What new passwords must be like.")
        .sets(|c, check| c.auth.password_rule.check = check),
        key("credential_validator.min_length", integer(0..=1024))
            .default("8")
            .help("Least length of a new password, where it is checked.")
            .sets(|c, length| c.auth.password_rule.min_length = length),
        key("credential_validator.regexp", regular_expression())
            .example("^[a-z0-9]{12,}$")
            .help("What a new password must match, where it is checked.")
            .sets(|c, pattern| c.auth.password_rule.regexp = Some(pattern)),
        key(
            "ssl_cert_login_from",
            choice(&[
                ("distinguished_name", CertificateName::DistinguishedName),
                ("common_name", CertificateName::CommonName),
                ("subject_alternative_name", CertificateName::SubjectAlternativeName),
                ("subject_alt_name", CertificateName::SubjectAlternativeName),
            ]),
        )
        .default("distinguished_name")
        .help("The part of a client's certificate that names the user, for EXTERNAL.")
        .sets(|c, part| c.auth.certificate_name = part),
        key(
            "ssl_cert_login_san_type",
            choice(&[
                ("dns", AlternativeName::Dns),
                ("ip", AlternativeName::Ip),
                ("email", AlternativeName::Email),
                ("uri", AlternativeName::Uri),
                ("other_name", AlternativeName::Other),
            ]),
        )
        .default("dns")
        .help("The type of subject alternative name that names the user, where one does.")
        .sets(|c, kind| c.auth.alternative_name = kind),
        key("ssl_cert_login_san_index", integer(0..=255))
            .default("0")
            .help("Which of the names of that type, counted from 0.")
            .sets(|c, index| c.auth.alternative_name_index = index),
    ]
}

fn user<'a>(config: &'a mut Config, name: &str) -> &'a mut DefaultUser {
    config.auth.default_users.entry(name.to_owned()).or_default()
}
