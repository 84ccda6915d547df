//! The memory that a picture is expected to take, held against what pictures were seen to take.

use super::*;
use crate::{Header, estimate};

/// Resident memory at its peak above that of a tiny picture, measured on pictures of 6000×4000; in 10⁶ bytes.
const MEASURED: [(Format, f64, &str, u64); 13] = [
    (Format::Jpeg, 4.4, r#"{"type": "resize", "width": 800, "height": 600}"#, 39),
    // Progressive, 4:4:4.
    (Format::Jpeg, 6.2, r#"{"type": "watermark", "text": "x"}"#, 223),
    (
        Format::Jpeg,
        6.2,
        r#"{"type": "resize", "width": 6000, "height": 4010, "fit": "contain", "background": [0, 0, 0, 0],
            "format": "webp"}"#,
        327,
    ),
    (Format::Png, 41.7, r#"{"type": "resize", "width": 800, "height": 600}"#, 253),
    (Format::Png, 41.7, r#"{"type": "watermark", "text": "x", "format": "webp"}"#, 525),
    (Format::Png, 41.7, r#"{"type": "resize", "width": 6000, "height": 3999, "format": "webp"}"#, 814),
    (Format::WebP, 26.3, r#"{"type": "resize", "width": 800, "height": 600}"#, 238),
    (Format::Tiff, 102.3, r#"{"type": "resize", "width": 800, "height": 600}"#, 314),
    (Format::Gif, 20.1, r#"{"type": "watermark", "text": "x"}"#, 187),
    (Format::Jpeg, 1.4, r#"{"type": "resize", "width": 2600, "height": 1733, "linear": true}"#, 321),
    (Format::Png, 44.5, r#"{"type": "resize", "width": 2600, "height": 1733, "linear": true}"#, 662),
    (Format::Jpeg, 1.4, r#"{"type": "convert", "format": "webp", "lossless": true}"#, 775),
    (Format::Png, 44.5, r#"{"type": "convert", "format": "webp", "lossless": true}"#, 1053),
];

#[test]
fn no_picture_takes_more_than_its_estimate() {
    let limits = Limits::default();
    for (format, file, json, measured) in MEASURED {
        let header = Header { format, width: 6000, height: 4000, frames: 1, deep: false };
        let operations = parse(&format!("[{json}]"), &limits).unwrap();
        let estimated = estimate((file * 1e6) as u64, &header, &operations, &limits);
        assert!(estimated >= measured * 1_000_000, "{format:?} {json}: {estimated} bytes, measured {measured} MB");
    }
}

#[test]
fn estimate_of_an_animation_follows_its_frames_and_its_outputs() {
    let limits = Limits::default();
    let header = |frames| Header { format: Format::Gif, width: 400, height: 300, frames, deep: false };
    let of = |frames, json: &str| estimate(0, &header(frames), &parse(json, &limits).unwrap(), &limits);
    let one = r#"[{"type": "resize", "width": 200}]"#;
    let two = r#"[{"type": "resize", "width": 200}, {"type": "resize", "width": 200}]"#;
    assert!(of(100, one) > of(10, one) + 90 * 200 * 150 && of(10, one) > of(1, one));
    assert!(of(10, two) > of(10, one));
    let still = r#"[{"type": "resize", "width": 200, "still": true}]"#;
    assert_eq!(of(100, still), of(1, still));
}

#[test]
fn estimate_follows_the_largest_output_whichever_way_up_the_source_is() {
    let limits = Limits::default();
    let header = Header { format: Format::Png, width: 1000, height: 100, frames: 1, deep: false };
    let of = |json: &str| estimate(0, &header, &parse(json, &limits).unwrap(), &limits);
    let small = of(r#"[{"type": "resize", "width": 500}]"#);
    // Turned, it is 100 wide: 500 is then 5000 high.
    assert!(small >= 500 * 5000 * 4, "{small}");
    assert!(of(r#"[{"type": "resize", "width": 500}, {"type": "resize", "width": 900}]"#) > small);
    let refused = of(r#"[{"type": "resize", "width": 16384}]"#);
    assert!(refused >= small, "upright it fits: {refused}");
}
