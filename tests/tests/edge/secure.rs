//! A system that speaks TLS alone, with an audit feed that wants a credential.

use std::path::Path;

use candor_core::account::Label;
use candor_system::process::run;
use candor_system::system::{System, edit};

use super::certificates::{Authority, secure};

/// A token of the system's log for these roles.
fn token(system: &System, roles: &[&str]) -> String {
    let key = system.server.folder().join("token-issuer");
    let key = key.to_string_lossy();
    let mut arguments = vec!["token", "--key", &key, "--name", "test"];
    arguments.extend(["--origin", candor_system::system::ORIGIN]);
    for role in roles {
        arguments.extend(["--role", role]);
    }
    run("candor-server", &arguments).unwrap()
}

/// Has the server give nothing to those who show nothing, and every role to bearers of tokens.
fn close(system: &System) {
    let config = system.server.folder().join("server.toml");
    let open = "anonymous = [\"lookup\", \"monitor\", \"audit\", \"metrics\"]";
    let all = "roles = [\"lookup\", \"monitor\", \"audit\", \"update\", \"metrics\"]\n\n# A client";
    edit(
        &config,
        &[
            (open, "anonymous = []"),
            ("roles = [\"update\"]\n\n# A client", all),
        ],
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_trusts_nobody_works_over_tls_and_renews_its_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let mut system = System::create(folder.path(), 1).unwrap();
    let authority = Authority::new(folder.path());
    secure(&mut system, &authority, "");
    close(&system);
    let witness = system.witnesses[0].folder().to_owned();
    let shown = token(&system, &["lookup", "audit"]);
    std::fs::write(witness.join("log.token"), shown).unwrap();
    let feed = format!("grpc = \"{}\"", system.endpoint());
    let with_token = format!("{feed}\ngrpc_token = \"log.token\"");
    edit(&witness.join("witness.toml"), &[(&feed, &with_token)]).unwrap();
    std::fs::write(
        system.token_path(),
        token(&system, &["lookup", "monitor", "update"]),
    )
    .unwrap();
    // The map witness cosigns what it has checked, over a feed that wants its token; without it
    // nothing would be published.
    system.start().await.unwrap();

    let profile = folder.path().join("profile");
    let candor = |arguments: &[&str]| {
        let profile = profile.to_string_lossy();
        run("candor", &[&["--profile", &profile], arguments].concat()).unwrap()
    };
    init(&system, &authority, &profile);
    candor(&[
        "register",
        "acct:alice",
        "--device-name",
        "phone",
        "--key",
        "sign=AAECAw==",
    ]);
    let seen = candor(&["lookup", "acct:alice"]);
    assert!(seen.contains("phone"), "{seen}");

    // Everybody gets a new certificate while a device goes on asking.
    let device = system.device().unwrap();
    let before = expiry_of(&system, &authority).await;
    authority.certify_all(&mut system);
    let label = Label::parse("acct:alice").unwrap();
    let mut taken_up = 0;
    while taken_up < 3 {
        // A new connection each time, as other phones make.
        system.device().unwrap().head().await.unwrap();
        device.lookup(&label).await.unwrap();
        let log = std::fs::read_to_string(system.server.log()).unwrap();
        taken_up += usize::from(log.contains("new certificates are in use"));
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
    assert_eq!(expiry_of(&system, &authority).await, before);
    system.wait_published().await.unwrap();
}

fn init(system: &System, authority: &Authority, profile: &Path) {
    let (profile, endpoint) = (profile.to_string_lossy(), system.endpoint());
    let (policy, token) = (system.policy_path(), system.token_path());
    let names = system.map_witnesses();
    let mut arguments = vec!["init", &profile, "--server", &endpoint];
    let files = [&policy, &token, &authority.file].map(|path| path.to_string_lossy());
    arguments.extend(["--policy", &files[0], "--registrar-token", &files[1]]);
    arguments.extend(["--root-certificate", &files[2], "--map-witness"]);
    arguments.extend(names.iter().map(String::as_str));
    run("candor", &arguments).unwrap();
}

/// The line of the metric that says when the server's certificate ends; who scrapes shows a token.
async fn expiry_of(system: &System, authority: &Authority) -> String {
    let roots = std::fs::read(&authority.file).unwrap();
    let timeouts = candor_system::process::TIMEOUTS;
    let client = candor_host::fetch::client_trusting(&roots, timeouts).unwrap();
    let url = format!("https://{}/metrics", system.server.http);
    let refused = client.get(&url).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 401);
    let request = client
        .get(&url)
        .bearer_auth(token(system, &["metrics"]).trim());
    let text = request.send().await.unwrap().text().await.unwrap();
    let name = candor_host::tls::EXPIRES;
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .to_owned()
}
