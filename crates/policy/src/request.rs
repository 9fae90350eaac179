//! A request: an action on a resource, and the facts about the connection.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// Declares the actions that this engine indexes, with their names, once.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),+ $(,)?) => {
        /// An action of AWS IoT Core policies (Developer Guide, "AWS IoT Core policy actions").
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Action {
            $($(#[$doc])* $variant,)+
            /// Any other, by its full name such as `iot:CreateThing`.
            Other(Box<str>),
        }

        impl Action {
            /// Every action but [`Action::Other`], in the order of [`Action::index`].
            pub(crate) const KNOWN: &[Action] = &[$(Action::$variant),+];

            /// Its place in [`Action::KNOWN`]; none for [`Action::Other`].
            pub(crate) fn index(&self) -> Option<usize> {
                enum Place { $($variant),+ }
                match self {
                    $(Action::$variant => Some(Place::$variant as usize),)+
                    Action::Other(_) => None,
                }
            }

            /// The full name, such as `iot:Connect`.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Action::$variant => $name,)+
                    Action::Other(name) => name,
                }
            }

            /// The action of this full name. Case plays no part, as in IAM.
            pub fn from_name(name: &str) -> Action {
                $(if name.eq_ignore_ascii_case($name) { return Action::$variant; })+
                Action::Other(name.into())
            }
        }
    };
}

actions! {
    /// Open a connection; resource `client/<client id>`.
    Connect = "iot:Connect",
    /// Publish; resource `topic/<topic name>`.
    Publish = "iot:Publish",
    /// Publish with RETAIN, beside [`Action::Publish`]; resource `topic/<topic name>`.
    RetainPublish = "iot:RetainPublish",
    /// Subscribe; resource `topicfilter/<topic filter>`.
    Subscribe = "iot:Subscribe",
    /// Receive a message; resource `topic/<topic name>`.
    Receive = "iot:Receive",
    /// Read one retained message; resource `topic/<topic name>`.
    GetRetainedMessage = "iot:GetRetainedMessage",
    /// List retained messages; resource `*`.
    ListRetainedMessages = "iot:ListRetainedMessages",
    /// Read a shadow over HTTPS; resource `thing/<thing>` or `thing/<thing>/<shadow>`.
    GetThingShadow = "iot:GetThingShadow",
    /// Change a shadow over HTTPS; resource as [`Action::GetThingShadow`].
    UpdateThingShadow = "iot:UpdateThingShadow",
    /// Delete a shadow over HTTPS; resource as [`Action::GetThingShadow`].
    DeleteThingShadow = "iot:DeleteThingShadow",
    /// List the named shadows of a thing; resource `*`.
    ListNamedShadowsForThing = "iot:ListNamedShadowsForThing",
    /// End a connection; resource `client/<client id>`.
    DeleteConnection = "iot:DeleteConnection",
    /// Read the state of a connection; resource `client/<client id>`.
    GetConnection = "iot:GetConnection",
    /// Read the subscriptions of a connection; resource `client/<client id>`.
    ListSubscriptions = "iot:ListSubscriptions",
    /// Send a message to one client; resource `client/<client id>`.
    SendDirectMessage = "iot:SendDirectMessage",
    /// Read a job execution over HTTPS; resource `thing/<thing>`. Policies may say `iot:` instead.
    DescribeJobExecution = "iotjobsdata:DescribeJobExecution",
    /// List pending job executions over HTTPS; resource `thing/<thing>`. Policies may say `iot:` instead.
    GetPendingJobExecutions = "iotjobsdata:GetPendingJobExecutions",
    /// Start the next job execution over HTTPS; resource `thing/<thing>`. Policies may say `iot:` instead.
    StartNextPendingJobExecution = "iotjobsdata:StartNextPendingJobExecution",
    /// Report on a job execution over HTTPS; resource `thing/<thing>`. Policies may say `iot:` instead.
    UpdateJobExecution = "iotjobsdata:UpdateJobExecution",
    /// Ask for credentials of a role alias; resource `rolealias/<alias>`.
    AssumeRoleWithCertificate = "iot:AssumeRoleWithCertificate",
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// One request to decide.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The action.
    pub action: &'a Action,
    /// The resource: a whole ARN, or `*` for an action that has no resource.
    pub resource: &'a str,
    /// The facts about the connection or caller.
    pub facts: &'a Facts,
    /// The time of the request, in Unix seconds.
    pub now: i64,
}

/// What is known about a connection: the values of policy variables and condition keys.
///
/// What is `None` or empty is missing from the request: a variable has no value and a condition sees no key. Build
/// it once per connection; the shared parts are counted references. `connect_attributes` and `last_will_topic`
/// belong to the `iot:Connect` decision alone and are cleared after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `iot:ClientId`. None over HTTPS.
    pub client_id: Option<Arc<str>>,
    /// `aws:SourceIp`.
    pub source_ip: Option<SourceIp>,
    /// `iot:DomainName`: the SNI host name.
    pub domain_name: Option<Arc<str>>,
    /// `iot:Connection.Thing.*`: the thing that this connection is associated with.
    pub thing: Option<Arc<Thing>>,
    /// `iot:Connection.Thing.IsAttached`: false, not None, for an MQTT connection that is associated with no thing.
    pub is_attached: Option<bool>,
    /// `iot:Certificate.*` and `iot:CertificateId`: names with their values in order.
    pub certificate: Arc<[(String, Vec<String>)]>,
    /// `iot:ConnectAttributes`.
    pub connect_attributes: Option<ConnectAttributes>,
    /// `iot:LastWillTopic`: the ARN `…:topic/<will topic>`.
    pub last_will_topic: Option<String>,
    /// `aws:SecureTransport`.
    pub secure_transport: Option<bool>,
    /// Any other condition key, such as `iot:Topic`, with its values.
    pub extra: Vec<(String, Vec<String>)>,
}

/// The thing of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// `iot:Connection.Thing.ThingName`.
    pub name: String,
    /// `iot:Connection.Thing.ThingTypeName`.
    pub type_name: Option<String>,
    /// `iot:Connection.Thing.Attributes[…]`.
    pub attributes: BTreeMap<String, String>,
}

/// What a CONNECT asks for beside the connection (Developer Guide, "Connect policy examples").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectAttributes {
    /// A session that outlives the connection.
    pub persistent_connect: bool,
    /// A will.
    pub last_will: bool,
}

impl ConnectAttributes {
    pub(crate) fn names(self) -> &'static [&'static str] {
        match (self.persistent_connect, self.last_will) {
            (false, false) => &[],
            (true, false) => &["PersistentConnect"],
            (false, true) => &["LastWill"],
            (true, true) => &["PersistentConnect", "LastWill"],
        }
    }
}

/// A client's address, with its text made once so that no decision has to make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceIp {
    pub(crate) address: IpAddr,
    pub(crate) text: Box<str>,
}

impl From<IpAddr> for SourceIp {
    /// An IPv4 address that came through an IPv6 socket (`::ffff:192.0.2.1`) becomes the IPv4 address it is.
    fn from(address: IpAddr) -> SourceIp {
        let address = address.to_canonical();
        SourceIp { address, text: address.to_string().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_one_name_in_any_case() {
        for (index, action) in Action::KNOWN.iter().enumerate() {
            assert_eq!(Action::from_name(action.as_str()), *action);
            assert_eq!(Action::from_name(&action.as_str().to_uppercase()), *action);
            assert_eq!(action.index(), Some(index));
        }
        assert_eq!(Action::from_name("iot:CreateThing"), Action::Other("iot:CreateThing".into()));
        assert_eq!(Action::from_name("iot:CreateThing").index(), None);
    }

    #[test]
    fn a_mapped_ipv4_address_is_an_ipv4_address() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(&*SourceIp::from(mapped).text, "192.0.2.1");
    }
}
