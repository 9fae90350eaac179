//! Keys of sessions and groups: each is invalid after its owner is removed.

slotmap::new_key_type! {
    /// A session in memory.
    pub struct SessionKey;

    /// A shared group in memory.
    pub struct GroupKey;
}
