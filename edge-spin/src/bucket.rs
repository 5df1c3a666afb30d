//! The application's key-value store, as a bucket of `wasi:keyvalue`.

use std::cell::OnceCell;
use std::rc::Rc;

use gateway::host::error::HostError;
use spin_sdk::experimental::wasi::keyvalue::store::{self, Bucket};

thread_local! {
    /// Opened once for all requests of an instance and never closed: a handle that a failed swap returns
    /// belongs to the bucket of the first one.
    static BUCKET: OnceCell<Rc<Bucket>> = const { OnceCell::new() };
}

/// Opens the store. It is open after the first call.
pub(crate) fn bucket() -> Result<Rc<Bucket>, HostError> {
    if let Some(bucket) = BUCKET.with(|cell| cell.get().cloned()) {
        return Ok(bucket);
    }
    let bucket = Rc::new(store::open("default").map_err(to_host_error)?);
    Ok(BUCKET.with(|cell| Rc::clone(cell.get_or_init(|| bucket))))
}

pub(crate) fn to_host_error(error: store::Error) -> HostError {
    match error {
        store::Error::NoSuchStore => {
            HostError::new("the application has no key-value store \"default\"")
        }
        store::Error::AccessDenied => {
            HostError::new("access to the key-value store \"default\" is denied")
        }
        store::Error::Other(reason) => HostError::new(reason),
    }
}
