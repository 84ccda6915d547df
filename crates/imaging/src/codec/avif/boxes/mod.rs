//! The container of an AVIF: ISO base media boxes, as far as a picture needs them.
//!
//! [`Container::parse`] takes the `meta` box (and, of a sequence, the `moov` box), both read whole within bounds; where
//! coded pictures lie in the file is given as ranges, which [`Container::bytes`] alone turns into bytes. Whatever points outside
//! its box or its file is an error, so that nothing here can panic or take memory that the file does not have.

mod bytes;
mod grid;
mod properties;
mod track;

use std::io::{BufRead, Seek};

use crate::codec::reader::{HeaderReader, truncated, unsupported};
use crate::{Format, Result};
use bytes::{Bytes, broken};
pub(super) use grid::Grid;
pub(super) use properties::{Nclx, Properties};
use track::Track;

/// Items beyond this have no place in a picture.
const MAX_ITEMS: usize = 4096;
/// Entries of all tables together; each costs a look through the items at most.
const MAX_ENTRIES: usize = 4 * MAX_ITEMS;
/// Names beyond this are cut.
const MAX_NAME: usize = 64;

/// The boxes of a file, as far as its picture needs them.
#[derive(Debug, Clone, Default)]
pub(super) struct Container {
    items: Vec<Item>,
    references: Vec<Reference>,
    primary: u32,
    /// The `idat` box: small items lie in it.
    idat: Vec<u8>,
    /// Of a sequence, how many pictures it has.
    pub(super) frames: u32,
    /// Read so far.
    entries: usize,
}

/// One item: a coded picture, or a grid of them, or something else.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    id: u32,
    kind: [u8; 4],
    /// What an item of the kind `mime` holds.
    content: Vec<u8>,
    in_idat: bool,
    extents: Vec<(u64, u64)>,
    properties: Properties,
}

#[derive(Debug, Clone)]
struct Reference {
    kind: [u8; 4],
    from: u32,
    to: Vec<u32>,
}

impl Container {
    /// From the bodies of `meta` and `moov`.
    pub(super) fn parse(meta: Option<&[u8]>, moov: Option<&[u8]>) -> Result<Self> {
        let mut container = Self { frames: 1, ..Self::default() };
        if let Some(meta) = meta {
            container.read_meta(meta)?;
        }
        if let Some(moov) = moov {
            container.read_moov(moov)?;
        }
        if container.items.is_empty() {
            return Err(broken("it holds no picture"));
        }
        Ok(container)
    }

    pub(super) fn primary(&self) -> Result<&Item> {
        let item = self.item(self.primary).ok_or_else(|| broken("its primary item is missing"))?;
        item.check()?;
        Ok(item)
    }

    /// The item that is `of`'s alpha channel.
    pub(super) fn alpha(&self, of: &Item) -> Option<&Item> {
        self.references
            .iter()
            .filter(|reference| &reference.kind == b"auxl" && reference.to.contains(&of.id))
            .filter_map(|reference| self.item(reference.from))
            .find(|item| item.properties.is_alpha)
    }

    /// Whether the colours of `of` are multiplied with its alpha.
    pub(super) fn is_premultiplied(&self, of: &Item) -> bool {
        self.references.iter().any(|reference| &reference.kind == b"prem" && reference.from == of.id)
    }

    /// The items that describe `of`, by what they hold: EXIF behind an offset of four bytes, and XMP.
    pub(super) fn advice(&self, of: &Item) -> [Option<&Item>; 2] {
        let describing = || {
            let references = self.references.iter();
            let references = references.filter(|reference| &reference.kind == b"cdsc" && reference.to.contains(&of.id));
            references.filter_map(|reference| self.item(reference.from))
        };
        [
            describing().find(|item| &item.kind == b"Exif"),
            describing().find(|item| &item.kind == b"mime" && item.content == b"application/rdf+xml"),
        ]
    }

    /// The tiles of a grid, row by row.
    pub(super) fn tiles(&self, of: &Item) -> Result<Vec<&Item>> {
        let ids = self.references.iter().find(|reference| &reference.kind == b"dimg" && reference.from == of.id);
        let ids = ids.map(|reference| reference.to.as_slice()).unwrap_or_default();
        let tile = |&id| self.item(id).filter(|item| item.is_coded());
        ids.iter().map(tile).collect::<Option<_>>().ok_or_else(|| broken("a tile of its grid is missing"))
    }

    /// An item's bytes in the file `source`.
    pub(super) fn bytes(&self, item: &Item, source: &[u8]) -> Result<Vec<u8>> {
        let place = if item.in_idat { self.idat.as_slice() } else { source };
        let mut bytes = Vec::new();
        for &(offset, length) in &item.extents {
            // A length of 0 stands for all that is left.
            let end = if length == 0 { Some(place.len() as u64) } else { offset.checked_add(length) };
            let range = usize::try_from(offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
            let extent = range.and_then(|(start, end)| place.get(start..end));
            let extent = extent.ok_or_else(|| truncated(Format::Avif, "the file ends before its picture does"))?;
            // Extents may overlap, and so say more than the file holds.
            if bytes.len() + extent.len() > source.len() {
                return Err(broken("its extents overlap"));
            }
            bytes.extend_from_slice(extent);
        }
        if bytes.is_empty() {
            return Err(broken("an item is empty"));
        }
        Ok(bytes)
    }

    /// As [`Self::bytes`], from a file that is read; at most `most` bytes.
    pub(super) fn read<R: BufRead + Seek>(
        &self,
        item: &Item,
        reader: &mut HeaderReader<R>,
        most: usize,
    ) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for &(offset, length) in &item.extents {
            let length = usize::try_from(length).ok().filter(|&length| length > 0 && bytes.len() + length <= most);
            let length = length.ok_or_else(|| broken("an item is too long"))?;
            if item.in_idat {
                let start = usize::try_from(offset).ok();
                let extent = start.and_then(|start| self.idat.get(start..start.checked_add(length)?));
                bytes.extend_from_slice(extent.ok_or_else(|| broken("an item is cut off"))?);
            } else {
                reader.seek(offset)?;
                bytes.extend(reader.vec(length)?);
            }
        }
        Ok(bytes)
    }

    fn item(&self, id: u32) -> Option<&Item> {
        self.items.iter().find(|item| item.id == id)
    }

    fn count_entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(broken("its tables are too long"));
        }
        Ok(())
    }

    fn slot(&mut self, id: u32) -> Result<&mut Item> {
        if let Some(at) = self.items.iter().position(|item| item.id == id) {
            return Ok(&mut self.items[at]);
        }
        if self.items.len() >= MAX_ITEMS {
            return Err(broken("it has too many items"));
        }
        self.items.push(Item { id, ..Item::default() });
        Ok(self.items.last_mut().expect("it was just put there"))
    }

    fn read_meta(&mut self, meta: &[u8]) -> Result<()> {
        let mut meta = Bytes(meta);
        meta.skip(4)?;
        let mut properties = None;
        while let Some((kind, body)) = meta.child()? {
            match &kind {
                b"pitm" => self.read_primary(body)?,
                b"iinf" => self.read_infos(body)?,
                b"iloc" => self.read_locations(body)?,
                b"iref" => self.read_references(body)?,
                b"iprp" => properties = Some(body),
                b"idat" => self.idat = body.0.to_vec(),
                _ => {}
            }
        }
        match properties {
            Some(body) => self.read_properties(body),
            None => Ok(()),
        }
    }

    fn read_primary(&mut self, mut body: Bytes<'_>) -> Result<()> {
        let (version, _) = body.full()?;
        self.primary = body.number(if version == 0 { 2 } else { 4 })? as u32;
        Ok(())
    }

    fn read_infos(&mut self, mut body: Bytes<'_>) -> Result<()> {
        let (version, _) = body.full()?;
        body.skip(if version == 0 { 2 } else { 4 })?;
        while let Some((kind, mut info)) = body.child()? {
            if &kind != b"infe" {
                continue;
            }
            self.count_entry()?;
            let (version, _) = info.full()?;
            // Older versions know no kinds of items.
            if !matches!(version, 2 | 3) {
                continue;
            }
            let id = info.number(if version == 2 { 2 } else { 4 })? as u32;
            info.skip(2)?;
            let kind = info.array()?;
            let mut texts = info.0.split(|&byte| byte == 0);
            let content = if &kind == b"mime" { texts.nth(1).unwrap_or_default() } else { &[] };
            let item = self.slot(id)?;
            item.kind = kind;
            item.content = content.get(..MAX_NAME.min(content.len())).unwrap_or_default().to_vec();
        }
        Ok(())
    }

    fn read_locations(&mut self, mut body: Bytes<'_>) -> Result<()> {
        let (version, _) = body.full()?;
        let sizes = body.number(2)?;
        let [offset_size, length_size, base_size, index_size] =
            [12, 8, 4, 0].map(|shift| (sizes >> shift & 15) as usize);
        if [offset_size, length_size, base_size, index_size].iter().any(|size| !matches!(size, 0 | 4 | 8)) {
            return Err(broken("its item locations are not understood"));
        }
        let wide = if version < 2 { 2 } else { 4 };
        let count = body.number(wide)?;
        for _ in 0..count {
            self.count_entry()?;
            let id = body.number(wide)? as u32;
            let method = if version == 0 { 0 } else { body.number(2)? & 15 };
            body.skip(2)?;
            let base = body.number(base_size)?;
            let extents = body.number(2)? as usize;
            // A piece may take no room here.
            for _ in 0..extents {
                self.count_entry()?;
            }
            let item = self.slot(id)?;
            item.in_idat = method == 1;
            item.extents.clear();
            for _ in 0..extents {
                if version > 0 {
                    body.skip(index_size)?;
                }
                let offset = base.checked_add(body.number(offset_size)?);
                let offset = offset.ok_or_else(|| broken("an offset is out of range"))?;
                item.extents.push((offset, body.number(length_size)?));
            }
            // Items built of other items are not needed for pictures: without extents they hold nothing.
            if method > 1 {
                item.extents.clear();
            }
        }
        Ok(())
    }

    fn read_references(&mut self, mut body: Bytes<'_>) -> Result<()> {
        let (version, _) = body.full()?;
        let wide = if version == 0 { 2 } else { 4 };
        while let Some((kind, mut list)) = body.child()? {
            let from = list.number(wide)? as u32;
            let count = list.number(2)?;
            for _ in 0..=count {
                self.count_entry()?;
            }
            let to = (0..count).map(|_| list.number(wide).map(|id| id as u32)).collect::<Result<_>>()?;
            self.references.push(Reference { kind, from, to });
        }
        Ok(())
    }

    fn read_properties(&mut self, mut body: Bytes<'_>) -> Result<()> {
        let (mut properties, mut associations) = (Vec::new(), Vec::new());
        while let Some((kind, mut inner)) = body.child()? {
            match &kind {
                b"ipco" => {
                    while let Some(property) = inner.child()? {
                        self.count_entry()?;
                        properties.push(property);
                    }
                }
                b"ipma" => associations.push(inner),
                _ => {}
            }
        }
        for mut list in associations {
            let (version, flags) = list.full()?;
            for _ in 0..list.number(4)? {
                self.count_entry()?;
                let id = list.number(if version == 0 { 2 } else { 4 })? as u32;
                let count = list.number(1)?;
                // Only items that are there have properties.
                let at = self.items.iter().position(|item| item.id == id);
                for _ in 0..count {
                    self.count_entry()?;
                    let (essential, index) = if flags & 1 == 0 {
                        let value = list.number(1)?;
                        (value >> 7 == 1, value & 0x7f)
                    } else {
                        let value = list.number(2)?;
                        (value >> 15 == 1, value & 0x7fff)
                    };
                    let property = (index as usize).checked_sub(1).and_then(|index| properties.get(index));
                    if let (Some(at), Some((kind, body))) = (at, property) {
                        // A profile may be long, and only the picture's own is of use.
                        if kind == b"colr" && id != self.primary && !body.0.starts_with(b"nclx") {
                            continue;
                        }
                        self.items[at].properties.read(*kind, *body, essential)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Of a sequence: how many pictures, and where there is no still item, the first one.
    fn read_moov(&mut self, moov: &[u8]) -> Result<()> {
        let has_still = self.item(self.primary).is_some_and(|item| item.is_coded() || &item.kind == b"grid");
        let mut moov = Bytes(moov);
        let mut found = 0;
        while let Some((kind, track)) = moov.child()? {
            if &kind != b"trak" {
                continue;
            }
            let Some(track) = Track::read(track)? else { continue };
            if !track.is_alpha {
                self.frames = self.frames.max(track.samples);
            }
            found += 1;
            if has_still || found > 2 {
                continue;
            }
            let id = 0x1_0000 + found;
            let properties = Properties { size: Some(track.size), is_alpha: track.is_alpha, ..Properties::default() };
            let item = Item { id, kind: *b"av01", extents: vec![track.first], properties, ..Item::default() };
            if track.is_alpha {
                self.references.push(Reference { kind: *b"auxl", from: id, to: vec![0x1_0001] });
            } else {
                self.primary = id;
            }
            self.items.push(item);
        }
        Ok(())
    }
}

impl Item {
    pub(super) fn properties(&self) -> &Properties {
        &self.properties
    }

    pub(super) fn is_coded(&self) -> bool {
        &self.kind == b"av01"
    }

    pub(super) fn is_grid(&self) -> bool {
        &self.kind == b"grid"
    }

    fn is_picture(&self) -> bool {
        self.is_coded() || self.is_grid()
    }

    pub(super) fn check(&self) -> Result<()> {
        if let Some(name) = &self.properties.unknown {
            return Err(unsupported(Format::Avif, format!("it needs the property {name}")));
        }
        if !self.is_picture() {
            let kind = String::from_utf8_lossy(&self.kind).into_owned();
            return Err(unsupported(Format::Avif, format!("its picture is coded as {kind:?}, not as AV1")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_boxes_are_errors() {
        assert!(Container::parse(None, None).is_err());
        assert!(Container::parse(Some(b"\0\0"), None).is_err());
        assert!(Container::parse(Some(b"\0\0\0\0\0\0\0\x04pitm"), None).is_err());
        assert!(Container::parse(Some(b"\0\0\0\0\0\0\0\xffpitm\0\0\0\0\0\x01"), None).is_err());
    }
}
