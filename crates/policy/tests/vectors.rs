//! The decisions of `tests/vectors/policy.json`, which other languages read too.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use sekisho_policy::{
    Action, ConnectAttributes, Facts, NamedPolicy, Policy, Request, Thing, Verdict, evaluate, is_allowed,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "about")]
    _about: Vec<String>,
    rows: Vec<Row>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    decided_by: String,
    outcome: Option<String>,
    why: String,
    documents: Vec<serde_json::Value>,
    requests: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    action: String,
    resource: String,
    facts: Known,
    #[serde(default)]
    now: i64,
    expected: String,
    missing: Option<Vec<String>>,
    #[serde(default, rename = "uncertain")]
    _uncertain: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Known {
    client_id: Option<String>,
    source_ip: Option<IpAddr>,
    domain_name: Option<String>,
    thing: Option<KnownThing>,
    is_attached: Option<bool>,
    certificate: BTreeMap<String, Vec<String>>,
    connect_attributes: Option<Vec<String>>,
    last_will_topic: Option<String>,
    secure_transport: Option<bool>,
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownThing {
    name: String,
    type_name: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    name: String,
    document: String,
    mentions: String,
}

fn vectors() -> Vectors {
    let text = include_str!("../../../tests/vectors/policy.json");
    serde_json::from_str(text).expect("tests/vectors/policy.json has the shape described in it")
}

fn facts(known: &Known) -> Facts {
    Facts {
        client_id: known.client_id.as_deref().map(Into::into),
        source_ip: known.source_ip.map(Into::into),
        domain_name: known.domain_name.as_deref().map(Into::into),
        thing: known.thing.as_ref().map(|thing| {
            Arc::new(Thing {
                name: thing.name.clone(),
                type_name: thing.type_name.clone(),
                attributes: thing.attributes.clone(),
            })
        }),
        is_attached: known.is_attached,
        certificate: known.certificate.clone().into_iter().collect(),
        connect_attributes: known.connect_attributes.as_ref().map(|names| ConnectAttributes {
            persistent_connect: names.iter().any(|name| name == "PersistentConnect"),
            last_will: names.iter().any(|name| name == "LastWill"),
        }),
        last_will_topic: known.last_will_topic.clone(),
        secure_transport: known.secure_transport,
        extra: known.extra.clone().into_iter().collect(),
    }
}

#[test]
fn every_row_is_decided_as_written() {
    let mut wrong = Vec::new();
    for row in vectors().rows {
        let policies: Vec<NamedPolicy> = row
            .documents
            .iter()
            .enumerate()
            .map(|(index, document)| {
                let policy = Policy::parse(&document.to_string())
                    .unwrap_or_else(|error| panic!("{}: {error}", row.row));
                NamedPolicy::new(format!("policy{index}"), "1", policy)
            })
            .collect();
        for (index, question) in row.requests.iter().enumerate() {
            let facts = facts(&question.facts);
            let action = Action::from_name(&question.action);
            let request =
                Request { action: &action, resource: &question.resource, facts: &facts, now: question.now };
            let decision = evaluate(&policies, &request);
            assert_eq!(is_allowed(&policies, &request), decision.verdict == Verdict::Allowed, "{}", row.row);
            let is_missing_right =
                question.missing.as_ref().is_none_or(|missing| *missing == decision.missing);
            if decision.verdict.as_str() != question.expected || !is_missing_right {
                wrong.push(format!("row {}, request {index} ({}): {decision:?}", row.row, row.why));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_worked_decision_is_there_and_says_who_decides() {
    let rows = vectors().rows;
    for number in 1..=55 {
        let row =
            rows.iter().find(|row| row.row == number.to_string()).unwrap_or_else(|| panic!("row {number}"));
        assert_eq!(row.decided_by == "policy", row.outcome.is_none(), "row {number}");
        assert!(!row.requests.is_empty(), "row {number}");
    }
}

#[test]
fn every_refused_document_is_refused_with_the_place() {
    for refused in vectors().refused {
        let error = Policy::parse(&refused.document).expect_err(&refused.name).to_string();
        assert!(error.contains(&refused.mentions), "{}: {error}", refused.name);
    }
}
