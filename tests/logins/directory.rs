//! A directory: Debian's slapd, which `make test` installs where it may.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use lapin::types::FieldTable;

use super::Configured;
use crate::support::authority::Authority;
use crate::support::*;

const ENTRIES: &str = r#"dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: ou=vhosts,dc=example,dc=com
objectClass: organizationalUnit
ou: vhosts

dn: ou=prod,ou=vhosts,dc=example,dc=com
objectClass: organizationalUnit
ou: prod

dn: cn=Ann Lee,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: Ann Lee
sn: Lee
uid: ann
mail: ann@example.com
userPassword: ann-pass

dn: cn=Bob Ray,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
cn: Bob Ray
sn: Ray
uid: bob
mail: bob@elsewhere.org
userPassword: bob-pass

dn: cn=asker,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: asker
userPassword: asker-pass

dn: cn=admins,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: admins
member: cn=Ann Lee,ou=people,dc=example,dc=com

dn: cn=staff,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: staff
member: cn=admins,ou=groups,dc=example,dc=com
member: cn=circle,ou=groups,dc=example,dc=com

dn: cn=circle,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: circle
member: cn=staff,ou=groups,dc=example,dc=com
"#;

/// Runs until it is dropped.
struct Directory {
    port: u16,
    tls_port: u16,
    authority: PathBuf,
    process: Child,
    _files: tempfile::TempDir,
}

impl Directory {
    /// `None` where slapd is to be left out.
    fn start() -> Option<Self> {
        if std::env::var("WARREN_TEST_WITHOUT").is_ok_and(|without| without == "slapd") {
            eprintln!("slapd is left out: nothing is tested");
            return None;
        }
        let slapd = Path::new("/usr/sbin/slapd");
        assert!(
            slapd.exists(),
            "slapd is not installed (apt-get install slapd); WARREN_TEST_WITHOUT=slapd leaves these tests out"
        );
        let files = tempfile::tempdir().expect("a directory");
        let place = files.path();
        let papers = Authority::new("ldap").issue_for("slapd", &["localhost", "127.0.0.1"], place);
        let config = place.join("slapd.conf");
        let schema = "/etc/ldap/schema";
        let text = format!(
            "include {schema}/core.schema\ninclude {schema}/cosine.schema\ninclude {schema}/inetorgperson.schema\n\
             modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {0}/pid\n\
             TLSCACertificateFile {1}\nTLSCertificateFile {2}\nTLSCertificateKeyFile {3}\n\
             database mdb\nsuffix dc=example,dc=com\ndirectory {0}\nmaxsize 10485760\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by users read by * none\n",
            place.display(),
            papers.cacertfile.display(),
            papers.certfile.display(),
            papers.keyfile.display(),
        );
        std::fs::write(&config, text).expect("written");
        let entries = place.join("entries.ldif");
        std::fs::write(&entries, ENTRIES).expect("written");
        let added = Command::new(slapd.with_file_name("slapadd"))
            .arg("-f")
            .arg(&config)
            .arg("-l")
            .arg(&entries)
            .output()
            .expect("it runs");
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let (port, tls_port) = (free_port(), free_port());
        let process = Command::new(slapd)
            .args([
                "-d",
                "0",
                "-h",
                &format!("ldap://127.0.0.1:{port} ldaps://127.0.0.1:{tls_port}"),
                "-f",
            ])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let directory = Self {
            port,
            tls_port,
            authority: papers.cacertfile.clone(),
            process,
            _files: files,
        };
        let end = Instant::now() + PATIENCE;
        for port in [port, tls_port] {
            while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
                assert!(Instant::now() < end, "slapd does not listen");
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        Some(directory)
    }

    /// A broker that asks it, with more settings in Erlang terms, each with a comma behind it.
    fn broker(&self, settings: &str) -> Configured {
        let files = tempfile::tempdir().expect("a directory");
        let port = self.port;
        let config = format!(
            "[{{rabbit, [{{auth_backends, [rabbit_auth_backend_ldap, rabbit_auth_backend_internal]}}]}},\n\
             {{rabbitmq_auth_backend_ldap, [{settings} {{servers, [\"127.0.0.1\"]}}, {{port, {port}}}]}}]."
        );
        let path = files.path().join("rabbitmq.config");
        std::fs::write(&path, config).expect("written");
        let broker = Broker::start_with(&["--config", path.to_str().expect("a path")]);
        Configured {
            broker,
            directory: files,
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}

const PATTERN: &str = r#"{user_dn_pattern, "cn=${username},ou=people,dc=example,dc=com"},"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_bind_is_let_in_and_groups_say_what_for() {
    let Some(directory) = Directory::start() else { return };
    let settings = r#"
        {vhost_access_query, {'or', [{constant, true}, {exists, "ou=${vhost},ou=vhosts,dc=example,dc=com"}]}},
        {resource_access_query, {for, [
            {permission, configure, {in_group, "cn=admins,ou=groups,dc=example,dc=com"}},
            {permission, write, {for, [
                {resource, queue, {match, {string, "${name}"}, {string, "^${username}-"}}},
                {resource, exchange, {constant, true}}]}},
            {permission, read, {equals, {attribute, "${user_dn}", "mail"}, {string, "ann@example.com"}}}]}},
        {topic_access_query, {'not', {match, "${routing_key}", "^secret"}}},
        {tag_queries, [
            {administrator, {in_group, "cn=admins,ou=groups,dc=example,dc=com"}},
            {management, {constant, true}}]},"#;
    let configured = directory.broker(&format!("{PATTERN} {settings}"));
    let mut ann = Client::new(
        configured
            .connect("Ann%20Lee", "ann-pass", "%2f")
            .await
            .expect("let in"),
    )
    .await;
    ann.queue("Ann Lee-q", FieldTable::default()).await;
    ann.queue("q", FieldTable::default()).await;
    ann.bind("Ann Lee-q", "amq.topic", "a", FieldTable::default()).await;
    assert!(ann.publish("amq.topic", "a", "one", persistent()).await.is_ack());
    assert_eq!(ann.wait_for("Ann Lee-q", 1).await, ["one"]);
    let options = lapin::options::QueueBindOptions::default();
    let bound = ann.queue_bind(
        "q".into(),
        "amq.topic".into(),
        "a".into(),
        options,
        FieldTable::default(),
    );
    assert_eq!(
        refused(bound.await),
        "403 ACCESS_REFUSED - write access to queue 'q' in vhost '/' refused for user 'Ann Lee'"
    );
    ann.again().await;
    let options = lapin::options::BasicPublishOptions::default();
    let publish = ann.basic_publish("amq.topic".into(), "secret".into(), options, b"x", persistent());
    assert!(
        refused_publish(publish)
            .await
            .starts_with("403 ACCESS_REFUSED - write access to topic 'secret'")
    );
    let bob = Client::new(
        configured
            .connect("Bob%20Ray", "bob-pass", "%2f")
            .await
            .expect("let in"),
    )
    .await;
    let got = bob.basic_get("q".into(), Default::default()).await;
    assert!(refused(got).starts_with("403 ACCESS_REFUSED - read access to queue 'q'"));
    let tags = |user: &str, password: &str| configured.http(user, password).get("/api/whoami").json()["tags"].clone();
    assert_eq!(
        tags("Ann Lee", "ann-pass"),
        serde_json::json!(["administrator", "management"])
    );
    assert_eq!(tags("Bob Ray", "bob-pass"), serde_json::json!(["management"]));
    for (user, password) in [
        ("Ann%20Lee", "wrong"),
        ("Ann%20Lee", ""),
        ("Nobody", "x"),
        ("*", "x"),
        ("Ann%20Lee,ou=x", "x"),
    ] {
        let refusal = refused(configured.connect(user, password, "%2f").await);
        assert!(refusal.starts_with("403 ACCESS_REFUSED"), "{user}: {refusal}");
    }
    configured
        .connect("guest", "guest", "%2f")
        .await
        .expect("he is in the catalogue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_looked_up_and_groups_may_be_in_groups() {
    let Some(directory) = Directory::start() else { return };
    let settings = r#"
        {dn_lookup_bind, {"cn=asker,dc=example,dc=com", "asker-pass"}},
        {other_bind, {"cn=asker,dc=example,dc=com", "asker-pass"}},
        {vhost_access_query, {'and', [
            {in_group_nested, "cn=staff,ou=groups,dc=example,dc=com"},
            {'or', [{equals, "${vhost}", "/"}, {exists, "ou=${vhost},ou=vhosts,dc=example,dc=com"}]}]}},
        {dn_lookup_attribute, "uid"}, {dn_lookup_base, "ou=people,dc=example,dc=com"},
        {group_lookup_base, "ou=groups,dc=example,dc=com"},"#;
    let configured = directory.broker(settings);
    let guest = configured.http("guest", "guest");
    for vhost in ["prod", "test"] {
        guest.put(&format!("/api/vhosts/{vhost}"), "{}").expect_status(201);
    }
    for vhost in ["%2f", "prod"] {
        let client = Client::new(configured.connect("ann", "ann-pass", vhost).await.expect("let in")).await;
        client.queue("q", FieldTable::default()).await;
    }
    assert_eq!(
        refused(configured.connect("ann", "ann-pass", "test").await),
        "530 NOT_ALLOWED - access to vhost 'test' refused for user 'ann'"
    );
    assert_eq!(
        refused(configured.connect("bob", "bob-pass", "prod").await),
        "530 NOT_ALLOWED - access to vhost 'prod' refused for user 'bob'"
    );
    for user in ["*", "a*", "(uid=ann)"] {
        assert!(
            refused(configured.connect(user, "ann-pass", "%2f").await).starts_with("403"),
            "{user}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_from_the_start_or_asked_for() {
    let Some(mut directory) = Directory::start() else {
        return;
    };
    let authority = format!("{{ssl_options, [{{cacertfile, {:?}}}]}},", directory.authority);
    for settings in [
        format!("{{use_starttls, true}}, {authority}"),
        "{use_starttls, true}, {ssl_options, [{verify, verify_none}]},".to_owned(),
    ] {
        let configured = directory.broker(&format!("{PATTERN} {settings}"));
        let ann = configured.connect("Ann%20Lee", "ann-pass", "%2f").await;
        ann.expect("let in");
    }
    std::mem::swap(&mut directory.port, &mut directory.tls_port);
    let configured = directory.broker(&format!("{PATTERN} {{use_ssl, true}}, {authority}"));
    configured
        .connect("Ann%20Lee", "ann-pass", "%2f")
        .await
        .expect("let in");
    // Nobody that is trusted has signed for it.
    let configured = directory.broker(&format!("{PATTERN} {{use_ssl, true}},"));
    let refusal = refused(configured.connect("Ann%20Lee", "ann-pass", "%2f").await);
    assert!(refusal.starts_with("403 ACCESS_REFUSED"), "{refusal}");
    configured.logged("no directory takes a connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_gone_refuses_and_one_that_is_back_answers() {
    let Some(mut directory) = Directory::start() else {
        return;
    };
    let settings = r#"
        {other_bind, {"cn=asker,dc=example,dc=com", "asker-pass"}},
        {resource_access_query, {exists, "ou=vhosts,dc=example,dc=com"}}, {timeout, 1000},"#;
    let configured = directory.broker(&format!("{PATTERN} {settings}"));
    let client = Client::new(
        configured
            .connect("Ann%20Lee", "ann-pass", "%2f")
            .await
            .expect("let in"),
    )
    .await;
    client.queue("q", FieldTable::default()).await;
    directory.process.kill().expect("it ends");
    directory.process.wait().expect("it ends");
    let declared = client
        .queue_declare("r".into(), Default::default(), FieldTable::default())
        .await;
    assert!(refused(declared).starts_with("403 ACCESS_REFUSED - configure access to queue 'r'"));
    let refusal = refused(configured.connect("Ann%20Lee", "ann-pass", "%2f").await);
    assert!(refusal.starts_with("403 ACCESS_REFUSED"), "{refusal}");
    configured.logged("access refused, as a backend failed");
    configured
        .connect("guest", "guest", "%2f")
        .await
        .expect("the next backend knows him");
}
