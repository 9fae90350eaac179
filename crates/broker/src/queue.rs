//! The queues of sessions and groups, and messages without an acknowledgement.
//!
//! A queue moves when an acknowledgement, a drained outbox or a new connection makes room. Nothing polls queues.

use std::sync::Arc;

use sekisho_mqtt::{QoS, Version};

use crate::broker::Broker;
use crate::connection::Receive;
use crate::deliver::exceeds;
use crate::effect::Effects;
use crate::input::Now;
use crate::keys::{GroupKey, SessionKey};
use crate::limits::{REDELIVERY_INTERVAL_MS, REDELIVERY_LIMIT_V5_MS, REDELIVERY_LIMIT_V311_MS};
use crate::outgoing::{Delivery, Outgoing};
use crate::owed::Owed;
use crate::record::{Owner, Record};
use crate::refusal::{Operation, Refusal};
use crate::timers::Timer;

impl Broker {
    /// Puts a message into a group's queue, newest last, and offers it to the members.
    pub(crate) fn enqueue_in_group(
        &mut self,
        now: Now,
        key: GroupKey,
        owed: Owed,
        may_wait: bool,
        effects: &mut Effects,
    ) {
        let (messages, bytes) = (self.limits.queued_messages_per_group, self.limits.queued_bytes_per_group);
        let Some(group) = self.groups.get_mut(key) else { return };
        if !group.queue.has_room(messages, bytes) {
            self.counters.dropped_queue_full += 1;
            self.settle(SessionKey::default(), &owed, effects);
            return;
        }
        let pushed = if may_wait { group.queue.push_back(owed) } else { Err(owed) };
        if let Err(owed) = pushed {
            self.counters.dropped_budget += 1;
            self.settle(SessionKey::default(), &owed, effects);
            return;
        }
        // While messages wait, each connected member takes the next one after an acknowledgement or when its outbox
        // drains. So only the first message has to be offered.
        if group.queue.len() == 1 {
            self.pump_group(now, key, effects);
        }
    }

    /// Puts messages back that a member can no longer acknowledge, before those that wait.
    pub(crate) fn return_to_group(
        &mut self,
        now: Now,
        key: GroupKey,
        newest_first: Vec<Owed>,
        effects: &mut Effects,
    ) {
        let until = Some(now.unix_ms + u64::from(self.limits.session_expiry_seconds) * 1000);
        let Some(group) = self.groups.get_mut(key) else { return };
        for owed in newest_first {
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

    /// Puts a message into a session's queue. Returns `false` if the queue is full or the budget has no room: then this
    /// message, the newest, is dropped.
    pub(crate) fn enqueue(
        &mut self,
        key: SessionKey,
        owed: Owed,
        may_wait: bool,
        effects: &mut Effects,
    ) -> bool {
        let (messages, bytes) =
            (self.limits.queued_messages_per_session, self.limits.queued_bytes_per_session);
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if !session.queue.has_room(messages, bytes) {
            self.counters.dropped_queue_full += 1;
            self.settle(key, &owed, effects);
            return false;
        }
        let pushed = if may_wait { session.queue.push_back(owed) } else { Err(owed) };
        if let Err(owed) = pushed {
            self.counters.dropped_budget += 1;
            self.settle(key, &owed, effects);
            return false;
        }
        true
    }

    /// Sends what waits for a session, as far as its window and its outbox have room: its own queue first, then those
    /// of its groups.
    pub(crate) fn pump(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        loop {
            let Some(session) = self.sessions.get_mut(key) else { return };
            let Some(id) = session.connection else { return };
            let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
            let groups: Vec<GroupKey> = if session.queue.is_empty() {
                let waits =
                    |group: &GroupKey| self.groups.get(*group).is_some_and(|group| !group.queue.is_empty());
                session.groups().filter(waits).collect()
            } else {
                Vec::new()
            };
            let nothing_waits = session.queue.is_empty() && groups.is_empty();
            if nothing_waits || session.inflight.len() >= connection.window {
                return;
            }
            if !connection.outbox.has_room() {
                if connection.outbox.wait() {
                    return;
                }
                continue;
            }
            let next = match session.queue.pop_front() {
                Some(owed) => Some((owed, QoS::AtLeastOnce)),
                None => groups.into_iter().find_map(|group| self.take_from_group(now, group, key, effects)),
            };
            let Some((owed, qos)) = next else { return };
            self.send_owed(now, key, owed, qos, effects);
        }
    }

    /// Takes the first message of a group's queue that a member may receive.
    fn take_from_group(
        &mut self,
        now: Now,
        key: GroupKey,
        session_key: SessionKey,
        effects: &mut Effects,
    ) -> Option<(Owed, QoS)> {
        /// Messages that are examined for one that this member may receive.
        const EXAMINED_MESSAGES: usize = 100;
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
            .take(EXAMINED_MESSAGES)
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

    /// Sends a message for which the window and the outbox have room; drops one that must not be sent any more.
    fn send_owed(&mut self, now: Now, key: SessionKey, owed: Owed, qos: QoS, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(id) = session.connection else { return };
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        let message = &owed.message;
        let dropped = if owed.is_expired(now) {
            Some(&mut self.counters.dropped_expired)
        } else if let Receive::Denied { asked } = connection.permissions.may_receive(message.topic.as_str()) {
            if asked {
                let about = message.topic.as_str();
                effects.refused(id, Operation::Receive, Refusal::ReceiveNotAuthorized, about);
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

    /// Records that a message is acknowledged or dropped, if it was recorded.
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

    /// Sets the session's timer for messages without an acknowledgement.
    pub(crate) fn arm_unacknowledged(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let give_up_after = give_up_after(session.version);
        if let Some(at) = session.inflight.next_deadline(REDELIVERY_INTERVAL_MS, give_up_after) {
            self.timers.set(&mut session.unacknowledged_timer, at, Timer::Unacknowledged(key));
        }
    }

    /// Handles the timer: gives up messages that are too old, and sends the others again.
    pub(crate) fn unacknowledged(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.unacknowledged_timer = None;
        let Some(id) = session.connection else { return };
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        let give_up_after = give_up_after(session.version);
        let mut given_up = Vec::new();
        for sent in session.inflight.iter_mut() {
            let Some(owed) = &sent.owed else { continue };
            if now.unix_ms >= sent.first_sent + give_up_after || owed.is_expired(now) {
                given_up.extend(sent.owed.take());
            } else if now.unix_ms >= sent.last_sent + REDELIVERY_INTERVAL_MS {
                // Also if there is no room: then the message is sent in the next interval.
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

/// Returns the milliseconds after which an unacknowledged message is given up.
fn give_up_after(version: Version) -> u64 {
    match version {
        Version::V311 => REDELIVERY_LIMIT_V311_MS,
        Version::V5 => REDELIVERY_LIMIT_V5_MS,
    }
}
