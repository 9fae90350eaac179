//! AWS IoT policies: decides whether a principal may carry out an action on a resource.
//!
//! Pure: no I/O, no clock, no state. A document becomes a [`Policy`] once; after that [`is_allowed`] decides from
//! the policies, the [`Facts`] of the connection, the resource and the time that the caller passes in, and from
//! nothing else, so that a caller may cache its answer (but see [`Policy::depends_on_time`]).
//!
//! | file | subject |
//! |---|---|
//! | `document` | JSON to [`Policy`]; refuses what AWS IoT refuses, and says where |
//! | `json` | a JSON tree that refuses a member written twice |
//! | `pattern` | wildcards, escapes and policy variables in one string |
//! | `variable` | the names of policy variables and condition keys, and their values |
//! | `condition` | condition operators |
//! | `date` | the date forms that conditions accept |
//! | `request` | action, resource, and the facts about client, thing and certificate |
//! | `evaluate` | explicit deny, then allow, else implicit deny |
//! | `error` | [`PolicyError`]: what is wrong with a document, and where |
//!
//! The rules are those of the AWS IoT Core Developer Guide, "AWS IoT Core policies", and where it says no more, of
//! the IAM User Guide, "JSON policy element reference". Two choices are ours:
//!
//! - A variable without a value never matches, not even a resource that spells `${…}` out; an `Allow` with
//!   `NotResource` does not apply either while one of its variables has no value.
//! - An ARN is matched as one string: `*` also matches colons.
//!
//! ```
//! use sekisho_policy::{Action, Facts, NamedPolicy, Policy, Request, is_allowed};
//!
//! let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:Publish",
//!     "Resource": "arn:aws:iot:us-east-1:123456789012:topic/${iot:ClientId}/*"}}"#;
//! let policies = [NamedPolicy::new("telemetry", "1", Policy::parse(document)?)];
//! let facts = Facts { client_id: Some("pump-7".into()), ..Facts::default() };
//! let resource = "arn:aws:iot:us-east-1:123456789012:topic/pump-7/pressure";
//! let request = Request { action: &Action::Publish, resource, facts: &facts, now: 1_795_000_000 };
//! assert!(is_allowed(&policies, &request));
//! # Ok::<(), sekisho_policy::PolicyError>(())
//! ```

mod condition;
mod date;
mod document;
mod error;
mod evaluate;
mod json;
mod pattern;
mod request;
mod variable;

pub use document::{Effect, NamedPolicy, Policy, document_length};
pub use error::{MAXIMUM_DOCUMENT_LENGTH, PolicyError};
pub use evaluate::{Decision, Mismatch, NearMiss, StatementId, Verdict, always_allows, evaluate, is_allowed};
pub use request::{Action, ConnectAttributes, Facts, Request, SourceIp, Thing};
pub use variable::KNOWN_VARIABLES;
