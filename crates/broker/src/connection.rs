//! The state of one connection.

use std::sync::Arc;

use sekisho_mqtt::{PacketId, TopicName, Version};

use crate::authority::{Action, Authority};
use crate::keys::SessionKey;
use crate::lifecycle::Identity;
use crate::limits::{RULE_PREFIX_BYTES, TOPIC_ALIASES, TOPIC_BYTES};
use crate::message::Source;
use crate::outbox::Outbox;
use crate::rate::Rate;
use crate::refusal::Refusal;
use crate::will::Will;

/// From an accepted CONNECT to the end of the connection.
pub struct Connection {
    pub session: SessionKey,
    pub version: Version,
    pub outbox: Arc<Outbox>,
    /// QoS 1 messages that may be unacknowledged: its Receive Maximum or AWS's 100, whichever is less.
    pub window: usize,
    /// The client's Maximum Packet Size, when it announced one.
    pub maximum_packet_size: Option<u32>,
    pub permissions: Permissions,
    pub identity: Arc<Identity>,
    pub source: Arc<Source>,
    /// Of its lifecycle events.
    pub version_number: u64,
    pub will: Option<Box<Will>>,
    /// Packets from the client whose answer waits for a record to be durable.
    pub unanswered: Vec<PacketId>,
    /// Whether reading is paused because there are too many of them (MQTT 3.1.1).
    pub is_paused: bool,
    pub publishes: Rate,
    aliases: Vec<Option<TopicName>>,
}

impl Connection {
    /// Makes the state of a connection right after CONNECT.
    #[allow(clippy::too_many_arguments, reason = "called once, with each argument named alike")]
    pub fn new(
        session: SessionKey,
        version: Version,
        outbox: Arc<Outbox>,
        window: usize,
        maximum_packet_size: Option<u32>,
        authority: Arc<dyn Authority>,
        identity: Arc<Identity>,
        source: Arc<Source>,
        version_number: u64,
        will: Option<Box<Will>>,
    ) -> Connection {
        Connection {
            session,
            version,
            outbox,
            window,
            maximum_packet_size,
            permissions: Permissions::new(authority),
            identity,
            source,
            version_number,
            will,
            unanswered: Vec::new(),
            is_paused: false,
            publishes: Rate::default(),
            aliases: Vec::new(),
        }
    }

    /// Returns the topic of a PUBLISH: its own, or that of its alias (MQTT 5 section 3.3.2.3.4).
    ///
    /// # Errors
    ///
    /// The alias is out of range (0x94) or has no topic yet (0x82); or the text is no topic name.
    pub fn resolve_topic(
        &mut self,
        text: sekisho_mqtt::Utf8,
        alias: Option<u16>,
    ) -> Result<TopicName, Refusal> {
        let Some(alias) = alias else {
            return TopicName::new(text).map_err(|_| Refusal::TopicInvalid);
        };
        if alias == 0 || alias > TOPIC_ALIASES {
            return Err(Refusal::TopicAliasInvalid);
        }
        let index = usize::from(alias - 1);
        if text.is_empty() {
            return self.aliases.get(index).cloned().flatten().ok_or(Refusal::TopicAliasUnknown);
        }
        // Detached: it stays for as long as the connection does.
        let topic = TopicName::new(text.detached()).map_err(|_| Refusal::TopicInvalid)?;
        // A longer one is refused, so it is not kept.
        if topic.len() > TOPIC_BYTES + RULE_PREFIX_BYTES {
            return Ok(topic);
        }
        if self.aliases.len() <= index {
            self.aliases.resize(index + 1, None);
        }
        self.aliases[index] = Some(topic.clone());
        Ok(topic)
    }
}

/// The connection's authority, with its last answer.
pub struct Permissions {
    authority: Arc<dyn Authority>,
    receives_everything: bool,
    is_constant: bool,
    /// The last topic asked about and the answer: a stream of messages on one topic asks once. The text is compared in
    /// full, since a collision of hashes must not decide a permission.
    last_topic: String,
    last_answer: bool,
}

/// An answer about `iot:Receive`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receive {
    Allowed,
    /// `asked`: the authority was asked for it, so it is reported.
    Denied {
        asked: bool,
    },
}

impl Permissions {
    pub fn new(authority: Arc<dyn Authority>) -> Permissions {
        Permissions {
            receives_everything: authority.receives_everything(),
            is_constant: authority.is_constant(),
            authority,
            last_topic: String::new(),
            last_answer: false,
        }
    }

    pub fn allows(&self, action: Action<'_>) -> bool {
        self.authority.allows(action)
    }

    /// Returns whether the client may receive a message on the topic; called at every delivery (policy actions page).
    #[inline]
    pub fn may_receive(&mut self, topic: &str) -> Receive {
        if self.receives_everything { Receive::Allowed } else { self.ask_receive(topic) }
    }

    fn ask_receive(&mut self, topic: &str) -> Receive {
        // No topic is empty, so there is no last topic in the beginning.
        let known = self.is_constant && self.last_topic == topic;
        if !known {
            self.last_answer = self.authority.allows(Action::Receive(topic));
            self.last_topic.clear();
            self.last_topic.push_str(topic);
        }
        if self.last_answer { Receive::Allowed } else { Receive::Denied { asked: !known } }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Counting(AtomicUsize, bool);

    impl Authority for Counting {
        fn allows(&self, action: Action<'_>) -> bool {
            self.0.fetch_add(1, Ordering::Relaxed);
            action == Action::Receive("a")
        }

        fn is_constant(&self) -> bool {
            self.1
        }
    }

    #[test]
    fn a_constant_authority_is_asked_once_for_a_run_of_one_topic() {
        let authority = Arc::new(Counting(AtomicUsize::new(0), true));
        let mut permissions = Permissions::new(authority.clone());
        assert_eq!(permissions.may_receive("a"), Receive::Allowed);
        assert_eq!(permissions.may_receive("a"), Receive::Allowed);
        assert_eq!(permissions.may_receive("b"), Receive::Denied { asked: true });
        assert_eq!(permissions.may_receive("b"), Receive::Denied { asked: false });
        assert_eq!(authority.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn an_authority_that_depends_on_time_is_asked_every_time() {
        let authority = Arc::new(Counting(AtomicUsize::new(0), false));
        let mut permissions = Permissions::new(authority.clone());
        for _ in 0..3 {
            assert_eq!(permissions.may_receive("a"), Receive::Allowed);
        }
        assert_eq!(authority.0.load(Ordering::Relaxed), 3);
    }
}
