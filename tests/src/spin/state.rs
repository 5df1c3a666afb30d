//! Store data of an instance, and its variables.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{Accessor, HasSelf, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::app::Swaps;
use super::bindings::spin::variables::variables;
use super::outbound::Outbound;
use super::redis::OutboundRedis;
use super::storage::Storage;

/// Store data of an instance.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    outbound: Outbound,
    pub(super) redis: OutboundRedis,
    pub(super) table: ResourceTable,
    variables: Arc<BTreeMap<String, String>>,
    /// `None` if the app has no store.
    pub(super) storage: Option<Arc<Storage>>,
    pub(super) swaps: Swaps,
}

impl State {
    /// State of a new instance.
    pub(super) fn new(
        wasi: WasiCtx,
        (outbound, redis): (Outbound, OutboundRedis),
        variables: Arc<BTreeMap<String, String>>,
        (storage, swaps): (Option<Arc<Storage>>, Swaps),
    ) -> Self {
        let (http, table) = (WasiHttpCtx::new(), ResourceTable::new());
        Self { wasi, http, outbound, redis, table, variables, storage, swaps }
    }
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
