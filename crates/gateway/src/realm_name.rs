//! Which account and which region: the name of a realm, without what runs in it.

use std::sync::Arc;

/// A realm's number in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(u32);

impl RealmId {
    /// The realm at this index of the table of realms.
    pub fn at(index: usize) -> Self {
        Self(u32::try_from(index).expect("fewer than four thousand million realms"))
    }

    /// Its index in the table of realms.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The name of a realm: one account in one region. Principals, events and reports hold it; only `realm::Realm` has a
/// broker.
#[derive(Debug, PartialEq, Eq)]
pub struct RealmName {
    /// Its number.
    pub id: RealmId,
    /// The account, twelve digits.
    pub account_id: Arc<str>,
    /// The region.
    pub region: Arc<str>,
    /// What every ARN of the realm begins with.
    pub arn_prefix: Arc<str>,
}

impl RealmName {
    /// The name of the realm with this number.
    pub fn new(id: RealmId, account_id: &str, region: &str) -> Self {
        Self {
            id,
            account_id: account_id.into(),
            region: region.into(),
            arn_prefix: format!("arn:aws:iot:{region}:{account_id}:").into(),
        }
    }
}
