//! Tests of the codec: named packets, round trips, another codec, and a simple topic matcher.

mod differential;
mod fitted;
mod round_trip;
mod strategies;
mod topics;
mod vectors;

use bytes::{Bytes, BytesMut};
use sekisho_mqtt::{DecodeError, Decoder, Limits, Packet, Sender, Version, encode};

/// Returns a decoder of an open connection that reads packets of `sender`.
fn decoder(sender: Sender, version: Version) -> Decoder {
    match sender {
        Sender::Server => Decoder::for_client(Limits::UNLIMITED, version),
        Sender::Client => {
            let mut decoder = Decoder::new(Limits::UNLIMITED);
            decoder.set_version(version);
            decoder
        }
    }
}

/// Decodes exactly one packet.
fn decode(sender: Sender, version: Version, bytes: &[u8]) -> Result<Option<Packet>, DecodeError> {
    let mut buffer = BytesMut::from(bytes);
    let packet = decoder(sender, version).decode(&mut buffer)?;
    if packet.is_some() {
        assert!(buffer.is_empty(), "bytes were left over");
    }
    Ok(packet)
}

fn encoded(packet: &Packet, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    encode(packet, version, &mut out).expect("the packet can be encoded");
    out.freeze()
}
