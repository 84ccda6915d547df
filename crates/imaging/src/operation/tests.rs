//! What is parsed, and what refusals say.

use super::*;
use crate::{Code, Format, Limits};

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
        {"type":"watermark","text":"©","opacity":0.5,"format":"webp","quality":70,"effort":7,"max_bytes":9000,
            "keep":["icc","copyright"],"name":"a-1"},
        {"type":"convert","format":"jpg","quality":"auto","progressive":true,"subsampling":"4:2:2"},
        {"type":"pipeline","operations":[{"type":"thumbnail","size":[9,9]},{"type":"convert","format":"png"}]},
        {"type":"crop","width":3,"height":4,"gravity":"smart"}, {"type":"crop","left":1,"top":2,"width":3,"height":4},
        {"type":"crop","aspect":"16:9","gravity":{"x":0.3,"y":0.2}}, {"type":"rotate","angle":-12.5},
        {"type":"flip","auto_orient":false}, {"type":"pad","left":5}, {"type":"pad","width":5,"gravity":"top"},
        {"type":"pad","aspect":"1:1","background":[1,2,3,4]}, {"type":"trim"}, {"type":"round","radius":5},
        {"type":"round","radius":"12.5%"}, {"type":"round","radius":"circle"}, {"type":"flatten"}, {"type":"blur"}, {"type":"sharpen"},
        {"type":"gamma","gamma":2.2}, {"type":"sepia"}, {"type":"invert"}, {"type":"pixelate","size":8},
        {"type":"info","gps":true}, {"type":"resize","height":8,"linear":true,"enlarge":false}]"#,
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
            "operations[0]: unknown operation `rezise`; known: resize, thumbnail, crop, rotate, flip, flop, pad, trim, \
             round, flatten, blur, sharpen, brightness, contrast, saturation, gamma, grayscale, sepia, invert, pixelate, \
             watermark, convert, info, pipeline",
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
            "operations[0]: unknown field `sise` of thumbnail; known: size, fit, gravity, background, auto_orient, format, quality, max_bytes, lossless, progressive, effort, subsampling, keep, still, name",
        ),
        (r#"[{"type":"convert"}]"#, "operations[0].format: is missing"),
        (
            r#"[{"type":"convert","format":"jxl"}]"#,
            "operations[0].format: `jxl` cannot be written; known: jpeg, png, webp, gif, bmp, tiff, avif, qoi",
        ),
        (r#"[{"type":"convert","format":"png","quality":101}]"#, "operations[0].quality: 101 exceeds the limit (100)"),
        (
            r#"[{"type":"convert","format":"png","quality":"best"}]"#,
            r#"operations[0].quality: "best" is neither a number from 1 to 100 nor "auto""#,
        ),
        (
            r#"[{"type":"convert","format":"png","quality":"auto"}]"#,
            "operations[0].quality: `auto` is not for png, only for jpeg, webp, avif",
        ),
        (
            r#"[{"type":"convert","format":"jpeg","lossless":true}]"#,
            "operations[0].lossless: is not for jpeg, only for png, webp, tiff, bmp, qoi",
        ),
        (
            r#"[{"type":"convert","format":"webp","progressive":true}]"#,
            "operations[0].progressive: is not for webp, only for jpeg",
        ),
        (r#"[{"type":"convert","format":"jpeg","effort":11}]"#, "operations[0].effort: 11 exceeds the limit (10)"),
        (
            r#"[{"type":"convert","format":"jpeg","keep":["gps"]}]"#,
            r#"operations[0].keep: "gps" is unknown; known: icc, exif, copyright"#,
        ),
        (r#"[{"type":"watermark","text":" "}]"#, "operations[0].text: is empty"),
        (r#"[{"type":"watermark","text":"\u200b\u2060\u3164"}]"#, "operations[0].text: is empty"),
        (
            r#"[{"type":"flatten","background":[1,2,3,128]}]"#,
            "operations[0].background: an alpha of 128 would not cover what is behind it",
        ),
        (
            r#"[{"type":"watermark","text":"a","position":"middle"}]"#,
            r#"operations[0].position: "middle" is unknown; known: top-left, top, top-right, left, center, right, bottom-left, bottom, bottom-right, tile"#,
        ),
        (
            r#"[{"type":"watermark","text":"a","color":[1,2,256]}]"#,
            "operations[0].color: [1,2,256] is not [r, g, b] or [r, g, b, a] with values from 0 to 255, nor a colour as CSS writes it, such as \"#ff8800\", \"orange\" or \"rgb(255 136 0 / 50%)\"",
        ),
        (r#"[{"type":"watermark","text":"a","opacity":2}]"#, "operations[0].opacity: 2 is not a number from 0 to 1"),
        (
            r#"[{"type":"pipeline","operations":[{"type":"pipeline","operations":[]}]}]"#,
            "operations[0].operations[0]: pipelines do not nest",
        ),
        (
            r#"[{"type":"pipeline","operations":[{"type":"resize","width":1,"name":"a"}]}]"#,
            "operations[0].operations[0]: unknown field `name` of resize; known: width, height, fit, gravity, enlarge, filter, background, linear",
        ),
        (
            r#"[{"type":"resize","width":1,"gravity":"middle"}]"#,
            r#"operations[0].gravity: "middle" is unknown; known: smart, top-left, top, top-right, left, center, right, bottom-left, bottom, bottom-right, or a focal point such as {"x": 0.3, "y": 0.2}"#,
        ),
        (r#"[{"type":"crop","aspect":"1:1","gravity":{"x":0.1}}]"#, "operations[0].gravity.y: is missing"),
        (
            r#"[{"type":"crop","aspect":"1:1","gravity":{"x":0.1,"y":2}}]"#,
            "operations[0].gravity.y: 2 exceeds the limit (1)",
        ),
        (
            r#"[{"type":"crop","width":5}]"#,
            "operations[0]: needs `left`, `top`, `width` and `height`; or `width` and `height`; or `aspect`",
        ),
        (
            r#"[{"type":"crop","left":1,"top":1,"width":5,"height":5,"gravity":"top"}]"#,
            "operations[0]: `gravity` means nothing beside `left` and `top`",
        ),
        (
            r#"[{"type":"crop","aspect":"16/9"}]"#,
            r#"operations[0].aspect: "16/9" is not two whole numbers from 1 to 1000, such as "16:9""#,
        ),
        (
            r#"[{"type":"pad","aspect":"1:1","top":1}]"#,
            "operations[0]: needs one of: sides (`top`, `right`, `bottom`, `left`); `width` or `height`; `aspect`",
        ),
        (r#"[{"type":"rotate"}]"#, "operations[0].angle: is missing"),
        (r#"[{"type":"rotate","angle":361}]"#, "operations[0].angle: 361 exceeds the limit (360)"),
        (r#"[{"type":"blur","sigma":0.1}]"#, "operations[0].sigma: 0.1 is less than 0.3"),
        (r#"[{"type":"blur","sigma":"2"}]"#, r#"operations[0].sigma: "2" is not a number"#),
        (r#"[{"type":"brightness"}]"#, "operations[0].amount: is missing"),
        (r#"[{"type":"trim","threshold":256}]"#, "operations[0].threshold: 256 exceeds the limit (255)"),
        (
            r#"[{"type":"round","radius":"60%"}]"#,
            r#"operations[0].radius: "60%" is not pixels from 1 to limits.max_output_side (16384), a share up to "50%", or "circle""#,
        ),
        (r#"[{"type":"info","colors":17}]"#, "operations[0].colors: 17 exceeds the limit (16)"),
        (r#"[{"type":"info","format":"png"}]"#, "operations[0]: unknown field `format` of info; known: colors, gps"),
        (
            r#"[{"type":"pipeline","operations":[{"type":"flip"},{"type":"info"}]}]"#,
            "operations[0].operations[1]: info yields no picture; it stands by itself",
        ),
        (r#"[{"type":"pipeline","operations":[]}]"#, "operations[0].operations: the list is empty"),
        (
            r#"[{"type":"pipeline","quality":"auto","operations":[{"type":"convert","format":"png"}]}]"#,
            "operations[0].quality: `auto` is not for png, only for jpeg, webp, avif",
        ),
        (
            r#"[{"type":"pipeline","progressive":true,"operations":[{"type":"convert","format":"webp"}]}]"#,
            "operations[0].progressive: is not for webp, only for jpeg",
        ),
        (
            r#"[{"type":"pipeline","format":"png","operations":[{"type":"convert","format":"webp"}]}]"#,
            "operations[0].format: is png, but the convert inside says webp",
        ),
        ("[]", "operations: the list is empty"),
        ("{}", "operations: {} is not a list"),
        ("[3]", "operations[0]: 3 is not an object"),
    ] {
        assert_eq!(refused(json), detail);
    }
}

#[test]
fn misspelt_field_is_told_before_the_one_that_is_missing() {
    for (json, field) in [
        (r#"{"type":"resize","widht":100}"#, "widht"),
        (r#"{"type":"thumbnail","sise":[1,1]}"#, "sise"),
        (r#"{"type":"crop","with":1,"height":1}"#, "with"),
        (r#"{"type":"pad","tpo":1}"#, "tpo"),
        (r#"{"type":"rotate","angel":1}"#, "angel"),
        (r#"{"type":"round","radios":1}"#, "radios"),
        (r#"{"type":"contrast","amonut":1}"#, "amonut"),
        (r#"{"type":"watermark","txt":"a"}"#, "txt"),
        (r#"{"type":"convert","fromat":"png"}"#, "fromat"),
        (r#"{"type":"pipeline","operation":[]}"#, "operation"),
        (r#"{"type":"crop","aspect":"1:1","gravity":{"x":0.1,"z":0.1}}"#, "z"),
    ] {
        let detail = refused(&format!("[{json}]"));
        assert!(detail.contains(&format!(": unknown field `{field}` of ")), "{json}: {detail}");
    }
}

#[test]
fn steps_of_a_pipeline_keep_their_numbers() {
    let json =
        r#"[{"type":"pipeline","operations":[{"type":"flip"},{"type":"convert","format":"png"},{"type":"flop"}]}]"#;
    let Action::Pipeline(Pipeline { operations }) = &parsed(json)[0].action else { panic!() };
    assert_eq!(operations.iter().map(Action::kind).collect::<Vec<_>>(), ["flip", "convert", "flop"]);
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

/// An entry that each type accepts.
const WHOLE: [(&str, &str); 24] = [
    ("resize", r#""width":1"#),
    ("thumbnail", r#""size":[1,1]"#),
    ("crop", r#""aspect":"1:1""#),
    ("rotate", r#""angle":90"#),
    ("flip", r#""name":"a""#),
    ("flop", r#""name":"a""#),
    ("pad", r#""top":1"#),
    ("trim", r#""threshold":1"#),
    ("round", r#""radius":1"#),
    ("flatten", r#""background":[1,2,3]"#),
    ("blur", r#""sigma":1"#),
    ("sharpen", r#""sigma":1"#),
    ("brightness", r#""amount":1"#),
    ("contrast", r#""amount":1"#),
    ("saturation", r#""amount":1"#),
    ("gamma", r#""gamma":1"#),
    ("grayscale", r#""name":"a""#),
    ("sepia", r#""amount":1"#),
    ("invert", r#""name":"a""#),
    ("pixelate", r#""size":1"#),
    ("watermark", r#""text":"a""#),
    ("convert", r#""format":"png""#),
    ("info", r#""colors":1"#),
    ("pipeline", r#""operations":[{"type":"flip"}]"#),
];

/// The fields that the parser of a type asks for, as its refusal of another one tells them.
fn asked(kind: &str, field: &str) -> Vec<String> {
    parsed(&format!(r#"[{{"type":"{kind}",{field}}}]"#));
    let detail = refused(&format!(r#"[{{"type":"{kind}",{field},"zzz":1}}]"#));
    let (_, known) = detail.split_once("known: ").unwrap();
    known.split(", ").map(str::to_owned).collect()
}

#[test]
fn schema_and_docs_have_exactly_the_fields_that_are_parsed() {
    assert_eq!(WHOLE.map(|(kind, _)| kind).join(", "), known());
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    for (kind, field) in WHOLE {
        let asked = asked(kind, field);
        let schema = Definition::find(kind).unwrap().schema(&Limits::default());
        let mut told: Vec<&str> = schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        told.retain(|name| *name != "type");
        told.sort_unstable();
        let mut sorted = asked.clone();
        sorted.sort();
        assert_eq!(told, sorted, "the schema of {kind}");
        let heading = format!("\n### `{kind}`");
        let section = docs.split_once(&heading).unwrap_or_else(|| panic!("no section of {kind} in the docs")).1;
        let section = section.split("\n### ").next().unwrap().split("\n## ").next().unwrap();
        let common = docs.split_once("\n## Every output").unwrap().1.split("\n## ").next().unwrap();
        for name in asked {
            let named = format!("`{name}`");
            assert!(section.contains(&named) || common.contains(&named), "the docs of {kind} lack {named}");
        }
    }
}

#[test]
fn schema_bounds_are_the_parsers() {
    // One step beyond every bound of a whole number is refused, and the bound itself is not refused for being one.
    for (kind, field) in WHOLE {
        let schema = Definition::find(kind).unwrap().schema(&Limits::default());
        for (name, told) in schema["properties"].as_object().unwrap() {
            let (Some(least), Some(most)) = (told["minimum"].as_f64(), told["maximum"].as_f64()) else { continue };
            for (value, beyond) in [(least, least - 1.0), (most, most + 1.0)] {
                let entry = |value: f64| {
                    let mut entry: serde_json::Value = serde_json::from_str(&format!("{{{field}}}")).unwrap();
                    entry["type"] = kind.into();
                    entry[name] = if told["type"] == "integer" { (value as i64).into() } else { value.into() };
                    format!("[{entry}]")
                };
                let fault = refused(&entry(beyond));
                assert!(fault.starts_with(&format!("operations[0].{name}: ")), "{fault}");
                if let Err(error) = parse(&entry(value), &Limits::default()) {
                    assert!(!error.detail.starts_with(&format!("operations[0].{name}: ")), "{error}");
                }
            }
        }
    }
}
