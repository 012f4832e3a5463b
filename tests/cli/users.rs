//! Users and permissions.

use std::io::Write;
use std::process::Stdio;

use super::{command, ctl};
use crate::support::{Broker, Http};

#[test]
fn a_user_is_added_changed_and_deleted() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    assert_eq!(
        run(&["add_user", "golden_cli", "secret"]).well(),
        "Adding user \"golden_cli\" ...\nDone. Don't forget to grant the user permissions to some virtual hosts! \
         See 'warren ctl help set_permissions' to learn more.\n"
    );
    let again = run(&["add_user", "golden_cli", "x"]);
    assert_eq!(again.out, "Adding user \"golden_cli\" ...\n");
    assert_eq!(again.failed(70), "Error:\nUser \"golden_cli\" already exists\n");
    assert_eq!(
        run(&["authenticate_user", "golden_cli", "secret"]).well(),
        "Authenticating user \"golden_cli\" ...\nSuccess\n"
    );
    assert_eq!(
        run(&["authenticate_user", "golden_cli", "wrong"]).failed(65),
        "Error:\nError: failed to authenticate user \"golden_cli\"\nuser 'golden_cli' - invalid credentials\n"
    );
    assert_eq!(
        run(&["set_user_tags", "golden_cli", "monitoring", "management"]).well(),
        "Setting tags for user \"golden_cli\" to [monitoring, management] ...\n"
    );
    assert_eq!(
        run(&["change_password", "golden_cli", "other"]).well(),
        "Changing password for user \"golden_cli\" ...\n"
    );
    // Neither of the two takes away what the other set.
    let address = broker.management.clone().expect("the HTTP API");
    let whoami = Http::as_user(&address, "golden_cli", "other").get("/api/whoami");
    let tags = &whoami.expect_status(200).json()["tags"];
    assert_eq!(*tags, serde_json::json!(["monitoring", "management"]));
    assert_eq!(
        run(&["list_users"]).well(),
        "Listing users ...\nuser\ttags\ngolden_cli\t[monitoring, management]\nguest\t[administrator]\n"
    );
    assert_eq!(
        run(&["list_users", "--formatter", "json", "--silent"]).well(),
        "[\n{\"user\":\"golden_cli\",\"tags\":[\"monitoring\",\"management\"]}\n\
         ,{\"user\":\"guest\",\"tags\":[\"administrator\"]}\n]\n"
    );
    let deleted = "Deleting user \"golden_cli\" ...\n";
    assert_eq!(run(&["delete_user", "golden_cli"]).well(), deleted);
    assert_eq!(run(&["delete_user", "golden_cli"]).well(), deleted);
    assert_eq!(
        run(&["change_password", "golden_cli", "x"]).failed(67),
        "Error:\nUser \"golden_cli\" does not exist\n"
    );
}

#[test]
fn a_password_may_come_from_the_standard_input_or_as_a_hash() {
    let broker = Broker::start();
    let mut add = command(&broker, &["add_user", "quiet"]);
    let mut child = add.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(b"from a pipe\n").expect("written");
    drop(input);
    assert!(child.wait().expect("its end").success());
    ctl(&broker, &["authenticate_user", "quiet", "from a pipe"]).well();

    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    ctl(&broker, &["add_user", "hashed", hash, "--pre-hashed-password"]).well();
    ctl(&broker, &["authenticate_user", "hashed", "test12"]).well();
    // No password at all is none that somebody could guess.
    assert_eq!(
        ctl(&broker, &["add_user", "empty", ""]).failed(65),
        "Error:\npassword cannot be empty\n"
    );
}

#[test]
fn permissions_are_set_listed_and_cleared() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    run(&["add_user", "app", "secret"]).well();
    run(&["add_vhost", "golden"]).well();
    assert_eq!(
        run(&["set_permissions", "-p", "golden", "app", "^app", ".*", ".*"]).well(),
        "Setting permissions for user \"app\" in vhost \"golden\" ...\n"
    );
    assert_eq!(
        run(&["list_permissions", "-p", "golden"]).well(),
        "Listing permissions for vhost \"golden\" ...\nuser\tconfigure\twrite\tread\napp\t^app\t.*\t.*\n"
    );
    assert_eq!(
        run(&["list_user_permissions", "app"]).well(),
        "Listing permissions for user \"app\" ...\nvhost\tconfigure\twrite\tread\ngolden\t^app\t.*\t.*\n"
    );
    let topics = r#"{"exchange":"amq.topic","write":"^a","read":"^b"}"#;
    let put = broker.http().put("/api/topic-permissions/golden/app", topics);
    put.expect_status(201);
    assert_eq!(
        run(&["list_topic_permissions", "-p", "golden"]).well(),
        "Listing topic permissions for vhost \"golden\" ...\nuser\texchange\twrite\tread\napp\tamq.topic\t^a\t^b\n"
    );
    let cleared = "Clearing permissions for user \"app\" in vhost \"golden\" ...\n";
    assert_eq!(run(&["clear_permissions", "-p", "golden", "app"]).well(), cleared);
    assert_eq!(run(&["clear_permissions", "-p", "golden", "app"]).well(), cleared);
    assert_eq!(
        run(&["list_permissions", "-p", "golden", "-q"]).well(),
        "",
        "no heads without rows"
    );
    assert_eq!(
        run(&["set_permissions", "-p", "golden", "nobody_here", ".*", ".*", ".*"]).failed(67),
        "Error:\nUser nobody_here does not exist\n"
    );
    assert_eq!(
        run(&["set_permissions", "-p", "nowhere", "app", ".*", ".*", ".*"]).failed(65),
        "Virtual host 'nowhere' does not exist\n"
    );
}

#[test]
fn limits_of_users_are_set_listed_and_cleared() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    let banner = "Listing limits for user \"guest\" ...\n";
    assert_eq!(run(&["list_user_limits"]).well(), format!("{banner}{{}}\n"));
    assert_eq!(
        run(&["list_user_limits", "--formatter", "json", "--silent"]).well(),
        "{\"message\":\"{}\"}\n"
    );
    let definition = r#"{"max-connections":5,"max-channels":7}"#;
    run(&["set_user_limits", "guest", definition]).well();
    assert_eq!(
        run(&["list_user_limits", "--user", "guest"]).well(),
        format!("{banner}{definition}\n")
    );
    run(&["clear_user_limits", "guest", "max-channels"]).well();
    assert_eq!(
        run(&["list_user_limits", "--global", "-q"]).well(),
        "user\tlimits\nguest\t{\"max-connections\":5}\n"
    );
    run(&["clear_user_limits", "guest", "all"]).well();
    assert_eq!(run(&["list_user_limits", "-q"]).well(), "{}\n");
}
