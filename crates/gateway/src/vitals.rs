//! Whether the data plane is at work, as the control plane's health asks; and tasks that go on after a panic.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the runtime shows that it runs tasks.
const BEAT_INTERVAL: Duration = Duration::from_millis(500);

/// How long after a failed accept the listener counts as failing: longer than its longest wait between two attempts.
const ACCEPT_FAILING: Duration = Duration::from_secs(3);

/// How long a task that panicked waits before it runs again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// How long after a panic of one of its tasks the data plane counts as failing.
const TASK_FAILING: Duration = Duration::from_secs(30);

/// Signs of life, written by the data plane's tasks and read by any thread.
#[derive(Debug)]
pub struct Vitals {
    base: Instant,
    listening: AtomicBool,
    /// Milliseconds after `base`; 0: never.
    beat: AtomicU64,
    accept_failed: AtomicU64,
    task_failed: AtomicU64,
    tasks_failed: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Self {
            base: Instant::now(),
            listening: AtomicBool::new(false),
            beat: AtomicU64::new(0),
            accept_failed: AtomicU64::new(0),
            task_failed: AtomicU64::new(0),
            tasks_failed: AtomicU64::new(0),
        }
    }
}

impl Vitals {
    /// Beat as long as the runtime runs tasks.
    pub async fn keep_beating(self: Arc<Self>) {
        loop {
            self.beat.store(self.now(), Ordering::Relaxed);
            tokio::time::sleep(BEAT_INTERVAL).await;
        }
    }

    /// Run the task that `make` gives until it ends; whenever it panics, count that and run another.
    pub async fn supervise<F>(self: Arc<Self>, make: impl Fn() -> F + Send)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        while let Err(failed) = tokio::spawn(make()).await {
            if failed.is_cancelled() {
                return;
            }
            self.tasks_failed.fetch_add(1, Ordering::Relaxed);
            self.task_failed.store(self.now(), Ordering::Relaxed);
            tokio::time::sleep(RESTART_DELAY).await;
        }
    }

    /// The listener accepts connections until what is returned is dropped.
    pub fn listening(self: &Arc<Self>) -> Listening {
        self.listening.store(true, Ordering::Relaxed);
        Listening(self.clone())
    }

    /// An attempt to accept a connection failed.
    pub fn accept_failed(&self) {
        self.accept_failed.store(self.now(), Ordering::Relaxed);
    }

    /// `listening`, `accept_failing`, `task_failing` (1 or 0); `tasks_failed`: panics of long-lived tasks since the
    /// start; `heartbeat_age_ms`: how long ago the runtime last ran a task.
    pub fn snapshot(&self) -> [(String, u64); 5] {
        [
            ("listening".to_owned(), u64::from(self.listening.load(Ordering::Relaxed))),
            ("accept_failing".to_owned(), u64::from(self.is_recent(&self.accept_failed, ACCEPT_FAILING))),
            ("task_failing".to_owned(), u64::from(self.is_recent(&self.task_failed, TASK_FAILING))),
            ("tasks_failed".to_owned(), self.tasks_failed.load(Ordering::Relaxed)),
            ("heartbeat_age_ms".to_owned(), self.age(self.beat.load(Ordering::Relaxed))),
        ]
    }

    fn is_recent(&self, then: &AtomicU64, within: Duration) -> bool {
        let then = then.load(Ordering::Relaxed);
        then != 0 && u128::from(self.age(then)) < within.as_millis()
    }

    fn age(&self, then: u64) -> u64 {
        self.now().saturating_sub(then)
    }

    /// At least 1, so that 0 can mean never.
    fn now(&self) -> u64 {
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX).max(1)
    }
}

/// Held by the accept loop while it runs, however it ends.
#[derive(Debug)]
pub struct Listening(Arc<Vitals>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.listening.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(vitals: &Vitals, name: &str) -> u64 {
        vitals.snapshot().into_iter().find(|(other, _)| other == name).expect("there is such a value").1
    }

    #[test]
    fn it_listens_as_long_as_the_accept_loop_runs() {
        let vitals = Arc::new(Vitals::default());
        assert_eq!(value(&vitals, "listening"), 0);
        let listening = vitals.listening();
        assert_eq!(value(&vitals, "listening"), 1);
        drop(listening);
        assert_eq!(value(&vitals, "listening"), 0);
    }

    #[test]
    fn a_failed_accept_shows_for_a_while() {
        let vitals = Vitals::default();
        assert_eq!(value(&vitals, "accept_failing"), 0);
        vitals.accept_failed();
        assert_eq!(value(&vitals, "accept_failing"), 1);
        let later = Vitals {
            base: vitals.base.checked_sub(ACCEPT_FAILING * 2).expect("the clock is that old"),
            ..vitals
        };
        assert_eq!(value(&later, "accept_failing"), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_runs_again_and_is_counted() {
        let vitals = Arc::new(Vitals::default());
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let supervised = vitals.clone().supervise(move || {
            let runs = counted.clone();
            async move { assert!(runs.fetch_add(1, Ordering::Relaxed) >= 2, "twice it breaks") }
        });
        supervised.await;
        assert_eq!(runs.load(Ordering::Relaxed), 3);
        assert_eq!(value(&vitals, "tasks_failed"), 2);
        assert_eq!(value(&vitals, "task_failing"), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_runs_beats() {
        let vitals = Arc::new(Vitals::default());
        let beating = tokio::spawn(vitals.clone().keep_beating());
        tokio::time::sleep(BEAT_INTERVAL * 3).await;
        assert!(vitals.beat.load(Ordering::Relaxed) > 0);
        beating.abort();
    }
}
