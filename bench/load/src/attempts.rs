//! Every device tries to connect, a given number of times, and is accepted or refused as expected.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep};

use crate::client::{Attempt, Dialer};
use crate::error::Error;
use crate::gauge::Reading;
use crate::job::{Attempts, Expected, Job};
use crate::report::Span;

/// The server has finished the work for the attempts when it has used no CPU time for this long ...
const QUIET: Duration = Duration::from_millis(300);

/// ... or after this time.
const SETTLING: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Count {
    as_expected: Cell<u64>,
    failed: Cell<u64>,
    last_failure: RefCell<Option<String>>,
}

/// All attempts of the job. Wall time ends with the last attempt; the server's CPU time ends when it is idle, because
/// it may still work for a device that it has refused.
pub async fn run(dialer: Dialer, job: &Job, work: &Attempts) -> Result<Span, Error> {
    let dialer = Rc::new(dialer);
    let count = Rc::new(Count::default());
    let before = Reading::now(job.server_pid, &job.cores)?;
    let mut workers = JoinSet::new();
    for first in 0..work.concurrency {
        let (dialer, count, work) = (dialer.clone(), count.clone(), *work);
        workers.spawn_local(async move {
            for _ in 0..work.rounds {
                for device in (first..dialer.len()).step_by(work.concurrency) {
                    attempt(&dialer, &count, device, work.expect).await;
                    yield_now().await;
                }
            }
        });
    }
    workers.join_all().await;
    let ended = before.until(Reading::now(job.server_pid, &job.cores)?);
    let settled = before.until(settled(job).await?);
    Ok(Span {
        units: count.as_expected.get(),
        seconds: ended.seconds,
        server_ticks: settled.server_ticks,
        load_ticks: ended.load_ticks,
        other_ticks: ended.other_ticks,
        failed: count.failed.get(),
        last_failure: count.last_failure.take(),
        lost: 0,
        duplicates: 0,
    })
}

async fn attempt(dialer: &Dialer, count: &Count, device: usize, expected: Expected) {
    let outcome = match (dialer.attempt(device).await, expected) {
        (Ok(Attempt::Accepted(client)), Expected::Accepted) => client.disconnect().await,
        (Ok(Attempt::Refused), Expected::Refused) => Ok(()),
        (Ok(Attempt::Accepted(_)), Expected::Refused) => Err(Error::Unexpected("a refusal")),
        (Ok(Attempt::Refused), Expected::Accepted) => Err(Error::Closed),
        (Err(error), _) => Err(error),
    };
    match outcome {
        Ok(()) => count.as_expected.set(count.as_expected.get() + 1),
        Err(error) => {
            count.failed.set(count.failed.get() + 1);
            *count.last_failure.borrow_mut() = Some(error.to_string());
        }
    }
}

/// Returns a reading when the server is idle.
async fn settled(job: &Job) -> Result<Reading, Error> {
    let deadline = Instant::now() + SETTLING;
    let mut last = Reading::now(job.server_pid, &job.cores)?;
    let mut unchanged_since = Instant::now();
    while unchanged_since.elapsed() < QUIET && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
        let now = Reading::now(job.server_pid, &job.cores)?;
        if last.until(now).server_ticks > 0 {
            (last, unchanged_since) = (now, Instant::now());
        }
    }
    Ok(last)
}
