//! How a connection ends.

use sekisho_mqtt::ReasonCode;

use crate::refusal::{DisconnectReason, Refusal};

/// How a connection ends.
pub struct End {
    pub reason: DisconnectReason,
    pub refusal: Option<Refusal>,
    /// The code for an MQTT 5 client; `None` sends no DISCONNECT.
    pub code: Option<ReasonCode>,
    /// Whether the socket is still open.
    pub has_socket: bool,
    /// Whether the will is to be sent.
    pub sends_will: bool,
}

impl End {
    /// Ends for a reason of the server: sends DISCONNECT if the client's version has it, and the will.
    pub fn because(reason: DisconnectReason) -> End {
        End { reason, refusal: None, code: reason.reason_code(), has_socket: true, sends_will: true }
    }

    /// Ends because of a refusal that the client's version has no other answer for, or that is fatal.
    pub fn refusing(refusal: Refusal) -> End {
        End {
            refusal: Some(refusal),
            code: Some(refusal.reason_code()),
            ..End::because(refusal.disconnect_reason())
        }
    }

    /// Ends a connection whose socket is closed already.
    pub fn lost(reason: DisconnectReason) -> End {
        End { code: None, has_socket: false, ..End::because(reason) }
    }
}
