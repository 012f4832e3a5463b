//! Virtual hosts and their limits.

use super::ctl;
use crate::support::Broker;

#[test]
fn a_vhost_is_added_listed_and_deleted() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    let description = ["--description", "made by the command line", "--tags", "a,b"];
    let add = ["add_vhost", "golden", "--default-queue-type", "quorum"];
    let added = "Adding vhost \"golden\" ...\n";
    assert_eq!(run(&[&add[..], &description].concat()).well(), added);
    assert_eq!(run(&["add_vhost", "golden"]).well(), added);
    let columns = ["name", "description", "tags", "default_queue_type", "tracing"];
    assert_eq!(
        run(&[&["list_vhosts"], &columns[..]].concat()).well(),
        "Listing vhosts ...\nname\tdescription\ttags\tdefault_queue_type\ttracing\n\
         /\tDefault virtual host\t[]\tclassic\tfalse\n\
         golden\tmade by the command line\t[a, b]\tquorum\tfalse\n"
    );
    assert_eq!(run(&["list_vhosts", "-s"]).well(), "/\ngolden\n");
    // Nobody got a permission by it.
    assert_eq!(run(&["list_permissions", "-p", "golden", "-q"]).well(), "");
    let deleted = "Deleting vhost \"golden\" ...\n";
    assert_eq!(run(&["delete_vhost", "golden"]).well(), deleted);
    let again = run(&["delete_vhost", "golden"]);
    assert_eq!(again.out, deleted);
    assert_eq!(again.failed(65), "Virtual host 'golden' does not exist\n");
}

#[test]
fn limits_of_vhosts_are_set_listed_and_cleared() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    let banner = "Listing limits for vhost \"/\" ...\n";
    assert_eq!(run(&["list_vhost_limits"]).well(), format!("{banner}\n"));
    assert_eq!(
        run(&["list_vhost_limits", "--formatter", "json", "--silent"]).well(),
        "[]\n"
    );
    run(&["set_vhost_limits", r#"{"max-queues":1000}"#]).well();
    assert_eq!(
        run(&["list_vhost_limits"]).well(),
        format!("{banner}{{\"max-queues\":1000}}\n")
    );
    assert_eq!(
        run(&["list_parameters", "-q"]).well(),
        "component\tname\tvalue\nvhost-limits\tlimits\t{\"max-queues\":1000}\n"
    );
    run(&["clear_vhost_limits"]).well();
    assert_eq!(run(&["list_vhost_limits", "-q"]).well(), "\n");
    assert_eq!(
        run(&["set_vhost_limits", "{oops"]).failed(69),
        "Error:\nCould not parse JSON document: {error,{failed_to_decode_json,<<\"{oops\">>}}\n"
    );
}
