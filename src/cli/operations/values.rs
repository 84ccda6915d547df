//! From the text behind a flag to the fields of an operation, as people write them: `800x600`, `16:9`, `#ff8000`, `.5`.

use serde_json::{Map, Value, json};

/// What takes an amount, and has a name for it on the command line that is its own.
const AMOUNTS: [&str; 3] = ["brightness", "contrast", "saturation"];
/// The fields that an entry begins with.
pub(super) fn entry(name: &str, value: &str) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    fields.insert("type".into(), name.into());
    match name {
        "resize" => {
            let wrong = || format!("--resize {value}: write 800x600, 800x (a width) or x600 (a height)");
            let (width, height) = value.split_once(['x', 'X', '×']).ok_or_else(wrong)?;
            for (side, text) in [("width", width), ("height", height)] {
                if !text.is_empty() {
                    fields.insert(side.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
                }
            }
        }
        "thumbnail" => {
            let wrong = |_| format!("--thumbnail {value}: write 150 or 200x150");
            let (width, height) = value.split_once(['x', 'X', '×']).unwrap_or((value, value));
            let sides = [width.parse::<u64>().map_err(wrong)?, height.parse::<u64>().map_err(wrong)?];
            fields.insert("size".into(), json!(sides));
        }
        "crop" => crop(&mut fields, value)?,
        "pad" => pad(&mut fields, value)?,
        "rotate" => drop(fields.insert("angle".into(), number(value))),
        "round" => drop(fields.insert("radius".into(), number(value))),
        "blur" | "sharpen" => drop(fields.insert("sigma".into(), number(value))),
        "gamma" => drop(fields.insert("gamma".into(), number(value))),
        "pixelate" => drop(fields.insert("size".into(), number(value))),
        amount if AMOUNTS.contains(&amount) => drop(fields.insert("amount".into(), number(value))),
        "watermark" => drop(fields.insert("text".into(), value.into())),
        "overlay" => {
            fields.insert("type".into(), "watermark".into());
            fields.insert("image".into(), value.into());
        }
        "convert" => drop(fields.insert("format".into(), value.into())),
        _ => {}
    }
    Ok(fields)
}

fn crop(fields: &mut Map<String, Value>, value: &str) -> Result<(), String> {
    let wrong = || format!("--crop {value}: write 400x300, 400x300+10+20 (from the left and the top) or 16:9");
    if value.contains(':') {
        fields.insert("aspect".into(), value.into());
        return Ok(());
    }
    let mut parts = value.split('+');
    let (width, height) = parts.next().and_then(|size| size.split_once(['x', 'X', '×'])).ok_or_else(wrong)?;
    let mut named = vec![("width", width), ("height", height)];
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => {}
        (Some(left), Some(top), None) => named.extend([("left", left), ("top", top)]),
        _ => return Err(wrong()),
    }
    for (name, text) in named {
        fields.insert(name.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
    }
    Ok(())
}

fn pad(fields: &mut Map<String, Value>, value: &str) -> Result<(), String> {
    let wrong = || format!("--pad {value}: write 20, 10,20,10,20 (top, right, bottom, left), 800x600 or 16:9");
    if value.contains(':') {
        fields.insert("aspect".into(), value.into());
        return Ok(());
    }
    let named: Vec<(&str, &str)> = if let Some((width, height)) = value.split_once(['x', 'X', '×']) {
        vec![("width", width), ("height", height)]
    } else {
        let parts: Vec<&str> = value.split(',').map(str::trim).collect();
        let parts = match parts[..] {
            [all] => [all; 4],
            [top, right, bottom, left] => [top, right, bottom, left],
            _ => return Err(wrong()),
        };
        ["top", "right", "bottom", "left"].into_iter().zip(parts).collect()
    };
    for (name, text) in named {
        fields.insert(name.into(), text.parse::<u64>().map_err(|_| wrong())?.into());
    }
    Ok(())
}

/// A field's name and value. What is not understood stays text, for `parse` to refuse in its own words.
pub(super) fn field<'n>(name: &'n str, value: &str) -> (&'n str, Value) {
    match name {
        "no-enlarge" => ("enlarge", false.into()),
        "as-stored" => ("auto_orient", false.into()),
        "max-bytes" => ("max_bytes", number(value)),
        "keep" => (name, value.split(',').map(str::trim).collect()),
        "gravity" => (name, point(value).unwrap_or_else(|| value.into())),
        _ if value.is_empty() => (name, true.into()),
        "line-height" => ("line_height", number(value)),
        "max-width" => ("max_width", number(value)),
        "outline" => (name, parts(value, &["width", "color"])),
        "shadow" => (name, parts(value, &["x", "y", "blur", "color"])),
        "spacing" | "angle" | "width" | "x" | "y" | "blur" | "size" | "margin" | "opacity" | "quality" | "effort"
        | "amount" | "threshold" | "colors" => (name, number(value)),
        _ => (name, value.into()),
    }
}

/// The values between commas under these names, in their order; the last may be a colour with commas of its own.
fn parts(value: &str, names: &[&str]) -> Value {
    let pairs = names.iter().zip(value.splitn(names.len(), ','));
    pairs.map(|(&name, part)| (name.to_owned(), field(name, part.trim()).1)).collect::<Map<_, _>>().into()
}

/// A number, or the text that is none.
pub(super) fn number(value: &str) -> Value {
    let json = serde_json::from_str(value).ok().filter(Value::is_number);
    // As people write them, `.5` or `+2`; no number of JSON is infinite.
    let number = || value.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from);
    json.or_else(number).unwrap_or_else(|| value.into())
}

/// A focal point.
fn point(value: &str) -> Option<Value> {
    let (x, y) = value.split_once(',')?;
    let share = |text: &str| text.trim().parse::<f64>().ok();
    Some(json!({"x": share(x)?, "y": share(y)?}))
}
