//! CONNACK, section 3.2.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::wire::{PropertyReader, Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, QoS, ReasonCode, UserProperties, Utf8, Version};

/// The server's answer to CONNECT.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAck {
    /// Whether the server continues a stored session. Always false with a failure.
    pub session_present: bool,
    /// Success or the refusal. To a 3.1.1 client only those that have a
    /// [return code](ReasonCode::v3_connect_return_code) can be sent.
    pub code: ReasonCode,
    /// MQTT 5; not sent to a 3.1.1 client.
    pub properties: ConnAckProperties,
}

/// Properties of CONNACK, section 3.2.2.3. Absent means the default that the section names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConnAckProperties {
    /// Seconds; absent: the client's value is used.
    pub session_expiry_interval: Option<u32>,
    /// Maximum number of unacknowledged QoS 1 and 2 messages that the server accepts; absent is 65 535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The highest QoS of a PUBLISH that the server accepts: 0 or 1; absent is 2.
    pub maximum_qos: Option<QoS>,
    /// Absent is true.
    pub retain_available: Option<bool>,
    /// The largest packet that the server accepts, in bytes; absent is no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The client id that the server assigned to a client that sent an empty one.
    pub assigned_client_identifier: Option<Utf8>,
    /// The number of topic aliases that the client may use; absent is 0.
    pub topic_alias_maximum: Option<u16>,
    /// For people.
    pub reason_string: Option<Utf8>,
    /// In the order of the packet.
    pub user_properties: UserProperties,
    /// Absent is true.
    pub wildcard_subscription_available: Option<bool>,
    /// Absent is true.
    pub subscription_identifier_available: Option<bool>,
    /// Absent is true.
    pub shared_subscription_available: Option<bool>,
    /// Seconds; replaces the client's own value.
    pub server_keep_alive: Option<u16>,
    /// A topic prefix for responses.
    pub response_information: Option<Utf8>,
    /// Another server to use.
    pub server_reference: Option<Utf8>,
    /// The enhanced authentication method.
    pub authentication_method: Option<Utf8>,
    /// Data of the method; only together with a method.
    pub authentication_data: Option<Bytes>,
}

impl ConnAck {
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<ConnAck, DecodeError> {
        let flags = reader.u8()?;
        if flags & !1 != 0 {
            return Err(DecodeError::ReservedConnAckFlags); // [MQTT-3.2.2-1]
        }
        let session_present = flags == 1;
        let (code, properties) = match version {
            Version::V311 => {
                let code = reader.u8()?;
                let reason = ReasonCode::from_v3_connect_return_code(code)
                    .ok_or(DecodeError::ReasonCode { packet: PacketType::ConnAck, code })?;
                (reason, ConnAckProperties::default())
            }
            Version::V5 => {
                (reader.reason_code()?, ConnAckProperties::decode(reader.properties(Carrier::ConnAck)?)?)
            }
        };
        if session_present && code.is_failure() {
            return Err(DecodeError::SessionPresentWithFailure); // [MQTT-3.2.2-6]
        }
        Ok(ConnAck { session_present, code, properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.session_present && self.code.is_failure() {
            return Err(EncodeError::Forbidden(PacketType::ConnAck, "a refusal has no session present"));
        }
        out.u8(self.session_present.into());
        match version {
            Version::V311 => {
                let code = self.code.v3_connect_return_code().ok_or(EncodeError::NotInVersion(
                    PacketType::ConnAck,
                    "MQTT 3.1.1 has no return code for this reason; close without one",
                ))?;
                out.u8(code);
                Ok(())
            }
            Version::V5 => {
                out.reason_code(PacketType::ConnAck, self.code)?;
                property_block(PacketType::ConnAck, out, |out| self.properties.write(out))
            }
        }
    }
}

impl ConnAckProperties {
    fn decode(mut block: PropertyReader<'_>) -> Result<ConnAckProperties, DecodeError> {
        let mut properties = ConnAckProperties::default();
        while let Some(property) = block.next()? {
            match property {
                PropertyId::SessionExpiryInterval => properties.session_expiry_interval = Some(block.u32()?),
                PropertyId::ReceiveMaximum => properties.receive_maximum = Some(block.receive_maximum()?),
                PropertyId::MaximumQoS => {
                    let highest = if block.bool(property)? { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                    properties.maximum_qos = Some(highest);
                }
                PropertyId::RetainAvailable => properties.retain_available = Some(block.bool(property)?),
                PropertyId::MaximumPacketSize => {
                    properties.maximum_packet_size = Some(block.maximum_packet_size()?);
                }
                PropertyId::AssignedClientIdentifier => {
                    properties.assigned_client_identifier = Some(block.utf8()?);
                }
                PropertyId::TopicAliasMaximum => properties.topic_alias_maximum = Some(block.u16()?),
                PropertyId::ReasonString => properties.reason_string = Some(block.utf8()?),
                PropertyId::UserProperty => properties.user_properties.push(block.user_property()?),
                PropertyId::WildcardSubscriptionAvailable => {
                    properties.wildcard_subscription_available = Some(block.bool(property)?);
                }
                PropertyId::SubscriptionIdentifierAvailable => {
                    properties.subscription_identifier_available = Some(block.bool(property)?);
                }
                PropertyId::SharedSubscriptionAvailable => {
                    properties.shared_subscription_available = Some(block.bool(property)?);
                }
                PropertyId::ServerKeepAlive => properties.server_keep_alive = Some(block.u16()?),
                PropertyId::ResponseInformation => properties.response_information = Some(block.utf8()?),
                PropertyId::ServerReference => properties.server_reference = Some(block.utf8()?),
                PropertyId::AuthenticationMethod => properties.authentication_method = Some(block.utf8()?),
                PropertyId::AuthenticationData => properties.authentication_data = Some(block.binary()?),
                other => return Err(block.not_allowed(other)),
            }
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod); // section 3.2.2.3.18
        }
        Ok(properties)
    }

    fn write(&self, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if let Some(seconds) = self.session_expiry_interval {
            out.u32_property(PropertyId::SessionExpiryInterval, seconds);
        }
        if let Some(maximum) = self.receive_maximum {
            out.u16_property(PropertyId::ReceiveMaximum, maximum.get());
        }
        match self.maximum_qos {
            // [MQTT-3.2.2-9] has 0 and 1 only; an absent property means 2.
            None | Some(QoS::ExactlyOnce) => {}
            Some(highest) => out.bool_property(PropertyId::MaximumQoS, highest == QoS::AtLeastOnce),
        }
        if let Some(available) = self.retain_available {
            out.bool_property(PropertyId::RetainAvailable, available);
        }
        if let Some(maximum) = self.maximum_packet_size {
            out.u32_property(PropertyId::MaximumPacketSize, maximum.get());
        }
        out.text_property(PropertyId::AssignedClientIdentifier, self.assigned_client_identifier.as_ref());
        if let Some(maximum) = self.topic_alias_maximum {
            out.u16_property(PropertyId::TopicAliasMaximum, maximum);
        }
        out.text_property(PropertyId::ReasonString, self.reason_string.as_ref());
        out.user_properties(&self.user_properties);
        if let Some(available) = self.wildcard_subscription_available {
            out.bool_property(PropertyId::WildcardSubscriptionAvailable, available);
        }
        if let Some(available) = self.subscription_identifier_available {
            out.bool_property(PropertyId::SubscriptionIdentifierAvailable, available);
        }
        if let Some(available) = self.shared_subscription_available {
            out.bool_property(PropertyId::SharedSubscriptionAvailable, available);
        }
        if let Some(seconds) = self.server_keep_alive {
            out.u16_property(PropertyId::ServerKeepAlive, seconds);
        }
        out.text_property(PropertyId::ResponseInformation, self.response_information.as_ref());
        out.text_property(PropertyId::ServerReference, self.server_reference.as_ref());
        out.authentication(
            PacketType::ConnAck,
            self.authentication_method.as_ref(),
            self.authentication_data.as_ref(),
        )
    }
}
