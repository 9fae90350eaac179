//! Delivers a message to its receivers.
//!
//! A client gets one copy of a message however many of its own subscriptions match, with the highest QoS among them:
//! MQTT allows that or one copy for each (section 3.3.4), and AWS IoT does not say. Shared groups come on top.

use std::sync::Arc;

use rand::RngExt;
use sekisho_mqtt::{QoS, Version, publish_len};

use crate::broker::Broker;
use crate::budget::{Charge, Charged, Resource};
use crate::connection::Receive;
use crate::effect::{Effect, Effects, StoreTicket};
use crate::input::{ConnectionId, Now};
use crate::keys::{GroupKey, SessionKey};
use crate::matches::{Hit, Matches, Target};
use crate::message::Message;
use crate::outgoing::{Delivery, Outgoing};
use crate::owed::Owed;
use crate::record::{MessageId, Owner, Record};
use crate::refusal::{Operation, Refusal};
use crate::reserved;

/// A message on its way to its receivers, with what is the same for all of them.
struct Parcel<'a> {
    /// In memory of its own if it has a receiver or is retained.
    live: &'a Arc<Message>,
    cost: u32,
    message_expiry: Option<u32>,
    stored: Option<MessageId>,
    /// Whether the budget had room for it in queues before it was charged.
    may_wait: bool,
}

impl<'a> Parcel<'a> {
    fn of(live: &'a Arc<Message>, now: Now, may_wait: bool) -> Parcel<'a> {
        Parcel { live, cost: live.cost(), message_expiry: live.remaining_expiry(now), stored: None, may_wait }
    }

    fn owed(&self, retain: bool, group: Option<GroupKey>, stored: bool) -> Owed {
        Owed {
            message: Arc::clone(self.live),
            retain,
            stored: self.stored.filter(|_| stored),
            group,
            until: None,
        }
    }
}

impl Broker {
    /// Publishes a message that may be published: retains it, and delivers it to sessions, groups and taps. Returns the
    /// ticket to wait for if it must be durable before its publisher gets an acknowledgement.
    ///
    /// # Errors
    ///
    /// The account's budget has no room for the message, or the retained store has none and `must_retain`. Nothing is
    /// delivered or retained, and the message is returned.
    pub(crate) fn route(
        &mut self,
        now: Now,
        message: Message,
        publisher: Option<SessionKey>,
        must_retain: bool,
        effects: &mut Effects,
    ) -> Result<Option<StoreTicket>, Box<(Refusal, Message)>> {
        let mut matches = std::mem::take(&mut self.matches);
        let any_persistent = self.find_receivers(&message, publisher, &mut matches);
        let may_wait = self.budget.has_queue_room();
        let is_for_clients = !(matches.hits.is_empty() && matches.groups.is_empty());
        let mut message = message;
        let mut retained = None;
        if is_for_clients || message.retain {
            match self.charge(now, &message, &matches, may_wait, must_retain) {
                Ok((charged, for_store)) => {
                    message.detach();
                    message.charged = charged;
                    retained = for_store;
                }
                Err(refusal) => {
                    self.matches = matches;
                    return Err(Box::new((refusal, message)));
                }
            }
        }
        let is_kept = message.retain && (message.payload.is_empty() || retained.is_some());
        let live = &Arc::new(message);
        let mut parcel = Parcel::of(live, now, may_wait);
        // A retained message is kept with any QoS. The caller does not wait for one of QoS 0.
        let ticket = if any_persistent || is_kept {
            Some(self.store_message(&mut parcel, &matches, is_kept, effects))
        } else {
            None
        };
        if is_kept {
            self.retained.set(live, retained);
        }
        for hit in &matches.hits {
            let retain = live.retain && hit.retain_as_published;
            self.deliver(now, hit.session, &parcel, live.qos.min(hit.qos), retain, None, effects);
        }
        for group in &matches.groups {
            self.deliver_to_group(now, *group, &parcel, effects);
        }
        // A tap with several matching filters gets the message once.
        matches.taps.sort_unstable();
        matches.taps.dedup();
        if !matches.taps.is_empty() {
            let from = publisher.and_then(|key| self.sessions.get(key)?.connection);
            for tap in &matches.taps {
                effects.push(Effect::Tapped { tap: *tap, message: Arc::clone(live), from });
            }
        }
        self.matches = matches;
        Ok(ticket)
    }

    /// Publishes a message whose publisher gets no answer: a will or an event. If there is no room, drops it, or does
    /// not retain it, and counts that.
    pub(crate) fn route_or_drop(&mut self, now: Now, message: Message, effects: &mut Effects) {
        if self.route(now, message, None, false, effects).is_err() {
            self.counters.dropped_budget += 1;
        }
    }

    /// Charges a message that has receivers or is to be retained. Returns the charge of the retained store separately.
    fn charge(
        &mut self,
        now: Now,
        message: &Message,
        matches: &Matches,
        may_wait: bool,
        must_retain: bool,
    ) -> Result<(Charged, Option<Charge>), Refusal> {
        let mut charged = Charged::default();
        if !(matches.hits.is_empty() && matches.groups.is_empty()) {
            if message.qos != QoS::AtMostOnce && !may_wait && self.could_only_wait(message, matches) {
                return Err(Refusal::MessageMemoryFull);
            }
            let charge = self.budget.take(Resource::Messages, message.held_bytes());
            charged.0 = Some(charge.ok_or(Refusal::MessageMemoryFull)?);
        }
        let mut retained = None;
        if message.retain && !message.payload.is_empty() {
            retained = self.retained.reserve(now, message, &self.limits, &self.budget);
            match &retained {
                None if must_retain => return Err(Refusal::RetainedStoreFull),
                None => self.counters.dropped_budget += 1,
                Some(_) => {}
            }
        }
        Ok((charged, retained))
    }

    /// Returns whether a QoS 1 message has receivers and cannot be sent to any of them now.
    fn could_only_wait(&self, message: &Message, matches: &Matches) -> bool {
        let mut would_wait = false;
        let mut would_be_sent = |key: SessionKey, qos: QoS, keeps: bool| {
            let Some(session) = self.sessions.get(key) else { return false };
            let connection =
                session.connection.and_then(|id| self.connections.get(id)).and_then(Option::as_ref);
            let acknowledged = message.qos.min(qos) != QoS::AtMostOnce;
            let is_sent = connection.is_some_and(|connection| !acknowledged || session.is_ready(connection));
            would_wait |= !is_sent && acknowledged && (keeps || connection.is_some());
            is_sent
        };
        for hit in &matches.hits {
            let keeps = self.sessions.get(hit.session).is_some_and(|session| session.persistent);
            if would_be_sent(hit.session, hit.qos, keeps) {
                return false;
            }
        }
        for group in matches.groups.iter().filter_map(|key| self.groups.get(*key)) {
            let keeps = group.keeps_messages();
            if group.members.iter().any(|member| would_be_sent(member.session, member.qos, keeps)) {
                return false;
            }
        }
        would_wait
    }

    /// Sends a stored message because of a new subscription.
    pub(crate) fn deliver_retained(
        &mut self,
        now: Now,
        session: SessionKey,
        message: &Message,
        granted: QoS,
        effects: &mut Effects,
    ) {
        let may_wait = self.budget.has_queue_room();
        let Some(charge) = self.budget.take(Resource::Messages, message.held_bytes()) else {
            self.counters.dropped_budget += 1;
            return;
        };
        // The payload is shared with the store. The message is charged apart: it can be needed after it was replaced
        // there.
        let live = &Arc::new(Message { charged: Charged(Some(charge)), ..message.clone() });
        let parcel = Parcel::of(live, now, may_wait);
        self.deliver(now, session, &parcel, live.qos.min(granted), true, None, effects);
    }

    /// Sends a message to one connection, if its session has subscribed to the topic. Returns whether it has.
    pub(crate) fn on_reply(
        &mut self,
        now: Now,
        connection: ConnectionId,
        message: Message,
        effects: &mut Effects,
    ) -> Result<bool, Refusal> {
        let Some(asked) = self.connections.get(connection).and_then(Option::as_ref) else { return Ok(false) };
        let key = asked.session;
        let mut granted: Option<QoS> = None;
        self.tree.for_each_match(message.topic.as_str(), |target| match *target {
            Target::Session(session, options) if session == key => {
                granted = Some(granted.map_or(options.qos, |qos| qos.max(options.qos)));
            }
            _ => {}
        });
        let Some(granted) = granted else { return Ok(false) };
        let may_wait = self.budget.has_queue_room();
        let charge = self.budget.take(Resource::Messages, message.held_bytes());
        let charged = Charged(Some(charge.ok_or(Refusal::MessageMemoryFull)?));
        let live = &Arc::new(Message { charged, ..message });
        let parcel = Parcel::of(live, now, may_wait);
        self.deliver(now, key, &parcel, live.qos.min(granted), false, None, effects);
        Ok(true)
    }

    /// Returns whether a message on the topic would have receivers.
    pub(crate) fn has_receivers(&mut self, topic: &str) -> bool {
        let mut any = false;
        self.tree.for_each_match(topic, |_| any = true);
        any
    }

    /// Fills `matches`. Returns whether a persistent session, or a group with one, must not lose the message.
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
        let for_taps_only = reserved::is_for_services_only(topic);
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
        is_kept: bool,
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
        let record = Record::Message { id, message: Arc::clone(parcel.live), retained: is_kept, owners };
        self.store(record, effects)
    }

    #[allow(clippy::too_many_arguments, reason = "the hot path hands over words, not a structure to fill")]
    fn deliver(
        &mut self,
        now: Now,
        key: SessionKey,
        parcel: &Parcel<'_>,
        qos: QoS,
        retain: bool,
        group: Option<GroupKey>,
        effects: &mut Effects,
    ) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let acknowledged = qos != QoS::AtMostOnce;
        // An owner settles only what was recorded for it.
        let stored = match group {
            Some(group) => self.groups.get(group).is_some_and(|group| group.keeps_messages()),
            None => acknowledged && session.persistent,
        };
        let Some((id, connection)) =
            session.connection.and_then(|id| Some((id, self.connections.get_mut(id)?.as_mut()?)))
        else {
            if acknowledged && session.persistent {
                let owed = parcel.owed(retain, group, stored);
                self.enqueue(key, owed, parcel.may_wait, effects);
            }
            return;
        };
        let refused = match connection.permissions.may_receive(parcel.live.topic.as_str()) {
            Receive::Denied { asked } => {
                if asked {
                    let about = parcel.live.topic.as_str();
                    effects.refused(id, Operation::Receive, Refusal::ReceiveNotAuthorized, about);
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
            if group.is_some() && stored && parcel.stored.is_some() {
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
            let owed = parcel.owed(retain, group, stored);
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
        if self.enqueue(key, owed, parcel.may_wait, effects) {
            self.pump(now, key, effects);
        }
    }

    fn deliver_to_group(&mut self, now: Now, key: GroupKey, parcel: &Parcel<'_>, effects: &mut Effects) {
        let Some(group) = self.groups.get(key) else { return };
        let count = group.members.len();
        let first = if count > 1 { self.random.random_range(0..count) } else { 0 };
        let mut is_wanted = group.keeps_messages();
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
            let is_ready = session.is_ready(connection);
            // QoS 0 goes to the member that was picked and is dropped on any failure (MQTT page).
            if qos == QoS::AtMostOnce || is_ready {
                chosen = Some((member.session, qos));
                break;
            }
            is_wanted = true;
        }
        if let Some((session, qos)) = chosen {
            self.deliver(now, session, parcel, qos, false, Some(key), effects);
        } else if is_wanted && parcel.live.qos != QoS::AtMostOnce {
            // It waits in the group, not with a member, until one has room: a member that never acknowledges gets what
            // fits its window and no more.
            let stored = group.keeps_messages();
            let retention = u64::from(self.limits.session_expiry_seconds) * 1000;
            let until = Some(now.unix_ms + retention);
            let owed = Owed { until, ..parcel.owed(false, Some(key), stored) };
            self.enqueue_in_group(now, key, owed, parcel.may_wait, effects);
        }
    }
}

/// Returns whether the packet is larger than the receiver's Maximum Packet Size [MQTT-3.1.2-24].
pub(crate) fn exceeds(message: &Message, qos: QoS, most: u32) -> bool {
    let expiry = message.expires_at.map(|_| 0);
    publish_len(Version::V5, qos, message.topic.as_str(), message.payload.len(), &message.properties, expiry)
        > most as usize
}
