//! Topics that begin with `$` belong to AWS: one table of those that clients may use, and how.
//!
//! Developer guide, "Reserved topics". What is not in the table does not exist: publishing there is refused with 0x90
//! and subscribing with 0x8F, before any policy is asked.

/// What clients may do on the topics of a pattern.
struct Reserved {
    /// A topic filter, where `#` stands for at least one level.
    pattern: &'static str,
    publish: bool,
    subscribe: bool,
}

const fn reserved(pattern: &'static str, publish: bool, subscribe: bool) -> Reserved {
    Reserved { pattern, publish, subscribe }
}

static TABLE: &[Reserved] = &[
    reserved("$aws/events/#", false, true),
    reserved("$aws/things/+/shadow/#", true, true),
    reserved("$aws/things/+/jobs/#", true, true),
    reserved("$aws/things/+/tunnels/notify", false, true),
    reserved("$aws/things/+/streams/#", true, true),
    reserved("$aws/things/+/defender/metrics/#", true, true),
    reserved("$aws/certificates/create/#", true, true),
    reserved("$aws/certificates/create-from-csr/#", true, true),
    reserved("$aws/provisioning-templates/+/provision/#", true, true),
    // Basic Ingest: straight to the rule, seen by nobody else.
    reserved("$aws/rules/#", true, false),
    reserved("$aws/commands/+/+/executions/#", true, true),
    reserved("$aws/device_location/+/get_position_estimate", true, true),
    reserved("$aws/device_location/+/get_position_estimate/#", true, true),
    reserved("$aws/sitewise/asset-models/#", false, true),
];

/// Messages published under this prefix go to rules and to no subscriber.
pub const BASIC_INGEST: &str = "$aws/rules/";

/// Requests that may carry secrets, or whose answers do: they go to the service and to no subscriber.
static PRIVATE: &[&str] = &[
    "$aws/certificates/create/+",
    "$aws/certificates/create-from-csr/+",
    "$aws/provisioning-templates/+/provision/+",
];

/// Whether messages on the topic go to services, and to no subscriber.
pub fn is_for_services_only(topic: &str) -> bool {
    is_reserved(topic)
        && (topic.starts_with(BASIC_INGEST) || PRIVATE.iter().any(|pattern| meet(topic, pattern)))
}

/// Whether the topic or filter is AWS's.
pub fn is_reserved(text: &str) -> bool {
    text.starts_with('$')
}

/// Whether a client may publish to a topic, as far as reserved topics decide.
pub fn accepts_publish(topic: &str) -> bool {
    !is_reserved(topic) || TABLE.iter().any(|entry| entry.publish && meet(topic, entry.pattern))
}

/// Whether a client may subscribe with a filter (without `$share/<name>/`), as far as reserved topics decide: some topic
/// that can be subscribed to must be able to match.
pub fn accepts_subscribe(filter: &str) -> bool {
    !is_reserved(filter) || TABLE.iter().any(|entry| entry.subscribe && meet(filter, entry.pattern))
}

/// Whether some topic matches both filters.
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
