//! The named packets of `tests/vectors/mqtt_packets.json`, which the end-to-end tests send too.

use std::collections::BTreeSet;

use sekisho_mqtt::{DecodeError, PacketType, Sender, Version};
use serde::Deserialize;

use crate::{decode, decoder, encoded};

#[derive(Deserialize)]
struct Vector {
    name: String,
    version: String,
    direction: String,
    hex: String,
    valid: bool,
    /// The statement or section that the packet follows or breaks.
    why: String,
    /// Whether our encoder writes the same bytes, which are the shortest form.
    #[serde(default = "yes")]
    canonical: bool,
    /// The variant of `DecodeError`.
    error: Option<String>,
    /// The reason code of the answer.
    reason: Option<u8>,
}

fn yes() -> bool {
    true
}

impl Vector {
    fn version(&self) -> Version {
        match self.version.as_str() {
            "3.1.1" => Version::V311,
            "5" => Version::V5,
            other => panic!("{}: unknown version {other}", self.name),
        }
    }

    fn sender(&self) -> Sender {
        match self.direction.as_str() {
            "client_to_server" => Sender::Client,
            "server_to_client" => Sender::Server,
            other => panic!("{}: unknown direction {other}", self.name),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        (0..self.hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&self.hex[at..at + 2], 16).expect("hexadecimal digits"))
            .collect()
    }
}

fn vectors() -> Vec<Vector> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/mqtt_packets.json");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    serde_json::from_str(&text).expect("the vectors are a list of packets")
}

/// The name of an error's variant, without its fields.
fn variant(error: DecodeError) -> String {
    format!("{error:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn valid_packets_decode_and_encode_to_the_same_bytes() {
    for vector in vectors().iter().filter(|vector| vector.valid) {
        let name = format!("{} ({})", vector.name, vector.version);
        let bytes = vector.bytes();
        let packet = decode(vector.sender(), vector.version(), &bytes)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .unwrap_or_else(|| panic!("{name}: more bytes wanted"));
        let again = encoded(&packet, vector.version());
        assert_eq!(again == bytes, vector.canonical, "{name}: {again:02x?}");
        assert_eq!(decode(vector.sender(), vector.version(), &again).unwrap(), Some(packet), "{name}");
    }
}

#[test]
fn malformed_packets_are_refused_with_the_reason_of_the_vector() {
    for vector in vectors().iter().filter(|vector| !vector.valid) {
        let name = format!("{} ({}, {}, {})", vector.name, vector.version, vector.direction, vector.why);
        match decode(vector.sender(), vector.version(), &vector.bytes()) {
            Ok(packet) => panic!("{name}: taken as {packet:?}"),
            Err(error) => {
                assert_eq!(Some(variant(error)), vector.error, "{name}: {error}");
                assert_eq!(Some(error.reason().byte()), vector.reason, "{name}: {error}");
            }
        }
    }
}

#[test]
fn an_incomplete_packet_waits_for_more_bytes_or_is_refused_early() {
    for vector in vectors().iter().filter(|vector| vector.valid) {
        let bytes = vector.bytes();
        for cut in 0..bytes.len() {
            let mut buffer = bytes::BytesMut::from(&bytes[..cut]);
            let decoded = decoder(vector.sender(), vector.version()).decode(&mut buffer);
            assert_eq!(decoded, Ok(None), "{} cut at {cut}", vector.name);
            assert_eq!(buffer, &bytes[..cut], "a packet that waits stays in the buffer");
        }
    }
}

#[test]
fn every_packet_of_both_versions_has_a_valid_and_a_malformed_example() {
    let mut seen = BTreeSet::new();
    for vector in vectors() {
        seen.insert((vector.version.clone(), vector.bytes()[0] >> 4, vector.valid));
    }
    for version in ["3.1.1", "5"] {
        for packet in PacketType::ALL {
            let number = packet as u8;
            if packet != PacketType::Auth || version == "5" {
                assert!(seen.contains(&(version.into(), number, true)), "{packet} {version}: no valid one");
            }
            assert!(seen.contains(&(version.into(), number, false)), "{packet} {version}: no malformed one");
        }
    }
}
