//! Calibration and the line of JSON, as in bench/common/program.cpp.

use std::process::exit;
use std::time::Duration;

pub struct Sample {
    pub operations: u64,
    pub seconds: f64,
    pub value: f64,
    pub details: Vec<(&'static str, f64)>,
}

pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub work: fn(procs: usize, count: u64) -> Sample,
    pub fixed_count: u64,
    pub procs: usize,
}

/// A sample whose value is nanoseconds per operation.
pub fn per_operation(operations: u64, elapsed: Duration) -> Sample {
    let value = elapsed.as_nanos() as f64 / operations as f64;
    Sample { operations, seconds: elapsed.as_secs_f64(), value, details: Vec::new() }
}

/// Ends the process unless the condition holds: a result that is wrong must not count.
pub fn require(holds: bool, what: &str) {
    if !holds {
        eprintln!("wrong result: {what}");
        exit(1);
    }
}

/// Sorts the values and returns the one at the share (0 to 1).
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    require(!values.is_empty(), "no values to take a quantile of");
    values.sort();
    values[(share * (values.len() - 1) as f64).round() as usize]
}

fn measure_seconds() -> f64 {
    let Ok(text) = std::env::var("BENCH_SECONDS") else { return 0.4 };
    match text.parse::<f64>() {
        Ok(seconds) if seconds > 0.0 && seconds <= 60.0 => seconds,
        _ => {
            eprintln!("BENCH_SECONDS={text}: not a number of seconds above 0 and up to 60");
            exit(2)
        }
    }
}

/// Performs the row; without a count it finds the one that fills BENCH_SECONDS, which is the warm-up as well.
pub fn measure(row: &Row, procs: usize, count: u64) -> Sample {
    let count = if count == 0 { row.fixed_count } else { count };
    if count != 0 {
        return (row.work)(procs, count);
    }
    let wanted = measure_seconds();
    let mut count = 1;
    let mut warm = false;
    loop {
        let trial = (row.work)(procs, count);
        if warm && trial.seconds >= wanted / 2.0 {
            return trial;
        }
        warm = trial.seconds >= wanted / 10.0;
        let factor = if warm {
            (wanted / trial.seconds).min(100.0)
        } else {
            (wanted / 5.0 / trial.seconds).clamp(2.0, 100.0)
        };
        count = ((trial.operations as f64 * factor) as u64).max(1);
    }
}

pub fn print_sample(full: &str, row: &Row, procs: usize, found: &Sample) {
    print!(
        "{{\"row\":\"{full}\",\"unit\":\"{}\",\"value\":{},\"count\":{},\"seconds\":{},\"procs\":{procs}",
        row.unit, found.value, found.operations, found.seconds
    );
    for (key, value) in &found.details {
        print!(",\"{key}\":{value}");
    }
    println!("}}");
}

/// VmRSS and VmPTE of this process, in bytes.
pub fn memory_use() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0
    };
    require(value("VmRSS:") > 0.0, "/proc/self/status has no VmRSS line; is /proc mounted?");
    (value("VmRSS:"), value("VmPTE:"))
}
