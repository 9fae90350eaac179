//! Rates, counted by the second.

use crate::input::Now;

/// Events in the current second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rate {
    second: u64,
    count: u32,
}

impl Rate {
    /// Counts one. Returns `false` if there are more than `most` in this second.
    pub fn count(&mut self, now: Now, most: u32) -> bool {
        let second = now.unix_ms / 1000;
        if second != self.second {
            *self = Rate { second, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_counts_each_second_anew() {
        let mut rate = Rate::default();
        let at = Now::from_unix_ms;
        assert!(rate.count(at(1000), 2) && rate.count(at(1999), 2));
        assert!(!rate.count(at(1999), 2));
        assert!(rate.count(at(2000), 2));
    }
}
