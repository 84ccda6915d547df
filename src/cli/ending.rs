//! The endings of file names, as people write them.

/// The format that a file with this ending is in: `JPEG` and `jpe` as well as `jpg`.
use imaging::Format;

pub(super) fn format(ending: &str) -> Option<Format> {
    let ending = ending.to_ascii_lowercase();
    Format::from_extension(match ending.as_str() {
        "jpeg" | "jpe" | "jfif" => "jpg",
        "apng" => "png",
        "tif" => "tiff",
        "dib" => "bmp",
        usual => usual,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_read_as_people_write_them() {
        for (ending, known) in [("JPEG", "jpg"), ("jfif", "jpg"), ("tif", "tiff"), ("Dib", "bmp"), ("WebP", "webp")] {
            assert_eq!(format(ending), Format::from_extension(known), "{ending}");
        }
        assert_eq!(format("txt"), None);
    }
}
