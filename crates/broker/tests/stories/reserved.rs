//! Reserved topics: clients publish requests, the service alone publishes answers and events.

use sekisho_broker::{Origin, ServerPublish};
use sekisho_mqtt::{PublishProperties, QoS, TopicName};

use crate::story::*;

/// What clients publish (developer guide, "Reserved topics" and the topic pages of each service).
const REQUESTS: &[&str] = &[
    "$aws/things/t/shadow/get",
    "$aws/things/t/shadow/update",
    "$aws/things/t/shadow/delete",
    "$aws/things/t/shadow/name/n/get",
    "$aws/things/t/shadow/name/n/update",
    "$aws/things/t/shadow/name/n/delete",
    "$aws/things/t/jobs/get",
    "$aws/things/t/jobs/start-next",
    "$aws/things/t/jobs/$next/get",
    "$aws/things/t/jobs/job-1/get",
    "$aws/things/t/jobs/job-1/update",
    "$aws/things/t/streams/s/get/json",
    "$aws/things/t/streams/s/describe/cbor",
    "$aws/things/t/defender/metrics/json",
    "$aws/things/t/defender/metrics/cbor",
    "$aws/certificates/create/json",
    "$aws/certificates/create/cbor",
    "$aws/certificates/create-from-csr/json",
    "$aws/provisioning-templates/p/provision/json",
    "$aws/rules/r/a/b",
    "$aws/commands/things/t/executions/e/response/json",
    "$aws/device_location/d/get_position_estimate",
];

/// What the service publishes, and clients subscribe to.
const ANSWERS: &[&str] = &[
    "$aws/events/presence/connected/c",
    "$aws/events/presence/disconnected/c",
    "$aws/events/subscriptions/subscribed/c",
    "$aws/events/certificates/registered/ca",
    "$aws/events/jobExecution/j/succeeded",
    "$aws/events/thing/t/created",
    "$aws/things/t/shadow/get/accepted",
    "$aws/things/t/shadow/get/rejected",
    "$aws/things/t/shadow/update/accepted",
    "$aws/things/t/shadow/update/rejected",
    "$aws/things/t/shadow/update/delta",
    "$aws/things/t/shadow/update/documents",
    "$aws/things/t/shadow/delete/accepted",
    "$aws/things/t/shadow/delete/rejected",
    "$aws/things/t/shadow/name/n/get/accepted",
    "$aws/things/t/shadow/name/n/get/rejected",
    "$aws/things/t/shadow/name/n/update/accepted",
    "$aws/things/t/shadow/name/n/update/rejected",
    "$aws/things/t/shadow/name/n/update/delta",
    "$aws/things/t/shadow/name/n/update/documents",
    "$aws/things/t/shadow/name/n/delete/accepted",
    "$aws/things/t/shadow/name/n/delete/rejected",
    "$aws/things/t/jobs/get/accepted",
    "$aws/things/t/jobs/get/rejected",
    "$aws/things/t/jobs/start-next/accepted",
    "$aws/things/t/jobs/start-next/rejected",
    "$aws/things/t/jobs/job-1/get/accepted",
    "$aws/things/t/jobs/job-1/get/rejected",
    "$aws/things/t/jobs/job-1/update/accepted",
    "$aws/things/t/jobs/job-1/update/rejected",
    "$aws/things/t/jobs/$next/get/accepted",
    "$aws/things/t/jobs/notify",
    "$aws/things/t/jobs/notify-next",
    "$aws/things/t/tunnels/notify",
    "$aws/things/t/streams/s/data/json",
    "$aws/things/t/streams/s/description/cbor",
    "$aws/things/t/streams/s/rejected/json",
    "$aws/things/t/defender/metrics/json/accepted",
    "$aws/things/t/defender/metrics/json/rejected",
    "$aws/certificates/create/json/accepted",
    "$aws/certificates/create/json/rejected",
    "$aws/certificates/create/cbor/accepted",
    "$aws/certificates/create/cbor/rejected",
    "$aws/certificates/create/json/accepted/deeper",
    "$aws/certificates/create-from-csr/json/accepted",
    "$aws/certificates/create-from-csr/cbor/rejected",
    "$aws/provisioning-templates/p/provision/json/accepted",
    "$aws/provisioning-templates/p/provision/cbor/rejected",
    "$aws/commands/things/t/executions/e/request",
    "$aws/commands/clients/c/executions/e/request/json",
    "$aws/commands/things/t/executions/e/response/accepted",
    "$aws/commands/things/t/executions/e/response/rejected",
    "$aws/device_location/d/get_position_estimate/accepted",
    "$aws/device_location/d/get_position_estimate/rejected",
    "$aws/sitewise/asset-models/m/assets/a/properties/p",
];

/// What does not exist.
const UNKNOWN: &[&str] =
    &["$SYS/broker/uptime", "$aws", "$aws/things/t/shadow", "$aws/rules", "$aws/eventz/x", "$invalid/topic"];

fn from_service(topic: &str) -> ServerPublish {
    ServerPublish {
        topic: TopicName::new(topic).unwrap(),
        payload: "x".into(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: PublishProperties::new(),
        origin: Origin::Service,
    }
}

/// How each way of publishing ends: MQTT 5 QoS 1, MQTT 5 QoS 0, 3.1.1, and the API.
fn outcomes(topic: &str) -> [String; 4] {
    let mut story = Story::new();
    let mut publish_from = |connect: Client, message: Pub| {
        let id = story.join(connect);
        story.publish(id, message);
        story.take(id).join(", ")
    };
    let acknowledged = publish_from(client("a").v5(), publish(topic, "x").qos1(1));
    let unacknowledged = publish_from(client("b").v5(), publish(topic, "x"));
    let old = publish_from(client("c"), publish(topic, "x").qos1(1));
    let api = match story.publish_from_server(topic, "x", QoS::AtLeastOnce) {
        Ok(_) => String::new(),
        Err(refusal) => refusal.as_str().to_owned(),
    };
    [acknowledged, unacknowledged, old, api]
}

#[test]
fn clients_publish_requests() {
    for topic in REQUESTS {
        assert_eq!(outcomes(topic), ["PUBACK 00 #1", "", "PUBACK 00 #1", ""], "{topic}");
    }
}

#[test]
fn the_service_alone_publishes_answers_and_events() {
    for topic in ANSWERS.iter().chain(UNKNOWN) {
        let closed = "CLOSE CLIENT_ERROR";
        let refused = ["PUBACK 90 #1", "DISCONNECT 90, CLOSE CLIENT_ERROR", closed, "TOPIC_RESERVED"];
        assert_eq!(outcomes(topic), refused, "{topic}");
    }
    for topic in ANSWERS {
        let mut story = Story::new();
        let id = story.join(client("a"));
        story.follow(id, &[(topic, 1)]);
        let _ = story.turn(|broker, now, effects| broker.publish(now, from_service(topic), effects)).unwrap();
        assert_eq!(story.take(id), [format!("PUBLISH {topic}=x qos1 #1")]);
    }
}

#[test]
fn an_answer_of_a_client_reaches_no_device_under_any_wildcard() {
    let mut story = Story::new();
    let device = story.join(client("device"));
    story.follow(device, &[("$aws/certificates/create/#", 1), ("$aws/+/create/+/+", 1), ("$aws/#", 1)]);
    let other = story.join(client("other").v5());
    story.publish(other, publish("$aws/certificates/create/json/accepted", "a key").qos1(1));
    assert_eq!(story.take(other), ["PUBACK 90 #1"]);
    let seen = story.take(device);
    assert!(seen.iter().all(|line| line.starts_with("PUBLISH $aws/events/")), "{seen:?}");
}

#[test]
fn no_reserved_topic_takes_a_will_or_a_retained_message() {
    for topic in REQUESTS.iter().chain(ANSWERS).chain(UNKNOWN) {
        let mut story = Story::new();
        let refused = story.connect(client("will").v5().will(topic, "x"));
        assert_eq!(story.take(refused), ["CONNACK 90", "CLOSE CLIENT_ERROR"], "{topic}");
        let id = story.join(client("a").v5());
        story.publish(id, publish(topic, "x").qos1(1).retained());
        assert_eq!(story.take(id), ["PUBACK 90 #1"], "{topic}");
    }
}

#[test]
fn clients_subscribe_to_every_topic_but_those_of_rules_and_those_that_do_not_exist() {
    let mut story = Story::new();
    let mut code = |filter: &str| {
        let id = story.join(client("a").v5());
        story.subscribe(id, &[(filter, 1)]);
        story.take(id).join(", ")
    };
    for topic in REQUESTS.iter().chain(ANSWERS).filter(|topic| !topic.starts_with("$aws/rules/")) {
        assert_eq!(code(topic), "SUBACK 01 #1", "{topic}");
    }
    for filter in UNKNOWN.iter().chain(&["$aws/rules/r/a/b", "$aws/rules/#", "$share/g/$aws/rules/r/#"]) {
        assert_eq!(code(filter), "SUBACK 8F #1", "{filter}");
    }
}
