//! One task per MQTT connection. Cannot be built without an [`Admitted`](crate::admitted::Admitted).
//!
//! A turn takes everything that can be read, hands all packets in it to the broker at once, appends all that is to be
//! written to one buffer, writes once and flushes once. Between turns a connection holds no buffers of its own: they
//! belong to the thread and are lent, so that a hundred thousand idle devices cost what TLS needs and little more.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use sekisho_broker::{Accepted, Charge, DisconnectReason, Outgoing, Resource};
use sekisho_mqtt::{Ack, DecodeError, Decoder, Packet, Version, encode, encode_publish};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::handle::{ConnectionHandle, Instructions};
use crate::metrics::Metrics;
use crate::realm::Realm;
use crate::tls::handshake;

/// Room for one read: a TLS record's worth.
const READ_SIZE: usize = 16 * 1024;

/// What one turn takes from the network before others get their turn.
const READ_LIMIT: usize = 64 * 1024;

/// A beginning of a packet that is no longer than this is copied, so that a device which stops sending within a packet
/// does not keep a whole read buffer in memory.
const COPIED: usize = 1024;

/// What is encoded before it is written. Beyond, packets wait in their compact form.
const WRITE_SIZE: usize = 64 * 1024;

/// A peer that takes nothing for this long is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a closed connection may take to read what was sent last. Closing at once, with bytes of the peer unread, would
/// make TCP reset the connection and lose what was sent.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// A byte stream: TLS over TCP today, anything with an identity tomorrow.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// A connection whose CONNECT is with the broker. It is its own future, so that a task holds it once and nothing else.
pub struct Connection<S, P> {
    stream: S,
    realm: Arc<Realm>,
    handle: Arc<ConnectionHandle>,
    metrics: Arc<Metrics>,
    decoder: Decoder,
    version: Version,
    /// The beginning of a packet; empty and without memory most of the time.
    partial: BytesMut,
    /// What that takes, where it is more than a few bytes.
    partial_charge: Option<Charge>,
    /// Packets that were too much for one turn of the broker.
    rest: Option<Box<Rest>>,
    /// Encoded and not yet written; likewise.
    unwritten: BytesMut,
    /// Not yet encoded, because the peer reads slowly.
    backlog: VecDeque<Outgoing>,
    /// Messages and their cost that are in `unwritten` or within TLS.
    in_flight: (u64, u64),
    accepted: Option<Box<Accepted>>,
    keep_alive: Duration,
    last_heard: Instant,
    /// Since when the peer has taken nothing of what there is for it.
    stuck_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    /// What came with the CONNECT has been served.
    greeted: bool,
    paused: bool,
    flushing: bool,
    phase: Phase,
    _permit: P,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The broker has removed the connection: write what is left, then close the sending side.
    Closing,
    /// The sending side is closed; waiting for the peer to close its side.
    Lingering,
}

/// Packets that were read and not yet served, and the error that ends them.
struct Rest {
    packets: VecDeque<Packet>,
    error: Option<DecodeError>,
}

/// Buffers and packets of one turn, lent by the thread.
#[derive(Default)]
struct Scratch {
    read: BytesMut,
    write: BytesMut,
    packets: VecDeque<Packet>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<S: Transport, P> Connection<S, P> {
    /// `leftover` is what was read beyond the CONNECT. `permit` goes back when the connection has ended.
    pub fn new(
        stream: S,
        realm: Arc<Realm>,
        handle: Arc<ConnectionHandle>,
        metrics: Arc<Metrics>,
        decoder: Decoder,
        leftover: BytesMut,
        permit: P,
    ) -> Self {
        let now = Instant::now();
        let version = decoder.version().expect("the decoder has read the CONNECT");
        Self {
            stream,
            realm,
            handle,
            metrics,
            decoder,
            version,
            partial: leftover,
            partial_charge: None,
            rest: None,
            unwritten: BytesMut::new(),
            backlog: VecDeque::new(),
            in_flight: (0, 0),
            accepted: None,
            keep_alive: Duration::from_secs(1200),
            last_heard: now,
            stuck_since: None,
            timer: Box::pin(sleep_until(now + LINGER)),
            greeted: false,
            paused: false,
            flushing: false,
            phase: Phase::Open,
            _permit: permit,
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.greeted {
            // Packets may have come together with the CONNECT.
            self.greeted = true;
            let leftover = std::mem::take(&mut self.partial);
            if !leftover.is_empty() {
                self.take_packets(leftover);
            }
        }
        loop {
            let instructions = self.handle.take(context);
            let was_instructed = instructions.is_some();
            if let Some(instructions) = instructions {
                self.follow(instructions);
            }
            match self.poll_write(context) {
                Ok(()) => {}
                Err(error) => return self.lost(Some(&error)),
            }
            // An error here means that the peer has closed already.
            if self.phase == Phase::Closing
                && !self.has_output()
                && Pin::new(&mut self.stream).poll_shutdown(context).is_ready()
            {
                self.phase = Phase::Lingering;
                self.timer.as_mut().reset(Instant::now() + LINGER);
            }
            if let Some(rest) = self.rest.take_if(|_| self.phase == Phase::Open && self.stuck_since.is_none())
            {
                self.serve(*rest);
                if self.rest.is_some() {
                    // Others have waited for the broker meanwhile, and for this thread.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                continue;
            }
            // Checked here too: a peer that never stops sending would keep the task from ever polling the timer.
            if self.phase == Phase::Lingering && self.timer.deadline() <= Instant::now() {
                return Poll::Ready(());
            }
            let read = if self.may_read() { self.poll_read(context) } else { Poll::Pending };
            match read {
                Poll::Ready(Ok(0)) => return self.lost(None),
                Poll::Ready(Err(error)) => return self.lost(Some(&error)),
                Poll::Ready(Ok(_)) => continue,
                Poll::Pending if was_instructed => continue,
                Poll::Pending => {}
            }
            ready!(self.poll_timer(context));
            if self.phase == Phase::Lingering {
                return Poll::Ready(());
            }
        }
    }

    /// Do not read from a peer whose answers pile up, so that it cannot make the server hold more of them.
    fn may_read(&self) -> bool {
        match self.phase {
            Phase::Open => !self.paused && self.rest.is_none() && self.stuck_since.is_none(),
            Phase::Closing => false,
            Phase::Lingering => true,
        }
    }

    fn has_output(&self) -> bool {
        self.flushing || !self.unwritten.is_empty() || !self.backlog.is_empty()
    }

    fn follow(&mut self, instructions: Instructions) {
        if let Some(accepted) = instructions.accepted {
            self.keep_alive = Duration::from_secs(u64::from(accepted.keep_alive)) * 3 / 2;
            self.last_heard = Instant::now();
            self.timer.as_mut().reset(self.last_heard + self.keep_alive);
            self.accepted = Some(accepted);
            self.metrics.connected.increment();
        }
        if self.backlog.is_empty() {
            self.backlog = instructions.outgoing.into();
        } else {
            self.backlog.extend(instructions.outgoing);
        }
        if let Some(paused) = instructions.paused {
            self.paused = paused;
        }
        if instructions.close.is_some() && self.phase == Phase::Open {
            self.phase = Phase::Closing;
            self.timer.as_mut().reset(Instant::now() + LINGER);
        }
    }

    /// Read until nothing more comes or the limit is reached; the packets are with the broker when it returns.
    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = std::mem::take(&mut self.partial);
        if buffer.is_empty() {
            buffer = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.read));
        }
        let before = buffer.len();
        let ended = loop {
            // Payloads are slices of this buffer, so its memory comes back when the last of them has gone.
            if buffer.capacity() - buffer.len() < READ_SIZE / 4 {
                buffer.reserve(READ_SIZE);
            }
            match pin!(self.stream.read_buf(&mut buffer)).poll(context) {
                Poll::Ready(Ok(0)) => break Some(Ok(0)),
                Poll::Ready(Ok(_)) if buffer.len() - before < READ_LIMIT => {}
                Poll::Ready(Ok(_)) => break None,
                Poll::Ready(Err(error)) => break Some(Err(error)),
                Poll::Pending => break None,
            }
        };
        let count = buffer.len() - before;
        if count > 0 {
            self.last_heard = Instant::now();
            self.metrics.bytes_in.add(count as u64);
        }
        if self.phase != Phase::Open {
            // The broker takes nothing of this connection any more.
            buffer.clear();
        }
        if count > 0 && self.phase == Phase::Open {
            self.take_packets(buffer);
        } else {
            self.give_back(buffer);
        }
        match ended {
            // What came before the end is served; the end shows itself again at the next read.
            Some(_) if count > 0 => Poll::Ready(Ok(count)),
            Some(end) => Poll::Ready(end),
            None if count > 0 => Poll::Ready(Ok(count)),
            None => Poll::Pending,
        }
    }

    /// Decode all that is complete and hand it to the broker.
    fn take_packets(&mut self, mut buffer: BytesMut) {
        let mut packets = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.packets));
        let error: Option<DecodeError> = loop {
            match self.decoder.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push_back(packet),
                Ok(None) => break None,
                Err(error) => break Some(error),
            }
        };
        self.metrics.packets_in.add(packets.len() as u64);
        self.serve(Rest { packets, error });
        self.give_back(buffer);
    }

    /// Hand packets to the broker: all of them in one turn, unless they cause too much.
    fn serve(&mut self, mut rest: Rest) {
        if !rest.packets.is_empty() || rest.error.is_some() {
            // The answers are instructions to this task, which runs.
            self.handle.stay_awake();
            self.realm.packets(&self.handle, &mut rest.packets, rest.error.as_ref());
        }
        if rest.packets.is_empty() {
            SCRATCH.with_borrow_mut(|scratch| scratch.packets = rest.packets);
        } else {
            self.rest = Some(Box::new(rest));
        }
    }

    fn give_back(&mut self, mut buffer: BytesMut) {
        if buffer.len() > COPIED {
            // A packet that never ends keeps its connection alive for as long as a byte of it comes now and then.
            self.partial_charge = None;
            if self.phase == Phase::Open {
                self.partial_charge = self.realm.budget().take(Resource::Messages, buffer.capacity() as u64);
                if self.partial_charge.is_none() {
                    self.realm.disconnect(&self.handle, DisconnectReason::Throttled);
                }
            }
            self.partial = buffer;
            return;
        }
        self.partial_charge = None;
        self.partial = if buffer.is_empty() { BytesMut::new() } else { BytesMut::from(&buffer[..]) };
        buffer.clear();
        SCRATCH.with_borrow_mut(|scratch| scratch.read = buffer);
    }

    /// Encode and write as much as the peer takes.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.has_output() {
            if self.unwritten.is_empty() && !self.backlog.is_empty() {
                let mut buffer = SCRATCH.with_borrow_mut(|scratch| std::mem::take(&mut scratch.write));
                let waiting = self.backlog.len();
                while buffer.len() < WRITE_SIZE
                    && let Some(outgoing) = self.backlog.pop_front()
                {
                    self.encode(outgoing, &mut buffer);
                }
                self.metrics.packets_out.add((waiting - self.backlog.len()) as u64);
                if self.backlog.is_empty() {
                    self.backlog = VecDeque::new();
                }
                self.metrics.bytes_out.add(buffer.len() as u64);
                self.unwritten = buffer;
            }
            while !self.unwritten.is_empty() {
                match Pin::new(&mut self.stream).poll_write(context, &self.unwritten) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(count)) => {
                        self.unwritten.advance(count);
                        self.flushing = true;
                        self.stuck_since = None;
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => {
                        self.stuck();
                        return Ok(());
                    }
                }
            }
            let mut buffer = std::mem::take(&mut self.unwritten);
            buffer.clear();
            SCRATCH.with_borrow_mut(|scratch| scratch.write = buffer);
            if !self.backlog.is_empty() {
                // What TLS still holds of it is little; a slow peer must not wait for the last byte to get room.
                self.account();
                continue;
            }
            match Pin::new(&mut self.stream).poll_flush(context) {
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.stuck();
                    return Ok(());
                }
            }
            self.stuck_since = None;
            self.account();
        }
        Ok(())
    }

    /// Tell the broker's count that its messages are written.
    fn account(&mut self) {
        let (messages, cost) = std::mem::take(&mut self.in_flight);
        if messages > 0
            && let Some(accepted) = &self.accepted
            && accepted.outbox.written(messages, cost)
        {
            self.realm.drained(&self.handle);
        }
    }

    fn stuck(&mut self) {
        if self.stuck_since.is_none() {
            let now = Instant::now();
            self.stuck_since = Some(now);
            if now + WRITE_TIMEOUT < self.timer.deadline() {
                self.timer.as_mut().reset(now + WRITE_TIMEOUT);
            }
        }
    }

    fn encode(&mut self, outgoing: Outgoing, buffer: &mut BytesMut) {
        let result = match outgoing {
            Outgoing::Deliver(delivery) => {
                self.in_flight.0 += 1;
                self.in_flight.1 += u64::from(delivery.cost());
                let message = &delivery.message;
                encode_publish(
                    buffer,
                    self.version,
                    delivery.head(),
                    &message.topic,
                    &message.payload,
                    &message.properties,
                    delivery.message_expiry,
                )
            }
            Outgoing::PubAck { packet_id, reason } => {
                encode(&Packet::PubAck(Ack::new(packet_id, reason)), self.version, buffer)
            }
            Outgoing::PingResp => encode(&Packet::PingResp, self.version, buffer),
            Outgoing::Packet(packet) => encode(&packet, self.version, buffer),
        };
        if result.is_err() {
            // The broker makes no such packet; should it, the connection goes on without it and the number shows it.
            self.metrics.packets_unencodable.increment();
        }
    }

    /// The keep alive, the write time-out and the linger share one timer. Ready when time has brought something.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.timer.as_mut().poll(context));
            let now = Instant::now();
            if self.phase != Phase::Open {
                self.phase = Phase::Lingering;
                return Poll::Ready(());
            }
            if self.paused {
                // The server does not read: the client is not silent.
                self.last_heard = now;
            }
            let silent_until = self.last_heard + self.keep_alive;
            let stuck_until = self.stuck_since.map(|since| since + WRITE_TIMEOUT);
            if stuck_until.is_some_and(|until| until <= now) {
                self.realm.closed(&self.handle, DisconnectReason::ConnectionLost);
                self.phase = Phase::Lingering;
                return Poll::Ready(());
            }
            if silent_until <= now {
                self.realm.disconnect(&self.handle, DisconnectReason::MqttKeepAliveTimeout);
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(stuck_until.map_or(silent_until, |until| until.min(silent_until)));
        }
    }

    fn lost(&mut self, cause: Option<&io::Error>) -> Poll<()> {
        if self.phase == Phase::Open {
            if let Some(refused) = cause.and_then(handshake::alert_after_handshake) {
                self.realm.report_lost(&self.handle, refused);
            }
            self.realm.closed(&self.handle, DisconnectReason::ConnectionLost);
        }
        Poll::Ready(())
    }
}

impl<S: Transport, P: Unpin> Future for Connection<S, P> {
    type Output = ();

    /// Serve it to its end.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut().turn(context)
    }
}

impl<S, P> Drop for Connection<S, P> {
    /// However the task ends, by a panic or with its runtime: the broker knows, and its handle is dropped.
    fn drop(&mut self) {
        if self.phase == Phase::Open {
            self.realm.closed(&self.handle, DisconnectReason::ConnectionLost);
        }
        self.realm.live().remove(&self.handle);
        if self.accepted.is_some() {
            self.metrics.disconnected.increment();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use sekisho_broker::{Limits, Origin, ServerPublish};
    use sekisho_mqtt::{PublishProperties, QoS, ReasonCode, Subscribe, SubscribeFilter, TopicName, Utf8};
    use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::testing::{self, Plane};

    /// The client's end of a connection, and the task that serves the other. Time is tokio's and stands still while
    /// anybody has something to do.
    struct Served {
        stream: DuplexStream,
        realm: Arc<Realm>,
        task: JoinHandle<()>,
        decoder: Decoder,
        buffer: BytesMut,
    }

    /// The server's end of a connection over `stream`, whose CONNECT was accepted.
    fn connected_over<S: Transport>(stream: S) -> Connection<S, ()> {
        let plane = Plane::new();
        let handle = plane.connect(&plane.admit(1, &testing::identity()), "c", Version::V5);
        let mut decoder = Decoder::new(sekisho_mqtt::Limits::UNLIMITED);
        decoder.set_version(Version::V5);
        Connection::new(stream, plane.realm(), handle, Arc::default(), decoder, BytesMut::new(), ())
    }

    impl Served {
        async fn with_room_for(bytes: usize) -> Self {
            let (stream, server) = duplex(bytes);
            let connection = connected_over(server);
            let realm = connection.realm.clone();
            let task = tokio::spawn(connection);
            let decoder = Decoder::for_client(sekisho_mqtt::Limits::UNLIMITED, Version::V5);
            let mut served = Self { stream, realm, task, decoder, buffer: BytesMut::new() };
            assert!(matches!(served.receive().await, Some(Packet::ConnAck(_))));
            served
        }

        async fn send(&mut self, packet: Packet) {
            let mut bytes = BytesMut::new();
            encode(&packet, Version::V5, &mut bytes).unwrap();
            self.stream.write_all(&bytes).await.unwrap();
        }

        async fn receive(&mut self) -> Option<Packet> {
            loop {
                if let Some(packet) = self.decoder.decode(&mut self.buffer).unwrap() {
                    return Some(packet);
                }
                if self.stream.read_buf(&mut self.buffer).await.unwrap() == 0 {
                    return None;
                }
            }
        }

        async fn subscribe(&mut self) {
            let filter = SubscribeFilter::new(Utf8::try_from("t").unwrap(), QoS::AtMostOnce);
            self.send(Packet::Subscribe(Subscribe {
                packet_id: NonZeroU16::MIN,
                filters: vec![filter],
                subscription_identifier: None,
                user_properties: Vec::new(),
            }))
            .await;
            assert!(matches!(self.receive().await, Some(Packet::SubAck(_))));
        }

        fn publish(&self, payload: Vec<u8>) {
            let message = ServerPublish {
                topic: TopicName::new("t").unwrap(),
                payload: payload.into(),
                qos: QoS::AtMostOnce,
                retain: false,
                properties: PublishProperties::new(),
                origin: Origin::Service,
            };
            let _ = self.realm.publish(message).unwrap();
        }

        fn connections(&self) -> usize {
            self.realm.counters().1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_gets_disconnect_after_one_and_a_half_keep_alives() {
        let mut served = Served::with_room_for(1024).await;
        let began = Instant::now();
        let Some(Packet::Disconnect(disconnect)) = served.receive().await else {
            panic!("no DISCONNECT came")
        };
        assert_eq!(disconnect.reason, ReasonCode::KeepAliveTimeout);
        assert_eq!(began.elapsed().as_secs(), 90);
        assert_eq!(served.connections(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn any_packet_keeps_a_connection_alive() {
        let mut served = Served::with_room_for(1024).await;
        for _ in 0..5 {
            tokio::time::sleep(Duration::from_secs(80)).await;
            served.send(Packet::PingReq).await;
            assert!(matches!(served.receive().await, Some(Packet::PingResp)));
        }
        let began = Instant::now();
        assert!(matches!(served.receive().await, Some(Packet::Disconnect(_))));
        assert_eq!(began.elapsed().as_secs(), 90);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_is_given_up() {
        let mut served = Served::with_room_for(64).await;
        served.subscribe().await;
        served.publish(vec![7; 1000]);
        let began = Instant::now();
        (&mut served.task).await.unwrap();
        assert_eq!(began.elapsed(), WRITE_TIMEOUT);
        assert_eq!(served.connections(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_little_by_little_is_served() {
        let mut served = Served::with_room_for(64).await;
        served.subscribe().await;
        served.publish(vec![7; 200]);
        // Longer than the write time-out all in all, never silent for the keep alive.
        let mut byte = [0; 50];
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(20)).await;
            served.stream.read_exact(&mut byte).await.unwrap();
        }
        assert_eq!(served.connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_much_for_one_turn_is_served_in_the_next_ones() {
        let mut served = Served::with_room_for(1024 * 1024).await;
        let pings = 3 * crate::realm::TURN_EFFECTS;
        let mut bytes = BytesMut::new();
        for _ in 0..pings {
            encode(&Packet::PingReq, Version::V5, &mut bytes).unwrap();
        }
        // An error behind them is met last.
        bytes.extend_from_slice(&[0xff]);
        served.stream.write_all(&bytes).await.unwrap();
        for _ in 0..pings {
            assert!(matches!(served.receive().await, Some(Packet::PingResp)));
        }
        assert!(matches!(served.receive().await, Some(Packet::Disconnect(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_peer_has_taken_makes_room_before_it_has_taken_all() {
        let mut served = Served::with_room_for(WRITE_SIZE).await;
        served.subscribe().await;
        let message = 100_000;
        let most = usize::try_from(Limits::default().outbox_bytes).unwrap() / message;
        (0..most).for_each(|_| served.publish(vec![7; message]));
        for _ in 0..most / 2 {
            assert!(matches!(served.receive().await, Some(Packet::Publish(_))));
        }
        (0..most / 4).for_each(|_| served.publish(vec![7; message]));
        assert_eq!(served.realm.counters().0.dropped_outbox_full, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_close_is_not_waited_for() {
        let mut served = Served::with_room_for(1024).await;
        served.realm.shutdown();
        let Some(Packet::Disconnect(disconnect)) = served.receive().await else {
            panic!("no DISCONNECT came")
        };
        assert_eq!(disconnect.reason, ReasonCode::ServerShuttingDown);
        let began = Instant::now();
        (&mut served.task).await.unwrap();
        assert!(began.elapsed() <= LINGER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_device_that_falls_silent_within_a_packet_holds_only_what_it_sent() {
        let (mut client, server) = duplex(READ_SIZE);
        let mut connection = connected_over(server);
        // Two bytes of a PUBLISH of a hundred, after a PINGREQ.
        client.write_all(&[0xc0, 0, 0x30, 100]).await.unwrap();
        let read = std::future::poll_fn(|context| connection.poll_read(context)).await;
        assert_eq!(read.unwrap(), 4);
        assert_eq!(connection.partial, [0x30, 100][..]);
        assert!(connection.partial.capacity() <= COPIED, "{}", connection.partial.capacity());
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_the_close_is_not_kept() {
        let mut connection = connected_over(tokio::io::join(tokio::io::repeat(0xff), tokio::io::sink()));
        connection.phase = Phase::Lingering;
        let read = std::future::poll_fn(|context| connection.poll_read(context)).await;
        assert!(read.unwrap() > 0);
        assert!(connection.partial.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_never_stops_sending_is_closed_in_time() {
        // Each of these bytes is an error, and there is no end of them.
        let flood = tokio::io::join(tokio::io::repeat(0xff), tokio::io::sink());
        let task = tokio::spawn(connected_over(flood));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!task.is_finished(), "it may read what was sent last");
        tokio::time::advance(LINGER).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(task.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn an_aborted_task_leaves_no_connection_behind() {
        let served = Served::with_room_for(1024).await;
        assert_eq!(served.connections(), 1);
        served.task.abort();
        let Served { task, realm, .. } = served;
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(realm.counters().1, 0);
    }

    #[test]
    fn the_outbox_holds_more_than_one_write() {
        assert!(Limits::default().outbox_bytes > WRITE_SIZE as u64);
    }
}
