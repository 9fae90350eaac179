//! The receivers of a message, as the topic tree names them.

use sekisho_mqtt::QoS;

use crate::input::TapId;
use crate::keys::{GroupKey, SessionKey};
use crate::session::SubscriptionOptions;

/// The receiver that a filter in the topic tree stands for.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    Session(SessionKey, SubscriptionOptions),
    Group(GroupKey),
    Tap(TapId),
}

/// A session that receives a message, with the options of its matching subscriptions taken together.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    pub session: SessionKey,
    pub qos: QoS,
    pub retain_as_published: bool,
}

/// The receivers that the topic tree names for one topic; kept by the broker for the next publication, for its memory.
#[derive(Debug, Default)]
pub struct Matches {
    pub hits: Vec<Hit>,
    pub groups: Vec<GroupKey>,
    pub taps: Vec<TapId>,
}
