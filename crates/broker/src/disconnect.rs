//! How connections and sessions end, and what follows: wills, events, expiry.

use std::sync::Arc;

use sekisho_mqtt::{Disconnect, ReasonCode, Utf8, Version};

use crate::broker::Broker;
use crate::connection::Connection;
use crate::effect::{Effect, Effects};
use crate::end::End;
use crate::input::{ConnectionId, Now};
use crate::keys::{GroupKey, SessionKey};
use crate::lifecycle::LifecycleKind;
use crate::owed::Owed;
use crate::record::Record;
use crate::refusal::{DisconnectReason, Operation, Refusal};
use crate::session::SubscriptionPlace;
use crate::timers::Timer;

impl Broker {
    /// Reports a refusal and ends the connection because of it.
    pub(crate) fn refuse_and_end(
        &mut self,
        now: Now,
        connection: ConnectionId,
        operation: Operation,
        refusal: Refusal,
        about: &str,
        effects: &mut Effects,
    ) {
        effects.refused(connection, operation, refusal, about);
        self.end(now, connection, End::refusing(refusal), effects);
    }

    /// Ends a connection. Ignored if it has ended.
    pub(crate) fn end(&mut self, now: Now, id: ConnectionId, end: End, effects: &mut Effects) {
        let Some(connection) = self.connections.remove(id).flatten() else { return };
        if end.has_socket {
            if let Some(code) = end.code.filter(|_| connection.version == Version::V5) {
                let mut packet = Disconnect::new(code);
                packet.reason_string =
                    end.refusal.and_then(|refusal| Utf8::try_from(refusal.to_string()).ok());
                effects.packet(id, connection.version, connection.maximum_packet_size, packet);
            }
            effects.push(Effect::Close { connection: id, reason: end.reason, refusal: end.refusal });
        }
        let Connection { session: key, identity, version_number, will, .. } = connection;
        let will = will.filter(|_| end.sends_will);
        let mut will_now = None;
        let mut is_over = true;
        if let Some(session) = self.sessions.get_mut(key) {
            session.connection = None;
            session.disconnected_at = Some(now.unix_ms);
            self.timers.cancel(&mut session.unacknowledged_timer, Timer::Unacknowledged(key));
            is_over = !session.persistent;
            // A will waits no longer than its session lives [MQTT-3.1.3-9]; `end_session` sees to that.
            match will {
                Some(will) if will.delay_seconds > 0 && !is_over => {
                    let at = now.unix_ms + u64::from(will.delay_seconds) * 1000;
                    self.timers.set(&mut session.will_timer, at, Timer::Will(key));
                    session.delayed_will = Some(will);
                }
                will => will_now = will,
            }
            if !is_over {
                let at = now.unix_ms + u64::from(session.expiry_seconds) * 1000;
                self.timers.set(&mut session.expiry_timer, at, Timer::SessionExpiry(key));
                let record = Record::Session(session.record(session.delayed_will.as_deref()));
                self.store(record, effects);
            }
        }
        self.requeue_inflight(now, key, effects);
        let kind = LifecycleKind::Disconnected { version_number, reason: end.reason, refusal: end.refusal };
        self.presence.disconnected(now, &identity.client_id);
        self.lifecycle(now, &identity, kind, effects);
        if is_over {
            self.end_session(now, key, effects);
        }
        if let Some(will) = will_now {
            self.route_or_drop(now, will.into_message(now), effects);
        }
    }

    /// Ends a session whose client is not connected: subscriptions, messages and membership go, a waiting will is sent
    /// [MQTT-3.1.2-8].
    pub(crate) fn end_session(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        let Some(mut session) = self.sessions.remove(key) else { return };
        self.by_client_id.remove(&session.client_id);
        self.timers.cancel(&mut session.expiry_timer, Timer::SessionExpiry(key));
        self.timers.cancel(&mut session.will_timer, Timer::Will(key));
        self.timers.cancel(&mut session.unacknowledged_timer, Timer::Unacknowledged(key));
        if session.persistent {
            self.store(Record::SessionEnded { client_id: Arc::clone(&session.client_id) }, effects);
            self.presence.session_ended(&session.client_id);
        }
        for subscription in std::mem::take(&mut session.subscriptions) {
            match subscription.place {
                SubscriptionPlace::Own(slot) => {
                    self.tree.remove(slot);
                }
                SubscriptionPlace::Shared(group) => self.leave_group(group, key, effects),
            }
        }
        if let Some(will) = session.delayed_will {
            self.route_or_drop(now, will.into_message(now), effects);
        }
    }

    /// Takes a session out of a group.
    pub(crate) fn leave_group(&mut self, group: GroupKey, session: SessionKey, effects: &mut Effects) {
        if let Some((slot, ended)) = self.groups.leave(group, session) {
            self.tree.remove(slot);
            if ended.is_recorded {
                self.store(Record::GroupEnded { group: ended.name }, effects);
            }
        }
    }

    /// Requeues unacknowledged messages of a connection that has ended: those of a shared group go to another member
    /// of the group that has room, or waits in the group (MQTT 5 section 4.8.2); the others wait in the session, before
    /// the messages that wait there. They get new packet identifiers, as AWS IoT may do (MQTT page).
    fn requeue_inflight(&mut self, now: Now, key: SessionKey, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let mut returned: Vec<(GroupKey, Vec<Owed>)> = Vec::new();
        for owed in session.inflight.drain().rev() {
            // A message of a group that has ended stays with the session.
            let Some(group) = owed.group.filter(|group| self.groups.get(*group).is_some()) else {
                session.queue.push_front(owed);
                continue;
            };
            match returned.iter_mut().find(|(other, _)| *other == group) {
                Some((_, messages)) => messages.push(owed),
                None => returned.push((group, vec![owed])),
            }
        }
        for (group, newest_first) in returned {
            self.return_to_group(now, group, newest_first, effects);
        }
    }

    /// Handles DISCONNECT from the client.
    pub(crate) fn on_disconnect(
        &mut self,
        now: Now,
        id: ConnectionId,
        packet: &Disconnect,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        let key = connection.session;
        if let Some(requested) = packet.session_expiry_interval
            && let Some(session) = self.sessions.get_mut(key)
        {
            if session.expiry_seconds == 0 && requested > 0 {
                self.refuse_and_end(now, id, Operation::Packet, Refusal::SessionExpiryFromZero, "", effects);
                return;
            }
            session.expiry_seconds = requested.min(self.limits.session_expiry_seconds);
            if session.persistent && session.expiry_seconds == 0 {
                self.make_transient(key, effects);
            }
        }
        let end = End {
            reason: DisconnectReason::ClientInitiatedDisconnect,
            refusal: None,
            code: None,
            has_socket: true,
            // 0x00 cancels the will [MQTT-3.14.4-3]; any other code does not.
            sends_will: packet.reason != ReasonCode::NORMAL_DISCONNECTION,
        };
        self.end(now, id, end, effects);
    }

    /// Makes a persistent session end with its connection; its records are removed.
    pub(crate) fn make_transient(&mut self, key: SessionKey, effects: &mut Effects) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.persistent = false;
        session.persistence = None;
        session.queue.forget_records();
        let sent = session.inflight.iter_mut().filter_map(|sent| sent.owed.as_mut());
        sent.filter(|owed| owed.group.is_none()).for_each(|owed| owed.stored = None);
        let client_id = Arc::clone(&session.client_id);
        self.set_membership(key);
        self.store(Record::SessionEnded { client_id }, effects);
    }

    /// Updates the session's groups: whether this member is persistent.
    pub(crate) fn set_membership(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get(key) else { return };
        for group in session.groups() {
            if let Some(member) = self
                .groups
                .get_mut(group)
                .and_then(|group| group.members.iter_mut().find(|member| member.session == key))
            {
                member.persistent = session.persistent;
            }
        }
    }
}
