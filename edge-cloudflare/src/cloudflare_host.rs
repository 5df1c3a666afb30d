//! Host traits over Workers APIs.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use ::ledger::{BookId, LedgerReply, Operation};
use bytes::Bytes;
use civil_time::Timestamp;
use gateway::host::body::Body;
use gateway::host::error::HostError;
use gateway::host::{Clock, HttpClient, KvStore, LedgerHost, Listing, Tasks, warning_line};
use gateway::record::Record;
use js_sys::{Date, Function, Promise};
use wasm_bindgen::JsValue;
use worker::worker_sys::Context;
use worker::{console_error, console_log};

use crate::timer::{Sleep, Timers};
use crate::{analytics, executor, js, ledger, outbound, store};

/// The host for one request.
#[derive(Clone)]
pub(crate) struct CloudflareHost {
    context: Rc<Context>,
    /// Bindings of wrangler.toml, valid for this request only.
    environment: Rc<JsValue>,
    timers: Rc<Timers>,
}

impl CloudflareHost {
    pub(crate) fn new(context: Context, environment: JsValue) -> Self {
        let (context, environment) = (Rc::new(context), Rc::new(environment));
        Self { context, environment, timers: Rc::default() }
    }

    pub(crate) fn environment(&self) -> &JsValue {
        &self.environment
    }
}

impl Clock for CloudflareHost {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Date::now() as u64)
    }

    fn entropy(&self) -> u64 {
        js::entropy()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        Sleep::new(Rc::clone(&self.timers), duration)
    }
}

impl HttpClient for CloudflareHost {
    async fn fetch(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Body>, HostError> {
        outbound::fetch(request).await
    }
}

impl KvStore for CloudflareHost {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, HostError> {
        store::get(&self.environment, name).await
    }

    async fn put(
        &self,
        name: &str,
        value: Vec<u8>,
        keep: Option<Duration>,
    ) -> Result<(), HostError> {
        store::put(&self.environment, name, &value, keep).await
    }

    async fn delete(&self, name: &str) -> Result<(), HostError> {
        store::delete(&self.environment, name).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, HostError> {
        store::list(&self.environment, prefix, cursor).await
    }
}

impl LedgerHost for CloudflareHost {
    // Every row that an object writes is billed.
    const MAX_BATCH_DELAY: Duration = Duration::from_secs(2);
    // The object's alarm sweeps them.
    const EXPIRES_ROWS: bool = true;

    async fn apply(
        &self,
        book_id: &BookId,
        operation: &Operation,
    ) -> Result<LedgerReply, HostError> {
        ledger::apply(&self.environment, book_id, operation).await
    }
}

impl Tasks for CloudflareHost {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        let mut task = Some(task);
        let promise = Promise::new(&mut |done: Function, _| {
            let Some(task) = task.take() else { return };
            executor::spawn(async move {
                task.await;
                // The function that settles a promise never throws.
                let _ = done.call0(&JsValue::UNDEFINED);
            });
        });
        // Fails only after the end of the request, when the host keeps nothing alive anyway.
        let _ = self.context.wait_until(&promise);
    }

    fn record(&self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            console_log!("{line}");
        }
        analytics::write(&self.environment, record);
    }

    fn warn(&self, line: &str) {
        console_error!("{}", warning_line(self.now(), line));
    }

    fn inform(&self, event: &str) {
        console_log!("{event}");
    }
}
