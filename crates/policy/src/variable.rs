//! The names of policy variables and condition keys, and what they stand for in one request.
//!
//! Developer Guide, "Basic AWS IoT Core policy variables", "Thing policy variables" and "X.509 Certificate AWS IoT
//! Core policy variables". A name is compared without regard to case, as IAM compares condition keys; the name of a
//! thing attribute, between square brackets, is not part of that.

use std::borrow::Cow;

use crate::date;
use crate::request::{Request, SourceIp};

/// Every policy variable and condition key that a connection can give a value to.
///
/// `iot:Connection.Thing.Attributes[…]` stands for one name per attribute. A certificate attribute with several
/// values also has the names `….1` (its second value), `….2` and so on, and `….List` (all of them).
pub const KNOWN_VARIABLES: &[&str] = &[
    "aws:CurrentTime",
    "aws:EpochTime",
    "aws:SecureTransport",
    "aws:SourceIp",
    "iot:Certificate.AvailableKeys",
    "iot:Certificate.Issuer.AlternativeName.DNSName",
    "iot:Certificate.Issuer.AlternativeName.DirectoryName",
    "iot:Certificate.Issuer.AlternativeName.IPAddress",
    "iot:Certificate.Issuer.AlternativeName.RFC822Name",
    "iot:Certificate.Issuer.AlternativeName.UniformResourceIdentifier",
    "iot:Certificate.Issuer.CommonName",
    "iot:Certificate.Issuer.Country",
    "iot:Certificate.Issuer.DistinguishedNameQualifier",
    "iot:Certificate.Issuer.GenerationQualifier",
    "iot:Certificate.Issuer.GivenName",
    "iot:Certificate.Issuer.Initials",
    "iot:Certificate.Issuer.Organization",
    "iot:Certificate.Issuer.OrganizationalUnit",
    "iot:Certificate.Issuer.Pseudonym",
    "iot:Certificate.Issuer.SerialNumber",
    "iot:Certificate.Issuer.State",
    "iot:Certificate.Issuer.Surname",
    "iot:Certificate.Issuer.Title",
    "iot:Certificate.SerialNumber",
    "iot:Certificate.Subject.AlternativeName.DNSName",
    "iot:Certificate.Subject.AlternativeName.DirectoryName",
    "iot:Certificate.Subject.AlternativeName.IPAddress",
    "iot:Certificate.Subject.AlternativeName.RFC822Name",
    "iot:Certificate.Subject.AlternativeName.UniformResourceIdentifier",
    "iot:Certificate.Subject.CommonName",
    "iot:Certificate.Subject.Country",
    "iot:Certificate.Subject.DistinguishedNameQualifier",
    "iot:Certificate.Subject.GenerationQualifier",
    "iot:Certificate.Subject.GivenName",
    "iot:Certificate.Subject.Initials",
    "iot:Certificate.Subject.Organization",
    "iot:Certificate.Subject.OrganizationalUnit",
    "iot:Certificate.Subject.Pseudonym",
    "iot:Certificate.Subject.SerialNumber",
    "iot:Certificate.Subject.State",
    "iot:Certificate.Subject.Surname",
    "iot:Certificate.Subject.Title",
    "iot:CertificateId",
    "iot:ClientId",
    "iot:ConnectAttributes",
    "iot:Connection.Thing.Attributes[…]",
    "iot:Connection.Thing.IsAttached",
    "iot:Connection.Thing.ThingName",
    "iot:Connection.Thing.ThingTypeName",
    "iot:DomainName",
    "iot:LastWillTopic",
];

/// Characters that keep a certificate's value from being put in place of its variable.
const NOT_SUBSTITUTED: [char; 5] = ['*', '$', '+', '?', '#'];

/// The name of a policy variable or condition key, understood once at parse time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    name: Box<str>,
    fact: Fact,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Fact {
    ClientId,
    SourceIp,
    DomainName,
    ThingName,
    ThingTypeName,
    ThingAttribute(Box<str>),
    ThingIsAttached,
    Certificate(Box<str>, Item),
    ConnectAttributes,
    LastWillTopic,
    CurrentTime,
    EpochTime,
    SecureTransport,
    Other,
}

/// Which values of a certificate attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    At(usize),
    List,
}

impl Variable {
    pub(crate) fn new(name: &str) -> Variable {
        Variable { name: name.into(), fact: Fact::new(name) }
    }

    /// The name as the document writes it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether its value can change during a connection.
    pub(crate) fn is_time(&self) -> bool {
        matches!(self.fact, Fact::CurrentTime | Fact::EpochTime)
    }

    /// Returns whether its value comes from the certificate.
    pub(crate) fn is_of_certificate(&self) -> bool {
        const PREFIX: &str = "iot:Certificate";
        self.name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    }

    /// Every value that a condition sees under this key.
    pub(crate) fn values<'a>(&self, request: &Request<'a>) -> Values<'a> {
        let facts = request.facts;
        let text =
            |text: Option<&'a str>| text.map_or(Values::Missing, |text| Values::One(Value::Text(text)));
        match &self.fact {
            Fact::ClientId => text(facts.client_id.as_deref()),
            Fact::SourceIp => {
                facts.source_ip.as_ref().map_or(Values::Missing, |ip| Values::One(Value::Ip(ip)))
            }
            Fact::DomainName => text(facts.domain_name.as_deref()),
            Fact::ThingName => text(facts.thing.as_ref().map(|thing| thing.name.as_str())),
            Fact::ThingTypeName => text(facts.thing.as_ref().and_then(|thing| thing.type_name.as_deref())),
            Fact::ThingAttribute(name) => {
                text(facts.thing.as_ref().and_then(|thing| thing.attributes.get(&**name)).map(String::as_str))
            }
            Fact::ThingIsAttached => text(facts.is_attached.map(boolean)),
            Fact::Certificate(name, item) => match (find(&facts.certificate, name), item) {
                (None, _) => Values::Missing,
                (Some(values), Item::List) => Values::Strings(values),
                (Some(values), Item::At(index)) => text(values.get(*index).map(String::as_str)),
            },
            Fact::ConnectAttributes => facts
                .connect_attributes
                .map_or(Values::Missing, |attributes| Values::Names(attributes.names())),
            Fact::LastWillTopic => text(facts.last_will_topic.as_deref()),
            Fact::CurrentTime => Values::One(Value::CurrentTime(request.now)),
            Fact::EpochTime => Values::One(Value::EpochTime(request.now)),
            Fact::SecureTransport => text(facts.secure_transport.map(boolean)),
            Fact::Other => find(&facts.extra, &self.name).map_or(Values::Missing, Values::Strings),
        }
    }

    /// The text to put in place of `${name}`; none where there is no value, or more than one, or where AWS IoT
    /// leaves the variable as it is because a certificate's value has a wildcard in it.
    pub(crate) fn text<'a>(&self, request: &Request<'a>) -> Option<Cow<'a, str>> {
        let value = match self.values(request) {
            Values::One(value) => value,
            Values::Strings([only]) if self.fact == Fact::Other => Value::Text(only),
            Values::Missing | Values::Strings(_) | Values::Names(_) => return None,
        };
        let text = value.text();
        let is_refused = matches!(self.fact, Fact::Certificate(..)) && text.contains(NOT_SUBSTITUTED);
        if is_refused { None } else { Some(text) }
    }
}

impl Fact {
    fn new(name: &str) -> Fact {
        const SIMPLE: [(&str, Fact); 11] = [
            ("iot:ClientId", Fact::ClientId),
            ("aws:SourceIp", Fact::SourceIp),
            ("iot:DomainName", Fact::DomainName),
            ("iot:Connection.Thing.ThingName", Fact::ThingName),
            ("iot:Connection.Thing.ThingTypeName", Fact::ThingTypeName),
            ("iot:Connection.Thing.IsAttached", Fact::ThingIsAttached),
            ("iot:ConnectAttributes", Fact::ConnectAttributes),
            ("iot:LastWillTopic", Fact::LastWillTopic),
            ("aws:CurrentTime", Fact::CurrentTime),
            ("aws:EpochTime", Fact::EpochTime),
            ("aws:SecureTransport", Fact::SecureTransport),
        ];
        for (known, fact) in SIMPLE {
            if name.eq_ignore_ascii_case(known) {
                return fact;
            }
        }
        if let Some(bracket) = after_prefix(name, "iot:Connection.Thing.Attributes[") {
            return bracket
                .strip_suffix(']')
                .map_or(Fact::Other, |attribute| Fact::ThingAttribute(attribute.into()));
        }
        if name.eq_ignore_ascii_case("iot:CertificateId") {
            return Fact::Certificate(name.into(), Item::At(0));
        }
        if name.eq_ignore_ascii_case("iot:Certificate.AvailableKeys") {
            // A list by nature: it has no single value to stand in for it.
            return Fact::Certificate(name.into(), Item::List);
        }
        if after_prefix(name, "iot:Certificate.").is_none() {
            return Fact::Other;
        }
        match name.rsplit_once('.') {
            Some((attribute, list)) if list.eq_ignore_ascii_case("List") => {
                Fact::Certificate(attribute.into(), Item::List)
            }
            Some((attribute, index)) => match index.parse() {
                Ok(index) => Fact::Certificate(attribute.into(), Item::At(index)),
                Err(_) => Fact::Certificate(name.into(), Item::At(0)),
            },
            None => Fact::Other,
        }
    }
}

/// The values of a request under one key.
pub(crate) enum Values<'a> {
    /// The request has no such key.
    Missing,
    One(Value<'a>),
    Strings(&'a [String]),
    Names(&'static [&'static str]),
}

impl<'a> Values<'a> {
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Values::Missing)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Values::Missing => 0,
            Values::One(_) => 1,
            Values::Strings(values) => values.len(),
            Values::Names(names) => names.len(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Value<'a>> + '_ {
        (0..self.len()).filter_map(|index| match self {
            Values::Missing => None,
            Values::One(value) => Some(*value),
            Values::Strings(values) => values.get(index).map(|value| Value::Text(value)),
            Values::Names(names) => names.get(index).map(|name| Value::Text(name)),
        })
    }
}

/// One value; its text is made only when it is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Ip(&'a SourceIp),
    CurrentTime(i64),
    EpochTime(i64),
}

impl<'a> Value<'a> {
    pub(crate) fn text(self) -> Cow<'a, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Ip(ip) => Cow::Borrowed(&ip.text),
            Value::CurrentTime(seconds) => Cow::Owned(date::format(seconds)),
            Value::EpochTime(seconds) => Cow::Owned(seconds.to_string()),
        }
    }
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

fn find<'a>(entries: &'a [(String, Vec<String>)], name: &str) -> Option<&'a [String]> {
    entries.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, values)| values.as_slice())
}

fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let start = text.get(..prefix.len())?;
    if start.eq_ignore_ascii_case(prefix) { text.get(prefix.len()..) } else { None }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::request::{Action, ConnectAttributes, Facts, Thing};

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn facts() -> Facts {
        Facts {
            client_id: Some("c+".into()),
            source_ip: Some(SourceIp::from("192.0.2.1".parse::<std::net::IpAddr>().unwrap())),
            thing: Some(Arc::new(Thing {
                name: "pump".into(),
                type_name: None,
                attributes: [("Site".to_owned(), "osaka".to_owned())].into(),
            })),
            certificate: Arc::new([
                ("iot:CertificateId".to_owned(), strings(&["ab12"])),
                ("iot:Certificate.Subject.Organization".to_owned(), strings(&["A", "B"])),
                ("iot:Certificate.Subject.CommonName".to_owned(), strings(&["dev*"])),
                ("iot:Certificate.AvailableKeys".to_owned(), strings(&["iot:CertificateId"])),
            ]),
            connect_attributes: Some(ConnectAttributes::default()),
            extra: vec![("iot:Topic".to_owned(), strings(&["t"]))],
            ..Facts::default()
        }
    }

    fn text(name: &str) -> Option<String> {
        let facts = facts();
        let request = Request { action: &Action::Publish, resource: "", facts: &facts, now: 60 };
        Variable::new(name).text(&request).map(Cow::into_owned)
    }

    #[test]
    fn each_name_finds_its_fact_in_any_case() {
        for (name, expected) in [
            ("iot:ClientId", Some("c+")),
            ("IOT:clientid", Some("c+")),
            ("aws:SourceIp", Some("192.0.2.1")),
            ("aws:EpochTime", Some("60")),
            ("aws:CurrentTime", Some("1970-01-01T00:01:00Z")),
            ("iot:Connection.Thing.ThingName", Some("pump")),
            ("iot:Connection.Thing.ThingTypeName", None),
            ("iot:connection.thing.attributes[Site]", Some("osaka")),
            ("iot:Connection.Thing.Attributes[site]", None),
            ("iot:Connection.Thing.Attributes[Site", None),
            ("iot:CertificateId", Some("ab12")),
            ("iot:Certificate.Subject.Organization", Some("A")),
            ("iot:Certificate.Subject.Organization.0", Some("A")),
            ("iot:Certificate.Subject.Organization.1", Some("B")),
            ("iot:Certificate.Subject.Organization.2", None),
            ("iot:Certificate.Subject.Organization.99999999999999999999", None),
            ("iot:Certificate.Subject.Organization.List", None),
            ("iot:Certificate.AvailableKeys", None),
            ("iot:Certificate.", None),
            ("iot:ConnectAttributes", None),
            ("iot:Topic", Some("t")),
            ("iot:Nonsense", None),
        ] {
            assert_eq!(text(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn a_certificate_value_with_a_wildcard_is_not_substituted_but_a_client_id_is() {
        assert_eq!(text("iot:Certificate.Subject.CommonName"), None);
        assert_eq!(text("iot:ClientId").as_deref(), Some("c+"));
    }

    #[test]
    fn every_known_variable_is_understood() {
        for name in KNOWN_VARIABLES {
            assert_ne!(Variable::new(name).fact, Fact::Other, "{name}");
        }
        assert!(KNOWN_VARIABLES.is_sorted());
    }

    #[test]
    fn a_known_but_empty_key_is_not_missing() {
        let facts = facts();
        let request = Request { action: &Action::Connect, resource: "", facts: &facts, now: 0 };
        let values = Variable::new("iot:ConnectAttributes").values(&request);
        assert!(values.is_empty() && !values.is_missing());
    }
}
