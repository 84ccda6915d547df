use clap::{Args, FromArgMatches};
use imaging::operation::{Action, Anchor, Fit, Position, Quality};

use super::flags::FLAGS;
use super::*;

fn flags(line: &[&str]) -> Result<Operations, String> {
    let matches = Operations::augment_args(Command::new("pixmill").no_binary_name(true)).get_matches_from(line);
    Operations::from_arg_matches(&matches).map_err(|error| error.to_string())
}

fn list(line: &[&str]) -> Result<Vec<Operation>, String> {
    flags(line)?.list(&Limits::default(), &presets())
}

fn presets() -> Presets {
    let card = json!([{"type": "resize", "width": 80, "format": "png"}, {"type": "flip"}]);
    Presets::from([("card".to_owned(), card), ("wide".to_owned(), json!([{"type": "resize", "width": 99999}]))])
}

fn kinds(operations: &[Operation]) -> Vec<&str> {
    operations.iter().map(Operation::kind).collect()
}

#[test]
fn flags_apply_in_the_order_written() {
    let operations = list(&["--watermark", "a", "--thumbnail", "9", "--resize", "8x6", "--watermark", "b"]).unwrap();
    assert_eq!(kinds(&operations), ["watermark", "thumbnail", "resize", "watermark"]);
}

#[test]
fn field_goes_to_the_entry_before_it() {
    let line = ["--resize", "8x6", "--resize", "80x60", "--fit", "cover", "--watermark", "a", "--position", "top"];
    let operations = list(&line).unwrap();
    let fits: Vec<Option<Fit>> = operations
        .iter()
        .map(|operation| if let Action::Resize(resize) = &operation.action { Some(resize.fit) } else { None })
        .collect();
    assert_eq!(fits, [Some(Fit::Fill), Some(Fit::Cover), None]);
    let Action::Watermark(mark) = &operations[2].action else { panic!("{operations:?}") };
    assert_eq!(mark.position, Position::At(Anchor::Top));
}

#[test]
fn operations_are_asked_for_and_the_tutorials_three_have_a_flag() {
    for line in [&[][..], &["--quality", "50"]] {
        let fault = list(line).unwrap_err();
        assert!(fault.starts_with("nothing to do: ") && fault.contains("--thumbnail 300"), "{fault}");
    }
    assert_eq!(kinds(&list(&["--format", "webp"]).unwrap()), ["convert"]);
    assert_eq!(list(&["--tutorial"]).unwrap(), operation::defaults());
    let webp = list(&["--tutorial", "--format", "webp", "--quality", "50"]).unwrap();
    assert!(webp.iter().all(|one| one.save.format == Some(Format::WebP) && one.save.quality == Some(Quality::Of(50))));
}

#[test]
fn json_is_what_http_clients_send() {
    let json = r#"[{"type":"thumbnail","size":[64,64],"format":"png"},{"type":"resize","width":80}]"#;
    let operations = list(&["--operations", json, "--format", "webp"]).unwrap();
    assert_eq!(kinds(&operations), ["thumbnail", "resize"]);
    assert_eq!(operations[0].save.format, Some(Format::Png));
    assert_eq!(operations[1].save.format, Some(Format::WebP));
}

#[test]
fn list_in_a_file_may_begin_with_a_byte_order_mark() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("list.json");
    std::fs::write(&file, "\u{feff}[{\"type\": \"flip\"}]\r\n").unwrap();
    assert_eq!(kinds(&list(&["--operations", &format!("@{}", file.display())]).unwrap()), ["flip"]);
    let fault = list(&["--operations", &format!("@{}", folder.path().join("list.jsn").display())]).unwrap_err();
    assert!(fault.contains("did you mean"), "{fault}");
}

#[test]
fn preset_stands_for_its_operations_and_takes_none_beside_it() {
    let operations = list(&["--preset", "card", "--format", "webp"]).unwrap();
    assert_eq!(kinds(&operations), ["resize", "flip"]);
    let formats: Vec<_> = operations.iter().map(|one| one.save.format).collect();
    assert_eq!(formats, [Some(Format::Png), Some(Format::WebP)]);
    for beside in [&["--flop"][..], &["--fit", "cover"], &["--operations", "[]"]] {
        let line = [&["--preset", "card"], beside].concat();
        let refused = Operations::augment_args(Command::new("pixmill").no_binary_name(true))
            .try_get_matches_from(line)
            .unwrap_err();
        assert_eq!(refused.kind(), clap::error::ErrorKind::ArgumentConflict, "{beside:?}");
    }
}

#[test]
fn preset_of_a_server_is_not_held_against_limits_here() {
    let presets = Presets::from([("mark".to_owned(), json!([{"type": "watermark", "image": "not-here"}]))]);
    let named = flags(&["--preset", "mark", "--quality", "70"]).unwrap();
    assert!(named.list(&Limits::default(), &presets).is_err());
    let (json, operations) = named.of_server("mark", &presets).unwrap();
    assert_eq!(json, r#"[{"type":"watermark","image":"not-here","quality":70}]"#);
    assert_eq!(operations[0].save.quality, Some(Quality::Of(70)));
}

#[test]
fn chain_is_one_output_in_the_format_of_its_name() {
    let chained = flags(&["--resize", "80x", "--watermark", "a"]).unwrap();
    let operation = chained.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
    assert_eq!((operation.kind(), operation.save.format), ("pipeline", Some(Format::Png)));
    let converted = flags(&["--resize", "80x", "--convert", "webp"]).unwrap();
    let operation = converted.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
    assert_eq!(operation.save.format, Some(Format::WebP));
    let json = r#"[{"type":"pipeline","operations":[{"type":"flip"},{"type":"convert","format":"webp"}]}]"#;
    let pipeline = flags(&["--operations", json]).unwrap();
    let operation = pipeline.chain(Some(Format::Png), &Limits::default(), &presets()).unwrap();
    assert_eq!(operation.save.format, Some(Format::WebP));
    let info = flags(&["--info", "--format", "png"]).unwrap();
    assert_eq!(info.chain(Some(Format::Jpeg), &Limits::default(), &presets()).unwrap().kind(), "info");
}

#[test]
fn refusals_name_the_flag() {
    for (line, said) in [
        (&["--resize", "800"][..], "--resize 800: write 800x600"),
        (&["--resize", "99999x"], "--resize 99999x: width: 99999 exceeds limits.max_output_side (16384)"),
        (&["--resize", "8x6", "--fit", "crop"], "--resize 8x6 --fit crop: fit: \"crop\" is unknown; known: fill"),
        (&["--watermark", "a", "--color", "redd"], "color: \"redd\" is not [r, g, b]"),
        (&["--fit", "cover"], "--fit cover: there is no --resize or --thumbnail before it"),
        (&["--crop", "40"], "--crop 40: write 400x300, 400x300+10+20"),
        (&["--pad", "1,2"], "--pad 1,2: write 20, 10,20,10,20"),
        (&["--blur", "soft"], "--blur soft: sigma: \"soft\" is not a number"),
        (&["--flip", "--threshold", "3"], "--threshold 3: there is no --sharpen or --trim before it"),
        (&["--convert", "jxl"], "--convert jxl: format: `jxl` cannot be written; known: jpeg, png, webp"),
        (&["--format", "bmp", "--quality", "9"], "quality: is not for bmp, only for jpeg, png, webp, avif, gif"),
        (&["--operations", "[{}]"], "--operations: operations[0].type: is missing"),
        (&["--preset", "cart"], "--preset: unknown preset `cart`; known: card, wide"),
        (&["--preset", "wide"], "--preset wide: operations[0].width: 99999 exceeds limits.max_output_side (16384)"),
    ] {
        let fault = list(line).unwrap_err();
        assert!(fault.contains(said), "{line:?}: {fault}");
    }
}

#[test]
fn every_type_has_a_flag() {
    for (line, json) in [
        (&["--crop", "40x30+1+2"][..], json!({"type": "crop", "left": 1, "top": 2, "width": 40, "height": 30})),
        (
            &["--crop", "40x30", "--gravity", "smart"],
            json!({"type": "crop", "width": 40, "height": 30, "gravity": "smart"}),
        ),
        (
            &["--crop", "16:9", "--gravity", "0.3,0.2"],
            json!({"type": "crop", "aspect": "16:9", "gravity": {"x": 0.3, "y": 0.2}}),
        ),
        (
            &["--rotate", "-12.5", "--background", "#102030"],
            json!({"type": "rotate", "angle": -12.5, "background": [16, 32, 48]}),
        ),
        (&["--flip"], json!({"type": "flip"})),
        (&["--flop"], json!({"type": "flop"})),
        (&["--pad", "5"], json!({"type": "pad", "top": 5, "right": 5, "bottom": 5, "left": 5})),
        (&["--pad", "1,2,3,4"], json!({"type": "pad", "top": 1, "right": 2, "bottom": 3, "left": 4})),
        (&["--pad", "1:1"], json!({"type": "pad", "aspect": "1:1"})),
        (&["--trim", "--threshold", "30"], json!({"type": "trim", "threshold": 30})),
        (&["--round", "circle"], json!({"type": "round", "radius": "circle"})),
        (&["--flatten", "--background", "#102030"], json!({"type": "flatten", "background": [16, 32, 48]})),
        (&["--round", "12%"], json!({"type": "round", "radius": "12%"})),
        (&["--round", "12"], json!({"type": "round", "radius": 12})),
        (&["--blur", "2.5"], json!({"type": "blur", "sigma": 2.5})),
        (&["--sharpen", "1", "--amount", "0.5"], json!({"type": "sharpen", "sigma": 1, "amount": 0.5})),
        (&["--brightness", "1.1"], json!({"type": "brightness", "amount": 1.1})),
        (&["--contrast", "1.1"], json!({"type": "contrast", "amount": 1.1})),
        (&["--saturation", "0"], json!({"type": "saturation", "amount": 0})),
        (&["--gamma", "2.2"], json!({"type": "gamma", "gamma": 2.2})),
        (&["--grayscale"], json!({"type": "grayscale"})),
        (&["--sepia", "--amount", "0.5"], json!({"type": "sepia", "amount": 0.5})),
        (&["--invert"], json!({"type": "invert"})),
        (&["--pixelate", "8"], json!({"type": "pixelate", "size": 8})),
        (&["--info", "--colors", "3", "--gps"], json!({"type": "info", "colors": 3, "gps": true})),
        (
            &["--resize", "80x", "--linear", "--no-enlarge", "--as-stored"],
            json!({"type": "resize", "width": 80, "linear": true, "enlarge": false, "auto_orient": false}),
        ),
    ] {
        let expected = operation::parse(&json!([json]).to_string(), &Limits::default()).unwrap();
        assert_eq!(list(line).unwrap(), expected, "{line:?}");
    }
    let flags: Vec<&str> = FLAGS.iter().map(|(flag, _)| flag.name).collect();
    let lacks = operation::LIST.iter().find(|kind| !flags.contains(&kind.name) && kind.name != "pipeline");
    assert!(lacks.is_none_or(|kind| panic!("{} has no flag", kind.name)));
}

#[test]
fn outline_and_shadow_are_parts_between_commas() {
    let line = ["--watermark", "a", "--outline", "1.5,#102030", "--shadow", "-2,3,4,1,2,3", "--max-width", "50%"];
    let operations = list(&line).unwrap();
    let json = r#"[{"type": "watermark", "text": "a", "outline": {"width": 1.5, "color": [16, 32, 48]},
        "shadow": {"x": -2, "y": 3, "blur": 4, "color": [1, 2, 3]}, "max_width": "50%"}]"#;
    assert_eq!(operations, operation::parse(json, &Limits::default()).unwrap());
    let fault = list(&["--overlay", "../x"]).unwrap_err();
    assert!(fault.contains("--overlay ../x: image: "), "{fault}");
}

#[test]
fn colors_are_written_as_css_does_or_as_numbers() {
    let line = ["--watermark", "a", "--color", "#f808", "--rotate", "9", "--background", "rgb(1 2 3 / 50%)"];
    let json = r#"[{"type": "watermark", "text": "a", "color": [255, 136, 0, 136]},
        {"type": "rotate", "angle": 9, "background": [1, 2, 3, 128]}]"#;
    assert_eq!(list(&line).unwrap(), operation::parse(json, &Limits::default()).unwrap());
    let line = [
        "--watermark",
        "a",
        "--outline",
        "2,rgba(1, 2, 3, .5)",
        "--shadow",
        "1,1,0,navy",
        "--trim",
        "--color",
        "1, 2,3",
    ];
    let json = r#"[{"type": "watermark", "text": "a", "outline": {"width": 2, "color": [1, 2, 3, 128]},
        "shadow": {"x": 1, "y": 1, "blur": 0, "color": [0, 0, 128]}}, {"type": "trim", "color": [1, 2, 3]}]"#;
    assert_eq!(list(&line).unwrap(), operation::parse(json, &Limits::default()).unwrap());
}
