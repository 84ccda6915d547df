//! Every flag of an operation: those that the operations list themselves, and those for how outputs are written or that stand
//! for a whole list.

use std::sync::LazyLock;

use imaging::operation::{self, Flag, Sets};

/// What a flag does to the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Begins an entry of this type.
    Entry(&'static str),
    /// Sets fields of the last entry of one of its types before it.
    Field,
    /// Sets a field of every output that has no value of its own.
    Save,
    /// Stands for the whole list; no other operation may be beside it.
    Whole,
}

/// In the order of `--help`.
pub(super) static FLAGS: LazyLock<Vec<(Flag, Role)>> = LazyLock::new(|| {
    let mut flags: Vec<(Flag, Role)> = Vec::new();
    for operation in operation::LIST {
        let role = |flag: &Flag| if flag.of.is_empty() { Role::Entry(operation.name) } else { Role::Field };
        flags.extend(operation.flags.iter().map(|flag| (*flag, role(flag))));
    }
    // It is shown with the flags that say how outputs are written.
    flags.sort_by_key(|(flag, _)| flag.name == "convert");
    flags.extend(SAVE.map(|flag| (flag, Role::Save)));
    flags.extend(WHOLE.map(|flag| (flag, Role::Whole)));
    flags
});

const SAVE: [Flag; 10] = [
    Flag::new("as-stored", "", Sets::To("auto_orient", false), "Do not turn pictures upright as their EXIF says"),
    Flag::new(
        "format",
        "FORMAT",
        Sets::Text("format"),
        "Write every output as jpeg, png, webp, avif, gif, tiff, bmp or qoi [default: as the source]",
    ),
    Flag::new(
        "quality",
        "1…100|auto",
        Sets::Number("quality"),
        "Quality of JPEG, WebP (82 where unset) and AVIF (65) outputs, or the colours of PNG and GIF ones; auto: the \
         lowest that looks the same",
    ),
    Flag::new("max-bytes", "N", Sets::Number("max_bytes"), "Lower the quality until each output has at most N bytes"),
    Flag::new(
        "lossless",
        "",
        Sets::To("lossless", true),
        "Keep every pixel in WebP outputs; below --quality 100, nearly",
    ),
    Flag::new("progressive", "", Sets::To("progressive", true), "Write JPEGs that appear whole at once, and sharpen"),
    Flag::new("still", "", Sets::To("still", true), "Make pictures of an animation's first frame"),
    Flag::new("effort", "1…10", Sets::Number("effort"), "From quick to small [default: 3]"),
    Flag::new(
        "subsampling",
        "4:2:0",
        Sets::Text("subsampling"),
        "Of JPEG outputs: 4:2:0, 4:2:2 or 4:4:4 [default: 4:2:0, from quality 95 4:4:4]",
    ),
    Flag::new(
        "keep",
        "LIST",
        Sets::Value("keep", |text| text.split(',').map(str::trim).collect()),
        "What of the metadata stays, where the format has a place: icc, exif, copyright, or several as icc,copyright",
    ),
];

const WHOLE: [Flag; 3] = [
    Flag::new(
        PRESET,
        "NAME",
        Sets::Nothing,
        "The operations that have this name under [presets] in the settings: in those of the server, where one does them",
    ),
    Flag::new(
        JSON,
        "JSON|@FILE",
        Sets::Nothing,
        "The operations as JSON, as the HTTP API takes them, or @FILE to read them from",
    ),
    Flag::new(
        TUTORIAL,
        "",
        Sets::Nothing,
        "The three that the HTTP API does where a request names none: 800×600, a thumbnail in 150×150, the watermark \
         \"MySite\"",
    ),
];

pub(super) const PRESET: &str = "preset";
pub(super) const TUTORIAL: &str = "tutorial";
const JSON: &str = "operations";
