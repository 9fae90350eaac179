//! Shared subscription groups: `$share/<share name>/<filter>`, developer guide "Shared subscriptions".
//!
//! A group is the pair of name and filter. Each gets its own copy of a message and gives it to one member that is
//! online and has room, picked at random. A QoS 1 message that no member can take now waits in the group until one of
//! them has room; with no member online, only when one of them has a persistent session. What a member did not
//! acknowledge comes back to the group when its connection ends.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use sekisho_mqtt::QoS;
use slotmap::SlotMap;

use crate::budget::AccountBudget;
use crate::keys::{GroupKey, SessionKey};
use crate::owed::OwedQueue;
use crate::topic_tree::Slot;

/// One group.
#[derive(Debug)]
pub struct Group {
    /// `<share name>/<filter>`: a share name has no slash, so this names one group only.
    pub name: Arc<str>,
    pub members: Vec<Member>,
    /// QoS 1 messages that could be sent to no member, oldest first.
    pub queue: OwedQueue,
    /// Whether some record names the group as the owner of a message.
    pub is_recorded: bool,
    slot: Option<Slot>,
}

/// A session that subscribed to a group.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    pub session: SessionKey,
    pub qos: QoS,
    /// Whether the group keeps messages for it.
    pub persistent: bool,
}

impl Group {
    /// Whether QoS 1 messages are kept while no member is online.
    pub fn keeps_messages(&self) -> bool {
        self.members.iter().any(|member| member.persistent && member.qos == QoS::AtLeastOnce)
    }
}

/// All groups of a realm.
#[derive(Debug)]
pub struct Groups {
    budget: Arc<AccountBudget>,
    groups: SlotMap<GroupKey, Group>,
    by_name: HashMap<Arc<str>, GroupKey, RandomState>,
}

impl Groups {
    /// Makes an empty table of an account.
    pub fn new(budget: Arc<AccountBudget>) -> Groups {
        Groups { budget, groups: SlotMap::default(), by_name: HashMap::default() }
    }

    pub fn find(&self, share_name: &str, filter: &str) -> Option<GroupKey> {
        self.by_name.get(format!("{share_name}/{filter}").as_str()).copied()
    }

    pub fn len(&self) -> usize {
        self.groups.len()
    }

    pub fn get(&self, key: GroupKey) -> Option<&Group> {
        self.groups.get(key)
    }

    pub fn get_mut(&mut self, key: GroupKey) -> Option<&mut Group> {
        self.groups.get_mut(key)
    }

    /// Makes a group; `register` puts it into the topic tree.
    pub fn create(
        &mut self,
        share_name: &str,
        filter: &str,
        register: impl FnOnce(GroupKey) -> Slot,
    ) -> GroupKey {
        let name: Arc<str> = format!("{share_name}/{filter}").into();
        let group = Group {
            name: Arc::clone(&name),
            members: Vec::new(),
            queue: OwedQueue::new(&self.budget),
            is_recorded: false,
            slot: None,
        };
        let key = self.groups.insert(group);
        self.by_name.insert(name, key);
        self.groups[key].slot = Some(register(key));
        key
    }

    /// Adds a member, or sets the QoS of one.
    pub fn join(&mut self, key: GroupKey, member: Member) {
        let Some(group) = self.groups.get_mut(key) else { return };
        match group.members.iter_mut().find(|existing| existing.session == member.session) {
            Some(existing) => *existing = member,
            None => group.members.push(member),
        }
    }

    /// Removes a member. With the last one, removes the group and returns it with its place in the topic tree.
    pub fn leave(&mut self, key: GroupKey, session: SessionKey) -> Option<(Slot, Group)> {
        let group = self.groups.get_mut(key)?;
        group.members.retain(|member| member.session != session);
        if !group.members.is_empty() {
            return None;
        }
        let group = self.groups.remove(key)?;
        self.by_name.remove(&group.name);
        let slot = group.slot?;
        Some((slot, group))
    }
}
