//! Receivers of finished records: usage totals, the host's log, and the OTLP exporter.

use std::rc::Rc;

use crate::config::Config;
use crate::observe::Record;
use crate::otlp::Trace;
use crate::platform::Platform;
use crate::usage::Recorder;

use super::exporter::Exporter;

/// Everything that receives a record once its request is over. A clone shares the receivers.
#[derive(Clone, Debug)]
pub struct RecordSinks {
    config: Rc<Config>,
    usage: Rc<Recorder>,
    exporter: Rc<Exporter>,
}

impl RecordSinks {
    /// Creates sinks that count and export as `config` says.
    pub(crate) fn new(config: Rc<Config>, usage: Rc<Recorder>, exporter: Rc<Exporter>) -> Self {
        Self { config, usage, exporter }
    }

    /// Adds a record to the usage totals; `cost` is in billionths of a USD.
    pub(crate) fn count<P: Platform>(&self, platform: &P, record: &Record, cost: u64) {
        self.usage.note(platform, record, cost);
    }

    /// Writes a record to the host's log and queues it for the OTLP collector.
    pub(crate) fn write<P: Platform>(
        &self,
        platform: &P,
        record: Box<Record>,
        trace: Option<Rc<Trace>>,
        cost: u64,
    ) {
        platform.record(&record);
        self.exporter.note(&self.config, platform, record, trace, cost);
    }
}
