//! [`Utf8`]: an MQTT string, validated when it is made, with cheap clones.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;
use thiserror::Error;

/// An MQTT "UTF-8 Encoded String" (section 1.5.4): valid UTF-8, without U+0000, at most 65 535 bytes.
///
/// It is backed by [`Bytes`], so a decoded string is a slice of its packet, and a clone copies no text.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8(ByteString);

/// Why bytes are not an MQTT string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Utf8Error {
    /// Not UTF-8; surrogates included [MQTT-1.5.4-1].
    #[error("not valid UTF-8 [MQTT-1.5.4-1]")]
    Invalid,
    /// Contains the character U+0000 [MQTT-1.5.4-2].
    #[error("the character U+0000 is not allowed [MQTT-1.5.4-2]")]
    Nul,
    /// Longer than a two-byte length can express (section 1.5.4).
    #[error("{0} bytes where 65535 is the longest an MQTT string can be (section 1.5.4)")]
    TooLong(usize),
}

impl Utf8 {
    /// Longest string, in bytes, that MQTT can carry.
    pub const MAX_LEN: usize = u16::MAX as usize;

    /// Returns the empty string.
    pub const fn new() -> Utf8 {
        Utf8(ByteString::new())
    }

    /// Makes a string of static text. `None` if it is not an MQTT string.
    pub fn from_static(text: &'static str) -> Option<Utf8> {
        check(text).ok()?;
        Some(Utf8(ByteString::from_static(text)))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the bytes, shared.
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }

    /// Returns a copy with memory of its own, to keep long after the packet.
    pub fn detached(&self) -> Utf8 {
        Utf8(ByteString::from(self.as_str()))
    }
}

fn check(text: &str) -> Result<(), Utf8Error> {
    if text.len() > Utf8::MAX_LEN {
        return Err(Utf8Error::TooLong(text.len()));
    }
    if text.as_bytes().contains(&0) {
        return Err(Utf8Error::Nul);
    }
    Ok(())
}

impl TryFrom<Bytes> for Utf8 {
    type Error = Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Utf8, Utf8Error> {
        let text = ByteString::try_from(bytes).map_err(|_| Utf8Error::Invalid)?;
        check(&text)?;
        Ok(Utf8(text))
    }
}

impl TryFrom<&str> for Utf8 {
    type Error = Utf8Error;

    fn try_from(text: &str) -> Result<Utf8, Utf8Error> {
        check(text)?;
        Ok(Utf8(ByteString::from(text)))
    }
}

impl TryFrom<String> for Utf8 {
    type Error = Utf8Error;

    fn try_from(text: String) -> Result<Utf8, Utf8Error> {
        check(&text)?;
        Ok(Utf8(ByteString::from(text)))
    }
}

impl Deref for Utf8 {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8 {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Utf8 {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Utf8 {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Utf8 {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl Hash for Utf8 {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Like `str`, so that a map with `Utf8` keys can be searched with a `&str`.
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Utf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Utf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_utf8_without_nul_and_fits_a_two_byte_length() {
        assert_eq!(Utf8::try_from("dt/温度").unwrap(), "dt/温度");
        assert_eq!(Utf8::try_from(Bytes::from_static(b"\xc3\x28")), Err(Utf8Error::Invalid));
        // A surrogate half, D800, in the three-byte form that CESU-8 would use.
        assert_eq!(Utf8::try_from(Bytes::from_static(b"\xed\xa0\x80")), Err(Utf8Error::Invalid));
        assert_eq!(Utf8::try_from("a\0b"), Err(Utf8Error::Nul));
        assert_eq!(Utf8::try_from("x".repeat(65_536)), Err(Utf8Error::TooLong(65_536)));
        assert_eq!(Utf8::try_from("x".repeat(65_535)).unwrap().len(), 65_535);
    }

    #[test]
    fn a_decoded_string_shares_the_bytes_it_came_in_until_detached() {
        let packet = Bytes::from(b"hello, world".to_vec());
        let text = Utf8::try_from(packet.slice(0..5)).unwrap();
        assert_eq!(text.as_bytes().as_ptr(), packet.as_ptr());
        assert_ne!(text.detached().as_bytes().as_ptr(), packet.as_ptr());
        assert_eq!(text, text.detached());
    }

    #[test]
    fn a_map_keyed_by_utf8_can_be_asked_with_str() {
        let map = std::collections::HashMap::from([(Utf8::try_from("client-1").unwrap(), 1)]);
        assert_eq!(map.get("client-1"), Some(&1));
    }
}
