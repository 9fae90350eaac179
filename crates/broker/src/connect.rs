//! CONNECT: checks the packet, asks the authority, and finds or makes the session.
//!
//! The order of the checks is ours, AWS publishes none: first what the packet alone decides, then the rate, then the
//! policies. Only an accepted CONNECT ends an older connection of the client id.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use rand::RngExt;
use sekisho_mqtt::{ConnAck, ConnAckProperties, Connect, QoS, ReasonCode, Utf8, Version};

use crate::authority::{Action, Authority};
use crate::broker::Broker;
use crate::budget::PersistenceCharge;
use crate::connection::Connection;
use crate::effect::{Accepted, Effect, Effects};
use crate::end::End;
use crate::input::{ConnectionId, Now, Peer};
use crate::keys::SessionKey;
use crate::lifecycle::{Identity, LifecycleKind};
use crate::limits::{self, Limits};
use crate::message::Source;
use crate::outbox::Outbox;
use crate::record::Record;
use crate::refusal::{DisconnectReason, Operation, Refusal};
use crate::session::Session;
use crate::timers::Timer;
use crate::will::Will;

/// A CONNECT that passed every check.
struct Admitted {
    client_id: Arc<str>,
    is_assigned: bool,
    expiry_seconds: u32,
    will: Option<Box<Will>>,
    authority: Arc<dyn Authority>,
    identity: Arc<Identity>,
    source: Arc<Source>,
    /// For a session that is to become persistent.
    persistence: Option<PersistenceCharge>,
}

impl Broker {
    pub(crate) fn on_connect(
        &mut self,
        now: Now,
        mut packet: Connect,
        peer: &Peer<'_>,
        effects: &mut Effects,
    ) -> ConnectionId {
        // Reserves the id; the connection is inserted when CONNECT is accepted.
        let id = self.connections.insert(None);
        match self.admit(now, &mut packet, peer, effects) {
            Ok(admitted) => self.accept(now, id, &packet, admitted, effects),
            Err(refusal) => {
                self.connections.remove(id);
                self.refuse_connect(id, &packet, refusal, effects);
            }
        }
        id
    }

    /// Makes every check of a CONNECT, in order.
    fn admit(
        &mut self,
        now: Now,
        packet: &mut Connect,
        peer: &Peer<'_>,
        effects: &mut Effects,
    ) -> Result<Admitted, Refusal> {
        if connect_len(packet) > limits::PAYLOAD_BYTES {
            return Err(Refusal::ConnectTooLarge);
        }
        let is_assigned = packet.client_id.is_empty();
        if is_assigned && packet.version == Version::V311 && !packet.clean_start {
            return Err(Refusal::ClientIdEmpty);
        }
        if packet.client_id.len() > limits::CLIENT_ID_BYTES {
            return Err(Refusal::ClientIdTooLong);
        }
        if packet.client_id.starts_with('$') {
            return Err(Refusal::ClientIdReserved);
        }
        if packet.properties.maximum_packet_size.is_some_and(|size| size.get() < limits::CLIENT_PACKET_BYTES)
        {
            return Err(Refusal::MaximumPacketSizeTooSmall);
        }
        if packet.properties.authentication_method.is_some() {
            return Err(Refusal::EnhancedAuthentication);
        }
        if crate::message::user_properties_len(&packet.properties.user_properties) > limits::PROPERTY_BYTES {
            return Err(Refusal::ConnectTooLarge);
        }
        if let Some(most) = self.limits.connects_per_second
            && !self.presence.may_connect(now, &packet.client_id, most)
        {
            return Err(Refusal::ConnectRate);
        }
        let client_id: Arc<str> =
            if is_assigned { self.unused_client_id() } else { packet.client_id.as_str().into() };
        let source = Arc::new(Source {
            client_id: Some(Arc::clone(&client_id)),
            principal: Some(Arc::clone(&peer.principal)),
        });
        let will = match packet.will.take() {
            Some(will) => Some(Box::new(Will::new(will, Arc::clone(&source), &self.budget)?)),
            None => None,
        };
        let expiry_seconds = match packet.version {
            Version::V311 if packet.clean_start => 0,
            Version::V311 => self.limits.session_expiry_seconds,
            Version::V5 => {
                packet.properties.session_expiry_interval.unwrap_or(0).min(self.limits.session_expiry_seconds)
            }
        };
        let identity = Arc::new(Identity {
            client_id: Arc::clone(&client_id),
            thing_name: peer.thing_name.clone(),
            principal: Arc::clone(&peer.principal),
            session_identifier: self.random_uuid().into(),
            remote: peer.remote,
        });
        let authority = (peer.authority)(&client_id);
        if let Err(refusal) = authorize(&*authority, &client_id, expiry_seconds > 0, will.as_deref()) {
            self.lifecycle(now, &identity, LifecycleKind::ConnectFailed { refusal }, effects);
            return Err(refusal);
        }
        let is_charged = self
            .by_client_id
            .get(&client_id)
            .and_then(|key| self.sessions.get(*key))
            .is_some_and(|session| session.persistence.is_some());
        let persistence = if expiry_seconds > 0 && !is_charged {
            Some(PersistenceCharge::take(&self.budget)?)
        } else {
            None
        };
        Ok(Admitted {
            client_id,
            is_assigned,
            expiry_seconds,
            will,
            authority,
            identity,
            source,
            persistence,
        })
    }

    fn refuse_connect(
        &mut self,
        id: ConnectionId,
        packet: &Connect,
        refusal: Refusal,
        effects: &mut Effects,
    ) {
        effects.refused(id, Operation::Connect, refusal, packet.client_id.as_str());
        let code = match (packet.version, refusal) {
            // 3.1.1 has no code for a quota; it can try again later.
            (Version::V311, Refusal::TooManySessions | Refusal::SessionMemoryFull) => {
                ReasonCode::ServerUnavailable
            }
            _ => refusal.reason_code(),
        };
        let says_code = match packet.version {
            Version::V5 => true,
            // AWS closes without CONNACK except for client ids, where 2 is the specification's (reference: field
            // reports).
            Version::V311 => {
                code == ReasonCode::ClientIdentifierNotValid
                    || code == ReasonCode::ServerUnavailable
                    || (self.limits.connack_on_refusal && code.v3_connect_return_code().is_some())
            }
        };
        if says_code {
            let reason_string = Utf8::try_from(refusal.to_string()).ok();
            let properties = ConnAckProperties { reason_string, ..ConnAckProperties::default() };
            let most = packet.properties.maximum_packet_size.map(NonZeroU32::get);
            effects.packet(id, packet.version, most, ConnAck { session_present: false, code, properties });
        }
        let reason = match refusal {
            Refusal::ConnectNotAuthorized | Refusal::WillNotAuthorized | Refusal::WillRetainNotAuthorized => {
                DisconnectReason::AuthError
            }
            Refusal::ConnectRate | Refusal::TooManySessions | Refusal::SessionMemoryFull => {
                DisconnectReason::Throttled
            }
            _ => DisconnectReason::ClientError,
        };
        effects.push(Effect::Close { connection: id, reason, refusal: Some(refusal) });
    }

    fn accept(
        &mut self,
        now: Now,
        id: ConnectionId,
        packet: &Connect,
        admitted: Admitted,
        effects: &mut Effects,
    ) {
        let Admitted {
            client_id,
            is_assigned,
            expiry_seconds,
            will,
            authority,
            identity,
            source,
            persistence,
        } = admitted;
        self.take_over(now, &client_id, effects);
        // A new session in place of a persistent one takes over its charge.
        let former = self.by_client_id.get(&client_id).and_then(|key| self.sessions.get_mut(*key));
        let persistence = former.and_then(|session| session.persistence.take()).or(persistence);
        let (key, session_present) = self.find_session(now, &client_id, packet, effects);

        let session = self.sessions.get_mut(key).expect("found or made just now");
        self.timers.cancel(&mut session.expiry_timer, Timer::SessionExpiry(key));
        // The client is connected again before the delay of its will was over: it is not sent [MQTT-3.1.3-9].
        self.timers.cancel(&mut session.will_timer, Timer::Will(key));
        session.delayed_will = None;
        session.connection = Some(id);
        session.disconnected_at = None;
        session.expiry_seconds = expiry_seconds;
        if expiry_seconds > 0 {
            session.persistent = true;
            session.persistence = persistence;
            let record = Record::Session(session.record(will.as_deref()));
            self.set_membership(key);
            self.store(record, effects);
        } else if session.persistent {
            self.make_transient(key, effects);
        }

        let keep_alive = Limits::effective_keep_alive(packet.keep_alive);
        let outbox = Arc::new(Outbox::new(&self.limits, Arc::clone(&self.budget)));
        let receive_maximum =
            packet.properties.receive_maximum.map_or(limits::UNACKNOWLEDGED, NonZeroU16::get);
        let version_number = self.presence.connected(now, &client_id);
        self.connections[id] = Some(Connection::new(
            key,
            packet.version,
            Arc::clone(&outbox),
            usize::from(receive_maximum.min(limits::UNACKNOWLEDGED)),
            packet.properties.maximum_packet_size.map(NonZeroU32::get),
            authority,
            Arc::clone(&identity),
            source,
            version_number,
            will,
        ));

        effects.push(Effect::Accepted(Box::new(Accepted {
            connection: id,
            client_id: Arc::clone(&client_id),
            session_identifier: Arc::clone(&identity.session_identifier),
            keep_alive,
            requested_keep_alive: packet.keep_alive,
            remote: identity.remote,
            outbox,
        })));
        let properties = match packet.version {
            Version::V311 => ConnAckProperties::default(),
            Version::V5 => connack_properties(packet, expiry_seconds, is_assigned.then_some(&*client_id)),
        };
        let most = packet.properties.maximum_packet_size.map(NonZeroU32::get);
        let connack = ConnAck { session_present, code: ReasonCode::Success, properties };
        effects.packet(id, packet.version, most, connack);
        self.lifecycle(now, &identity, LifecycleKind::Connected { version_number }, effects);
        self.pump(now, key, effects);
    }

    /// Closes an older connection of the client id [MQTT-3.1.4-3].
    fn take_over(&mut self, now: Now, client_id: &str, effects: &mut Effects) {
        let older = self
            .by_client_id
            .get(client_id)
            .and_then(|key| self.sessions.get(*key))
            .and_then(|session| session.connection);
        if let Some(older) = older {
            self.end(now, older, End::because(DisconnectReason::DuplicateClientid), effects);
        }
    }

    /// Returns the session to resume or a new one, and whether it is resumed.
    ///
    /// A session belongs to a client id and a protocol version: one of the other version is not resumed (MQTT page) and
    /// ends, since a client id can have only one.
    fn find_session(
        &mut self,
        now: Now,
        client_id: &Arc<str>,
        packet: &Connect,
        effects: &mut Effects,
    ) -> (SessionKey, bool) {
        if let Some(key) = self.by_client_id.get(client_id).copied() {
            let resumes = !packet.clean_start
                && self.sessions.get(key).is_some_and(|session| session.version == packet.version);
            if resumes {
                return (key, true);
            }
            self.end_session(now, key, effects);
        }
        let key = self.sessions.insert(Session::new(Arc::clone(client_id), packet.version, &self.budget));
        self.by_client_id.insert(Arc::clone(client_id), key);
        (key, false)
    }

    fn unused_client_id(&mut self) -> Arc<str> {
        loop {
            let id = self.random_uuid();
            if !self.by_client_id.contains_key(id.as_str()) {
                return id.into();
            }
        }
    }

    fn random_uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string()
    }
}

/// Asks the authority about a CONNECT: the client id, then the will.
fn authorize(
    authority: &dyn Authority,
    client_id: &str,
    persistent: bool,
    will: Option<&Will>,
) -> Result<(), Refusal> {
    let connect = Action::Connect { client_id, persistent, will_topic: will.map(Will::topic) };
    if !authority.allows(connect) {
        return Err(Refusal::ConnectNotAuthorized);
    }
    let Some(will) = will else { return Ok(()) };
    if !authority.allows(Action::Publish(will.topic())) {
        return Err(Refusal::WillNotAuthorized);
    }
    if will.retain() && !authority.allows(Action::RetainPublish(will.topic())) {
        return Err(Refusal::WillRetainNotAuthorized);
    }
    Ok(())
}

fn connack_properties(packet: &Connect, expiry_seconds: u32, assigned: Option<&str>) -> ConnAckProperties {
    let keep_alive = Limits::effective_keep_alive(packet.keep_alive);
    ConnAckProperties {
        // Only when lowered (MQTT page).
        session_expiry_interval: packet
            .properties
            .session_expiry_interval
            .filter(|requested| *requested > expiry_seconds)
            .map(|_| expiry_seconds),
        receive_maximum: NonZeroU16::new(limits::UNACKNOWLEDGED),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(true),
        maximum_packet_size: NonZeroU32::new(limits::PACKET_BYTES),
        assigned_client_identifier: assigned.and_then(|id| Utf8::try_from(id).ok()),
        topic_alias_maximum: Some(limits::TOPIC_ALIASES),
        wildcard_subscription_available: Some(true),
        subscription_identifier_available: Some(false),
        server_keep_alive: (keep_alive != packet.keep_alive).then_some(keep_alive),
        ..ConnAckProperties::default()
    }
}

/// Returns the bytes of the payload of a CONNECT, without the frame around it.
fn connect_len(packet: &Connect) -> usize {
    packet.client_id.len()
        + packet.username.as_ref().map_or(0, |text| text.len())
        + packet.password.as_ref().map_or(0, |bytes| bytes.len())
        + packet.will.as_ref().map_or(0, |will| will.topic.len() + will.payload.len())
}
