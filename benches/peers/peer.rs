//! The peer: crate `akd` with its in-memory database.

use std::time::Instant;

use akd::auditor::audit_verify;
use akd::client::lookup_verify;
use akd::ecvrf::HardCodedAkdVRF;
use akd::storage::StorageManager;
use akd::storage::memory::AsyncInMemoryDatabase;
use akd::{
    AkdLabel, AkdValue, AzksParallelismConfig, AzksParallelismOption, Digest, Directory, EpochHash,
    LookupProof, WhatsAppV1Configuration,
};
use akd_core::proto::specs::types as wire;
use candor_benches::process::{self, thread_time, timed};
use protobuf::Message as _;
use tokio::runtime::Runtime;

use crate::task::{Figures, Side, THREADS, Task, figures};
use crate::workload::{label, value};

/// How many parts of the tree it works on at once. On two cores no parallelism, the default, 8 and
/// 32 publish equally fast, as most of the time goes to the VRF, which is parallel anyway.
const PARALLELISM: AzksParallelismOption = AzksParallelismOption::Static(8);

/// What the table says of this side.
pub const CONFIGURATION: &str = "akd 0.13.0, WhatsAppV1Configuration, AsyncInMemoryDatabase \
    without a cache, parallelism Static(8) for insertion and preload, features parallel_vrf, \
    preload_history, public_auditing, whatsapp_v1 (greedy_lookup_preload off), tokio with 2 \
    workers. It keeps nothing on disk, has no log of its epochs, and is not cosigned.";

/// A directory in memory.
pub struct Peer {
    runtime: Runtime,
    directory: Directory<WhatsAppV1Configuration, AsyncInMemoryDatabase, HardCodedAkdVRF>,
    /// Roots of the last two epochs.
    roots: [Digest; 2],
    epoch: u64,
    public_key: Vec<u8>,
}

impl Peer {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .build()
            .unwrap();
        let parallelism = AzksParallelismConfig {
            insertion: PARALLELISM,
            preload: PARALLELISM,
        };
        let storage = StorageManager::new_no_cache(AsyncInMemoryDatabase::new());
        let (directory, public_key) = runtime.block_on(async {
            let directory = Directory::new(storage, HardCodedAkdVRF, parallelism);
            let directory = directory.await.unwrap();
            let public_key = directory.get_public_key().await.unwrap();
            (directory, public_key.as_bytes().to_vec())
        });
        Self {
            runtime,
            directory,
            roots: [Digest::default(); 2],
            epoch: 0,
            public_key,
        }
    }

    fn publish(&mut self, accounts: impl Iterator<Item = u64>, epoch: u64) -> [f64; 2] {
        let updates: Vec<_> = accounts
            .map(|account| {
                let value = AkdValue(value(account, epoch).encode());
                (akd_label(account), value)
            })
            .collect();
        let publish = || self.runtime.block_on(self.directory.publish(updates));
        let (published, times) = timed(publish);
        let EpochHash(epoch, root) = published.unwrap();
        self.epoch = epoch;
        self.roots = [self.roots[1], root];
        times
    }

    fn lookup(&self, accounts: &[u64], version: u32) -> Figures {
        let started = thread_time();
        let proofs: Vec<_> = self.runtime.block_on(async {
            let mut proofs = Vec::with_capacity(accounts.len());
            for account in accounts {
                proofs.push(self.directory.lookup(akd_label(*account)).await.unwrap());
            }
            proofs
        });
        let made = (thread_time() - started).as_secs_f64();
        let bytes: u64 = proofs
            .iter()
            .map(|(proof, _)| bytes_without_value(proof))
            .sum();
        let inputs: Vec<_> = accounts
            .iter()
            .copied()
            .map(akd_label)
            .zip(proofs)
            .collect();
        let started = thread_time();
        for (label, (proof, EpochHash(epoch, root))) in inputs {
            let verified = lookup_verify::<WhatsAppV1Configuration>(
                &self.public_key,
                root,
                epoch,
                label,
                proof,
            );
            // Versions count from 1 here, and from 0 on the other side.
            assert_eq!(verified.unwrap().version, u64::from(version) + 1);
        }
        let verified = (thread_time() - started).as_secs_f64();
        let count = accounts.len() as f64;
        figures([
            ("made", made / count),
            ("bytes", bytes as f64 / count),
            ("verified", verified / count),
        ])
    }

    fn audit(&self) -> Figures {
        let proof = self.directory.audit(self.epoch - 1, self.epoch);
        let proof = self.runtime.block_on(proof).unwrap();
        let size = |proof| wire::SingleAppendOnlyProof::compute_size(&proof);
        let bytes: u64 = proof.proofs.iter().map(|proof| size(proof.into())).sum();
        let roots = self.roots.to_vec();
        let started = Instant::now();
        let verified = audit_verify::<WhatsAppV1Configuration>(roots, proof);
        self.runtime.block_on(verified).unwrap();
        let verified = started.elapsed().as_secs_f64();
        figures([("bytes", bytes as f64), ("verified", verified)])
    }
}

impl Side for Peer {
    fn run(&mut self, task: &Task) -> Figures {
        match task {
            Task::Load { accounts, batch } => {
                let before = process::anonymous_bytes() as f64;
                let mut seconds = 0.0;
                for first in (0..*accounts).step_by(usize::try_from(*batch).unwrap()) {
                    seconds += self.publish(first..(first + batch).min(*accounts), 0)[0];
                }
                let memory = process::anonymous_bytes() as f64 - before;
                figures([("seconds", seconds), ("memory", memory)])
            }
            Task::Publish { batches, epoch, .. } => {
                let (mut seconds, mut processor) = (0.0, 0.0);
                for batch in batches {
                    let times = self.publish(batch.iter().copied(), *epoch);
                    seconds += times[0];
                    processor += times[1];
                }
                figures([("seconds", seconds), ("processor", processor)])
            }
            Task::Lookup { accounts, version } => self.lookup(accounts, *version),
            Task::Audit => self.audit(),
        }
    }
}

fn akd_label(account: u64) -> AkdLabel {
    AkdLabel(label(account).as_bytes().to_vec())
}

fn bytes_without_value(proof: &LookupProof) -> u64 {
    let proof = LookupProof {
        value: AkdValue(Vec::new()),
        ..proof.clone()
    };
    wire::LookupProof::from(&proof).compute_size()
}
