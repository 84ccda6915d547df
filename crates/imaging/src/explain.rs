//! The plan for a source in words, for `pixmill process --explain`. Nothing is decoded or written.

use std::fmt;
use std::io::Cursor;

use super::operation::Operation;
use super::plan::{Origin, Plan, Route};
use super::{Header, Limits, Result, codec, estimate, plan};

/// How a source's outputs would be made; [`Display`](fmt::Display) writes it in a few lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub header: Header,
    pub bytes: u64,
    /// EXIF's, 1 to 8.
    pub orientation: u8,
    /// The most memory that it takes, in bytes, by estimate.
    pub peak: u64,
    /// How often the source is read, and what comes of it each time: animations, pictures in sRGB, and those that keep
    /// the source's profile. In the order in which they are made.
    pub passes: Vec<Pass>,
}

/// Outputs that are made together, from one reading of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    pub route: Route,
    /// The size that is decoded, in pixels; `None` if nothing is decoded.
    pub decoded: Option<(u32, u32)>,
    /// In the order in which they are made.
    pub outputs: Vec<Planned>,
}

/// One output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The operation's index.
    pub index: usize,
    pub kind: &'static str,
    pub width: u32,
    pub height: u32,
    /// Whether `size` is exact. Otherwise it depends on the pixels, and this is the largest possible.
    pub settled: bool,
    /// The format and the quality.
    pub written: String,
    pub from: Origin,
}

/// Plans what [`process`](super::process) would do.
///
/// # Errors
/// As `process`, for errors that the header and the operations show.
pub fn explain(source: &[u8], operations: &[Operation], limits: &Limits) -> Result<Explanation> {
    let facts = codec::inspect(Cursor::new(source), limits)?;
    let plan = Plan::new(&facts, operations, limits)?;
    let passes = plan.passes.iter().map(|pass| Pass::of(pass, operations)).collect();
    let (header, bytes, orientation) = (facts.header, source.len() as u64, facts.orientation);
    let peak = estimate(bytes, &header, operations, limits);
    Ok(Explanation { header, bytes, orientation, peak, passes })
}

impl Pass {
    fn of(pass: &plan::Pass<'_>, operations: &[Operation]) -> Self {
        let outputs = pass.outputs.iter().map(|routed| {
            let planned = &routed.planned;
            Planned {
                index: planned.index,
                kind: operations[planned.index].kind(),
                width: planned.size.0,
                height: planned.size.1,
                settled: planned.settled,
                written: written(planned, &pass.facts),
                from: routed.from,
            }
        });
        let outputs: Vec<_> = outputs.collect();
        let decodes = outputs.iter().any(|made| made.from == Origin::Decoded);
        Self { route: pass.route, decoded: decodes.then(|| pass.decoded_size()), outputs }
    }
}

fn written(planned: &plan::Planned<'_>, facts: &codec::Facts) -> String {
    if planned.inquiry.is_some() {
        return "told as JSON".to_owned();
    }
    // Only the pixels show whether there is alpha.
    let [opaque, clear] = [false, true].map(|has_alpha| planned.target(facts, has_alpha).told());
    if opaque == clear { opaque } else { format!("{clear} where there is alpha, else {opaque}") }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header { format, width, height, frames, .. } = self.header;
        write!(f, "source       {}, {width}×{height}, {} bytes", format.title(), self.bytes)?;
        if frames != 1 {
            write!(f, ", {frames} frames")?;
        }
        if self.orientation != 1 {
            write!(f, ", stored with orientation {}", self.orientation)?;
        }
        write!(f, "\npeak memory  at most {} MB, by estimate", self.peak.div_ceil(1_000_000))?;
        for pass in &self.passes {
            let path = match pass.route {
                Route::Frames => "frames: each is decoded once and goes into all outputs",
                Route::Coefficients { .. } => "coefficients: read once, without decoding more than the outputs need",
                Route::Planes => "planes: luma and chroma as they are stored, without a trip to RGB",
                Route::Pixels { .. } => "pixels",
            };
            write!(f, "\npath         {path}\ndecoded      ")?;
            match pass.decoded {
                None => write!(f, "nothing but blocks that change")?,
                Some(size) if size == (width, height) || size == (height, width) => write!(f, "at full size")?,
                Some((width, height)) => write!(f, "at a reduced scale: {width}×{height}")?,
            }
            write!(f, "\noutputs      in the order in which they are made:")?;
            for made in &pass.outputs {
                write!(f, "\n  {made}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match self.from {
            Origin::Coefficients => "from the coefficients".to_owned(),
            Origin::Decoded => "from what is decoded".to_owned(),
            Origin::Output(index) => format!("from output {index}'s resize"),
        };
        let most = if self.settled { "" } else { "≤ " };
        let size = format!("{most}{}×{}", self.width, self.height);
        write!(f, "{}  {:<10} {size:<11} {}; {from}", self.index, self.kind, self.written)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::{defaults, parse};
    use crate::tests::samples;

    fn explained(source: &[u8], json: &str) -> Explanation {
        explain(source, &parse(json, &Limits::default()).unwrap(), &Limits::default()).unwrap()
    }

    #[test]
    fn default_job_is_told_line_by_line() {
        let source = samples::jpeg(&samples::photo(1600, 1200), 90);
        let told = explain(&source, &defaults(), &Limits::default()).unwrap();
        let expected = format!(
            "source       JPEG, 1600×1200, {} bytes\n\
             peak memory  at most {} MB, by estimate\n\
             path         coefficients: read once, without decoding more than the outputs need\n\
             decoded      at a reduced scale: 800×600\n\
             outputs      in the order in which they are made:\n  \
             0  resize     400×300     jpeg, quality 82; from what is decoded\n  \
             1  thumbnail  150×113     jpeg, quality 82; from output 0's resize\n  \
             2  watermark  1600×1200   jpeg, the source's tables; from the coefficients",
            source.len(),
            told.peak.div_ceil(1_000_000)
        );
        let smaller = r#"[{"type":"resize","width":400,"height":300}, {"type":"thumbnail","size":[150,150]},
            {"type":"watermark","text":"x"}]"#;
        assert_eq!(explained(&source, smaller).to_string(), expected);
        assert_eq!(told.passes[0].outputs[0].from, Origin::Decoded);
    }

    #[test]
    fn what_does_not_qualify_is_made_in_pixels() {
        let source = samples::file(&samples::photo(320, 240), image::ImageFormat::Png);
        let json = r#"[{"type":"resize","width":100}, {"type":"watermark","text":"x"}]"#;
        let told = explained(&source, json).passes.remove(0);
        assert_eq!((told.route, told.decoded), (Route::Pixels { shrink: 1 }, Some((320, 240))));
        assert_eq!(told.outputs[1].from, Origin::Decoded);
        assert_eq!(told.outputs[1].written, "png");
    }

    #[test]
    fn a_mark_alone_decodes_nothing_else() {
        let source = samples::jpeg(&samples::photo(320, 240), 90);
        let told = explained(&source, r#"[{"type":"watermark","text":"x","quality":60}]"#);
        assert_eq!((told.passes[0].route, told.passes[0].decoded), (Route::Coefficients { shrink: 8 }, None));
        assert!(told.to_string().contains("watermark  320×240     jpeg, quality 60; from the coefficients"), "{told}");
    }

    #[test]
    fn animations_and_kept_profiles_are_read_apart() {
        let frames = samples::gif(64, 48, 3);
        let json = r#"[{"type":"resize","width":32}, {"type":"resize","width":8}, {"type":"flip","still":true}]"#;
        let told = explained(&frames, json);
        let routes: Vec<_> = told.passes.iter().map(|pass| (pass.route, pass.outputs.len())).collect();
        assert_eq!(routes, [(Route::Frames, 2), (Route::Pixels { shrink: 1 }, 1)]);
        assert!(told.passes[0].outputs.iter().all(|made| made.from == Origin::Decoded), "{told}");
        let tight = Limits { max_frame_pixels: 64 * 48 * 3, ..Limits::default() };
        let wide = parse(r#"[{"type":"resize","width":128}]"#, &tight).unwrap();
        assert!(explain(&frames, &wide, &tight).is_err());
        let profile = moxcms::ColorProfile::new_display_p3().encode().unwrap();
        let photo = samples::jpeg_with_profile(&samples::photo(320, 240), &profile);
        let json = r#"[{"type":"resize","width":100}, {"type":"resize","width":40,"keep":["icc"]}]"#;
        let told = explained(&photo, json);
        assert_eq!(told.passes.iter().map(|pass| pass.outputs[0].index).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(told.passes[1].outputs[0].from, Origin::Decoded);
    }

    #[test]
    fn format_that_alpha_decides_is_told_both_ways() {
        let source = samples::file(&samples::photo(32, 24), image::ImageFormat::Ico);
        let told = explained(&source, r#"[{"type":"flip"}]"#);
        assert_eq!(told.passes[0].outputs[0].written, "png where there is alpha, else jpeg, quality 82");
    }

    #[test]
    fn a_plan_is_refused_as_its_job_would_be() {
        let source = samples::jpeg(&samples::photo(32, 24), 90);
        let limits = Limits { max_pixels: 100, ..Limits::default() };
        assert!(explain(&source, &defaults(), &limits).is_err());
    }
}
