//! How fast the operations are: `cargo bench -p kinora-kernels`.
//!
//! Prints a table and, with `--json FILE`, writes a line for each row. With `--peer` PyTorch does the same work in turns with ours, two
//! calls a turn of which the second counts, and the ratio of the medians is printed; `PYTHON` names the interpreter that has it. `KINORA_CPU` lowers the level, of the
//! peer too. `--only TEXT` runs the operations whose name holds it.
//!
//! With `--accuracy` nothing is timed: errors of bf16 against f64 are printed, ours and PyTorch's.
//!
//! Each result is compared with the portable level's before anything is timed.

mod accuracy;
mod cases;
mod peer;
mod report;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cases::{Case, Ours, SAMPLES};
use kinora_kernels::{Allocator, Level, Precision, cpu};
use peer::Peer;
use report::Row;

/// The program's.
#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Each row is timed until this much was spent on it, or this often.
const BUDGET: Duration = Duration::from_secs(6);
const MOST_CALLS: usize = 25;
const FEWEST_CALLS: usize = 5;

/// Each peak is measured for so long.
const PEAK_TIME: Duration = Duration::from_millis(300);

/// Between two turns: threads that spin for more work, for some milliseconds, would take it from the other side.
const REST: Duration = Duration::from_millis(20);

fn main() {
    if let Err(message) = run(&Options::parse()) {
        eprintln!("error: {message}");
        std::process::exit(1);
    }
}

#[derive(Default)]
struct Options {
    peer: bool,
    accuracy: bool,
    json: Option<PathBuf>,
    only: Option<String>,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--peer" => options.peer = true,
                "--accuracy" => options.accuracy = true,
                "--json" => options.json = words.next().map(PathBuf::from),
                "--only" => options.only = words.next(),
                // Cargo adds it.
                "--bench" => {}
                other => {
                    eprintln!(
                        "usage: cargo bench -p kinora-kernels -- [--peer] [--accuracy] [--json FILE] [--only OP]; not {other}"
                    );
                    std::process::exit(2);
                }
            }
        }
        options
    }

    /// Those that were asked for.
    fn cases(&self) -> impl Iterator<Item = Case> {
        cases::all().into_iter().filter(|case| {
            let only = self.only.as_ref();
            only.is_none_or(|only| case.op().contains(only.as_str()))
        })
    }
}

/// The table of errors.
fn compare(options: &Options, level: Level, threads: usize) -> Result<(), String> {
    if !level.has_bf16() {
        return Err("this level multiplies f32 alone".into());
    }
    let mut peer = Peer::start(level, threads)?;
    println!("{}", accuracy::HEAD);
    for case in options.cases().filter(|case| case.has_products()) {
        println!("{}", accuracy::line(case, &mut peer)?);
    }
    Ok(())
}

fn run(options: &Options) -> Result<(), String> {
    if let Ok(name) = std::env::var("KINORA_CPU") {
        let limit =
            Level::from_name(&name).ok_or_else(|| format!("KINORA_CPU={name} is no level"))?;
        cpu::limit_level(limit);
    }
    let level = cpu::level();
    let threads = rayon::current_num_threads();
    println!("level {}, {threads} threads", cpu::level_report());
    if options.accuracy {
        return compare(options, level, threads);
    }
    let peaks = Peaks::measure();
    println!("peak, registers only: {}", peaks.describe());
    let mut peer = match options.peer {
        true => Some(Peer::start(level, threads)?),
        false => None,
    };
    let mut rows = Vec::new();
    println!("{}", report::HEAD);
    for case in options.cases() {
        for precision in [Precision::F32, Precision::Bf16] {
            let once = !case.has_products() || case.fixed_dtype().is_some();
            if precision == Precision::Bf16 && (!level.has_bf16() || once) {
                continue;
            }
            let row = measure(case, precision, level, &peaks, peer.as_mut())?;
            println!("{row}");
            rows.push(row);
        }
    }
    if !level.has_bf16() {
        println!("bf16 rows are left out: this level multiplies f32 alone");
    }
    match &options.json {
        Some(path) => {
            report::write_lines(path, &rows).map_err(|error| format!("{}: {error}", path.display()))
        }
        None => Ok(()),
    }
}

fn measure(
    case: Case,
    precision: Precision,
    level: Level,
    peaks: &Peaks,
    peer: Option<&mut Peer>,
) -> Result<Row, String> {
    let mut ours = Ours::new(case, precision);
    check(&mut ours, level, precision)?;
    // PyTorch has no such product for a plain layer: compare with the row in bf16.
    let mut peer = peer.filter(|_| case.fixed_dtype().is_none());
    if let Some(peer) = &mut peer {
        let theirs = peer.prepare(case, report::dtype_name(precision), SAMPLES)?;
        cases::compare(&ours.sample(SAMPLES), &theirs, precision)
            .map_err(|what| format!("{case} against the peer: {what}"))?;
    }
    let (mut mine, mut others) = (Vec::new(), Vec::new());
    let start = Instant::now();
    while mine.len() < FEWEST_CALLS || (mine.len() < MOST_CALLS && start.elapsed() < BUDGET) {
        // The first call of each turn brings back what the other side drove out of the caches.
        std::thread::sleep(REST);
        ours.call();
        let call = Instant::now();
        ours.call();
        mine.push(call.elapsed().as_secs_f64() * 1e3);
        black_box(ours.sample(SAMPLES));
        if let Some(peer) = &mut peer {
            std::thread::sleep(REST);
            peer.call()?;
            others.push(peer.call()?);
        }
    }
    let ms = median(&mut mine);
    let peer_ms = (!others.is_empty()).then(|| median(&mut others));
    Ok(Row::new(
        case,
        precision,
        level,
        ms,
        match case.fixed_dtype() {
            Some(_) => peaks.int8,
            None => Some(peaks.of(precision)),
        },
        peer_ms,
    ))
}

/// The portable level has its own tests against a reference in f64.
fn check(ours: &mut Ours, level: Level, precision: Precision) -> Result<(), String> {
    cpu::limit_level(Level::Portable);
    ours.call();
    let expected = ours.sample(SAMPLES);
    cpu::limit_level(level);
    ours.call();
    cases::compare(&ours.sample(SAMPLES), &expected, precision)
        .map_err(|what| format!("{} against the portable level: {what}", ours.case()))
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// What the processor can do at most, in GFLOP/s.
struct Peaks {
    f32: f64,
    bf16: f64,
    /// `None` where the level has no such products.
    int8: Option<f64>,
}

impl Peaks {
    fn measure() -> Self {
        Self {
            f32: cpu::peak_gflops(Precision::F32, PEAK_TIME),
            bf16: cpu::peak_gflops(Precision::Bf16, PEAK_TIME),
            int8: cpu::peak_int8_gops(PEAK_TIME),
        }
    }

    fn of(&self, precision: Precision) -> f64 {
        match precision {
            Precision::F32 => self.f32,
            Precision::Bf16 => self.bf16,
        }
    }

    fn describe(&self) -> String {
        let Self { f32, bf16, int8 } = self;
        let int8 = int8.map_or("none".into(), |peak| format!("{peak:.0} GOP/s"));
        format!("f32 {f32:.0} GFLOP/s, bf16 {bf16:.0} GFLOP/s, int8 {int8}")
    }
}
