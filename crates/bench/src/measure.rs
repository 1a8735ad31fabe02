//! What a piece of work costs: wall time, CPU time of the whole process, memory.
//!
//! Memory is Linux's account of it: the peak of the resident set since it was last reset, and the most that did not
//! belong to mapped files (`RssAnon`), sampled every 2 ms.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Cost {
    pub(crate) wall_s: f64,
    pub(crate) cpu_s: f64,
}

pub(crate) struct Memory {
    pub(crate) peak_mb: f64,
    /// Without mapped files.
    pub(crate) anonymous_mb: f64,
}

pub(crate) fn cost<T>(work: impl FnOnce() -> T) -> (T, Cost) {
    let (wall, cpu) = (Instant::now(), process_cpu());
    let done = work();
    (done, Cost { wall_s: wall.elapsed().as_secs_f64(), cpu_s: process_cpu() - cpu })
}

/// Runs work once under observation, which costs time of its own.
pub(crate) fn memory<T>(work: impl FnOnce() -> T) -> (T, Memory) {
    // Not permitted in some containers: then the peak is the whole process's.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most: f64 = 0.0;
            while !stop.load(Ordering::Relaxed) {
                most = most.max(status_mb("RssAnon"));
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let done = work();
        stop.store(true, Ordering::Relaxed);
        let anonymous_mb = watcher.join().expect("the watcher only reads");
        (done, Memory { peak_mb: status_mb("VmHWM"), anonymous_mb })
    })
}

/// Waits until background work has ended: less than 2 % of a core for two seconds.
pub(crate) fn settle() {
    let mut quiet = 0;
    while quiet < 4 {
        let before = process_cpu();
        std::thread::sleep(Duration::from_millis(500));
        quiet = if process_cpu() - before < 0.01 { quiet + 1 } else { 0 };
    }
}

/// CPU seconds of this process so far, threads that have ended included.
pub(crate) fn process_cpu() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

/// CPU seconds of the calling thread so far.
pub(crate) fn thread_cpu() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn status_mb(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
