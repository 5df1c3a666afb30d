//! The host traits over the nearest functions of Spin and WASI.

use std::future::Future;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use gateway::host::{Clock, HttpClient, Tasks, warning_line};
use gateway::record::Record;
use spin_sdk::wasip3;

use crate::http_conversion;

/// The host, which has no state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpinHost;

impl Clock for SpinHost {
    fn now(&self) -> Timestamp {
        let now = wasip3::clocks::system_clock::now();
        let seconds = u64::try_from(now.seconds).unwrap_or(0);
        Timestamp::from_millis(seconds * 1000 + u64::from(now.nanoseconds / 1_000_000))
    }

    fn entropy(&self) -> u64 {
        wasip3::random::random::get_random_u64()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        spin_sdk::time::sleep(duration)
    }
}

impl HttpClient for SpinHost {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        // WASI follows no redirects and cancels the call when the future is dropped.
        let request = http_conversion::to_wasi_request(request).map_err(HostError::new)?;
        let response = wasip3::http::client::send(request).await.map_err(HostError::new)?;
        http_conversion::to_core_response(response).map_err(HostError::new)
    }
}

impl Tasks for SpinHost {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        wasip3::spawn(task);
    }

    fn record(&self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            self.inform(&line);
        }
    }

    fn warn(&self, line: &str) {
        eprintln!("{}", warning_line(self.now(), line));
    }

    fn inform(&self, event: &str) {
        // One write for each line, since instances share a log. A failure to log must not fail the
        // request.
        let _ = std::io::stdout().lock().write_all(format!("{event}\n").as_bytes());
    }
}
