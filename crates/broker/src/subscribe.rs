//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! All filters of a packet are checked before the first takes effect: if one of them ends the connection (MQTT 3.1.1,
//! whose SUBACK has no reason), the others have no effect.

use std::sync::Arc;

use sekisho_mqtt::{
    QoS, ReasonCode, RetainHandling, SubAck, Subscribe, SubscribeFilter, TopicFilter, TopicName, UnsubAck,
    Unsubscribe, Version,
};

use crate::authority::Action;
use crate::broker::Broker;
use crate::budget::Resource;
use crate::effect::Effects;
use crate::input::{ConnectionId, Now};
use crate::keys::SessionKey;
use crate::lifecycle::LifecycleKind;
use crate::limits::{
    FILTERS_PER_PACKET, GROUP_MEMBERS, PROPERTY_BYTES, SHARE_NAME_CHARACTERS, TOPIC_BYTES, TOPIC_SLASHES,
};
use crate::matches::Target;
use crate::message::user_properties_len;
use crate::record::Record;
use crate::refusal::{Operation, Refusal};
use crate::reserved;
use crate::session::{Subscription, SubscriptionOptions, SubscriptionPlace};
use crate::shared::Member;
use crate::waiting::{RetainedWanted, Waiting};

impl Broker {
    pub(crate) fn on_subscribe(
        &mut self,
        now: Now,
        id: ConnectionId,
        packet: &Subscribe,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        let (version, key) = (connection.version, connection.session);
        let is_in_use = connection.unanswered.contains(&packet.packet_id);
        let asks_too_much = packet.filters.iter().any(|filter| filter.qos == QoS::ExactlyOnce)
            && !(version == Version::V5 && self.limits.downgrade_subscribe_qos);
        let first = packet.filters.first().map_or("", |filter| filter.raw.as_str());
        let refusal = if packet.subscription_identifier.is_some() {
            Some(Refusal::SubscriptionIdentifier)
        } else if packet.filters.len() > FILTERS_PER_PACKET {
            Some(Refusal::TooManyFilters)
        } else if asks_too_much {
            Some(Refusal::QosNotSupported)
        } else if user_properties_len(&packet.user_properties) > PROPERTY_BYTES {
            Some(Refusal::PropertiesTooLarge)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.refuse_and_end(now, id, Operation::Subscribe, refusal, first, effects);
        }

        let verdicts: Vec<Result<(), Refusal>> = if is_in_use && version == Version::V5 {
            packet.filters.iter().map(|_| Err(Refusal::PacketIdInUse)).collect()
        } else {
            self.judge_filters(id, key, &packet.filters)
        };
        if version == Version::V311
            && let Some((filter, refusal)) =
                ends_connection(&packet.filters, &verdicts, self.limits.suback_on_refusal)
        {
            return self.refuse_and_end(now, id, Operation::Subscribe, refusal, filter, effects);
        }

        let mut codes = Vec::with_capacity(verdicts.len());
        let mut granted = Vec::new();
        let mut retained = Vec::new();
        for (filter, verdict) in packet.filters.iter().zip(verdicts) {
            let outcome = verdict.and_then(|()| self.subscribe(now, key, filter, effects));
            match outcome {
                Ok((options, is_new)) => {
                    codes.push(if options.qos == QoS::AtMostOnce {
                        ReasonCode::GRANTED_QOS_0
                    } else {
                        ReasonCode::GrantedQoS1
                    });
                    granted.push(filter.raw.as_str());
                    retained.extend(retained_wanted(filter, options.qos, is_new));
                }
                Err(refusal) => {
                    let about = filter.raw.as_str();
                    effects.refused(id, Operation::Subscribe, refusal, about);
                    codes.push(refusal.reason_code());
                }
            }
        }
        let suback =
            SubAck { packet_id: packet.packet_id, codes, reason_string: None, user_properties: Vec::new() };
        let record = self.subscribed_record(key, &granted);
        let filters: Vec<Arc<str>> = granted.into_iter().map(Arc::from).collect();
        match record {
            Some(record) => {
                let ticket = self.store(record, effects);
                self.leave_unanswered(id, packet.packet_id, effects);
                self.waiting.insert(ticket, Waiting::Subscribe { connection: id, suback, retained });
            }
            None => self.finish_subscribe(now, id, suback, retained, effects),
        }
        if let Some(identity) = self.identity(id).filter(|_| !filters.is_empty()) {
            self.lifecycle(now, &identity, LifecycleKind::Subscribed { filters }, effects);
        }
        // A new member of a shared group receives what waits there.
        self.pump(now, key, effects);
    }

    /// Sends SUBACK, then the retained messages.
    pub(crate) fn finish_subscribe(
        &mut self,
        now: Now,
        id: ConnectionId,
        suback: SubAck,
        retained: Vec<RetainedWanted>,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        let key = connection.session;
        effects.packet(id, connection.version, connection.maximum_packet_size, suback);
        for wanted in retained {
            if let Some(message) = self.retained.get(now, &wanted.topic).map(Arc::clone) {
                self.deliver_retained(now, key, &message, wanted.granted, effects);
            }
        }
    }

    /// Checks the filters of a packet, each alone except for the number of subscriptions.
    fn judge_filters(
        &self,
        id: ConnectionId,
        key: SessionKey,
        filters: &[SubscribeFilter],
    ) -> Vec<Result<(), Refusal>> {
        let Some(session) = self.sessions.get(key) else { return Vec::new() };
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return Vec::new() };
        let mut added: Vec<&str> = Vec::new();
        filters
            .iter()
            .map(|subscribe| {
                let filter = check_filter(subscribe)?;
                if !connection.permissions.allows(Action::Subscribe(filter.as_str())) {
                    return Err(Refusal::SubscribeNotAuthorized);
                }
                let is_new =
                    session.subscription(filter.as_str()).is_none() && !added.contains(&filter.as_str());
                if is_new {
                    if session.subscriptions.len() + added.len() >= self.limits.subscriptions_per_session {
                        return Err(Refusal::TooManySubscriptions);
                    }
                    added.push(filter.as_str());
                }
                Ok(())
            })
            .collect()
    }

    /// Makes or replaces one subscription. Returns what was granted, and whether it is new.
    fn subscribe(
        &mut self,
        now: Now,
        key: SessionKey,
        subscribe: &SubscribeFilter,
        effects: &mut Effects,
    ) -> Result<(SubscriptionOptions, bool), Refusal> {
        let filter = subscribe.filter.as_ref().ok_or(Refusal::FilterInvalid)?;
        let Some(session) = self.sessions.get_mut(key) else { return Err(Refusal::FilterInvalid) };
        let options = SubscriptionOptions {
            qos: subscribe.qos.min(QoS::AtLeastOnce),
            no_local: subscribe.no_local,
            retain_as_published: subscribe.retain_as_published,
        };
        if let Some(position) = session.subscription(filter.as_str()) {
            let subscription = &mut session.subscriptions[position];
            subscription.options = options;
            match subscription.place {
                SubscriptionPlace::Own(slot) => *self.tree.get_mut(slot) = Target::Session(key, options),
                SubscriptionPlace::Shared(group) => {
                    let persistent = session.persistent;
                    self.groups.join(group, Member { session: key, qos: options.qos, persistent });
                }
            }
            return Ok((options, false));
        }
        let filter = TopicFilter::new(filter.as_utf8().detached()).map_err(|_| Refusal::FilterInvalid)?;
        let charge = self
            .budget
            .take(Resource::Sessions, Subscription::held_bytes(&filter))
            .ok_or(Refusal::SessionMemoryFull)?;
        let place = match filter.shared() {
            None => SubscriptionPlace::Own(self.tree.insert(filter.filter(), Target::Session(key, options))),
            Some((share_name, inner)) => {
                let group = match self.groups.find(share_name, inner) {
                    Some(group) => group,
                    None if self.groups.len() >= self.limits.shared_groups => {
                        return Err(Refusal::SharedGroupFull);
                    }
                    None => {
                        let tree = &mut self.tree;
                        self.groups
                            .create(share_name, inner, |group| tree.insert(inner, Target::Group(group)))
                    }
                };
                if self.groups.get(group).is_some_and(|group| group.members.len() >= GROUP_MEMBERS) {
                    return Err(Refusal::SharedGroupFull);
                }
                let persistent = session.persistent;
                self.groups.join(group, Member { session: key, qos: options.qos, persistent });
                SubscriptionPlace::Shared(group)
            }
        };
        session.subscriptions.push(Subscription { filter, options, place, _charge: charge });
        if let SubscriptionPlace::Shared(group) = place {
            self.pump_group(now, group, effects);
        }
        Ok((options, true))
    }

    /// Returns the record of the filters just granted; `None` for a session that ends with its connection.
    fn subscribed_record(&self, key: SessionKey, granted: &[&str]) -> Option<Record> {
        let session = self.sessions.get(key).filter(|session| session.persistent && !granted.is_empty())?;
        let subscriptions = session
            .subscriptions
            .iter()
            .filter(|subscription| granted.contains(&subscription.filter.as_str()))
            .map(Subscription::record)
            .collect();
        Some(Record::Subscribed { client_id: Arc::clone(&session.client_id), subscriptions })
    }

    pub(crate) fn on_unsubscribe(
        &mut self,
        now: Now,
        id: ConnectionId,
        packet: &Unsubscribe,
        effects: &mut Effects,
    ) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        let (version, key) = (connection.version, connection.session);
        let is_in_use = connection.unanswered.contains(&packet.packet_id);
        let first = packet.filters.first().map_or("", |filter| filter.as_str());
        let refusal = if packet.filters.len() > FILTERS_PER_PACKET {
            Some(Refusal::TooManyFilters)
        } else if user_properties_len(&packet.user_properties) > PROPERTY_BYTES {
            Some(Refusal::PropertiesTooLarge)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.refuse_and_end(now, id, Operation::Unsubscribe, refusal, first, effects);
        }
        // UNSUBACK of 3.1.1 has no codes: it would mean that the filter was removed.
        let invalid = packet.filters.iter().find(|filter| TopicFilter::new((*filter).clone()).is_err());
        if let Some(filter) = invalid.filter(|_| version == Version::V311) {
            let refusal = Refusal::FilterInvalid;
            return self.refuse_and_end(now, id, Operation::Unsubscribe, refusal, filter, effects);
        }
        let mut codes = Vec::with_capacity(packet.filters.len());
        let mut removed: Vec<Arc<str>> = Vec::new();
        for filter in &packet.filters {
            let refusal = if is_in_use && version == Version::V5 {
                Some(Refusal::PacketIdInUse)
            } else if TopicFilter::new(filter.clone()).is_err() {
                Some(Refusal::FilterInvalid)
            } else {
                None
            };
            if let Some(refusal) = refusal {
                let about = filter.as_str();
                effects.refused(id, Operation::Unsubscribe, refusal, about);
                codes.push(refusal.reason_code());
                continue;
            }
            // 0x11 for a filter that was not subscribed to is not among the codes AWS lists.
            codes.push(ReasonCode::Success);
            if self.unsubscribe(key, filter, effects) {
                removed.push(filter.as_str().into());
            }
        }
        let unsuback =
            UnsubAck { packet_id: packet.packet_id, codes, reason_string: None, user_properties: Vec::new() };
        let client_id = self
            .sessions
            .get(key)
            .filter(|session| session.persistent && !removed.is_empty())
            .map(|session| Arc::clone(&session.client_id));
        match client_id {
            Some(client_id) => {
                let ticket =
                    self.store(Record::Unsubscribed { client_id, filters: removed.clone() }, effects);
                self.leave_unanswered(id, packet.packet_id, effects);
                self.waiting.insert(ticket, Waiting::Unsubscribe { connection: id, unsuback });
            }
            None => self.finish_unsubscribe(id, unsuback, effects),
        }
        if let Some(identity) = self.identity(id).filter(|_| !removed.is_empty()) {
            self.lifecycle(now, &identity, LifecycleKind::Unsubscribed { filters: removed }, effects);
        }
    }

    /// Sends UNSUBACK.
    pub(crate) fn finish_unsubscribe(&mut self, id: ConnectionId, unsuback: UnsubAck, effects: &mut Effects) {
        let Some(connection) = self.connections.get(id).and_then(Option::as_ref) else { return };
        effects.packet(id, connection.version, connection.maximum_packet_size, unsuback);
    }

    /// Removes one subscription. Messages that wait for it already are still sent, as MQTT allows (section 3.10.4); what
    /// waits in a shared group stays there.
    fn unsubscribe(&mut self, key: SessionKey, filter: &str, effects: &mut Effects) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let Some(position) = session.subscription(filter) else { return false };
        match session.subscriptions.swap_remove(position).place {
            SubscriptionPlace::Own(slot) => {
                self.tree.remove(slot);
            }
            SubscriptionPlace::Shared(group) => self.leave_group(group, key, effects),
        }
        true
    }
}

/// Checks a filter without policies: reserved filters are refused first, as observed of AWS.
fn check_filter(subscribe: &SubscribeFilter) -> Result<&TopicFilter, Refusal> {
    let filter = subscribe.filter.as_ref().ok_or(Refusal::FilterInvalid)?;
    let share_name_fits =
        filter.shared().is_none_or(|(name, _)| name.chars().count() <= SHARE_NAME_CHARACTERS);
    if filter.filter().len() > TOPIC_BYTES || filter.slash_count() > TOPIC_SLASHES || !share_name_fits {
        return Err(Refusal::FilterInvalid);
    }
    if !reserved::accepts_subscribe(filter.filter()) {
        return Err(Refusal::FilterReserved);
    }
    Ok(filter)
}

/// Returns the first filter whose refusal ends the connection of an MQTT 3.1.1 client.
fn ends_connection<'a>(
    filters: &'a [SubscribeFilter],
    verdicts: &[Result<(), Refusal>],
    says_suback: bool,
) -> Option<(&'a str, Refusal)> {
    filters.iter().zip(verdicts).find_map(|(filter, verdict)| match verdict {
        Err(refusal @ (Refusal::SubscribeNotAuthorized | Refusal::FilterReserved)) if !says_suback => {
            Some((filter.raw.as_str(), *refusal))
        }
        _ => None,
    })
}

/// Returns the topic whose retained message a SUBSCRIBE sends: only of a filter that is a topic name (MQTT page),
/// never of a shared one [MQTT-4.8.2 and MQTT page], and as Retain Handling says (section 3.8.3.1).
fn retained_wanted(subscribe: &SubscribeFilter, granted: QoS, is_new: bool) -> Option<RetainedWanted> {
    let filter = subscribe.filter.as_ref()?;
    let wanted = match subscribe.retain_handling {
        RetainHandling::Send => true,
        RetainHandling::SendIfNew => is_new,
        RetainHandling::DoNotSend => false,
    };
    if !wanted || filter.shared().is_some() || filter.has_wildcard() {
        return None;
    }
    let topic = TopicName::new(filter.as_utf8().detached()).ok()?;
    Some(RetainedWanted { topic, granted })
}
