//! Metrics of a process, in Prometheus' text format.
//!
//! Names are constants of whoever counts: `candor_<part>_<what>_<unit>`. Labels have few and known
//! values, never anything that a peer chose.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder,
};

/// The metrics of one process. Clones are the same registry.
#[derive(Clone, Debug, Default)]
pub struct Registry(prometheus::Registry);

/// The content type of [`Registry::text`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Which version of a program runs, by `program` and `version`; always 1.
pub const BUILD: &str = "candor_build_info";

/// What is told of the process itself, on Linux: seconds of processor time, open file descriptors
/// and how many there may be, bytes of memory, threads, and when it started.
pub const PROCESS: [&str; 7] = [
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
    "process_virtual_memory_bytes",
    "process_resident_memory_bytes",
    "process_threads",
    "process_start_time_seconds",
];

/// # Panics
///
/// Every method that registers a metric panics if the name is malformed or taken: both are bugs
/// that the first start of the process shows.
impl Registry {
    /// A registry without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers what is known of the process, and the program's version.
    pub fn process(&self, program: &str, version: &str) {
        let build = self.gauges(BUILD, "Which version runs.", &["program", "version"]);
        build.with_label_values(&[program, version]).set(1);
        #[cfg(target_os = "linux")]
        {
            let collector = prometheus::process_collector::ProcessCollector::for_self();
            let registered = self.0.register(Box::new(collector));
            registered.expect("each metric is registered once");
        }
    }

    /// Registers a count that only grows.
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    /// Registers counts that only grow, one for each combination of the labels' values.
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// Registers amounts that only grow and need not be whole, like seconds.
    pub fn amounts(&self, name: &str, help: &str, labels: &[&str]) -> CounterVec {
        self.register(CounterVec::new(Opts::new(name, help), labels))
    }

    /// Registers a number that goes up and down.
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// Registers numbers that go up and down, one for each combination of the labels' values.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// Registers a distribution, counted in buckets up to each of `bounds`.
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(Histogram::with_opts(options))
    }

    /// Registers distributions, one for each combination of the labels' values.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> HistogramVec {
        let options = HistogramOpts::new(name, help).buckets(bounds.to_vec());
        self.register(HistogramVec::new(options, labels))
    }

    /// All metrics, as a scraper reads them.
    pub fn text(&self) -> String {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.0.gather(), &mut text)
            .expect("writing to a string does not fail, and no registered family is empty");
        text
    }

    fn register<C: Collector + Clone + 'static>(&self, metric: prometheus::Result<C>) -> C {
        let metric = metric.expect("metric names and buckets are constants and well formed");
        let registered = self.0.register(Box::new(metric.clone()));
        registered.expect("each metric is registered once");
        metric
    }
}

/// Raises a count to a total that is kept elsewhere.
pub fn raise(counter: &IntCounter, total: u64) {
    counter.inc_by(total.saturating_sub(counter.get()));
}

/// A gauge's value of a number that is never as large as 2^63.
pub fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_process_tells_of_itself() {
        let registry = Registry::new();
        registry.process("candor-test", "1.2.3");
        let text = registry.text();
        assert!(text.contains("candor_build_info{program=\"candor-test\",version=\"1.2.3\"} 1"));
        for name in PROCESS {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(&format!("{name} ")));
            assert!(value.unwrap().parse::<f64>().unwrap() >= 0.0, "{name}");
        }
    }

    #[test]
    fn a_count_kept_elsewhere_only_grows() {
        let counter = Registry::new().counter("candor_test_reads_total", "Reads.");
        for (total, shown) in [(3, 3), (2, 3), (7, 7)] {
            raise(&counter, total);
            assert_eq!(counter.get(), shown);
        }
    }

    #[test]
    fn text_shows_what_was_counted() {
        let registry = Registry::new();
        registry
            .counter("candor_test_epochs_total", "Epochs.")
            .inc_by(3);
        registry
            .gauge("candor_test_queue_updates", "Updates waiting.")
            .set(-1);
        let requests = registry.counters("candor_test_requests_total", "Requests.", &["result"]);
        requests.with_label_values(&["ok"]).inc();
        let sizes = registry.gauges("candor_test_size_entries", "Sizes.", &["log"]);
        sizes.with_label_values(&["a"]).set(7);
        registry
            .histogram("candor_test_commit_seconds", "Commits.", &[0.1, 1.0])
            .observe(0.5);
        let text = registry.text();
        for line in [
            "# HELP candor_test_epochs_total Epochs.",
            "# TYPE candor_test_epochs_total counter",
            "candor_test_epochs_total 3",
            "candor_test_queue_updates -1",
            "candor_test_requests_total{result=\"ok\"} 1",
            "candor_test_size_entries{log=\"a\"} 7",
            "candor_test_commit_seconds_bucket{le=\"0.1\"} 0",
            "candor_test_commit_seconds_bucket{le=\"1\"} 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} not in\n{text}"
            );
        }
    }

    #[test]
    fn no_metrics_and_unused_labels_are_no_error() {
        let registry = Registry::new();
        assert_eq!(registry.text(), "");
        let _unused = registry.counters("candor_test_requests_total", "Requests.", &["result"]);
        assert_eq!(registry.text(), "");
    }
}
