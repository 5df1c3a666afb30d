//! Findings of guards for one request: for its record and for the verdict log.

use std::cell::RefCell;

use config::Guard;
use guards::{Finding, Phase};

use crate::guards::verdict_log::{self, VerdictEntry};
use crate::host::Host;
use crate::record::{GuardRecord, RecordedFindings};

/// Findings recorded for one request.
const MAX_FINDINGS: usize = 20;
/// Characters of a finding's reason that are kept.
const MAX_REASON_CHARS: usize = 200;

/// Findings of a request.
pub(crate) struct GuardFindings {
    request: String,
    consumer: String,
    route: String,
    recorded: RefCell<RecordedFindings>,
}

impl GuardFindings {
    /// Creates the findings of a request with its id, consumer, and route.
    pub(crate) fn new(request: &str, consumer: &str, route: String) -> Self {
        let (request, consumer) = (request.to_owned(), consumer.to_owned());
        Self { request, consumer, route, recorded: RefCell::default() }
    }

    /// Id of the caller.
    pub(super) fn consumer(&self) -> &str {
        &self.consumer
    }

    /// Records that a guard checks something.
    pub(crate) fn record_run(&self, guard: &Guard, phase: Phase) {
        let guards_run = &mut self.recorded.borrow_mut().guards_run;
        if !guards_run.iter().any(|(id, other)| *id == guard.id && *other == phase.name()) {
            guards_run.push((guard.id.clone(), phase.name()));
        }
    }

    /// Records a guard's finding in a text, or its error.
    pub(crate) fn record_finding<P: Host>(
        &self,
        host: &P,
        guard: &Guard,
        (phase, result): (Phase, &'static str),
        finding: &Finding,
        text: &str,
    ) {
        let record = GuardRecord {
            guard: guard.id.clone(),
            phase: phase.name(),
            result,
            label: finding.label.clone(),
            level: finding.level.name(),
        };
        let RecordedFindings { found, guards_run } = &mut *self.recorded.borrow_mut();
        // A stream may mask the same datum in every window.
        if found.contains(&record) {
            return;
        }
        if found.len() >= MAX_FINDINGS {
            // A guard whose findings exceed the maximum must not count as passed.
            guards_run.retain(|(id, phase)| *id != record.guard || *phase != record.phase);
            return;
        }
        let keep = if result == "error" { MAX_REASON_CHARS } else { guard.keep };
        let content: String = text.chars().take(keep).collect();
        verdict_log::store_verdict(
            host,
            &VerdictEntry {
                request: &self.request,
                consumer: &self.consumer,
                route: &self.route,
                finding: &record,
                content: Some(content).filter(|content| !content.is_empty()),
            },
        );
        found.push(record);
    }

    /// Returns the findings since the last call.
    pub(crate) fn take(&self) -> RecordedFindings {
        self.recorded.take()
    }
}
