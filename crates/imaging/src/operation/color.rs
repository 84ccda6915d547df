//! Colours as people write them: a list of channels, as CSS does ([CSS Color 4]), or `r,g,b[,a]` as on a command line.
//!
//! The one reader of them, for the API, the settings and the command line. Values out of range are refused, where CSS
//! would clamp them: here they are mistakes.
//!
//! [CSS Color 4]: https://www.w3.org/TR/css-color-4/

use serde_json::Value;

/// For messages: what [`read`] takes.
pub(super) const FORMS: &str = "[r, g, b] or [r, g, b, a] with values from 0 to 255, nor a colour as CSS writes it, such as \"#ff8800\", \
     \"orange\" or \"rgb(255 136 0 / 50%)\"";

/// Red, green, blue and alpha, each from 0 to 255.
pub(super) fn read(value: &Value) -> Option<[u8; 4]> {
    match value {
        Value::Array(parts) => {
            let channel = |part: &Value| part.as_u64().and_then(|n| u8::try_from(n).ok());
            of_channels(&parts.iter().map(channel).collect::<Option<Vec<u8>>>()?)
        }
        Value::String(text) => written(text.trim()),
        _ => None,
    }
}

fn written(text: &str) -> Option<[u8; 4]> {
    if let Some(digits) = text.strip_prefix('#') {
        return hex(digits);
    }
    let text = text.to_ascii_lowercase();
    if let Some((name, rest)) = text.split_once('(') {
        return function(name, rest.strip_suffix(')')?);
    }
    if text.contains(',') {
        return of_channels(&text.split(',').map(|part| part.trim().parse().ok()).collect::<Option<Vec<u8>>>()?);
    }
    if text == "transparent" {
        return Some([0; 4]);
    }
    let at = NAMES.binary_search_by_key(&text.as_str(), |(name, _)| name).ok()?;
    hex(NAMES[at].1)
}

fn of_channels(channels: &[u8]) -> Option<[u8; 4]> {
    match *channels {
        [r, g, b] => Some([r, g, b, 255]),
        [r, g, b, a] => Some([r, g, b, a]),
        _ => None,
    }
}

/// `f80`, `f808`, `ff8800` or `ff880080`.
fn hex(digits: &str) -> Option<[u8; 4]> {
    let digits: Vec<u8> = digits.chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    match digits.len() {
        3 | 4 => of_channels(&digits.iter().map(|digit| digit * 17).collect::<Vec<_>>()),
        6 | 8 => of_channels(&digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect::<Vec<_>>()),
        _ => None,
    }
}

/// `rgb(…)` or `hsl(…)`, each with an `a` behind its name or not, in the notation with commas or the one without.
fn function(name: &str, inside: &str) -> Option<[u8; 4]> {
    let (parts, alpha): (Vec<&str>, Option<&str>) = if inside.contains(',') {
        let mut parts: Vec<&str> = inside.split(',').map(str::trim).collect();
        let alpha = if parts.len() == 4 { parts.pop() } else { None };
        (parts, alpha)
    } else {
        let (parts, alpha) =
            inside.split_once('/').map_or((inside, None), |(parts, alpha)| (parts, Some(alpha.trim())));
        (parts.split_whitespace().collect(), alpha)
    };
    let [first, second, third] = parts[..] else { return None };
    let alpha = byte(alpha.map_or(Some(1.0), |alpha| share(alpha, 1.0))?);
    match name.trim_end() {
        "rgb" | "rgba" => {
            let [r, g, b] = [share(first, 255.0)?, share(second, 255.0)?, share(third, 255.0)?].map(byte);
            Some([r, g, b, alpha])
        }
        "hsl" | "hsla" => {
            let [r, g, b] = from_hsl(degrees(first)?, share(second, 100.0)?, share(third, 100.0)?).map(byte);
            Some([r, g, b, alpha])
        }
        _ => None,
    }
}

/// A percentage, or a number of `whole`, from 0 to 1.
fn share(text: &str, whole: f64) -> Option<f64> {
    if text == "none" {
        return Some(0.0);
    }
    let share = match text.strip_suffix('%') {
        Some(percent) => number(percent)? / 100.0,
        None => number(text)? / whole,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// An angle of the colour wheel.
fn degrees(text: &str) -> Option<f64> {
    if text == "none" {
        return Some(0.0);
    }
    let units = [("deg", 1.0), ("grad", 0.9), ("rad", 180.0 / std::f64::consts::PI), ("turn", 360.0)];
    let with_unit = units.iter().find_map(|(unit, degrees)| Some((text.strip_suffix(unit)?, degrees)));
    let (text, degrees) = with_unit.unwrap_or((text, &1.0));
    Some(number(text)? * degrees)
}

fn number(text: &str) -> Option<f64> {
    // Rust would also take `inf` and `nan`.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e'));
    text.parse().ok().filter(|number: &f64| plain && number.is_finite())
}

fn byte(share: f64) -> u8 {
    (share * 255.0).round() as u8
}

/// CSS Color 4, 7.1.
fn from_hsl(hue: f64, saturation: f64, lightness: f64) -> [f64; 3] {
    let reach = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue / 30.0).rem_euclid(12.0);
        (lightness - reach * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0)).clamp(0.0, 1.0)
    })
}

/// CSS' names, in the order of the alphabet.
const NAMES: [(&str, &str); 148] = [
    ("aliceblue", "f0f8ff"),
    ("antiquewhite", "faebd7"),
    ("aqua", "00ffff"),
    ("aquamarine", "7fffd4"),
    ("azure", "f0ffff"),
    ("beige", "f5f5dc"),
    ("bisque", "ffe4c4"),
    ("black", "000000"),
    ("blanchedalmond", "ffebcd"),
    ("blue", "0000ff"),
    ("blueviolet", "8a2be2"),
    ("brown", "a52a2a"),
    ("burlywood", "deb887"),
    ("cadetblue", "5f9ea0"),
    ("chartreuse", "7fff00"),
    ("chocolate", "d2691e"),
    ("coral", "ff7f50"),
    ("cornflowerblue", "6495ed"),
    ("cornsilk", "fff8dc"),
    ("crimson", "dc143c"),
    ("cyan", "00ffff"),
    ("darkblue", "00008b"),
    ("darkcyan", "008b8b"),
    ("darkgoldenrod", "b8860b"),
    ("darkgray", "a9a9a9"),
    ("darkgreen", "006400"),
    ("darkgrey", "a9a9a9"),
    ("darkkhaki", "bdb76b"),
    ("darkmagenta", "8b008b"),
    ("darkolivegreen", "556b2f"),
    ("darkorange", "ff8c00"),
    ("darkorchid", "9932cc"),
    ("darkred", "8b0000"),
    ("darksalmon", "e9967a"),
    ("darkseagreen", "8fbc8f"),
    ("darkslateblue", "483d8b"),
    ("darkslategray", "2f4f4f"),
    ("darkslategrey", "2f4f4f"),
    ("darkturquoise", "00ced1"),
    ("darkviolet", "9400d3"),
    ("deeppink", "ff1493"),
    ("deepskyblue", "00bfff"),
    ("dimgray", "696969"),
    ("dimgrey", "696969"),
    ("dodgerblue", "1e90ff"),
    ("firebrick", "b22222"),
    ("floralwhite", "fffaf0"),
    ("forestgreen", "228b22"),
    ("fuchsia", "ff00ff"),
    ("gainsboro", "dcdcdc"),
    ("ghostwhite", "f8f8ff"),
    ("gold", "ffd700"),
    ("goldenrod", "daa520"),
    ("gray", "808080"),
    ("green", "008000"),
    ("greenyellow", "adff2f"),
    ("grey", "808080"),
    ("honeydew", "f0fff0"),
    ("hotpink", "ff69b4"),
    ("indianred", "cd5c5c"),
    ("indigo", "4b0082"),
    ("ivory", "fffff0"),
    ("khaki", "f0e68c"),
    ("lavender", "e6e6fa"),
    ("lavenderblush", "fff0f5"),
    ("lawngreen", "7cfc00"),
    ("lemonchiffon", "fffacd"),
    ("lightblue", "add8e6"),
    ("lightcoral", "f08080"),
    ("lightcyan", "e0ffff"),
    ("lightgoldenrodyellow", "fafad2"),
    ("lightgray", "d3d3d3"),
    ("lightgreen", "90ee90"),
    ("lightgrey", "d3d3d3"),
    ("lightpink", "ffb6c1"),
    ("lightsalmon", "ffa07a"),
    ("lightseagreen", "20b2aa"),
    ("lightskyblue", "87cefa"),
    ("lightslategray", "778899"),
    ("lightslategrey", "778899"),
    ("lightsteelblue", "b0c4de"),
    ("lightyellow", "ffffe0"),
    ("lime", "00ff00"),
    ("limegreen", "32cd32"),
    ("linen", "faf0e6"),
    ("magenta", "ff00ff"),
    ("maroon", "800000"),
    ("mediumaquamarine", "66cdaa"),
    ("mediumblue", "0000cd"),
    ("mediumorchid", "ba55d3"),
    ("mediumpurple", "9370db"),
    ("mediumseagreen", "3cb371"),
    ("mediumslateblue", "7b68ee"),
    ("mediumspringgreen", "00fa9a"),
    ("mediumturquoise", "48d1cc"),
    ("mediumvioletred", "c71585"),
    ("midnightblue", "191970"),
    ("mintcream", "f5fffa"),
    ("mistyrose", "ffe4e1"),
    ("moccasin", "ffe4b5"),
    ("navajowhite", "ffdead"),
    ("navy", "000080"),
    ("oldlace", "fdf5e6"),
    ("olive", "808000"),
    ("olivedrab", "6b8e23"),
    ("orange", "ffa500"),
    ("orangered", "ff4500"),
    ("orchid", "da70d6"),
    ("palegoldenrod", "eee8aa"),
    ("palegreen", "98fb98"),
    ("paleturquoise", "afeeee"),
    ("palevioletred", "db7093"),
    ("papayawhip", "ffefd5"),
    ("peachpuff", "ffdab9"),
    ("peru", "cd853f"),
    ("pink", "ffc0cb"),
    ("plum", "dda0dd"),
    ("powderblue", "b0e0e6"),
    ("purple", "800080"),
    ("rebeccapurple", "663399"),
    ("red", "ff0000"),
    ("rosybrown", "bc8f8f"),
    ("royalblue", "4169e1"),
    ("saddlebrown", "8b4513"),
    ("salmon", "fa8072"),
    ("sandybrown", "f4a460"),
    ("seagreen", "2e8b57"),
    ("seashell", "fff5ee"),
    ("sienna", "a0522d"),
    ("silver", "c0c0c0"),
    ("skyblue", "87ceeb"),
    ("slateblue", "6a5acd"),
    ("slategray", "708090"),
    ("slategrey", "708090"),
    ("snow", "fffafa"),
    ("springgreen", "00ff7f"),
    ("steelblue", "4682b4"),
    ("tan", "d2b48c"),
    ("teal", "008080"),
    ("thistle", "d8bfd8"),
    ("tomato", "ff6347"),
    ("turquoise", "40e0d0"),
    ("violet", "ee82ee"),
    ("wheat", "f5deb3"),
    ("white", "ffffff"),
    ("whitesmoke", "f5f5f5"),
    ("yellow", "ffff00"),
    ("yellowgreen", "9acd32"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn colors_are_read_as_css_writes_them() {
        for (text, color) in [
            ("#fff", [255, 255, 255, 255]),
            ("#ffff", [255, 255, 255, 255]),
            ("#F80a", [255, 136, 0, 170]),
            ("#ff8800", [255, 136, 0, 255]),
            ("#ff880080", [255, 136, 0, 128]),
            ("white", [255, 255, 255, 255]),
            (" RebeccaPurple ", [102, 51, 153, 255]),
            ("grey", [128, 128, 128, 255]),
            ("transparent", [0, 0, 0, 0]),
            ("rgb(255, 136, 0)", [255, 136, 0, 255]),
            ("rgb(255 136 0)", [255, 136, 0, 255]),
            ("RGB(100% 0% 50% / 25%)", [255, 0, 128, 64]),
            ("rgb(1,2,3,.5)", [1, 2, 3, 128]),
            ("rgba(1, 2, 3, 0)", [1, 2, 3, 0]),
            ("rgb(none 2 3/none)", [0, 2, 3, 0]),
            ("hsl(0, 100%, 50%)", [255, 0, 0, 255]),
            ("hsl(120deg 100% 25%)", [0, 128, 0, 255]),
            ("hsl(-120 100 50 / 0.5)", [0, 0, 255, 128]),
            ("hsla(0.5turn, 50%, 75%, 100%)", [159, 223, 223, 255]),
            ("hsl(400grad 0% 50%)", [128, 128, 128, 255]),
            ("1, 2,3", [1, 2, 3, 255]),
            ("1,2,3,4", [1, 2, 3, 4]),
        ] {
            assert_eq!(read(&json!(text)), Some(color), "{text}");
        }
        assert_eq!(read(&json!([1, 2, 3])), Some([1, 2, 3, 255]));
        assert_eq!(read(&json!([1, 2, 3, 4])), Some([1, 2, 3, 4]));
    }

    #[test]
    fn what_is_no_color_is_refused() {
        for text in [
            "",
            "#",
            "#ff",
            "#fffff",
            "#ggg",
            "#fffé",
            "#+1+1+1",
            "fff",
            "whit",
            "currentcolor",
            "rgb",
            "rgb()",
            "rgb(1 2)",
            "rgb(1 2 3",
            "rgb(1 2 3 4)",
            "rgb(256 0 0)",
            "rgb(-1 0 0)",
            "rgb(1,2,3,4,5)",
            "rgb(nan 0 0)",
            "rgb(inf 0 0)",
            "rgb(1 2 3 / 2)",
            "hsl(0 101% 0)",
            "hsl(0px 1% 1%)",
            "lab(50 0 0)",
            "1,2",
            "1,2,256",
            "1,2,3,4,5",
            "é",
        ] {
            assert_eq!(read(&json!(text)), None, "{text}");
        }
        for value in [json!([1, 2]), json!([1, 2, 256]), json!([1.5, 2, 3]), json!(["1", 2, 3]), json!(7), json!({})] {
            assert_eq!(read(&value), None, "{value}");
        }
    }

    #[test]
    fn names_are_in_order_for_the_search() {
        assert!(NAMES.is_sorted_by(|one, next| one.0 < next.0));
        assert!(NAMES.iter().all(|(name, digits)| digits.len() == 6 && read(&json!(name)) == hex(digits)));
    }
}
