//! From a configuration document to what a gateway is made of, or to the reasons why not: the same step
//! on every host, at its start and whenever another document comes.

use config::{ADMIN_TOKEN, Config, KEY_PEPPER, Problems, secret_names};
use secret::{KeyDigest, Secret};

use crate::auth::keys::Pepper;
use crate::host::Settings;
use crate::host::error::HostError;

/// What a gateway is made of.
#[derive(Debug)]
pub struct LoadedConfig {
    /// What it does.
    pub config: Config,
    /// The secrets that its document does not name.
    pub secrets: GatewaySecrets,
}

/// Reads a document in JSON, with the secrets that it names. The outer error is the host's: nobody knows
/// whether the document is right.
pub async fn load_config(
    settings: &impl Settings,
    document: &str,
) -> Result<Result<LoadedConfig, Problems>, HostError> {
    let mut found = Vec::new();
    for name in secret_names(document) {
        if let Some(secret) = settings.secret(&name).await? {
            found.push((name, secret));
        }
    }
    let secrets =
        |name: &str| found.iter().find(|(known, _)| known == name).map(|(_, it)| it.clone());
    let config = match Config::from_json(document, &secrets) {
        Ok(config) => config,
        Err(problems) => return Ok(Err(problems)),
    };
    Ok(Ok(LoadedConfig { config, secrets: GatewaySecrets::lookup(&secrets) }))
}

/// The secrets that no document names.
#[derive(Debug, Default)]
pub struct GatewaySecrets {
    /// `KEY_PEPPER`: under it issued keys are kept. Without it there are none.
    pub pepper: Option<Pepper>,
    /// The digest of `ADMIN_TOKEN`: who has it may do everything.
    pub admin_token: Option<KeyDigest>,
}

impl GatewaySecrets {
    /// Finds those that there are.
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
    fn every_secret_that_is_asked_for_was_named() {
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
