//! What is parsed, and what refusals say.

use super::*;
use crate::imaging::{Code, Limits};

fn refused(json: &str) -> String {
    let error = parse(json, &Limits::default()).expect_err(json);
    assert_eq!(error.code, Code::InvalidOperation);
    error.detail
}

fn parsed(json: &str) -> Vec<Operation> {
    parse(json, &Limits::default()).unwrap()
}

#[test]
fn defaults_can_be_written_out() {
    let spelled = r#"[{"type":"resize","width":800,"height":600},
        {"type":"thumbnail","size":[150,150]}, {"type":"watermark","text":"MySite"}]"#;
    assert_eq!(parsed(spelled), defaults());
    assert_eq!(defaults().iter().map(Operation::kind).collect::<Vec<_>>(), ["resize", "thumbnail", "watermark"]);
}

#[test]
fn operations_survive_a_job_payload() {
    let operations = parsed(
        r#"[{"type":"resize","width":80,"fit":"cover","gravity":"top-left","background":[1,2,3]},
        {"type":"watermark","text":"©","opacity":0.5,"format":"webp","quality":70,"name":"a-1"},
        {"type":"convert","format":"jpg"},
        {"type":"pipeline","operations":[{"type":"thumbnail","size":[9,9]},{"type":"convert","format":"png"}]}]"#,
    );
    let json = serde_json::to_string(&operations).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Operation>>(&json).unwrap(), operations);
    assert_eq!(operations[3].save.format, Some(Format::Png));
    assert_eq!(operations[1].name(), Some("a-1"));
}

#[test]
fn refusals_name_entry_field_value_and_limit() {
    for (json, detail) in [
        (
            r#"[{"type":"thumbnail","size":[1,1]},{"type":"resize","width":20000}]"#,
            "operations[1].width: 20000 exceeds limits.max_output_side (16384)",
        ),
        (
            r#"[{"type":"rezise"}]"#,
            "operations[0]: unknown operation `rezise`; known: resize, thumbnail, watermark, convert, pipeline",
        ),
        (r#"[{"type":"resize","width":0}]"#, "operations[0].width: 0 is less than 1"),
        (r#"[{"type":"resize","width":-5}]"#, "operations[0].width: -5 is not a whole number from 1"),
        (r#"[{"type":"resize","width":1.5}]"#, "operations[0].width: 1.5 is not a whole number from 1"),
        (r#"[{"type":"resize","width":"9"}]"#, r#"operations[0].width: "9" is not a number"#),
        (r#"[{"type":"resize"}]"#, "operations[0]: needs `width` or `height`"),
        (
            r#"[{"type":"thumbnail","size":[1,1000000000]}]"#,
            "operations[0].size[1]: 1000000000 exceeds limits.max_output_side (16384)",
        ),
        (r#"[{"type":"thumbnail","size":[1]}]"#, "operations[0].size: [1] is not [width, height]"),
        (
            r#"[{"type":"thumbnail","size":[1,1],"sise":2}]"#,
            "operations[0]: unknown field `sise` of thumbnail; known: size, format, quality, name",
        ),
        (r#"[{"type":"convert"}]"#, "operations[0].format: is missing"),
        (
            r#"[{"type":"convert","format":"avif"}]"#,
            "operations[0].format: `avif` cannot be written; known: jpeg, png, webp",
        ),
        (r#"[{"type":"convert","format":"png","quality":101}]"#, "operations[0].quality: 101 exceeds the limit (100)"),
        (r#"[{"type":"watermark","text":" "}]"#, "operations[0].text: is empty"),
        (
            r#"[{"type":"watermark","text":"a","position":"middle"}]"#,
            r#"operations[0].position: "middle" is unknown; known: top-left, top, top-right, left, center, right, bottom-left, bottom, bottom-right"#,
        ),
        (
            r#"[{"type":"watermark","text":"a","color":[1,2,256]}]"#,
            "operations[0].color: [1,2,256] is not [r, g, b] or [r, g, b, a] with values from 0 to 255",
        ),
        (r#"[{"type":"watermark","text":"a","opacity":2}]"#, "operations[0].opacity: 2 is not a number from 0 to 1"),
        (
            r#"[{"type":"pipeline","operations":[{"type":"pipeline","operations":[]}]}]"#,
            "operations[0].operations[0]: pipelines do not nest",
        ),
        (
            r#"[{"type":"pipeline","operations":[{"type":"resize","width":1,"name":"a"}]}]"#,
            "operations[0].operations[0]: unknown field `name` of resize; known: width, height, fit, gravity, enlarge, filter, background",
        ),
        (r#"[{"type":"pipeline","operations":[]}]"#, "operations[0].operations: the list is empty"),
        ("[]", "operations: the list is empty"),
        ("{}", "operations: {} is not a list"),
        ("[3]", "operations[0]: 3 is not an object"),
    ] {
        assert_eq!(refused(json), detail);
    }
}

#[test]
fn operations_inside_pipelines_count_too() {
    let thumbnail = r#"{"type":"thumbnail","size":[1,1]}"#;
    let inner = vec![thumbnail; 32].join(",");
    assert_eq!(parsed(&format!("[{inner}]")).len(), 32);
    let detail = refused(&format!(r#"[{{"type":"pipeline","operations":[{inner}]}}]"#));
    assert_eq!(detail, "operations: more than limits.max_operations (32)");
}

#[test]
fn text_length_is_limited() {
    let text = "é".repeat(501);
    let detail = refused(&format!(r#"[{{"type":"watermark","text":"{text}"}}]"#));
    assert_eq!(detail, "operations[0].text: 501 characters exceed the limit of 500");
}

#[test]
fn names_stay_inside_their_folder() {
    for name in ["../a", "a/b", "", "..", ".a", "ä", &"a".repeat(65)] {
        refused(&format!(r#"[{{"type":"thumbnail","size":[1,1],"name":"{name}"}}]"#));
    }
}

#[test]
fn broken_json_is_refused() {
    assert!(refused("[{").starts_with("operations: not valid JSON"));
}
