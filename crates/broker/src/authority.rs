//! Requests for permission. An [`Authority`] knows policies; the broker does not.

/// A request for permission, in the words of AWS IoT policy actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action<'a> {
    /// `iot:Connect` on `client/<client_id>`, with what the policy variables `iot:ConnectAttributes` and
    /// `iot:LastWillTopic` are made of.
    Connect {
        /// The client id, the assigned one if the client sent none.
        client_id: &'a str,
        /// Whether the session is to outlive the connection: `PersistentConnect`.
        persistent: bool,
        /// The will topic, when there is a will: `LastWill`.
        will_topic: Option<&'a str>,
    },
    /// `iot:Publish` on `topic/<topic>`.
    Publish(&'a str),
    /// `iot:RetainPublish` on `topic/<topic>`. Asked in addition to `Publish`.
    RetainPublish(&'a str),
    /// `iot:Subscribe` on `topicfilter/<filter>`, shared filters with their `$share/<name>/`.
    Subscribe(&'a str),
    /// `iot:Receive` on `topic/<topic>`. Asked at every delivery.
    Receive(&'a str),
}

/// Decides what the principal of a connection may do. One per connection, replaced when its policies change.
///
/// The broker is borrowed during a call, so an implementation must be quick and must not call the broker.
pub trait Authority: Send + Sync {
    /// Decides one request.
    fn allows(&self, action: Action<'_>) -> bool;

    /// Returns whether `Receive` is allowed on every topic, so that deliveries need not ask. Called once.
    ///
    /// `true` for the common statement `Allow iot:Receive` (or `iot:*`) on `*` or `topic/*` without conditions and with
    /// no Deny beside it. When in doubt, `false`.
    fn receives_everything(&self) -> bool {
        false
    }

    /// Returns whether the answer to a `Receive` may be cached while this authority is in place. `false` if a policy
    /// depends on the time. Called once.
    fn is_constant(&self) -> bool {
        true
    }
}
