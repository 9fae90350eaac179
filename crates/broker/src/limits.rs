//! What AWS IoT Core allows, as named numbers, and the few switches where its documents leave a choice.
//!
//! Numbers are those of the AWS General Reference, "AWS IoT Core endpoints and quotas", unless a line says
//! otherwise. Semantic and size limits always hold; rate quotas are `None` unless they are switched on.

/// Longest client id, in bytes.
pub const CLIENT_ID_BYTES: usize = 128;
/// Longest topic or topic filter, in bytes; the prefixes `$aws/rules/<rule>/` and `$share/<name>/` are not counted.
pub const TOPIC_BYTES: usize = 256;
/// Longest `$aws/rules/<rule>/`, in bytes: a rule's name has at most 128 characters of ASCII (CreateTopicRule).
pub const RULE_PREFIX_BYTES: usize = "$aws/rules/".len() + 128 + 1;
/// Most slashes in a topic or topic filter, the same prefixes not counted.
pub const TOPIC_SLASHES: usize = 7;
/// Longest share name, in characters (MQTT page of the developer guide).
pub const SHARE_NAME_CHARACTERS: usize = 128;
/// Largest payload of a PUBLISH or a will, in bytes: 128 KB.
pub const PAYLOAD_BYTES: usize = 128 * 1024;
/// Largest MQTT 5 packet, announced in CONNACK: 146 KB, so that a full payload passes with its properties.
pub const PACKET_BYTES: u32 = 146 * 1024;
/// The smallest Maximum Packet Size a client may announce.
pub const CLIENT_PACKET_BYTES: u32 = 512;
/// User properties of one packet together, and correlation data, in bytes.
pub const PROPERTY_BYTES: usize = 8 * 1024;
/// Longest content type, in bytes.
pub const CONTENT_TYPE_BYTES: usize = 256;
/// Topic aliases a client may use.
pub const TOPIC_ALIASES: u16 = 8;
/// Message expiry intervals are brought into this range, in seconds (MQTT page: 0 becomes 1).
pub const MESSAGE_EXPIRY_SECONDS: std::ops::RangeInclusive<u32> = 1..=604_800;
/// Topic filters in one SUBSCRIBE or UNSUBSCRIBE.
pub const FILTERS_PER_PACKET: usize = 8;
/// Keep-alive intervals are brought into this range, in seconds.
pub const KEEP_ALIVE_SECONDS: std::ops::RangeInclusive<u16> = 30..=1200;
/// Unacknowledged QoS 1 messages in one direction of one connection; the Receive Maximum of CONNACK.
pub const UNACKNOWLEDGED: u16 = 100;
/// Members of one shared subscription group.
pub const GROUP_MEMBERS: usize = 100;
/// The longest session expiry an account can have, in seconds: seven days (MQTT page).
pub const LONGEST_SESSION_EXPIRY_SECONDS: u32 = 7 * 24 * 3600;
/// An unacknowledged message is given up after this long while the client stays connected, MQTT 3.1.1.
pub const REDELIVERY_LIMIT_V311_MS: u64 = 3600 * 1000;
/// The same for MQTT 5.
pub const REDELIVERY_LIMIT_V5_MS: u64 = 960 * 1000;
/// An unacknowledged message goes to a connected client again after this long, with DUP 0. AWS names no number; its
/// SDK's tests expect MQTT 5 clients to get it within 60 seconds, although MQTT 5 knows no resending on the same
/// connection [MQTT-4.4.0-1].
pub const REDELIVERY_INTERVAL_MS: u64 = 30 * 1000;
/// A client's lifecycle version number starts again this long after its last connection ended (lifecycle events page:
/// "about an hour").
pub const VERSION_NUMBER_MEMORY_MS: u64 = 3600 * 1000;

/// What can be set for one broker. [`Limits::default`] is AWS IoT Core with its rate quotas off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a 3.1.1 session outlives its connection, and the most an MQTT 5 client gets, in seconds. At most
    /// [`LONGEST_SESSION_EXPIRY_SECONDS`].
    pub session_expiry_seconds: u32,
    /// Subscriptions of one session.
    pub subscriptions_per_session: usize,
    /// Shared subscription groups of the account.
    pub shared_groups: usize,
    /// Messages waiting for one session beyond those in flight; the newest is dropped when there are more.
    pub queued_messages_per_session: usize,
    /// Bytes of messages waiting for one session. AWS names no such bound, but it does not run on one machine's memory:
    /// the messages above at their largest would be 13 GB.
    pub queued_bytes_per_session: u64,
    /// Messages waiting for one shared group.
    pub queued_messages_per_group: usize,
    /// Bytes of messages waiting for one shared group.
    pub queued_bytes_per_group: u64,
    /// Retained messages of the account.
    pub retained_messages: usize,
    /// Bytes of retained messages of the account, which AWS does not bound, but memory does.
    pub retained_bytes: u64,
    /// Bytes handed to the network of one connection and not yet written; what happens beyond is in
    /// [`crate::outbox`].
    pub outbox_bytes: u64,
    /// Messages handed to the network of one connection and not yet written.
    pub outbox_messages: u64,
    /// CONNECT packets per second per client id; `None` is no limit, AWS's quota is 1.
    pub connects_per_second: Option<u32>,
    /// PUBLISH packets per second per connection, both directions together; `None` is no limit, AWS's quota is 100.
    pub publishes_per_second: Option<u32>,
    /// Answer a refused 3.1.1 CONNECT with return code 5 before closing. AWS closes without CONNACK.
    pub connack_on_refusal: bool,
    /// Answer a refused 3.1.1 filter with SUBACK 0x80. AWS closes the connection.
    pub suback_on_refusal: bool,
    /// Grant QoS 1 to an MQTT 5 SUBSCRIBE that asks for 2. AWS ends the connection.
    pub downgrade_subscribe_qos: bool,
    /// Honour the No Local option [MQTT-3.8.3-3]. AWS is reported to ignore it.
    pub no_local: bool,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            session_expiry_seconds: 3600,
            subscriptions_per_session: 50,
            shared_groups: 100,
            queued_messages_per_session: 100_000,
            queued_bytes_per_session: 64 * 1024 * 1024,
            queued_messages_per_group: 500_000,
            queued_bytes_per_group: 128 * 1024 * 1024,
            retained_messages: 500_000,
            retained_bytes: 1024 * 1024 * 1024,
            outbox_bytes: 4 * 1024 * 1024,
            outbox_messages: 10_000,
            connects_per_second: None,
            publishes_per_second: None,
            connack_on_refusal: false,
            suback_on_refusal: false,
            downgrade_subscribe_qos: false,
            no_local: false,
        }
    }
}

impl Limits {
    /// Returns the effective keep alive for the one that a client asks for, in seconds: 0 means the maximum.
    pub fn effective_keep_alive(requested: u16) -> u16 {
        match requested {
            0 => *KEEP_ALIVE_SECONDS.end(),
            seconds => seconds.clamp(*KEEP_ALIVE_SECONDS.start(), *KEEP_ALIVE_SECONDS.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_alive_is_brought_into_aws_range() {
        let effective = [0, 1, 29, 30, 31, 1200, 1201, u16::MAX].map(Limits::effective_keep_alive);
        assert_eq!(effective, [1200, 30, 30, 30, 31, 1200, 1200, 1200]);
    }
}
