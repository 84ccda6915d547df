//! Sizes and boxes, without a pixel: how a picture of one size becomes another.
//!
//! Rounds to the nearest pixel and never below one. Results may still be too large: [`check`]
//! compares them with the limits before any memory is taken.

use crate::operation::{
    Action, ActionPath, Aspect, Crop, CropArea, Filter, Fit, Gravity, Pad, PadArea, Radius, Resize, Round, Thumbnail,
};
use crate::{Code, Error, Limits, Result};

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
    /// Whether light is averaged, not the values of its curve.
    pub(crate) linear: bool,
}

/// A part of a picture, in whole pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) left: u32,
    pub(crate) top: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Canvas {
    pub(crate) size: (u32, u32),
    /// The place of the scaled picture's top left corner.
    pub(crate) offset: (u32, u32),
    pub(crate) background: Option<[u8; 4]>,
}

impl Placement {
    /// The size of the result.
    pub(crate) fn size(&self) -> (u32, u32) {
        self.canvas.as_ref().map_or(self.scaled, |canvas| canvas.size)
    }

    /// Whether all of the picture is used and nothing is added, and a picture made on the way, or decoded at a reduced
    /// scale, may serve instead: not where pixels are to be the source's own.
    pub(crate) fn is_plain(&self) -> bool {
        self.canvas.is_none() && self.whole && !self.linear && self.filter != Filter::Nearest
    }

    /// Whether it changes nothing about a picture of `size`.
    pub(crate) fn is_idle(&self, size: (u32, u32)) -> bool {
        self.canvas.is_none() && self.whole && self.scaled == size
    }
}

impl Canvas {
    /// A picture of `size` in a canvas at least as large.
    fn around(size: (u32, u32), canvas: (u32, u32), gravity: Gravity, background: Option<[u8; 4]>) -> Self {
        let room = |whole: u32, part: u32| f64::from(whole - part);
        let (x, y) = match gravity {
            Gravity::Smart => (0.5, 0.5),
            Gravity::Anchor(anchor) => anchor.fractions(),
            Gravity::Focus { x, y } => (x, y),
        };
        let offset = ((room(canvas.0, size.0) * x).round() as u32, (room(canvas.1, size.1) * y).round() as u32);
        Self { size: canvas, offset, background }
    }
}

impl Area {
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }
}

/// The placement of a picture of `size` for `resize`.
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
    let mut placement = Placement {
        crop: whole(size),
        whole: true,
        scaled: size,
        canvas: None,
        filter: resize.filter,
        linear: resize.linear,
    };
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
            placement.canvas = Some(Canvas::around(placement.scaled, canvas, resize.gravity, resize.background));
        }
        Fit::Cover => {
            let factor = if resize.enlarge { outside } else { outside.min(1.0) };
            let (target_w, target_h) = (box_w.min(w * factor).max(1.0), box_h.min(h * factor).max(1.0));
            let (crop_w, crop_h) = ((target_w / factor).min(w), (target_h / factor).min(h));
            let (left, top) = resize.gravity.corner((w, h), (crop_w, crop_h));
            placement.crop = [left, top, crop_w, crop_h];
            placement.whole = crop_w >= w && crop_h >= h;
            placement.scaled = (side(target_w), side(target_h));
        }
    }
    placement
}

/// The placement of a picture of `size` for `thumbnail`.
pub(crate) fn thumbnail(thumbnail: &Thumbnail, size: (u32, u32)) -> Placement {
    resize(&thumbnail.as_resize(), size)
}

/// The part of a picture of `size` that `crop` names, cut to the picture.
///
/// # Errors
/// `invalid-operation` if the part is outside of the picture.
pub(crate) fn crop(entry: ActionPath, crop: &Crop, size: (u32, u32)) -> Result<Area> {
    let (width, height) = match crop.area {
        CropArea::Box { left, top, width, height } => {
            if left >= size.0 || top >= size.1 {
                let (w, h) = size;
                let detail = format!("{entry}: a box from {left},{top} lies outside of a picture of {w}x{h}");
                return Err(Error::new(Code::InvalidOperation, detail));
            }
            return Ok(Area { left, top, width: width.min(size.0 - left), height: height.min(size.1 - top) });
        }
        CropArea::Size { width, height } => (width.min(size.0), height.min(size.1)),
        CropArea::Aspect { aspect } => largest_within(aspect, size),
    };
    let part = (f64::from(width), f64::from(height));
    let (left, top) = crop.gravity.corner((f64::from(size.0), f64::from(size.1)), part);
    Ok(Area { left: left.round() as u32, top: top.round() as u32, width, height })
}

/// The canvas that `pad` puts around a picture of `size`.
pub(crate) fn pad(pad: &Pad, size: (u32, u32)) -> Canvas {
    let canvas = match pad.area {
        PadArea::Sides { top, right, bottom, left } => {
            let wide = |side: u32, before: u32, after: u32| side.saturating_add(before).saturating_add(after);
            let canvas = (wide(size.0, left, right), wide(size.1, top, bottom));
            return Canvas { size: canvas, offset: (left, top), background: pad.background };
        }
        PadArea::Box { aspect: Some(aspect), .. } => smallest_around(aspect, size),
        PadArea::Box { width, height, .. } => (width.unwrap_or(0).max(size.0), height.unwrap_or(0).max(size.1)),
    };
    Canvas::around(size, canvas, Gravity::Anchor(pad.gravity), pad.background)
}

/// The size that holds all of a picture of `size` when it is turned by that many degrees.
pub(crate) fn turned(size: (u32, u32), degrees: f32) -> (u32, u32) {
    let (sin, cos) = f64::from(degrees).to_radians().sin_cos();
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    // Less than a hundredth beyond a whole pixel is a rounding error.
    let whole = |length: f64| side((length - 0.01).ceil());
    (whole((w * cos).abs() + (h * sin).abs()), whole((w * sin).abs() + (h * cos).abs()))
}

/// The most that `action` makes of a picture of which only the largest possible size is known, and whether it makes
/// exactly that.
pub(crate) fn most(action: &Action, size: (u32, u32), limits: &Limits) -> ((u32, u32), bool) {
    let resized = |wanted: &Resize| {
        let limit = limits.max_output_side;
        let (Some(width), Some(height)) = (wanted.width, wanted.height) else {
            return ((wanted.width.unwrap_or(limit), wanted.height.unwrap_or(limit)), false);
        };
        match wanted.fit {
            Fit::Contain => ((width, height), true),
            Fit::Fill | Fit::Cover if wanted.enlarge => ((width, height), true),
            Fit::Inside if wanted.enlarge => ((width, height), false),
            Fit::Outside if wanted.enlarge => ((limit, limit), false),
            Fit::Outside => (size, false),
            Fit::Fill | Fit::Cover | Fit::Inside => ((width.min(size.0), height.min(size.1)), false),
        }
    };
    match action {
        Action::Resize(wanted) => resized(wanted),
        Action::Thumbnail(wanted) => resized(&wanted.as_resize()),
        Action::Crop(Crop { area: CropArea::Box { width, height, .. } | CropArea::Size { width, height }, .. }) => {
            ((size.0.min(*width), size.1.min(*height)), false)
        }
        Action::Pad(wanted) => (pad(wanted, size).size, false),
        Action::Rotate(wanted) => (turned(size, wanted.angle), false),
        Action::Round(wanted) => (rounded(size, wanted), false),
        _ => (size, false),
    }
}

/// The size of a picture with round corners.
pub(crate) fn rounded(size: (u32, u32), wanted: &Round) -> (u32, u32) {
    if wanted.radius == Radius::Circle { middle_square(size).size() } else { size }
}

/// The square in the middle.
pub(super) fn middle_square((width, height): (u32, u32)) -> Area {
    let side = width.min(height);
    Area { left: (width - side) / 2, top: (height - side) / 2, width: side, height: side }
}

fn largest_within(aspect: Aspect, size: (u32, u32)) -> (u32, u32) {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    (side(w.min(h * aspect.ratio())), side(h.min(w / aspect.ratio())))
}

fn smallest_around(aspect: Aspect, size: (u32, u32)) -> (u32, u32) {
    let (w, h) = (f64::from(size.0), f64::from(size.1));
    (side(w.max(h * aspect.ratio())), side(h.max(w / aspect.ratio())))
}

/// Checks an output's size against the limits.
///
/// # Errors
/// `output-too-large`, naming the limit.
pub(crate) fn check(entry: ActionPath, size: (u32, u32), limits: &Limits) -> Result<()> {
    let (width, height) = size;
    let pixels = u64::from(width) * u64::from(height);
    let refuse = |name: &str, limit: u64| {
        let detail = format!("{entry}: {width}x{height} exceeds limits.{name} ({limit})");
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
    // Saturates: sizes that are too large are refused later, with the limit's name.
    (length.round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(fit: Fit, enlarge: bool) -> Placement {
        let wanted = Resize { fit, enlarge, gravity: Gravity::CENTER, ..Resize::fill(200, 200) };
        resize(&wanted, (400, 100))
    }

    #[test]
    fn thumbnail_never_enlarges() {
        assert_eq!(thumbnail(&Thumbnail::inside(150, 150), (75, 105)).scaled, (75, 105));
        assert_eq!(thumbnail(&Thumbnail::inside(150, 150), (2725, 2225)).scaled, (150, 122));
    }

    #[test]
    fn thumbnail_keeps_one_pixel_of_a_thin_line() {
        assert_eq!(thumbnail(&Thumbnail::inside(150, 150), (20_000, 1)).scaled, (150, 1));
    }

    #[test]
    fn sides_are_rounded_to_the_nearest_pixel() {
        assert_eq!(thumbnail(&Thumbnail::inside(150, 150), (400, 298)).scaled, (150, 112), "111.75");
        assert_eq!(thumbnail(&Thumbnail::inside(150, 150), (400, 299)).scaled, (150, 112), "112.125");
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
    fn box_is_cut_at_the_pictures_edges_and_no_sooner() {
        let area = |left, top, width, height| {
            let area = CropArea::Box { left, top, width, height };
            let wanted = Crop { area, gravity: Gravity::CENTER };
            crop(ActionPath::default(), &wanted, (100, 60)).map(|area| (area.left, area.top, area.width, area.height))
        };
        assert_eq!(area(0, 0, 100, 60).unwrap(), (0, 0, 100, 60));
        assert_eq!(area(30, 20, 70, 40).unwrap(), (30, 20, 70, 40));
        assert_eq!(area(30, 20, 69, 39).unwrap(), (30, 20, 69, 39));
        assert_eq!(area(30, 20, 71, 41).unwrap(), (30, 20, 70, 40));
        assert_eq!(area(99, 59, 5, 5).unwrap(), (99, 59, 1, 1));
        for (left, top) in [(100, 0), (0, 60)] {
            assert_eq!(area(left, top, 1, 1).unwrap_err().code, Code::InvalidOperation);
        }
    }

    #[test]
    fn both_limits_of_an_output_hold_exactly() {
        let limits = Limits { max_output_side: 50, max_pixels: 1000, ..Limits::default() };
        let refused = |size| check(ActionPath::default(), size, &limits).err().map(|error| error.detail);
        for size in [(50, 20), (20, 50), (25, 40), (1, 1)] {
            assert_eq!(refused(size), None, "{size:?}");
        }
        for (size, said) in [
            ((51, 1), "51x1 exceeds limits.max_output_side (50)"),
            ((1, 51), "1x51 exceeds limits.max_output_side (50)"),
            ((50, 21), "50x21 exceeds limits.max_pixels (1000)"),
            ((33, 31), "33x31 exceeds limits.max_pixels (1000)"),
        ] {
            let detail = refused(size).unwrap_or_else(|| panic!("{size:?} is not refused"));
            assert!(detail.ends_with(said), "{detail}");
        }
    }

    #[test]
    fn enormous_aspect_is_refused_by_name() {
        let wanted = Resize { height: None, ..Resize::fill(16_384, 1) };
        let size = resize(&wanted, (1, 20_000)).size();
        let error = check(ActionPath::default(), size, &Limits::default()).unwrap_err();
        assert_eq!(error.code, Code::OutputTooLarge);
        assert!(error.detail.contains("limits.max_output_side (16384)"), "{error}");
    }
}
