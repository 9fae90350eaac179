//! Every reason for which the gateway may refuse a connection, in one enumeration.
//!
//! The name is what the log, the metric label and the control plane use. Where AWS IoT has a name for the reason (the
//! `reason` of a `Connection.AuthNError` log entry) it is that name. The broker's refusals, after CONNECT, are an
//! enumeration of the broker; [`reasons`] lists both.

use std::fmt;

macro_rules! refusals {
    ($($(#[$group:meta])* $variant:ident = $name:literal, $sentence:literal;)+) => {
        /// Why a connection was refused before it could speak MQTT.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $(#[doc = $sentence] $variant,)+
        }

        impl Refusal {
            /// All of them, in the order in which the gateway checks them.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$variant,)+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Refusal::$variant => $name,)+ }
            }

            /// What happened and what to do, for an operator.
            pub fn sentence(self) -> &'static str {
                match self { $(Refusal::$variant => $sentence,)+ }
            }
        }
    };
}

refusals! {
    TooManyConnections = "TOO_MANY_CONNECTIONS",
        "The server has as many connections as it may hold; raise the limit of open files or max_connections.";
    HttpOnMqttPort = "HTTP_ON_MQTT_PORT",
        "The client speaks HTTP to the MQTT port; the control API and device HTTPS have ports of their own.";
    MqttWithoutTls = "MQTT_WITHOUT_TLS",
        "The client speaks MQTT without TLS; give it a certificate, a key and the server's root (--cert, --key, --cafile).";
    NotTls = "NOT_TLS",
        "The first byte does not begin a TLS handshake; this port speaks MQTT over TLS and nothing else.";
    TlsVersionUnsupported = "TLS_VERSION_UNSUPPORTED",
        "The client offers TLS 1.1 or older; TLS 1.2 or 1.3 is needed.";
    TlsNoSharedAlgorithm = "TLS_NO_SHARED_ALGORITHM",
        "Client and server share no cipher suite, key exchange or signature scheme; ECDHE with AES-GCM or ChaCha20-Poly1305 is needed.";
    ServerCertificateRefused = "SERVER_CERTIFICATE_REFUSED",
        "The client refused our certificate; it trusts another root than the one this server offers (--cafile), expects another host name, or its clock is wrong.";
    DeviceCertificateMissing = "DEVICE_CERTIFICATE_MISSING",
        "The client sent no certificate; configure its certificate and private key.";
    DeviceCertificateUnreadable = "DEVICE_CERTIFICATE_UNREADABLE",
        "What the client sent as its certificate is no X.509 certificate.";
    DeviceCertificateKeyUnsupported = "DEVICE_CERTIFICATE_KEY_UNSUPPORTED",
        "The certificate's key is of a kind or size that AWS IoT does not take; use RSA of 2048 bits and more, P-256, P-384 or P-521.";
    DeviceKeyMismatch = "DEVICE_KEY_MISMATCH",
        "The client could not prove that it holds its certificate's private key; certificate and key do not belong together.";
    TlsFailed = "TLS_FAILED",
        "The TLS handshake failed; the detail says where.";
    ClosedDuringHandshake = "CLOSED_DURING_HANDSHAKE",
        "The client closed the connection within the TLS handshake; it may not trust our certificate, or it only probed the port.";
    HandshakeTimeout = "HANDSHAKE_TIMEOUT",
        "The client did not finish the TLS handshake in time.";
    ConnectTimeout = "CONNECT_TIMEOUT",
        "The client finished TLS and then sent no CONNECT in time; registration and admission happen at CONNECT.";
    ClosedBeforeConnect = "CLOSED_BEFORE_CONNECT",
        "The client finished TLS and closed without CONNECT, as openssl s_client does; registration and admission happen at CONNECT.";
    TlsAlertReceived = "TLS_ALERT_RECEIVED",
        "The client finished the TLS handshake and then ended the connection with a TLS alert, which the detail names; its TLS library could not take something that the server sent.";
    HttpInTls = "HTTP_IN_TLS",
        "The client speaks HTTPS to the MQTT port.";
    FirstPacketNotConnect = "FIRST_PACKET_NOT_CONNECT",
        "The first packet is no CONNECT [MQTT-3.1.0-1].";
    ConnectMalformed = "CONNECT_MALFORMED",
        "The CONNECT packet breaks the MQTT specification; the detail says where.";
    ProtocolVersionUnsupported = "PROTOCOL_VERSION_UNSUPPORTED",
        "The client speaks neither MQTT 3.1.1 nor MQTT 5.";
    SniMisused = "SNI_MISUSED",
        "The client used an SNI that is not an endpoint of any account here; use the name that describe-endpoint returns.";
    CertificateNotRegistered = "DEVICE_CERTIFICATE_NOT_REGISTERED",
        "Device certificate is not registered in the account and region of this endpoint; register it, or enable automatic registration for its CA.";
    DeviceCertificateInactive = "DEVICE_CERTIFICATE_INACTIVE",
        "Device certificate is not active; set its status to ACTIVE.";
    DeviceCertificateRevoked = "DEVICE_CERTIFICATE_REVOKED",
        "Device certificate is revoked; issue and register a new one.";
    DeviceCertificatePendingTransfer = "DEVICE_CERTIFICATE_PENDING_TRANSFER",
        "Device certificate waits to be accepted by another account; accept, reject or cancel the transfer.";
    DeviceCertificatePendingActivation = "DEVICE_CERTIFICATE_PENDING_ACTIVATION",
        "Device certificate was registered automatically and waits for activation; set its status to ACTIVE.";
    DeviceCertificateExpired = "DEVICE_CERTIFICATE_EXPIRED",
        "Device certificate is past its notAfter; issue and register a new one.";
    DeviceCertificateNotYetValid = "DEVICE_CERTIFICATE_NOT_YET_VALID",
        "Device certificate's notBefore lies in the future; check the clock of the CA that issued it.";
    CertificateIsSniOnlyAndNoSni = "CERTIFICATE_IS_SNI_ONLY_AND_NO_SNI",
        "The certificate's mode is SNI_ONLY and the client sent no SNI: it connects by IP address, or it is a Java client, which sends none for a name without a dot such as localhost; connect by a name with a dot, have the client set the server name, or set require_sni = false (docs/java.md).";
    AmbiguousWithoutSni = "AMBIGUOUS_WITHOUT_SNI",
        "Several accounts or regions have this certificate, or a CA that registers it, and the client sent no SNI; connect by the endpoint's name, which for Java clients has to have a dot (docs/java.md).";
    CaNotRegistered = "CA_NOT_REGISTERED",
        "Device certificate is not registered, and neither is the CA that directly signed it; register that CA certificate.";
    CaInactive = "CA_INACTIVE",
        "Device certificate is not registered, and the CA that signed it is INACTIVE; activate the CA or register the certificate.";
    CaAutoRegistrationDisabled = "CA_AUTO_REGISTRATION_DISABLED",
        "Device certificate is not registered, and its CA does not register automatically; register the certificate or enable automatic registration.";
    CaNotInChainAndNoSni = "CA_NOT_IN_CHAIN_AND_NO_SNI",
        "Automatic registration needs SNI, or the CA in the chain that the client sends; Java clients send no SNI for a name without a dot (docs/java.md).";
    CaIsSniOnlyAndNoSni = "CA_IS_SNI_ONLY_AND_NO_SNI",
        "The CA's mode is SNI_ONLY, so that automatic registration needs SNI, and the client sent none; connect by the endpoint's name, which for Java clients has to have a dot (docs/java.md).";
    RegistrationRefused = "REGISTRATION_REFUSED",
        "Device certificate is not registered, and cannot be registered automatically; the detail says why.";
    DeviceCertificateRevokedBefore = "DEVICE_CERTIFICATE_REVOKED_BEFORE",
        "Device certificate is not registered, and a REVOKED certificate has the same public key, or the same issuer and serial number; automatic registration never replaces it. Give the device a new key and certificate, or register this one with RegisterCertificate.";
    DeviceCertificateCopied = "DEVICE_CERTIFICATE_COPIED",
        "Device certificate is not registered; it is a registered one with its signature encoded anew, which is not registered automatically. Use the certificate as it was registered.";
    DeviceCertificateProvisioned = "DEVICE_CERTIFICATE_PROVISIONED",
        "Device certificate was provisioned just now by its CA's template; the device's next attempt is let in, as on AWS.";
    ProvisioningFailed = "PROVISIONING_FAILED",
        "The provisioning template of the CA could not be carried out for this certificate; the detail says where, and each attempt tries again.";
    CertificateMovedAccount = "CERTIFICATE_MOVED_ACCOUNT",
        "The certificate of an open connection without SNI now belongs to another account.";
    ConnectNotAuthorized = "AUTHORIZATION_FAILURE",
        "No policy of the certificate allows iot:Connect for this client id any more; attach one that does.";
    PolicyUnreadable = "POLICY_UNREADABLE",
        "A policy of this certificate cannot be read, so that nothing can be allowed; create it anew.";
    ControlPlaneTimeout = "CONTROL_PLANE_TIMEOUT",
        "The control plane did not answer in time about a certificate that is not cached; cached certificates still connect.";
    ControlPlaneFailed = "CONTROL_PLANE_FAILED",
        "The control plane could not handle this certificate; its log has the cause.";
    AdmissionQueueFull = "ADMISSION_QUEUE_FULL",
        "The queue of certificates that wait for the control plane is full; the client should try again.";
}

impl Refusal {
    /// The refusal of this name, or none.
    pub fn from_name(name: &str) -> Option<Refusal> {
        Refusal::ALL.iter().copied().find(|refusal| refusal.name() == name)
    }
}

/// A refusal with what there is to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// A sentence for an operator.
    pub detail: String,
}

impl Refused {
    /// With the reason's own sentence.
    pub fn because(refusal: Refusal) -> Self {
        Self { refusal, detail: refusal.sentence().to_owned() }
    }

    /// With a detail of this case in place of the reason's own sentence.
    pub fn with(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal, detail: detail.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Every reason that a refusal may carry, the gateway's and the broker's: (name, sentence).
pub fn reasons() -> Vec<(&'static str, &'static str)> {
    let gateway = Refusal::ALL.iter().map(|refusal| (refusal.name(), refusal.sentence()));
    let broker = sekisho_broker::Refusal::ALL.iter().map(|refusal| (refusal.as_str(), refusal.sentence()));
    gateway.chain(broker).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_one_name_and_a_sentence() {
        let mut names = HashSet::new();
        for (name, sentence) in reasons() {
            assert!(names.insert(name), "{name} is used twice");
            assert!(name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'), "{name}");
            assert!(sentence.ends_with('.'), "{name}: {sentence}");
        }
    }

    #[test]
    fn a_name_leads_back_to_its_refusal() {
        for refusal in Refusal::ALL {
            assert_eq!(Refusal::from_name(refusal.name()), Some(*refusal));
        }
        assert_eq!(Refusal::from_name("NO_SUCH_REASON"), None);
    }
}
