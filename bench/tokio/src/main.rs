//! bench_tokio: the rows of the benchmarks in Rust, on tokio, written as one writes tokio: tasks that await.
//!
//! Each row does the same work as the function of the same row in bench/rt, as far as tokio has its parts. The command
//! line, the calibration and the line of JSON are those of bench/common/program.h.

mod channels;
mod measure;
mod switching;
mod waiting;

use measure::{measure, print_sample, Row, Sample};
use std::future::Future;
use std::process::exit;

/// One processor gets tokio's scheduler for one thread, several the one that steals.
fn run<F>(procs: usize, work: F) -> Sample
where
    F: Future<Output = Sample> + Send + 'static,
{
    let runtime = if procs == 1 {
        tokio::runtime::Builder::new_current_thread().enable_time().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(procs).enable_time().build()
    };
    let runtime = runtime.expect("tokio does not start");
    // Spawned, so that it runs on a worker as the tasks of a server do; block_on's own future would run beside them.
    runtime.block_on(async { tokio::spawn(work).await.expect("the row panicked") })
}

macro_rules! row {
    ($name:literal, $unit:literal, $function:path, $fixed:literal, $procs:literal) => {
        Row { name: $name, unit: $unit, work: |procs, count| run(procs, $function(count)), fixed_count: $fixed, procs: $procs }
    };
}

const ROWS: &[Row] = &[
    row!("yield", "ns", switching::yield_now, 0, 2),
    row!("chan_unbuffered", "ns", channels::unbuffered, 0, 2),
    row!("spawn", "ns", switching::spawn, 0, 2),
    row!("spawn_batch", "ns", switching::spawn_batch, 0, 2),
    row!("chan_buffered", "ns", channels::buffered, 0, 2),
    row!("select2", "ns", channels::select2, 0, 2),
    row!("mutex_uncontended", "ns", waiting::mutex_uncontended, 0, 2),
    row!("mutex_16", "ns", waiting::mutex_16, 0, 2),
    row!("timer_arm_stop", "ns", waiting::timer_arm_stop, 0, 2),
    row!("timer_1m_arm_stop", "ns", waiting::timer_1m_arm_stop, 0, 2),
    row!("sleep_50us", "us", waiting::sleep_50us, 0, 1),
    row!("parked_1m", "s", switching::parked, 1_000_000, 2),
    row!("stackless_1m", "s", switching::parked, 1_000_000, 2),
    row!("skynet_100k", "ms", switching::skynet_100k, 0, 2),
    row!("skynet_1m", "ms", switching::skynet_1m, 0, 2),
];

/// "yield_2p" is the row yield on two processors; "yield" leaves the choice to the row (0).
fn split(full: &str) -> (&str, usize) {
    if let Some((base, suffix)) = full.rsplit_once('_') {
        if let Some(digits) = suffix.strip_suffix('p') {
            if let Ok(procs @ 1..=256) = digits.parse() {
                return (base, procs);
            }
        }
    }
    (full, 0)
}

fn usage() -> ! {
    eprintln!("usage: bench_tokio ROW COUNT   (COUNT 0: as many as fill BENCH_SECONDS)");
    eprintln!("       bench_tokio --version");
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    eprintln!("rows, each also with _1p or _2p for its processors: {}", names.join(" "));
    exit(2)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--version"] => println!(
            "{{\"version\":\"{}\",\"compiler\":\"{}\",\"optimized\":{},\"sanitized\":false}}",
            env!("TOKIO_VERSION"),
            env!("RUSTC_VERSION"),
            !cfg!(debug_assertions)
        ),
        [full, count] => {
            let Ok(count) = count.parse::<u64>() else {
                eprintln!("bench_tokio: '{count}' is not a count (a whole number, 0 to let the program choose)");
                usage()
            };
            let (base, procs) = split(full);
            let Some(row) = ROWS.iter().find(|row| row.name == base) else {
                eprintln!("bench_tokio: no row '{full}'");
                usage()
            };
            let procs = if procs == 0 { row.procs } else { procs };
            print_sample(full, row, procs, &measure(row, procs, count));
        }
        _ => usage(),
    }
}
