//! The log that is asked: a server and a witness, filled through gRPC.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use candor_proto::v1::directory_client::DirectoryClient;
use candor_proto::v1::{LookupBatchRequest, Query};
use candor_system::process::program;
use candor_system::system::{System, edit};
use futures::stream::{self, StreamExt as _};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::client::{json, load};
use crate::cores::{self, Core};

/// Memory of the server's caches for each account: all of them fit, and their part of the tree.
const CACHE_BYTES_EACH: u64 = 3 << 10;

/// The smallest cache in MiB.
const CACHE_MIB_MIN: u64 = 256;

/// Labels of one call that has the ladders of its accounts completed.
const BATCH: u32 = 64;

/// Such calls at a time.
const BATCHES_AT_A_TIME: usize = 4;

/// The running programs and their files.
pub struct Site {
    folder: TempDir,
    system: System,
    server: u32,
    runtime: Runtime,
}

impl Site {
    /// Starts the server on one core and its witness on the other, and registers accounts.
    pub fn start(accounts: u32, servers: Core, others: Core) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut system = System::create(&folder.path().join("system"), 1).unwrap();
        let cache_mib = (u64::from(accounts) * CACHE_BYTES_EACH / (1 << 20)).max(CACHE_MIB_MIN);
        let cache = format!("cache_mib = {cache_mib}");
        let changes = [
            ("epoch_interval_ms = 200", "epoch_interval_ms = 1000"),
            ("cache_mib = 256", cache.as_str()),
        ];
        edit(&system.server.folder().join("server.toml"), &changes).unwrap();
        // On this thread, which says on which core what it starts runs.
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        servers.run(|| runtime.block_on(system.server.start()).unwrap());
        for witness in &mut system.witnesses {
            others.run(|| runtime.block_on(witness.start()).unwrap());
        }
        runtime.block_on(system.wait_published()).unwrap();
        let server = system.server.process().unwrap().id();
        let site = Self {
            folder,
            system,
            server,
            runtime,
        };
        // All of the machine, until it is measured.
        cores::move_to(server, &[servers, others]);
        site.fill(accounts);
        cores::move_to(server, &[servers]);
        site
    }

    pub fn endpoint(&self) -> String {
        self.system.endpoint()
    }

    /// The server's process.
    pub const fn server(&self) -> u32 {
        self.server
    }

    /// A profile that trusts the log and may update it.
    pub fn profile(&self) -> PathBuf {
        self.folder.path().join("profile")
    }

    fn fill(&self, accounts: u32) {
        let mut command = Command::new(program("candor").unwrap());
        command.arg("init").arg(self.profile());
        command.args(["--server", &self.endpoint(), "--policy"]);
        command.arg(self.system.policy_path());
        command
            .arg("--registrar-token")
            .arg(self.system.token_path());
        command
            .arg("--map-witness")
            .args(self.system.map_witnesses());
        assert!(command.output().unwrap().status.success());
        let started = Instant::now();
        let mut command = load(&self.profile(), &self.endpoint(), &accounts.to_string());
        command.args(["--prepare", "--mix", "lookup=1", "--duration", "1"]);
        json(&mut command);
        println!(
            "{accounts} accounts registered in {:.0?}",
            started.elapsed()
        );
        let started = Instant::now();
        self.runtime.block_on(self.look_all_up(accounts));
        println!("every ladder completed in {:.0?}", started.elapsed());
    }

    /// Looks every account up once: what workers have not computed of it is computed then.
    async fn look_all_up(&self, accounts: u32) {
        let client = DirectoryClient::connect(self.endpoint()).await.unwrap();
        let batches = (0..accounts).step_by(BATCH as usize).map(|first| {
            let queries = (first..(first + BATCH).min(accounts)).map(|number| Query {
                label: format!("acct:load{number:010}"),
                ..Query::default()
            });
            let request = LookupBatchRequest {
                queries: queries.collect(),
                ..LookupBatchRequest::default()
            };
            let mut client = client.clone();
            async move { client.lookup_batch(request).await }
        });
        let mut answers = stream::iter(batches).buffer_unordered(BATCHES_AT_A_TIME);
        while let Some(answer) = answers.next().await {
            answer.unwrap();
        }
    }
}
