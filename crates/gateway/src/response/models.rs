//! The models that a caller may name: their list, and one of them.

use config::{Config, ModelPattern, Parameter};
use protocol::listing::{self, ListedModel};
use protocol::model::Protocol;

use crate::auth::caller::Caller;
use crate::auth::parameter_rules;
use crate::error::Refusal;

/// Maximum length of a model's name in an error, in bytes.
const MAX_NAME_IN_ERROR: usize = 256;

/// Release of models, whose true one only their providers know: a request for Anthropic's form needs a time.
const CREATED: u64 = 0;

fn listed(id: &str) -> ListedModel<'_> {
    ListedModel { id, display_name: None, created_epoch_seconds: CREATED, owner: "serin" }
}

/// Lists the models that a caller may name: those that routes name exactly, and those that its
/// permissions name, and those that routes list for their patterns.
pub(crate) fn list(config: &Config, caller: &Caller<'_>, protocol: Protocol) -> Vec<u8> {
    let patterns = config.routes.iter().flat_map(|route| &route.models);
    let exact = patterns.filter_map(|pattern| match pattern {
        ModelPattern::Exact(id) => Some(id.as_str()),
        ModelPattern::Prefix(_) | ModelPattern::Regex(_) => None,
    });
    let listed_names = config.routes.iter().flat_map(|route| &route.listed).map(String::as_str);
    let mut names: Vec<&str> = Vec::new();
    for name in
        exact.chain(listed_names).chain(parameter_rules::allowed_texts(bounds(caller), "model"))
    {
        if may_name(config, caller, name) && !names.contains(&name) {
            names.push(name);
        }
    }
    listing::models(protocol, &names.into_iter().map(listed).collect::<Vec<_>>())
}

/// One model, also if only a pattern of a route matches it. A model that the caller may not use is not
/// found, as in OpenAI's API.
pub(crate) fn model(
    config: &Config,
    caller: &Caller<'_>,
    id: &str,
    protocol: Protocol,
) -> Result<Vec<u8>, Refusal> {
    // A base URL with a pasted `/models` repeats the word; ids of some providers begin with it.
    let ids = [Some(id), id.strip_prefix("models/")];
    let id =
        ids.into_iter().flatten().find(|id| may_name(config, caller, id)).ok_or_else(|| {
            let end = id.floor_char_boundary(MAX_NAME_IN_ERROR);
            Refusal::ModelNotFound(id[..end].to_owned())
        })?;
    Ok(listing::model(protocol, &listed(id)))
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
