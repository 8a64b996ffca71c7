//! What devices, auditors and readers of tiles are answered.

use candor_core::answer::{HeadProof, Query};
use candor_core::epoch::EpochRecord;
use candor_core::log::{Bundle, Frontier, decode_bundle, leaf_hash, verify_consistency};
use candor_core::map::AuditDelta;
use candor_core::note::{Checkpoint, SignedNote};
use candor_proto::v1::audit_client::AuditClient;
use candor_proto::{hashes_from_wire, head_from_wire, v1};

use super::harness::value;
use super::site::{ALICE, Site, now_s, refused, to_wire, update, verify_account, visible};

#[tokio::test]
async fn what_a_device_is_answered_verifies() {
    let site = Site::new();
    let server = site.start().await;
    let (first, config) = server.head().await;
    for version in 0..5 {
        let outcome = server.submit(ALICE, version).await;
        let visible = visible(&outcome);
        assert!(visible.size > visible.epoch);
    }
    let conflict = server.submit(ALICE, 3).await;
    assert_eq!(refused(&conflict).code, "version-conflict");
    assert_eq!(refused(&conflict).greatest_version, Some(4));

    // Newest version, history in pages, a label that does not exist.
    let newest = server.look_up(ALICE, Query::GREATEST).await;
    assert_eq!(newest.newest().unwrap().value(), Some(&value(ALICE, 4)[..]));
    for from in [0, 2, 4] {
        let page = Query {
            from_version: Some(from),
            max_versions: 2,
        };
        let account = server.look_up(ALICE, page).await;
        for version in from..(from + 2).min(5) {
            let opened = account
                .opened()
                .iter()
                .find(|opened| opened.version() == version);
            assert_eq!(opened.unwrap().value(), Some(&value(ALICE, version)[..]));
        }
    }
    assert_eq!(
        server
            .look_up("acct:nobody", Query::GREATEST)
            .await
            .greatest(),
        None
    );
    assert_eq!(
        server
            .look_up("acct:nobody", Query::since(3))
            .await
            .greatest(),
        None
    );

    // Several labels at one head, consistent with the head that was known.
    let queries = [ALICE, "acct:nobody"].map(|label| to_wire(label, Query::GREATEST));
    let known = first.known();
    let request = v1::LookupBatchRequest {
        queries: queries.into(),
        verified_size: known.size,
        post_quantum: true,
        second_verified_size: None,
    };
    let batch = server
        .directory()
        .lookup_batch(request)
        .await
        .unwrap()
        .into_inner();
    let consistency = hashes_from_wire(&batch.consistency).unwrap();
    let proof: HeadProof = head_from_wire(batch.head.unwrap()).unwrap();
    let head = proof
        .verify(&server.trust, Some(&known), &consistency, now_s())
        .unwrap();
    assert_eq!(
        SignedNote::parse(&proof.checkpoint)
            .unwrap()
            .signatures()
            .len(),
        2
    );
    let greatest: Vec<_> = [ALICE, "acct:nobody"]
        .into_iter()
        .zip(&batch.accounts)
        .map(|(label, account)| {
            verify_account(label, Query::GREATEST, account, &config, &head).greatest()
        })
        .collect();
    assert_eq!(greatest, [Some(4), None]);

    // Whoever has the head is not sent it again.
    let request = v1::LookupRequest {
        query: Some(to_wire(ALICE, Query::GREATEST)),
        verified_size: head.known().size,
        post_quantum: false,
        // There is no second head to send.
        second_verified_size: Some(0),
    };
    assert!(
        server
            .directory()
            .lookup(request)
            .await
            .unwrap()
            .into_inner()
            .head
            .is_none()
    );
    let request = v1::GetConsistencyRequest {
        old_size: known.size,
        new_size: head.known().size,
    };
    let proof = server
        .log()
        .get_consistency(request)
        .await
        .unwrap()
        .into_inner()
        .consistency;
    let (old, new) = (known, head.known());
    let proof = hashes_from_wire(&proof).unwrap();
    verify_consistency(old.size, &old.root, new.size, &new.root, &proof).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_auditor_comes_to_the_published_head() {
    let site = Site::new();
    let server = site.start().await;
    let (updates, stream) = tokio::sync::mpsc::channel(40);
    for index in 0..40 {
        updates
            .send(update(&format!("acct:user{index}"), 0))
            .await
            .unwrap();
    }
    drop(updates);
    let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
    let mut registrar = server.registrar();
    let request = server.authorized(stream);
    let mut answers = registrar
        .submit_updates(request)
        .await
        .unwrap()
        .into_inner();
    let mut answered = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        visible(&answer.outcome.unwrap());
        answered += 1;
    }
    assert_eq!(answered, 40);

    let (head, config) = server.head().await;
    let mut state = config.config().start();
    let mut frontier = Frontier::new();
    frontier
        .append(leaf_hash(&config.config().encode()))
        .unwrap();
    let request = v1::StreamEpochsRequest {
        from_epoch: 1,
        ..Default::default()
    };
    let mut audit = AuditClient::new(server.channel.clone());
    let mut epochs = audit.stream_epochs(request).await.unwrap().into_inner();
    let (mut record, mut delta) = (Vec::new(), Vec::new());
    while let Some(chunk) = epochs.message().await.unwrap() {
        assert_eq!(chunk.epoch, frontier.size());
        record.extend(chunk.record);
        delta.extend(chunk.delta_part);
        if chunk.last {
            frontier.append(leaf_hash(&record)).unwrap();
            let epoch = EpochRecord::decode(&std::mem::take(&mut record)).unwrap();
            let delta = AuditDelta::from_bytes(std::mem::take(&mut delta)).unwrap();
            assert_eq!(delta.digest(), epoch.audit_digest);
            let verified = delta.verify(&state.root, &epoch.prefix_tree).unwrap();
            epoch
                .check_inserts(&state, verified.inserts().len())
                .unwrap();
            state = epoch.state();
        }
    }
    assert_eq!(state, head.known().map);
    assert_eq!(
        (frontier.size(), frontier.root()),
        (head.known().size, head.known().root)
    );
    server.stop().await;
}

#[tokio::test]
async fn tiles_are_those_of_the_checkpoint() {
    let site = Site::new();
    let server = site.start().await;
    for version in 0..4 {
        server.submit(ALICE, version).await;
    }
    let (status, note) = server.fetch("/checkpoint").await;
    assert_eq!(status, 200);
    let note = SignedNote::parse(&note).unwrap();
    let checkpoint = Checkpoint::parse(note.text()).unwrap();
    let size = checkpoint.size();
    let (status, bytes) = server.fetch(&format!("/tile/entries/000.p/{size}")).await;
    assert_eq!(status, 200);
    let records = decode_bundle(Bundle::in_log(0, size).unwrap(), &bytes).unwrap();
    let mut frontier = Frontier::new();
    let mut hashes = Vec::new();
    for record in records {
        frontier.append(leaf_hash(record)).unwrap();
        hashes.extend(leaf_hash(record).0);
    }
    assert_eq!(frontier.root(), *checkpoint.root());
    let (status, tile) = server.fetch(&format!("/tile/0/000.p/{size}")).await;
    assert_eq!((status, &tile), (200, &hashes));
    // Narrower tiles of earlier sizes stay, and nothing beyond the published log is shown.
    assert_eq!(server.fetch("/tile/0/000.p/2").await.1, hashes[..64]);
    for (path, expected) in [
        (format!("/tile/0/000.p/{}", size + 1), 404),
        ("/tile/0/000".to_owned(), 404),
        ("/tile/1/000.p/1".to_owned(), 404),
        ("/tile/entries/001.p/1".to_owned(), 404),
        ("/tile/0/000.p/0".to_owned(), 400),
        ("/tile/0/000.p/256".to_owned(), 400),
        ("/tile/0/00".to_owned(), 400),
        ("/tile/0/../../checkpoint/x".to_owned(), 404),
        ("/tile/x".to_owned(), 400),
        ("/tile/0/%ff".to_owned(), 400),
        ("/nothing".to_owned(), 404),
    ] {
        assert_eq!(server.fetch(&path).await.0, expected, "{path}");
    }
    for path in ["/livez", "/readyz", "/"] {
        assert_eq!(server.fetch(path).await.0, 200, "{path}");
    }
    let (_, metrics) = server.fetch("/metrics").await;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("candor_updates_committed_total 4"),
        "{metrics}"
    );
    assert!(!metrics.contains("alice"));
    server.stop().await;
}
