//! From a configuration document to an open gateway, or to the reasons why not: the same step on
//! every host. It reads neither the document nor the secrets itself; a shell brings both.

use std::rc::Rc;

use http::StatusCode;
use openai::{ErrorBody, ErrorObject};

use crate::body::Body;
use crate::config::{Config, Problem, Problems};
use crate::gateway::Gateway;
use crate::keys::Pepper;
use crate::rooms::respond;
use crate::secret::{KeyDigest, Secret};

/// Opens a gateway from a document in JSON.
///
/// A document with sections that do not act in this version is refused unless `allow_inactive`: a
/// limit that limits nothing is worse than none.
pub fn boot(
    document: &str,
    secrets: &dyn Fn(&str) -> Option<Secret>,
    allow_inactive: bool,
) -> Result<Rc<Gateway>, Problems> {
    let config = Config::from_json(document, secrets)?;
    if !allow_inactive && !config.inactive.is_empty() {
        return Err(config.inactive.into_iter().map(inactive).collect());
    }
    Ok(Gateway::new(config, OwnSecrets::find(secrets)))
}

/// The secrets that no document names.
#[derive(Debug, Default)]
pub struct OwnSecrets {
    /// `KEY_PEPPER`: under it issued keys are kept. Without it there are none.
    pub pepper: Option<Pepper>,
    /// The digest of `ADMIN_TOKEN`: who has it may do everything.
    pub admin: Option<KeyDigest>,
}

impl OwnSecrets {
    /// Their names.
    pub const NAMES: [&str; 2] = [KEY_PEPPER, ADMIN_TOKEN];

    /// Finds those that there are.
    pub fn find(secrets: &dyn Fn(&str) -> Option<Secret>) -> Self {
        let admin = secrets(ADMIN_TOKEN).filter(|token| !token.is_empty());
        Self {
            pepper: secrets(KEY_PEPPER).and_then(|pepper| Pepper::new(&pepper)),
            admin: admin.map(|token| KeyDigest::of(token.reveal())),
        }
    }
}

const KEY_PEPPER: &str = "KEY_PEPPER";
const ADMIN_TOKEN: &str = "ADMIN_TOKEN";

/// The names of the secrets that a document in JSON mentions and of those that no document names, for
/// hosts that must fetch them before they can be asked. It may name too many, when text merely looks like a reference.
pub fn secret_names(document: &str) -> Vec<String> {
    let mut names: Vec<String> = OwnSecrets::NAMES.map(str::to_owned).into();
    for rest in document.split("\"secret:").skip(1) {
        if let Some((name, _)) = rest.split_once('"')
            && !names.iter().any(|known| known == name)
        {
            names.push(name.to_owned());
        }
    }
    names
}

/// The answer to every request while there is no gateway. The reasons are for the log only.
pub fn refusal() -> http::Response<Body> {
    let error = ErrorObject {
        message: "The gateway's configuration is invalid. Its log says where.",
        kind: "server_error",
        param: None,
        code: Some("invalid_configuration"),
    };
    respond::json(StatusCode::INTERNAL_SERVER_ERROR, ErrorBody { error }.to_json())
}

fn inactive(path: String) -> Problem {
    Problem {
        path,
        found: "a section that does not act in this version".to_owned(),
        expected: "its removal, or the host's permission to serve without it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{boot, refusal, secret_names};
    use crate::secret::Secret;

    const DOCUMENT: &str = r#"{
        "auth": { "required": false },
        "providers": [{ "id": "openai", "keys": ["secret:FIRST", "secret:SECOND", "secret:FIRST"] }],
        "routes": [{ "id": "chat", "models": ["*"], "targets": [{ "provider": "openai" }] }]
    }"#;

    #[test]
    fn every_secret_that_is_asked_for_was_named() {
        let names = secret_names(DOCUMENT);
        assert_eq!(names, ["KEY_PEPPER", "ADMIN_TOKEN", "FIRST", "SECOND"]);
        let asked = RefCell::new(Vec::new());
        let secrets = |name: &str| {
            asked.borrow_mut().push(name.to_owned());
            Some(Secret::new(name))
        };
        boot(DOCUMENT, &secrets, false).expect("the document is right");
        assert!(!asked.borrow().is_empty());
        assert!(asked.borrow().iter().all(|name| names.contains(name)));
    }

    #[test]
    fn a_section_that_does_not_act_needs_permission() {
        let document =
            DOCUMENT.replacen('{', r#"{ "cache": { "routes": ["chat"], "ttl": "1h" },"#, 1);
        let secrets = |name: &str| Some(Secret::new(name));
        let problems =
            boot(&document, &secrets, false).expect_err("the cache does not act yet").to_string();
        assert!(problems.contains("cache: found a section that does not act"), "{problems}");
        boot(&document, &secrets, true).expect("it was permitted");
    }

    #[test]
    fn a_caller_learns_no_reasons() {
        let response = refusal();
        assert_eq!(response.status(), 500);
        let crate::body::Body::Whole(body) = response.into_body() else {
            panic!("an error is one piece")
        };
        let body = std::str::from_utf8(&body).expect("JSON is text");
        assert!(body.contains(r#""code":"invalid_configuration""#), "{body}");
    }
}
