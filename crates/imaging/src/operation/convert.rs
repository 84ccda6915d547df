//! `convert`: a picture that is only written anew.

use super::Action;
use super::definition::Definition;
use super::flag::{Flag, Sets};

pub(super) const CONVERT: Definition = Definition {
    name: "convert",
    about: "Only written anew.",
    fields: |_| vec![],
    // One of the fields that every output has.
    required: &["format"],
    parse: |_, _| Ok(Action::Convert),
    flags: &[Flag::new(
        "convert",
        "FORMAT",
        Sets::Text("format"),
        "Write as jpeg, png, webp, avif, gif, tiff, bmp or qoi",
    )],
};
