//! The fixed header (section 2.1), the packet size limit, and the way from bytes to [`Packet`] and back.

use bytes::{Bytes, BytesMut};

use crate::packet::{Packet, PacketType};
use crate::wire::{self, Length, Reader, Sink};
use crate::{DecodeError, EncodeError, Version};

/// What a [`Decoder`] takes at most.
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

/// Who sends the packets that a [`Decoder`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sender {
    /// We are the server.
    Client,
    /// We are the client.
    Server,
}

/// Turns what comes off a connection into packets, one direction of one connection.
///
/// After an error the decoder and the buffer are of no further use: answer with
/// [`DecodeError::reason`] where the protocol has an answer, and close (section 4.13).
#[derive(Debug, Clone)]
pub struct Decoder {
    limits: Limits,
    sender: Sender,
    /// Unknown until the CONNECT of the connection.
    version: Option<Version>,
}

impl Decoder {
    /// For a server: reads what a client sends. The CONNECT, which must come first, tells the version.
    pub fn new(limits: Limits) -> Decoder {
        Decoder { limits, sender: Sender::Client, version: None }
    }

    /// For a client: reads what a server sends in the version the client chose.
    pub fn for_client(limits: Limits, version: Version) -> Decoder {
        Decoder { limits, sender: Sender::Server, version: Some(version) }
    }

    /// Sets the version without a CONNECT, as when a connection is taken over in mid-life.
    pub fn set_version(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The version of the connection, once it is known.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next packet off the front of `buffer`; `Ok(None)` when it is not all there yet.
    ///
    /// Strings and payload of the packet are slices of the buffer; nothing is copied. The decoder reserves no
    /// memory: how far a buffer grows is for the reader of the socket to bound.
    ///
    /// # Errors
    ///
    /// What the peer did wrong, with the normative statement it broke.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Packet>, DecodeError> {
        let _ = (&self.limits, self.sender, buffer);
        unimplemented!()
    }
}

/// Appends a packet to `out`. What the version does not know (MQTT 5 properties for a 3.1.1 receiver, say) is
/// left out.
///
/// # Errors
///
/// The packet says what MQTT cannot; then `out` is as it was.
pub fn encode(packet: &Packet, version: Version, out: &mut BytesMut) -> Result<(), EncodeError> {
    let _ = (packet, version, out);
    unimplemented!()
}
