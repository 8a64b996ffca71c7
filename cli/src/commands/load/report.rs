//! What a run of load came to.

use std::fmt;

use candor::load::{Measured, Operation, Plan};
use comfy_table::CellAlignment;
use serde::Serialize;

use crate::output::{ALARM, Exit, GOOD, Report, WARN, paint, table, write_table};
use crate::view::{write_field, write_title};

/// What was measured.
#[derive(Serialize)]
pub struct LoadReport {
    /// Whether latencies count from when calls were due (`open`), or from when they were made
    /// (`closed`).
    loop_kind: &'static str,
    /// Calls a second that were asked for; `null`: as many as possible.
    rate: Option<f64>,
    seconds: f64,
    accounts: u32,
    connections: u16,
    calls_each: u16,
    seed: u64,
    operations: Vec<OperationReport>,
    errors: Vec<ErrorReport>,
    /// Calls that were due and never made.
    not_started: u64,
    /// Mean size of the answers to lookups.
    lookup_answer_bytes: f64,
    verified: u64,
    refused: u64,
    first_refusal: Option<String>,
}

#[derive(Serialize)]
struct OperationReport {
    operation: &'static str,
    calls: u64,
    per_second: f64,
    failed: u64,
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    p999_us: u64,
    max_us: u64,
}

#[derive(Serialize)]
struct ErrorReport {
    operation: &'static str,
    code: String,
    count: u64,
}

impl LoadReport {
    pub fn new(plan: &Plan, measured: &Measured) -> Self {
        let operation = |operation: Operation| {
            let latencies = measured.latencies(operation);
            let (calls, failed) = (latencies.count(), measured.failed(operation));
            (calls + failed > 0).then(|| OperationReport {
                operation: operation.name(),
                calls,
                per_second: calls as f64 / measured.seconds.max(f64::EPSILON),
                failed,
                p50_us: latencies.quantile_us(0.5),
                p90_us: latencies.quantile_us(0.9),
                p99_us: latencies.quantile_us(0.99),
                p999_us: latencies.quantile_us(0.999),
                max_us: latencies.longest_us(),
            })
        };
        let error = |((operation, code), count): (&(Operation, String), &u64)| ErrorReport {
            operation: operation.name(),
            code: code.clone(),
            count: *count,
        };
        Self {
            loop_kind: if plan.rate.is_some() {
                "open"
            } else {
                "closed"
            },
            rate: plan.rate,
            seconds: measured.seconds,
            accounts: plan.accounts,
            connections: plan.channels,
            calls_each: plan.concurrency,
            seed: plan.seed,
            operations: Operation::ALL.into_iter().filter_map(operation).collect(),
            errors: measured.errors.iter().map(error).collect(),
            not_started: measured.not_started,
            lookup_answer_bytes: measured.mean_answer_bytes(),
            verified: measured.verified,
            refused: measured.refused,
            first_refusal: measured.first_refusal.clone(),
        }
    }
}

impl Report for LoadReport {
    fn exit(&self) -> Exit {
        let answered = self.operations.iter().any(|it| it.calls > 0);
        match (self.refused, answered) {
            (1.., _) => Exit::Alarm,
            (0, true) => Exit::Done,
            (0, false) => Exit::Temporary,
        }
    }

    fn text(&self, out: &mut String) -> fmt::Result {
        let Self {
            seconds,
            connections,
            calls_each,
            accounts,
            seed,
            ..
        } = self;
        write_title(out, format_args!("{seconds:.1} s of load"))?;
        match self.rate {
            Some(rate) => write_field(
                out,
                "calls",
                format_args!("{rate} a second; latencies from when each was due"),
            )?,
            None => write_field(
                out,
                "calls",
                "one after the other; latencies from when each was made",
            )?,
        }
        let from = format!("{connections} connections, at most {calls_each} calls on each");
        write_field(out, "from", from)?;
        write_field(out, "accounts", accounts)?;
        write_field(out, "seed", seed)?;
        let mut latencies = table([
            "operation",
            "calls",
            "1/s",
            "failed",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
        ]);
        for column in latencies.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let ms = |us: u64| format!("{:.2}", us as f64 / 1000.0);
        for it in &self.operations {
            let OperationReport {
                operation,
                calls,
                per_second,
                failed,
                p50_us,
                p90_us,
                p99_us,
                p999_us,
                max_us,
            } = it;
            let [p50, p90, p99, p999, max] =
                [p50_us, p90_us, p99_us, p999_us, max_us].map(|it| ms(*it));
            latencies.add_row([
                (*operation).to_owned(),
                calls.to_string(),
                format!("{per_second:.0}"),
                failed.to_string(),
                p50,
                p90,
                p99,
                p999,
                max,
            ]);
        }
        write_table(out, &latencies)?;
        for ErrorReport {
            operation,
            code,
            count,
        } in &self.errors
        {
            let what = format!("{count} of {operation}: {code}");
            write_field(out, "failed", paint(WARN, what))?;
        }
        if self.not_started > 0 {
            let what = format!("{} calls were due and never made", self.not_started);
            write_field(out, "missed", paint(WARN, what))?;
        }
        let verified = format!("{} answers", self.verified);
        write_field(out, "verified", paint(GOOD, verified))?;
        if let Some(reason) = &self.first_refusal {
            let what = format!("{} answers; the first: {reason}", self.refused);
            write_field(out, "REFUSED", paint(ALARM, what))?;
        }
        Ok(())
    }
}
