//! Keys of providers that operators set at run time, encrypted under the secret `VAULT_KEY`.
//!
//! All of them are one register of the ledger: a store may show an older state for a minute, and a new version of
//! the configuration must find the key that it names.

use std::collections::BTreeMap;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use civil_time::Timestamp;
use ledger::{Operation, Register};
use secret::Secret;
use serde::{Deserialize, Serialize};

use crate::auth::keys::Pepper;
use crate::host::error::HostError;
use crate::host::{Clock, Host};
use crate::limits::ledger_client::call_register;

/// Name of the register, and of its book.
const REGISTER_NAME: &str = "vault";

const NONCE_BYTES: usize = 24;

/// Keys in the vault at most: they are one value of the ledger.
pub(crate) const MAX_ENTRIES: usize = 200;

/// A key of a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VaultEntry {
    /// Nonce and ciphertext in hexadecimal. The name is authenticated with them.
    sealed: String,
    /// The last four characters, for recognition by people.
    pub(crate) hint: String,
    /// The operator's note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
    /// Time of the last change.
    pub(crate) at: Timestamp,
    /// The operator who made it.
    pub(crate) by: String,
}

/// Keys by their names, as the ledger has them.
#[derive(Debug, Default)]
pub(crate) struct Vault {
    /// Number of the register's writes.
    number: u64,
    pub(crate) entries: BTreeMap<String, VaultEntry>,
}

impl Vault {
    /// Reads all keys, still encrypted.
    pub(crate) async fn read<P: Host>(host: &P) -> Result<Self, HostError> {
        let read = Operation::ReadRegister { register: REGISTER_NAME.to_owned() };
        Self::from_register(&call_register(host, REGISTER_NAME, &read).await?)
    }

    fn from_register(register: &Register) -> Result<Self, HostError> {
        let entries = match register.text.as_str() {
            "" => BTreeMap::new(),
            text => json::from_text(text)
                .map_err(|error| HostError::new(format!("corrupt vault: {error}")))?,
        };
        Ok(Self { number: register.number, entries })
    }

    /// Writes all keys. `false` if another writer was first.
    pub(crate) async fn write<P: Host>(&self, host: &P) -> Result<bool, HostError> {
        let text = serde_json::to_string(&self.entries).expect("all members are plain");
        let operation = Operation::Exchange {
            register: REGISTER_NAME.to_owned(),
            after: self.number,
            text: text.clone(),
        };
        Ok(call_register(host, REGISTER_NAME, &operation).await?.text == text)
    }
}

/// Encrypts and decrypts keys: XChaCha20-Poly1305, whose nonces may be random.
#[derive(Clone)]
pub(crate) struct VaultKey(XChaCha20Poly1305);

impl VaultKey {
    /// `None` if the secret is empty.
    pub(crate) fn new(secret: &Secret) -> Option<Self> {
        let derived = Pepper::new(secret)?.digest("serin vault 1");
        Some(Self(XChaCha20Poly1305::new(derived.as_bytes().into())))
    }

    /// Encrypts the key with this name.
    pub(crate) fn seal(
        &self,
        clock: &impl Clock,
        name: &str,
        (value, note): (&str, Option<String>),
        by: &str,
    ) -> VaultEntry {
        let mut sealed = Vec::with_capacity(NONCE_BYTES + value.len() + 16);
        for _ in 0..NONCE_BYTES / 8 {
            sealed.extend_from_slice(&clock.entropy().to_le_bytes());
        }
        let payload = Payload { msg: value.as_bytes(), aad: name.as_bytes() };
        let text = self.0.encrypt(XNonce::from_slice(&sealed), payload);
        sealed.extend(text.expect("a key is shorter than the cipher's maximum"));
        let hint = value.char_indices().rev().nth(3).map_or("", |(at, _)| &value[at..]);
        VaultEntry {
            sealed: base16ct::lower::encode_string(&sealed),
            hint: hint.to_owned(),
            note,
            at: clock.now(),
            by: by.to_owned(),
        }
    }

    /// Decrypts the key with this name. `None` if it was encrypted under another secret or another name.
    pub(crate) fn open(&self, name: &str, entry: &VaultEntry) -> Option<Secret> {
        let sealed = base16ct::lower::decode_vec(&entry.sealed).ok()?;
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES)?;
        let payload = Payload { msg: text, aad: name.as_bytes() };
        let value = self.0.decrypt(XNonce::from_slice(nonce), payload).ok()?;
        Some(Secret::new(str::from_utf8(&value).ok()?))
    }
}

impl std::fmt::Debug for VaultKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VaultKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use secret::Secret;

    use crate::testing::fake_host::{FakeHost, block_on};

    use super::{Vault, VaultKey};

    fn key(secret: &str) -> VaultKey {
        VaultKey::new(&Secret::new(secret)).expect("it is not empty")
    }

    #[test]
    fn sealed_key_opens_under_its_secret_and_name_only() {
        let host = FakeHost::new();
        let entry = key("a").seal(&host, "deepseek", ("sk-1234567", None), "ada");
        assert_eq!(entry.hint, "4567");
        let open = |secret: &str, name: &str| {
            key(secret).open(name, &entry).map(|value| value.reveal().to_owned())
        };
        assert_eq!(open("a", "deepseek").as_deref(), Some("sk-1234567"));
        assert_eq!((open("b", "deepseek"), open("a", "openai")), (None, None));
        assert!(!format!("{entry:?}{:?}", key("a")).contains("1234567"));
        let again = key("a").seal(&host, "deepseek", ("sk-1234567", None), "ada");
        assert_ne!(again.sealed, entry.sealed, "each has a nonce of its own");
        for at in 0..entry.sealed.len() {
            let mut wrong = entry.clone();
            let digit = if &wrong.sealed[at..=at] == "0" { "1" } else { "0" };
            wrong.sealed.replace_range(at..=at, digit);
            assert!(key("a").open("deepseek", &wrong).is_none(), "{at}");
        }
        for wrong in ["", "00", "xy"] {
            let entry = super::VaultEntry { sealed: wrong.to_owned(), ..entry.clone() };
            assert!(key("a").open("deepseek", &entry).is_none());
        }
        assert!(VaultKey::new(&Secret::new("")).is_none());
    }

    #[test]
    fn second_of_two_writers_is_refused() {
        let host = FakeHost::new();
        let read = || block_on(Vault::read(&host)).expect("the ledger is there");
        let (mut one, mut other) = (read(), read());
        let entry = key("a").seal(&host, "x", ("sk-1234567", None), "ada");
        one.entries.insert("x".to_owned(), entry.clone());
        other.entries.insert("y".to_owned(), entry);
        assert!(block_on(one.write(&host)).expect("the ledger is there"));
        assert!(!block_on(other.write(&host)).expect("the ledger is there"));
        assert_eq!(read().entries.keys().collect::<Vec<_>>(), ["x"]);
    }
}
