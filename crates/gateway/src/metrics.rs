//! What is counted, in one list.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::refusal::Refusal;
use crate::vitals::Vitals;

macro_rules! counters {
    ($($(#[$doc:meta])* $field:ident;)+) => {
        /// Counters since the start. Each is one atomic addition where it is counted.
        #[derive(Debug)]
        pub struct Metrics {
            $($(#[$doc])* pub $field: Counter,)+
            refusals: Box<[AtomicU64]>,
            broker_refusals: Box<[AtomicU64]>,
            /// Whether the data plane is at work.
            pub vitals: Arc<Vitals>,
        }

        impl Default for Metrics {
            fn default() -> Self {
                let zeros = |length| (0..length).map(|_| AtomicU64::new(0)).collect();
                Self {
                    $($field: Counter::default(),)+
                    refusals: zeros(Refusal::ALL.len()),
                    broker_refusals: zeros(sekisho_broker::Refusal::ALL.len()),
                    vitals: Arc::default(),
                }
            }
        }

        impl Metrics {
            fn plain(&self) -> Vec<(String, u64)> {
                vec![$((stringify!($field).to_owned(), self.$field.get()),)+]
            }
        }
    };
}

counters! {
    /// TCP connections taken.
    accepted;
    /// TLS handshakes finished.
    handshakes;
    /// Of these, resumed ones.
    handshakes_resumed;
    /// Certificates let through.
    admitted;
    /// CONNECTs that the broker accepted.
    connected;
    /// Connections that ended after their CONNACK.
    disconnected;
    /// Live connections that a change of the registry had examined.
    connections_examined;
    /// Live connections whose authority was replaced because the registry changed.
    authorities_replaced;
    /// Packets read, CONNECT not counted.
    packets_in;
    /// Packets written.
    packets_out;
    /// Packets that could not be encoded: a fault of ours.
    packets_unencodable;
    /// Bytes of packets read.
    bytes_in;
    /// Bytes of packets written.
    bytes_out;
    /// Failed attempts to take a connection, such as for want of file descriptors.
    accept_failures;
    /// Connections that were not admitted yet and ended to make room for new ones.
    half_open_displaced;
}

/// A number that rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Count a refusal of the gateway.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Count a refusal of the broker.
    pub fn broker_refused(&self, refusal: sekisho_broker::Refusal) {
        self.broker_refusals[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Name and value of each; refusals as `refused.NAME`, those that never happened left out.
    pub fn snapshot(&self) -> Vec<(String, u64)> {
        let mut all = self.plain();
        all.extend(self.vitals.snapshot());
        let gateway = Refusal::ALL.iter().map(|refusal| refusal.name()).zip(self.refusals.iter());
        let broker = sekisho_broker::Refusal::ALL.iter().map(|refusal| refusal.as_str());
        for (name, count) in gateway.chain(broker.zip(self.broker_refusals.iter())) {
            let count = count.load(Ordering::Relaxed);
            if count > 0 {
                all.push((format!("refused.{name}"), count));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_a_counter_of_its_own() {
        let metrics = Metrics::default();
        for refusal in Refusal::ALL {
            metrics.refused(*refusal);
        }
        for refusal in sekisho_broker::Refusal::ALL {
            metrics.broker_refused(*refusal);
        }
        let refused: Vec<_> =
            metrics.snapshot().into_iter().filter(|(name, _)| name.starts_with("refused.")).collect();
        assert_eq!(refused.len(), Refusal::ALL.len() + sekisho_broker::Refusal::ALL.len());
        assert!(refused.iter().all(|(_, count)| *count == 1));
    }
}
