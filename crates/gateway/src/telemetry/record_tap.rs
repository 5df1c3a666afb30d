//! Record of a request that an operator makes through the admin API.

use std::cell::RefCell;
use std::rc::Rc;

use crate::record::Record;
use crate::telemetry::usage::request_log::LoggedRequest;

/// Receives the record of one request. A clone refers to the same place.
#[derive(Clone, Debug)]
pub(crate) struct RecordTap {
    place: Rc<RefCell<Option<LoggedRequest>>>,
    /// Whether the request is counted and logged as well.
    pub(crate) is_counted: bool,
}

impl RecordTap {
    pub(crate) fn new(is_counted: bool) -> Self {
        Self { place: Rc::default(), is_counted }
    }

    pub(super) fn set(&self, record: &Record) {
        *self.place.borrow_mut() = Some(LoggedRequest::new(record));
    }

    /// The record, once the request is over.
    pub(crate) fn take(&self) -> Option<LoggedRequest> {
        self.place.borrow_mut().take()
    }
}
