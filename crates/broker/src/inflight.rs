//! Messages sent with QoS 1 and not yet acknowledged, and the packet identifiers they occupy.

use std::collections::VecDeque;

use sekisho_mqtt::PacketId;

use crate::owed::Owed;

/// A message without an acknowledgement.
#[derive(Debug)]
pub struct Sent {
    /// Counts the messages sent; its packet identifier follows from it.
    sequence: u64,
    /// `None` if the message was given up. The packet identifier and the place in the client's Receive Maximum stay
    /// in use: the client may still process it [MQTT-3.3.4-9].
    pub owed: Option<Owed>,
    /// First sent on this connection, in milliseconds since the Unix epoch.
    pub first_sent: u64,
    /// Last sent.
    pub last_sent: u64,
}

impl Sent {
    /// Returns its packet identifier.
    pub fn packet_id(&self) -> PacketId {
        packet_id(self.sequence)
    }
}

/// The messages without an acknowledgement on one connection, oldest first.
///
/// Packet identifiers are assigned in turn, so the one acknowledged next is nearly always the first.
#[derive(Debug, Default)]
pub struct Inflight {
    sent: VecDeque<Sent>,
    next: u64,
}

/// Sequence numbers repeat their packet identifier after as many messages.
const PACKET_IDS: u64 = u16::MAX as u64;

fn packet_id(sequence: u64) -> PacketId {
    let number = u16::try_from(sequence % PACKET_IDS).expect("the remainder of a division by 65535") + 1;
    PacketId::new(number).expect("one was added")
}

impl Inflight {
    /// Returns the number of messages, those given up included.
    pub fn len(&self) -> usize {
        self.sent.len()
    }

    /// Adds a message that is being sent. Returns its packet identifier.
    pub fn push(&mut self, owed: Owed, now: u64) -> PacketId {
        // The oldest has the smallest sequence, so its distance tells whether identifiers can meet at all.
        while self.sent.front().is_some_and(|oldest| self.next - oldest.sequence >= PACKET_IDS)
            && self.sent.iter().any(|sent| sent.packet_id() == packet_id(self.next))
        {
            self.next += 1;
        }
        let sequence = self.next;
        self.next += 1;
        self.sent.push_back(Sent { sequence, owed: Some(owed), first_sent: now, last_sent: now });
        packet_id(sequence)
    }

    /// Removes the message with a packet identifier that the client acknowledged; returns `None` if there is none.
    pub fn acknowledge(&mut self, id: PacketId) -> Option<Sent> {
        // Clients acknowledge in order nearly always [MQTT-4.6.0-2].
        let position = self.sent.iter().position(|sent| sent.packet_id() == id)?;
        self.sent.remove(position)
    }

    /// Returns all messages, oldest first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sent> {
        self.sent.iter_mut()
    }

    /// Empties the list at the end of the connection; returns what the client still has to receive, oldest first.
    pub fn drain(&mut self) -> impl DoubleEndedIterator<Item = Owed> + '_ {
        self.sent.drain(..).filter_map(|sent| sent.owed)
    }

    /// Returns when a message is next to be sent again or given up.
    pub fn next_deadline(&self, resend_after: u64, give_up_after: u64) -> Option<u64> {
        self.sent
            .iter()
            .filter(|sent| sent.owed.is_some())
            .map(|sent| (sent.first_sent + give_up_after).min(sent.last_sent + resend_after))
            .min()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sekisho_mqtt::{PublishProperties, QoS, TopicName};

    use super::*;
    use crate::budget::Charged;
    use crate::message::{Message, Source};

    fn owed() -> Owed {
        let message = Message {
            topic: TopicName::new("t").unwrap(),
            payload: bytes::Bytes::new(),
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: PublishProperties::new(),
            expires_at: None,
            published_at: 0,
            source: Arc::new(Source { client_id: None, principal: None }),
            charged: Charged::default(),
        };
        Owed { message: Arc::new(message), retain: false, stored: None, group: None, until: None }
    }

    #[test]
    fn packet_identifiers_begin_at_one_and_pass_over_those_in_use() {
        let mut inflight = Inflight::default();
        let first = inflight.push(owed(), 0);
        assert_eq!(first.get(), 1);
        for expected in 2..=u16::MAX {
            let id = inflight.push(owed(), 0);
            assert_eq!(id.get(), expected);
            inflight.acknowledge(id).unwrap();
        }
        // 1 was never acknowledged.
        assert_eq!(inflight.push(owed(), 0).get(), 2);
        assert_eq!(inflight.len(), 2);
    }

    #[test]
    fn an_acknowledgement_counts_once() {
        let mut inflight = Inflight::default();
        let id = inflight.push(owed(), 0);
        assert!(inflight.acknowledge(id).is_some());
        assert!(inflight.acknowledge(id).is_none());
    }

    #[test]
    fn a_message_given_up_keeps_its_identifier_but_has_no_deadline() {
        let mut inflight = Inflight::default();
        inflight.push(owed(), 5);
        assert_eq!(inflight.next_deadline(10, 100), Some(15));
        assert_eq!(inflight.next_deadline(1000, 100), Some(105));
        inflight.iter_mut().for_each(|sent| sent.owed = None);
        assert_eq!(inflight.next_deadline(10, 100), None);
        assert_eq!(inflight.len(), 1);
    }
}
