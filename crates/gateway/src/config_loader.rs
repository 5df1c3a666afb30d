//! Loads a configuration document with its secrets, or returns all problems. The same step runs on every
//! host, at start and on every reload.

use config::{
    ADMIN_TOKEN, Config, Consumer, KEY_PEPPER, MIN_TOKEN_BYTES, Problems, Storage, VAULT_KEY,
    VAULT_PREFIX, Warning, secret_names, vault_names,
};
use secret::{KeyDigest, Secret};

use crate::auth::keys::Pepper;
use crate::host::error::HostError;
use crate::host::{Host, Settings};
use crate::vault::{Vault, VaultKey};

/// A valid configuration and the secrets that a gateway needs.
#[derive(Debug)]
pub(crate) struct LoadedConfig {
    /// The configuration of the document.
    pub config: Config,
    /// Secrets with fixed names, which the document does not refer to.
    pub secrets: GatewaySecrets,
}

/// Purpose of loading a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoadPurpose {
    /// The document is new: a secret that is not set is a problem.
    Check,
    /// The document is served: a secret that is not set disables only what needs it.
    Serve,
}

/// A shorter `KEY_PEPPER` or `VAULT_KEY` can be guessed by readers of the store.
const MIN_PEPPER_BYTES: usize = 32;

/// Parses a JSON document and fetches the secrets that it names. The outer error is a failure of the
/// host: the document was not judged.
pub(crate) async fn load_config(
    host: &impl Host,
    document: &str,
    purpose: LoadPurpose,
) -> Result<Result<LoadedConfig, Problems>, HostError> {
    let mut found = fetch_secrets(host, secret_names(document)).await?;
    let key = find_secret(&found, VAULT_KEY).and_then(|secret| VaultKey::new(&secret));
    add_vault_keys(host, key.as_ref(), document, &mut found).await?;
    let secrets = |name: &str| find_secret(&found, name);
    let parsed = match purpose {
        LoadPurpose::Check => Config::from_json(document, &secrets),
        LoadPurpose::Serve => Config::from_json_to_serve(document, &secrets),
    };
    let mut config = match parsed {
        Ok(config) => config,
        Err(problems) => return Ok(Err(problems)),
    };
    if let Err(problems) = host.use_storage(&config.storage) {
        return Ok(Err(problems));
    }
    config.warnings.extend(short_secrets(&secrets));
    let secrets = GatewaySecrets::lookup(&secrets);
    if let Some(token) = &secrets.admin_token {
        let shared = shared_token(&config, token);
        config.warnings.extend(shared);
    }
    Ok(Ok(LoadedConfig { config, secrets }))
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

/// Decrypts the keys that a document names, and adds them under their references. One that is not in the vault, or was encrypted under another `VAULT_KEY`, is
/// left out.
pub(crate) async fn add_vault_keys(
    host: &impl Host,
    key: Option<&VaultKey>,
    document: &str,
    found: &mut Vec<(String, Secret)>,
) -> Result<(), HostError> {
    let names = vault_names(document);
    let Some(key) = key.filter(|_| !names.is_empty()) else { return Ok(()) };
    let vault = Vault::read(host).await?;
    for name in names {
        if let Some(value) = vault.entries.get(&name).and_then(|entry| key.open(&name, entry)) {
            found.push((format!("{VAULT_PREFIX}{name}"), value));
        }
    }
    Ok(())
}

fn find_secret(found: &[(String, Secret)], name: &str) -> Option<Secret> {
    found.iter().find(|(known, _)| known == name).map(|(_, secret)| secret.clone())
}

/// Warnings of the gateway's own secrets that are short enough to be guessed.
pub fn short_secrets(secrets: &dyn Fn(&str) -> Option<Secret>) -> Vec<Warning> {
    let bounds = [
        (ADMIN_TOKEN, MIN_TOKEN_BYTES),
        (KEY_PEPPER, MIN_PEPPER_BYTES),
        (VAULT_KEY, MIN_PEPPER_BYTES),
    ];
    let warning = |(name, min): (&str, usize)| {
        let length = secrets(name)?.reveal().len();
        let message =
            format!("the secret has {length} bytes and can be guessed: use {min} random ones");
        (1..min).contains(&length).then(|| Warning { path: name.to_owned(), message })
    };
    bounds.into_iter().filter_map(warning).collect()
}

/// Warnings of consumers whose key is `ADMIN_TOKEN`: every application with the key is an owner.
fn shared_token(config: &Config, token: &KeyDigest) -> Vec<Warning> {
    let has_token =
        |consumer: &&Consumer| consumer.keys.iter().any(|key| key.matches(token).into());
    let warning = |consumer: &Consumer| Warning {
        path: ADMIN_TOKEN.to_owned(),
        message: format!(
            "a key of the consumer {} has the same value: set another one",
            consumer.id
        ),
    };
    config.consumers.iter().filter(has_token).map(warning).collect()
}

/// Secrets with fixed names, which no document refers to.
#[derive(Debug, Default)]
pub struct GatewaySecrets {
    /// `KEY_PEPPER`, the HMAC key of issued keys. `None` if it is not set: no key can be issued.
    pub(crate) pepper: Option<Pepper>,
    /// The digest of `ADMIN_TOKEN`, whose bearer has the role owner. `None` if it is not set.
    pub(crate) admin_token: Option<KeyDigest>,
    /// The key that is derived from `VAULT_KEY`. `None` if it is not set: there is no vault.
    pub(crate) vault: Option<VaultKey>,
}

impl GatewaySecrets {
    /// Looks up all of them; an absent or empty one is `None`.
    pub fn lookup(secrets: &dyn Fn(&str) -> Option<Secret>) -> Self {
        let admin = secrets(ADMIN_TOKEN).filter(|token| !token.is_empty());
        Self {
            pepper: secrets(KEY_PEPPER).and_then(|pepper| Pepper::new(&pepper)),
            admin_token: admin.map(|token| KeyDigest::new(token.reveal())),
            vault: secrets(VAULT_KEY).and_then(|secret| VaultKey::new(&secret)),
        }
    }
}

#[cfg(test)]
mod tests {
    use config::{Config, secret_names};
    use secret::{KeyDigest, Secret};

    use crate::testing::fake_host::{FakeHost, block_on};

    use super::{LoadPurpose, load_config, shared_token, short_secrets};

    const DOCUMENT: &str = r#"{
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:FIRST", "secret:SECOND", "secret:FIRST"] }],
        "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }]
    }"#;

    fn load(document: &str, purpose: LoadPurpose) -> Result<Config, String> {
        let read = block_on(load_config(&FakeHost::new(), document, purpose));
        let read = read.expect("the settings are there");
        read.map(|loaded| loaded.config).map_err(|problems| problems.to_string())
    }

    #[test]
    fn secret_names_document_lists_every_requested_secret() {
        let names = secret_names(DOCUMENT);
        assert_eq!(names, ["KEY_PEPPER", "ADMIN_TOKEN", "VAULT_KEY", "FIRST", "SECOND"]);
        assert!(load(DOCUMENT, LoadPurpose::Check).is_ok());
        let missing = load(&DOCUMENT.replace("SECOND", "MISSING"), LoadPurpose::Check);
        let missing = missing.expect_err("it is not set");
        assert!(
            missing.contains("providers[0].keys[1]") && missing.contains("MISSING"),
            "{missing}"
        );
    }

    #[test]
    fn missing_secret_disables_only_what_needs_it() {
        let serve = |document: &str| {
            let config = load(document, LoadPurpose::Serve).expect("it can be served");
            let named = config.warnings.iter().map(ToString::to_string);
            let named: Vec<String> = named.filter(|line| line.contains("MISSING")).collect();
            (config, named)
        };
        let (config, named) = serve(&DOCUMENT.replace("SECOND", "MISSING"));
        assert_eq!((config.providers[0].keys.len(), config.providers[0].lacks_keys), (2, false));
        assert!(named[0].starts_with("providers[0].keys[1]: the secret MISSING"), "{named:?}");
        let all = DOCUMENT.replace("FIRST", "MISSING").replace("SECOND", "MISSING");
        let (config, named) = serve(&all);
        assert_eq!((config.providers[0].keys.len(), config.providers[0].lacks_keys), (0, true));
        assert_eq!(named.len(), 3);
        let others = r#""consumers": [{ "id": "app", "keys": ["secret:MISSING"] }],
            "admin": { "operators": [{ "name": "ann", "token": "secret:MISSING", "role": "viewer" }] },
            "routes""#;
        let (config, named) = serve(&DOCUMENT.replace("\"routes\"", others));
        assert!(config.consumers[0].keys.is_empty() && config.operators.is_empty());
        assert_eq!(named.len(), 2, "{named:?}");
    }

    #[test]
    fn secret_written_in_clear_is_a_problem_in_a_served_document_too() {
        let clear = DOCUMENT.replace("secret:SECOND", "sk-clear");
        assert!(load(&clear, LoadPurpose::Serve).is_err());
    }

    #[test]
    fn consumer_with_the_admin_token_as_key_gets_a_warning() {
        let document = DOCUMENT.replace(
            "\"routes\"",
            r#""consumers": [{ "id": "app", "keys": ["secret:APP"] }], "routes""#,
        );
        let config = load(&document, LoadPurpose::Check).expect("it is right");
        assert!(shared_token(&config, &KeyDigest::new("another")).is_empty());
        let found = shared_token(&config, &KeyDigest::new("APP"));
        assert!(found.len() == 1 && found[0].message.contains("consumer app"), "{found:?}");
    }

    #[test]
    fn short_own_secrets_get_a_warning() {
        let found = |bytes: usize| {
            let warnings = short_secrets(&|_| Some(Secret::new(&"x".repeat(bytes))));
            warnings.into_iter().map(|warning| warning.path).collect::<Vec<_>>()
        };
        assert_eq!(found(0), [""; 0]);
        assert_eq!(found(23), ["ADMIN_TOKEN", "KEY_PEPPER", "VAULT_KEY"]);
        assert_eq!(found(24), ["KEY_PEPPER", "VAULT_KEY"]);
        assert_eq!(found(32), [""; 0]);
    }
}
