//! The data representations of section 1.5: reads and writes integers, strings and binary data.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::{BufMut, Bytes, BytesMut};

use crate::packet_type::PacketType;
use crate::property::{Carrier, PropertyId};
use crate::{DecodeError, EncodeError, PacketId, ReasonCode, UserProperties, Utf8};

/// The largest number that a variable byte integer can hold.
pub(crate) const VARIABLE_BYTE_INTEGER_MAX: u32 = 268_435_455;

/// Reads a variable byte integer at the start of `bytes`: its value and its length; `None` when it is incomplete.
///
/// Does not check for unnecessary bytes: MQTT 3.1.1 allows them, so each caller compares with
/// [`variable_byte_integer_len`].
pub(crate) fn variable_byte_integer(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(DecodeError::VariableByteIntegerTooLong) }
}

/// Returns the bytes of a number as a variable byte integer.
pub(crate) const fn variable_byte_integer_len(value: u32) -> usize {
    match value {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

/// Reads the fields of one packet, or of one property block inside it. Strings and binary data are
/// slices of the packet.
pub(crate) struct Reader<'a> {
    packet: &'a Bytes,
    at: usize,
    end: usize,
    packet_type: PacketType,
    /// Returns the error for a field that is incomplete.
    overrun: DecodeError,
}

impl<'a> Reader<'a> {
    /// Makes a reader of `packet` from `at`, where its variable header begins.
    pub(crate) fn new(packet: &'a Bytes, at: usize, packet_type: PacketType) -> Reader<'a> {
        Reader { packet, at, end: packet.len(), packet_type, overrun: DecodeError::Truncated(packet_type) }
    }

    /// Returns the number of bytes that are not read yet.
    pub(crate) fn remaining(&self) -> usize {
        self.end - self.at
    }

    /// Reads all remaining bytes.
    pub(crate) fn rest(&mut self) -> Bytes {
        let rest = self.packet.slice(self.at..self.end);
        self.at = self.end;
        rest
    }

    /// Checks that nothing follows the last field.
    pub(crate) fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            bytes => Err(DecodeError::TrailingBytes { packet: self.packet_type, bytes }),
        }
    }

    fn take(&mut self, count: usize) -> Result<usize, DecodeError> {
        if self.remaining() < count {
            return Err(self.overrun);
        }
        let at = self.at;
        self.at += count;
        Ok(at)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let at = self.take(N)?;
        let mut array = [0; N];
        array.copy_from_slice(&self.packet[at..at + N]);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn variable_byte_integer(&mut self) -> Result<u32, DecodeError> {
        let (value, len) = variable_byte_integer(&self.packet[self.at..self.end])?.ok_or(self.overrun)?;
        if len > variable_byte_integer_len(value) {
            return Err(DecodeError::VariableByteIntegerNotMinimal);
        }
        self.at += len;
        Ok(value)
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        let len = usize::from(self.u16()?);
        let at = self.take(len)?;
        Ok(self.packet.slice(at..at + len))
    }

    pub(crate) fn utf8(&mut self) -> Result<Utf8, DecodeError> {
        // [MQTT-1.5.4-1, MQTT-1.5.4-2]
        Utf8::try_from(self.binary()?).map_err(|error| DecodeError::Text { packet: self.packet_type, error })
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        // [MQTT-2.2.1-3]; for the answers it follows from [MQTT-2.2.1-5, MQTT-2.2.1-6].
        PacketId::new(self.u16()?).ok_or(DecodeError::PacketIdZero(self.packet_type))
    }

    pub(crate) fn reason_code(&mut self) -> Result<ReasonCode, DecodeError> {
        let code = self.u8()?;
        ReasonCode::from_byte(code)
            .filter(|reason| reason.may_travel_in(self.packet_type))
            .ok_or(DecodeError::ReasonCode { packet: self.packet_type, code })
    }

    /// Reads the property block that begins here.
    pub(crate) fn properties(&mut self, carrier: Carrier) -> Result<PropertyReader<'a>, DecodeError> {
        let len = self.variable_byte_integer()? as usize;
        let overrun = DecodeError::PropertyLength(self.packet_type);
        if len > self.remaining() {
            return Err(overrun);
        }
        let start = self.take(len)?;
        let fields = Reader {
            packet: self.packet,
            at: start,
            end: start + len,
            packet_type: self.packet_type,
            overrun,
        };
        Ok(PropertyReader { fields, carrier, seen: 0 })
    }
}

/// Reads a property block: first the next identifier, then its value.
pub(crate) struct PropertyReader<'a> {
    fields: Reader<'a>,
    carrier: Carrier,
    /// Bit n is set after the property with identifier n was read.
    seen: u64,
}

impl PropertyReader<'_> {
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.remaining() == 0
    }

    /// Reads the next identifier, which this carrier may have and which is not a repetition; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<PropertyId>, DecodeError> {
        if self.is_empty() {
            return Ok(None);
        }
        let identifier = self.fields.variable_byte_integer()?;
        let property =
            PropertyId::from_identifier(identifier).ok_or(DecodeError::UnknownProperty(identifier))?;
        if !property.may_travel_in(self.carrier) {
            return Err(self.not_allowed(property));
        }
        let bit = 1 << identifier;
        if self.seen & bit != 0 && !property.may_repeat_in(self.carrier) {
            return Err(DecodeError::DuplicateProperty(property));
        }
        self.seen |= bit;
        Ok(Some(property))
    }

    /// Returns the error for a property that this carrier cannot have.
    pub(crate) fn not_allowed(&self, property: PropertyId) -> DecodeError {
        DecodeError::PropertyNotAllowed(self.carrier, property)
    }

    /// Reads a byte that is 0 or 1.
    pub(crate) fn bool(&mut self, property: PropertyId) -> Result<bool, DecodeError> {
        match self.fields.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::PropertyValue(property, other.into())),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.fields.u16()
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.fields.u32()
    }

    /// Reads a receive maximum; zero is a protocol error (section 3.1.2.11.3).
    pub(crate) fn receive_maximum(&mut self) -> Result<NonZeroU16, DecodeError> {
        NonZeroU16::new(self.u16()?).ok_or(DecodeError::PropertyValue(PropertyId::ReceiveMaximum, 0))
    }

    /// Reads a maximum packet size; zero is a protocol error (section 3.1.2.11.4).
    pub(crate) fn maximum_packet_size(&mut self) -> Result<NonZeroU32, DecodeError> {
        NonZeroU32::new(self.u32()?).ok_or(DecodeError::PropertyValue(PropertyId::MaximumPacketSize, 0))
    }

    /// Reads a subscription identifier; zero is a protocol error (section 3.8.2.1.2).
    pub(crate) fn subscription_identifier(&mut self) -> Result<u32, DecodeError> {
        match self.fields.variable_byte_integer()? {
            0 => Err(DecodeError::PropertyValue(PropertyId::SubscriptionIdentifier, 0)),
            identifier => Ok(identifier),
        }
    }

    pub(crate) fn utf8(&mut self) -> Result<Utf8, DecodeError> {
        self.fields.utf8()
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, DecodeError> {
        self.fields.binary()
    }

    pub(crate) fn user_property(&mut self) -> Result<(Utf8, Utf8), DecodeError> {
        Ok((self.fields.utf8()?, self.fields.utf8()?))
    }

    /// Reads the whole block of a packet that has only a reason string and user properties.
    pub(crate) fn reason_string_and_user_properties(
        mut self,
    ) -> Result<(Option<Utf8>, UserProperties), DecodeError> {
        let mut reason_string = None;
        let mut user_properties = UserProperties::new();
        while let Some(property) = self.next()? {
            match property {
                PropertyId::ReasonString => reason_string = Some(self.utf8()?),
                PropertyId::UserProperty => user_properties.push(self.user_property()?),
                other => return Err(self.not_allowed(other)),
            }
        }
        Ok((reason_string, user_properties))
    }
}

/// The destination of encoded bytes: a buffer, or a [`Length`] that counts them. One function per packet writes to
/// both, so a written length is always that of the bytes after it.
pub(crate) trait Sink {
    fn put(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.put(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.put(&value.to_be_bytes());
    }

    /// `value` must be at most [`VARIABLE_BYTE_INTEGER_MAX`].
    fn variable_byte_integer(&mut self, mut value: u32) {
        debug_assert!(value <= VARIABLE_BYTE_INTEGER_MAX);
        while value > 0x7F {
            self.u8((value & 0x7F) as u8 | 0x80);
            value >>= 7;
        }
        self.u8(value as u8);
    }

    fn text(&mut self, text: &str) {
        debug_assert!(text.len() <= Utf8::MAX_LEN);
        self.u16(text.len() as u16);
        self.put(text.as_bytes());
    }

    fn binary(&mut self, packet: PacketType, bytes: &[u8]) -> Result<(), EncodeError> {
        let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::TooLong(packet, bytes.len()))?;
        self.u16(len);
        self.put(bytes);
        Ok(())
    }

    fn bool_property(&mut self, property: PropertyId, value: bool) {
        self.u8(property as u8);
        self.u8(value.into());
    }

    fn u16_property(&mut self, property: PropertyId, value: u16) {
        self.u8(property as u8);
        self.u16(value);
    }

    fn u32_property(&mut self, property: PropertyId, value: u32) {
        self.u8(property as u8);
        self.u32(value);
    }

    fn text_property(&mut self, property: PropertyId, value: Option<&Utf8>) {
        if let Some(text) = value {
            self.u8(property as u8);
            self.text(text);
        }
    }

    fn binary_property(
        &mut self,
        packet: PacketType,
        property: PropertyId,
        value: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        if let Some(bytes) = value {
            self.u8(property as u8);
            self.binary(packet, bytes)?;
        }
        Ok(())
    }

    fn user_properties(&mut self, properties: &[(Utf8, Utf8)]) {
        for (name, value) in properties {
            self.u8(PropertyId::UserProperty as u8);
            self.text(name);
            self.text(value);
        }
    }

    fn reason_code(&mut self, packet: PacketType, reason: ReasonCode) -> Result<(), EncodeError> {
        if !reason.may_travel_in(packet) {
            return Err(EncodeError::Forbidden(packet, "a reason code of another packet (section 2.4)"));
        }
        self.u8(reason.byte());
        Ok(())
    }

    fn authentication(
        &mut self,
        packet: PacketType,
        method: Option<&Utf8>,
        data: Option<&Bytes>,
    ) -> Result<(), EncodeError> {
        if data.is_some() && method.is_none() {
            return Err(EncodeError::Forbidden(packet, "authentication data needs an authentication method"));
        }
        self.text_property(PropertyId::AuthenticationMethod, method);
        self.binary_property(packet, PropertyId::AuthenticationData, data)
    }

    fn subscription_identifier(&mut self, packet: PacketType, identifier: u32) -> Result<(), EncodeError> {
        if !(1..=VARIABLE_BYTE_INTEGER_MAX).contains(&identifier) {
            return Err(EncodeError::Forbidden(packet, "a subscription identifier is 1 to 268435455"));
        }
        self.u8(PropertyId::SubscriptionIdentifier as u8);
        self.variable_byte_integer(identifier);
        Ok(())
    }
}

/// Returns a length for a length field. Fails when a variable byte integer cannot express it.
pub(crate) fn length_prefix(packet: PacketType, len: usize) -> Result<u32, EncodeError> {
    u32::try_from(len)
        .ok()
        .filter(|len| *len <= VARIABLE_BYTE_INTEGER_MAX)
        .ok_or(EncodeError::TooLong(packet, len))
}

impl Sink for BytesMut {
    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// Counts bytes instead of storing them.
#[derive(Default)]
pub(crate) struct Length(pub(crate) usize);

impl Sink for Length {
    fn put(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// Writes a property block: its length, then what `write` writes.
pub(crate) fn property_block(
    packet: PacketType,
    out: &mut dyn Sink,
    write: impl Fn(&mut dyn Sink) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let mut length = Length::default();
    write(&mut length)?;
    out.variable_byte_integer(length_prefix(packet, length.0)?);
    write(out)
}

/// Writes the property block of a packet that has only a reason string and user properties.
pub(crate) fn reason_string_and_user_properties(
    packet: PacketType,
    out: &mut dyn Sink,
    reason_string: Option<&Utf8>,
    user_properties: &[(Utf8, Utf8)],
) -> Result<(), EncodeError> {
    property_block(packet, out, |out| {
        out.text_property(PropertyId::ReasonString, reason_string);
        out.user_properties(user_properties);
        Ok(())
    })
}
