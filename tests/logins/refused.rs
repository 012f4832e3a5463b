//! What is wrong in the configuration of backends is said at the start.

use std::process::Command;

/// What a broker says that is to start with such files, and does not.
fn refusal(config: &str, advanced: &str) -> String {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let (config, advanced) = (path("a.conf", config), path("advanced.config", advanced));
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .env("RABBITMQ_ADVANCED_CONFIG_FILE", advanced)
        .env("RABBITMQ_CONFIG_FILE", config)
        .args(["server", "--amqp", "127.0.0.1:0"])
        .args(["--management", "none", "--prometheus", "none", "--cluster", "none"])
        .args(["--stream", "none"])
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let query = "[{rabbitmq_auth_backend_ldap, [\n {servers, [\"localhost\"]},\n {vhost_access_query, {'and', [\n  \
                 {in_grup, \"cn=a\"}]}}]}].";
    for (config, advanced, told) in [
        (
            "auth_backends.1 = kerberos\n",
            "[].",
            "a.conf:1: 'kerberos' is not a value for auth_backends.1: expected one of internal, ldap, http, oauth, cache",
        ),
        (
            "auth_backends.1 = ldap\n",
            query,
            "advanced.config:4: expected a query: {constant, true or false}",
        ),
        (
            "auth_backends.1 = ldap\n",
            "[].",
            "ldap is a backend for users, and auth_ldap.servers.1 is not set",
        ),
        (
            "auth_backends.1 = oauth2\n",
            "[].",
            "auth_oauth2.resource_server_id is not set",
        ),
        (
            "auth_backends.1 = cache\nauth_cache.cached_backend = cache\n",
            "[].",
            "keeps answers of another backend",
        ),
        (
            "auth_backends.1 = http\nauth_http.user_path = ldap://x\n",
            "[].",
            "a.conf:2: 'ldap://x' is not a value for auth_http.user_path",
        ),
        (
            "auth_backends.1 = http\nauth_http.ssl_options.cacertfile = /nowhere.pem\n",
            "[].",
            "cannot read auth_http.ssl_options.cacertfile from /nowhere.pem",
        ),
        (
            "auth_backends.1 = oauth2\nauth_oauth2.resource_server_id = r\nauth_oauth2.signing_keys.k = /nowhere.pem\n",
            "[].",
            "auth_oauth2.signing_keys.k: there is no file in /nowhere.pem",
        ),
        (
            "auth_backends.1 = oauth2\nauth_oauth2.resource_server_id = r\nauth_oauth2.default_oauth_provider = p\n",
            "[].",
            "the provider 'p' is named and not described",
        ),
    ] {
        let text = refusal(config, advanced);
        assert!(text.contains(told), "{told}: {text}");
    }
}
