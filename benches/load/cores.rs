//! Which core of the processor a program runs on.

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core.
#[derive(Clone, Copy)]
pub struct Core(usize);

/// Two cores that this process may use.
pub fn two() -> (Core, Core) {
    let allowed = sched_getaffinity(None).unwrap();
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    match (cores.next(), cores.next()) {
        (Some(first), Some(second)) => (Core(first), Core(second)),
        _ => panic!("server and client need a core each, and there is one"),
    }
}

impl Core {
    /// Does something that starts programs: they run on this core, and know of no other.
    pub fn run<R>(self, start: impl FnOnce() -> R) -> R {
        let before = sched_getaffinity(None).unwrap();
        sched_setaffinity(None, &only(&[self])).unwrap();
        let started = start();
        sched_setaffinity(None, &before).unwrap();
        started
    }
}

/// Moves all threads of a process to these cores.
pub fn move_to(process: u32, cores: &[Core]) {
    let set = only(cores);
    for entry in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let name = entry.unwrap().file_name();
        let thread = name.to_str().and_then(|name| name.parse().ok());
        // One that has ended meanwhile needs no core.
        let _ended = thread
            .and_then(Pid::from_raw)
            .map(|thread| sched_setaffinity(Some(thread), &set));
    }
}

fn only(cores: &[Core]) -> CpuSet {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(core.0);
    }
    set
}

/// Time of all cores in ticks since the machine started, and how much of it the hypervisor, if
/// there is one, gave to other machines: latencies are no better than that.
pub fn ticks() -> (u64, u64) {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let fields = stat.lines().next().unwrap().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.take(8).map(|it| it.parse().unwrap()).collect();
    (ticks.iter().sum(), ticks[7])
}
