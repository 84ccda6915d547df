//! What the queue costs, with jobs that do nothing: their groups are counted, their leases taken, their results stored.
//!
//! `cargo bench --bench queue -- --help` names the parts. Medians are printed, with the lowest and highest run. Redis is
//! started here, on a free port of the loopback; SQLite's file lies in the folder for temporary files (`TMPDIR`).

mod load;
mod place;
mod proxy;

use std::path::Path;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use load::Load;
use place::{Place, Redis};

/// The round trip to a Redis in the next building.
const ROUND_TRIP: Duration = Duration::from_millis(1);
const LANES: [usize; 4] = [1, 2, 4, 8];
/// Between two jobs that are to find the worker idle.
const IDLE: Duration = Duration::from_millis(20);

/// Measures the queue with jobs that do nothing.
#[derive(Parser)]
struct Args {
    /// What to measure; without any: all but the backlog
    #[arg(value_enum)]
    parts: Vec<Part>,
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sqlite,redis")]
    on: Vec<Kind>,
    /// Jobs a run, in groups of 1,000
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    jobs: u64,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// Calls of one worker that are on their way at a time
    #[arg(long, default_value_t = 8)]
    lanes: usize,
    /// Jobs of the backlog
    #[arg(long, default_value_t = 1_000_000)]
    waiting: usize,
    /// Let Redis keep no append-only file, as its peers' benchmarks do
    #[arg(long)]
    no_aof: bool,
    /// A JSON line a figure
    #[arg(long)]
    json: bool,
    /// What `cargo bench` hands on
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Jobs enqueued and consumed a second, and what Redis computes for one
    Throughput,
    /// From enqueueing one job to its start on an idle worker
    Latency,
    /// Share of the rate that stays at a round trip of 1 ms to Redis, by lanes
    Distance,
    /// Bytes a job while a million wait, and the rate with them waiting
    Backlog,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sqlite,
    Redis,
}

fn main() {
    let args = Args::parse();
    let all = [Part::Throughput, Part::Latency, Part::Distance];
    let parts = if args.parts.is_empty() { &all[..] } else { &args.parts };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
    for &part in parts {
        let figures = runtime.block_on(async {
            match part {
                Part::Throughput => throughput(&args).await,
                Part::Latency => latency(&args).await,
                Part::Distance => distance(&args).await,
                Part::Backlog => backlog(&args).await,
            }
        });
        figures.print(args.json);
    }
}

/// An empty queue of each kind that was asked for.
async fn places(args: &Args) -> Vec<Place> {
    let mut places = Vec::new();
    for kind in &args.on {
        places.push(match kind {
            Kind::Sqlite => Place::sqlite(),
            Kind::Redis => Place::redis(Redis::start(!args.no_aof)).await,
        });
    }
    places
}

async fn throughput(args: &Args) -> Figures {
    let mut figures = Figures::default();
    let (jobs, lanes) = (args.jobs as usize, args.lanes);
    for _ in 0..args.runs {
        for place in places(args).await {
            let (load, on) = (Load::on(&place.broker), place.name);
            let singles = jobs / 20;
            figures.add(on, "enqueued one by one", "jobs/s", load.enqueue(singles, 1).await);
            load.consume("before", lanes, singles).await;

            let before = place.cpu_us().await;
            figures.add(on, "enqueued 1,000 a group", "jobs/s", load.enqueue(jobs, load::GROUP).await);
            add_cpu(&mut figures, &place, "server's CPU to enqueue", before, jobs).await;
            let enqueued = place.cpu_us().await;
            let rate = load.consume("worker", lanes, jobs).await;
            figures.add(on, &format!("consumed, lanes: {lanes}"), "jobs/s", rate);
            add_cpu(&mut figures, &place, "server's CPU to claim and settle", enqueued, jobs).await;
            add_cpu(&mut figures, &place, "server's CPU in all", before, jobs).await;

            load.enqueue(jobs, load::GROUP).await;
            figures.add(on, "consumed, lanes: 1", "jobs/s", load.consume("lonely", 1, jobs).await);
            if let Some(folder) = place.folder() {
                figures.add(on, "the disk's own fsync", "ms", fsync_ms(folder));
            }
        }
    }
    figures
}

/// The median of a hundred: what SQLite waits for with every commit.
fn fsync_ms(folder: &Path) -> f64 {
    use std::io::Write;
    let mut file = std::fs::File::create(folder.join("fsync")).expect("the folder is writable");
    let mut took: Vec<f64> = (0..100)
        .map(|_| {
            file.write_all(&[0; 4096]).expect("the disk has room");
            let began = Instant::now();
            file.sync_data().expect("the disk takes it");
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    percentile(&mut took, 50)
}

async fn latency(args: &Args) -> Figures {
    let mut figures = Figures::default();
    // A percentile of few is a chance.
    let jobs = (args.jobs / 40).clamp(100, 1_000) as usize;
    for run in 1..=args.runs {
        for place in places(args).await {
            let mut ways = vec![(format!("{}, another process", place.name), place.another().await)];
            if place.folder().is_some() {
                ways.push((format!("{}, same process", place.name), place.broker.clone()));
            }
            for (on, submitter) in ways {
                // It pauses after each job, and would otherwise say nothing for minutes.
                eprintln!("latency, run {run} of {}: {on}, {jobs} jobs, one every {IDLE:?} …", args.runs);
                let mut took = load::starts(&place.broker, &submitter, jobs, IDLE).await;
                figures.add(&on, "enqueue to start, p50", "ms", percentile(&mut took, 50));
                figures.add(&on, "enqueue to start, p99", "ms", percentile(&mut took, 99));
            }
        }
    }
    figures
}

async fn distance(args: &Args) -> Figures {
    let mut figures = Figures::default();
    let jobs = args.jobs as usize;
    for _ in 0..args.runs {
        let near = Place::redis(Redis::start(!args.no_aof)).await;
        let far = near.behind(ROUND_TRIP).await;
        figures.add("redis, far", "round trip", "ms", load::round_trip_ms(&far).await);
        for lanes in LANES {
            let (load, from_afar) = (Load::on(&near.broker), Load::on(&far));
            load.enqueue(jobs, load::GROUP).await;
            let rate = load.consume(&format!("near-{lanes}"), lanes, jobs).await;
            load.enqueue(jobs, load::GROUP).await;
            let far_rate = from_afar.consume(&format!("far-{lanes}"), lanes, jobs).await;
            let consumed = format!("consumed, lanes: {lanes}");
            figures.add("redis, near", &consumed, "jobs/s", rate);
            figures.add("redis, far", &consumed, "jobs/s", far_rate);
            figures.add("redis, far", &format!("{consumed}, of near's"), "%", far_rate / rate * 100.0);
        }
    }
    figures
}

async fn backlog(args: &Args) -> Figures {
    let mut figures = Figures::default();
    let (jobs, lanes) = (args.jobs as usize, args.lanes);
    for _ in 0..args.runs {
        for place in places(args).await {
            let (load, on) = (Load::on(&place.broker), place.name);
            load.enqueue(jobs, load::GROUP).await;
            let before = place.cpu_us().await;
            figures.add(on, "consumed, none else waiting", "jobs/s", load.consume("alone", lanes, jobs).await);
            add_cpu(&mut figures, &place, "server's CPU, none else waiting", before, jobs).await;
            let empty = place.bytes().await;
            let waiting = args.waiting.next_multiple_of(load::GROUP);
            figures.add(on, "enqueued, up to all", "jobs/s", load.enqueue(waiting, load::GROUP).await);
            figures.add(on, "a waiting job", "bytes", (place.bytes().await - empty) / waiting as f64);
            place.at_rest().await;
            let (before, jobs) = (place.cpu_us().await, jobs.min(waiting));
            let rate = load.consume("crowded", lanes, jobs).await;
            figures.add(on, &format!("consumed, {waiting} waiting"), "jobs/s", rate);
            add_cpu(&mut figures, &place, &format!("server's CPU, {waiting} waiting"), before, jobs).await;
        }
    }
    figures
}

/// What a server has computed for each of `jobs` since it had computed `before`.
async fn add_cpu(figures: &mut Figures, place: &Place, name: &str, before: Option<f64>, jobs: usize) {
    if let (Some(before), Some(after)) = (before, place.cpu_us().await) {
        figures.add(place.name, name, "µs/job", (after - before) / jobs as f64);
    }
}

/// What was measured, in the order of its first appearance.
#[derive(Default)]
struct Figures(Vec<Figure>);

struct Figure {
    on: String,
    name: String,
    unit: &'static str,
    runs: Vec<f64>,
}

impl Figures {
    fn add(&mut self, on: &str, name: &str, unit: &'static str, value: f64) {
        match self.0.iter_mut().find(|figure| figure.on == on && figure.name == name) {
            Some(figure) => figure.runs.push(value),
            None => self.0.push(Figure { on: on.into(), name: name.into(), unit, runs: vec![value] }),
        }
    }

    fn print(self, json: bool) {
        for Figure { on, name, unit, mut runs } in self.0 {
            let median = percentile(&mut runs, 50);
            if json {
                let line = serde_json::json!({"on": on, "figure": name, "unit": unit, "median": median, "runs": runs});
                println!("{line}");
            } else {
                let (low, high) = (runs[0], runs[runs.len() - 1]);
                println!("{on:24} {name:34} {median:10.1} {unit:7} ({low:.1}–{high:.1})");
            }
        }
    }
}

/// By nearest rank; sorts.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() * percent).div_ceil(100).max(1) - 1]
}
