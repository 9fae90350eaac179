//! A bounded queue that serves owners in turn: accounts, and within an account the sources of what waits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use foldhash::fast::RandomState;

/// The largest sizes of what waits.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Of everything.
    pub total: usize,
    /// Of one account.
    pub account: usize,
    /// Of one source within an account.
    pub source: usize,
}

impl Bounds {
    /// For what is bounded by other means.
    pub const NONE: Bounds = Bounds { total: usize::MAX, account: usize::MAX, source: usize::MAX };
}

/// Items of accounts and their sources. [`pop`](Self::pop) goes round the accounts that have items, one item each, and
/// within an account round its sources. So an account waits for at most one item of each other account before each of
/// its own.
///
/// Where a bound is reached, an account or source that holds more than the newcomer would hold gives up its newest
/// items; else the newcomer is refused. So none that holds less than an equal share is refused because others fill the
/// queue. Ordinary use costs two look-ups per item; only a full queue is searched for the owner of most.
#[derive(Debug)]
pub struct FairQueue<A, S, T> {
    bounds: Bounds,
    accounts: Turns<A, Turns<S, Lane<T>>>,
}

impl<A: Hash + Eq + Clone, S: Hash + Eq + Clone, T> FairQueue<A, S, T> {
    /// An empty queue.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, accounts: Turns::default() }
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.accounts.turn.is_empty()
    }

    /// How many items wait.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }

    /// The size of everything that waits.
    pub fn size(&self) -> usize {
        self.accounts.size()
    }

    /// The size of what waits of an account.
    pub fn size_of(&self, account: &A) -> usize {
        self.accounts.children.get(account).map_or(0, Weighed::size)
    }

    /// Add an item at the end of its source's. Returns the items that were displaced, most often none.
    ///
    /// # Errors
    /// The item, where it was refused; what waited does so still.
    pub fn push(&mut self, account: A, source: S, item: T, size: usize) -> Result<Vec<T>, T> {
        debug_assert!(size > 0, "an item without a size would not be bounded");
        self.lane(&account, &source).items.push_back((item, size));
        self.grow(&account, &source, size);
        let mut displaced = Vec::new();
        while let Some(level) = self.exceeded(&account, &source) {
            let Some(victim) = self.victim(&account, &source, level) else {
                let refused = self.drop_newest(&account, &source);
                for ((account, source), (item, size)) in displaced.into_iter().rev() {
                    self.lane(&account, &source).items.push_back((item, size));
                    self.grow(&account, &source, size);
                }
                return match refused {
                    Some((item, _)) => Err(item),
                    // It was added above.
                    None => Ok(Vec::new()),
                };
            };
            match self.drop_newest(&victim.0, &victim.1) {
                Some(entry) => displaced.push((victim, entry)),
                None => break,
            }
        }
        Ok(displaced.into_iter().map(|(_, (item, _))| item).collect())
    }

    /// Add an item ahead of its source's others, whatever the bounds say.
    pub fn push_front(&mut self, account: A, source: S, item: T, size: usize) {
        self.lane(&account, &source).items.push_front((item, size));
        self.grow(&account, &source, size);
    }

    /// The next item.
    pub fn pop(&mut self) -> Option<T> {
        let account = self.accounts.turn.pop_front()?;
        let sources = self.accounts.children.get_mut(&account)?;
        let source = sources.turn.pop_front()?;
        let lane = sources.children.get_mut(&source)?;
        let (item, size) = lane.items.pop_front()?;
        lane.size -= size;
        if lane.items.is_empty() {
            sources.children.remove(&source);
        } else {
            sources.turn.push_back(source);
        }
        sources.count -= 1;
        sources.size -= size;
        if sources.turn.is_empty() {
            self.accounts.children.remove(&account);
        } else {
            self.accounts.turn.push_back(account);
        }
        self.accounts.count -= 1;
        self.accounts.size -= size;
        Some(item)
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.accounts = Turns::default();
    }

    fn lane(&mut self, account: &A, source: &S) -> &mut Lane<T> {
        self.accounts.child(account).child(source)
    }

    fn grow(&mut self, account: &A, source: &S, size: usize) {
        let sources = self.accounts.child(account);
        sources.child(source).size += size;
        sources.size += size;
        sources.count += 1;
        self.accounts.size += size;
        self.accounts.count += 1;
    }

    fn drop_newest(&mut self, account: &A, source: &S) -> Option<(T, usize)> {
        let sources = self.accounts.children.get_mut(account)?;
        let lane = sources.children.get_mut(source)?;
        let (item, size) = lane.items.pop_back()?;
        lane.size -= size;
        let is_empty = lane.items.is_empty();
        sources.shrink(source, is_empty, size);
        let is_empty = sources.children.is_empty();
        self.accounts.shrink(account, is_empty, size);
        Some((item, size))
    }

    fn exceeded(&self, account: &A, source: &S) -> Option<Level> {
        let sources = self.accounts.children.get(account)?;
        if self.accounts.size > self.bounds.total {
            Some(Level::Total)
        } else if sources.size > self.bounds.account {
            Some(Level::Account)
        } else if sources.children.get(source)?.size > self.bounds.source {
            Some(Level::Source)
        } else {
            None
        }
    }

    /// The owner that loses its newest item; `None` where that is the newcomer itself.
    fn victim(&self, account: &A, source: &S, level: Level) -> Option<(A, S)> {
        let ours = self.accounts.children.get(account)?;
        if level == Level::Total {
            let (largest, sources) = self.accounts.largest()?;
            let (below, lane) = sources.largest()?;
            if sources.size - lane.newest_size() >= ours.size {
                return Some((largest.clone(), below.clone()));
            }
        }
        if level != Level::Source {
            let (largest, lane) = ours.largest()?;
            if lane.size - lane.newest_size() >= ours.children.get(source)?.size {
                return Some((account.clone(), largest.clone()));
            }
        }
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Total,
    Account,
    Source,
}

trait Weighed {
    fn size(&self) -> usize;
}

/// Children that have items, in the order of their turns.
#[derive(Debug)]
struct Turns<K, C> {
    children: HashMap<K, C, RandomState>,
    turn: VecDeque<K>,
    size: usize,
    count: usize,
}

impl<K, C> Default for Turns<K, C> {
    fn default() -> Self {
        Self { children: HashMap::default(), turn: VecDeque::new(), size: 0, count: 0 }
    }
}

impl<K, C> Weighed for Turns<K, C> {
    fn size(&self) -> usize {
        self.size
    }
}

impl<K: Hash + Eq + Clone, C: Default + Weighed> Turns<K, C> {
    fn len(&self) -> usize {
        self.count
    }

    fn child(&mut self, key: &K) -> &mut C {
        if !self.children.contains_key(key) {
            self.turn.push_back(key.clone());
        }
        self.children.entry(key.clone()).or_default()
    }

    fn largest(&self) -> Option<(&K, &C)> {
        self.children.iter().max_by_key(|(_, child)| child.size())
    }

    /// A child has lost an item of this size, and goes when that was its last.
    fn shrink(&mut self, key: &K, is_empty: bool, size: usize) {
        self.size -= size;
        self.count -= 1;
        if is_empty {
            self.children.remove(key);
            self.turn.retain(|other| other != key);
        }
    }
}

#[derive(Debug)]
struct Lane<T> {
    items: VecDeque<(T, usize)>,
    size: usize,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), size: 0 }
    }
}

impl<T> Weighed for Lane<T> {
    fn size(&self) -> usize {
        self.size
    }
}

impl<T> Lane<T> {
    fn newest_size(&self) -> usize {
        self.items.back().map_or(0, |(_, size)| *size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { total: 12, account: 8, source: 5 };

    fn many() -> FairQueue<char, char, u32> {
        FairQueue::new(Bounds { total: 1000, account: 1000, source: 1000 })
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(char, char, usize),
        Front(char, char),
        Pop,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let owner = || (prop::sample::select(vec!['A', 'B', 'C']), prop::sample::select(vec!['x', 'y', 'z']));
        let step = prop_oneof![
            6 => (owner(), 1..4_usize).prop_map(|((a, s), size)| Step::Push(a, s, size)),
            1 => owner().prop_map(|(a, s)| Step::Front(a, s)),
            3 => Just(Step::Pop),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_and_bounds_hold(steps in steps()) {
            let mut queue = FairQueue::new(BOUNDS);
            let mut waiting: BTreeMap<u32, (char, char, usize)> = BTreeMap::new();
            let mut over = 0;
            for (number, step) in (0..).zip(steps) {
                match step {
                    Step::Push(account, source, size) => match queue.push(account, source, number, size) {
                        Ok(displaced) => {
                            waiting.insert(number, (account, source, size));
                            for each in displaced {
                                prop_assert!(waiting.remove(&each).is_some());
                            }
                        }
                        Err(refused) => prop_assert_eq!(refused, number),
                    },
                    Step::Front(account, source) => {
                        queue.push_front(account, source, number, 1);
                        waiting.insert(number, (account, source, 1));
                        over += 1;
                    }
                    Step::Pop => match queue.pop() {
                        Some(item) => prop_assert!(waiting.remove(&item).is_some()),
                        None => prop_assert!(waiting.is_empty()),
                    },
                }
                let size = |of: &dyn Fn(char, char) -> bool| -> usize {
                    waiting.values().filter(|(a, s, _)| of(*a, *s)).map(|(_, _, size)| size).sum()
                };
                prop_assert_eq!(queue.len(), waiting.len());
                prop_assert_eq!(queue.is_empty(), waiting.is_empty());
                prop_assert_eq!(queue.size(), size(&|_, _| true));
                prop_assert!(queue.size() <= BOUNDS.total + over);
                for account in ['A', 'B', 'C'] {
                    prop_assert_eq!(queue.size_of(&account), size(&|a, _| a == account));
                    prop_assert!(queue.size_of(&account) <= BOUNDS.account + over);
                    for source in ['x', 'y', 'z'] {
                        prop_assert!(size(&|a, s| (a, s) == (account, source)) <= BOUNDS.source + over);
                    }
                }
            }
        }

        #[test]
        fn an_account_waits_for_one_item_of_each_other_account_per_turn(
            pushes in prop::collection::vec((0..6_u8, 0..4_u8), 0..200),
        ) {
            let mut queue = FairQueue::new(Bounds::NONE);
            let mut left = [0_i32; 6];
            for (number, (account, source)) in (0..).zip(&pushes) {
                prop_assert_eq!(queue.push(*account, *source, (*account, *source, number), 1), Ok(Vec::new()));
                left[usize::from(*account)] += 1;
            }
            let mut since = [[0; 6]; 6];
            let mut last: BTreeMap<(u8, u8), i32> = BTreeMap::new();
            while let Some((account, source, number)) = queue.pop() {
                prop_assert!(last.insert((account, source), number).is_none_or(|before| before < number));
                let account = usize::from(account);
                left[account] -= 1;
                since[account] = [0; 6];
                for other in (0..6).filter(|other| *other != account && left[*other] > 0) {
                    since[other][account] += 1;
                    prop_assert_eq!(since[other][account], 1);
                }
            }
            prop_assert_eq!(left, [0; 6]);
        }
    }

    #[test]
    fn accounts_and_their_sources_take_turns() {
        let mut queue = many();
        for (number, (account, source)) in (0..).zip([('A', 'x'), ('A', 'x'), ('A', 'y'), ('B', 'x')]) {
            queue.push(account, source, number, 1).unwrap();
        }
        queue.push_front('A', 'x', 9, 1);
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), [9, 3, 2, 0, 1]);
    }

    #[test]
    fn who_has_most_gives_way_and_equal_shares_do_not() {
        let mut queue = FairQueue::new(Bounds { total: 8, account: 8, source: 8 });
        (0..8).for_each(|number| drop(queue.push('A', 'x', number, 1)));
        assert_eq!(queue.push('A', 'x', 8, 1), Err(8));
        for number in 10..14 {
            assert_eq!(queue.push('B', 'x', number, 1), Ok(vec![17 - number]));
        }
        assert_eq!(queue.push('B', 'x', 14, 1), Err(14), "half of it is B's share");
        assert_eq!(queue.push('A', 'y', 15, 1), Ok(vec![3]), "within an account likewise");
    }

    #[test]
    fn many_small_items_do_not_give_way_to_a_large_one_that_has_no_place() {
        let mut queue = FairQueue::new(Bounds { total: 10, account: 10, source: 10 });
        (0..10).for_each(|number| drop(queue.push('A', 'x', number, 1)));
        assert_eq!(queue.push('B', 'x', 10, 8), Err(10));
        assert_eq!(std::iter::from_fn(|| queue.pop()).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    }
}
