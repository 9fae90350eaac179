//! Keys of what a broker holds: each notices when its owner is gone.

slotmap::new_key_type! {
    /// A session in memory.
    pub struct SessionKey;

    /// A shared group in memory.
    pub struct GroupKey;
}
