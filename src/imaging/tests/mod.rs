//! Whole pictures through `probe` and `process`: sources drawn here, outputs decoded again.

mod corpus;
mod estimates;
mod outputs;
mod refusals;
pub(super) mod samples;

use std::io::Cursor;

use super::operation::{Action, Operation, Resize, Save, Thumbnail, parse};
use super::raster::Raster;
use super::{Error, Format, Limits, Output, codec, pipeline, planar, probe, process};

fn run(source: &[u8], operations: &[Operation]) -> Result<Vec<Output>, Error> {
    let limits = Limits::default();
    let mut outputs: Vec<Option<Output>> = operations.iter().map(|_| None).collect();
    probe(Cursor::new(source), &limits)?;
    process(source, operations, &limits, &|| false, &mut |i, output| {
        assert!(outputs[i].replace(output).is_none(), "output {i} came twice");
        Ok(())
    })?;
    Ok(outputs.into_iter().map(|output| output.expect("every operation yields an output")).collect())
}

fn one(source: &[u8], json: &str) -> Output {
    let operations = parse(&format!("[{json}]"), &Limits::default()).unwrap();
    run(source, &operations).unwrap().remove(0)
}

fn decoded(output: &Output) -> Raster {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(&output.data), &limits).unwrap();
    assert_eq!(facts.header.format, output.format);
    assert_eq!((facts.header.width, facts.header.height), (output.width, output.height));
    assert_eq!(facts.orientation, 1, "an orientation tag is left");
    codec::decode(&output.data, &facts, 1, &limits).unwrap()
}

fn png(action: Action) -> Operation {
    let save = Save { format: Some(Format::Png), ..Save::default() };
    Operation { action, save }
}

fn thumbnail(side: u32) -> Action {
    Action::Thumbnail(Thumbnail { size: [side, side] })
}

fn fill(width: u32, height: u32) -> Action {
    Action::Resize(Resize::fill(width, height))
}

/// The outputs of one of the two ways, planes or pixels.
fn one_way(source: &[u8], operations: &[Operation], planes: bool) -> Vec<Output> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits).unwrap();
    let plan = pipeline::Plan::new(&facts, operations, &limits).unwrap();
    let mut outputs: Vec<Option<Output>> = operations.iter().map(|_| None).collect();
    let mut emit = |i: usize, output| {
        outputs[i] = Some(output);
        Ok(())
    };
    let mut run = pipeline::Run { limits: &limits, interrupted: &|| false, emit: &mut emit };
    if planes {
        assert!(planar::run(source, &facts, &plan, &mut run).unwrap(), "it does not qualify");
    } else {
        pipeline::run(source, &facts, &plan, &mut run).unwrap();
    }
    outputs.into_iter().flatten().collect()
}
