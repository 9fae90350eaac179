//! Answers that wait for a record to be durable.

use sekisho_mqtt::{PacketId, QoS, SubAck, TopicName, UnsubAck};

use crate::input::ConnectionId;

/// The answer to send when a record is durable.
#[derive(Debug)]
pub enum Waiting {
    Publish { connection: ConnectionId, packet_id: PacketId },
    Subscribe { connection: ConnectionId, suback: SubAck, retained: Vec<RetainedWanted> },
    Unsubscribe { connection: ConnectionId, unsuback: UnsubAck },
}

/// A retained message to send after SUBACK.
#[derive(Debug)]
pub struct RetainedWanted {
    pub topic: TopicName,
    pub granted: QoS,
}
