//! Topics that begin with `$` belong to AWS: one table with the publishers and subscribers of each.
//!
//! Developer guide, "Reserved topics", and the topic pages of each service. Clients publish requests; answers and
//! notifications come from the service alone, so that no client can pass off its own as the service's: an accepted
//! certificate request brings a private key, and the device uses it. The table holds for MQTT, for wills, for retained
//! messages and for `Publish` of the `iot-data` API alike.
//!
//! A topic that is not in the table does not exist: publishing there is refused with 0x90 and subscribing with 0x8F,
//! before any policy is asked.

/// The side that publishes to the topics of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publisher {
    Client,
    Service,
}

/// The side that receives messages from the topics of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subscriber {
    /// Clients, and the service whose topic it is.
    Client,
    /// The service alone: the message, or its answer, may carry a secret. A client's topic filter is taken, and
    /// brings nothing.
    Service,
    /// Rules alone. A client's topic filter is refused.
    Rule,
}

/// A pattern of topics with their publishers and subscribers.
struct Reserved {
    /// A topic filter, where `#` stands for at least one level.
    pattern: &'static str,
    publisher: Publisher,
    subscriber: Subscriber,
}

/// A topic for requests, which subscribers see as well.
const fn request(pattern: &'static str) -> Reserved {
    Reserved { pattern, publisher: Publisher::Client, subscriber: Subscriber::Client }
}

/// A topic for requests, which the service alone sees.
const fn private_request(pattern: &'static str) -> Reserved {
    Reserved { pattern, publisher: Publisher::Client, subscriber: Subscriber::Service }
}

/// A topic for answers, notifications and events.
const fn answer(pattern: &'static str) -> Reserved {
    Reserved { pattern, publisher: Publisher::Service, subscriber: Subscriber::Client }
}

/// The reserved topics of AWS IoT. The first row whose pattern matches a topic decides about it: rows with `#`,
/// which stand for every other topic of a service, come last.
static TABLE: &[Reserved] = &[
    answer("$aws/events/#"),
    // Device Shadow service: classic shadows, then named ones.
    request("$aws/things/+/shadow/get"),
    request("$aws/things/+/shadow/update"),
    request("$aws/things/+/shadow/delete"),
    answer("$aws/things/+/shadow/get/accepted"),
    answer("$aws/things/+/shadow/get/rejected"),
    answer("$aws/things/+/shadow/update/accepted"),
    answer("$aws/things/+/shadow/update/rejected"),
    answer("$aws/things/+/shadow/update/delta"),
    answer("$aws/things/+/shadow/update/documents"),
    answer("$aws/things/+/shadow/delete/accepted"),
    answer("$aws/things/+/shadow/delete/rejected"),
    request("$aws/things/+/shadow/name/+/get"),
    request("$aws/things/+/shadow/name/+/update"),
    request("$aws/things/+/shadow/name/+/delete"),
    answer("$aws/things/+/shadow/name/+/get/accepted"),
    answer("$aws/things/+/shadow/name/+/get/rejected"),
    answer("$aws/things/+/shadow/name/+/update/accepted"),
    answer("$aws/things/+/shadow/name/+/update/rejected"),
    answer("$aws/things/+/shadow/name/+/update/delta"),
    answer("$aws/things/+/shadow/name/+/update/documents"),
    answer("$aws/things/+/shadow/name/+/delete/accepted"),
    answer("$aws/things/+/shadow/name/+/delete/rejected"),
    answer("$aws/things/+/shadow/#"),
    // Jobs.
    request("$aws/things/+/jobs/get"),
    request("$aws/things/+/jobs/start-next"),
    request("$aws/things/+/jobs/+/get"),
    request("$aws/things/+/jobs/+/update"),
    answer("$aws/things/+/jobs/get/accepted"),
    answer("$aws/things/+/jobs/get/rejected"),
    answer("$aws/things/+/jobs/start-next/accepted"),
    answer("$aws/things/+/jobs/start-next/rejected"),
    answer("$aws/things/+/jobs/+/get/accepted"),
    answer("$aws/things/+/jobs/+/get/rejected"),
    answer("$aws/things/+/jobs/+/update/accepted"),
    answer("$aws/things/+/jobs/+/update/rejected"),
    answer("$aws/things/+/jobs/notify"),
    answer("$aws/things/+/jobs/notify-next"),
    answer("$aws/things/+/jobs/#"),
    // Secure tunneling.
    answer("$aws/things/+/tunnels/notify"),
    // MQTT-based file delivery.
    request("$aws/things/+/streams/+/get/+"),
    request("$aws/things/+/streams/+/describe/+"),
    request("$aws/things/+/streams/+/create/+"),
    answer("$aws/things/+/streams/+/data/+"),
    answer("$aws/things/+/streams/+/description/+"),
    answer("$aws/things/+/streams/+/rejected/+"),
    answer("$aws/things/+/streams/#"),
    // Device Defender.
    request("$aws/things/+/defender/metrics/+"),
    answer("$aws/things/+/defender/metrics/+/accepted"),
    answer("$aws/things/+/defender/metrics/+/rejected"),
    answer("$aws/things/+/defender/metrics/#"),
    // Fleet provisioning.
    private_request("$aws/certificates/create/+"),
    answer("$aws/certificates/create/+/accepted"),
    answer("$aws/certificates/create/+/rejected"),
    answer("$aws/certificates/create/#"),
    private_request("$aws/certificates/create-from-csr/+"),
    answer("$aws/certificates/create-from-csr/+/accepted"),
    answer("$aws/certificates/create-from-csr/+/rejected"),
    answer("$aws/certificates/create-from-csr/#"),
    private_request("$aws/provisioning-templates/+/provision/+"),
    answer("$aws/provisioning-templates/+/provision/+/accepted"),
    answer("$aws/provisioning-templates/+/provision/+/rejected"),
    answer("$aws/provisioning-templates/+/provision/#"),
    // Basic Ingest: to the rule, and to no subscriber.
    Reserved { pattern: "$aws/rules/#", publisher: Publisher::Client, subscriber: Subscriber::Rule },
    // Remote commands: the service asks, the client answers.
    answer("$aws/commands/+/+/executions/+/request"),
    answer("$aws/commands/+/+/executions/+/request/+"),
    answer("$aws/commands/+/+/executions/+/response/accepted"),
    answer("$aws/commands/+/+/executions/+/response/rejected"),
    request("$aws/commands/+/+/executions/+/response"),
    request("$aws/commands/+/+/executions/+/response/+"),
    answer("$aws/commands/+/+/executions/#"),
    // Device location.
    request("$aws/device_location/+/get_position_estimate"),
    answer("$aws/device_location/+/get_position_estimate/accepted"),
    answer("$aws/device_location/+/get_position_estimate/rejected"),
    answer("$aws/device_location/+/get_position_estimate/#"),
    answer("$aws/sitewise/asset-models/#"),
];

/// Returns the row that decides about a topic.
fn row(topic: &str) -> Option<&'static Reserved> {
    TABLE.iter().find(|row| meet(topic, row.pattern))
}

/// Returns whether messages on the topic go to services or rules, and to no client.
pub fn is_for_services_only(topic: &str) -> bool {
    is_reserved(topic) && row(topic).is_some_and(|row| row.subscriber != Subscriber::Client)
}

/// Returns whether the topic or filter is reserved for AWS.
pub fn is_reserved(text: &str) -> bool {
    text.starts_with('$')
}

/// Returns whether a client may publish to a topic, as far as reserved topics decide.
pub fn accepts_publish(topic: &str) -> bool {
    !is_reserved(topic) || row(topic).is_some_and(|row| row.publisher == Publisher::Client)
}

/// Returns whether a client may subscribe with a filter (without `$share/<name>/`), as far as reserved topics decide:
/// some topic that can be subscribed to must be able to match.
pub fn accepts_subscribe(filter: &str) -> bool {
    !is_reserved(filter)
        || TABLE.iter().any(|row| row.subscriber != Subscriber::Rule && meet(filter, row.pattern))
}

/// Returns whether some topic matches both filters.
fn meet(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('/'), other.split('/'));
    loop {
        match (one.next(), other.next()) {
            (None, None) | (Some("#"), Some(_)) | (Some(_), Some("#")) => return true,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some("+"), Some(_)) | (Some(_), Some("+")) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A topic of a pattern.
    fn example(pattern: &str) -> String {
        pattern.replace('+', "x").replace('#', "other/x")
    }

    #[test]
    fn every_row_decides_about_its_own_topics() {
        for reserved in TABLE {
            let topic = example(reserved.pattern);
            let found = row(&topic).unwrap();
            assert_eq!(found.pattern, reserved.pattern, "{topic} is decided by an earlier row");
            let is_request = reserved.publisher == Publisher::Client;
            assert_eq!(accepts_publish(&topic), is_request, "publish {topic}");
            let is_open = reserved.subscriber != Subscriber::Rule;
            assert_eq!(accepts_subscribe(&topic), is_open, "subscribe {topic}");
            assert_eq!(accepts_subscribe(reserved.pattern), is_open, "subscribe {}", reserved.pattern);
            let is_private = reserved.subscriber != Subscriber::Client;
            assert_eq!(is_for_services_only(&topic), is_private, "deliver {topic}");
        }
    }

    #[test]
    fn clients_publish_only_to_reserved_topics_that_take_it() {
        for topic in [
            "a/b",
            "$aws/things/t/shadow/update",
            "$aws/things/t/shadow/name/n/get",
            "$aws/rules/r/a/b",
            "$aws/certificates/create/json",
            "$aws/provisioning-templates/p/provision/cbor",
            "$aws/device_location/d/get_position_estimate",
        ] {
            assert!(accepts_publish(topic), "{topic}");
        }
        for topic in [
            "$",
            "$SYS/uptime",
            "$aws/events/presence/connected/c",
            "$aws/things/t/tunnels/notify",
            "$aws/things/t/shadow",
            "$aws/rules",
            "$share/g/a",
            "$invalid/reserved/topic",
        ] {
            assert!(!accepts_publish(topic), "{topic}");
        }
    }

    #[test]
    fn requests_for_certificates_go_to_the_service_alone() {
        for topic in [
            "$aws/rules/r/a",
            "$aws/certificates/create/json",
            "$aws/certificates/create-from-csr/cbor",
            "$aws/provisioning-templates/p/provision/json",
        ] {
            assert!(is_for_services_only(topic), "{topic}");
        }
        for topic in
            ["a", "a/$aws/rules/r", "$aws/certificates/create/json/accepted", "$aws/things/t/shadow/update"]
        {
            assert!(!is_for_services_only(topic), "{topic}");
        }
    }

    #[test]
    fn a_reserved_filter_must_be_able_to_meet_a_topic_that_exists() {
        for filter in [
            "a/#",
            "#",
            "$aws/events/#",
            "$aws/events/presence/+/+",
            "$aws/things/+/shadow/#",
            "$aws/things/t/shadow/update/delta",
            "$aws/things/t/tunnels/notify",
            "$aws/things/#",
        ] {
            assert!(accepts_subscribe(filter), "{filter}");
        }
        for filter in [
            "$invalid/reserved/topic",
            "$SYS/#",
            "$aws/rules/r/#",
            "$aws/rules/#",
            "$aws/things/t",
            "$aws/eventz/#",
        ] {
            assert!(!accepts_subscribe(filter), "{filter}");
        }
    }
}
