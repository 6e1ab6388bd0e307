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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        Ok(Self::parse(&fs::read_to_string("/proc/stat")?, ProcessTicks::of("self")?))
    }

    /// proc(5): the first line is `cpu`, then user, nice, system, idle, iowait, irq, softirq, steal; what follows is
    /// part of user and nice.
    fn parse(stat: &str, own: ProcessTicks) -> Self {
        let line = stat.lines().next().unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().skip(1).take(8).map(number_or_zero).collect();
        let all: u64 = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Self { all, busy: all - idle, own: own.alone + own.children }
    }

    /// How much of the machine others used since then, in percent: programs, the kernel's own threads, and whoever
    /// shares the processor with a virtual machine.
    pub(super) fn others_since(self, before: Self) -> u64 {
        let others = (self.busy - before.busy).saturating_sub(self.own - before.own);
        others * 100 / (self.all - before.all).max(1)
    }
}

/// The CPU time of one process, in ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessTicks {
    pub(super) alone: u64,
    /// Of the children that it has waited for.
    children: u64,
}

impl ProcessTicks {
    /// Of a process, by its number or `self`.
    pub(super) fn of(process: &str) -> io::Result<Self> {
        Ok(Self::parse(&fs::read_to_string(format!("/proc/{process}/stat"))?))
    }

    /// proc(5): utime, stime, cutime and cstime are the fields 14 to 17. The second field is the name, in parentheses
    /// and with anything in it, so they are counted from its end.
    fn parse(stat: &str) -> Self {
        let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut times = after_name.split_whitespace().skip(11).map(number_or_zero);
        let mut two = || times.by_ref().take(2).sum();
        Self { alone: two(), children: two() }
    }
}

/// The kernel writes numbers here; what it does not know, it writes as nought.
fn number_or_zero(word: &str) -> u64 {
    word.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_used_is_what_is_neither_idle_nor_ours() {
        let own = ProcessTicks { alone: 3, children: 2 };
        let before = Ticks::parse("cpu  10 0 5 80 5 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n", own);
        assert_eq!(before, Ticks { all: 100, busy: 15, own: 5 });
        let own = ProcessTicks { alone: 13, children: 12 };
        let after = Ticks::parse("cpu  40 0 15 130 5 0 5 5 0 0\n", own);
        assert_eq!(after.others_since(before), 30);
    }

    #[test]
    fn the_time_of_a_process_is_found_whatever_its_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1000 2000 0 0 11 22 33 44 20 0 1 0 500 1000 200";
        assert_eq!(ProcessTicks::parse(stat), ProcessTicks { alone: 33, children: 77 });
        let own = ProcessTicks::of("self").unwrap();
        assert_eq!(ProcessTicks::of(&std::process::id().to_string()).unwrap().children, own.children);
    }
}
