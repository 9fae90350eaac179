//! A resource on the first line, a policy document on the others: parsing, then deciding in both ways.

#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sekisho_policy::{
    Action, ConnectAttributes, Facts, NamedPolicy, Policy, Request, Thing, Verdict, evaluate, is_allowed,
};

fuzz_target!(|text: &str| {
    let Some((resource, document)) = text.split_once('\n') else { return };
    let Ok(policy) = Policy::parse(document) else { return };
    let policies = [NamedPolicy::new("fuzzed", "1", policy)];
    let facts = Facts {
        client_id: Some(resource.into()),
        source_ip: Some(std::net::IpAddr::from([192, 0, 2, 1]).into()),
        thing: Some(Arc::new(Thing { name: "thing".to_owned(), ..Thing::default() })),
        is_attached: Some(true),
        certificate: Arc::new([(
            "iot:Certificate.Subject.CommonName".to_owned(),
            vec![resource.to_owned(), "b".to_owned()],
        )]),
        connect_attributes: Some(ConnectAttributes { persistent_connect: true, last_will: true }),
        ..Facts::default()
    };
    for action in [Action::Connect, Action::Publish, Action::Other(resource.into())] {
        let request = Request { action: &action, resource, facts: &facts, now: 1_795_513_800 };
        let decision = evaluate(&policies, &request);
        assert_eq!(is_allowed(&policies, &request), decision.verdict == Verdict::Allowed);
    }
});
