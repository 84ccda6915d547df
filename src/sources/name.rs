//! Names in URLs, in readable form.

/// The name with its percent signs decoded, if that gives text: `%E7%8C%AB.png` is `猫.png`.
pub fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match hex.filter(|_| byte == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(meant) => (bytes.push(meant), rest = &behind[2..]),
            None => (bytes.push(byte), rest = behind),
        };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| part.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_where_that_gives_text() {
        for (part, name) in [
            ("%E7%8C%AB%20x.png", "猫 x.png"),
            ("a+b%2Bc.png", "a+b+c.png"),
            ("100%.png", "100%.png"),
            ("%e9t%e9.jpg", "%e9t%e9.jpg"),
            ("", ""),
        ] {
            assert_eq!(decoded(part), name);
        }
    }
}
