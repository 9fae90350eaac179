//! SUBSCRIBE, section 3.8.

use crate::{PacketId, QoS, TopicFilter, UserProperties, Utf8};

/// Topic filters a client wants messages for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Comes back in SUBACK.
    pub packet_id: PacketId,
    /// At least one.
    pub filters: Vec<SubscribeFilter>,
    /// MQTT 5: 1 to 268 435 455, comes back on every matching PUBLISH.
    pub subscription_identifier: Option<u32>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}

/// One filter of a SUBSCRIBE with its options, section 3.8.3.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeFilter {
    /// The text as received. A filter that breaks the rules of section 4.7 does not spoil the packet: the
    /// server answers 0x8F for it alone.
    pub raw: Utf8,
    /// The text as a filter, when it is one.
    pub filter: Option<TopicFilter>,
    /// The highest QoS the client wants.
    pub qos: QoS,
    /// MQTT 5: do not send the client its own messages.
    pub no_local: bool,
    /// MQTT 5: keep the RETAIN flag as published.
    pub retain_as_published: bool,
    /// MQTT 5: what to do with retained messages now.
    pub retain_handling: RetainHandling,
}

impl SubscribeFilter {
    /// A filter with the options that 3.1.1 knows.
    pub fn new(raw: Utf8, qos: QoS) -> SubscribeFilter {
        let filter = TopicFilter::new(raw.clone()).ok();
        SubscribeFilter {
            raw,
            filter,
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        }
    }
}

/// Retain Handling, section 3.8.3.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RetainHandling {
    /// Send retained messages at the time of the subscribe.
    #[default]
    Send = 0,
    /// Send them only if the subscription is new.
    SendIfNew = 1,
    /// Send none.
    DoNotSend = 2,
}
