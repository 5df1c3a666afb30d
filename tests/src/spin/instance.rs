//! Instances of an app: their creation, their limits and their lifetime.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use super::allowed::AllowedHosts;
use super::app::{SpinApp, Swaps};
use super::engine::Component;
use super::outbound::{Outbound, Upstreams};
use super::output::{AppLog, Output};
use super::redis::OutboundRedis;
use super::state::State;
use super::storage::Storage;

/// Spin's defaults for components of WASI 0.3: total requests, concurrent requests, idle time.
const MAX_REQUESTS: usize = 128;
const MAX_CONCURRENT_REQUESTS: usize = 16;
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Creates the instances of an app.
pub(crate) struct InstanceFactory {
    component: Component,
    variables: Arc<BTreeMap<String, String>>,
    storage: Option<Arc<Storage>>,
    swaps: Swaps,
    outbound: Outbound,
    redis: OutboundRedis,
    log: Arc<AppLog>,
}

impl InstanceFactory {
    /// Prepares the creation of instances.
    pub(crate) fn new(
        component: &Component,
        upstreams: Upstreams,
        app: SpinApp,
        log: Arc<AppLog>,
    ) -> anyhow::Result<Self> {
        let allowed_hosts = Arc::new(AllowedHosts::parse(&app.allowed_hosts)?);
        let redis = OutboundRedis::new(Arc::clone(&allowed_hosts), app.max_redis_connections);
        let outbound = Outbound::new(upstreams, allowed_hosts);
        let storage = match &app.state {
            Some(directory) => Storage::open(&directory.join(format!("{}.log", app.name)))?,
            None => Storage::default(),
        };
        Ok(Self {
            component: component.clone(),
            variables: Arc::new(app.variables),
            storage: (!app.no_store).then(|| Arc::new(storage)),
            swaps: app.swaps,
            outbound,
            redis,
            log,
        })
    }
}

impl HandlerState for InstanceFactory {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = InstanceLimits;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, InstanceLimits>> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(Output::new(Arc::clone(&self.log))).stderr(Output::new(Arc::clone(&self.log)));
        let (variables, storage) = (Arc::clone(&self.variables), self.storage.clone());
        let outbound = (self.outbound.clone(), self.redis.clone());
        let state = State::new(wasi.build(), outbound, variables, (storage, self.swaps));
        let mut store = Store::new(&self.component.engine, state);
        let service = self.component.service.instantiate_async(&mut store).await?;
        Ok(Instance {
            store,
            proxy: Proxy::P3(service),
            view: |state| state.http(),
            expiration: Expiration { idle: Box::pin(tokio::time::sleep(MAX_IDLE)) },
            state: InstanceLimits,
        })
    }
}

/// Ends an instance that has been idle for some time.
pub(crate) struct Expiration {
    idle: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        match status {
            WorkerStatus::Idle => {
                let deadline = (start + MAX_IDLE).into();
                if self.idle.deadline() != deadline {
                    self.idle.as_mut().reset(deadline);
                }
                self.idle.as_mut().poll(cx)
            }
            // Spin sets no limit by default.
            WorkerStatus::Requests | WorkerStatus::PostReturn => Poll::Pending,
        }
    }
}

/// wasmtime's error for an instance whose future is dropped before it ends.
const DROPPED: &str = "worker panicked";

/// Limits on the requests of one instance.
pub(crate) struct InstanceLimits;

impl WorkerState for InstanceLimits {
    type StoreData = State;
    type RequestData = ();

    fn should_accept_request(&self, at_a_time: usize, total: usize) -> ShouldAccept {
        if total >= MAX_REQUESTS {
            ShouldAccept::Never
        } else if at_a_time >= MAX_CONCURRENT_REQUESTS {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, State>,
        (): (),
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + 'static + Send + Sync>> {
        Box::pin(std::future::pending())
    }

    fn drop(&self, _: Store<State>, result: Result<(), wasmtime::Error>) {
        let Err(error) = result else { return };
        // wasmtime reports every instance whose future is dropped as panicked, also the idle ones
        // that end with the host's runtime.
        if error.to_string() == DROPPED && !std::thread::panicking() {
            return;
        }
        eprintln!("an instance failed: {error:?}");
    }
}
