//! Topic names and filters: the table shared with Python, and a simple matcher to compare with.

use proptest::prelude::*;
use sekisho_mqtt::{TopicFilter, TopicName};
use serde::Deserialize;

#[derive(Deserialize)]
struct Table {
    matches: Vec<Match>,
    valid_filters: Vec<String>,
    invalid_filters: Vec<InvalidFilter>,
    counted_slashes: Vec<Slashes>,
    valid_names: Vec<String>,
    invalid_names: Vec<InvalidName>,
}

#[derive(Deserialize)]
struct Match {
    filter: String,
    topic: String,
    matches: bool,
}

#[derive(Deserialize)]
struct InvalidFilter {
    filter: String,
    why: String,
}

#[derive(Deserialize)]
struct InvalidName {
    name: String,
    why: String,
}

#[derive(Deserialize)]
struct Slashes {
    filter: String,
    slashes: usize,
}

fn table() -> Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/topic_filters.json");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    serde_json::from_str(&text).expect("the vectors have the tables this test reads")
}

fn filter(text: &str) -> TopicFilter {
    TopicFilter::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn filters_match_as_the_table_says() {
    for row in table().matches {
        assert_eq!(filter(&row.filter).matches(&row.topic), row.matches, "{} on {}", row.filter, row.topic);
    }
}

#[test]
fn filters_and_names_are_valid_as_the_table_says() {
    let table = table();
    for text in table.valid_filters {
        assert_eq!(filter(&text).as_str(), text);
    }
    for row in table.invalid_filters {
        let error = TopicFilter::new(row.filter.as_str()).expect_err(&row.filter).to_string();
        assert!(error.contains(&row.why), "{}: {error} where {} was broken", row.filter, row.why);
    }
    for text in table.valid_names {
        assert_eq!(TopicName::new(text.as_str()).expect(&text).as_str(), text);
    }
    for row in table.invalid_names {
        let error = TopicName::new(row.name.as_str()).expect_err(&row.name).to_string();
        assert!(error.contains(&row.why), "{}: {error} where {} was broken", row.name, row.why);
    }
}

#[test]
fn slashes_of_the_share_and_rule_prefixes_do_not_count() {
    for row in table().counted_slashes {
        assert_eq!(filter(&row.filter).slash_count(), row.slashes, "{}", row.filter);
        if !row.filter.contains('#') && !row.filter.starts_with("$share/") {
            assert_eq!(TopicName::new(row.filter.as_str()).unwrap().slash_count(), row.slashes);
        }
    }
}

#[test]
fn a_shared_filter_knows_its_group_and_its_filter() {
    let shared = filter("$share/group/a/+");
    assert_eq!(shared.shared(), Some(("group", "a/+")));
    assert_eq!(shared.levels().collect::<Vec<_>>(), ["a", "+"]);
    assert!(shared.has_wildcard());
    assert_eq!(filter("a/b").shared(), None);
    assert_eq!(filter("$sharing/group/a").shared(), None);
    assert_eq!(filter("$share/g//").shared(), Some(("g", "/")));
}

/// Applies the rules of section 4.7 as a search over all ways to read the filter, with AWS's meaning of `#`.
fn naive(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) => true,
        (["#"], [_, ..]) => true,
        (["+", filter @ ..], [_, topic @ ..]) => naive(filter, topic),
        ([wanted, filter @ ..], [given, topic @ ..]) => wanted == given && naive(filter, topic),
        _ => false,
    }
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["", "a", "b", "ab", "$s", "温"])
}

fn filter_text() -> impl Strategy<Value = String> {
    let level = prop_oneof![3 => level(), 2 => Just("+")];
    (prop::collection::vec(level, 0..5), any::<bool>())
        .prop_map(|(mut levels, all)| {
            if all {
                levels.push("#");
            }
            levels.join("/")
        })
        .prop_filter("a filter has at least one character", |text| !text.is_empty())
}

fn topic_text() -> impl Strategy<Value = String> {
    prop::collection::vec(level(), 1..6)
        .prop_map(|levels| levels.join("/"))
        .prop_filter("a topic has at least one character", |text| !text.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn matching_agrees_with_a_naive_matcher(filter in filter_text(), topic in topic_text()) {
        let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
        let levels = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        let (wanted, given) = (levels(&filter), levels(&topic));
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let given: Vec<&str> = given.iter().map(String::as_str).collect();
        prop_assert_eq!(TopicFilter::new(filter.as_str()).unwrap().matches(&topic), !hidden && naive(&wanted, &given));
    }

    #[test]
    fn a_topic_name_is_a_filter_that_matches_itself(topic in topic_text()) {
        let name = TopicName::new(topic.as_str()).unwrap();
        if !topic.starts_with("$share/") {
            prop_assert!(TopicFilter::new(name.as_str()).unwrap().matches(&name));
        }
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "[$a-c/+#\u{0}]{0,12}|\\$share/.{0,12}|.{0,20}", topic in ".{0,20}") {
        if let Ok(filter) = TopicFilter::new(text.as_str()) {
            filter.matches(&topic);
            prop_assert!(filter.counted().len() <= filter.as_str().len());
            prop_assert_eq!(filter.shared().is_some(), text.starts_with("$share/"));
        }
        let _ = TopicName::new(text.as_str());
    }
}
