//! XMP: the two properties that say who made a picture and who owns it.

const MAX_CHARS: usize = 500;

/// The first text of a property that is a list, as `dc:rights` and `dc:creator` are. At most 500 characters.
pub(super) fn first_text(xmp: &[u8], property: &str) -> Option<String> {
    let text = std::str::from_utf8(xmp).ok()?;
    let (_, rest) = text.split_once(&format!("<{property}>"))?;
    let (inside, _) = rest.split_once(&format!("</{property}>"))?;
    let (_, item) = inside.split_once("<rdf:li")?;
    let (_, item) = item.split_once('>')?;
    let (item, _) = item.split_once("</rdf:li>")?;
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#169;", "©"), ("&amp;", "&")]
        .into_iter()
        .fold(item.trim().to_owned(), |text, (entity, plain)| text.replace(entity, plain));
    let plain: String = plain.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect();
    (!plain.is_empty()).then_some(plain)
}
