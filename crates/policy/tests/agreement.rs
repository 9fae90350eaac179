//! The quick answer and the explained one are the same answer, whatever the documents say.

use std::sync::Arc;

use proptest::prelude::*;
use sekisho_policy::{
    Action, ConnectAttributes, Facts, NamedPolicy, Policy, Request, Thing, Verdict, evaluate, is_allowed,
};

const ARN: &str = "arn:aws:iot:us-east-1:123456789012:";

fn actions() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "iot:Connect",
        "iot:Publish",
        "iot:*",
        "*",
        "iot:P*",
        "iot:CreateThing",
        "IOT:PUBLISH",
    ])
    .prop_map(|action| format!("\"{action}\""))
}

fn resources() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "*",
        "?",
        "${iot:ClientId}",
        "${iot:Connection.Thing.ThingName}",
        "${iot:Nothing}",
        "${*}",
        "/",
    ]);
    let name =
        prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{ARN}topic/{}\"", parts.concat()));
    prop_oneof![Just("\"*\"".to_owned()), name]
}

fn conditions() -> impl Strategy<Value = String> {
    let operator = prop::sample::select(vec![
        "StringEquals",
        "StringNotEquals",
        "StringLike",
        "StringEqualsIfExists",
        "StringEqualsIgnoreCase",
        "ForAllValues:StringEquals",
        "ForAllValues:StringNotLike",
        "ForAnyValue:StringLike",
        "ForAnyValue:StringNotEquals",
    ]);
    let key = prop::sample::select(vec![
        "iot:ClientId",
        "iot:Connection.Thing.ThingName",
        "iot:ConnectAttributes",
        "iot:Certificate.Subject.Organization.List",
        "iot:Certificate.Subject.Organization.1",
        "iot:Nothing",
    ]);
    let value = prop::sample::select(vec![
        "a",
        "b",
        "*",
        "LastWill",
        "PersistentConnect",
        "${iot:ClientId}",
        "${iot:Nothing}",
    ]);
    let values = prop::collection::vec(value, 0..3);
    let one = (operator, key, values)
        .prop_map(|(operator, key, values)| format!(r#"{{"{operator}": {{"{key}": {values:?}}}}}"#));
    prop_oneof![3 => Just("{}".to_owned()), 2 => one, 1 => Just(r#"{"Null": {"iot:ConnectAttributes": true}}"#.to_owned())]
}

fn statements() -> impl Strategy<Value = String> {
    let negated = (prop::bool::weighted(0.2), prop::bool::weighted(0.2), any::<bool>());
    (negated, prop::collection::vec(actions(), 1..3), prop::collection::vec(resources(), 1..3), conditions())
        .prop_map(|((not_action, not_resource, allow), actions, resources, condition)| {
            format!(
                r#"{{"Effect": "{}", "{}": [{}], "{}": [{}], "Condition": {condition}}}"#,
                if allow { "Allow" } else { "Deny" },
                if not_action { "NotAction" } else { "Action" },
                actions.join(", "),
                if not_resource { "NotResource" } else { "Resource" },
                resources.join(", "),
            )
        })
}

fn policies() -> impl Strategy<Value = Vec<String>> {
    let document =
        (any::<bool>(), prop::collection::vec(statements(), 1..4)).prop_map(|(variables, statements)| {
            let version = if variables { "2012-10-17" } else { "2008-10-17" };
            format!(r#"{{"Version": "{version}", "Statement": [{}]}}"#, statements.join(", "))
        });
    prop::collection::vec(document, 0..4)
}

prop_compose! {
    fn facts()(
        client_id in prop::option::of("[ab*]{0,2}"),
        thing in prop::option::of("[ab]{1,2}"),
        organizations in prop::collection::vec("[ab*]{0,2}", 0..3),
        connect in prop::option::of(any::<(bool, bool)>()),
    ) -> Facts {
        Facts {
            client_id: client_id.map(Into::into),
            thing: thing.map(|name| Arc::new(Thing { name, ..Thing::default() })),
            certificate: Arc::new([("iot:Certificate.Subject.Organization".to_owned(), organizations)]),
            connect_attributes: connect
                .map(|(persistent_connect, last_will)| ConnectAttributes { persistent_connect, last_will }),
            ..Facts::default()
        }
    }
}

fn compile(documents: &[String]) -> Vec<NamedPolicy> {
    documents
        .iter()
        .map(|document| {
            NamedPolicy::new("p", "1", Policy::parse(document).expect("the generated document is good"))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn is_allowed_is_the_verdict_of_evaluate(
        documents in policies(),
        facts in facts(),
        action in prop::sample::select(vec!["iot:Connect", "iot:Publish", "iot:RetainPublish", "iot:CreateThing"]),
        name in "[ab/*]{0,4}",
    ) {
        let policies = compile(&documents);
        let action = Action::from_name(action);
        let resource = format!("{ARN}topic/{name}");
        let request = Request { action: &action, resource: &resource, facts: &facts, now: 0 };
        let decision = evaluate(&policies, &request);
        prop_assert_eq!(is_allowed(&policies, &request), decision.verdict == Verdict::Allowed);
        let expected = match (decision.denied_by.is_empty(), decision.allowed_by.is_empty()) {
            (false, _) => Verdict::ExplicitDeny,
            (true, false) => Verdict::Allowed,
            (true, true) => Verdict::ImplicitDeny,
        };
        prop_assert_eq!(decision.verdict, expected);
    }

    #[test]
    fn a_further_deny_never_widens_and_a_further_allow_never_narrows(
        documents in policies(),
        further in statements(),
        facts in facts(),
        name in "[ab/*]{0,4}",
    ) {
        let resource = format!("{ARN}topic/{name}");
        let request = Request { action: &Action::Publish, resource: &resource, facts: &facts, now: 0 };
        let mut policies = compile(&documents);
        let before = is_allowed(&policies, &request);
        let is_allow = further.starts_with(r#"{"Effect": "Allow""#);
        policies.extend(compile(&[format!(r#"{{"Version": "2012-10-17", "Statement": {further}}}"#)]));
        let after = is_allowed(&policies, &request);
        let has_lost = before && !after;
        let has_gained = !before && after;
        prop_assert!(!(is_allow && has_lost), "an allow took something away");
        prop_assert!(is_allow || !has_gained, "a deny gave something");
    }

    #[test]
    fn parsing_never_panics(document in any::<String>()) {
        let _ = Policy::parse(&document);
    }

    #[test]
    fn a_damaged_document_never_panics(documents in policies(), position in any::<prop::sample::Index>(), byte in 0u8..128) {
        if let Some(document) = documents.first() {
            let mut bytes = document.clone().into_bytes();
            let position = position.index(bytes.len());
            bytes[position] = byte;
            if let Ok(text) = String::from_utf8(bytes) {
                let _ = Policy::parse(&text);
            }
        }
    }
}
