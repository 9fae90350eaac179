//! Why a policy document was refused.

/// Characters that a document may have, white space not counted (AWS General Reference, "AWS IoT Core quotas").
pub const MAXIMUM_DOCUMENT_LENGTH: usize = 2048;

/// A document that AWS IoT would answer with `MalformedPolicyException`.
///
/// The text says what was wrong, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The text is not JSON, or an object has one member twice.
    #[error("the policy document is not valid JSON: {problem} (line {line}, column {column})")]
    NotJson {
        /// What the JSON reader found.
        problem: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1, in bytes.
        column: usize,
    },

    /// More characters than AWS IoT takes; see [`document_length`](crate::document_length).
    #[error(
        "the policy document has {length} characters, white space not counted; the limit is {MAXIMUM_DOCUMENT_LENGTH}: \
         shorten it with wildcards and policy variables, or split it into several policies"
    )]
    TooLong {
        /// Characters that are not white space.
        length: usize,
    },

    /// JSON, but not a policy.
    #[error("{at}: {problem}")]
    Malformed {
        /// The member, such as `Statement[1].Condition.StringEquals`.
        at: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

impl PolicyError {
    pub(crate) fn malformed(at: impl Into<String>, problem: impl Into<String>) -> PolicyError {
        PolicyError::Malformed { at: at.into(), problem: problem.into() }
    }
}
