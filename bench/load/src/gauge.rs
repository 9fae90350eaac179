//! CPU time and memory of a process, from `/proc` (proc(5)).

use std::fs;
use std::time::Instant;

use crate::error::Error;

/// One look at the clock, the server and ourselves.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    at: Instant,
    server_ticks: u64,
    load_ticks: u64,
}

/// The difference of two readings.
#[derive(Debug, Clone, Copy)]
pub struct Elapsed {
    /// Wall time.
    pub seconds: f64,
    /// CPU time of the server in clock ticks.
    pub server_ticks: u64,
    /// And of this process.
    pub load_ticks: u64,
}

impl Reading {
    /// Look now.
    pub fn now(server_pid: u32) -> Result<Reading, Error> {
        Ok(Reading {
            at: Instant::now(),
            server_ticks: cpu_ticks(&server_pid.to_string())?,
            load_ticks: cpu_ticks("self")?,
        })
    }

    /// From this reading to a later one.
    pub fn until(self, later: Reading) -> Elapsed {
        Elapsed {
            seconds: (later.at - self.at).as_secs_f64(),
            server_ticks: later.server_ticks - self.server_ticks,
            load_ticks: later.load_ticks - self.load_ticks,
        }
    }
}

/// utime + stime of all threads, those that have ended included.
fn cpu_ticks(process: &str) -> Result<u64, Error> {
    let path = format!("/proc/{process}/stat");
    let ticks = || {
        let stat = fs::read_to_string(&path).ok()?;
        // The second field is the program's name in parentheses and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    };
    ticks().ok_or(Error::Gauge(path))
}

/// Resident memory in KiB.
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
    fn a_process_that_computes_uses_ticks() {
        let pid = std::process::id();
        let before = Reading::now(pid).unwrap();
        let mut number = 1_u64;
        while before.until(Reading::now(pid).unwrap()).server_ticks < 2 {
            for _ in 0..100_000 {
                number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
            }
        }
        assert!(before.until(Reading::now(pid).unwrap()).load_ticks >= 2);
    }

    #[test]
    fn a_process_has_memory_and_one_that_is_gone_is_an_error() {
        assert!(resident_kib(std::process::id()).unwrap() > 100);
        // Above the largest process id Linux gives out.
        assert!(matches!(resident_kib(1 << 23), Err(Error::Gauge(_))));
    }
}
