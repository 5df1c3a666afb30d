//! The document and the secrets that an instance is given: the application's variables.

use std::borrow::Cow;

use gateway::host::Settings;
use gateway::host::error::HostError;
use secret::Secret;
use spin_sdk::variables::{self, Error};

use crate::spin_host::SpinHost;

/// The configuration that was there when the component was built.
const BUNDLED: &str = include_str!(concat!(env!("OUT_DIR"), "/gateway.json"));

impl Settings for SpinHost {
    async fn document(&self) -> Result<Cow<'static, str>, HostError> {
        let document = variable("gateway_config").await?;
        Ok(document.map_or(Cow::Borrowed(BUNDLED), Cow::Owned))
    }

    async fn secret(&self, name: &str) -> Result<Option<Secret>, HostError> {
        let value = variable(&name.to_ascii_lowercase()).await?;
        Ok(value.map(|value| Secret::new(&value)))
    }
}

/// A variable's value; `None` where it is unknown or empty.
async fn variable(name: &str) -> Result<Option<String>, HostError> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(Error::Undefined(_) | Error::InvalidName(_)) => Ok(None),
        Err(error @ (Error::Provider(_) | Error::Other(_))) => Err(HostError::new(error)),
    }
}
