//! The machine, and what others did on it meanwhile.

use std::io;

use fs_err as fs;
use serde::Serialize;

/// What figures of time depend on.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    cpu: String,
    load: String,
}

impl Machine {
    /// This one, now.
    pub(super) fn this() -> io::Result<Self> {
        let cores = std::thread::available_parallelism()?.get();
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cores,
            cpu: cpu.map_or("unknown", |(_, name)| name).to_owned(),
            load: load.split_whitespace().take(1).collect(),
        })
    }

    pub(super) fn text(&self) -> String {
        format!("{} cores ({}), load {} before", self.cores, self.cpu, self.load)
    }
}

/// The CPU time of the machine so far, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticks {
    /// Of all cores, idle or not.
    all: u64,
    /// Not idle.
    busy: u64,
    /// Of this process and of those it has waited for.
    own: u64,
}

impl Ticks {
    pub(super) fn now() -> io::Result<Self> {
        // proc(5): user nice system idle iowait irq softirq steal
        let stat = fs::read_to_string("/proc/stat")?;
        let cpu: Vec<u64> =
            stat.lines().next().map(|line| numbers(line).take(8).collect()).unwrap_or_default();
        let all = cpu.iter().sum();
        let idle: u64 = cpu.iter().skip(3).take(2).sum();
        Ok(Self { all, busy: all - idle, own: OwnTicks::of("self")?.with_children })
    }

    /// How much of the machine others used since then, in percent: programs, the kernel's own threads, and whoever
    /// shares the processor with a virtual machine.
    pub(super) fn others_since(self, before: Self) -> u64 {
        let others = (self.busy - before.busy).saturating_sub(self.own - before.own);
        others * 100 / (self.all - before.all).max(1)
    }
}

/// The CPU time of one process, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnTicks {
    pub(super) alone: u64,
    with_children: u64,
}

impl OwnTicks {
    /// Of a process, by its number or `self`.
    pub(super) fn of(process: &str) -> io::Result<Self> {
        // proc(5): the name in parentheses may hold spaces; utime, stime, cutime, cstime are the fields 14 to 17.
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let times: Vec<u64> = numbers_or_zero(after_name).skip(11).take(4).collect();
        Ok(Self { alone: times.iter().take(2).sum(), with_children: times.iter().sum() })
    }
}

fn numbers(line: &str) -> impl Iterator<Item = u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok())
}

fn numbers_or_zero(line: &str) -> impl Iterator<Item = u64> {
    // The first field is a letter, and some are negative; none of them is asked for.
    line.split_whitespace().map(|word| word.parse().unwrap_or_default())
}
