//! Key-value interfaces of an app: Spin's own, and the compare-and-swap of `wasi:keyvalue`.
//!
//! There is one store, "default", as `spin.toml` allows it. Listing by pages, which Spin does not
//! offer either, is refused.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, HasSelf, Linker, Resource, ResourceTable, StreamProducer,
    StreamReader, StreamResult,
};

use super::app::Swaps;
use super::bindings::spin::key_value::key_value;
use super::bindings::wasi::keyvalue::{atomics, store};
use super::handles::{Bucket, CasHandle};
use super::state::State;
use super::storage::Storage;

/// Names of a listing that Spin sends ahead of the reader.
const LISTING_CHANNEL_NAMES: usize = 4;

/// Name of the only store.
const DEFAULT: &str = "default";

/// Adds both interfaces to a linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    key_value::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    store::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    atomics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl key_value::Host for State {}

impl key_value::HostStore for State {
    fn drop(&mut self, store: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        Ok(())
    }
}

type SpinResult<T> = wasmtime::Result<Result<T, key_value::Error>>;

/// Result of `get-keys`: the names, and whether the listing is complete.
type KeyListing = (StreamReader<String>, FutureReader<Result<(), key_value::Error>>);

impl<T: Send + 'static> key_value::HostStoreWithStore<T> for HasSelf<State> {
    async fn open(accessor: &Accessor<T, Self>, label: String) -> SpinResult<Resource<Bucket>> {
        accessor.with(|mut access| {
            let state = access.get();
            let Some(storage) = state.storage.clone().filter(|_| label == DEFAULT) else {
                return Ok(Err(key_value::Error::AccessDenied));
            };
            Ok(Ok(state.table.push(Bucket(storage))?))
        })
    }

    async fn get(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> SpinResult<Option<Vec<u8>>> {
        Ok(Ok(opened(accessor, &store)?.get(&key)))
    }

    async fn set(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> SpinResult<()> {
        Ok(opened(accessor, &store)?.set(&key, value).map_err(other))
    }

    async fn delete(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> SpinResult<()> {
        Ok(opened(accessor, &store)?.delete(&key).map_err(other))
    }

    async fn exists(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
        key: String,
    ) -> SpinResult<bool> {
        Ok(Ok(opened(accessor, &store)?.get(&key).is_some()))
    }

    async fn get_keys(
        accessor: &Accessor<T, Self>,
        store: Resource<Bucket>,
    ) -> wasmtime::Result<KeyListing> {
        let storage = opened(accessor, &store)?;
        let (sender, names) = mpsc::channel(LISTING_CHANNEL_NAMES);
        let listing = tokio::task::spawn_blocking(move || storage.send_names(&sender));
        accessor.with(|mut access| {
            let names = StreamReader::new(&mut access, Names(names))?;
            let all =
                async { wasmtime::error::Ok(listing.await.map_err(|error| other(error.into()))) };
            Ok((names, FutureReader::new(&mut access, all)?))
        })
    }
}

/// Names of a listing, one for each read.
struct Names(mpsc::Receiver<String>);

impl<D> StreamProducer<D> for Names {
    type Item = String;
    type Buffer = Option<String>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, Option<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        if destination.remaining(store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.get_mut().0.poll_recv(cx) {
            Poll::Ready(Some(name)) => {
                destination.set_buffer(Some(name));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(None) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn opened<T>(
    accessor: &Accessor<T, HasSelf<State>>,
    store: &Resource<Bucket>,
) -> wasmtime::Result<Arc<Storage>> {
    accessor.with(|mut access| storage(&access.get().table, store))
}

fn storage(table: &ResourceTable, bucket: &Resource<Bucket>) -> wasmtime::Result<Arc<Storage>> {
    Ok(Arc::clone(&table.get(bucket)?.0))
}

fn other(error: io::Error) -> key_value::Error {
    key_value::Error::Other(error.to_string())
}

fn failure(error: io::Error) -> store::Error {
    store::Error::Other(error.to_string())
}

type WasiResult<T> = wasmtime::Result<Result<T, store::Error>>;

impl store::Host for State {
    async fn open(&mut self, identifier: String) -> WasiResult<Resource<Bucket>> {
        let Some(storage) = self.storage.clone().filter(|_| identifier == DEFAULT) else {
            return Ok(Err(store::Error::AccessDenied));
        };
        Ok(Ok(self.table.push(Bucket(storage))?))
    }
}

impl store::HostBucket for State {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> WasiResult<Option<Vec<u8>>> {
        Ok(Ok(storage(&self.table, &bucket)?.get(&key)))
    }

    async fn set(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> WasiResult<()> {
        Ok(storage(&self.table, &bucket)?.set(&key, value).map_err(failure))
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> WasiResult<()> {
        Ok(storage(&self.table, &bucket)?.delete(&key).map_err(failure))
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> WasiResult<bool> {
        Ok(Ok(storage(&self.table, &bucket)?.get(&key).is_some()))
    }

    async fn list_keys(
        &mut self,
        bucket: Resource<Bucket>,
        cursor: Option<String>,
    ) -> WasiResult<store::KeyResponse> {
        if cursor.is_some() {
            return Ok(Err(store::Error::Other("there are no pages".to_owned())));
        }
        let keys = storage(&self.table, &bucket)?.names();
        Ok(Ok(store::KeyResponse { keys, cursor: None }))
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for State {
    async fn increment(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> WasiResult<i64> {
        Ok(storage(&self.table, &bucket)?.increment(&key, delta).map_err(failure))
    }

    async fn swap(
        &mut self,
        cas: Resource<CasHandle>,
        value: Vec<u8>,
    ) -> wasmtime::Result<Result<(), atomics::CasError>> {
        // Other instances run between the read and the swap, so that races do occur.
        tokio::task::yield_now().await;
        let mut handle = self.table.delete(cas)?;
        if self.swaps != Swaps::Sound {
            if let Err(error) = handle.storage.set(&handle.name, value) {
                return Ok(Err(atomics::CasError::StoreError(failure(error))));
            }
            if self.swaps == Swaps::ReportedAsDone {
                return Ok(Ok(()));
            }
            let current = self.table.push(handle)?;
            return Ok(Err(atomics::CasError::CasFailed(current)));
        }
        match handle.storage.swap(&handle.name, handle.value.as_deref(), value) {
            Ok(true) => Ok(Ok(())),
            Ok(false) => {
                handle.value = handle.storage.get(&handle.name);
                let current = self.table.push(handle)?;
                Ok(Err(atomics::CasError::CasFailed(current)))
            }
            Err(error) => Ok(Err(atomics::CasError::StoreError(failure(error)))),
        }
    }
}

impl atomics::HostCas for State {
    async fn new(
        &mut self,
        bucket: Resource<Bucket>,
        key: String,
    ) -> WasiResult<Resource<CasHandle>> {
        let storage = storage(&self.table, &bucket)?;
        Ok(Ok(self.table.push(CasHandle { storage, name: key, value: None })?))
    }

    async fn current(&mut self, cas: Resource<CasHandle>) -> WasiResult<Option<Vec<u8>>> {
        let handle = self.table.get_mut(&cas)?;
        handle.value = handle.storage.get(&handle.name);
        Ok(Ok(handle.value.clone()))
    }

    async fn drop(&mut self, cas: Resource<CasHandle>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }
}
