//! Condition operators.
//!
//! IAM User Guide, "Condition operators" and "Set operators for multivalued context keys": several values of a key
//! are alternatives, and all of them are ruled out by a negated operator; a missing key fails a positive operator and
//! satisfies a negated one, an `…IfExists` one and `ForAllValues`. A key with several values in the request and no
//! set operator matches when any of them does.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;

use crate::date;
use crate::pattern::{Dialect, Pattern};
use crate::request::{Request, SourceIp};
use crate::variable::{Value, Variable};

/// One key under one operator, with the values to compare it with.
#[derive(Debug)]
pub(crate) struct Condition {
    operator: Operator,
    key: Variable,
    test: Test,
}

/// An operator as the document names it, taken apart.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    name: Box<str>,
    kind: Kind,
    is_negated: bool,
    if_exists: bool,
    set: Option<Set>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    All,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    StringEquals,
    StringEqualsIgnoreCase,
    Like,
    Numeric(Comparison),
    Date(Comparison),
    Bool,
    Binary,
    IpAddress,
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The values of the document, read once.
#[derive(Debug)]
enum Test {
    StringEquals(Vec<Pattern>),
    StringEqualsIgnoreCase(Vec<Pattern>),
    Like(Vec<Pattern>),
    Numeric(Comparison, Vec<f64>),
    Date(Comparison, Vec<i128>),
    Bool(Vec<bool>),
    Binary(Vec<Vec<u8>>),
    IpAddress(Vec<IpNet>),
    Null(Vec<bool>),
}

/// Every operator, whether it is negated, and what it does.
const OPERATORS: [(&str, bool, Kind); 27] = [
    ("StringEquals", false, Kind::StringEquals),
    ("StringNotEquals", true, Kind::StringEquals),
    ("StringEqualsIgnoreCase", false, Kind::StringEqualsIgnoreCase),
    ("StringNotEqualsIgnoreCase", true, Kind::StringEqualsIgnoreCase),
    ("StringLike", false, Kind::Like),
    ("StringNotLike", true, Kind::Like),
    // Both pairs of ARN operators take wildcards.
    ("ArnEquals", false, Kind::Like),
    ("ArnNotEquals", true, Kind::Like),
    ("ArnLike", false, Kind::Like),
    ("ArnNotLike", true, Kind::Like),
    ("NumericEquals", false, Kind::Numeric(Comparison::Equal)),
    ("NumericNotEquals", true, Kind::Numeric(Comparison::Equal)),
    ("NumericLessThan", false, Kind::Numeric(Comparison::Less)),
    ("NumericLessThanEquals", false, Kind::Numeric(Comparison::LessOrEqual)),
    ("NumericGreaterThan", false, Kind::Numeric(Comparison::Greater)),
    ("NumericGreaterThanEquals", false, Kind::Numeric(Comparison::GreaterOrEqual)),
    ("DateEquals", false, Kind::Date(Comparison::Equal)),
    ("DateNotEquals", true, Kind::Date(Comparison::Equal)),
    ("DateLessThan", false, Kind::Date(Comparison::Less)),
    ("DateLessThanEquals", false, Kind::Date(Comparison::LessOrEqual)),
    ("DateGreaterThan", false, Kind::Date(Comparison::Greater)),
    ("DateGreaterThanEquals", false, Kind::Date(Comparison::GreaterOrEqual)),
    ("Bool", false, Kind::Bool),
    ("BinaryEquals", false, Kind::Binary),
    ("IpAddress", false, Kind::IpAddress),
    ("NotIpAddress", true, Kind::IpAddress),
    ("Null", false, Kind::Null),
];

impl Operator {
    /// Understands a name such as `ForAnyValue:StringLikeIfExists`; the error is a sentence.
    pub(crate) fn parse(name: &str) -> Result<Operator, String> {
        let (set, rest) = match name.split_once(':') {
            Some(("ForAllValues", rest)) => (Some(Set::All), rest),
            Some(("ForAnyValue", rest)) => (Some(Set::Any), rest),
            Some((prefix, _)) => {
                return Err(format!("\"{prefix}\" is no set operator; write ForAllValues: or ForAnyValue:"));
            }
            None => (None, name),
        };
        let (plain, if_exists) = match rest.strip_suffix("IfExists") {
            Some(plain) => (plain, true),
            None => (rest, false),
        };
        let known = OPERATORS.iter().find(|(known, ..)| *known == plain);
        let Some((_, is_negated, kind)) = known else {
            let meant = OPERATORS.iter().find(|(known, ..)| known.eq_ignore_ascii_case(plain));
            return Err(match meant {
                Some((meant, ..)) => format!("\"{rest}\" is no condition operator; did you mean {meant}?"),
                None => format!(
                    "\"{rest}\" is no condition operator; write one such as StringEquals, IpAddress or Bool"
                ),
            });
        };
        if *kind == Kind::Null && (if_exists || set.is_some()) {
            return Err("Null takes neither IfExists nor a set operator; write \"Null\"".to_owned());
        }
        Ok(Operator { name: name.into(), kind: *kind, is_negated: *is_negated, if_exists, set })
    }
}

impl Condition {
    /// The error is a sentence about the first value that does not suit the operator.
    pub(crate) fn new(
        operator: Operator,
        key: Variable,
        values: &[&str],
        variables: bool,
    ) -> Result<Condition, String> {
        let patterns = |wildcards| {
            values
                .iter()
                .map(|value| Pattern::compile(value, Dialect { wildcards, variables }))
                .collect::<Result<_, _>>()
        };
        let test = match operator.kind {
            Kind::StringEquals => Test::StringEquals(patterns(false)?),
            Kind::StringEqualsIgnoreCase => Test::StringEqualsIgnoreCase(patterns(false)?),
            Kind::Like => Test::Like(patterns(true)?),
            Kind::Numeric(comparison) => {
                Test::Numeric(comparison, each(values, number, "a number, such as 10 or 2.5")?)
            }
            Kind::Date(comparison) => Test::Date(
                comparison,
                each(values, date::parse, "a date, such as 2026-11-24T09:30:00Z or Unix seconds")?,
            ),
            Kind::Bool => Test::Bool(each(values, boolean, "true or false")?),
            Kind::Null => {
                Test::Null(each(values, boolean, "true (the key is missing) or false (it is there)")?)
            }
            Kind::Binary => Test::Binary(each(values, |value| BASE64.decode(value).ok(), "base64")?),
            Kind::IpAddress => Test::IpAddress(each(
                values,
                network,
                "an address or a range, such as 192.0.2.1 or 2001:db8::/32",
            )?),
        };
        Ok(Condition { operator, key, test })
    }

    /// The operator's name as the document writes it.
    pub(crate) fn operator(&self) -> &str {
        &self.operator.name
    }

    pub(crate) fn key(&self) -> &Variable {
        &self.key
    }

    /// The policy variables among its values.
    pub(crate) fn variables(&self) -> impl Iterator<Item = &Variable> {
        let patterns: &[Pattern] = match &self.test {
            Test::StringEquals(patterns) | Test::StringEqualsIgnoreCase(patterns) | Test::Like(patterns) => {
                patterns
            }
            _ => &[],
        };
        patterns.iter().flat_map(Pattern::variables)
    }

    /// A key that the request does not know would decide this condition against it.
    pub(crate) fn needs_key(&self) -> bool {
        let Operator { kind, is_negated, if_exists, set, .. } = &self.operator;
        *kind != Kind::Null && !if_exists && !(set.is_none() && *is_negated) && *set != Some(Set::All)
    }

    pub(crate) fn holds(&self, request: &Request<'_>) -> bool {
        let values = self.key.values(request);
        if let Test::Null(wanted) = &self.test {
            return wanted.iter().any(|missing| *missing == values.is_empty());
        }
        let Operator { is_negated, if_exists, set, .. } = self.operator;
        if values.is_empty() && if_exists {
            return true;
        }
        match set {
            None => values.iter().any(|value| self.test.matches(value, request)) != is_negated,
            Some(Set::All) => values.iter().all(|value| self.test.matches(value, request) != is_negated),
            Some(Set::Any) => values.iter().any(|value| self.test.matches(value, request) != is_negated),
        }
    }
}

impl Test {
    /// Whether one value of the request matches any value of the document.
    fn matches(&self, value: Value<'_>, request: &Request<'_>) -> bool {
        let resolve = |variable: &Variable| variable.text(request);
        match self {
            Test::StringEquals(patterns) | Test::Like(patterns) => {
                let text = value.text();
                patterns.iter().any(|pattern| pattern.matches(&text, &resolve))
            }
            Test::StringEqualsIgnoreCase(patterns) => {
                let text = value.text().to_lowercase();
                patterns
                    .iter()
                    .any(|pattern| pattern.text(&resolve).is_some_and(|wanted| wanted.to_lowercase() == text))
            }
            Test::Numeric(comparison, wanted) => number_of(value)
                .is_some_and(|found| wanted.iter().any(|wanted| comparison.holds(&found, wanted))),
            Test::Date(comparison, wanted) => date_of(value)
                .is_some_and(|found| wanted.iter().any(|wanted| comparison.holds(&found, wanted))),
            Test::Bool(wanted) => boolean(&value.text()).is_some_and(|found| wanted.contains(&found)),
            Test::Binary(wanted) => wanted.iter().any(|wanted| wanted == value.text().as_bytes()),
            Test::IpAddress(networks) => {
                address_of(value).is_some_and(|found| networks.iter().any(|network| network.contains(&found)))
            }
            Test::Null(_) => false,
        }
    }
}

impl Comparison {
    fn holds<T: PartialOrd>(self, found: &T, wanted: &T) -> bool {
        match self {
            Comparison::Equal => found == wanted,
            Comparison::Less => found < wanted,
            Comparison::LessOrEqual => found <= wanted,
            Comparison::Greater => found > wanted,
            Comparison::GreaterOrEqual => found >= wanted,
        }
    }
}

fn each<T>(values: &[&str], read: impl Fn(&str) -> Option<T>, wanted: &str) -> Result<Vec<T>, String> {
    values.iter().map(|value| read(value).ok_or_else(|| format!("\"{value}\" is not {wanted}"))).collect()
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse().ok().map(|address: IpAddr| IpNet::from(address.to_canonical())))
}

fn number_of(value: Value<'_>) -> Option<f64> {
    match value {
        Value::EpochTime(seconds) => Some(seconds as f64),
        value => number(&value.text()),
    }
}

fn date_of(value: Value<'_>) -> Option<i128> {
    match value {
        Value::CurrentTime(seconds) | Value::EpochTime(seconds) => Some(i128::from(seconds) * 1_000_000_000),
        value => date::parse(&value.text()),
    }
}

fn address_of(value: Value<'_>) -> Option<IpAddr> {
    match value {
        Value::Ip(SourceIp { address, .. }) => Some(*address),
        Value::Text(text) => text.parse().ok().map(|address: IpAddr| address.to_canonical()),
        Value::CurrentTime(_) | Value::EpochTime(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::request::{Action, Facts, Thing};

    /// A request whose thing has these attributes, from 192.0.2.7, at 1970-01-02.
    fn holds(operator: &str, key: &str, values: &[&str], attributes: &[(&str, &str)]) -> bool {
        let attributes: BTreeMap<_, _> =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let facts = Facts {
            client_id: Some("dev1".into()),
            source_ip: Some("192.0.2.7".parse::<IpAddr>().unwrap().into()),
            thing: Some(Arc::new(Thing { name: "pump".to_owned(), type_name: None, attributes })),
            is_attached: Some(true),
            certificate: Arc::new([(
                "iot:Certificate.Subject.Organization".to_owned(),
                vec!["A".to_owned(), "B".to_owned()],
            )]),
            ..Facts::default()
        };
        let request = Request { action: &Action::Publish, resource: "", facts: &facts, now: 86_400 };
        let operator = Operator::parse(operator).unwrap();
        Condition::new(operator, Variable::new(key), values, true).unwrap().holds(&request)
    }

    fn attribute(operator: &str, wanted: &str, found: &str) -> bool {
        holds(operator, "iot:Connection.Thing.Attributes[x]", &[wanted], &[("x", found)])
    }

    #[test]
    fn each_operator_compares_as_documented() {
        for (operator, wanted, found, expected) in [
            ("StringEquals", "a*", "a*", true),
            ("StringEquals", "a*", "ab", false),
            ("StringEquals", "A", "a", false),
            ("StringNotEquals", "A", "a", true),
            ("StringEqualsIgnoreCase", "ÉA", "éa", true),
            ("StringNotEqualsIgnoreCase", "A", "a", false),
            ("StringLike", "a?c*", "abcd", true),
            ("StringNotLike", "a?c*", "abcd", false),
            ("StringEquals", "${iot:ClientId}", "dev1", true),
            ("StringEqualsIgnoreCase", "${iot:ClientId}", "DEV1", true),
            ("StringEquals", "${iot:DomainName}", "${iot:DomainName}", false),
            ("StringEquals", "${*}", "*", true),
            ("ArnEquals", "arn:*:topic/w", "arn:aws:iot:r:1:topic/w", true),
            ("ArnLike", "arn:*:topic/w", "arn:aws:iot:r:1:topic/v", false),
            ("ArnNotLike", "arn:*:topic/w", "arn:aws:iot:r:1:topic/v", true),
            ("ArnNotEquals", "arn:*:topic/w", "arn:aws:iot:r:1:topic/w", false),
            ("NumericEquals", "10", "10.0", true),
            ("NumericNotEquals", "10", "11", true),
            ("NumericNotEquals", "10", "ten", true),
            ("NumericLessThan", "10", "9", true),
            ("NumericLessThan", "10", "10", false),
            ("NumericLessThan", "10", "nine", false),
            ("NumericLessThanEquals", "10", "10", true),
            ("NumericGreaterThan", "-1.5", "-1", true),
            ("NumericGreaterThanEquals", "2", "1", false),
            ("DateEquals", "1970-01-01", "0", true),
            ("DateNotEquals", "1970-01-01", "1", true),
            ("DateLessThan", "1970-01-02", "1970-01-01T23:59:59Z", true),
            ("DateLessThanEquals", "1970-01-02", "1970-01-02T00:00:01Z", false),
            ("DateGreaterThan", "1970-01-02T09:00:00+09:00", "1970-01-02T00:00:01Z", true),
            ("DateGreaterThanEquals", "1970-01-02", "soon", false),
            ("Bool", "true", "TRUE", true),
            ("Bool", "false", "yes", false),
            ("BinaryEquals", "QmluYXJ5", "Binary", true),
            ("BinaryEquals", "QmluYXJ5", "binary", false),
            ("IpAddress", "2001:db8::/32", "2001:db8::1", true),
            ("IpAddress", "10.0.0.0/8", "2001:db8::1", false),
            ("IpAddress", "192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("NotIpAddress", "10.0.0.0/8", "10.1.2.3", false),
            ("NotIpAddress", "10.0.0.0/8", "192.0.2.1", true),
            ("IpAddress", "192.0.2.9", "192.0.2.9", true),
        ] {
            assert_eq!(attribute(operator, wanted, found), expected, "{operator} {wanted} against {found}");
        }
    }

    #[test]
    fn values_are_alternatives_and_a_negated_operator_rules_all_of_them_out() {
        let key = "iot:Connection.Thing.Attributes[x]";
        assert!(holds("StringEquals", key, &["a", "b"], &[("x", "b")]));
        assert!(!holds("StringNotEquals", key, &["a", "b"], &[("x", "b")]));
        assert!(holds("StringNotEquals", key, &["a", "b"], &[("x", "c")]));
        assert!(!holds("StringEquals", key, &[], &[("x", "c")]));
    }

    #[test]
    fn a_missing_key_is_treated_as_each_operator_says() {
        for (operator, expected) in [
            ("StringEquals", false),
            ("StringNotEquals", true),
            ("StringEqualsIfExists", true),
            ("StringNotEqualsIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAllValues:StringNotEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringNotEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            let holds = holds(operator, "iot:Connection.Thing.Attributes[missing]", &["a"], &[]);
            assert_eq!(holds, expected, "{operator}");
        }
        assert!(holds("Null", "iot:DomainName", &["true"], &[]));
        assert!(!holds("Null", "iot:ClientId", &["true"], &[]));
        assert!(holds("Null", "iot:ClientId", &["false"], &[]));
    }

    #[test]
    fn if_exists_still_judges_a_key_that_is_there() {
        assert!(!attribute("StringEqualsIfExists", "a", "b"));
    }

    #[test]
    fn set_operators_look_at_every_value() {
        let list = "iot:Certificate.Subject.Organization.List";
        for (operator, values, expected) in [
            ("ForAllValues:StringEquals", &["A", "B", "C"][..], true),
            ("ForAllValues:StringEquals", &["A"], false),
            ("ForAnyValue:StringEquals", &["B"], true),
            ("ForAnyValue:StringEquals", &["C"], false),
            ("ForAnyValue:StringNotEquals", &["A"], true),
            ("ForAnyValue:StringNotEquals", &["A", "B"], false),
            ("ForAllValues:StringNotEquals", &["C"], true),
            ("ForAllValues:StringNotEquals", &["A"], false),
            ("StringEquals", &["B"], true),
            ("StringNotEquals", &["B"], false),
        ] {
            assert_eq!(holds(operator, list, values, &[]), expected, "{operator} {values:?}");
        }
    }

    #[test]
    fn the_request_itself_gives_address_and_time() {
        assert!(holds("IpAddress", "aws:SourceIp", &["192.0.2.0/24"], &[]));
        assert!(holds("StringLike", "aws:SourceIp", &["192.0.2.?"], &[]));
        assert!(holds("DateEquals", "aws:CurrentTime", &["1970-01-02"], &[]));
        assert!(holds("NumericGreaterThan", "aws:EpochTime", &["86399"], &[]));
        assert!(holds("Bool", "iot:Connection.Thing.IsAttached", &["true"], &[]));
    }

    #[test]
    fn an_operator_or_value_that_cannot_be_is_refused_with_advice() {
        for (name, advice) in [
            ("stringequals", "did you mean StringEquals?"),
            ("StringMatches", "is no condition operator"),
            ("", "is no condition operator"),
            ("IfExists", "is no condition operator"),
            ("ForSomeValues:StringEquals", "is no set operator"),
            ("NullIfExists", "Null takes neither"),
            ("ForAnyValue:Null", "Null takes neither"),
        ] {
            assert!(Operator::parse(name).unwrap_err().contains(advice), "{name}");
        }
        for (operator, value) in [
            ("NumericEquals", "ten"),
            ("NumericEquals", "NaN"),
            ("DateEquals", "soon"),
            ("Bool", "yes"),
            ("IpAddress", "10.0.0.0/33"),
            ("BinaryEquals", "?"),
            ("Null", "1"),
        ] {
            let parsed = Operator::parse(operator).unwrap();
            let error = Condition::new(parsed, Variable::new("a:b"), &[value], true).unwrap_err();
            assert!(error.starts_with(&format!("\"{value}\" is not ")), "{operator}: {error}");
        }
    }

    #[test]
    fn every_operator_is_listed_once() {
        let mut names: Vec<_> = OPERATORS.iter().map(|(name, ..)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPERATORS.len());
    }
}
