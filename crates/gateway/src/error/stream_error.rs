//! Errors that end a stream: its status was sent, so the error is an event.

use bytes::Bytes;
use openai::{ErrorBody, ErrorObject};
use protocol::failure;
use protocol::model::{Failure, FailureClass, Protocol};

/// Reason for the early end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamError {
    /// The upstream sent an error event.
    UpstreamError,
    /// The upstream sent an event that is not JSON.
    NotAChunk,
    /// The upstream ended the stream before the answer was complete.
    Incomplete,
    /// The connection to the upstream broke.
    ConnectionBroken,
    /// The upstream sent nothing within the idle timeout.
    IdleTimeout,
    /// The deadline of the request has passed.
    DeadlinePassed,
    /// A fail-closed guard failed.
    GuardUnavailable,
}

impl StreamError {
    /// Code for callers and the record.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::UpstreamError | Self::NotAChunk | Self::Incomplete | Self::ConnectionBroken => {
                "upstream_error"
            }
            Self::IdleTimeout | Self::DeadlinePassed => "upstream_timeout",
            Self::GuardUnavailable => "guard_unavailable",
        }
    }

    /// Text for callers.
    pub(crate) fn message(self) -> &'static str {
        match self {
            Self::UpstreamError => "The upstream reported an error.",
            Self::NotAChunk => "The upstream sent an event that is not a chunk.",
            Self::Incomplete => "The upstream ended the stream before the answer was complete.",
            Self::ConnectionBroken => "The connection to the upstream broke.",
            Self::IdleTimeout => "The upstream sent nothing within the idle timeout.",
            Self::DeadlinePassed => "The deadline of this request has passed.",
            Self::GuardUnavailable => "A guard that must check this answer cannot be reached.",
        }
    }

    /// The event with the error, in the protocol of the stream. `events` is the number of events before it.
    pub(crate) fn event(self, protocol: Protocol, events: u64) -> Bytes {
        let class = match self {
            Self::GuardUnavailable => FailureClass::Internal,
            Self::IdleTimeout | Self::DeadlinePassed => FailureClass::Timeout,
            Self::UpstreamError | Self::NotAChunk | Self::Incomplete | Self::ConnectionBroken => {
                FailureClass::Upstream
            }
        };
        if protocol != Protocol::Chat {
            let code = Some(self.code().into());
            let failure = Failure { code, ..Failure::new(class, self.message()) };
            let mut out = Vec::new();
            failure::event(&failure, protocol, events, &mut out);
            return out.into();
        }
        let kind = match self {
            Self::GuardUnavailable => "server_error",
            _ => "upstream_error",
        };
        let (message, code) = (self.message(), Some(self.code()));
        let error = ErrorObject { message, kind, param: None, code };
        ErrorBody { error }.to_event().into()
    }
}
