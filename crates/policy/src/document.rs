//! JSON to [`Policy`]; refuses what AWS IoT refuses, and says where.
//!
//! Developer Guide, "AWS IoT Core policies"; IAM User Guide, "Grammar of the IAM JSON policy language".

use std::sync::Arc;

use crate::condition::{Condition, Operator};
use crate::error::{MAXIMUM_DOCUMENT_LENGTH, PolicyError};
use crate::json::Json;
use crate::pattern::{Dialect, Pattern};
use crate::request::Action;
use crate::variable::Variable;

/// Returns the length that [`MAXIMUM_DOCUMENT_LENGTH`] limits: characters that are not white space.
pub fn document_length(document: &str) -> usize {
    document.chars().filter(|character| !character.is_whitespace()).count()
}

/// A policy document, compiled.
#[derive(Debug)]
pub struct Policy {
    pub(crate) statements: Vec<Statement>,
    /// For each known action, the statements that name it.
    by_action: Vec<Relevant>,
    depends_on_time: bool,
    depends_on_certificate: bool,
}

/// A policy under its name, as it is attached to a certificate or a thing group.
#[derive(Clone, Debug)]
pub struct NamedPolicy {
    /// The policy's name.
    pub name: Arc<str>,
    /// The id of the version in force, such as `1`.
    pub version: Arc<str>,
    /// Its statements; shared by all connections that it is attached to.
    pub policy: Arc<Policy>,
}

impl NamedPolicy {
    /// Names a policy.
    pub fn new(
        name: impl Into<Arc<str>>,
        version: impl Into<Arc<str>>,
        policy: impl Into<Arc<Policy>>,
    ) -> NamedPolicy {
        NamedPolicy { name: name.into(), version: version.into(), policy: policy.into() }
    }
}

/// The effect of a statement that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Grants, unless something denies.
    Allow,
    /// Refuses, even if another statement grants.
    Deny,
}

/// One statement, compiled.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sid: Option<Arc<str>>,
    pub(crate) effect: Effect,
    actions: Vec<Pattern>,
    is_not_action: bool,
    pub(crate) resources: Vec<Pattern>,
    pub(crate) is_not_resource: bool,
    pub(crate) conditions: Vec<Condition>,
}

/// Statements of one action, by position in [`Policy::statements`].
#[derive(Debug, Default)]
struct Relevant {
    denies: Box<[u16]>,
    allows: Box<[u16]>,
}

impl Policy {
    /// Compiles a document.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] where AWS IoT answers `MalformedPolicyException`: not JSON, too long, an unknown or missing
    /// member, a value of the wrong kind.
    pub fn parse(document: &str) -> Result<Policy, PolicyError> {
        let length = document_length(document);
        if length > MAXIMUM_DOCUMENT_LENGTH {
            return Err(PolicyError::TooLong { length });
        }
        let tree = Json::parse(document)?;
        let mut has_variables = false;
        let mut statements = None;
        for (name, value) in object(&tree, "the policy document")? {
            match name.as_str() {
                "Version" => has_variables = version(value)?,
                "Id" => drop(text(value, "Id")?),
                "Statement" => statements = Some(value),
                "Principal" | "NotPrincipal" => {
                    return Err(PolicyError::malformed(
                        name,
                        "an AWS IoT policy has no principal; remove it and attach the policy to a certificate or thing group",
                    ));
                }
                unknown => return Err(unknown_member(unknown, unknown, &["Version", "Id", "Statement"])),
            }
        }
        let statements = match statements {
            None => {
                return Err(PolicyError::malformed(
                    "the policy document",
                    "Statement is missing; add at least one",
                ));
            }
            Some(Json::Array(items)) if items.is_empty() => {
                return Err(PolicyError::malformed(
                    "Statement",
                    "the array is empty; add at least one statement",
                ));
            }
            Some(Json::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| Statement::parse(item, &format!("Statement[{index}]"), has_variables))
                .collect::<Result<Vec<_>, _>>()?,
            Some(single) => vec![Statement::parse(single, "Statement", has_variables)?],
        };
        Ok(Policy::compile(statements))
    }

    fn compile(statements: Vec<Statement>) -> Policy {
        let relevant = |action: &Action, effect| {
            let positions = statements.iter().enumerate().filter_map(|(position, statement)| {
                let is_relevant = statement.effect == effect && statement.names(action);
                u16::try_from(position).ok().filter(|_| is_relevant)
            });
            positions.collect()
        };
        let by_action = Action::KNOWN
            .iter()
            .map(|action| Relevant {
                denies: relevant(action, Effect::Deny),
                allows: relevant(action, Effect::Allow),
            })
            .collect();
        let depends_on =
            |fact: fn(&Variable) -> bool| statements.iter().flat_map(Statement::variables).any(fact);
        let depends_on_time = depends_on(Variable::is_time);
        let depends_on_certificate = depends_on(Variable::is_of_certificate);
        Policy { statements, by_action, depends_on_time, depends_on_certificate }
    }

    /// Returns whether a decision may change with the time alone, so that it must not be cached.
    pub fn depends_on_time(&self) -> bool {
        self.depends_on_time
    }

    /// Returns whether it uses variables of the certificate. If not, [`Facts::certificate`](crate::Facts::certificate)
    /// may be empty.
    pub fn depends_on_certificate(&self) -> bool {
        self.depends_on_certificate
    }

    /// Returns the statements of this effect that name this action.
    pub(crate) fn relevant<'p>(
        &'p self,
        action: &'p Action,
        effect: Effect,
    ) -> impl Iterator<Item = &'p Statement> {
        let (indexed, searched): (&[u16], &[Statement]) =
            match action.index().and_then(|at| self.by_action.get(at)) {
                Some(relevant) if effect == Effect::Deny => (&relevant.denies, &[]),
                Some(relevant) => (&relevant.allows, &[]),
                None => (&[], &self.statements),
            };
        let indexed = indexed.iter().filter_map(|position| self.statements.get(usize::from(*position)));
        let searched =
            searched.iter().filter(move |statement| statement.effect == effect && statement.names(action));
        indexed.chain(searched)
    }
}

impl Statement {
    fn parse(tree: &Json, at: &str, has_variables: bool) -> Result<Statement, PolicyError> {
        const MEMBERS: [&str; 7] =
            ["Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        let mut sid = None;
        let mut effect = None;
        let mut actions = None;
        let mut resources = None;
        let mut conditions = Vec::new();
        for (name, value) in object(tree, at)? {
            let member = format!("{at}.{name}");
            match name.as_str() {
                "Sid" => sid = Some(text(value, &member)?.into()),
                "Effect" => {
                    effect = Some(match text(value, &member)? {
                        "Allow" => Effect::Allow,
                        "Deny" => Effect::Deny,
                        other => {
                            let problem = format!("\"{other}\" is no effect; write \"Allow\" or \"Deny\"");
                            return Err(PolicyError::malformed(member, problem));
                        }
                    });
                }
                "Action" | "NotAction" => {
                    let parsed = action_patterns(value, &member)?;
                    if actions.replace((parsed, name == "NotAction")).is_some() {
                        return Err(PolicyError::malformed(
                            at,
                            "has both Action and NotAction; keep one of them",
                        ));
                    }
                }
                "Resource" | "NotResource" => {
                    let parsed = resource_patterns(value, &member, has_variables)?;
                    if resources.replace((parsed, name == "NotResource")).is_some() {
                        return Err(PolicyError::malformed(
                            at,
                            "has both Resource and NotResource; keep one of them",
                        ));
                    }
                }
                "Condition" => conditions = condition_block(value, &member, has_variables)?,
                "Principal" | "NotPrincipal" => {
                    return Err(PolicyError::malformed(
                        member,
                        "an AWS IoT policy has no principal; remove it and attach the policy to a certificate or thing group",
                    ));
                }
                unknown => return Err(unknown_member(&member, unknown, &MEMBERS)),
            }
        }
        let missing = |what: &str| PolicyError::malformed(at, format!("{what} is missing; add it"));
        let (actions, is_not_action) = actions.ok_or_else(|| missing("Action"))?;
        let (resources, is_not_resource) = resources.ok_or_else(|| missing("Resource"))?;
        let effect = effect.ok_or_else(|| missing("Effect"))?;
        Ok(Statement { sid, effect, actions, is_not_action, resources, is_not_resource, conditions })
    }

    /// Returns whether the statement names this action.
    pub(crate) fn names(&self, action: &Action) -> bool {
        let name = action.as_str().to_ascii_lowercase();
        let no_variables = |_: &Variable| None;
        let is_named = |name: &str| self.actions.iter().any(|pattern| pattern.matches(name, &no_variables));
        // Before `iotjobsdata:` existed the same actions were written with `iot:`.
        let is_named_before =
            name.strip_prefix("iotjobsdata:").is_some_and(|verb| is_named(&format!("iot:{verb}")));
        (is_named(&name) || is_named_before) != self.is_not_action
    }

    /// The variables and condition keys in it.
    fn variables(&self) -> impl Iterator<Item = &Variable> {
        let in_resources = self.resources.iter().flat_map(Pattern::variables);
        let in_conditions =
            self.conditions.iter().flat_map(|condition| condition.variables().chain([condition.key()]));
        in_resources.chain(in_conditions)
    }
}

/// Whether this version has policy variables.
fn version(value: &Json) -> Result<bool, PolicyError> {
    match text(value, "Version")? {
        "2012-10-17" => Ok(true),
        "2008-10-17" => Ok(false),
        other => {
            let problem = format!("\"{other}\" is no version of the policy language; write \"2012-10-17\"");
            Err(PolicyError::malformed("Version", problem))
        }
    }
}

/// Actions in lower case: IAM compares them without regard to case.
fn action_patterns(value: &Json, at: &str) -> Result<Vec<Pattern>, PolicyError> {
    let compile = |at: &str, action: &str| {
        let is_word = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*?-_".contains(&byte))
        };
        let is_action = action == "*"
            || action.split_once(':').is_some_and(|(service, verb)| is_word(service) && is_word(verb));
        if !is_action {
            let problem =
                format!("\"{action}\" is no action; write one such as \"iot:Connect\", \"iot:*\" or \"*\"");
            return Err(PolicyError::malformed(at, problem));
        }
        let dialect = Dialect { wildcards: true, variables: false };
        Pattern::compile(&action.to_ascii_lowercase(), dialect)
            .map_err(|problem| PolicyError::malformed(at, problem))
    };
    strings(value, at)?.into_iter().map(|(at, action)| compile(&at, action)).collect()
}

fn resource_patterns(value: &Json, at: &str, variables: bool) -> Result<Vec<Pattern>, PolicyError> {
    let compile = |at: &str, resource: &str| {
        if !resource.starts_with("arn:") && !resource.starts_with('*') {
            let problem = format!(
                "\"{resource}\" is no ARN; write \"*\" or one such as \"arn:aws:iot:us-east-1:123456789012:topic/telemetry/*\""
            );
            return Err(PolicyError::malformed(at, problem));
        }
        let dialect = Dialect { wildcards: true, variables };
        Pattern::compile(resource, dialect).map_err(|problem| PolicyError::malformed(at, problem))
    };
    strings(value, at)?.into_iter().map(|(at, resource)| compile(&at, resource)).collect()
}

fn condition_block(value: &Json, at: &str, variables: bool) -> Result<Vec<Condition>, PolicyError> {
    let mut conditions = Vec::new();
    for (name, keys) in object(value, at)? {
        let at = format!("{at}.{name}");
        let operator = Operator::parse(name).map_err(|problem| PolicyError::malformed(&at, problem))?;
        for (key, values) in object(keys, &at)? {
            let at = format!("{at}.{key}");
            if !key.contains(':') {
                let problem = format!(
                    "\"{key}\" is no condition key; write one such as \"iot:ClientId\" or \"aws:SourceIp\""
                );
                return Err(PolicyError::malformed(at, problem));
            }
            let values = condition_values(values, &at)?;
            let condition = Condition::new(operator.clone(), Variable::new(key), &values, variables)
                .map_err(|problem| PolicyError::malformed(at, problem))?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}

/// Strings, numbers and booleans all count as text; an empty array is a set with nothing in it.
fn condition_values<'j>(value: &'j Json, at: &str) -> Result<Vec<&'j str>, PolicyError> {
    let single = |value: &'j Json| match value {
        Json::String(text) | Json::Number(text) => Ok(text.as_str()),
        Json::Boolean(true) => Ok("true"),
        Json::Boolean(false) => Ok("false"),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(PolicyError::malformed(
            at,
            format!("is {}; write a string or an array of strings", value.kind()),
        )),
    };
    match value {
        Json::Array(items) => items.iter().map(single).collect(),
        value => Ok(vec![single(value)?]),
    }
}

/// One string or several, each with the path to it.
fn strings<'j>(value: &'j Json, at: &str) -> Result<Vec<(String, &'j str)>, PolicyError> {
    match value {
        Json::String(text) => Ok(vec![(at.to_owned(), text)]),
        Json::Array(items) if items.is_empty() => {
            Err(PolicyError::malformed(at, "the array is empty; write at least one string, or \"*\" for all"))
        }
        Json::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let at = format!("{at}[{index}]");
                text(item, &at).map(|text| (at.clone(), text))
            })
            .collect(),
        other => Err(PolicyError::malformed(
            at,
            format!("is {}; write a string or an array of strings", other.kind()),
        )),
    }
}

fn object<'j>(value: &'j Json, at: &str) -> Result<&'j [(String, Json)], PolicyError> {
    match value {
        Json::Object(members) => Ok(members),
        other => Err(PolicyError::malformed(at, format!("is {}; write an object", other.kind()))),
    }
}

fn text<'j>(value: &'j Json, at: &str) -> Result<&'j str, PolicyError> {
    match value {
        Json::String(text) => Ok(text),
        other => Err(PolicyError::malformed(at, format!("is {}; write a string", other.kind()))),
    }
}

fn unknown_member(at: &str, name: &str, known: &[&str]) -> PolicyError {
    let problem = match known.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        Some(meant) => format!("there is no member of this name; did you mean {meant}?"),
        None => format!("there is no member of this name; remove it, or write one of {}", known.join(", ")),
    };
    PolicyError::malformed(at, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(members: &str) -> String {
        format!(r#"{{"Version": "2012-10-17", "Statement": [{{{members}}}]}}"#)
    }

    fn error(document: &str) -> String {
        Policy::parse(document).unwrap_err().to_string()
    }

    #[test]
    fn a_single_statement_needs_no_array_and_a_sid_may_be_given() {
        let document = r#"{"Version": "2012-10-17", "Id": "x", "Statement":
            {"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": ["*"]}}"#;
        let policy = Policy::parse(document).unwrap();
        assert_eq!(policy.statements[0].sid.as_deref(), Some("All"));
    }

    #[test]
    fn each_fault_is_named_with_its_place_and_a_remedy() {
        let rest = r#""Effect": "Allow", "Action": "iot:Connect", "Resource": "*""#;
        for (document, expected) in [
            ("", "not valid JSON: EOF while parsing a value (line 1, column 0)"),
            ("{\n \"Version\": }", "(line 2, column 13)"),
            ("[]", "the policy document: is an array; write an object"),
            ("{}", "the policy document: Statement is missing"),
            (r#"{"statement": []}"#, "statement: there is no member of this name; did you mean Statement?"),
            (r#"{"Statement": []}"#, "Statement: the array is empty"),
            (r#"{"Statement": 1}"#, "Statement: is a number; write an object"),
            (r#"{"Version": "2012-10-18", "Statement": []}"#, "Version: \"2012-10-18\" is no version"),
            (r#"{"Version": 20121017, "Statement": []}"#, "Version: is a number; write a string"),
            (&statement(r#""Action": "*", "Resource": "*""#), "Statement[0]: Effect is missing"),
            (&statement(r#""Effect": "Allow", "Resource": "*""#), "Statement[0]: Action is missing"),
            (&statement(r#""Effect": "Allow", "Action": "*""#), "Statement[0]: Resource is missing"),
            (
                &statement(r#""Effect": "allow", "Action": "*", "Resource": "*""#),
                "Effect: \"allow\" is no effect",
            ),
            (
                &statement(&format!(r#"{rest}, "NotAction": "*""#)),
                "Statement[0]: has both Action and NotAction",
            ),
            (
                &statement(&format!(r#"{rest}, "NotResource": "*""#)),
                "Statement[0]: has both Resource and NotResource",
            ),
            (
                &statement(&format!(r#"{rest}, "Principal": "*""#)),
                "Statement[0].Principal: an AWS IoT policy has no",
            ),
            (
                &statement(&format!(r#"{rest}, "Conditions": {{}}"#)),
                "Statement[0].Conditions: there is no member",
            ),
            (&statement(&format!(r#"{rest}, "Effect": "Deny""#)), "the member \"Effect\" is written twice"),
            (&statement(r#""Effect": "Allow", "Action": [], "Resource": "*""#), "Action: the array is empty"),
            (
                &statement(r#""Effect": "Allow", "Action": ["*", 1], "Resource": "*""#),
                "Action[1]: is a number",
            ),
            (
                &statement(r#""Effect": "Allow", "Action": "Connect", "Resource": "*""#),
                "\"Connect\" is no action",
            ),
            (
                &statement(r#""Effect": "Allow", "Action": "*", "Resource": "topic/a""#),
                "\"topic/a\" is no ARN",
            ),
            (
                &statement(r#""Effect": "Allow", "Action": "*", "Resource": "arn:${iot:ClientId""#),
                "Resource: \"${iot:ClientId\" opens",
            ),
            (&statement(&format!(r#"{rest}, "Condition": []"#)), "Condition: is an array; write an object"),
            (
                &statement(&format!(r#"{rest}, "Condition": {{"Equals": {{}}}}"#)),
                "Condition.Equals: \"Equals\" is no condition",
            ),
            (
                &statement(&format!(r#"{rest}, "Condition": {{"Bool": {{"x": "true"}}}}"#)),
                "Bool.x: \"x\" is no condition key",
            ),
            (
                &statement(&format!(r#"{rest}, "Condition": {{"Bool": {{"a:b": null}}}}"#)),
                "Bool.a:b: is null",
            ),
            (
                &statement(&format!(r#"{rest}, "Condition": {{"Bool": {{"a:b": 7}}}}"#)),
                "Bool.a:b: \"7\" is not true or false",
            ),
        ] {
            let text = error(document);
            assert!(text.contains(expected), "{document}\n  {text}\n  {expected}");
        }
    }

    #[test]
    fn the_length_limit_does_not_count_white_space() {
        let document = |name_length: usize| {
            statement(&format!(
                r#""Effect": "Allow", "Action": "*", "Resource": "arn:{}""#,
                "a".repeat(name_length)
            ))
        };
        let fixed = document_length(&document(0));
        assert!(Policy::parse(&document(2048 - fixed)).is_ok());
        assert_eq!(
            Policy::parse(&document(2049 - fixed)).unwrap_err(),
            PolicyError::TooLong { length: 2049 }
        );
        let spacious = document(1).replace(' ', &" \n".repeat(3000));
        assert!(Policy::parse(&spacious).is_ok());
    }

    #[test]
    fn an_action_is_named_by_wildcards_old_prefixes_and_negation() {
        let names = |member: &str, action: &str| {
            let policy =
                Policy::parse(&statement(&format!(r#""Effect": "Allow", {member}, "Resource": "*""#)))
                    .unwrap();
            let action = Action::from_name(action);
            let by_index = policy.relevant(&action, Effect::Allow).count() == 1;
            assert_eq!(by_index, policy.statements[0].names(&action));
            by_index
        };
        assert!(names(r#""Action": "iot:Get*""#, "iot:GetThingShadow"));
        assert!(names(r#""Action": "IOT:publish""#, "iot:Publish"));
        assert!(!names(r#""Action": "iot:Publish""#, "iot:RetainPublish"));
        assert!(names(r#""Action": "iot:DescribeJobExecution""#, "iotjobsdata:DescribeJobExecution"));
        assert!(!names(r#""NotAction": "iot:DescribeJobExecution""#, "iotjobsdata:DescribeJobExecution"));
        assert!(names(r#""NotAction": ["iot:Connect"]"#, "iot:Publish"));
        assert!(names(r#""Action": "iot:*""#, "iot:CreateThing"));
        assert!(!names(r#""NotAction": "iot:*""#, "iot:CreateThing"));
    }

    #[test]
    fn a_policy_knows_whether_it_asks_for_the_certificate() {
        let rest = r#""Effect": "Allow", "Action": "*""#;
        let depends = |members: &str| {
            Policy::parse(&statement(&format!("{rest}, {members}"))).unwrap().depends_on_certificate()
        };
        assert!(!depends(
            r#""Resource": "arn:aws:iot:*:*:client/${iot:ClientId}/${iot:Connection.Thing.ThingName}""#
        ));
        assert!(depends(r#""Resource": "arn:aws:iot:*:*:client/${iot:certificate.Subject.CommonName.1}""#));
        assert!(depends(r#""Resource": "arn:aws:iot:*:*:client/${iot:CertificateId}""#));
        assert!(depends(
            r#""Resource": "*", "Condition": {"ForAllValues:StringEquals": {"iot:Certificate.AvailableKeys": "a"}}"#
        ));
        assert!(depends(
            r#""Resource": "*", "Condition": {"StringEquals": {"iot:ClientId": "${iot:Certificate.SerialNumber}"}}"#
        ));
    }

    #[test]
    fn a_policy_knows_whether_time_decides() {
        let rest = r#""Effect": "Allow", "Action": "*""#;
        let depends = |members: &str| {
            Policy::parse(&statement(&format!("{rest}, {members}"))).unwrap().depends_on_time()
        };
        assert!(!depends(r#""Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#));
        assert!(depends(
            r#""Resource": "*", "Condition": {"DateLessThan": {"AWS:currenttime": "2027-01-01"}}"#
        ));
        assert!(depends(
            r#""Resource": "*", "Condition": {"StringEquals": {"iot:ClientId": "${aws:EpochTime}"}}"#
        ));
        assert!(depends(r#""Resource": "arn:aws:iot:r:1:topic/${aws:CurrentTime}""#));
    }
}
