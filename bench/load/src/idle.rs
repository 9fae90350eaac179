//! The memory of connections that send nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, Dialer};
use crate::error::Error;
use crate::gauge::resident_kib;
use crate::job::{Idle, Job};
use crate::report::Memory;

/// Memory is stable when it has not changed for this long ...
const QUIET: Duration = Duration::from_millis(500);

/// ... and is used as it is after this time.
const SETTLING: Duration = Duration::from_secs(10);

/// The devices before `warmup` connect first, then the others: the difference is the cost of the others, without what
/// the server keeps once for all, such as caches.
pub async fn run(dialer: Dialer, job: &Job, work: &Idle) -> Result<Memory, Error> {
    let first = connect(&dialer, 0..work.warmup, work.concurrency).await?;
    let before_kib = settled_kib(job.server_pid).await?;
    let others = connect(&dialer, work.warmup..dialer.len(), work.concurrency).await?;
    let after_kib = settled_kib(job.server_pid).await?;
    let connections = others.len();
    for client in first.into_iter().chain(others) {
        client.disconnect().await?;
    }
    Ok(Memory { connections, before_kib, after_kib })
}

/// Connects all of them, `concurrency` at a time.
pub async fn connect(
    dialer: &Dialer,
    devices: std::ops::Range<usize>,
    concurrency: usize,
) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::with_capacity(devices.len());
    let devices: Vec<usize> = devices.collect();
    for some in devices.chunks(concurrency) {
        let dialed = some.iter().map(|&device| Box::pin(dialer.dial(device)));
        clients.extend(join_all(dialed.collect()).await?);
    }
    Ok(clients)
}

/// Runs all futures at once. The results are in the order of the futures.
pub async fn join_all<T>(
    mut futures: Vec<std::pin::Pin<Box<impl Future<Output = Result<T, Error>>>>>,
) -> Result<Vec<T>, Error> {
    let mut results: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, result) in futures.iter_mut().zip(&mut results) {
            if result.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(Ok(value)) => *result = Some(value),
                    std::task::Poll::Ready(Err(error)) => return std::task::Poll::Ready(Err(error)),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting { std::task::Poll::Pending } else { std::task::Poll::Ready(Ok(())) }
    })
    .await?;
    Ok(results.into_iter().flatten().collect())
}

async fn settled_kib(server_pid: u32) -> Result<u64, Error> {
    let deadline = Instant::now() + SETTLING;
    let mut last = resident_kib(server_pid)?;
    let mut unchanged_since = Instant::now();
    while unchanged_since.elapsed() < QUIET && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
        let now = resident_kib(server_pid)?;
        if now != last {
            (last, unchanged_since) = (now, Instant::now());
        }
    }
    Ok(last)
}
