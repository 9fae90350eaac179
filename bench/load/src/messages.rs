//! Publishers and subscribers. A message counts where it arrives.
//!
//! The loop is closed: a publisher has at most a window of messages in transit, and sends the next burst when half of
//! them have arrived. So no server gets more than it can handle, and none has to drop messages. Each payload has the
//! numbers of its publisher and of the message, so that a subscriber detects missing, repeated and reordered
//! messages.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU16;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use sekisho_mqtt::{
    Ack, Packet, PublishHead, PublishProperties, QoS, ReasonCode, Version, encode, encode_publish,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};

use crate::client::{Client, Dialer};
use crate::error::Error;
use crate::gauge::Reading;
use crate::idle::join_all;
use crate::job::{Endpoint, Job, Messages, STAMP};
use crate::report::Span;

/// Connections being made at any moment.
const CONCURRENCY: usize = 16;

/// Messages that have not arrived when none has arrived for this long are lost.
const SILENCE: Duration = Duration::from_secs(3);

/// The messages of one publisher to all its subscribers.
struct Flow {
    subscribers: u64,
    window: u64,
    sent: Cell<u64>,
    /// Messages that are no longer in transit: delivered, or detected as missing.
    settled: Cell<u64>,
    /// There is room for a burst.
    room: Notify,
}

impl Flow {
    fn new(subscribers: u64, window: u64) -> Flow {
        Flow { subscribers, window, sent: Cell::new(0), settled: Cell::new(0), room: Notify::new() }
    }

    /// Returns how many messages may be sent now.
    fn free(&self) -> u64 {
        let on_their_way = self.sent.get() - self.settled.get() / self.subscribers;
        self.window.saturating_sub(on_their_way)
    }

    /// Returns the number of messages that are sent together without another pace.
    fn burst(&self) -> u64 {
        self.window.div_ceil(2)
    }
}

/// The counts of all subscribers.
#[derive(Default)]
struct Tally {
    delivered: Cell<u64>,
    duplicates: Cell<u64>,
    stop: Cell<bool>,
    failure: RefCell<Option<String>>,
}

impl Tally {
    /// Counts a message that has arrived at a subscriber which expects number `next` of this flow.
    fn count(&self, flow: &Flow, next: &mut u64, number: u64) {
        if let Some(missing) = number.checked_sub(*next) {
            *next = number + 1;
            add(&self.delivered, 1);
            add(&flow.settled, 1 + missing);
        } else {
            add(&self.duplicates, 1);
        }
    }

    /// Returns the number of expected messages that have not arrived.
    fn lost(&self, flows: &[Flow]) -> u64 {
        due(flows).saturating_sub(self.delivered.get())
    }

    fn fail(&self, who: &str, error: &Error) {
        self.failure.borrow_mut().get_or_insert_with(|| format!("{who}: {error}"));
    }
}

/// Returns the deliveries of everything that was sent.
fn due(flows: &[Flow]) -> u64 {
    flows.iter().map(|flow| flow.sent.get() * flow.subscribers).sum()
}

fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

/// Publishes and receives for the time in the job, then waits for the messages in transit.
pub async fn run(dialer: Dialer, job: &Job, work: &Messages) -> Result<Span, Error> {
    let qos = if work.qos == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
    let flows: Rc<[Flow]> = work
        .groups
        .iter()
        .flat_map(|group| group.publishers.iter().map(|_| group.subscribers.len() as u64))
        .map(|subscribers| Flow::new(subscribers, work.window))
        .collect();
    let tally = Rc::new(Tally::default());
    let (mut publishers, mut subscribers) = (JoinSet::new(), JoinSet::new());

    let receiving: Vec<&Endpoint> = work.groups.iter().flat_map(|group| &group.subscribers).collect();
    for client in subscribe(&dialer, &receiving, qos).await? {
        subscribers.spawn_local(receive(client, flows.clone(), tally.clone()));
    }
    let sending: Vec<&Endpoint> = work.groups.iter().flat_map(|group| &group.publishers).collect();
    let pace = work.rate.map(|rate| Duration::from_secs_f64(sending.len() as f64 / rate));
    let clients = connect(&dialer, &sending).await?;
    let begin = Instant::now();
    for (index, (client, endpoint)) in clients.into_iter().zip(&sending).enumerate() {
        let publisher = Publisher {
            client,
            index,
            topic: endpoint.topic.clone(),
            qos,
            payload: vec![b'.'; work.payload],
            unacknowledged: 0,
            flows: flows.clone(),
            tally: tally.clone(),
        };
        // Spread over the interval, as with independent devices.
        let first = pace.map(|pace| (begin + pace.mul_f64(index as f64 / sending.len() as f64), pace));
        publishers.spawn_local(publisher.run(first));
    }

    sleep(Duration::from_secs_f64(work.warmup_seconds)).await;
    let (before, delivered_before) = (Reading::now(job.server_pid, &job.cores)?, tally.delivered.get());
    sleep(Duration::from_secs_f64(work.seconds)).await;
    let (after, delivered_after) = (Reading::now(job.server_pid, &job.cores)?, tally.delivered.get());

    tally.stop.set(true);
    for flow in flows.iter() {
        flow.room.notify_one();
    }
    let (mut seen, mut since) = (tally.delivered.get(), Instant::now());
    while !(publishers.is_empty() && tally.lost(&flows) == 0) && since.elapsed() < SILENCE {
        sleep(Duration::from_millis(5)).await;
        while publishers.try_join_next().is_some() {}
        if tally.delivered.get() != seen {
            (seen, since) = (tally.delivered.get(), Instant::now());
        }
    }
    if let Some(failure) = tally.failure.take() {
        return Err(Error::Failing { count: 1, last: failure });
    }
    let elapsed = before.until(after);
    Ok(Span {
        units: delivered_after - delivered_before,
        seconds: elapsed.seconds,
        server_ticks: elapsed.server_ticks,
        load_ticks: elapsed.load_ticks,
        other_ticks: elapsed.other_ticks,
        failed: 0,
        last_failure: None,
        lost: tally.lost(&flows),
        duplicates: tally.duplicates.get(),
    })
}

async fn connect(dialer: &Dialer, endpoints: &[&Endpoint]) -> Result<Vec<Client>, Error> {
    let mut clients = Vec::with_capacity(endpoints.len());
    for some in endpoints.chunks(CONCURRENCY) {
        let dialed = some.iter().map(|endpoint| Box::pin(dialer.dial(endpoint.device)));
        clients.extend(join_all(dialed.collect()).await?);
    }
    Ok(clients)
}

async fn subscribe(dialer: &Dialer, endpoints: &[&Endpoint], qos: QoS) -> Result<Vec<Client>, Error> {
    let mut clients = connect(dialer, endpoints).await?;
    for (client, endpoint) in clients.iter_mut().zip(endpoints) {
        client.subscribe(&endpoint.topic, qos).await?;
    }
    Ok(clients)
}

struct Publisher {
    client: Client,
    index: usize,
    topic: String,
    qos: QoS,
    payload: Vec<u8>,
    unacknowledged: u64,
    flows: Rc<[Flow]>,
    tally: Rc<Tally>,
}

impl Publisher {
    /// `pace`: when to send the first message, and the interval of one message each from then on.
    async fn run(mut self, pace: Option<(Instant, Duration)>) {
        let outcome = match pace {
            Some((first, interval)) => self.publish_at(first, interval).await,
            None => self.publish().await,
        };
        let outcome = match outcome {
            Ok(()) => self.await_acknowledgements().await,
            failed => failed,
        };
        if let Err(error) = outcome {
            self.tally.fail("a publisher", &error);
        }
    }

    fn flow(&self) -> &Flow {
        &self.flows[self.index]
    }

    fn stopped(&self) -> bool {
        self.tally.stop.get()
    }

    /// Returns how many messages may be sent now. QoS 1 also waits for PUBACK.
    fn free(&self) -> u64 {
        self.flow().free().min(self.flow().window - self.unacknowledged)
    }

    async fn publish(&mut self) -> Result<(), Error> {
        while !self.stopped() {
            let free = self.free();
            if free < self.flow().burst() {
                self.wait_for_room().await?;
            } else {
                self.send(free).await?;
            }
        }
        Ok(())
    }

    async fn publish_at(&mut self, first: Instant, interval: Duration) -> Result<(), Error> {
        let mut ticks = interval_at(first, interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        while !self.stopped() {
            ticks.tick().await;
            while self.free() == 0 && !self.stopped() {
                self.wait_for_room().await?;
            }
            self.send(1).await?;
        }
        Ok(())
    }

    async fn send(&mut self, count: u64) -> Result<(), Error> {
        for _ in 0..count {
            let number = self.flow().sent.get();
            self.payload[..4].copy_from_slice(&(self.index as u32).to_be_bytes());
            self.payload[4..STAMP].copy_from_slice(&number.to_be_bytes());
            // Numbers repeat after 65 535; a window is far smaller.
            let packet_id = NonZeroU16::new((number % 0xFFFF) as u16 + 1);
            let at_least_once = self.qos == QoS::AtLeastOnce;
            let head = PublishHead {
                qos: self.qos,
                packet_id: packet_id.filter(|_| at_least_once),
                ..PublishHead::default()
            };
            let no_properties = PublishProperties::new();
            let output = &mut self.client.output;
            encode_publish(output, Version::V311, head, &self.topic, &self.payload, &no_properties, None)?;
            add(&self.flow().sent, 1);
            self.unacknowledged += u64::from(at_least_once);
        }
        self.client.flush().await
    }

    /// Waits until a message has arrived, or an answer of the server.
    async fn wait_for_room(&mut self) -> Result<(), Error> {
        tokio::select! {
            () = self.flows[self.index].room.notified() => Ok(()),
            read = self.client.read() => {
                read?;
                self.take_acknowledgements()
            }
        }
    }

    fn take_acknowledgements(&mut self) -> Result<(), Error> {
        while let Some(packet) = self.client.decode()? {
            match packet {
                Packet::PubAck(_) if self.unacknowledged > 0 => self.unacknowledged -= 1,
                _ => return Err(Error::Unexpected("PUBACK")),
            }
        }
        Ok(())
    }

    async fn await_acknowledgements(&mut self) -> Result<(), Error> {
        while self.unacknowledged > 0 {
            self.client.read().await?;
            self.take_acknowledgements()?;
        }
        Ok(())
    }
}

/// Receives until the run ends and drops the future.
async fn receive(mut client: Client, flows: Rc<[Flow]>, tally: Rc<Tally>) {
    let mut next = vec![0_u64; flows.len()];
    let mut touched = Vec::new();
    loop {
        let outcome = match client.read().await {
            Ok(()) => take_messages(&mut client, &flows, &tally, &mut next, &mut touched),
            Err(error) => Err(error),
        };
        for index in touched.drain(..) {
            let flow: &Flow = &flows[index];
            if flow.free() >= flow.burst() {
                flow.room.notify_one();
            }
        }
        let outcome = match outcome {
            Ok(()) if client.output.is_empty() => Ok(()),
            Ok(()) => client.flush().await,
            failed => failed,
        };
        if let Err(error) = outcome {
            return tally.fail("a subscriber", &error);
        }
    }
}

fn take_messages(
    client: &mut Client,
    flows: &[Flow],
    tally: &Tally,
    next: &mut [u64],
    touched: &mut Vec<usize>,
) -> Result<(), Error> {
    while let Some(packet) = client.decode()? {
        let Packet::Publish(publish) = packet else { return Err(Error::Unexpected("PUBLISH")) };
        let (index, number) = stamp(&publish.payload, flows.len())?;
        tally.count(&flows[index], &mut next[index], number);
        if touched.last() != Some(&index) {
            touched.push(index);
        }
        if let Some(packet_id) = publish.packet_id {
            acknowledge(packet_id, &mut client.output)?;
        }
    }
    Ok(())
}

fn acknowledge(packet_id: NonZeroU16, output: &mut BytesMut) -> Result<(), Error> {
    Ok(encode(&Packet::PubAck(Ack::new(packet_id, ReasonCode::Success)), Version::V311, output)?)
}

/// Returns the publisher's number and the message's number.
fn stamp(payload: &[u8], publishers: usize) -> Result<(usize, u64), Error> {
    let stamp = || {
        let index = u32::from_be_bytes(payload.get(..4)?.try_into().ok()?) as usize;
        let number = u64::from_be_bytes(payload.get(4..STAMP)?.try_into().ok()?);
        (index < publishers).then_some((index, number))
    };
    stamp().ok_or(Error::Unexpected("a payload of ours"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a subscriber's counts for these numbers, when `sent` were sent.
    fn tally_of(sent: u64, numbers: &[u64]) -> (Tally, Flow) {
        let (tally, flow) = (Tally::default(), Flow::new(1, 10));
        flow.sent.set(sent);
        let mut next = 0;
        for &number in numbers {
            tally.count(&flow, &mut next, number);
        }
        (tally, flow)
    }

    #[test]
    fn messages_in_order_are_neither_lost_nor_repeated() {
        let (tally, flow) = tally_of(3, &[0, 1, 2]);
        assert_eq!((tally.delivered.get(), tally.duplicates.get(), flow.free()), (3, 0, 10));
        assert_eq!(tally.lost(&[flow]), 0);
    }

    #[test]
    fn a_gap_is_lost_and_leaves_the_window() {
        let (tally, flow) = tally_of(5, &[0, 3, 4]);
        assert_eq!((tally.delivered.get(), flow.free()), (3, 10));
        assert_eq!(tally.lost(&[flow]), 2);
    }

    #[test]
    fn the_last_message_can_be_lost_too() {
        let (tally, flow) = tally_of(3, &[0, 1]);
        assert_eq!(flow.free(), 9);
        assert_eq!(tally.lost(&[flow]), 1);
    }

    #[test]
    fn a_repeated_message_is_not_a_delivery() {
        let (tally, flow) = tally_of(3, &[0, 1, 1, 0]);
        assert_eq!((tally.delivered.get(), tally.duplicates.get()), (2, 2));
        assert_eq!(tally.lost(&[flow]), 1);
    }

    #[test]
    fn a_message_to_many_leaves_the_window_when_all_have_received_it() {
        let (tally, flow) = (Tally::default(), Flow::new(3, 10));
        flow.sent.set(1);
        tally.count(&flow, &mut 0, 0);
        tally.count(&flow, &mut 0, 0);
        assert_eq!(flow.free(), 9);
        tally.count(&flow, &mut 0, 0);
        assert_eq!(flow.free(), 10);
        assert_eq!(tally.lost(&[flow]), 0);
    }

    #[test]
    fn a_payload_of_another_program_is_refused() {
        assert!(stamp(b"hello", 1).is_err());
        assert!(stamp(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 1], 7).is_err());
        assert_eq!(stamp(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 1], 7).unwrap(), (6, 1));
    }
}
