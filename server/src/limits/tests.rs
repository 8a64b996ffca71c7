//! What callers may do with the limits of a configuration.

use super::*;

fn limiter(change: impl FnOnce(&mut Limits)) -> (Limiter, Instant) {
    let mut config = Limits {
        lookups_per_second: 1,
        lookups_burst: 64,
        absent_per_minute: 1,
        absent_burst: 64,
        repeats_per_minute: 64,
        updates_per_second: 8,
        account_updates_per_hour: 4,
        streams: 3,
        streams_per_client: 2,
        ..Limits::default()
    };
    change(&mut config);
    let now = Instant::now();
    (Limiter::new(&config, Arc::new(Metrics::new()), now), now)
}

fn address(text: &str) -> Client {
    Client::Network(text.parse().unwrap())
}

fn labels(numbers: std::ops::Range<u32>) -> Vec<(Label, Query)> {
    let label = |number| Label::parse(&format!("acct:{number}")).unwrap();
    numbers
        .map(|number| (label(number), Query::GREATEST))
        .collect()
}

impl Limiter {
    fn look_up(
        &self,
        client: &Client,
        queries: &[(Label, Query)],
        now: Instant,
    ) -> Result<Reserved, Limited> {
        self.lookups(
            client,
            queries.iter().map(|(label, query)| (label, query)),
            now,
        )
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn present_labels_cost_lookups_and_absent_ones_both() {
    let (limiter, now) = limiter(|_| {});
    let client = address("192.0.2.1");
    limiter
        .look_up(&client, &labels(0..32), now)
        .unwrap()
        .settle(0, 0);
    limiter
        .look_up(&client, &labels(32..64), now)
        .unwrap()
        .settle(0, 32);
    let refused = limiter
        .look_up(&client, &labels(64..65), now)
        .err()
        .unwrap();
    assert_eq!((refused.limit, refused.wait), (Limit::Lookups, SECOND));
    // 64 s later there are lookups again, but no more than 33 may turn out absent.
    let later = now + 64 * SECOND;
    let refused = limiter
        .look_up(&client, &labels(64..128), later)
        .err()
        .unwrap();
    assert_eq!(refused.limit, Limit::Absent);
    limiter
        .look_up(&client, &labels(64..97), later)
        .unwrap()
        .settle(0, 33);
    // Now all lookups wait, whether there are such labels or not: nobody looks.
    let refused = limiter
        .look_up(&client, &labels(0..1), later)
        .err()
        .unwrap();
    assert_eq!(refused.limit, Limit::Absent);
    assert!(refused.wait <= MINUTE);
    // What is no lookup does not wait for that.
    limiter.call(&client, later).unwrap();
    limiter
        .look_up(&address("192.0.2.2"), &labels(0..64), later)
        .unwrap()
        .settle(0, 0);
}

#[test]
fn what_a_caller_does_not_wait_for_stays_taken() {
    let (limiter, now) = limiter(|_| {});
    let client = address("192.0.2.1");
    drop(limiter.look_up(&client, &labels(0..64), now).unwrap());
    limiter.look_up(&client, &labels(0..1), now).err().unwrap();
}

/// Callers who ask at the same time do not get more than one after the other.
#[test]
fn what_may_be_absent_is_taken_before_it_is_known() {
    let (limiter, now) = limiter(|config| config.lookups_burst = 10_000);
    let client = address("192.0.2.1");
    let first = limiter.look_up(&client, &labels(0..64), now).unwrap();
    assert!(limiter.look_up(&client, &labels(64..65), now).is_err());
    first.settle(0, 1);
    limiter
        .look_up(&client, &labels(64..127), now)
        .unwrap()
        .settle(0, 63);
    assert!(limiter.look_up(&client, &labels(127..128), now).is_err());
}

#[test]
fn histories_cost_by_their_versions() {
    let (limiter, now) = limiter(|_| {});
    let client = address("192.0.2.1");
    let label = Label::parse("acct:alice").unwrap();
    let history = [(label, Query::since(0))];
    let asked = limiter.look_up(&client, &history, now).unwrap();
    assert_eq!(asked.cost, 17);
    asked.settle(20, 0);
    // 1 for the lookup and 3 for 20 versions.
    limiter
        .look_up(&client, &labels(0..60), now)
        .unwrap()
        .settle(0, 0);
    assert!(limiter.call(&client, now).is_err());
}

#[test]
fn one_client_may_look_up_one_label_only_so_often() {
    let (limiter, now) = limiter(|config| config.repeats_per_minute = 2);
    let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
    let alice = labels(0..1);
    for client in [&one, &one, &other, &other] {
        limiter.look_up(client, &alice, now).unwrap().settle(0, 0);
    }
    let refused = limiter.look_up(&one, &alice, now).err().unwrap();
    assert_eq!((refused.limit, refused.wait), (Limit::Repeats, MINUTE / 2));
    limiter
        .look_up(&one, &labels(1..2), now)
        .unwrap()
        .settle(0, 0);
}

#[test]
fn updates_are_counted_by_registrar_and_by_label() {
    let (limiter, now) = limiter(|_| {});
    for _ in 0..4 {
        limiter.update("one", "acct:alice", now).unwrap();
    }
    // A refusal for the label's sake costs the registrar nothing.
    let refused = limiter.update("one", "acct:alice", now).unwrap_err();
    assert_eq!(
        (refused.limit, refused.wait),
        (Limit::AccountUpdates, HOUR / 4)
    );
    // Nor does it cost another registrar anything.
    limiter.update("two", "acct:alice", now).unwrap();
    for _ in 0..4 {
        limiter.update("one", "acct:bob", now).unwrap();
    }
    let refused = limiter.update("one", "acct:carol", now).unwrap_err();
    assert_eq!((refused.limit, refused.wait), (Limit::Updates, SECOND / 8));
    limiter.update("two", "acct:carol", now).unwrap();
}

#[test]
fn unlimited_addresses_have_no_limits_but_those_of_all() {
    let (limiter, now) = limiter(|_| {});
    let local = Client::Unlimited;
    for _ in 0..100 {
        limiter
            .look_up(&local, &labels(0..64), now)
            .unwrap()
            .settle(0, 64);
        limiter.call(&local, now).unwrap();
    }
    let held: Vec<_> = (0..3).map(|_| limiter.stream(&local).unwrap()).collect();
    assert_eq!(limiter.stream(&local).err().unwrap().limit, Limit::Streams);
    drop(held);
    let remote = address("192.0.2.1");
    let _held = [
        limiter.stream(&remote).unwrap(),
        limiter.stream(&remote).unwrap(),
    ];
    assert_eq!(limiter.stream(&remote).err().unwrap().limit, Limit::Streams);
    limiter.stream(&address("192.0.2.2")).unwrap();
}

#[test]
fn refusals_and_clients_are_counted_without_naming_anybody() {
    let (limiter, now) = limiter(|config| config.repeats_per_minute = 1);
    let alice = labels(0..1);
    limiter
        .look_up(&address("192.0.2.1"), &alice, now)
        .unwrap()
        .settle(0, 1);
    limiter
        .look_up(&address("192.0.2.1"), &alice, now)
        .err()
        .unwrap();
    limiter.observe(now);
    let text = limiter.0.metrics.registry.text();
    for line in [
        "candor_limited_total{limit=\"repeats\"} 1",
        "candor_limits_tracked{limit=\"lookups\"} 1",
        "candor_limits_tracked{limit=\"absent\"} 1",
        "candor_limits_forgotten{limit=\"lookups\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("192.0.2.1") && !text.contains("acct"));
}
