//! Receivers of finished records: usage totals, the host's log, and the OTLP exporter.

use std::rc::Rc;

use config::Config;

use crate::host::Host;
use crate::record::Record;
use crate::rollouts::{Rollouts, feedback};
use crate::telemetry::otlp::TraceContext;
use crate::telemetry::usage::aggregator::UsageAggregator;

use super::otlp::exporter::OtlpExporter;
use super::record_tap::RecordTap;

/// Everything that receives a record once its request is over. A clone shares the receivers.
#[derive(Clone, Debug)]
pub(crate) struct RecordSinks {
    config: Rc<Config>,
    usage_aggregator: Rc<UsageAggregator>,
    otlp_exporter: Rc<OtlpExporter>,
    rollouts: Rc<Rollouts>,
    /// Receives the record, too, if an operator made the request.
    tap: Option<RecordTap>,
}

impl RecordSinks {
    /// Creates sinks that count and export as `config` says.
    pub(crate) fn new(
        config: Rc<Config>,
        usage_aggregator: Rc<UsageAggregator>,
        otlp_exporter: Rc<OtlpExporter>,
        rollouts: Rc<Rollouts>,
    ) -> Self {
        Self { config, usage_aggregator, otlp_exporter, rollouts, tap: None }
    }

    /// The same sinks, with a receiver of the record of an operator's request.
    pub(crate) fn with_tap(self, tap: RecordTap) -> Self {
        Self { tap: Some(tap), ..self }
    }

    fn is_counted(&self) -> bool {
        self.tap.as_ref().is_none_or(|tap| tap.is_counted)
    }

    /// Adds a record to the usage totals and to the evidence of its route's rollout; `cost` is in billionths of a USD.
    pub(crate) fn count_usage<P: Host>(&self, host: &P, record: &Record, cost: u64) {
        if let Some(tap) = &self.tap {
            tap.set(record);
        }
        if !self.is_counted() {
            return;
        }
        self.rollouts.observe(&self.config, record, cost);
        let settings = self.config.observe.requests;
        if let Some((book_id, line)) = feedback::line(&self.config, record, host.now()) {
            self.usage_aggregator.add_log_line(book_id, line);
        }
        self.usage_aggregator.record(host, record, cost, settings);
    }

    /// Writes a record to the host's log and queues it for the OTLP collector.
    pub(crate) fn write_record<P: Host>(
        &self,
        host: &P,
        record: Box<Record>,
        trace: Option<Rc<TraceContext>>,
        cost: u64,
    ) {
        if !self.is_counted() {
            return;
        }
        host.record(&record);
        self.otlp_exporter.enqueue(&self.config, host, record, trace, cost);
    }
}
