//! The table of all realms, and of the endpoints that lead to them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use arc_swap::ArcSwap;
use sekisho_broker::{AccountBudget, Budget, Limits};
use sekisho_mqtt::TopicFilter;

use crate::realm::Realm;
use crate::realm_name::{RealmId, RealmName};
use crate::reports::Reports;

/// All realms, and which endpoint is of which.
pub struct Realms {
    table: RwLock<Table>,
    budget: Arc<Budget>,
    /// Those of the accounts whose realms there are.
    account_budgets: Mutex<HashMap<Arc<str>, Arc<AccountBudget>>>,
    endpoints: ArcSwap<HashMap<String, Arc<Realm>>>,
    limits: Limits,
    requests: Vec<TopicFilter>,
    reports: Reports,
    /// Called with each new realm, to start the task that keeps its time.
    created: Created,
}

#[derive(Default)]
struct Table {
    /// By account and region.
    by_name: HashMap<(Arc<str>, Arc<str>), Arc<Realm>>,
    /// By number.
    all: Vec<Arc<Realm>>,
}

/// Called with each new realm.
pub type Created = Box<dyn Fn(&Arc<Realm>) + Send + Sync>;

impl std::fmt::Debug for Realms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Realms").field("realms", &self.all()).finish_non_exhaustive()
    }
}

impl Realms {
    /// No realms yet. `requests` are the topic filters of the services; `created` is told of each realm that comes to be.
    pub fn new(
        limits: Limits,
        budget: Arc<Budget>,
        requests: Vec<TopicFilter>,
        reports: Reports,
        created: Created,
    ) -> Self {
        Self {
            table: RwLock::default(),
            budget,
            account_budgets: Mutex::default(),
            endpoints: ArcSwap::default(),
            limits,
            requests,
            reports,
            created,
        }
    }

    /// The realm, if it exists already.
    pub fn get(&self, account_id: &str, region: &str) -> Option<Arc<Realm>> {
        self.read().by_name.get(&(account_id.into(), region.into())).cloned()
    }

    /// The realm of this number.
    ///
    /// # Panics
    /// When the number is not that of a realm in this table.
    pub fn at(&self, id: RealmId) -> Arc<Realm> {
        self.read().all[id.index()].clone()
    }

    /// The realm; made at its first use.
    pub fn get_or_create(&self, account_id: &str, region: &str) -> Arc<Realm> {
        if let Some(realm) = self.get(account_id, region) {
            return realm;
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let Table { by_name, all } = &mut *table;
        let realm = match by_name.entry((account_id.into(), region.into())) {
            Entry::Occupied(entry) => return entry.get().clone(),
            Entry::Vacant(entry) => {
                let name = Arc::new(RealmName::new(RealmId::at(all.len()), account_id, region));
                let (limits, reports) = (self.limits.clone(), self.reports.clone());
                let budget = self.account_budget(account_id);
                let realm = Arc::new(Realm::new(name, limits, budget, &self.requests, reports));
                all.push(realm.clone());
                entry.insert(realm).clone()
            }
        };
        // Call `created` without the lock of the table: the callback takes its own lock, whose holder may be reading
        // this table (deadlock).
        drop(table);
        (self.created)(&realm);
        realm
    }

    /// What the process may hold for all accounts together.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The budget that the realms of an account share.
    fn account_budget(&self, account_id: &str) -> Arc<AccountBudget> {
        let mut budgets = self.account_budgets.lock().unwrap_or_else(PoisonError::into_inner);
        budgets.entry(account_id.into()).or_insert_with(|| AccountBudget::new(self.budget.clone())).clone()
    }

    /// Every realm.
    pub fn all(&self) -> Vec<Arc<Realm>> {
        self.read().all.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replace the table of (server name, account id, region). Names are compared without regard to case.
    pub fn set_endpoints(&self, endpoints: &[(String, String, String)]) {
        let table = endpoints
            .iter()
            .map(|(name, account_id, region)| {
                (name.to_ascii_lowercase(), self.get_or_create(account_id, region))
            })
            .collect();
        self.endpoints.store(Arc::new(table));
    }

    /// The realm of this server name. rustls gives names in lower case.
    pub fn of_endpoint(&self, name: &str) -> Option<Arc<Realm>> {
        self.endpoints.load().get(name).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Weak;
    use std::time::Duration;

    use sekisho_broker::BudgetLimits;

    use super::*;
    use crate::bridge::Bridge;
    use crate::clock::Clock;

    #[test]
    fn the_callback_of_a_new_realm_may_read_the_table() {
        let reports =
            Reports { bridge: Arc::new(Bridge::new(0)), metrics: Arc::default(), clock: Clock::system() };
        let (told, hears) = std::sync::mpsc::channel();
        let created = move |realms: &Weak<Realms>| {
            let _ = told.send(realms.upgrade().map_or(0, |realms| realms.all().len()));
        };
        let realms = Arc::new_cyclic(|realms: &Weak<Realms>| {
            let realms = realms.clone();
            let budget = Budget::new(&BudgetLimits::default());
            Realms::new(Limits::default(), budget, Vec::new(), reports, Box::new(move |_| created(&realms)))
        });
        std::thread::spawn(move || {
            realms.get_or_create("123456789012", "eu-central-1");
            realms.get_or_create("123456789012", "eu-central-1");
            realms.get_or_create("123456789012", "us-east-1");
        });
        let deadline = Duration::from_secs(10);
        assert_eq!(hears.recv_timeout(deadline), Ok(1));
        assert_eq!(hears.recv_timeout(deadline), Ok(2));
        assert!(hears.recv_timeout(deadline).is_err(), "each realm is announced once");
    }
}
