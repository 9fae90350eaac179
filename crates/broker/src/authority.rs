//! What the broker asks about permission. Whoever answers knows policies; the broker does not.

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

/// May the principal of a connection do this? One per connection, replaced when its policies change.
///
/// Called with the broker borrowed, so an answer must be quick and must not call back.
pub trait Authority: Send + Sync {
    /// Decides one request.
    fn allows(&self, action: Action<'_>) -> bool;

    /// Whether `Receive` is allowed on every topic there is, so that deliveries need not ask. Asked once.
    ///
    /// `true` for the common statement `Allow iot:Receive` (or `iot:*`) on `*` or `topic/*` without conditions and with
    /// no Deny beside it. When in doubt, `false`.
    fn receives_everything(&self) -> bool {
        false
    }

    /// Whether the answer to a `Receive` may be remembered while this authority is in place. `false` when a policy
    /// depends on the time. Asked once.
    fn is_constant(&self) -> bool {
        true
    }
}
