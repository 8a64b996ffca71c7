//! Sends spans.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;

use super::TracesError;

/// The variables of which one says where to send spans.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Sends spans while it lives, and what is left when it is dropped.
#[derive(Debug)]
pub struct Traces(Option<SdkTracerProvider>);

impl Traces {
    /// Begins to send the spans of `program`, if the environment says where. Call it where there is
    /// a runtime of tokio, which does the sending.
    ///
    /// # Errors
    ///
    /// The operator's fault: the environment's variables make no sense.
    pub fn of_environment(program: &'static str) -> Result<Self, TracesError> {
        let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if !ENDPOINTS.iter().any(is_set) {
            return Ok(Self(None));
        }
        let exporter = SpanExporter::builder().with_tonic().build();
        let exporter = exporter.map_err(|error| TracesError(error.to_string()))?;
        let resource = Resource::builder().with_service_name(program).build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(Some(provider)))
    }

    /// A subscriber whose spans are sent too.
    pub fn over<S>(&self, subscriber: S) -> Box<dyn tracing::Subscriber + Send + Sync>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        match &self.0 {
            None => Box::new(subscriber),
            Some(provider) => {
                let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer("candor"));
                Box::new(subscriber.with(spans))
            }
        }
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0 {
            // A collector that is away has lost the last spans.
            let _unsent = provider.shutdown();
        }
    }
}
