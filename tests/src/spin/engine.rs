//! The compiled and linked component: everything that instances share.

use std::path::Path;

use anyhow::Context;
use wasmtime::component::{Component as Code, HasSelf, Linker};
use wasmtime::{
    Cache, CacheConfig, Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig,
};
use wasmtime_wasi_http::p3::bindings::ServicePre;

use super::bindings::spin::variables::variables;
use super::keyvalue;
use super::redis;
use super::state::State;

/// A component that is ready for instantiation.
#[derive(Clone)]
pub(crate) struct Component {
    pub(crate) engine: Engine,
    pub(crate) service: ServicePre<State>,
}

impl Component {
    /// Compiles and links a component.
    pub(crate) fn load(path: &Path) -> anyhow::Result<Self> {
        let engine = engine()?;
        let code = Code::from_file(&engine, path)
            .map_err(anyhow::Error::from)
            .with_context(|| format!("cannot load the component {}", path.display()))?;
        let mut linker = Linker::<State>::new(&engine);
        // The standard library imports WASI 0.2, the Spin SDK 0.3: the linker needs both.
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        wasmtime_wasi::p3::add_to_linker(&mut linker)?;
        wasmtime_wasi_http::p3::add_to_linker(&mut linker)?;
        keyvalue::add_to_linker(&mut linker)?;
        redis::add_to_linker(&mut linker)?;
        variables::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
        let service = ServicePre::new(linker.instantiate_pre(&code)?)?;
        Ok(Self { engine, service })
    }
}

fn engine() -> anyhow::Result<Engine> {
    let mut config = Config::new();
    config.wasm_component_model_async(true);
    // As in Spin: memory of past instances is kept and reset, which makes new ones cheap.
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(1_000);
    pool.total_core_instances(4_000);
    pool.total_memories(1_000);
    pool.total_tables(2_000);
    // A waiting host call has its own stack, and an instance may have several.
    pool.total_stacks(4_000);
    pool.max_memory_size(128 << 20);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    // Compiling takes seconds, and every test program would repeat it.
    let mut cache = CacheConfig::new();
    cache.with_directory(Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/wasmtime-cache"));
    config.cache(Some(Cache::new(cache)?));
    Ok(Engine::new(&config)?)
}
