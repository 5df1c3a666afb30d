//! The models that a caller may name: their list, and one of them.

use config::{Config, ModelPattern, Parameter};
use serde::Serialize;

use crate::auth::caller::Caller;
use crate::auth::parameter_rules;
use crate::error::Refusal;

/// Maximum length of a model's name in an error, in bytes.
const MAX_NAME_IN_ERROR: usize = 256;

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: Vec<Model<'a>>,
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
}

impl<'a> Model<'a> {
    fn new(id: &'a str) -> Self {
        Self { id, object: "model", created: 0, owned_by: "serin" }
    }
}

/// Lists the models that a caller may name: those that routes name exactly, and those that its
/// permissions name.
pub(crate) fn list(config: &Config, caller: &Caller<'_>) -> Vec<u8> {
    let patterns = config.routes.iter().flat_map(|route| &route.models);
    let exact = patterns.filter_map(|pattern| match pattern {
        ModelPattern::Exact(id) => Some(id.as_str()),
        ModelPattern::Prefix(_) | ModelPattern::Regex(_) => None,
    });
    let mut names: Vec<&str> = Vec::new();
    for name in exact.chain(parameter_rules::allowed_texts(bounds(caller), "model")) {
        if may_name(config, caller, name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let list = List { object: "list", data: names.into_iter().map(Model::new).collect() };
    serde_json::to_vec(&list).expect("strings and numbers always serialize")
}

/// One model, also if only a pattern of a route matches it. A model that the caller may not use is not
/// found, as in OpenAI's API.
pub(crate) fn model(config: &Config, caller: &Caller<'_>, id: &str) -> Result<Vec<u8>, Refusal> {
    // A base URL with a pasted `/models` repeats the word; ids of some providers begin with it.
    let ids = [Some(id), id.strip_prefix("models/")];
    let id =
        ids.into_iter().flatten().find(|id| may_name(config, caller, id)).ok_or_else(|| {
            let end = id.floor_char_boundary(MAX_NAME_IN_ERROR);
            Refusal::ModelNotFound(id[..end].to_owned())
        })?;
    Ok(serde_json::to_vec(&Model::new(id)).expect("strings and numbers always serialize"))
}

fn bounds<'c>(caller: &'c Caller<'_>) -> impl Iterator<Item = &'c Parameter> {
    caller.permissions().flat_map(|permissions| &permissions.parameters)
}

/// Whether a route serves a model, and the caller may use both.
fn may_name(config: &Config, caller: &Caller<'_>, name: &str) -> bool {
    openai::is_model_name(name)
        && config.models.route(name).is_some_and(|route| caller.may_use(route))
        && parameter_rules::allows_text(bounds(caller), "model", name)
}
