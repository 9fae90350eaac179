//! [`TopicName`] and [`TopicFilter`], section 4.7: validated when they are made.
//!
//! Matching is that of AWS IoT where it differs from MQTT: `sensor/#` does not match `sensor`
//! (AWS IoT Core Developer Guide, "MQTT", differences from the specifications).

use std::convert::Infallible;
use std::fmt;
use std::ops::Deref;

use thiserror::Error;

use crate::{Utf8, Utf8Error};

/// The topic that a message is published to: at least one character, no wildcards.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Utf8);

/// A topic filter: a topic with wildcards, perhaps shared (`$share/name/filter`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter {
    text: Utf8,
    /// Where the filter itself starts: after `$share/name/`, or 0.
    start: u16,
}

/// Why a text is not a topic name or not a topic filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// Not an MQTT string.
    #[error(transparent)]
    Text(#[from] Utf8Error),
    /// No characters [MQTT-4.7.3-1].
    #[error("at least one character is needed [MQTT-4.7.3-1]")]
    Empty,
    /// A wildcard in a topic name [MQTT-3.3.2-2].
    #[error("a topic name holds no + and no # [MQTT-3.3.2-2]")]
    WildcardInName,
    /// `#` that does not fill the last level [MQTT-4.7.1-1].
    #[error("# must be the whole of the last level [MQTT-4.7.1-1]")]
    MultiLevelWildcard,
    /// `+` that does not fill a level [MQTT-4.7.1-2].
    #[error("+ must be the whole of a level [MQTT-4.7.1-2]")]
    SingleLevelWildcard,
    /// A share name that is empty [MQTT-4.8.2-1] or contains a wildcard [MQTT-4.8.2-2].
    #[error("a share name has at least one character and no + or # [MQTT-4.8.2-1, MQTT-4.8.2-2]")]
    ShareName,
    /// No filter after the share name [MQTT-4.8.2-2].
    #[error("$share/name must be followed by / and a topic filter [MQTT-4.8.2-2]")]
    ShareFilter,
}

impl From<Infallible> for TopicError {
    fn from(never: Infallible) -> TopicError {
        match never {}
    }
}

/// Returns the text without `$aws/rules/<rule>/`, which AWS IoT's topic limits do not count (AWS General Reference,
/// "AWS IoT Core endpoints and quotas", message broker: topic size and slashes).
fn without_rule_prefix(text: &str) -> &str {
    text.strip_prefix("$aws/rules/").and_then(|rest| rest.split_once('/')).map_or(text, |(_, topic)| topic)
}

/// Counts slashes in pieces whose sum fits into a byte, so sixteen characters at a time: it runs for each PUBLISH.
fn slashes(text: &str) -> usize {
    let piece = |bytes: &[u8]| bytes.iter().fold(0_u8, |sum, byte| sum + u8::from(*byte == b'/'));
    text.as_bytes().chunks(usize::from(u8::MAX)).map(|bytes| usize::from(piece(bytes))).sum()
}

impl TopicName {
    /// Makes a topic name after checking the rules for it.
    ///
    /// # Errors
    ///
    /// Empty, wildcards, or not an MQTT string.
    pub fn new<T>(text: T) -> Result<TopicName, TopicError>
    where
        T: TryInto<Utf8>,
        TopicError: From<T::Error>,
    {
        let text = text.try_into()?;
        TopicName::check(&text)?;
        Ok(TopicName(text))
    }

    /// Checks the rules for topic names, without making one.
    ///
    /// # Errors
    ///
    /// Empty or wildcards.
    pub fn check(text: &str) -> Result<(), TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        if text.bytes().any(|byte| byte == b'+' || byte == b'#') {
            return Err(TopicError::WildcardInName);
        }
        Ok(())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the text as an MQTT string, shared.
    pub fn as_utf8(&self) -> &Utf8 {
        &self.0
    }

    /// Returns a copy with memory of its own, to keep long after the packet.
    pub fn detached(&self) -> TopicName {
        TopicName(self.0.detached())
    }

    /// Returns the levels between the slashes; empty ones are levels too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.0.split('/')
    }

    /// Returns the part that AWS IoT's limits on bytes and slashes count: all but `$aws/rules/<rule>/`.
    pub fn counted(&self) -> &str {
        without_rule_prefix(&self.0)
    }

    /// Returns the number of slashes in the [counted](TopicName::counted) part.
    pub fn slash_count(&self) -> usize {
        slashes(self.counted())
    }
}

impl TopicFilter {
    /// Makes a topic filter after checking the rules for it, those of shared subscriptions included.
    ///
    /// # Errors
    ///
    /// Empty, a misplaced wildcard, an incomplete `$share/…`, or not an MQTT string.
    pub fn new<T>(text: T) -> Result<TopicFilter, TopicError>
    where
        T: TryInto<Utf8>,
        TopicError: From<T::Error>,
    {
        let text = text.try_into()?;
        let start = if text == "$share" || text.starts_with("$share/") {
            let rest = text.get("$share/".len()..).unwrap_or_default();
            let (name, filter) = rest.split_once('/').ok_or(TopicError::ShareFilter)?;
            if name.is_empty() || name.contains(['+', '#']) {
                return Err(TopicError::ShareName);
            }
            if filter.is_empty() {
                return Err(TopicError::ShareFilter);
            }
            text.len() - filter.len()
        } else {
            0
        };
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let mut levels = text[start..].split('/');
        while let Some(level) = levels.next() {
            if level.contains('#') && (level != "#" || levels.next().is_some()) {
                return Err(TopicError::MultiLevelWildcard);
            }
            if level.contains('+') && level != "+" {
                return Err(TopicError::SingleLevelWildcard);
            }
        }
        Ok(TopicFilter { start: u16::try_from(start).expect("an MQTT string has at most 65535 bytes"), text })
    }

    /// Returns the whole text as subscribed, `$share/name/` included.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the whole text as an MQTT string, shared.
    pub fn as_utf8(&self) -> &Utf8 {
        &self.text
    }

    /// Returns the filter that topics are compared with: the text after `$share/name/`.
    pub fn filter(&self) -> &str {
        &self.text[usize::from(self.start)..]
    }

    /// Returns share name and filter of a shared subscription, section 4.8.2.
    pub fn shared(&self) -> Option<(&str, &str)> {
        let prefix = self.text[..usize::from(self.start)].strip_prefix("$share/")?;
        Some((prefix.strip_suffix('/')?, self.filter()))
    }

    /// Returns the levels of [`filter`](TopicFilter::filter); empty ones are levels too.
    pub fn levels(&self) -> std::str::Split<'_, char> {
        self.filter().split('/')
    }

    /// Returns whether there is a `+` or `#` level.
    pub fn has_wildcard(&self) -> bool {
        self.filter().bytes().any(|byte| byte == b'+' || byte == b'#')
    }

    /// Returns whether messages on the topic belong to the subscription.
    ///
    /// A leading wildcard does not match topics that start with `$` [MQTT-4.7.2-1]. `a/#` matches `a/` and
    /// `a/b` but, unlike in MQTT section 4.7.1.2, not `a`.
    pub fn matches(&self, topic: &str) -> bool {
        let filter = self.filter();
        if topic.starts_with('$') && filter.starts_with(['+', '#']) {
            return false;
        }
        let mut wanted = filter.split('/');
        let mut given = topic.split('/');
        loop {
            match (wanted.next(), given.next()) {
                (Some("#"), Some(_)) | (None, None) => return true,
                (Some("+"), Some(_)) => {}
                (Some(filter), Some(topic)) if filter == topic => {}
                _ => return false,
            }
        }
    }

    /// Returns the part that AWS IoT's limits on bytes and slashes count: all but `$share/<name>/` and
    /// `$aws/rules/<rule>/`.
    pub fn counted(&self) -> &str {
        without_rule_prefix(self.filter())
    }

    /// Returns the number of slashes in the [counted](TopicFilter::counted) part.
    pub fn slash_count(&self) -> usize {
        slashes(self.counted())
    }
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for TopicFilter {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl From<TopicName> for Utf8 {
    fn from(topic: TopicName) -> Utf8 {
        topic.0
    }
}

impl From<TopicFilter> for Utf8 {
    fn from(filter: TopicFilter) -> Utf8 {
        filter.text
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
