//! The bundled fonts, parsed once.

use std::sync::LazyLock;

use ab_glyph::FontRef;

/// In order of preference. Their origins and licences stand beside the files.
pub(super) static FONTS: LazyLock<[FontRef<'static>; 3]> = LazyLock::new(|| {
    [
        super::parse(include_bytes!("../../../assets/fonts/NotoSans-Regular.ttf")),
        super::parse(include_bytes!("../../../assets/fonts/DroidSansFallbackFull.ttf")),
        super::parse(include_bytes!("../../../assets/fonts/NanumSquareR.ttf")),
    ]
});
