//! Loads a configuration document with its secrets, or returns all problems. The same step runs on every
//! host, at start and on every reload.

use config::{ADMIN_TOKEN, Config, KEY_PEPPER, Problems, Storage, secret_names};
use secret::{KeyDigest, Secret};

use crate::auth::keys::Pepper;
use crate::host::Settings;
use crate::host::error::HostError;

/// A valid configuration and the secrets that a gateway needs.
#[derive(Debug)]
pub(crate) struct LoadedConfig {
    /// The configuration of the document.
    pub config: Config,
    /// Secrets with fixed names, which the document does not refer to.
    pub secrets: GatewaySecrets,
}

/// Parses a JSON document and fetches the secrets that it names. The outer error is a failure of the
/// host: the document was not judged.
pub(crate) async fn load_config(
    settings: &impl Settings,
    document: &str,
) -> Result<Result<LoadedConfig, Problems>, HostError> {
    let found = fetch_secrets(settings, secret_names(document)).await?;
    let secrets = |name: &str| find_secret(&found, name);
    let config = match Config::from_json(document, &secrets) {
        Ok(config) => config,
        Err(problems) => return Ok(Err(problems)),
    };
    if let Err(problems) = settings.use_storage(&config.storage) {
        return Ok(Err(problems));
    }
    Ok(Ok(LoadedConfig { config, secrets: GatewaySecrets::lookup(&secrets) }))
}

/// Tells the host where the deployed document keeps ledger and store, before anything is read from them.
pub(crate) async fn choose_storage<S: Settings>(
    settings: &S,
    deployed: &str,
) -> Result<Result<(), Problems>, HostError> {
    if !S::CHOOSES_STORAGE {
        return Ok(Ok(()));
    }
    let found = fetch_secrets(settings, Storage::secret_names(deployed)).await?;
    let storage = Storage::from_json(deployed, &|name| find_secret(&found, name));
    Ok(storage.and_then(|storage| settings.use_storage(&storage)))
}

/// Fetches the secrets of these names. An absent one is left out.
async fn fetch_secrets(
    settings: &impl Settings,
    names: Vec<String>,
) -> Result<Vec<(String, Secret)>, HostError> {
    let mut found = Vec::new();
    for name in names {
        if let Some(secret) = settings.secret(&name).await? {
            found.push((name, secret));
        }
    }
    Ok(found)
}

fn find_secret(found: &[(String, Secret)], name: &str) -> Option<Secret> {
    found.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone())
}

/// Secrets with fixed names, which no document refers to.
#[derive(Debug, Default)]
pub struct GatewaySecrets {
    /// `KEY_PEPPER`, the HMAC key of issued keys. `None` if it is not set: no key can be issued.
    pub(crate) pepper: Option<Pepper>,
    /// The digest of `ADMIN_TOKEN`, whose bearer has the role owner. `None` if it is not set.
    pub(crate) admin_token: Option<KeyDigest>,
}

impl GatewaySecrets {
    /// Looks up both secrets; an absent or empty one is `None`.
    pub fn lookup(secrets: &dyn Fn(&str) -> Option<Secret>) -> Self {
        let admin = secrets(ADMIN_TOKEN).filter(|token| !token.is_empty());
        Self {
            pepper: secrets(KEY_PEPPER).and_then(|pepper| Pepper::new(&pepper)),
            admin_token: admin.map(|token| KeyDigest::new(token.reveal())),
        }
    }
}

#[cfg(test)]
mod tests {
    use config::secret_names;

    use crate::testing::fake_host::{FakeHost, block_on};

    use super::load_config;

    const DOCUMENT: &str = r#"{
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:FIRST", "secret:SECOND", "secret:FIRST"] }],
        "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }]
    }"#;

    fn problems(document: &str) -> Option<String> {
        let read =
            block_on(load_config(&FakeHost::new(), document)).expect("the settings are there");
        read.err().map(|problems| problems.to_string())
    }

    #[test]
    fn secret_names_document_lists_every_requested_secret() {
        let names = secret_names(DOCUMENT);
        assert_eq!(names, ["KEY_PEPPER", "ADMIN_TOKEN", "FIRST", "SECOND"]);
        assert_eq!(problems(DOCUMENT), None);
        let missing = problems(&DOCUMENT.replace("SECOND", "MISSING")).expect("it is not set");
        assert!(
            missing.contains("providers[0].keys[1]") && missing.contains("MISSING"),
            "{missing}"
        );
    }
}
