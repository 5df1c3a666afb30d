//! The doors of the core over Workers APIs.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use gateway::body::Body;
use gateway::ledger::{Operation, Place, Reply};
use gateway::observe::Record;
use gateway::outage::Outage;
use gateway::platform::{Background, Clock, Ledger, Listing, Outbound, Store};
use gateway::time::Timestamp;
use js_sys::{Date, Function, Promise};
use wasm_bindgen::JsValue;
use worker::worker_sys::Context;
use worker::{console_error, console_log};

use crate::timer::{Sleep, Timers};
use crate::{analytics, host, ledger, outbound, store, tasks};

/// One request's view of the host.
#[derive(Clone)]
pub(crate) struct Edge {
    context: Rc<Context>,
    /// What wrangler.toml binds, for this request.
    environment: Rc<JsValue>,
    timers: Rc<Timers>,
}

impl Edge {
    pub(crate) fn new(context: Context, environment: JsValue) -> Self {
        let (context, environment) = (Rc::new(context), Rc::new(environment));
        Self { context, environment, timers: Rc::default() }
    }

    pub(crate) fn environment(&self) -> &JsValue {
        &self.environment
    }
}

impl Clock for Edge {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(Date::now() as u64)
    }

    fn entropy(&self) -> u64 {
        host::entropy()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        Sleep::new(Rc::clone(&self.timers), duration)
    }
}

impl Outbound for Edge {
    async fn fetch(&self, request: http::Request<Bytes>) -> Result<http::Response<Body>, Outage> {
        outbound::fetch(request).await
    }
}

impl Store for Edge {
    async fn get(&self, name: &str) -> Result<Option<Bytes>, Outage> {
        store::get(&self.environment, name).await
    }

    async fn put(&self, name: &str, value: Vec<u8>, keep: Option<Duration>) -> Result<(), Outage> {
        store::put(&self.environment, name, &value, keep).await
    }

    async fn delete(&self, name: &str) -> Result<(), Outage> {
        store::delete(&self.environment, name).await
    }

    async fn list(&self, prefix: &str, cursor: Option<&str>) -> Result<Listing, Outage> {
        store::list(&self.environment, prefix, cursor).await
    }
}

impl Ledger for Edge {
    // Each row that an object writes is billed.
    const GATHERS: Duration = Duration::from_secs(2);
    // By its alarm.
    const FORGETS: bool = true;

    async fn apply(&self, place: &Place, operation: &Operation) -> Result<Reply, Outage> {
        ledger::apply(&self.environment, place, operation).await
    }
}

impl Background for Edge {
    fn defer(&self, task: impl Future<Output = ()> + 'static) {
        let mut task = Some(task);
        let promise = Promise::new(&mut |done: Function, _| {
            let Some(task) = task.take() else { return };
            tasks::spawn(async move {
                task.await;
                // The function that settles a promise never throws.
                let _ = done.call0(&JsValue::UNDEFINED);
            });
        });
        // It fails only after the request's end, when the host keeps nothing alive any more.
        let _ = self.context.wait_until(&promise);
    }

    fn record(&self, record: &Record) {
        if let Ok(line) = serde_json::to_string(record) {
            console_log!("{line}");
        }
        analytics::write(&self.environment, record);
    }

    fn warn(&self, line: &str) {
        console_error!("{line}");
    }
}
