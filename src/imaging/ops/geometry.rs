//! Sizes and boxes, without a pixel: how a picture of one size becomes another.
//!
//! Rounds to the nearest pixel and never below one. Results may still be too large: [`check`]
//! holds them against the limits before any memory is taken.

use crate::imaging::operation::{Filter, Fit, Resize, Thumbnail};
use crate::imaging::{Code, Error, Limits, Result};

/// A resize with every size known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Placement {
    /// The part of the source that is used: left, top, width, height.
    pub(crate) crop: [f64; 4],
    /// Whether that part is all of it.
    pub(crate) whole: bool,
    /// The size that part is scaled to.
    pub(crate) scaled: (u32, u32),
    /// A larger canvas around it.
    pub(crate) canvas: Option<Canvas>,
    pub(crate) filter: Filter,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Canvas {
    pub(crate) size: (u32, u32),
    /// Where the scaled picture's top left corner stands.
    pub(crate) offset: (u32, u32),
    pub(crate) background: Option<[u8; 4]>,
}

impl Placement {
    /// The size of the result.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.canvas.as_ref().map_or(self.scaled, |canvas| canvas.size)
    }

    /// Whether all of the picture is used and nothing is added.
    pub(crate) fn is_plain(&self) -> bool {
        self.canvas.is_none() && self.whole
    }

    /// Whether it changes nothing about a picture of `size`.
    pub(crate) fn is_idle(&self, size: (u32, u32)) -> bool {
        self.is_plain() && self.scaled == size
    }
}

/// How `size` becomes what `resize` asks for.
pub(crate) fn resize(resize: &Resize, size: (u32, u32)) -> Placement {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    let (box_w, box_h, fit) = match (resize.width, resize.height) {
        (Some(width), Some(height)) => (f64::from(width), f64::from(height), resize.fit),
        (Some(width), None) => (f64::from(width), f64::INFINITY, Fit::Inside),
        (None, Some(height)) => (f64::INFINITY, f64::from(height), Fit::Inside),
        (None, None) => (w, h, Fit::Inside),
    };
    let inside = (box_w / w).min(box_h / h);
    let outside = (box_w / w).max(box_h / h);
    let scaled_by = |factor: f64| {
        let factor = if resize.enlarge { factor } else { factor.min(1.0) };
        (side(w * factor), side(h * factor))
    };
    let mut placement = Placement { crop: whole(size), whole: true, scaled: size, canvas: None, filter: resize.filter };
    match fit {
        Fit::Fill if resize.enlarge => placement.scaled = (side(box_w), side(box_h)),
        Fit::Fill => placement.scaled = (side(box_w.min(w)), side(box_h.min(h))),
        Fit::Inside => placement.scaled = scaled_by(inside),
        Fit::Outside => placement.scaled = scaled_by(outside),
        Fit::Contain => {
            placement.scaled = scaled_by(inside);
            let canvas = (side(box_w), side(box_h));
            placement.scaled.0 = placement.scaled.0.min(canvas.0);
            placement.scaled.1 = placement.scaled.1.min(canvas.1);
            let (x, y) = resize.gravity.fractions();
            let offset = (
                (f64::from(canvas.0 - placement.scaled.0) * x).round() as u32,
                (f64::from(canvas.1 - placement.scaled.1) * y).round() as u32,
            );
            placement.canvas = Some(Canvas { size: canvas, offset, background: resize.background });
        }
        Fit::Cover => {
            let factor = if resize.enlarge { outside } else { outside.min(1.0) };
            let (target_w, target_h) = (box_w.min(w * factor).max(1.0), box_h.min(h * factor).max(1.0));
            let (crop_w, crop_h) = ((target_w / factor).min(w), (target_h / factor).min(h));
            let (x, y) = resize.gravity.fractions();
            placement.crop = [(w - crop_w) * x, (h - crop_h) * y, crop_w, crop_h];
            placement.whole = crop_w >= w && crop_h >= h;
            placement.scaled = (side(target_w), side(target_h));
        }
    }
    placement
}

/// How `size` becomes a thumbnail: inside the box, never enlarged.
pub(crate) fn thumbnail(thumbnail: &Thumbnail, size: (u32, u32)) -> Placement {
    let [width, height] = thumbnail.size;
    let mut fitted = Resize::fill(width, height);
    fitted.fit = Fit::Inside;
    fitted.enlarge = false;
    resize(&fitted, size)
}

/// Holds an output's size against the limits.
///
/// # Errors
/// `output-too-large`, naming the limit.
pub(crate) fn check(path: &str, size: (u32, u32), limits: &Limits) -> Result<()> {
    let (width, height) = size;
    let pixels = u64::from(width) * u64::from(height);
    let refuse = |name: &str, limit: u64| {
        let detail = format!("{path}: {width}x{height} exceeds limits.{name} ({limit})");
        Err(Error::new(Code::OutputTooLarge, detail))
    };
    if width.max(height) > limits.max_output_side {
        return refuse("max_output_side", limits.max_output_side.into());
    }
    if pixels > limits.max_pixels {
        return refuse("max_pixels", limits.max_pixels);
    }
    Ok(())
}

fn whole(size: (u32, u32)) -> [f64; 4] {
    [0.0, 0.0, f64::from(size.0), f64::from(size.1)]
}

fn side(length: f64) -> u32 {
    // Saturates: what is far too large is refused later, by name.
    (length.round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imaging::operation::Anchor;

    fn fit(fit: Fit, enlarge: bool) -> Placement {
        let wanted = Resize { fit, enlarge, gravity: Anchor::Center, ..Resize::fill(200, 200) };
        resize(&wanted, (400, 100))
    }

    #[test]
    fn thumbnail_never_enlarges() {
        assert_eq!(thumbnail(&Thumbnail { size: [150, 150] }, (75, 105)).scaled, (75, 105));
        assert_eq!(thumbnail(&Thumbnail { size: [150, 150] }, (2725, 2225)).scaled, (150, 122));
    }

    #[test]
    fn thumbnail_keeps_one_pixel_of_a_thin_line() {
        assert_eq!(thumbnail(&Thumbnail { size: [150, 150] }, (20_000, 1)).scaled, (150, 1));
    }

    #[test]
    fn missing_side_follows_the_aspect_ratio() {
        let wanted = Resize { height: None, ..Resize::fill(200, 1) };
        assert_eq!(resize(&wanted, (400, 100)).scaled, (200, 50));
    }

    #[test]
    fn every_fit_meets_its_box() {
        assert_eq!(fit(Fit::Fill, true).size(), (200, 200));
        assert_eq!(fit(Fit::Fill, false).size(), (200, 100));
        assert_eq!(fit(Fit::Inside, true).size(), (200, 50));
        assert_eq!(fit(Fit::Outside, true).size(), (800, 200));
        assert_eq!(fit(Fit::Outside, false).size(), (400, 100));
        let contain = fit(Fit::Contain, true);
        assert_eq!((contain.scaled, contain.size()), ((200, 50), (200, 200)));
        assert_eq!(contain.canvas.unwrap().offset, (0, 75));
        let cover = fit(Fit::Cover, true);
        assert_eq!((cover.crop, cover.size()), ([150.0, 0.0, 100.0, 100.0], (200, 200)));
        let cover = fit(Fit::Cover, false);
        assert_eq!((cover.crop, cover.size()), ([100.0, 0.0, 200.0, 100.0], (200, 100)));
    }

    #[test]
    fn enormous_aspect_is_refused_by_name() {
        let wanted = Resize { height: None, ..Resize::fill(16_384, 1) };
        let size = resize(&wanted, (1, 20_000)).size();
        let error = check("operations[0]", size, &Limits::default()).unwrap_err();
        assert_eq!(error.code, Code::OutputTooLarge);
        assert!(error.detail.contains("limits.max_output_side (16384)"), "{error}");
    }
}
