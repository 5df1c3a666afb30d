//! Opens the gateway once for all the requests of an instance.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use gateway::boot;
use gateway::gateway::Gateway;
use gateway::secret::Secret;
use spin_sdk::variables::{self, Error};

/// The configuration that was there when the component was built.
const BUNDLED: &str = include_str!(concat!(env!("OUT_DIR"), "/gateway.json"));

thread_local! {
    /// `None`: the configuration is wrong, and the log says how.
    static GATEWAY: OnceCell<Option<Rc<Gateway>>> = const { OnceCell::new() };
}

/// The gateway, or `None` where its configuration does not let it start.
pub(crate) async fn gateway() -> Option<Rc<Gateway>> {
    if let Some(gateway) = GATEWAY.with(|cell| cell.get().cloned()) {
        return gateway;
    }
    match Settings::read().await {
        // Of two requests that arrive first, one opens the gateway for both.
        Ok(settings) => GATEWAY.with(|cell| cell.get_or_init(|| settings.open()).clone()),
        Err(error) => {
            // A provider of variables that is away may come back: the next request asks again.
            eprintln!("cannot read the application's variables: {error}");
            None
        }
    }
}

/// What the application's variables say.
struct Settings {
    document: String,
    allow_inactive: bool,
    secrets: HashMap<String, Secret>,
}

impl Settings {
    async fn read() -> Result<Self, Error> {
        let document = variable("gateway_config").await?.unwrap_or_else(|| BUNDLED.to_owned());
        let allow_inactive = variable("allow_inactive").await?.is_some_and(|value| value == "true");
        let mut secrets = HashMap::new();
        for name in boot::secret_names(&document) {
            if let Some(value) = variable(&name.to_ascii_lowercase()).await? {
                secrets.insert(name, Secret::new(&value));
            }
        }
        Ok(Self { document, allow_inactive, secrets })
    }

    fn open(self) -> Option<Rc<Gateway>> {
        let secrets = |name: &str| self.secrets.get(name).cloned();
        boot::boot(&self.document, &secrets, self.allow_inactive)
            .inspect_err(|problems| eprintln!("this configuration cannot be served:\n{problems}"))
            .ok()
    }
}

/// A variable's value; `None` where it is unknown or empty.
async fn variable(name: &str) -> Result<Option<String>, Error> {
    match variables::get(name).await {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(Error::Undefined(_) | Error::InvalidName(_)) => Ok(None),
        Err(error @ (Error::Provider(_) | Error::Other(_))) => Err(error),
    }
}
