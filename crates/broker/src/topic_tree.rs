//! Filters to subscribers: a tree with one node for each level that some filter has.
//!
//! A lookup visits only what the topic's levels lead to and allocates nothing. Removal takes a [`Slot`] and needs no
//! search, so a thousand subscribers of one filter can leave one after the other without harm.

use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;
use hashbrown::{Equivalent, HashMap};

/// The place of an entry, for removing it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Slot(u32);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;

/// Entries of type `T` under topic filters. The same filter may have any number.
#[derive(Debug)]
pub struct TopicTree<T> {
    nodes: Vec<Node<T>>,
    free_nodes: Vec<u32>,
    /// From a node and the text of a level to the node below. One map for all nodes: a map in each would take more
    /// room than everything else of a node.
    edges: HashMap<Edge, u32, RandomState>,
    places: Vec<Place>,
    free_places: Vec<u32>,
    /// Nodes still to visit in a lookup; empty between lookups, kept for its room.
    stack: Vec<(u32, Option<usize>)>,
}

#[derive(Debug)]
struct Node<T> {
    parent: u32,
    /// The level's text in UTF-8; `+` for the single-level wildcard.
    level: Box<[u8]>,
    children: u32,
    /// The child for `+`.
    plus: u32,
    /// Filters that end at this level.
    here: Vec<Entry<T>>,
    /// Filters that end with `#` below this level.
    below: Vec<Entry<T>>,
}

#[derive(Debug)]
struct Entry<T> {
    slot: Slot,
    value: T,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    node: u32,
    position: u32,
    below: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Edge {
    from: u32,
    level: Box<[u8]>,
}

struct EdgeRef<'a> {
    from: u32,
    level: &'a [u8],
}

impl Hash for Edge {
    fn hash<H: Hasher>(&self, state: &mut H) {
        EdgeRef { from: self.from, level: &self.level }.hash(state);
    }
}

impl Hash for EdgeRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Without the mark after its end that a text writes: the number before it has a fixed length.
        state.write_u32(self.from);
        state.write(self.level);
    }
}

impl Equivalent<Edge> for EdgeRef<'_> {
    fn equivalent(&self, key: &Edge) -> bool {
        self.from == key.from && *self.level == *key.level
    }
}

impl<T> Node<T> {
    fn new(parent: u32, level: &[u8]) -> Node<T> {
        Node { parent, level: level.into(), children: 0, plus: NONE, here: Vec::new(), below: Vec::new() }
    }

    fn is_unused(&self) -> bool {
        self.children == 0 && self.here.is_empty() && self.below.is_empty()
    }
}

impl<T> Default for TopicTree<T> {
    fn default() -> TopicTree<T> {
        TopicTree::with_hasher(RandomState::default())
    }
}

impl<T> TopicTree<T> {
    fn with_hasher(hasher: RandomState) -> TopicTree<T> {
        TopicTree {
            nodes: vec![Node::new(NONE, b"")],
            free_nodes: Vec::new(),
            edges: HashMap::with_hasher(hasher),
            places: Vec::new(),
            free_places: Vec::new(),
            stack: Vec::new(),
        }
    }

    /// Adds an entry under a valid topic filter (without `$share/<name>/`).
    pub fn insert(&mut self, filter: &str, value: T) -> Slot {
        let mut node = ROOT;
        let mut below = false;
        for level in filter.as_bytes().split(|byte| *byte == b'/') {
            match level {
                b"#" => below = true,
                b"+" if self.nodes[node as usize].plus != NONE => node = self.nodes[node as usize].plus,
                level => node = self.child(node, level).unwrap_or_else(|| self.grow(node, level)),
            }
        }
        let slot = Slot(self.free_places.pop().unwrap_or_else(|| {
            self.places.push(Place { node, position: 0, below });
            index(self.places.len() - 1)
        }));
        let entries = self.entries(node, below);
        entries.push(Entry { slot, value });
        let position = index(entries.len() - 1);
        self.places[slot.0 as usize] = Place { node, position, below };
        slot
    }

    /// Removes an entry. The slot must come from [`insert`](TopicTree::insert) and must not be used again.
    pub fn remove(&mut self, slot: Slot) -> T {
        let Place { node, position, below } = self.places[slot.0 as usize];
        let entries = self.entries(node, below);
        let removed = entries.swap_remove(position as usize);
        debug_assert_eq!(removed.slot, slot);
        // The last entry moved into the gap.
        if let Some(moved) = entries.get(position as usize) {
            let moved = moved.slot;
            self.places[moved.0 as usize].position = position;
        }
        self.free_places.push(slot.0);
        self.prune(node);
        removed.value
    }

    /// Returns the entry of a slot.
    pub fn get_mut(&mut self, slot: Slot) -> &mut T {
        let Place { node, position, below } = self.places[slot.0 as usize];
        &mut self.entries(node, below)[position as usize].value
    }

    /// Visits the entries whose filter matches a topic name, in no particular order.
    ///
    /// The rules are those of `sekisho_mqtt::TopicFilter::matches`: a leading wildcard does not see topics that begin
    /// with `$` [MQTT-4.7.2-1], and `a/#` does not match `a`, which is AWS IoT's way (its MQTT page).
    pub fn for_each_match(&mut self, topic: &str, mut visit: impl FnMut(&T)) {
        // Bytes, since `/` is never part of another character: no boundaries of characters to check, level by level.
        let topic = topic.as_bytes();
        let reserved = topic.starts_with(b"$");
        let mut stack = std::mem::take(&mut self.stack);
        let mut next = Some((ROOT, Some(0)));
        // Where the topic continues below a node; `None` when the node is its last level.
        while let Some((id, rest)) = next.take().or_else(|| stack.pop()) {
            let node = &self.nodes[id as usize];
            let Some(start) = rest else {
                node.here.iter().for_each(|entry| visit(&entry.value));
                continue;
            };
            let end = topic[start..].iter().position(|byte| *byte == b'/').map(|length| start + length);
            let rest = end.map(|end| end + 1);
            if !(reserved && id == ROOT) {
                node.below.iter().for_each(|entry| visit(&entry.value));
                if node.plus != NONE {
                    stack.push((node.plus, rest));
                }
            }
            next = self.child(id, &topic[start..end.unwrap_or(topic.len())]).map(|child| (child, rest));
        }
        self.stack = stack;
    }

    fn entries(&mut self, node: u32, below: bool) -> &mut Vec<Entry<T>> {
        let node = &mut self.nodes[node as usize];
        if below { &mut node.below } else { &mut node.here }
    }

    fn child(&self, from: u32, level: &[u8]) -> Option<u32> {
        self.edges.get(&EdgeRef { from, level }).copied()
    }

    fn grow(&mut self, parent: u32, level: &[u8]) -> u32 {
        let node = Node::new(parent, level);
        let id = match self.free_nodes.pop() {
            Some(id) => {
                self.nodes[id as usize] = node;
                id
            }
            None => {
                self.nodes.push(node);
                index(self.nodes.len() - 1)
            }
        };
        self.nodes[parent as usize].children += 1;
        if level == b"+" {
            self.nodes[parent as usize].plus = id;
        } else {
            self.edges.insert(Edge { from: parent, level: level.into() }, id);
        }
        id
    }

    /// Removes a node that is not used any more, and its parents likewise.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT && self.nodes[id as usize].is_unused() {
            let parent = self.nodes[id as usize].parent;
            let level = std::mem::take(&mut self.nodes[id as usize].level);
            if *level == *b"+" {
                self.nodes[parent as usize].plus = NONE;
            } else {
                self.edges.remove(&EdgeRef { from: parent, level: &level });
            }
            self.nodes[parent as usize].children -= 1;
            self.nodes[id as usize] = Node::new(NONE, b"");
            self.free_nodes.push(id);
            id = parent;
        }
    }

    #[cfg(test)]
    fn live_nodes(&self) -> usize {
        self.nodes.len() - self.free_nodes.len()
    }
}

fn index(number: usize) -> u32 {
    // u32::MAX is NONE. Four thousand million entries of 16 bytes and more do not fit the machines this runs on.
    u32::try_from(number)
        .ok()
        .filter(|number| *number != NONE)
        .expect("fewer than 2^32 - 1 entries fit in memory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sekisho_mqtt::TopicFilter;

    use super::*;

    fn matches(tree: &mut TopicTree<usize>, topic: &str) -> Vec<usize> {
        let mut found = Vec::new();
        tree.for_each_match(topic, |value| found.push(*value));
        found.sort_unstable();
        found
    }

    fn tree(filters: &[&str]) -> TopicTree<usize> {
        let mut tree = TopicTree::default();
        for (number, filter) in filters.iter().enumerate() {
            tree.insert(filter, number);
        }
        tree
    }

    #[test]
    fn exact_and_wildcard_filters_match_level_by_level() {
        let mut tree = tree(&["a/b", "a/+", "+/b", "#", "a/#", "a/b/#", "+", "a/b/c"]);
        assert_eq!(matches(&mut tree, "a/b"), [0, 1, 2, 3, 4]);
        assert_eq!(matches(&mut tree, "a"), [3, 6]);
        assert_eq!(matches(&mut tree, "a/b/c"), [3, 4, 5, 7]);
    }

    #[test]
    fn a_multi_level_wildcard_does_not_match_its_parent_level() {
        let mut tree = tree(&["sensor/#"]);
        assert!(matches(&mut tree, "sensor").is_empty());
        assert_eq!(matches(&mut tree, "sensor/"), [0]);
        assert_eq!(matches(&mut tree, "sensor/x/y"), [0]);
    }

    #[test]
    fn leading_wildcards_do_not_see_reserved_topics() {
        let mut tree = tree(&["#", "+/events/x", "$aws/#", "$aws/+/x"]);
        assert_eq!(matches(&mut tree, "$aws/events/x"), [2, 3]);
    }

    #[test]
    fn empty_levels_are_levels() {
        let mut tree = tree(&["/", "+/+", "/+", "//", ""]);
        assert_eq!(matches(&mut tree, "/"), [0, 1, 2]);
        assert_eq!(matches(&mut tree, "//"), [3]);
    }

    #[test]
    fn a_tree_whose_entries_are_gone_holds_no_nodes() {
        let mut tree: TopicTree<usize> = TopicTree::default();
        let slots: Vec<Slot> =
            ["a/b/c", "a/+/c", "a/#", "x", "a/b/c"].iter().map(|filter| tree.insert(filter, 0)).collect();
        for slot in slots {
            tree.remove(slot);
        }
        assert_eq!(tree.live_nodes(), 1);
        assert!(tree.edges.is_empty());
    }

    fn level() -> impl Strategy<Value = &'static str> {
        prop_oneof![Just("a"), Just("b"), Just("$x"), Just(""), Just("+")]
    }

    fn filter() -> impl Strategy<Value = String> {
        (proptest::collection::vec(level(), 1..5), any::<bool>()).prop_map(|(mut levels, hash)| {
            if hash {
                levels.push("#");
            }
            levels.join("/")
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("$x"), Just("")], 1..6)
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a topic has characters", |topic| !topic.is_empty())
    }

    proptest! {
        #[test]
        fn the_tree_agrees_with_a_scan_of_all_filters(
            filters in proptest::collection::vec((filter(), any::<bool>()), 0..24),
            topics in proptest::collection::vec(topic(), 1..8),
        ) {
            let filters: Vec<_> = filters.into_iter().filter(|(filter, _)| !filter.is_empty()).collect();
            let mut tree = TopicTree::default();
            let slots: Vec<Slot> =
                filters.iter().enumerate().map(|(number, (filter, _))| tree.insert(filter, number)).collect();
            // Some leave again, oldest first.
            for (number, (_, leaves)) in filters.iter().enumerate() {
                if *leaves {
                    prop_assert_eq!(tree.remove(slots[number]), number);
                }
            }
            for topic in &topics {
                let expected: Vec<usize> = filters
                    .iter()
                    .enumerate()
                    .filter(|(_, (filter, leaves))| {
                        !leaves && TopicFilter::new(filter.as_str()).unwrap().matches(topic)
                    })
                    .map(|(number, _)| number)
                    .collect();
                prop_assert_eq!(matches(&mut tree, topic), expected);
            }
        }
    }
}
