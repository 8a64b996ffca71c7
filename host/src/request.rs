//! Requests as an operator sees them: each has an id, is counted, and is told of if it failed.
//!
//! The id is always made here. One that a caller sends along is not taken over: nobody knows
//! whether it holds something of a person, and it would be written down. The answer names the id
//! (`x-request-id`), so that a user can quote it and a proxy can log it.
//!
//! What is told: a request that failed by our fault at level `warn`, at most some in a window of
//! time, and every request at level `debug`. Lines that others write while they work on a request
//! carry its id, since they are written in its span. Nothing of a request's contents, and no
//! address, is in either.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures::future::BoxFuture;
use prometheus::{HistogramVec, IntCounterVec};
use tower::{Layer, Service};
use tracing::Instrument as _;

use crate::metrics::Registry;

/// Requests that were answered or given up, by `port` (`grpc`, `http`), `method` and `outcome`: a
/// gRPC code, a class of HTTP status, or `dropped` if the caller went away or the time was over.
pub const REQUESTS: &str = "candor_requests_total";
/// Time until the answer began, in seconds, by `port` and `method`.
pub const REQUEST_SECONDS: &str = "candor_request_seconds";

/// The header of an answer that names the request.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// From an answer out of memory to the longest wait that is granted.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0,
];

/// Failures that are told in one window; further ones are only counted.
const TOLD_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// A port of a server, and the methods that it knows by name: paths, or what paths begin with.
#[derive(Clone, Copy, Debug)]
pub struct Port {
    /// `grpc` or `http`.
    pub name: &'static str,
    /// The methods. What is none of them is counted as `other`, so that nobody makes up labels.
    pub methods: &'static [&'static str],
}

impl Port {
    fn method(&self, path: &str) -> &'static str {
        let is_it = |method: &&&'static str| {
            let rest = path.strip_prefix(**method);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.methods.iter().find(is_it).copied().unwrap_or("other")
    }
}

/// What counts and tells requests. Clones count together.
#[derive(Clone, Debug)]
pub struct Requests {
    total: IntCounterVec,
    seconds: HistogramVec,
    failures: Arc<Mutex<Window>>,
}

impl Requests {
    /// Registers what is counted.
    pub fn new(registry: &Registry) -> Self {
        Self {
            total: registry.counters(
                REQUESTS,
                "Requests that were answered or given up.",
                &["port", "method", "outcome"],
            ),
            seconds: registry.histograms(
                REQUEST_SECONDS,
                "Time until the answer began.",
                &["port", "method"],
                SECONDS,
            ),
            failures: Arc::new(Mutex::new(Window::new(Instant::now()))),
        }
    }

    /// What watches the requests of a port.
    pub fn watch(&self, port: Port) -> Watch {
        Watch {
            requests: self.clone(),
            port,
        }
    }
}

/// Watches the requests that a service answers.
#[derive(Clone, Debug)]
pub struct Watch {
    requests: Requests,
    port: Port,
}

impl<S> Layer<S> for Watch {
    type Service = Watching<S>;

    fn layer(&self, service: S) -> Watching<S> {
        let watch = self.clone();
        Watching { watch, service }
    }
}

/// A service whose requests are watched.
#[derive(Clone, Debug)]
pub struct Watching<S> {
    watch: Watch,
    service: S,
}

impl<S> Service<Request> for Watching<S>
where
    S: Service<Request, Response = Response, Future: Send + 'static>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let Watch { requests, port } = self.watch.clone();
        let id = RequestId::next();
        let method = port.method(request.uri().path());
        let span = tracing::info_span!("request", %id, method);
        let mut watched = Watched {
            requests,
            port,
            method,
            outcome: Outcome::DROPPED,
            started: Instant::now(),
            span: span.clone(),
        };
        let answer = span.in_scope(|| self.service.call(request));
        Box::pin(async move {
            let mut response = answer.instrument(span).await?;
            watched.outcome = Outcome::of(response.status(), response.headers());
            drop(watched);
            response.headers_mut().insert(HEADER, id.to_header());
            Ok(response)
        })
    }
}

/// A request in work. However it ends, it is counted once.
struct Watched {
    requests: Requests,
    port: Port,
    method: &'static str,
    outcome: Outcome,
    started: Instant,
    span: tracing::Span,
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _entered = self.span.enter();
        let (took, outcome) = (self.started.elapsed(), self.outcome.name);
        let labels = [self.port.name, self.method, outcome];
        self.requests.total.with_label_values(&labels).inc();
        let seconds = self.requests.seconds.with_label_values(&labels[..2]);
        seconds.observe(took.as_secs_f64());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::debug!(outcome, took_ms, "answered");
        // Not to be ready is an answer, and whoever watches asks for it every second.
        if !self.outcome.is_failure || self.method == "/readyz" {
            return;
        }
        let failures = self.requests.failures.lock();
        let mut failures = failures.unwrap_or_else(PoisonError::into_inner);
        if let Some(untold) = failures.admit(Instant::now()) {
            tracing::warn!(outcome, took_ms, untold, "a request failed");
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy)]
struct Outcome {
    name: &'static str,
    /// By our fault.
    is_failure: bool,
}

impl Outcome {
    const DROPPED: Self = Self {
        name: "dropped",
        is_failure: false,
    };

    /// Of gRPC the code, if it is known when the answer begins: it is for calls with one answer,
    /// and for streams that were refused. A stream that began counts as `ok`.
    fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        let is_grpc = headers
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !is_grpc {
            let name = match status.as_u16() {
                100..200 => "1xx",
                200..300 => "2xx",
                300..400 => "3xx",
                400..500 => "4xx",
                _ => "5xx",
            };
            return Self {
                name,
                is_failure: status.is_server_error(),
            };
        }
        let code = headers
            .get("grpc-status")
            .and_then(|code| code.to_str().ok());
        let (name, is_failure) = match code {
            None | Some("0") => ("ok", false),
            Some("1") => ("cancelled", false),
            Some("3") => ("invalid_argument", false),
            Some("4") => ("deadline_exceeded", true),
            Some("5") => ("not_found", false),
            Some("6") => ("already_exists", false),
            Some("7") => ("permission_denied", false),
            Some("8") => ("resource_exhausted", false),
            Some("9") => ("failed_precondition", false),
            Some("10") => ("aborted", false),
            Some("11") => ("out_of_range", false),
            Some("12") => ("unimplemented", false),
            Some("13") => ("internal", true),
            Some("14") => ("unavailable", true),
            Some("15") => ("data_loss", true),
            Some("16") => ("unauthenticated", false),
            Some(_) => ("unknown", true),
        };
        Self { name, is_failure }
    }
}

/// How many failures were told in the running stretch of time.
#[derive(Debug)]
struct Window {
    since: Instant,
    told: u32,
    untold: u64,
}

impl Window {
    const fn new(now: Instant) -> Self {
        Self {
            since: now,
            told: 0,
            untold: 0,
        }
    }

    /// Whether one more may be told, and how many were not since the last one that was.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if now.duration_since(self.since) >= WINDOW {
            (self.since, self.told) = (now, 0);
        }
        if self.told >= TOLD_MAX {
            self.untold += 1;
            return None;
        }
        self.told += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Sixteen hexadecimal digits that no two requests share.
struct RequestId(u64);

impl RequestId {
    /// A number in this process, keyed: it tells neither how many there were, nor which process it
    /// was, and asks the system for randomness once.
    fn next() -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Self(KEY.hash_one(NUMBER.fetch_add(1, Ordering::Relaxed)))
    }

    fn to_header(&self) -> HeaderValue {
        let id = HeaderValue::try_from(self.to_string());
        let mut id = id.unwrap_or(HeaderValue::from_static(""));
        // It comes once: HTTP/2 is not to remember it in the place of headers that come again.
        id.set_sensitive(true);
        id
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    const PORT: Port = Port {
        name: "http",
        methods: &["/tile", "/readyz", "/fails"],
    };

    async fn asked(router: &Router, path: &str) -> Response {
        let request = Request::get(path)
            .header(HEADER, "acct-alice")
            .body(Body::empty())
            .unwrap();
        router.clone().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_answer_names_its_request_and_is_counted_by_known_names_only() {
        let registry = Registry::new();
        let failing = || async { (StatusCode::INTERNAL_SERVER_ERROR, "failed") };
        let router = Router::new()
            .route("/tile/{path}", get(|| async { "tile" }))
            .route("/fails", get(failing));
        let router = router.layer(Requests::new(&registry).watch(PORT));
        let mut ids = Vec::new();
        for path in ["/tile/0", "/tile/1", "/fails", "/acct:alice", "/tiles"] {
            let answer = asked(&router, path).await;
            let id = answer.headers()[HEADER].to_str().unwrap().to_owned();
            assert!(id.len() == 16 && id.bytes().all(|digit| digit.is_ascii_hexdigit()));
            ids.push(id);
        }
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 5, "ids are apart");
        let text = registry.text();
        for line in [
            "candor_requests_total{method=\"/tile\",outcome=\"2xx\",port=\"http\"} 2",
            "candor_requests_total{method=\"/fails\",outcome=\"5xx\",port=\"http\"} 1",
            "candor_requests_total{method=\"other\",outcome=\"4xx\",port=\"http\"} 2",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} not in\n{text}"
            );
        }
        assert!(!text.contains("alice"));
    }

    #[tokio::test]
    async fn who_goes_away_is_counted_too() {
        let registry = Registry::new();
        let router = Router::new().route("/fails", get(std::future::pending::<&str>));
        let router = router.layer(Requests::new(&registry).watch(PORT));
        let asking = tokio::spawn(async move { asked(&router, "/fails").await });
        tokio::task::yield_now().await;
        asking.abort();
        assert!(asking.await.is_err());
        let line = "candor_requests_total{method=\"/fails\",outcome=\"dropped\",port=\"http\"} 1";
        assert!(registry.text().contains(line));
    }

    #[test]
    fn grpc_answers_count_by_their_code() {
        let outcome = |code: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", "application/grpc".parse().unwrap());
            if let Some(code) = code {
                headers.insert("grpc-status", code.parse().unwrap());
            }
            let outcome = Outcome::of(StatusCode::OK, &headers);
            (outcome.name, outcome.is_failure)
        };
        assert_eq!(outcome(None), ("ok", false));
        assert_eq!(outcome(Some("3")), ("invalid_argument", false));
        assert_eq!(outcome(Some("13")), ("internal", true));
        assert_eq!(outcome(Some("99")), ("unknown", true));
    }

    #[test]
    fn failures_in_masses_are_counted_rather_than_told() {
        let start = Instant::now();
        let mut window = Window::new(start);
        let told = (0..100).filter(|_| window.admit(start).is_some());
        assert_eq!(told.count(), TOLD_MAX as usize);
        assert_eq!(window.admit(start + WINDOW), Some(90));
        assert_eq!(window.admit(start + WINDOW), Some(0));
    }
}
