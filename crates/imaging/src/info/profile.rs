//! The name that a colour profile gives itself.

/// From the `desc` tag of an ICC profile of version 2 or 4.
pub(super) fn name(profile: &[u8]) -> Option<String> {
    let tags = number(profile, 128)?.min(100) as usize;
    let entry = (0..tags).map(|i| 132 + 12 * i).find(|&at| profile.get(at..at + 4) == Some(b"desc"))?;
    let (offset, length) = (number(profile, entry + 4)? as usize, number(profile, entry + 8)? as usize);
    let tag = profile.get(offset..offset.checked_add(length)?)?;
    let text = match tag.get(..4)? {
        b"desc" => {
            let length = number(tag, 8)? as usize;
            String::from_utf8_lossy(tag.get(12..12usize.checked_add(length)?)?).into_owned()
        }
        // The first of its languages.
        b"mluc" => {
            let (length, offset) = (number(tag, 20)? as usize, number(tag, 24)? as usize);
            let (units, _) = tag.get(offset..offset.checked_add(length)?)?.as_chunks::<2>();
            String::from_utf16_lossy(&units.iter().map(|&unit| u16::from_be_bytes(unit)).collect::<Vec<_>>())
        }
        _ => return None,
    };
    let text: String = text.trim_end_matches('\0').chars().filter(|c| !c.is_control()).take(100).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(tag: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes.extend(1u32.to_be_bytes());
        bytes.extend(b"desc");
        bytes.extend(144u32.to_be_bytes());
        bytes.extend((tag.len() as u32).to_be_bytes());
        bytes.extend(tag);
        bytes
    }

    #[test]
    fn both_versions_are_read() {
        let old = [b"desc\0\0\0\0", &9u32.to_be_bytes()[..], b"Adobe RGB"].concat();
        assert_eq!(name(&profile(&old)).as_deref(), Some("Adobe RGB"));
        let text: Vec<u8> = "Display P3".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let head = [1u32, 12, 0, text.len() as u32, 28].map(u32::to_be_bytes).concat();
        let new = [b"mluc\0\0\0\0", head.as_slice(), &text].concat();
        assert_eq!(name(&profile(&new)).as_deref(), Some("Display P3"));
    }

    #[test]
    fn broken_profiles_have_no_name() {
        let whole = profile(&[b"desc\0\0\0\0", &9u32.to_be_bytes()[..], b"Adobe RGB"].concat());
        for end in 0..whole.len() {
            assert_eq!(name(&whole[..end]), None);
        }
        assert_eq!(name(&profile(&[b"desc\0\0\0\0", &u32::MAX.to_be_bytes()[..]].concat())), None);
    }
}
