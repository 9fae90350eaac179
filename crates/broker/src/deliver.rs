//! From a message to those who get it.
//!
//! A client gets one copy of a message however many of its own subscriptions match, with the highest QoS among them:
//! MQTT allows that or one copy for each (section 3.3.4), and AWS IoT does not say. Shared groups come on top.

use std::sync::Arc;

use rand::Rng;
use sekisho_mqtt::{QoS, Version, publish_len};

use crate::broker::Broker;
use crate::connection::Receive;
use crate::effect::{Delivery, Effect, Effects, Outgoing, StoreTicket};
use crate::input::{Now, TapId};
use crate::limits::{REDELIVERY_INTERVAL_MS, REDELIVERY_LIMIT_V5_MS, REDELIVERY_LIMIT_V311_MS};
use crate::message::Message;
use crate::record::{MessageId, Owner, Record};
use crate::refusal::Refusal;
use crate::reserved::BASIC_INGEST;
use crate::session::{Owed, SessionKey, SubscriptionOptions};
use crate::shared::GroupKey;
use crate::timers::Timer;

/// What a filter in the topic tree stands for.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    Session(SessionKey, SubscriptionOptions),
    Group(GroupKey),
    Tap(TapId),
}

/// A session that gets a message, with the options of its matching subscriptions taken together.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    session: SessionKey,
    qos: QoS,
    retain_as_published: bool,
}

/// Room for the answers of the topic tree, used again by every publication.
#[derive(Debug, Default)]
pub struct Matches {
    hits: Vec<Hit>,
    groups: Vec<GroupKey>,
    taps: Vec<TapId>,
}

/// One message as it is handed around, with what is the same for all receivers.
struct Parcel<'a> {
    live: &'a Arc<Message>,
    /// A copy that holds on to no read buffer, for queues and the retained store; made when first needed.
    kept: Option<Arc<Message>>,
    cost: u32,
    message_expiry: Option<u32>,
    stored: Option<MessageId>,
}

impl Parcel<'_> {
    fn kept(&mut self) -> Arc<Message> {
        Arc::clone(self.kept.get_or_insert_with(|| Arc::new(self.live.detached())))
    }

    fn owed(&mut self, retain: bool, group: Option<GroupKey>, stored: bool) -> Owed {
        Owed { message: self.kept(), retain, stored: self.stored.filter(|_| stored), group, until: None }
    }
}

impl Broker {
    /// Publishes a message that may be published: retains it, and gives it to sessions, groups and taps. When it must
    /// be durable before its publisher hears of success, the ticket to wait for.
    pub(crate) fn route(
        &mut self,
        now: Now,
        message: Message,
        publisher: Option<SessionKey>,
        effects: &mut Effects,
    ) -> Option<StoreTicket> {
        let mut matches = std::mem::take(&mut self.matches);
        let any_persistent = self.find_receivers(&message, publisher, &mut matches);
        let live = &Arc::new(message);
        let mut parcel = Parcel {
            live,
            kept: None,
            cost: live.cost(),
            message_expiry: live.remaining_expiry(now),
            stored: None,
        };
        // A retained message is kept whatever its QoS; that nothing of QoS 0 is waited for is for the caller.
        let ticket = if any_persistent || live.retain {
            Some(self.store_message(&mut parcel, &matches, effects))
        } else {
            None
        };
        if live.retain {
            self.retained.set(&parcel.kept());
        }
        for hit in &matches.hits {
            let retain = live.retain && hit.retain_as_published;
            self.deliver(now, hit.session, &mut parcel, live.qos.min(hit.qos), retain, None, effects);
        }
        for group in &matches.groups {
            self.deliver_to_group(now, *group, &mut parcel, effects);
        }
        // A tap with several matching filters hears of the message once.
        matches.taps.sort_unstable();
        matches.taps.dedup();
        for tap in &matches.taps {
            effects.push(Effect::Tapped { tap: *tap, message: Arc::clone(live) });
        }
        self.matches = matches;
        ticket
    }

    /// Sends a stored message because of a new subscription.
    pub(crate) fn deliver_retained(
        &mut self,
        now: Now,
        session: SessionKey,
        message: &Arc<Message>,
        granted: QoS,
        effects: &mut Effects,
    ) {
        let mut parcel = Parcel {
            live: message,
            kept: Some(Arc::clone(message)),
            cost: message.cost(),
            message_expiry: message.remaining_expiry(now),
            stored: None,
        };
        self.deliver(now, session, &mut parcel, message.qos.min(granted), true, None, effects);
    }

    /// Whether anybody would get a message on the topic.
    pub(crate) fn has_receivers(&mut self, topic: &str) -> bool {
        let mut any = false;
        self.tree.for_each_match(topic, |_| any = true);
        any
    }

    /// Fills `matches`. `true` when a persistent session, or a group with one, must not lose the message.
    fn find_receivers(
        &mut self,
        message: &Message,
        publisher: Option<SessionKey>,
        matches: &mut Matches,
    ) -> bool {
        matches.hits.clear();
        matches.groups.clear();
        matches.taps.clear();
        let topic = message.topic.as_str();
        let for_taps_only = topic.starts_with(BASIC_INGEST);
        let acknowledged = message.qos != QoS::AtMostOnce;
        self.publication += 1;
        let (publication, sessions, groups) = (self.publication, &mut self.sessions, &self.groups);
        let honour_no_local = self.limits.no_local;
        let mut any_persistent = false;
        self.tree.for_each_match(topic, |target| match *target {
            Target::Tap(tap) => matches.taps.push(tap),
            _ if for_taps_only => {}
            Target::Group(group) => {
                matches.groups.push(group);
                any_persistent |=
                    acknowledged && groups.get(group).is_some_and(|group| group.keeps_messages());
            }
            Target::Session(key, options) => {
                if options.no_local && honour_no_local && publisher == Some(key) {
                    return;
                }
                let Some(session) = sessions.get_mut(key) else { return };
                any_persistent |= acknowledged && session.persistent && options.qos != QoS::AtMostOnce;
                if session.mark.0 == publication {
                    let hit = &mut matches.hits[session.mark.1 as usize];
                    hit.qos = hit.qos.max(options.qos);
                    hit.retain_as_published |= options.retain_as_published;
                } else {
                    let place =
                        u32::try_from(matches.hits.len()).expect("fewer hits than entries in the tree");
                    session.mark = (publication, place);
                    let retain_as_published = options.retain_as_published;
                    matches.hits.push(Hit { session: key, qos: options.qos, retain_as_published });
                }
            }
        });
        any_persistent
    }

    fn store_message(
        &mut self,
        parcel: &mut Parcel<'_>,
        matches: &Matches,
        effects: &mut Effects,
    ) -> StoreTicket {
        let mut owners = Vec::new();
        if parcel.live.qos != QoS::AtMostOnce {
            for hit in matches.hits.iter().filter(|hit| hit.qos != QoS::AtMostOnce) {
                if let Some(session) = self.sessions.get(hit.session).filter(|session| session.persistent) {
                    owners.push(Owner::Session(Arc::clone(&session.client_id)));
                }
            }
            for key in &matches.groups {
                if let Some(group) = self.groups.get_mut(*key).filter(|group| group.keeps_messages()) {
                    group.is_recorded = true;
                    owners.push(Owner::Group(Arc::clone(&group.name)));
                }
            }
        }
        let id = MessageId(self.next_message);
        self.next_message += 1;
        if !owners.is_empty() {
            parcel.stored = Some(id);
        }
        let record = Record::Message { id, message: parcel.kept(), retained: parcel.live.retain, owners };
        self.store(record, effects)
    }

    #[allow(clippy::too_many_arguments, reason = "the hot path hands over words, not a structure to fill")]
    fn deliver(
        &mut self,
        now: Now,
        key: SessionKey,
        parcel: &mut Parcel<'_>,
        qos: QoS,
        retain: bool,
        group: Option<GroupKey>,
        effects: &mut Effects,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let acknowledged = qos != QoS::AtMostOnce;
        // Only what was recorded for this owner is to be settled by it.
        let stored = match group {
            Some(group) => self.groups.get(group).is_some_and(|group| group.keeps_messages()),
            None => acknowledged && session.persistent,
        };
        let Some((id, connection)) =
            session.connection.and_then(|id| Some((id, self.connections.get_mut(id)?.as_mut()?)))
        else {
            if acknowledged && session.persistent {
                let owed = parcel.owed(retain, group, stored);
                self.enqueue(key, owed, effects);
            }
            return;
        };
        let refused = match connection.permissions.may_receive(parcel.live.topic.as_str()) {
            Receive::Denied { asked } => {
                if asked {
                    let about = parcel.live.topic.as_str().to_owned();
                    effects.push(Effect::Refused {
                        connection: id,
                        refusal: Refusal::ReceiveNotAuthorized,
                        about,
                    });
                }
                Some(&mut self.counters.dropped_not_authorized)
            }
            Receive::Allowed
                if connection.maximum_packet_size.is_some_and(|most| exceeds(parcel.live, qos, most)) =>
            {
                Some(&mut self.counters.dropped_too_large)
            }
            Receive::Allowed
                if self
                    .limits
                    .publishes_per_second
                    .is_some_and(|most| !connection.publishes.count(now, most)) =>
            {
                Some(&mut self.counters.dropped_rate)
            }
            Receive::Allowed => None,
        };
        if let Some(counter) = refused {
            *counter += 1;
            if stored {
                let owed = parcel.owed(retain, group, stored);
                self.settle(key, &owed, effects);
            }
            return;
        }
        if !acknowledged {
            if connection.outbox.take(parcel.cost) {
                self.counters.delivered += 1;
                let delivery = Delivery {
                    message: Arc::clone(parcel.live),
                    message_expiry: parcel.message_expiry,
                    packet_id: None,
                    qos,
                    retain,
                };
                effects.send(id, Outgoing::Deliver(delivery));
            } else {
                self.counters.dropped_outbox_full += 1;
            }
            if group.is_some() && stored {
                let owed = parcel.owed(retain, group, true);
                self.settle(key, &owed, effects);
            }
            return;
        }
        if session.queue.is_empty()
            && session.inflight.len() < connection.window
            && connection.outbox.take(parcel.cost)
        {
            self.counters.delivered += 1;
            let owed = Owed {
                message: Arc::clone(parcel.live),
                retain,
                stored: parcel.stored.filter(|_| stored),
                group,
                until: None,
            };
            let packet_id = Some(session.inflight.push(owed, now.unix_ms));
            let delivery = Delivery {
                message: Arc::clone(parcel.live),
                message_expiry: parcel.message_expiry,
                packet_id,
                qos,
                retain,
            };
            effects.send(id, Outgoing::Deliver(delivery));
            if session.unacknowledged_timer.is_none() {
                self.arm_unacknowledged(key);
            }
            return;
        }
        let owed = parcel.owed(retain, group, stored);
        if self.enqueue(key, owed, effects) {
            self.pump(now, key, effects);
        }
    }

    fn deliver_to_group(&mut self, now: Now, key: GroupKey, parcel: &mut Parcel<'_>, effects: &mut Effects) {
        let Some(group) = self.groups.get(key) else { return };
        let count = group.members.len();
        let first = if count > 1 { self.random.random_range(0..count) } else { 0 };
        let mut busy = None;
        let mut chosen = None;
        for member in (0..count).map(|step| group.members[(first + step) % count]) {
            let Some(session) = self.sessions.get(member.session) else { continue };
            let Some(connection) =
                session.connection.and_then(|id| self.connections.get_mut(id)).and_then(Option::as_mut)
            else {
                continue;
            };
            if connection.permissions.may_receive(parcel.live.topic.as_str()) != Receive::Allowed {
                continue;
            }
            let qos = parcel.live.qos.min(member.qos);
            let is_ready = session.queue.is_empty()
                && session.inflight.len() < connection.window
                && connection.outbox.has_room();
            // QoS 0 goes to the one that was picked and is dropped on any failure (MQTT page).
            if qos == QoS::AtMostOnce || is_ready {
                chosen = Some((member.session, qos));
                break;
            }
            busy.get_or_insert((member.session, qos));
        }
        let keeps = parcel.live.qos != QoS::AtMostOnce && group.keeps_messages();
        if let Some((session, qos)) = chosen {
            self.deliver(now, session, parcel, qos, false, Some(key), effects);
        } else if keeps {
            let retention = u64::from(self.limits.session_expiry_seconds) * 1000;
            let until = Some(now.unix_ms + retention);
            let owed = Owed { until, ..parcel.owed(false, Some(key), true) };
            self.enqueue_in_group(now, key, owed, effects);
        } else if let Some((session, qos)) = busy {
            self.deliver(now, session, parcel, qos, false, Some(key), effects);
        }
    }

    /// Puts a message into a group's queue, newest last, and offers it to the members.
    fn enqueue_in_group(&mut self, now: Now, key: GroupKey, owed: Owed, effects: &mut Effects) {
        let most = self.limits.queued_messages_per_group;
        let Some(group) = self.groups.get_mut(key) else { return };
        if group.queue.len() >= most {
            self.counters.dropped_queue_full += 1;
            self.settle(SessionKey::default(), &owed, effects);
            return;
        }
        group.queue.push_back(owed);
        // While something waits, each member that is online is going to ask for it: after an acknowledgement or when
        // its outbox drains. So only the first has to be offered.
        if group.queue.len() == 1 {
            self.pump_group(now, key, effects);
        }
    }

    /// Gives messages back that a member can no longer acknowledge, ahead of those that wait.
    pub(crate) fn return_to_group(
        &mut self,
        now: Now,
        key: GroupKey,
        owed: Vec<Owed>,
        effects: &mut Effects,
    ) {
        let until = Some(now.unix_ms + u64::from(self.limits.session_expiry_seconds) * 1000);
        let Some(group) = self.groups.get_mut(key) else { return };
        for owed in owed.into_iter().rev() {
            group.queue.push_front(Owed { until, ..owed });
        }
        self.pump_group(now, key, effects);
    }

    pub(crate) fn pump_group(&mut self, now: Now, key: GroupKey, effects: &mut Effects) {
        let Some(group) = self.groups.get(key) else { return };
        let members: Vec<SessionKey> = group.members.iter().map(|member| member.session).collect();
        for session in members {
            self.pump(now, session, effects);
        }
    }

    /// Puts a message into a session's queue. `false` when it is full: then the newest, this one, is dropped.
    fn enqueue(&mut self, key: SessionKey, owed: Owed, effects: &mut Effects) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if session.queue.len() >= self.limits.queued_messages_per_session {
            self.counters.dropped_queue_full += 1;
            self.settle(key, &owed, effects);
            return false;
        }
        session.queue.push_back(owed);
        true
    }

    /// Sends what waits for a session, as far as its window and its outbox have room: its own queue first, then those
    /// of its groups.
    pub(crate) fn pump(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        loop {
            let Some(session) = self.sessions.get_mut(key) else { return };
            let Some(id) = session.connection else { return };
            let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
            let group = if session.queue.is_empty() {
                session
                    .groups()
                    .find(|group| self.groups.get(*group).is_some_and(|group| !group.queue.is_empty()))
            } else {
                None
            };
            if session.queue.is_empty() && group.is_none() || session.inflight.len() >= connection.window {
                return;
            }
            if !connection.outbox.has_room() {
                if connection.outbox.wait() {
                    return;
                }
                continue;
            }
            let (owed, qos) = match group {
                None => match session.queue.pop_front() {
                    Some(owed) => (owed, QoS::AtLeastOnce),
                    None => return,
                },
                Some(group) => match self.take_from_group(now, group, key, effects) {
                    Some(taken) => taken,
                    None => return,
                },
            };
            self.send_owed(now, key, owed, qos, effects);
        }
    }

    /// The first message of a group's queue that a member may receive.
    fn take_from_group(
        &mut self,
        now: Now,
        key: GroupKey,
        session_key: SessionKey,
        effects: &mut Effects,
    ) -> Option<(Owed, QoS)> {
        /// How far to look past messages that others may receive and this member may not.
        const LOOK_AHEAD: usize = 100;
        let id = self.sessions.get(session_key)?.connection?;
        let connection = self.connections.get_mut(id)?.as_mut()?;
        let group = self.groups.get_mut(key)?;
        let mut expired = Vec::new();
        while group.queue.front().is_some_and(|owed| owed.is_expired(now)) {
            expired.extend(group.queue.pop_front());
        }
        let qos = group.members.iter().find(|member| member.session == session_key)?.qos;
        let taken = group
            .queue
            .iter()
            .take(LOOK_AHEAD)
            .position(|owed| {
                connection.permissions.may_receive(owed.message.topic.as_str()) == Receive::Allowed
            })
            .and_then(|position| group.queue.remove(position));
        self.counters.dropped_expired += expired.len() as u64;
        for owed in expired {
            self.settle(session_key, &owed, effects);
        }
        Some((taken?, qos))
    }

    /// Sends a message for which the window and the outbox have room; drops one that is not to be sent any more.
    fn send_owed(&mut self, now: Now, key: SessionKey, owed: Owed, qos: QoS, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(id) = session.connection else { return };
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        let message = &owed.message;
        let dropped = if owed.is_expired(now) {
            Some(&mut self.counters.dropped_expired)
        } else if let Receive::Denied { asked } = connection.permissions.may_receive(message.topic.as_str()) {
            if asked {
                let about = message.topic.as_str().to_owned();
                effects.push(Effect::Refused {
                    connection: id,
                    refusal: Refusal::ReceiveNotAuthorized,
                    about,
                });
            }
            Some(&mut self.counters.dropped_not_authorized)
        } else if connection.maximum_packet_size.is_some_and(|most| exceeds(message, qos, most)) {
            Some(&mut self.counters.dropped_too_large)
        } else {
            None
        };
        if let Some(counter) = dropped {
            *counter += 1;
            self.settle(key, &owed, effects);
            return;
        }
        connection.outbox.take(message.cost());
        self.counters.delivered += 1;
        let mut delivery = Delivery {
            message: Arc::clone(message),
            message_expiry: message.remaining_expiry(now),
            packet_id: None,
            qos,
            retain: owed.retain,
        };
        if qos == QoS::AtMostOnce {
            effects.send(id, Outgoing::Deliver(delivery));
            self.settle(key, &owed, effects);
            return;
        }
        delivery.packet_id = Some(session.inflight.push(owed, now.unix_ms));
        effects.send(id, Outgoing::Deliver(delivery));
        if session.unacknowledged_timer.is_none() {
            self.arm_unacknowledged(key);
        }
    }

    /// A message is owed no more: says so to the log if it knows the message.
    pub(crate) fn settle(&mut self, key: SessionKey, owed: &Owed, effects: &mut Effects) {
        let Some(message) = owed.stored else { return };
        let owner = match owed.group {
            Some(group) => match self.groups.get(group) {
                Some(group) => Owner::Group(Arc::clone(&group.name)),
                // It took its records along.
                None => return,
            },
            None => match self.sessions.get(key) {
                Some(session) => Owner::Session(Arc::clone(&session.client_id)),
                None => return,
            },
        };
        self.store(Record::Settled { owner, message }, effects);
    }

    /// Sets the session's timer for what is under way.
    fn arm_unacknowledged(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let (resend_after, give_up_after) = match session.version {
            Version::V311 => (Some(REDELIVERY_INTERVAL_MS), REDELIVERY_LIMIT_V311_MS),
            // MQTT 5 resends on a new connection only [MQTT-4.4.0-1].
            Version::V5 => (None, REDELIVERY_LIMIT_V5_MS),
        };
        if let Some(at) = session.inflight.next_deadline(resend_after, give_up_after) {
            self.timers.set(&mut session.unacknowledged_timer, at, Timer::Unacknowledged(key));
        }
    }

    /// The timer fired: gives up what is too old, and sends the rest to a 3.1.1 client again.
    pub(crate) fn unacknowledged(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.unacknowledged_timer = None;
        let Some(id) = session.connection else { return };
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        let (resends, give_up_after) = match session.version {
            Version::V311 => (true, REDELIVERY_LIMIT_V311_MS),
            Version::V5 => (false, REDELIVERY_LIMIT_V5_MS),
        };
        let mut given_up = Vec::new();
        for sent in session.inflight.iter_mut() {
            let Some(owed) = &sent.owed else { continue };
            if now.unix_ms >= sent.first_sent + give_up_after || owed.is_expired(now) {
                given_up.extend(sent.owed.take());
            } else if resends && now.unix_ms >= sent.last_sent + REDELIVERY_INTERVAL_MS {
                // Whether or not there is room: if not, the next interval is soon enough.
                sent.last_sent = now.unix_ms;
                let may = connection.permissions.may_receive(owed.message.topic.as_str()) == Receive::Allowed;
                if may && connection.outbox.take(owed.message.cost()) {
                    self.counters.delivered += 1;
                    let delivery = Delivery {
                        message: Arc::clone(&owed.message),
                        message_expiry: owed.message.remaining_expiry(now),
                        packet_id: Some(sent.packet_id()),
                        qos: QoS::AtLeastOnce,
                        retain: owed.retain,
                    };
                    effects.send(id, Outgoing::Deliver(delivery));
                }
            }
        }
        self.counters.dropped_unacknowledged += given_up.len() as u64;
        for owed in given_up {
            self.settle(key, &owed, effects);
        }
        self.arm_unacknowledged(key);
    }
}

/// Whether the packet would be larger than the receiver takes [MQTT-3.1.2-24].
fn exceeds(message: &Message, qos: QoS, most: u32) -> bool {
    let expiry = message.expires_at.map(|_| 0);
    publish_len(Version::V5, qos, message.topic.as_str(), message.payload.len(), &message.properties, expiry)
        > most as usize
}
