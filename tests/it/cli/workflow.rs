//! `pixmill workflow check`: the graph of a valid document, and what is wrong with another.

use super::{Desk, stderr};

const SETTINGS: &str = r#"
[calls]
urls = ["pay.example"]

[workflows.order.steps.payment]
kind = "http.call"
url = "https://pay.example/charges"
json = { order = { "$ref" = "/input/order_id" } }
"#;

const TOML: &str = r#"
[steps.payment]
kind = "http.call"
url = "https://pay.example/charges"

[steps.refund]
kind = "http.call"
after = ["payment"]
on = "failure"
url = "https://pay.example/refunds"
"#;

#[test]
fn valid_document_is_drawn_and_a_faulty_one_is_named_with_its_field() {
    let desk = Desk::new();
    let write = |name: &str, text: &str| std::fs::write(desk.path(name), text).unwrap();
    write("pixmill.toml", SETTINGS);
    write("order.toml", TOML);
    let output = desk.run(&["workflow", "check", "order.toml", "--config", "pixmill.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let expected = "\
payment ─── refund (on failure)

STEP     KIND       AFTER    ON       JOBS
payment  http.call           success  one
refund   http.call  payment  failure  one

The workflow is valid: 2 steps.
";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    write("named.json", r#"{"workflow": "order", "input": {"order_id": 7}}"#);
    assert_eq!(desk.run(&["workflow", "check", "named.json", "--config", "pixmill.toml"]).status.code(), Some(0));
    write("broken.json", "{");
    write("order.yaml", "steps:");
    write("circle.json", r#"{"steps": {"a": {"kind": "http.call", "url": "https://pay.example/", "after": ["a"]}}}"#);
    for (file, code, said) in [
        (
            "circle.json",
            1,
            "circle.json: invalid-workflow: steps: there is a cycle, in which each step comes after itself: a → a",
        ),
        ("broken.json", 1, "broken.json is not JSON: "),
        ("missing.json", 1, "cannot read missing.json"),
        ("order.yaml", 2, "order.yaml: its name ends neither in .json nor in .toml"),
    ] {
        let output = desk.run(&["workflow", "check", file, "--config", "pixmill.toml"]);
        assert_eq!(output.status.code(), Some(code), "{file}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{file}: {}", stderr(&output));
    }
    // Without settings nobody may be called.
    let output = desk.run(&["workflow", "check", "order.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output)
            .contains("steps.payment.url: https://pay.example/charges: no URL is allowed here: calls.urls is empty"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn faulty_workflow_of_the_settings_is_named_by_config_check() {
    let desk = Desk::new();
    std::fs::write(desk.path("pixmill.toml"), SETTINGS.replace("pay.example/", "other.example/")).unwrap();
    let output = desk.run(&["config", "check", "--config", "pixmill.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains(
            "workflows.order: steps.payment.url: https://other.example/charges: calls.urls does not allow it"
        ),
        "{}",
        stderr(&output)
    );
}
