//! Whole pictures through `probe` and `process`: sources drawn here, outputs decoded again.

mod adjustments;
mod animations;
mod corpus;
mod differential;
mod endings;
mod estimates;
mod frames;
mod inputs;
mod lies;
mod marks;
mod outputs;
mod refusals;
mod routes;
pub(super) mod samples;
mod writing;

use std::io::Cursor;
use std::path::Path;

use super::operation::{Action, Operation, Resize, Save, Thumbnail, parse};
use super::plan::{Plan, Route};
use super::raster::Raster;
use super::{Error, Format, Info, Limits, Made, Options, Output, codec, probe, process};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)).unwrap()
}

fn made(source: &[u8], operations: &[Operation]) -> Result<Vec<Made>, Error> {
    let limits = Limits::default();
    let mut outputs: Vec<Option<Made>> = operations.iter().map(|_| None).collect();
    probe(Cursor::new(source), &limits)?;
    process(source, operations, &Options::new(&limits), &mut |i, made| {
        assert!(outputs[i].replace(made).is_none(), "output {i} came twice");
        Ok(())
    })?;
    Ok(outputs.into_iter().map(|output| output.expect("every operation yields an output")).collect())
}

fn run(source: &[u8], operations: &[Operation]) -> Result<Vec<Output>, Error> {
    Ok(made(source, operations)?.into_iter().map(picture).collect())
}

fn picture(made: Made) -> Output {
    match made {
        Made::Picture(output) => output,
        Made::Info(info) => panic!("not a picture: {info:?}"),
    }
}

fn info(source: &[u8], json: &str) -> Info {
    let operations = parse(&format!("[{json}]"), &Limits::default()).unwrap();
    match made(source, &operations).unwrap().remove(0) {
        Made::Info(info) => *info,
        Made::Picture(output) => panic!("not an answer: {output:?}"),
    }
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
    codec::decode_eight(&output.data, &facts, 1, &limits).unwrap()
}

fn png(action: Action) -> Operation {
    let save = Save { format: Some(Format::Png), ..Save::default() };
    Operation { save, ..action.into() }
}

fn thumbnail(side: u32) -> Action {
    Action::Thumbnail(Thumbnail::inside(side, side))
}

fn fill(width: u32, height: u32) -> Action {
    Action::Resize(Resize::fill(width, height))
}

/// The outputs by one of the routes: a short one, or pixels.
fn one_way(source: &[u8], operations: &[Operation], route: Option<Route>) -> Vec<Output> {
    tried(source, operations, route).expect("it does not qualify")
}

/// As [`one_way`]; `None` where a short route turns out not to be possible.
fn tried(source: &[u8], operations: &[Operation], route: Option<Route>) -> Option<Vec<Output>> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits).unwrap();
    let plan = Plan::new(&facts, operations, &limits).unwrap();
    let mut outputs: Vec<Option<Output>> = operations.iter().map(|_| None).collect();
    let mut emit = |i: usize, made| {
        outputs[i] = Some(picture(made));
        Ok(())
    };
    let options = Options::new(&limits);
    let mut run = crate::routes::Run { options: &options, warnings: Vec::new(), emit: &mut emit };
    for pass in plan.passes {
        if !crate::routes::take(source, &pass.by(route)?, &mut run).unwrap() {
            return None;
        }
    }
    Some(outputs.into_iter().flatten().collect())
}

/// The short route of a source whose outputs are made in one pass; `None` if that is pixels.
fn route(source: &[u8], operations: &[Operation]) -> Option<Route> {
    let limits = Limits::default();
    let facts = codec::inspect(Cursor::new(source), &limits).unwrap();
    let route = Plan::new(&facts, operations, &limits).unwrap().passes[0].route;
    (!matches!(route, Route::Pixels { .. } | Route::Frames)).then_some(route)
}
