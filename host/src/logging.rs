//! Log lines of a process, on standard error: standard output belongs to its data.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;

use crate::traces::{Traces, TracesError};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: coloured on a terminal.
    #[default]
    Human,
    /// For machines: one JSON object a line.
    Json,
}

/// Why logging was not set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoggingError {
    /// The operator's fault: the filter in `RUST_LOG` makes no sense.
    #[error("the log filter in {} is malformed", EnvFilter::DEFAULT_ENV)]
    Filter {
        /// What is wrong with it.
        source: ParseError,
    },
    /// The operator's fault: where spans are to be sent makes no sense.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The caller's fault: logging was set up before.
    #[error("logging is set up already")]
    Repeated,
}

/// Sets up logging for this process, at level `info` unless `RUST_LOG` says otherwise. What is
/// returned is held as long as the program runs, for spans that are sent elsewhere; call this where
/// there is a runtime of tokio, which does the sending.
///
/// # Errors
///
/// The operator's fault if the filter or the place for spans is malformed, the caller's if this is
/// not the first call.
pub fn init(program: &'static str, format: Format) -> Result<Traces, LoggingError> {
    let filter = match std::env::var(EnvFilter::DEFAULT_ENV) {
        Ok(directives) => filter(&directives)?,
        Err(_) => filter(DEFAULT_DIRECTIVES)?,
    };
    let traces = Traces::of_environment(program)?;
    let colours = io::stderr().is_terminal();
    let subscriber = subscriber(format, filter, colours, io::stderr, &traces);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Repeated)?;
    Ok(traces)
}

fn filter(directives: &str) -> Result<EnvFilter, LoggingError> {
    EnvFilter::try_new(directives).map_err(|source| LoggingError::Filter { source })
}

fn subscriber<W>(
    format: Format,
    filter: EnvFilter,
    colours: bool,
    writer: W,
    traces: &Traces,
) -> Box<dyn tracing::Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Else it says on standard error that standard error failed, and panics: a reader of lines
        // that went away must not end the process.
        .log_internal_errors(false)
        .with_ansi(colours)
        .with_writer(writer);
    match format {
        Format::Human => traces.over(builder.finish()),
        Format::Json => traces.over(builder.json().flatten_event(true).finish()),
    }
}

const DEFAULT_DIRECTIVES: &str = "info";

/// The message with those of its causes, unless a message has its cause's words already.
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        if !text.ends_with(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::process::{Command, Stdio};

    fn logged(format: Format, directives: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        let writer = File::options().append(true).open(file.path()).unwrap();
        let traces = Traces::of_environment("candor-test").unwrap();
        let subscriber = subscriber(format, filter(directives).unwrap(), false, writer, &traces);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(epoch = 7, "published");
            tracing::debug!("hidden");
        });
        std::fs::read_to_string(file.path()).unwrap()
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(Format::Json, DEFAULT_DIRECTIVES);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with('{') && text.ends_with("}\n"), "{text}");
        assert!(text.contains(r#""message":"published""#), "{text}");
        assert!(text.contains(r#""epoch":7"#), "{text}");
    }

    #[test]
    fn human_lines_have_no_escape_sequences_off_a_terminal() {
        let text = logged(Format::Human, "debug");
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(
            text.contains("published epoch=7") && !text.contains('\x1b'),
            "{text}"
        );
    }

    #[test]
    fn who_stops_reading_the_lines_ends_nothing() {
        const CHILD: &str = "CANDOR_TEST_LINES_UNREAD";
        const NAME: &str = "logging::tests::who_stops_reading_the_lines_ends_nothing";
        if std::env::var_os(CHILD).is_some() {
            io::read_to_string(io::stdin()).unwrap();
            let _traces = init("candor-test", Format::Human).unwrap();
            tracing::error!("nobody reads this");
            return;
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stderr.take());
        // It logs when its input ends.
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn malformed_filter_is_refused() {
        assert!(matches!(
            filter("info,=x=y"),
            Err(LoggingError::Filter { .. })
        ));
    }
}
