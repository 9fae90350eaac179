//! Policies, compiled once for all principals that have them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use foldhash::fast::RandomState;
use sekisho_policy::{NamedPolicy, Policy, PolicyError};

use crate::identity::PolicyDocument;

/// A stored policy that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("policy {name} version {version} cannot be read: {cause}")]
pub struct UnreadablePolicy {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the policy engine said.
    pub cause: PolicyError,
}

/// Compiled policies by name, version and document: a fleet with one policy has it in memory once.
#[derive(Debug, Default)]
pub struct CompiledPolicies(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    compiled: HashMap<PolicyKey, NamedPolicy, RandomState>,
    sweep_at: usize,
}

/// Name, version, document.
type PolicyKey = (Arc<str>, Arc<str>, Box<str>);

impl CompiledPolicies {
    /// Compile these documents, or take what an earlier call compiled.
    ///
    /// # Errors
    /// [`UnreadablePolicy`]; then nothing must be allowed, since the unreadable policy may be the one that denies.
    pub fn compile(&self, documents: &[PolicyDocument]) -> Result<Arc<[NamedPolicy]>, UnreadablePolicy> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        documents.iter().map(|document| table.compile(document)).collect()
    }
}

impl Table {
    fn compile(&mut self, document: &PolicyDocument) -> Result<NamedPolicy, UnreadablePolicy> {
        let key: PolicyKey = (
            document.name.as_str().into(),
            document.version.as_str().into(),
            document.document.as_str().into(),
        );
        if let Some(policy) = self.compiled.get(&key) {
            return Ok(policy.clone());
        }
        let policy = Policy::parse(&document.document).map_err(|cause| UnreadablePolicy {
            name: document.name.clone(),
            version: document.version.clone(),
            cause,
        })?;
        let policy = NamedPolicy::new(key.0.clone(), key.1.clone(), policy);
        if self.compiled.len() >= self.sweep_at {
            // A policy that only this table holds is not used any more. Doubling keeps the sweeps rare.
            self.compiled.retain(|_, policy| Arc::strong_count(&policy.policy) > 1);
            self.sweep_at = (self.compiled.len() * 2).max(1024);
        }
        self.compiled.insert(key, policy.clone());
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_fleet_shares_one_compiled_policy_and_unused_ones_are_dropped() {
        let policies = CompiledPolicies::default();
        let document = testing::policy("own");
        let compile =
            |document: &PolicyDocument| policies.compile(std::slice::from_ref(document)).unwrap()[0].clone();
        assert!(Arc::ptr_eq(&compile(&document).policy, &compile(&document).policy));
        for number in 0..5000 {
            compile(&PolicyDocument { version: number.to_string(), ..document.clone() });
        }
        assert!(policies.0.lock().unwrap().compiled.len() <= 1025);
    }
}
