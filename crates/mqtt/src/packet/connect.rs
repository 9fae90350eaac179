//! CONNECT, section 3.1.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;

use crate::packet::PublishProperties;
use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::wire::{PropertyReader, Reader, Sink, property_block};
use crate::{DecodeError, EncodeError, QoS, TopicName, UserProperties, Utf8, Version};

const RESERVED: u8 = 0b0000_0001;
const CLEAN_START: u8 = 0b0000_0010;
const WILL: u8 = 0b0000_0100;
const WILL_QOS: u8 = 0b0001_1000;
const WILL_RETAIN: u8 = 0b0010_0000;
const PASSWORD: u8 = 0b0100_0000;
const USERNAME: u8 = 0b1000_0000;

/// A client's first packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    /// The protocol version of the client; all following packets of the connection are read in it.
    pub version: Version,
    /// Clean Start in MQTT 5, Clean Session in 3.1.1.
    pub clean_start: bool,
    /// Seconds; zero disables keep-alive.
    pub keep_alive: u16,
    /// May be empty: the server then assigns one, or refuses.
    pub client_id: Utf8,
    /// The message to publish when the connection ends without DISCONNECT.
    pub will: Option<Will>,
    /// Free text; AWS's SDKs send their metrics in it.
    pub username: Option<Utf8>,
    /// Any bytes. In 3.1.1 only together with a user name.
    pub password: Option<Bytes>,
    /// MQTT 5; the defaults in 3.1.1.
    pub properties: ConnectProperties,
}

/// The will message of a CONNECT, section 3.1.3.2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// The topic that it is published on.
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The QoS.
    pub qos: QoS,
    /// Whether it is retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the publication. MQTT 5; else 0.
    pub delay_interval: u32,
    /// MQTT 5. Never a topic alias or subscription identifiers.
    pub properties: PublishProperties,
}

/// Properties of CONNECT, section 3.1.2.11.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectProperties {
    /// Seconds that the session is kept after the connection; absent is 0; `u32::MAX` is without end.
    pub session_expiry_interval: Option<u32>,
    /// Maximum number of unacknowledged QoS 1 and 2 messages that the client accepts; absent is 65 535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet that the client accepts, in bytes; absent is no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The number of topic aliases that the server may use; 0 when absent.
    pub topic_alias_maximum: u16,
    /// Whether CONNACK may have Response Information; false when absent.
    pub request_response_information: bool,
    /// Whether any packet may have reason strings and user properties; true when absent.
    pub request_problem_information: bool,
    /// In the order of the packet.
    pub user_properties: UserProperties,
    /// The name of an enhanced authentication method.
    pub authentication_method: Option<Utf8>,
    /// Data of the method; only together with a method.
    pub authentication_data: Option<Bytes>,
}

impl Default for ConnectProperties {
    /// Returns the meaning of a CONNECT without properties.
    fn default() -> ConnectProperties {
        ConnectProperties {
            session_expiry_interval: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::new(),
            authentication_method: None,
            authentication_data: None,
        }
    }
}

impl Connect {
    /// Reads protocol name and level, which are necessary to read, or to refuse, the rest.
    pub(crate) fn decode_version(reader: &mut Reader<'_>) -> Result<Version, DecodeError> {
        let name = reader.utf8()?;
        let level = reader.u8()?;
        match (name.as_str(), level) {
            ("MQTT", 4) => Ok(Version::V311),
            ("MQTT", 5) => Ok(Version::V5),
            // [MQTT-3.1.2-2]; the protocol name of MQTT 3.1 is MQIsdp.
            ("MQTT", other) | ("MQIsdp", other @ 3) => Err(DecodeError::UnsupportedVersion(other)),
            // [MQTT-3.1.2-1]
            _ => Err(DecodeError::ProtocolName),
        }
    }

    /// Reads the rest of the packet, after protocol name and level.
    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Result<Connect, DecodeError> {
        let flags = reader.u8()?;
        if flags & RESERVED != 0 {
            return Err(DecodeError::ReservedConnectFlag); // [MQTT-3.1.2-3]
        }
        if flags & WILL == 0 && flags & (WILL_QOS | WILL_RETAIN) != 0 {
            return Err(DecodeError::WillFlagsWithoutWill); // [MQTT-3.1.2-11, MQTT-3.1.2-13]
        }
        let will_qos = QoS::from_bits((flags & WILL_QOS) >> 3).ok_or(DecodeError::WillQoS)?; // [MQTT-3.1.2-12]
        if version == Version::V311 && flags & PASSWORD != 0 && flags & USERNAME == 0 {
            return Err(DecodeError::PasswordWithoutUsername); // [MQTT-3.1.2-22 of 3.1.1]
        }
        let keep_alive = reader.u16()?;
        let properties = match version {
            Version::V311 => ConnectProperties::default(),
            Version::V5 => ConnectProperties::decode(reader.properties(Carrier::Connect)?)?,
        };
        // The payload, in the order of [MQTT-3.1.3-1].
        let client_id = reader.utf8()?;
        let will = match flags & WILL {
            0 => None,
            _ => Some(Will::decode(reader, version, will_qos, flags & WILL_RETAIN != 0)?),
        };
        let username = if flags & USERNAME != 0 { Some(reader.utf8()?) } else { None };
        let password = if flags & PASSWORD != 0 { Some(reader.binary()?) } else { None };
        let clean_start = flags & CLEAN_START != 0;
        Ok(Connect { version, clean_start, keep_alive, client_id, will, username, password, properties })
    }

    pub(crate) fn write(&self, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.version == Version::V311 && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::Forbidden(
                PacketType::Connect,
                "MQTT 3.1.1 has no password without a user name",
            ));
        }
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3;
            if will.retain {
                flags |= WILL_RETAIN;
            }
        }
        if self.username.is_some() {
            flags |= USERNAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        out.text("MQTT");
        out.u8(match self.version {
            Version::V311 => 4,
            Version::V5 => 5,
        });
        out.u8(flags);
        out.u16(self.keep_alive);
        if self.version == Version::V5 {
            property_block(PacketType::Connect, out, |out| self.properties.write(out))?;
        }
        out.text(&self.client_id);
        if let Some(will) = &self.will {
            if self.version == Version::V5 {
                property_block(PacketType::Connect, out, |out| will.write_properties(out))?;
            }
            out.text(&will.topic);
            out.binary(PacketType::Connect, &will.payload)?;
        }
        if let Some(username) = &self.username {
            out.text(username);
        }
        if let Some(password) = &self.password {
            out.binary(PacketType::Connect, password)?;
        }
        Ok(())
    }
}

impl Will {
    fn decode(
        reader: &mut Reader<'_>,
        version: Version,
        qos: QoS,
        retain: bool,
    ) -> Result<Will, DecodeError> {
        let mut delay_interval = 0;
        let mut properties = PublishProperties::new();
        if version == Version::V5 {
            let mut block = reader.properties(Carrier::Will)?;
            while let Some(property) = block.next()? {
                match property {
                    PropertyId::WillDelayInterval => delay_interval = block.u32()?,
                    other => properties.read(other, &mut block)?,
                }
            }
        }
        let topic = TopicName::new(reader.utf8()?).map_err(DecodeError::WillTopic)?;
        Ok(Will { topic, payload: reader.binary()?, qos, retain, delay_interval, properties })
    }

    fn write_properties(&self, out: &mut dyn Sink) -> Result<(), EncodeError> {
        if self.properties.topic_alias.is_some() || !self.properties.subscription_identifiers.is_empty() {
            return Err(EncodeError::Forbidden(
                PacketType::Connect,
                "a will has no topic alias and no subscription identifier",
            ));
        }
        if self.delay_interval != 0 {
            out.u32_property(PropertyId::WillDelayInterval, self.delay_interval);
        }
        self.properties.write(PacketType::Connect, None, out)
    }
}

impl ConnectProperties {
    fn decode(mut block: PropertyReader<'_>) -> Result<ConnectProperties, DecodeError> {
        let mut properties = ConnectProperties::default();
        while let Some(property) = block.next()? {
            match property {
                PropertyId::SessionExpiryInterval => properties.session_expiry_interval = Some(block.u32()?),
                PropertyId::ReceiveMaximum => properties.receive_maximum = Some(block.receive_maximum()?),
                PropertyId::MaximumPacketSize => {
                    properties.maximum_packet_size = Some(block.maximum_packet_size()?);
                }
                PropertyId::TopicAliasMaximum => properties.topic_alias_maximum = block.u16()?,
                PropertyId::RequestResponseInformation => {
                    properties.request_response_information = block.bool(property)?;
                }
                PropertyId::RequestProblemInformation => {
                    properties.request_problem_information = block.bool(property)?;
                }
                PropertyId::UserProperty => properties.user_properties.push(block.user_property()?),
                PropertyId::AuthenticationMethod => properties.authentication_method = Some(block.utf8()?),
                PropertyId::AuthenticationData => properties.authentication_data = Some(block.binary()?),
                other => return Err(block.not_allowed(other)),
            }
        }
        if properties.authentication_data.is_some() && properties.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationDataWithoutMethod); // section 3.1.2.11.10
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
        if let Some(maximum) = self.maximum_packet_size {
            out.u32_property(PropertyId::MaximumPacketSize, maximum.get());
        }
        if self.topic_alias_maximum != 0 {
            out.u16_property(PropertyId::TopicAliasMaximum, self.topic_alias_maximum);
        }
        if self.request_response_information {
            out.bool_property(PropertyId::RequestResponseInformation, true);
        }
        if !self.request_problem_information {
            out.bool_property(PropertyId::RequestProblemInformation, false);
        }
        out.user_properties(&self.user_properties);
        out.authentication(
            PacketType::Connect,
            self.authentication_method.as_ref(),
            self.authentication_data.as_ref(),
        )
    }
}
