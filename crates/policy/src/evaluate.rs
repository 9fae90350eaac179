//! Explicit deny, then allow, else implicit deny.
//!
//! Two functions with the same verdict: [`is_allowed`] examines as little as it can, [`evaluate`] examines everything
//! and returns its reasons. A property test compares them.

use std::fmt;
use std::sync::Arc;

use crate::condition::Condition;
use crate::document::{Effect, NamedPolicy, Statement};
use crate::pattern::Pattern;
use crate::request::{Action, Request};
use crate::variable::Variable;

/// Returns whether the policies, taken together, allow the request.
///
/// What runs for every message: for an action that [`Action`] names, no memory is taken unless a
/// policy asks for the time or compares without regard to case.
pub fn is_allowed(policies: &[NamedPolicy], request: &Request<'_>) -> bool {
    let any = |effect| {
        policies.iter().any(|named| {
            named.policy.relevant(request.action, effect).any(|statement| statement.applies(request))
        })
    };
    !any(Effect::Deny) && any(Effect::Allow)
}

/// Returns `true` if the policies allow this action on every resource that begins with `prefix`, for any connection at
/// any time, so that a caller need not ask again.
///
/// `false` means that it is not known: a statement whose resource has a wildcard in the middle, for example, is not
/// examined.
pub fn always_allows(policies: &[NamedPolicy], action: &Action, prefix: &str) -> bool {
    let statements = |effect| policies.iter().flat_map(move |named| named.policy.relevant(action, effect));
    statements(Effect::Deny).next().is_none()
        && statements(Effect::Allow).any(|statement| {
            statement.conditions.is_empty()
                && !statement.is_not_resource
                && statement.resources.iter().any(|resource| resource.covers(prefix))
        })
}

/// Returns the decision of [`is_allowed`] with its reasons.
pub fn evaluate(policies: &[NamedPolicy], request: &Request<'_>) -> Decision {
    let mut decision = Decision {
        verdict: Verdict::ImplicitDeny,
        allowed_by: Vec::new(),
        denied_by: Vec::new(),
        near_misses: Vec::new(),
        missing: Vec::new(),
    };
    for named in policies {
        for (index, statement) in named.policy.statements.iter().enumerate() {
            if !statement.names(request.action) {
                continue;
            }
            let id = StatementId {
                policy: named.name.clone(),
                version: named.version.clone(),
                index,
                sid: statement.sid.clone(),
            };
            for name in statement.missing(request) {
                if !decision.missing.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                    decision.missing.push(name.to_owned());
                }
            }
            match (statement.mismatch(request), statement.effect) {
                (None, Effect::Allow) => decision.allowed_by.push(id),
                (None, Effect::Deny) => decision.denied_by.push(id),
                (Some(because), effect) => {
                    decision.near_misses.push(NearMiss { statement: id, effect, because })
                }
            }
        }
    }
    decision.verdict = match (decision.denied_by.is_empty(), decision.allowed_by.is_empty()) {
        (false, _) => Verdict::ExplicitDeny,
        (true, false) => Verdict::Allowed,
        (true, true) => Verdict::ImplicitDeny,
    };
    decision
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows and none denies.
    Allowed,
    /// A statement denies.
    ExplicitDeny,
    /// No statement allows or denies.
    ImplicitDeny,
}

impl Verdict {
    /// The word of the `TestAuthorization` API: `ALLOWED`, `EXPLICIT_DENY` or `IMPLICIT_DENY`.
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allowed => "ALLOWED",
            Verdict::ExplicitDeny => "EXPLICIT_DENY",
            Verdict::ImplicitDeny => "IMPLICIT_DENY",
        }
    }
}

/// A verdict and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The statements that allow, in the order of the policies.
    pub allowed_by: Vec<StatementId>,
    /// The statements that deny.
    pub denied_by: Vec<StatementId>,
    /// The statements that name this action and do not apply.
    pub near_misses: Vec<NearMiss>,
    /// Names of policy variables and condition keys that had no value where one was needed, as the documents write
    /// them: `missingContextValues` of the `TestAuthorization` API.
    pub missing: Vec<String>,
}

/// Which statement of which policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementId {
    /// The policy's name.
    pub policy: Arc<str>,
    /// The policy's version.
    pub version: Arc<str>,
    /// Position in the document, counted from 0.
    pub index: usize,
    /// Its Sid, if it has one.
    pub sid: Option<Arc<str>>,
}

impl fmt::Display for StatementId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "policy \"{}\" version {}, Statement[{}]", self.policy, self.version, self.index)?;
        match &self.sid {
            Some(sid) => write!(formatter, " (\"{sid}\")"),
            None => Ok(()),
        }
    }
}

/// A statement of the right action that does not apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The statement.
    pub statement: StatementId,
    /// Its effect if it applied.
    pub effect: Effect,
    /// The reason why it does not apply.
    pub because: Mismatch,
}

/// The first thing that keeps a statement from applying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The resource is not among its resources.
    Resource,
    /// It may be, but these variables have no value.
    Unresolved(Vec<String>),
    /// A condition does not hold.
    Condition {
        /// The operator, as the document writes it.
        operator: String,
        /// The key, as the document writes it.
        key: String,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Resource => formatter.write_str("the resource does not match"),
            Mismatch::Unresolved(names) => write!(formatter, "no value for {}", names.join(", ")),
            Mismatch::Condition { operator, key } => {
                write!(formatter, "the condition {operator} on {key} does not hold")
            }
        }
    }
}

impl Statement {
    /// Whether it applies to a request whose action it names.
    fn applies(&self, request: &Request<'_>) -> bool {
        self.speaks_of(request) && self.conditions.iter().all(|condition| condition.holds(request))
    }

    fn speaks_of(&self, request: &Request<'_>) -> bool {
        let resolve = |variable: &Variable| variable.text(request);
        let is_listed = self.resources.iter().any(|pattern| pattern.matches(request.resource, &resolve));
        match (self.is_not_resource, self.effect) {
            (false, _) => is_listed,
            (true, Effect::Deny) => !is_listed,
            // "All but ${x}" does not apply while x has no value: it must not mean "all".
            (true, Effect::Allow) => !is_listed && self.unresolved(request).next().is_none(),
        }
    }

    /// The variables of its resources that have no value.
    fn unresolved<'s>(&'s self, request: &Request<'_>) -> impl Iterator<Item = &'s str> {
        let variables = self.resources.iter().flat_map(Pattern::variables);
        variables.filter(|variable| variable.text(request).is_none()).map(Variable::name)
    }

    fn mismatch(&self, request: &Request<'_>) -> Option<Mismatch> {
        if !self.speaks_of(request) {
            let names: Vec<String> = self.unresolved(request).map(str::to_owned).collect();
            return Some(if names.is_empty() { Mismatch::Resource } else { Mismatch::Unresolved(names) });
        }
        let failed = self.conditions.iter().find(|condition| !condition.holds(request))?;
        Some(Mismatch::Condition {
            operator: failed.operator().to_owned(),
            key: failed.key().name().to_owned(),
        })
    }

    /// The variables and keys without a value that it needs.
    fn missing<'s>(&'s self, request: &Request<'_>) -> impl Iterator<Item = &'s str> {
        let keys = self
            .conditions
            .iter()
            .filter(|condition| condition.needs_key() && condition.key().values(request).is_missing());
        let values = self.conditions.iter().flat_map(Condition::variables);
        let values = values.filter(|variable| variable.text(request).is_none());
        self.unresolved(request)
            .chain(keys.map(|condition| condition.key().name()))
            .chain(values.map(Variable::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Policy;
    use crate::request::Facts;

    const ARN: &str = "arn:aws:iot:us-east-1:123456789012:";

    fn policy(name: &str, statements: &str) -> NamedPolicy {
        let document =
            format!(r#"{{"Version": "2012-10-17", "Statement": [{statements}]}}"#).replace("ARN:", ARN);
        NamedPolicy::new(name, "3", Policy::parse(&document).unwrap())
    }

    fn decide(policies: &[NamedPolicy], resource: &str) -> Decision {
        let facts = Facts { client_id: Some("dev1".into()), ..Facts::default() };
        let resource = format!("{ARN}{resource}");
        let request = Request { action: &Action::Publish, resource: &resource, facts: &facts, now: 0 };
        let decision = evaluate(policies, &request);
        assert_eq!(is_allowed(policies, &request), decision.verdict == Verdict::Allowed);
        decision
    }

    #[test]
    fn what_is_always_allowed_has_no_deny_no_condition_and_the_whole_prefix() {
        let always = |statements: &str| {
            let policies = [policy("p", statements)];
            always_allows(&policies, &Action::Receive, &format!("{ARN}topic/"))
        };
        assert!(always(r#"{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}"#));
        assert!(always(r#"{"Effect": "Allow", "Action": "iot:Receive", "Resource": "ARN:topic/*"}"#));
        assert!(always(r#"{"Effect": "Allow", "Action": "iot:Receive", "Resource": "ARN:*"}"#));
        assert!(!always(r#"{"Effect": "Allow", "Action": "iot:Receive", "Resource": "ARN:topic/dt/*"}"#));
        assert!(!always(r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}"#));
        assert!(!always(r#"{"Effect": "Allow", "Action": "iot:Receive", "NotResource": "ARN:topic/a"}"#));
        assert!(!always(
            r#"{"Effect": "Allow", "Action": "iot:Receive", "Resource": "*",
                "Condition": {"Bool": {"aws:SecureTransport": "true"}}}"#
        ));
        assert!(!always(
            r#"{"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
               {"Effect": "Deny", "Action": "iot:Receive", "Resource": "ARN:topic/secret"}"#
        ));
    }

    #[test]
    fn a_deny_in_any_policy_outweighs_an_allow_and_both_are_named() {
        let policies = [
            policy("first", r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#),
            policy(
                "second",
                r#"{"Sid": "No", "Effect": "Deny", "Action": "iot:Publish", "Resource": "ARN:topic/a"}"#,
            ),
        ];
        let decision = decide(&policies, "topic/a");
        assert_eq!(decision.verdict, Verdict::ExplicitDeny);
        assert_eq!(decision.allowed_by[0].to_string(), "policy \"first\" version 3, Statement[0]");
        assert_eq!(decision.denied_by[0].to_string(), "policy \"second\" version 3, Statement[0] (\"No\")");
        assert_eq!(decide(&policies, "topic/b").verdict, Verdict::Allowed);
    }

    #[test]
    fn a_statement_that_nearly_applies_says_what_kept_it() {
        let policies = [policy(
            "p",
            r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
               {"Effect": "Allow", "Action": "iot:Publish", "Resource": "ARN:topic/b"},
               {"Effect": "Allow", "Action": "iot:Publish", "Resource": "ARN:topic/${iot:Connection.Thing.ThingName}"},
               {"Effect": "Allow", "Action": "iot:Publish", "Resource": "ARN:topic/${iot:ClientId}",
                "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": "true"},
                              "StringEqualsIfExists": {"iot:DomainName": "x"}}}"#,
        )];
        let decision = decide(&policies, "topic/dev1");
        assert_eq!(decision.verdict, Verdict::ImplicitDeny);
        let because: Vec<_> = decision.near_misses.iter().map(|miss| miss.because.to_string()).collect();
        assert_eq!(
            because,
            [
                "the resource does not match",
                "no value for iot:Connection.Thing.ThingName",
                "the condition Bool on iot:Connection.Thing.IsAttached does not hold",
            ]
        );
        assert_eq!(decision.missing, ["iot:Connection.Thing.ThingName", "iot:Connection.Thing.IsAttached"]);
    }

    #[test]
    fn all_but_something_unknown_allows_nothing_and_denies_everything() {
        let all_but = |effect: &str| {
            format!(
                r#"{{"Effect": "{effect}", "Action": "*", "NotResource": "ARN:topic/${{iot:DomainName}}"}}"#
            )
        };
        assert_eq!(decide(&[policy("p", &all_but("Allow"))], "topic/a").verdict, Verdict::ImplicitDeny);
        assert_eq!(decide(&[policy("p", &all_but("Deny"))], "topic/a").verdict, Verdict::ExplicitDeny);
    }

    #[test]
    fn no_policy_at_all_is_an_implicit_deny() {
        assert_eq!(decide(&[], "topic/a").verdict, Verdict::ImplicitDeny);
    }
}
