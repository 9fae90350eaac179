//! The MQTT 5 properties, section 2.2.2: identifier, defining section, and the packets that may have it.

use std::fmt;

/// What has properties: several packet types, and the will in CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "packet names")]
pub enum Carrier {
    Connect,
    Will,
    ConnAck,
    Publish,
    PubAck,
    PubRec,
    PubRel,
    PubComp,
    Subscribe,
    SubAck,
    Unsubscribe,
    UnsubAck,
    Disconnect,
    Auth,
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Carrier::Connect => "CONNECT",
            Carrier::Will => "a will",
            Carrier::ConnAck => "CONNACK",
            Carrier::Publish => "PUBLISH",
            Carrier::PubAck => "PUBACK",
            Carrier::PubRec => "PUBREC",
            Carrier::PubRel => "PUBREL",
            Carrier::PubComp => "PUBCOMP",
            Carrier::Subscribe => "SUBSCRIBE",
            Carrier::SubAck => "SUBACK",
            Carrier::Unsubscribe => "UNSUBSCRIBE",
            Carrier::UnsubAck => "UNSUBACK",
            Carrier::Disconnect => "DISCONNECT",
            Carrier::Auth => "AUTH",
        })
    }
}

macro_rules! properties {
    ($($name:ident = $byte:literal, $phrase:literal, $section:literal, [$($carrier:ident)*];)*) => {
        /// The identifier of a property, table 2-4.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $(#[doc = concat!($phrase, ", section ", $section, ".")] $name = $byte,)*
        }

        impl PropertyId {
            /// Every property, in the order of its identifier.
            pub const ALL: &'static [PropertyId] = &[$(PropertyId::$name),*];

            /// Returns the property of an identifier; `None` when MQTT 5 does not define one.
            pub fn from_identifier(identifier: u32) -> Option<PropertyId> {
                match identifier {
                    $($byte => Some(PropertyId::$name),)*
                    _ => None,
                }
            }

            /// Returns the name of the property in the specification.
            pub fn phrase(self) -> &'static str {
                match self {
                    $(PropertyId::$name => $phrase,)*
                }
            }

            /// Returns the section that defines the property.
            pub fn section(self) -> &'static str {
                match self {
                    $(PropertyId::$name => concat!("section ", $section),)*
                }
            }

            /// Returns whether table 2-4 lists the property for a packet or a will.
            pub fn may_travel_in(self, carrier: Carrier) -> bool {
                match self {
                    $(PropertyId::$name => matches!(carrier, $(Carrier::$carrier)|*),)*
                }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, "Payload Format Indicator", "3.3.2.3.2", [Publish Will];
    MessageExpiryInterval = 0x02, "Message Expiry Interval", "3.3.2.3.3", [Publish Will];
    ContentType = 0x03, "Content Type", "3.3.2.3.9", [Publish Will];
    ResponseTopic = 0x08, "Response Topic", "3.3.2.3.5", [Publish Will];
    CorrelationData = 0x09, "Correlation Data", "3.3.2.3.6", [Publish Will];
    SubscriptionIdentifier = 0x0B, "Subscription Identifier", "3.8.2.1.2", [Publish Subscribe];
    SessionExpiryInterval = 0x11, "Session Expiry Interval", "3.1.2.11.2", [Connect ConnAck Disconnect];
    AssignedClientIdentifier = 0x12, "Assigned Client Identifier", "3.2.2.3.7", [ConnAck];
    ServerKeepAlive = 0x13, "Server Keep Alive", "3.2.2.3.14", [ConnAck];
    AuthenticationMethod = 0x15, "Authentication Method", "3.1.2.11.9", [Connect ConnAck Auth];
    AuthenticationData = 0x16, "Authentication Data", "3.1.2.11.10", [Connect ConnAck Auth];
    RequestProblemInformation = 0x17, "Request Problem Information", "3.1.2.11.7", [Connect];
    WillDelayInterval = 0x18, "Will Delay Interval", "3.1.3.2.2", [Will];
    RequestResponseInformation = 0x19, "Request Response Information", "3.1.2.11.6", [Connect];
    ResponseInformation = 0x1A, "Response Information", "3.2.2.3.15", [ConnAck];
    ServerReference = 0x1C, "Server Reference", "3.2.2.3.16", [ConnAck Disconnect];
    ReasonString = 0x1F, "Reason String", "3.2.2.3.9",
        [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    ReceiveMaximum = 0x21, "Receive Maximum", "3.1.2.11.3", [Connect ConnAck];
    TopicAliasMaximum = 0x22, "Topic Alias Maximum", "3.1.2.11.5", [Connect ConnAck];
    TopicAlias = 0x23, "Topic Alias", "3.3.2.3.4", [Publish];
    MaximumQoS = 0x24, "Maximum QoS", "3.2.2.3.4", [ConnAck];
    RetainAvailable = 0x25, "Retain Available", "3.2.2.3.5", [ConnAck];
    UserProperty = 0x26, "User Property", "3.1.2.11.8",
        [Connect Will ConnAck Publish PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck
         Disconnect Auth];
    MaximumPacketSize = 0x27, "Maximum Packet Size", "3.1.2.11.4", [Connect ConnAck];
    WildcardSubscriptionAvailable = 0x28, "Wildcard Subscription Available", "3.2.2.3.11", [ConnAck];
    SubscriptionIdentifierAvailable = 0x29, "Subscription Identifier Available", "3.2.2.3.12", [ConnAck];
    SharedSubscriptionAvailable = 0x2A, "Shared Subscription Available", "3.2.2.3.13", [ConnAck];
}

impl PropertyId {
    /// Returns whether the property may appear more than once: user properties always, subscription identifiers
    /// on a PUBLISH (section 3.3.2.3.8).
    pub fn may_repeat_in(self, carrier: Carrier) -> bool {
        match self {
            PropertyId::UserProperty => true,
            PropertyId::SubscriptionIdentifier => carrier == Carrier::Publish,
            _ => false,
        }
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_27_properties_of_table_2_4() {
        assert_eq!(PropertyId::ALL.len(), 27);
        for property in PropertyId::ALL {
            assert_eq!(PropertyId::from_identifier(*property as u32), Some(*property));
            // A set of seen properties is kept in the bits of a u64.
            assert!((*property as u8) < 64);
        }
        assert_eq!(PropertyId::from_identifier(0x04), None);
    }
}
