//! What the system says of this process and its files. Of memory and files on Linux only; elsewhere
//! nothing is known.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Does something, and answers the time that passed and the time of all threads on processors, in
/// seconds.
pub fn timed<R>(work: impl FnOnce() -> R) -> (R, [f64; 2]) {
    let (started, busy) = (Instant::now(), process_time());
    let done = work();
    let times = [started.elapsed(), process_time() - busy];
    (done, times.map(|time| time.as_secs_f64()))
}

/// Time that this thread has spent on the processor.
pub fn thread_time() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

/// Time that this process has spent on processors.
fn process_time() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id).try_into();
    time.expect("time on a processor is not negative")
}

/// Time that another process has spent on processors.
pub fn processor_time_of(process: u32) -> Duration {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The name of the program, which comes second, may hold anything, and ends with a bracket.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Bytes that this process had written to storage.
pub fn written_bytes() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

/// Memory that this process has in use, in bytes.
pub fn resident_bytes() -> u64 {
    field("/proc/self/status", "VmRSS:") << 10
}

/// The part of it that is no page of a file, in bytes.
pub fn anonymous_bytes() -> u64 {
    field("/proc/self/status", "RssAnon:") << 10
}

/// The most memory that this process ever had in use, in bytes.
pub fn peak_resident_bytes() -> u64 {
    field("/proc/self/status", "VmHWM:") << 10
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

/// Bytes that the files below a directory take on the disk, holes left out.
pub fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(path) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}
