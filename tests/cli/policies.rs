//! Policies, operator policies and parameters.

use super::ctl;
use crate::support::Broker;

#[test]
fn a_policy_is_set_listed_and_cleared() {
    let broker = Broker::start();
    let run = |arguments: &[&str]| ctl(&broker, arguments);
    let definition = r#"{"max-length":5}"#;
    let options = ["--priority", "3", "--apply-to", "queues"];
    assert_eq!(
        run(&[&["set_policy", "cli_pol", "^cli", definition], &options[..]].concat()).well(),
        "Setting policy \"cli_pol\" for pattern \"^cli\" to \"{\"max-length\":5}\" with priority \"3\" for vhost \"/\" ...\n"
    );
    assert_eq!(
        run(&["list_policies"]).well(),
        "Listing policies for vhost \"/\" ...\nvhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
         /\tcli_pol\t^cli\tqueues\t{\"max-length\":5}\t3\n"
    );
    assert_eq!(
        run(&["list_policies", "--formatter", "json", "--silent"]).well(),
        "[\n{\"vhost\":\"/\",\"name\":\"cli_pol\",\"pattern\":\"^cli\",\"apply-to\":\"queues\",\
         \"definition\":\"{\\\"max-length\\\":5}\",\"priority\":3}\n]\n"
    );
    assert_eq!(
        run(&["clear_policy", "cli_pol"]).well(),
        "Clearing policy \"cli_pol\" on vhost \"/\" ...\n"
    );
    assert_eq!(
        run(&["clear_policy", "cli_pol"]).failed(69),
        "Error:\nParameter does not exist\n"
    );
}

#[test]
fn a_policy_that_is_none_is_refused() {
    let broker = Broker::start();
    assert_eq!(
        ctl(&broker, &["set_policy", "cli_pol", "^cli", "{oops"]).failed(69),
        "Error:\nCould not parse JSON document: {error,{failed_to_decode_json,<<\"{oops\">>}}\n"
    );
    assert_eq!(
        ctl(&broker, &["set_policy", "cli_pol", "^cli", r#"{"max-length":"x"}"#]).failed(69),
        "Error:\nValidation failed\n\n<<\"x\">> is not a valid maximum length\n\n"
    );
}

#[test]
fn operator_policies_are_the_operators_even_where_http_may_not_change_them() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = dir.path().join("rabbitmq.conf");
    let line = "management.restrictions.operator_policy_changes.disabled = true\n";
    std::fs::write(&config, line).expect("written");
    let broker = Broker::start_with(&["--config", config.to_str().expect("a path")]);
    let body = r#"{"pattern":".*","definition":{"delivery-limit":50}}"#;
    let over_http = broker.http().put("/api/operator-policies/%2F/guard", body);
    over_http.expect_status(405);
    let definition = r#"{"delivery-limit":50}"#;
    let set = [
        "set_operator_policy",
        "guard",
        ".*",
        definition,
        "--apply-to",
        "quorum_queues",
    ];
    ctl(&broker, &set).well();
    assert_eq!(
        ctl(&broker, &["list_operator_policies"]).well(),
        "Listing operator policy overrides for vhost \"/\" ...\n\
         vhost\tname\tpattern\tapply-to\tdefinition\tpriority\n\
         /\tguard\t.*\tquorum_queues\t{\"delivery-limit\":50}\t0\n"
    );
    assert_eq!(
        ctl(&broker, &["list_parameters", "-s"]).well(),
        "operator_policy\tguard\t{\"pattern\":\".*\",\"definition\":{\"delivery-limit\":50},\"priority\":0,\
         \"apply-to\":\"quorum_queues\"}\n"
    );
    ctl(&broker, &["clear_operator_policy", "guard"]).well();
    assert_eq!(ctl(&broker, &["list_operator_policies", "-s"]).well(), "");
}

#[test]
fn global_parameters_are_listed() {
    let broker = Broker::start();
    let value = r#"{"value":{"a":1,"b":["x"]}}"#;
    broker.http().put("/api/global-parameters/golden_global", value);
    let listed = ctl(&broker, &["list_global_parameters"]).well();
    assert!(
        listed.starts_with("Listing global runtime parameters ...\nname\tvalue\ncluster_name\t\""),
        "{listed}"
    );
    assert!(
        listed.contains("\ngolden_global\t{\"a\":1,\"b\":[\"x\"]}\n"),
        "{listed}"
    );
}
