//! Spans for an OpenTelemetry collector, with the feature `otel`; without it nothing.
//!
//! Where to send them is said by the standard variables (`OTEL_EXPORTER_OTLP_ENDPOINT` and those
//! beside it), over gRPC. Without an endpoint nothing is sent. Spans have names, times and what the
//! lines of the log have too: nothing of a person. A collector that is slow or away costs spans,
//! never requests.

#[cfg(not(feature = "otel"))]
mod absent;
#[cfg(feature = "otel")]
mod otlp;

#[cfg(not(feature = "otel"))]
pub use absent::Traces;
#[cfg(feature = "otel")]
pub use otlp::Traces;

/// The environment's variables make no sense: the operator's fault.
#[derive(Debug, thiserror::Error)]
#[error("spans cannot be sent: {0}")]
pub struct TracesError(pub String);
