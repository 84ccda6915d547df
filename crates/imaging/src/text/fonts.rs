//! The fonts: the bundled ones, and those that the service was given.
//!
//! A text is drawn with the font that it names, then the bundled fonts, then the other given fonts. Each grapheme
//! cluster is drawn with the first font that has all of it. Bold is a face of its own if the family has one, otherwise
//! the weight axis, otherwise the regular outlines made thicker.

use std::fmt::Write;
use std::sync::OnceLock;

use harfrust::font::attribute::Style;
use harfrust::font::glyph::outline::{DrawMemory, DrawOptions, PathElement};
use harfrust::font::name::NameId;
use harfrust::{Font, GlyphId, Tag};

use super::Memory;
use super::Weight;
use super::characters::is_blank;
use crate::{Code, Error, Result};

/// In order of preference. Their origins and licences are beside the files.
const BUNDLED: [(&str, &[u8]); 16] = [
    ("NotoSans-Regular", include_bytes!("../../../../assets/fonts/NotoSans-Regular.ttf")),
    ("NotoSans-Bold", include_bytes!("../../../../assets/fonts/NotoSans-Bold.ttf")),
    ("NotoSansArabic-Regular", include_bytes!("../../../../assets/fonts/NotoSansArabic-Regular.ttf")),
    ("NotoSansArabic-Bold", include_bytes!("../../../../assets/fonts/NotoSansArabic-Bold.ttf")),
    ("NotoSansHebrew-Regular", include_bytes!("../../../../assets/fonts/NotoSansHebrew-Regular.ttf")),
    ("NotoSansHebrew-Bold", include_bytes!("../../../../assets/fonts/NotoSansHebrew-Bold.ttf")),
    ("NotoSansThai-Regular", include_bytes!("../../../../assets/fonts/NotoSansThai-Regular.ttf")),
    ("NotoSansThai-Bold", include_bytes!("../../../../assets/fonts/NotoSansThai-Bold.ttf")),
    ("NotoSansDevanagari-Regular", include_bytes!("../../../../assets/fonts/NotoSansDevanagari-Regular.ttf")),
    ("NotoSansDevanagari-Bold", include_bytes!("../../../../assets/fonts/NotoSansDevanagari-Bold.ttf")),
    ("DroidSansFallbackFull", include_bytes!("../../../../assets/fonts/DroidSansFallbackFull.ttf")),
    ("NanumSquareR", include_bytes!("../../../../assets/fonts/NanumSquareR.ttf")),
    ("NanumSquareB", include_bytes!("../../../../assets/fonts/NanumSquareB.ttf")),
    ("NotoSansSymbols-Regular", include_bytes!("../../../../assets/fonts/NotoSansSymbols-Regular.ttf")),
    ("NotoSansSymbols2-Regular", include_bytes!("../../../../assets/fonts/NotoSansSymbols2-Regular.ttf")),
    // For syllables that NanumSquare does not have.
    ("NanumGothicCoding", include_bytes!("../../../../assets/fonts/NanumGothicCoding.ttf")),
];

/// Weights from this value on count as bold.
const BOLD: f32 = 600.0;

static LIBRARY: OnceLock<Library> = OnceLock::new();

pub(crate) struct Library {
    faces: Vec<Face>,
    pub(super) memory: Memory,
}

/// One font file.
struct Face {
    /// The file's name without its ending.
    stem: String,
    family: String,
    weight: f32,
    upright: bool,
    /// Whether it is bundled with the program.
    bundled: bool,
    font: Font,
}

/// A face with its variations, ready for drawing.
#[derive(Clone)]
pub(super) struct Cut {
    pub(super) font: Font,
    /// Whether it is made for Korean. Other fonts may have a few Korean syllables.
    hangul: bool,
    /// Whether its outlines have to be made thicker.
    pub(super) embolden: bool,
}

/// The fonts of this process.
pub(crate) fn library() -> &'static Library {
    LIBRARY.get_or_init(|| Library::new(Vec::new()).expect("the bundled fonts are fonts"))
}

/// Registers fonts in this process. Call it before the first picture. Each font is a file's stem and content.
///
/// # Errors
/// `invalid-operation`, with the name of the file that is not a font.
pub(crate) fn provide(fonts: Vec<(String, Vec<u8>)>) -> Result<()> {
    let library = Library::new(fonts)?;
    LIBRARY.set(library).map_err(|_| Error::new(Code::InvalidOperation, "fonts are provided once, before any picture"))
}

impl Library {
    pub(super) fn new(given: Vec<(String, Vec<u8>)>) -> Result<Self> {
        let bundled = BUNDLED.into_iter().map(|(stem, data)| (stem.to_owned(), Font::new(data, 0), true));
        let given = given.into_iter().map(|(stem, data)| (stem, Font::new(data, 0), false));
        let face = |(stem, font, bundled): (String, Option<Font>, bool)| {
            let usable = font.filter(|font| font.charmap().has_unicode());
            let refused = |why| Error::new(Code::InvalidOperation, format!("`{stem}` {why}"));
            let font = usable.ok_or_else(|| refused("is not a font"))?;
            if font.outline_glyphs().is_empty() {
                return Err(refused("holds only pictures of its characters; give a font that has their outlines"));
            }
            Ok(Face::new(stem, font, bundled))
        };
        Ok(Self { faces: bundled.chain(given).map(face).collect::<Result<_>>()?, memory: Memory::default() })
    }

    /// Checks that a font has this name.
    ///
    /// # Errors
    /// `invalid-operation`, with a list of the known names.
    pub(crate) fn check(&self, name: &str) -> Result<()> {
        if self.faces.iter().any(|face| face.is_called(name)) {
            return Ok(());
        }
        let mut families: Vec<&str> = self.faces.iter().map(|face| face.family.as_str()).collect();
        families.dedup();
        Err(Error::new(Code::InvalidOperation, format!("there is no font `{name}`; known: {}", families.join(", "))))
    }

    /// The fonts to look for a character in, in this order.
    pub(super) fn order(&self, name: Option<&str>, weight: Weight) -> Vec<Cut> {
        let mut cuts = Vec::new();
        let named = name.and_then(|name| {
            // The name of a file selects that file; the name of a family selects the family.
            let file = self.faces.iter().find(|face| face.stem.eq_ignore_ascii_case(name));
            file.or_else(|| self.faces.iter().find(|face| face.is_called(name))).map(|face| (face, file.is_some()))
        });
        if let Some((face, alone)) = named {
            let regular = if alone { face } else { self.regular(face) };
            cuts.push(self.cut(regular, weight));
        }
        let mut seen: Vec<&Face> = Vec::new();
        for face in &self.faces {
            if !seen.iter().any(|other| other.is_sister_of(face)) {
                seen.push(face);
                cuts.push(self.cut(self.regular(face), weight));
            }
        }
        cuts
    }

    /// The regular face of the face's family.
    fn regular<'l>(&'l self, of: &'l Face) -> &'l Face {
        let faces = self.faces.iter().filter(|face| face.is_sister_of(of));
        let nearest = faces.min_by(|a, b| {
            let distance = |face: &Face| (face.weight - 400.0).abs() + if face.upright { 0.0 } else { 1000.0 };
            distance(a).total_cmp(&distance(b))
        });
        nearest.unwrap_or(of)
    }

    fn cut(&self, face: &Face, weight: Weight) -> Cut {
        if weight == Weight::Regular || face.weight >= BOLD {
            return Cut::new(face.font.clone(), false);
        }
        let sister = self.faces.iter().find(|other| {
            other.is_sister_of(face) && other.upright == face.upright && (BOLD..=800.0).contains(&other.weight)
        });
        if let Some(bold) = sister {
            return Cut::new(bold.font.clone(), false);
        }
        if face.font.axes().get_by_tag(Tag::new(b"wght")).is_some_and(|axis| axis.max_value() >= BOLD) {
            return Cut::new(face.font.instance_builder().variations([("wght", 700.0)]).build(), false);
        }
        Cut::new(face.font.clone(), true)
    }
}

impl Face {
    fn new(stem: String, font: Font, bundled: bool) -> Self {
        let name = |id| {
            let mut text = String::new();
            write!(text, "{}", font.names().get(id)?.english_or_first()?.name()).ok()?;
            Some(text).filter(|text| !text.is_empty())
        };
        let family = name(NameId::TYPOGRAPHIC_FAMILY_NAME).or_else(|| name(NameId::FAMILY_NAME));
        let attributes = font.default_attributes();
        Self {
            family: family.unwrap_or_else(|| stem.clone()),
            stem,
            weight: attributes.weight.value(),
            upright: attributes.style == Style::Normal,
            bundled,
            font,
        }
    }

    /// Whether both are of one family. A given font is not of the same family as a bundled font with the same name.
    fn is_sister_of(&self, other: &Self) -> bool {
        self.family == other.family && self.bundled == other.bundled
    }

    fn is_called(&self, name: &str) -> bool {
        self.stem.eq_ignore_ascii_case(name) || self.family.eq_ignore_ascii_case(name)
    }
}

impl Cut {
    fn new(font: Font, embolden: bool) -> Self {
        let hangul = ['한', '글'].into_iter().all(|c| font.charmap().map_unicode(c).is_some());
        Self { font, hangul, embolden }
    }

    /// Whether the font can draw the character. Some fonts list characters that they have no outline for.
    pub(super) fn has(&self, c: char) -> bool {
        let glyph = self.font.charmap().map_unicode(c).filter(|_| self.hangul || !('가'..='힣').contains(&c));
        glyph.is_some_and(|glyph| is_blank(c) || self.has_ink(glyph))
    }

    fn has_ink(&self, glyph: GlyphId) -> bool {
        let mut path: Vec<PathElement> = Vec::new();
        let drawn = self
            .font
            .outline_glyphs()
            .get(glyph)
            .is_some_and(|glyph| glyph.draw(&DrawOptions::new(), DrawMemory::Scratch, &mut path).is_ok());
        drawn && !path.is_empty()
    }
}
