//! PUBLISH from a client or from the server's own side, and PUBACK from a subscriber.

use std::sync::Arc;

use sekisho_mqtt::{Ack, PacketId, Publish, PublishProperties, QoS, ReasonCode, TopicName, Version};

use crate::authority::Action;
use crate::broker::{Broker, Published};
use crate::budget::Charged;
use crate::effect::{Effect, Effects};
use crate::input::{ConnectionId, Now, Origin, ServerPublish};
use crate::limits::{PAYLOAD_BYTES, RULE_PREFIX_BYTES, TOPIC_BYTES, TOPIC_SLASHES, UNACKNOWLEDGED};
use crate::message::{Message, Source, expiry_moment, properties_fit};
use crate::outgoing::Outgoing;
use crate::refusal::{Operation, Refusal};
use crate::reserved;
use crate::waiting::Waiting;

/// Packets without an answer at which a paused client is read from again.
const RESUME_READING_PACKETS: usize = UNACKNOWLEDGED as usize / 2;

impl Broker {
    pub(crate) fn on_publish(&mut self, now: Now, id: ConnectionId, packet: Publish, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        let (version, session) = (connection.version, connection.session);
        if packet.qos == QoS::ExactlyOnce {
            return self.refuse_and_end(
                now,
                id,
                Operation::Publish,
                Refusal::QosNotSupported,
                &packet.topic,
                effects,
            );
        }
        let topic = match connection.resolve_topic(packet.topic.clone(), packet.properties.topic_alias) {
            Ok(topic) => topic,
            Err(refusal) => {
                return self.refuse_and_end(now, id, Operation::Publish, refusal, &packet.topic, effects);
            }
        };
        if let Err(refusal) = check_size(packet.payload.len(), &packet.properties) {
            return self.refuse_and_end(now, id, Operation::Publish, refusal, topic.as_str(), effects);
        }
        if let Some(packet_id) = packet.packet_id.filter(|_| version == Version::V5) {
            if connection.unanswered.contains(&packet_id) {
                return self.refuse_publish(now, id, Refusal::PacketIdInUse, &packet, &topic, effects);
            }
            if connection.unanswered.len() >= usize::from(UNACKNOWLEDGED) {
                return self.refuse_and_end(
                    now,
                    id,
                    Operation::Publish,
                    Refusal::ReceiveMaximumExceeded,
                    topic.as_str(),
                    effects,
                );
            }
        }
        if let Some(most) = self.limits.publishes_per_second
            && !connection.publishes.count(now, most)
        {
            self.counters.dropped_rate += 1;
            return self.discard_publish(id, Refusal::PublishRate, packet.packet_id, &topic, effects);
        }
        let permissions = &connection.permissions;
        let refusal = if let Err(refusal) = check_topic(&topic, packet.retain, true) {
            Some(refusal)
        } else if !permissions.allows(Action::Publish(topic.as_str())) {
            Some(Refusal::PublishNotAuthorized)
        } else if packet.retain && !permissions.allows(Action::RetainPublish(topic.as_str())) {
            Some(Refusal::RetainNotAuthorized)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.refuse_publish(now, id, refusal, &packet, &topic, effects);
        }

        let source = Arc::clone(&connection.source);
        let Publish { qos, retain, packet_id, payload, properties, .. } = packet;
        let expires_at = expiry_moment(now, properties.message_expiry_interval);
        let message = Message {
            topic,
            payload,
            qos,
            retain,
            properties: forwarded(properties),
            expires_at,
            published_at: now.unix_ms,
            source,
            charged: Charged::default(),
        };
        let ticket = match self.route(now, message, Some(session), true, effects) {
            Ok(ticket) => ticket,
            Err(refused) => {
                let (refusal, message) = *refused;
                return self.discard_publish(id, refusal, packet_id, &message.topic, effects);
            }
        };
        self.counters.published += 1;
        let Some(packet_id) = packet_id else { return };
        match ticket {
            Some(ticket) => {
                self.waiting.insert(ticket, Waiting::Publish { connection: id, packet_id });
                self.leave_unanswered(id, packet_id, effects);
            }
            None => effects.send(id, Outgoing::PubAck { packet_id, reason: ReasonCode::Success }),
        }
    }

    /// Notes that a packet has no answer yet. A 3.1.1 client with too many of them is not read from; an MQTT 5 client
    /// knows its Receive Maximum.
    pub(crate) fn leave_unanswered(&mut self, id: ConnectionId, packet_id: PacketId, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return };
        connection.unanswered.push(packet_id);
        let too_many = connection.unanswered.len() >= usize::from(UNACKNOWLEDGED);
        if too_many && connection.version == Version::V311 && !connection.is_paused {
            connection.is_paused = true;
            effects.push(Effect::Reading { connection: id, paused: true });
        }
    }

    /// Notes that a packet is answered now. Returns `false` if its connection has ended.
    pub(crate) fn answered(&mut self, id: ConnectionId, packet_id: PacketId, effects: &mut Effects) -> bool {
        let Some(connection) = self.connections.get_mut(id).and_then(Option::as_mut) else { return false };
        if let Some(position) = connection.unanswered.iter().position(|unanswered| *unanswered == packet_id) {
            connection.unanswered.remove(position);
        }
        if connection.is_paused && connection.unanswered.len() <= RESUME_READING_PACKETS {
            connection.is_paused = false;
            effects.push(Effect::Reading { connection: id, paused: false });
        }
        true
    }

    /// Refuses a PUBLISH as its version and QoS allow: with a PUBACK in MQTT 5 with QoS 1, else by ending the
    /// connection.
    fn refuse_publish(
        &mut self,
        now: Now,
        id: ConnectionId,
        refusal: Refusal,
        packet: &Publish,
        topic: &TopicName,
        effects: &mut Effects,
    ) {
        let version = self.connections.get(id).and_then(Option::as_ref).map(|connection| connection.version);
        match packet.packet_id {
            Some(packet_id) if version == Some(Version::V5) => {
                let about = topic.as_str();
                effects.refused(id, Operation::Publish, refusal, about);
                effects.send(id, Outgoing::PubAck { packet_id, reason: refusal.reason_code() });
            }
            _ => self.refuse_and_end(now, id, Operation::Publish, refusal, topic.as_str(), effects),
        }
    }

    /// Discards a PUBLISH because of a quota: the connection stays, and only MQTT 5 with QoS 1 gets an answer (quotas
    /// page).
    fn discard_publish(
        &mut self,
        id: ConnectionId,
        refusal: Refusal,
        packet_id: Option<PacketId>,
        topic: &TopicName,
        effects: &mut Effects,
    ) {
        effects.refused(id, Operation::Publish, refusal, topic.as_str());
        let version = self.connections.get(id).and_then(Option::as_ref).map(|connection| connection.version);
        if let Some(packet_id) = packet_id.filter(|_| version == Some(Version::V5)) {
            effects.send(id, Outgoing::PubAck { packet_id, reason: refusal.reason_code() });
        }
    }

    pub(crate) fn on_server_publish(
        &mut self,
        now: Now,
        publish: ServerPublish,
        effects: &mut Effects,
    ) -> Result<Published, Refusal> {
        let message = self.server_message(now, publish)?;
        let wait_for = self.route(now, message, None, true, effects).map_err(|refused| refused.0)?;
        self.counters.published += 1;
        // An HTTPS caller gets one answer with any QoS: success includes the retained store.
        Ok(Published { wait_for })
    }

    /// Makes the message of a publication that comes over no connection, if it may be published.
    pub(crate) fn server_message(&mut self, now: Now, publish: ServerPublish) -> Result<Message, Refusal> {
        let ServerPublish { topic, payload, qos, retain, properties, origin } = publish;
        if qos == QoS::ExactlyOnce {
            return Err(Refusal::QosNotSupported);
        }
        check_size(payload.len(), &properties)?;
        check_topic(&topic, retain, matches!(origin, Origin::Api { .. }))?;
        let principal = match origin {
            Origin::Api { principal } => Some(principal),
            Origin::Service => None,
        };
        let source = Arc::new(Source { client_id: None, principal });
        let expires_at = expiry_moment(now, properties.message_expiry_interval);
        let properties = forwarded(properties);
        let published_at = now.unix_ms;
        let charged = Charged::default();
        Ok(Message { topic, payload, qos, retain, properties, expires_at, published_at, source, charged })
    }

    /// Handles PUBACK: one place in the window is free. Ignores unknown identifiers: the message was given up, or
    /// sent on an earlier connection.
    pub(crate) fn on_puback(&mut self, now: Now, id: ConnectionId, packet: &Ack, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        let key = connection.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        // A client that answers with a failure has the message all the same (MQTT 5 section 4.3.2).
        let Some(sent) = session.inflight.acknowledge(packet.packet_id) else { return };
        if let Some(owed) = sent.owed {
            self.settle(key, &owed, effects);
        }
        self.pump(now, key, effects);
    }
}

/// Checks the limits on a topic and the rules for reserved topics. Comes before policies, as observed of AWS.
fn check_topic(topic: &TopicName, retain: bool, is_client: bool) -> Result<(), Refusal> {
    let counted = topic.counted();
    if counted.len() > TOPIC_BYTES
        || topic.slash_count() > TOPIC_SLASHES
        || topic.len() - counted.len() > RULE_PREFIX_BYTES
    {
        return Err(Refusal::TopicInvalid);
    }
    if is_client && !reserved::accepts_publish(topic.as_str()) {
        return Err(Refusal::TopicReserved);
    }
    if retain && reserved::is_reserved(topic.as_str()) {
        return Err(Refusal::RetainOnReservedTopic);
    }
    Ok(())
}

fn check_size(payload: usize, properties: &PublishProperties) -> Result<(), Refusal> {
    if payload > PAYLOAD_BYTES {
        return Err(Refusal::PayloadTooLarge);
    }
    if !properties_fit(properties) {
        return Err(Refusal::PropertiesTooLarge);
    }
    Ok(())
}

/// Returns the properties for receivers: all but the alias, which belongs to the connection, and the expiry, which the
/// message has as a moment.
fn forwarded(mut properties: PublishProperties) -> PublishProperties {
    if properties.topic_alias.is_some() || properties.message_expiry_interval.is_some() {
        properties.topic_alias = None;
        properties.message_expiry_interval = None;
    }
    properties
}
