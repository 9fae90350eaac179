//! Bytes off a connection: read in pieces or at once, they give the same packets and the same refusal, and
//! what was read can be written and read again.

#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use sekisho_mqtt::{DecodeError, Decoder, Limits, Packet, TopicFilter, Version, encode};

fn decoder(first: u8) -> Decoder {
    let limits = Limits { max_packet_size: 149_504 };
    let version = if first & 1 == 0 { Version::V311 } else { Version::V5 };
    let mut decoder = match first & 2 {
        0 => Decoder::new(limits),
        _ => return Decoder::for_client(limits, version),
    };
    // Without it the input has to begin with a CONNECT.
    if first & 4 != 0 {
        decoder.set_version(version);
    }
    decoder
}

fn read(first: u8, bytes: &[u8], piece: usize) -> (Vec<Packet>, Option<DecodeError>, Option<Version>) {
    let mut decoder = decoder(first);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buffer) {
                Ok(Some(packet)) => packets.push(packet),
                Ok(None) => break,
                Err(error) => {
                    assert!(error.reason().is_failure() && !error.to_string().is_empty());
                    return (packets, Some(error), decoder.version());
                }
            }
        }
    }
    (packets, None, decoder.version())
}

fuzz_target!(|input: &[u8]| {
    let [first, piece, bytes @ ..] = input else { return };
    let at_once = read(*first, bytes, bytes.len().max(1));
    assert_eq!(read(*first, bytes, usize::from(*piece) + 1), at_once);

    let (packets, _, version) = at_once;
    for packet in packets {
        let version = match &packet {
            Packet::Connect(connect) => connect.version,
            _ => version.expect("a packet was read after CONNECT"),
        };
        if let Packet::Subscribe(subscribe) = &packet {
            for filter in &subscribe.filters {
                assert_eq!(filter.filter, TopicFilter::new(filter.raw.clone()).ok());
            }
        }
        let mut out = BytesMut::new();
        encode(&packet, version, &mut out).expect("what was read can be written");
        let written: Bytes = out.clone().freeze();
        let mut again = decoder(*first | 4);
        again.set_version(version);
        assert_eq!(again.decode(&mut out), Ok(Some(packet)), "{written:02x?}");
    }
});
