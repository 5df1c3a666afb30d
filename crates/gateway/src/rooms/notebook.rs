//! What guards have noted of one request: for its record, and for those who look at verdicts later.

use std::cell::RefCell;

use crate::config::Guard;
use crate::guard::{Finding, Phase};
use crate::observe::{GuardNote, Record};
use crate::platform::Platform;
use crate::verdicts::{self, Noted};

/// At most so many notes are taken of one request.
const MOST_NOTES: usize = 20;
/// So much of a service's complaint is kept, in characters.
const MOST_REASON: usize = 200;

/// A request's notes.
pub(super) struct Notebook {
    request: String,
    consumer: String,
    route: String,
    notes: RefCell<Notes>,
}

/// What was noted, for the record.
#[derive(Debug, Default)]
pub struct Notes {
    found: Vec<GuardNote>,
    watched: Vec<(String, &'static str)>,
}

impl Notebook {
    /// Opens the notes of a request by its id, its consumer and its route.
    pub(super) fn new(request: &str, consumer: &str, route: String) -> Self {
        let (request, consumer) = (request.to_owned(), consumer.to_owned());
        Self { request, consumer, route, notes: RefCell::default() }
    }

    /// Notes that a guard looks at something.
    pub(super) fn look(&self, guard: &Guard, phase: Phase) {
        let watched = &mut self.notes.borrow_mut().watched;
        if !watched.iter().any(|(id, other)| *id == guard.id && *other == phase.name()) {
            watched.push((guard.id.clone(), phase.name()));
        }
    }

    /// Notes what a guard has found in a text, or why it has found nothing.
    pub(super) fn note<P: Platform>(
        &self,
        platform: &P,
        guard: &Guard,
        (phase, result): (Phase, &'static str),
        finding: &Finding,
        text: &str,
    ) {
        let note = GuardNote {
            guard: guard.id.clone(),
            phase: phase.name(),
            result,
            label: finding.label.clone(),
            level: finding.level.name(),
        };
        let Notes { found, watched } = &mut *self.notes.borrow_mut();
        // A stream may mask the same thing in every window.
        if found.contains(&note) {
            return;
        }
        if found.len() >= MOST_NOTES {
            // Too much to tell is not nothing.
            watched.retain(|(id, phase)| *id != note.guard || *phase != note.phase);
            return;
        }
        let keep = if result == "error" { MOST_REASON } else { guard.keep };
        let content: String = text.chars().take(keep).collect();
        verdicts::keep(
            platform,
            &Noted {
                request: &self.request,
                consumer: &self.consumer,
                route: &self.route,
                note: &note,
                content: Some(content).filter(|content| !content.is_empty()),
            },
        );
        found.push(note);
    }

    /// Hands out what was noted since the last time.
    pub(super) fn take(&self) -> Notes {
        self.notes.take()
    }
}

impl Notes {
    /// Writes them into a record.
    pub fn write(self, record: &mut Record) {
        record.guards.extend(self.found);
        record.watched.extend(self.watched);
    }
}
