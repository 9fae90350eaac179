//! CPU time and memory of a process, from `/proc` (proc(5)).

use std::fs;
use std::time::Instant;

use crate::error::Error;

/// One reading of the clock, the server and this process.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    server_ticks: u64,
    load_ticks: u64,
    busy_ticks: u64,
}

/// The difference of two readings.
#[derive(Debug, Clone, Copy)]
pub struct Elapsed {
    /// Wall time.
    pub seconds: f64,
    /// CPU time of the server in clock ticks.
    pub server_ticks: u64,
    /// CPU time of this process, in clock ticks.
    pub load_ticks: u64,
    /// Ticks of the cores that other processes used.
    pub other_ticks: u64,
}

impl Reading {
    /// Reads now. `cores` are those of the server and the load.
    pub fn now(server_pid: u32, cores: &[usize]) -> Result<Reading, Error> {
        Ok(Reading {
            at: Instant::now(),
            server_ticks: cpu_ticks(&server_pid.to_string())?,
            load_ticks: cpu_ticks("self")?,
            busy_ticks: busy_ticks(cores)?,
        })
    }

    /// Returns the difference from this reading to a later one.
    pub fn until(self, later: Reading) -> Elapsed {
        let server_ticks = later.server_ticks - self.server_ticks;
        let load_ticks = later.load_ticks - self.load_ticks;
        let busy_ticks = later.busy_ticks.saturating_sub(self.busy_ticks);
        Elapsed {
            seconds: (later.at - self.at).as_secs_f64(),
            server_ticks,
            load_ticks,
            other_ticks: busy_ticks.saturating_sub(server_ticks + load_ticks),
        }
    }
}

/// Returns utime + stime of all threads, including ended ones.
fn cpu_ticks(process: &str) -> Result<u64, Error> {
    let path = format!("/proc/{process}/stat");
    let ticks = || {
        let stat = fs::read_to_string(&path).ok()?;
        // The second field is the program's name in parentheses, which may contain anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    };
    ticks().ok_or(Error::Gauge(path))
}

/// Returns all ticks of the cores except the idle ones, including those that a hypervisor gave to others.
fn busy_ticks(cores: &[usize]) -> Result<u64, Error> {
    let stat = fs::read_to_string("/proc/stat").map_err(|_| Error::Gauge("/proc/stat".into()))?;
    Ok(cores.iter().map(|core| busy_ticks_of(&stat, *core)).sum())
}

/// Returns user, nice, system, (idle, iowait,) irq, softirq and steal of one core.
fn busy_ticks_of(stat: &str, core: usize) -> u64 {
    let name = format!("cpu{core} ");
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix(&name)) else { return 0 };
    let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    ticks.iter().enumerate().filter(|(field, _)| !matches!(field, 3 | 4)).map(|(_, ticks)| ticks).sum()
}

/// Returns resident memory in KiB.
pub fn resident_kib(server_pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{server_pid}/status");
    let resident = || {
        let status = fs::read_to_string(&path).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    };
    resident().ok_or(Error::Gauge(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_calculates_uses_ticks() {
        let pid = std::process::id();
        let before = Reading::now(pid, &[]).unwrap();
        let mut number = 1_u64;
        while before.until(Reading::now(pid, &[]).unwrap()).server_ticks < 2 {
            for _ in 0..100_000 {
                number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        assert!(before.until(Reading::now(pid, &[]).unwrap()).load_ticks >= 2);
    }

    #[test]
    fn a_core_is_busy_except_for_idle_and_iowait() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu1 1 2 4 1000 1000 8 16 32 7 7\ncpu10 5 5 5 5 5 5 5 5 0 0\n";
        assert_eq!(busy_ticks_of(stat, 1), 63);
        assert_eq!(busy_ticks_of(stat, 2), 0);
    }

    #[test]
    fn a_process_has_memory_and_an_ended_one_is_an_error() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        // Above the largest process id Linux gives out.
        assert!(matches!(resident_kib(1 << 23), Err(Error::Gauge(_))));
    }
}
