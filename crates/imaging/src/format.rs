//! The file formats that are read, and which of them are written.

use serde::{Deserialize, Serialize};

/// A picture's file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    Jpeg,
    Png,
    WebP,
    Gif,
    Bmp,
    Tiff,
    Avif,
    Jxl,
    Ico,
    Qoi,
}

impl Format {
    pub const ALL: [Self; 10] = [
        Self::Jpeg,
        Self::Png,
        Self::WebP,
        Self::Gif,
        Self::Bmp,
        Self::Tiff,
        Self::Avif,
        Self::Jxl,
        Self::Ico,
        Self::Qoi,
    ];

    /// The name used in requests, answers and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Gif => "gif",
            Self::Bmp => "bmp",
            Self::Tiff => "tiff",
            Self::Avif => "avif",
            Self::Jxl => "jxl",
            Self::Ico => "ico",
            Self::Qoi => "qoi",
        }
    }

    /// The name used in sentences.
    pub fn title(self) -> &'static str {
        match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Avif => "AVIF",
            Self::Jxl => "JPEG XL",
            Self::Ico => "ICO",
            Self::Qoi => "QOI",
        }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }

    /// The format that our own outputs with this extension are in.
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension() == extension)
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Avif => "image/avif",
            Self::Jxl => "image/jxl",
            Self::Ico => "image/vnd.microsoft.icon",
            Self::Qoi => "image/qoi",
        }
    }

    /// Whether outputs can be written in this format.
    pub fn is_writable(self) -> bool {
        !matches!(self, Self::Jxl | Self::Ico)
    }

    /// Whether a source's format is that of its outputs where none is named. AVIF takes too long to be written unasked.
    pub fn is_kept(self) -> bool {
        self.is_writable() && self != Self::Avif
    }

    /// Whether `quality` means something to it: how much is lost, or the number of colours.
    pub(crate) fn has_quality(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Avif | Self::Gif)
    }

    /// Whether `quality` is a matter of looks alone, so that it can be searched for.
    pub(crate) fn is_perceptual(self) -> bool {
        matches!(self, Self::Jpeg | Self::WebP | Self::Avif)
    }

    /// Whether outputs can carry a colour profile.
    pub(crate) fn holds_profiles(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Tiff)
    }

    /// Whether outputs can carry EXIF.
    pub(crate) fn holds_exif(self) -> bool {
        matches!(self, Self::Jpeg | Self::Png | Self::WebP | Self::Tiff | Self::Avif)
    }

    /// The most pixels on a side of an output.
    pub(crate) fn max_side(self) -> u32 {
        match self {
            Self::WebP => 16_383,
            Self::Jpeg => 65_500,
            Self::Gif | Self::Avif => 65_535,
            _ => u32::MAX >> 1,
        }
    }
}
