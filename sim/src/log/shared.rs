//! What logs have that does not depend on the run: made once, because it is slow to make.

use std::sync::{Arc, OnceLock};

use candor_core::crypto::VrfSecretKey;
use candor_server::metrics::Metrics;
use candor_server::sequencer::ladders::Ladders;

/// Parts that the log's code asks for. No run changes what they do in another: without accounts
/// there are no ladders to compute, and metrics are only counted.
pub struct Shared {
    /// The key that maps labels to search keys.
    pub vrf: Arc<VrfSecretKey>,
    /// Workers.
    pub ladders: Ladders,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl Shared {
    /// Those of this process.
    pub fn get() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let vrf = Arc::new(VrfSecretKey::from_seed(&[3; 32]));
            let (ladders, _) = Ladders::new(Arc::clone(&vrf)).expect("there are threads");
            Self {
                vrf,
                ladders,
                metrics: Arc::new(Metrics::new()),
            }
        })
    }
}
