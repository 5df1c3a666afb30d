//! Notes on targets that may be asked for a model they do not have, or whose calls count as free.

use std::collections::BTreeSet;

use config::{Config, ModelPattern, Route, Target, Warning};

/// Kinds whose servers have the names of others.
const KINDS_WITH_ANY_NAMES: [&str; 3] = ["openai-compatible", "azure", "openrouter"];

/// All notes, in the order of the document.
pub(super) fn notes(config: &Config) -> Vec<Warning> {
    let mut notes = Vec::new();
    for (index, route) in config.routes.iter().enumerate() {
        let targets = route.targets.all().iter().map(|one| &one.target);
        let fallback = route.fallback.iter();
        let all: Vec<(String, &Target)> = targets
            .enumerate()
            .map(|(item, target)| (format!("routes[{index}].targets[{item}]"), target))
            .chain(
                fallback
                    .enumerate()
                    .map(|(item, target)| (format!("routes[{index}].fallback[{item}]"), target)),
            )
            .collect();
        notes.extend(names_of_others(config, route, &all));
        notes.extend(unpriced(config, route, &all));
    }
    notes
}

/// Models that a route is asked for by their exact name.
fn exact_names(route: &Route) -> impl Iterator<Item = &str> {
    route.models.iter().filter_map(|pattern| match pattern {
        ModelPattern::Exact(name) => Some(name.as_str()),
        ModelPattern::Prefix(_) | ModelPattern::Regex(_) => None,
    })
}

/// Targets of another kind than the route's first one that are asked for the same name.
fn names_of_others(config: &Config, route: &Route, all: &[(String, &Target)]) -> Vec<Warning> {
    let Some(name) = exact_names(route).next() else { return Vec::new() };
    let mut unnamed = all.iter().filter(|(_, target)| {
        let kind = config.provider(target.provider).kind;
        target.model.is_none() && !KINDS_WITH_ANY_NAMES.contains(&kind)
    });
    let Some((_, first)) = unnamed.next() else { return Vec::new() };
    let first = config.provider(first.provider);
    let others = unnamed.filter(|(_, target)| config.provider(target.provider).kind != first.kind);
    let note = |(path, target): &(String, &Target)| Warning {
        path: path.clone(),
        message: format!(
            "{} is asked for {name}, as {} is: write model = \"…\" if its name differs",
            config.provider(target.provider).id,
            first.id
        ),
    };
    others.map(note).collect()
}

/// Targets without a price, in a document that has prices.
fn unpriced(config: &Config, route: &Route, all: &[(String, &Target)]) -> Vec<Warning> {
    if config.prices.rows().next().is_none() {
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut notes = Vec::new();
    for (path, target) in all {
        let models: Vec<&str> = match &target.model {
            Some(model) => vec![model.as_str()],
            None => exact_names(route).collect(),
        };
        for model in models {
            let has_price = config.prices.lookup(target.provider, model).is_some();
            let name = format!("{}/{model}", config.provider(target.provider).id);
            if !has_price && seen.insert(name.clone()) {
                let message = format!(
                    "{name} has no price: usage and limits of cost count its calls as free"
                );
                notes.push(Warning { path: path.clone(), message });
            }
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use crate::plan::coverage::testing::notes_of;

    use super::notes;

    const DOCUMENT: &str = r#"
[[providers]]
id = "openai"
keys = ["secret:A"]
[[providers]]
id = "deepseek"
keys = ["secret:B"]
[[providers]]
id = "local"
kind = "openai-compatible"
base_url = "http://127.0.0.1:1/v1"
[[routes]]
id = "chat"
models = ["gpt-4o"]
targets = [{ provider = "openai", weight = 90 }, { provider = "deepseek", weight = 10 }]
fallback = [{ provider = "local" }]
[[routes]]
id = "named"
models = ["small"]
targets = [{ provider = "openai", model = "gpt-4o-mini" }, { provider = "deepseek", model = "deepseek-chat" }]
"#;
    const PRICE: &str = r#"
[[prices]]
model = "gpt-4o*"
input = 1.0
output = 2.0
"#;

    #[test]
    fn target_that_forgets_its_model_gets_a_note() {
        let expected = "routes[0].targets[1]: deepseek is asked for gpt-4o, as openai is: write model = \"…\" if its name differs";
        assert_eq!(notes_of(notes, DOCUMENT), [expected]);
    }

    #[test]
    fn target_without_a_price_gets_a_note_if_others_have_one() {
        let notes = notes_of(notes, &format!("{DOCUMENT}{PRICE}"));
        let expected = "routes[1].targets[1]: deepseek/deepseek-chat has no price: usage and limits of cost count its calls as free";
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert_eq!(notes[1], expected);
    }
}
