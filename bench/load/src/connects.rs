//! Connect, disconnect, connect again: full handshakes, counted when CONNACK has come.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

use crate::client::Dialer;
use crate::error::Error;
use crate::gauge::Reading;
use crate::job::{Connects, Job};
use crate::report::Span;

/// Failures after which the run is an error.
const FAILURES: u64 = 20;

#[derive(Default)]
struct Count {
    connected: Cell<u64>,
    failed: Cell<u64>,
    last_failure: RefCell<Option<String>>,
    stop: Cell<bool>,
}

/// Connects for as long as the job says.
pub async fn run(dialer: Dialer, job: &Job, work: &Connects) -> Result<Span, Error> {
    let dialer = Rc::new(dialer);
    let count = Rc::new(Count::default());
    let mut workers = JoinSet::new();
    for first in 0..work.concurrency {
        workers.spawn_local(keep_connecting(dialer.clone(), count.clone(), first, work.concurrency));
    }
    sleep(Duration::from_secs_f64(work.warmup_seconds)).await;
    let (before, connected_before) = (Reading::now(job.server_pid, &job.cores)?, count.connected.get());
    sleep(Duration::from_secs_f64(work.seconds)).await;
    let (after, connected_after) = (Reading::now(job.server_pid, &job.cores)?, count.connected.get());
    count.stop.set(true);
    workers.join_all().await;

    let last_failure = count.last_failure.take();
    if count.failed.get() >= FAILURES {
        return Err(Error::Failing { count: count.failed.get(), last: last_failure.unwrap_or_default() });
    }
    let elapsed = before.until(after);
    Ok(Span {
        units: connected_after - connected_before,
        seconds: elapsed.seconds,
        server_ticks: elapsed.server_ticks,
        load_ticks: elapsed.load_ticks,
        other_ticks: elapsed.other_ticks,
        failed: count.failed.get(),
        last_failure,
        lost: 0,
        duplicates: 0,
    })
}

/// One worker uses every `step`-th device alone, so that no connection takes over the session of another.
async fn keep_connecting(dialer: Rc<Dialer>, count: Rc<Count>, first: usize, step: usize) {
    for device in (first..dialer.len()).step_by(step).cycle() {
        if count.stop.get() || count.failed.get() >= FAILURES {
            return;
        }
        let outcome = match dialer.dial(device).await {
            Ok(client) => {
                count.connected.set(count.connected.get() + 1);
                client.disconnect().await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            count.failed.set(count.failed.get() + 1);
            *count.last_failure.borrow_mut() = Some(error.to_string());
        }
        yield_now().await;
    }
}
