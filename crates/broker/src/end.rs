//! How a connection ends.

use sekisho_mqtt::ReasonCode;

use crate::refusal::{DisconnectReason, Refusal};

/// How a connection ends.
pub struct End {
    pub reason: DisconnectReason,
    pub refusal: Option<Refusal>,
    /// The code to tell an MQTT 5 client; `None` sends no DISCONNECT.
    pub code: Option<ReasonCode>,
    /// Whether the socket is still there to be closed.
    pub has_socket: bool,
    /// Whether the will is to be sent.
    pub sends_will: bool,
}

impl End {
    /// For a reason of the server's: the client is told as far as its version allows, and its will is sent.
    pub fn because(reason: DisconnectReason) -> End {
        End { reason, refusal: None, code: reason.reason_code(), has_socket: true, sends_will: true }
    }

    /// Because the client was refused something that its version cannot be told otherwise, or that leaves no way on.
    pub fn refusing(refusal: Refusal) -> End {
        End {
            refusal: Some(refusal),
            code: Some(refusal.reason_code()),
            ..End::because(refusal.disconnect_reason())
        }
    }

    /// The socket is gone already.
    pub fn lost(reason: DisconnectReason) -> End {
        End { code: None, has_socket: false, ..End::because(reason) }
    }
}
