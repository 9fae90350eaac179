//! The fixed header (section 2.1), the packet size limit, and the way from bytes to [`Packet`] and back.

use bytes::BytesMut;

use crate::packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, SubAck, Subscribe, UnsubAck, Unsubscribe,
};
use crate::packet_type::PacketType;
use crate::property::Carrier;
use crate::wire::{self, Length, Reader, Sink};
use crate::{DecodeError, EncodeError, Sender, Version};

/// The limits of a [`Decoder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole packet, its fixed header included. A larger one is refused from its fixed header,
    /// before its body has been read.
    pub max_packet_size: u32,
}

impl Limits {
    /// The largest packet MQTT can express: no limit of our own.
    pub const UNLIMITED: Limits = Limits { max_packet_size: wire::VARIABLE_BYTE_INTEGER_MAX + 5 };
}

/// Decodes the bytes of one direction of one connection.
///
/// After an error the decoder and the buffer are of no further use: answer with
/// [`DecodeError::reason`] where the protocol has an answer, and close (section 4.13).
#[derive(Debug, Clone)]
pub struct Decoder {
    limits: Limits,
    sender: Sender,
    /// `None` before the CONNECT of the connection.
    version: Option<Version>,
}

impl Decoder {
    /// Makes the decoder of a server, which reads a client's packets. The CONNECT must come first; it has the version.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, sender: Sender::Client, version: None }
    }

    /// Makes the decoder of a client, which reads a server's packets in the version that the client chose.
    pub fn for_client(limits: Limits, version: Version) -> Decoder {
        Decoder { limits, sender: Sender::Server, version: Some(version) }
    }

    /// Sets the version without a CONNECT, for a connection that was open already.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// Returns the version of the connection if it is known: after protocol name and level of the CONNECT, whether
    /// or not the rest of it could be read.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Removes the next packet from the front of `buffer` and returns it; `Ok(None)` where it is not complete yet.
    ///
    /// Strings and payload of the packet are slices of the buffer; nothing is copied. The decoder reserves no
    /// memory: the reader of the socket limits the size of the buffer.
    ///
    /// # Errors
    ///
    /// The peer's error, with the normative statement that it broke.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let Some(first) = buffer.first().copied() else { return Ok(None) };
        let packet_type = self.admit(first)?;
        let Some((remaining, len)) = wire::variable_byte_integer(&buffer[1..])? else { return Ok(None) };
        let size = 1 + len as u32 + remaining;
        if size > self.limits.max_packet_size {
            return Err(DecodeError::PacketTooLarge { size, limit: self.limits.max_packet_size });
        }
        if buffer.len() < size as usize {
            return Ok(None);
        }
        let frame = buffer.split_to(size as usize).freeze();
        let reader = &mut Reader::new(&frame, 1 + len, packet_type);
        let version = if packet_type == PacketType::Connect {
            let version = Connect::decode_version(reader)?;
            // Kept even if the rest is refused, because the refusal has to be in the client's version. The broker refuses
            // a second CONNECT [MQTT-3.1.0-2]; it has no effect here.
            self.version.get_or_insert(version);
            version
        } else {
            self.version.ok_or(DecodeError::ConnectExpected(packet_type))?
        };
        if version == Version::V5 && len > wire::variable_byte_integer_len(remaining) {
            return Err(DecodeError::VariableByteIntegerNotMinimal); // [MQTT-1.5.5-1]
        }
        let packet = self.packet(packet_type, first & 0x0F, version, reader)?;
        reader.finish()?;
        Ok(Some(packet))
    }

    /// Checks the first byte.
    fn admit(&self, first: u8) -> Result<PacketType, DecodeError> {
        let (number, flags) = (first >> 4, first & 0x0F);
        let packet = PacketType::from_number(number).ok_or(DecodeError::ReservedPacketType(number))?;
        if packet == PacketType::Auth && self.version == Some(Version::V311) {
            return Err(DecodeError::ReservedPacketType(number)); // table 2.1 of 3.1.1
        }
        if self.version.is_none() && packet != PacketType::Connect {
            return Err(DecodeError::ConnectExpected(packet)); // [MQTT-3.1.0-1]
        }
        let from_this_side = match packet {
            PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::PingReq => {
                self.sender == Sender::Client
            }
            PacketType::ConnAck | PacketType::SubAck | PacketType::UnsubAck | PacketType::PingResp => {
                self.sender == Sender::Server
            }
            // Before MQTT 5 a server had no DISCONNECT.
            PacketType::Disconnect => self.sender == Sender::Client || self.version == Some(Version::V5),
            _ => true,
        };
        if !from_this_side {
            return Err(DecodeError::WrongDirection(packet));
        }
        if packet != PacketType::Publish && flags != fixed_flags(packet) {
            return Err(DecodeError::ReservedFlags { packet, flags }); // [MQTT-2.1.3-1]
        }
        Ok(packet)
    }

    /// Reads a packet from its variable header on; a CONNECT from after its protocol level.
    fn packet(
        &self,
        packet_type: PacketType,
        flags: u8,
        version: Version,
        reader: &mut Reader<'_>,
    ) -> Result<Packet, DecodeError> {
        Ok(match packet_type {
            PacketType::Connect => Packet::Connect(Box::new(Connect::decode(reader, version)?)),
            PacketType::ConnAck => Packet::ConnAck(Box::new(ConnAck::decode(reader, version)?)),
            PacketType::Publish => Packet::Publish(Publish::decode(reader, flags, version, self.sender)?),
            PacketType::PubAck => Packet::PubAck(Ack::decode(reader, Carrier::PubAck, version)?),
            PacketType::PubRec => Packet::PubRec(Ack::decode(reader, Carrier::PubRec, version)?),
            PacketType::PubRel => Packet::PubRel(Ack::decode(reader, Carrier::PubRel, version)?),
            PacketType::PubComp => Packet::PubComp(Ack::decode(reader, Carrier::PubComp, version)?),
            PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(reader, version)?),
            PacketType::SubAck => Packet::SubAck(SubAck::decode(reader, version)?),
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(reader, version)?),
            PacketType::UnsubAck => Packet::UnsubAck(UnsubAck::decode(reader, version)?),
            PacketType::PingReq => Packet::PingReq,
            PacketType::PingResp => Packet::PingResp,
            PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(reader, version, self.sender)?),
            PacketType::Auth => Packet::Auth(Auth::decode(reader)?),
        })
    }
}

/// Returns the low four bits of the first byte, for all types but PUBLISH (table 2-2).
fn fixed_flags(packet: PacketType) -> u8 {
    match packet {
        PacketType::PubRel | PacketType::Subscribe | PacketType::Unsubscribe => 0b0010,
        _ => 0,
    }
}

/// Appends a packet to `out`, without what the version does not have, such as MQTT 5 properties for a 3.1.1 receiver.
/// A CONNECT is written in its own version.
///
/// # Errors
///
/// MQTT cannot express the packet; then `out` is unchanged.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
    if let Packet::Publish(publish) = packet {
        return publish.encode(version, out);
    }
    let packet_type = packet.packet_type();
    let mut length = Length::default();
    write_body(packet, version, &mut length)?;
    let remaining = wire::length_prefix(packet_type, length.0)?;
    out.reserve(1 + wire::variable_byte_integer_len(remaining) + length.0);
    out.u8((packet_type as u8) << 4 | fixed_flags(packet_type));
    out.variable_byte_integer(remaining);
    write_body(packet, version, out)
}

/// Writes variable header and payload.
fn write_body(packet: &Packet, version: Version, out: &mut dyn Sink) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect.write(out),
        Packet::ConnAck(connack) => connack.write(version, out),
        // PUBLISH is written separately, without counting first.
        Packet::Publish(_) | Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            ack.write(packet.packet_type(), version, out)
        }
        Packet::Subscribe(subscribe) => subscribe.write(version, out),
        Packet::SubAck(suback) => suback.write(version, out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.write(version, out),
        Packet::UnsubAck(unsuback) => unsuback.write(version, out),
        Packet::Disconnect(disconnect) => disconnect.write(version, out),
        Packet::Auth(auth) => auth.write(version, out),
    }
}
