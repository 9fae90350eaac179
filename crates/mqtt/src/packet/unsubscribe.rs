//! UNSUBSCRIBE, section 3.10.

use crate::{PacketId, UserProperties, Utf8};

/// Topic filters a client gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsubscribe {
    /// Comes back in UNSUBACK.
    pub packet_id: PacketId,
    /// At least one; compared with those subscribed to character by character.
    pub filters: Vec<Utf8>,
    /// MQTT 5: in the order they came.
    pub user_properties: UserProperties,
}
