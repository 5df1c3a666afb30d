//! The configuration document and the secrets, from the variables of the application.

use std::borrow::Cow;

use config::{Problems, Storage};
use gateway::host::Settings;
use gateway::host::error::HostError;
use secret::Secret;
use spin_sdk::variables::{self, Error};

use crate::spin_host::SpinHost;
use crate::storage;

/// The document that was bundled by the build.
const BUNDLED: &str = include_str!(concat!(env!("OUT_DIR"), "/gateway.json"));

impl Settings for SpinHost {
    const EDGE: &'static str = "spin";
    const CHOOSES_STORAGE: bool = true;

    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        let document = variable("gateway_config").await?;
        Ok(document.map_or(Cow::Borrowed(BUNDLED), Cow::Owned))
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        let value = variable(&name.to_ascii_lowercase()).await?;
        Ok(value.map(|value| Secret::new(&value)))
    }

    fn use_storage(&self, places: &Storage) -> Result<(), Problems> {
        storage::use_storage(places)
    }
}

/// The value of a variable; `None` if it is undefined or empty.
async fn variable(name: &str) -> Result<Option<String>, HostError> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(Error::Undefined(_) | Error::InvalidName(_)) => Ok(None),
        Err(error @ (Error::Provider(_) | Error::Other(_))) => Err(HostError::new(error)),
    }
}
