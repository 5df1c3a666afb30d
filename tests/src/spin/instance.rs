//! One instance of an app: its store data and its lifetime.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::{Accessor, GuestTaskId, HasSelf, Linker, ResourceTable};
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, Proxy, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::bindings::spin::variables::variables;
use super::SpinApp;
use super::allowed::AllowedHosts;
use super::engine::Component;
use super::keyvalue;
use super::outbound::{Outbound, Upstreams};
use super::output::{AppLog, Output};
use super::storage::Storage;

/// Spin's defaults for components of WASI 0.3: total requests, concurrent requests, idle time.
const MAX_REQUESTS: usize = 128;
const MAX_CONCURRENT_REQUESTS: usize = 16;
const MAX_IDLE: Duration = Duration::from_secs(1);

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "spin",
        imports: {
            "spin:key-value/key-value": trappable,
            // The component awaits these, although the host need not.
            "wasi:keyvalue/atomics": async | trappable,
            "wasi:keyvalue/store": async | trappable,
        },
        with: {
            "spin:key-value/key-value.store": super::super::keyvalue::Bucket,
            "wasi:keyvalue/atomics.cas": super::super::keyvalue::CasHandle,
            "wasi:keyvalue/store.bucket": super::super::keyvalue::Bucket,
        },
    });
}

/// Store data of an instance.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    pub(super) table: ResourceTable,
    variables: Arc<BTreeMap<String, String>>,
    /// `None` if the app has no store.
    pub(super) storage: Option<Arc<Storage>>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl variables::Host for State {}

impl<T> variables::HostWithStore<T> for HasSelf<State> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, variables::Error> {
        accessor.with(|mut access| match access.get().variables.get(&name) {
            Some(value) => Ok(value.clone()),
            None => Err(variables::Error::Undefined(format!("no variable {name:?}"))),
        })
    }
}

/// Adds Spin's own interfaces to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    keyvalue::add_to_linker(linker)?;
    variables::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// Creates the instances of an app.
pub(crate) struct InstanceFactory {
    component: Component,
    variables: Arc<BTreeMap<String, String>>,
    storage: Option<Arc<Storage>>,
    outbound: Outbound,
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
        let outbound = Outbound::new(upstreams, Arc::new(AllowedHosts::parse(&app.allowed_hosts)?));
        let storage = match &app.state {
            Some(directory) => Storage::open(&directory.join(format!("{}.log", app.name)))?,
            None => Storage::default(),
        };
        Ok(Self {
            component: component.clone(),
            variables: Arc::new(app.variables),
            storage: (!app.no_store).then(|| Arc::new(storage)),
            outbound,
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
        let state = State {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            outbound: self.outbound.clone(),
            table: ResourceTable::new(),
            variables: Arc::clone(&self.variables),
            storage: self.storage.clone(),
        };
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
