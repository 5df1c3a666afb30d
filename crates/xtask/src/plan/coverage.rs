//! Notes on parts of a configuration that cover nobody, or more than their author may expect.

use std::collections::BTreeSet;

use config::{By, Config, GuardKind, ModelPattern, TokenGroups, ValuePattern, Warning};

use super::target_notes;

/// All notes, in the order of the document's sections.
pub(crate) fn notes(config: &Config) -> Vec<Warning> {
    let mut notes = Notes { config, list: Vec::new() };
    notes.unused_providers();
    notes.routes();
    notes.groups_without_members();
    notes.limits();
    notes.overrides();
    notes.list.extend(target_notes::notes(config));
    notes.list
}

struct Notes<'c> {
    config: &'c Config,
    list: Vec<Warning>,
}

impl Notes<'_> {
    fn add(&mut self, path: String, message: impl Into<String>) {
        self.list.push(Warning { path, message: message.into() });
    }

    fn unused_providers(&mut self) {
        let config = self.config;
        let of_routes = config.routes.iter().flat_map(|route| {
            let targets = route.targets.all().iter().map(|one| one.target.provider);
            targets.chain(route.fallback.iter().map(|target| target.provider))
        });
        let of_guards = config.guards.iter().filter_map(|guard| match &guard.kind {
            GuardKind::Moderation(moderation) => Some(moderation.provider),
            GuardKind::Judge(judge) => Some(judge.provider),
            GuardKind::Aliyun(_) | GuardKind::Words(_) | GuardKind::Pii(_) => None,
        });
        let used = of_routes.chain(of_guards);
        let used: BTreeSet<&str> = used.map(|index| config.provider(index).id.as_str()).collect();
        for (index, provider) in config.providers.iter().enumerate() {
            if !used.contains(provider.id.as_str()) {
                self.add(format!("providers[{index}]"), "no route and no guard uses the provider");
            }
        }
    }

    fn routes(&mut self) {
        let config = self.config;
        for (position, (index, route)) in config.routes_with_index().enumerate() {
            let path = format!("routes[{position}]");
            let mut permissions = config.consumers.iter().map(|consumer| &consumer.permissions);
            let may_use =
                permissions.any(|it| it.routes.as_ref().is_none_or(|all| all.contains(&index)));
            if !may_use
                && !config.consumers.is_empty()
                && config.auth.required
                && config.auth.issuers.is_empty()
            {
                let message = "no consumer of the document may use the route";
                self.add(path.clone(), message);
            }
            let takes_all = |pattern: &ModelPattern| matches!(pattern, ModelPattern::Prefix(prefix) if prefix.is_empty());
            if !route.models.iter().any(takes_all) {
                continue;
            }
            let all = route.targets.all().iter().map(|one| &one.target);
            for (name, list) in [
                ("targets", all.collect::<Vec<_>>()),
                ("fallback", route.fallback.iter().collect()),
            ] {
                for (item, target) in list.into_iter().enumerate() {
                    if let Some(model) = &target.model {
                        self.add(
                            format!("{path}.{name}[{item}].model"),
                            format!(
                                "the route takes every model (*), and each of them is {model} here"
                            ),
                        );
                    }
                }
            }
        }
    }

    fn groups_without_members(&mut self) {
        for (index, group) in self.config.groups.iter().enumerate() {
            if !self.has_group(|name| name == group.id) {
                let message = "no consumer of the document is in the group";
                self.add(format!("groups[{index}]"), message);
            }
        }
    }

    fn limits(&mut self) {
        let config = self.config;
        for (index, limit) in config.limits.iter().enumerate() {
            let path = format!("limits[{index}]");
            for (item, group) in limit.groups.iter().flatten().enumerate() {
                if !self.has_group(|name| name == group) {
                    self.add(
                        format!("{path}.on.groups[{item}]"),
                        format!("no consumer of the document is in the group {group}: the limit applies to no request by it"),
                    );
                }
            }
            let uncovered = match &limit.by {
                By::Header(name) => {
                    Some(format!("a request without the header {name} is not limited"))
                }
                By::Parameter(name) => {
                    Some(format!("a request without the query parameter {name} is not limited"))
                }
                By::Cookie(name) => {
                    Some(format!("a request without the cookie {name} is not limited"))
                }
                By::Group if !self.has_group(|_| true) => Some(
                    "no consumer of the document has a group: the limit applies to no request"
                        .to_owned(),
                ),
                By::Group => Some("a consumer without a group is not limited".to_owned())
                    .filter(|_| config.consumers.iter().any(|consumer| consumer.group.is_none())),
                By::All | By::Consumer | By::Address => None,
            };
            if let Some(message) = uncovered {
                self.add(format!("{path}.by"), message);
            }
            for (item, key) in limit.keys.iter().enumerate() {
                let covers = match limit.by {
                    By::Consumer => self.may_be_consumer(key),
                    By::Group => self.may_be_group(key),
                    By::All | By::Address | By::Header(_) | By::Parameter(_) | By::Cookie(_) => {
                        true
                    }
                };
                if !covers {
                    let message = "no caller of the document has this value";
                    self.add(format!("{path}.keys[{item}]"), message);
                }
            }
        }
    }

    fn overrides(&mut self) {
        for (index, guard) in self.config.guards.iter().enumerate() {
            for (position, exception) in guard.overrides.iter().enumerate() {
                let path = format!("guards[{index}].overrides[{position}]");
                for (item, consumer) in exception.consumers.iter().enumerate() {
                    if !self.may_be_consumer(consumer) {
                        let message = "no consumer of the document has this name";
                        self.add(format!("{path}.consumers[{item}]"), message);
                    }
                }
                for (item, group) in exception.groups.iter().enumerate() {
                    if !self.may_be_group(group) {
                        let message = "no consumer of the document is in the group";
                        self.add(format!("{path}.groups[{item}]"), message);
                    }
                }
            }
        }
    }

    /// Whether a caller can be in a group that fits. Tokens may name groups that the document does not.
    fn has_group(&self, fits: impl Fn(&str) -> bool) -> bool {
        let config = self.config;
        let of_consumers = config.consumers.iter().filter_map(|consumer| consumer.group.as_deref());
        let of_tokens =
            config.auth.issuers.iter().filter_map(|issuer| issuer.default_group.as_deref());
        let any_of_tokens =
            config.auth.issuers.iter().filter(|issuer| issuer.group_claim.is_some());
        of_consumers.chain(of_tokens).any(&fits)
            || any_of_tokens.into_iter().any(|issuer| match issuer.groups {
                TokenGroups::Any => true,
                TokenGroups::Listed => config.groups.iter().any(|group| fits(&group.id)),
            })
    }

    /// False if the pattern is an exact group and no caller can be in it.
    fn may_be_group(&self, pattern: &ValuePattern) -> bool {
        let ValuePattern::Exact(group) = pattern else { return true };
        self.has_group(|name| name == group)
    }

    /// False if the pattern is an exact name and no caller can have it. Tokens may name any consumer.
    fn may_be_consumer(&self, pattern: &ValuePattern) -> bool {
        let ValuePattern::Exact(id) = pattern else { return true };
        let config = self.config;
        let is_open = !config.auth.required && id == "anonymous";
        let is_named = config.consumers.iter().any(|consumer| consumer.id == *id);
        is_open || is_named || !config.auth.issuers.is_empty()
    }
}

#[cfg(test)]
pub(super) mod testing {
    use config::{Config, Warning, author};

    /// The notes of a document as they are printed.
    pub(in crate::plan) fn notes_of(
        notes: impl Fn(&Config) -> Vec<Warning>,
        text: &str,
    ) -> Vec<String> {
        let config = author::from_toml(text, &|name| Some(author::placeholder_secret(name)));
        let config = config.expect("the document is valid");
        notes(&config).iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::notes;
    use super::testing::notes_of;

    const DOCUMENT: &str = r#"
[[providers]]
id = "openai"
keys = ["secret:A"]
[[providers]]
id = "ollama"
[[routes]]
id = "all"
models = ["*"]
targets = [{ provider = "openai" }]
fallback = [{ provider = "openai", model = "gpt-4o-mini" }]
[[routes]]
id = "mini"
models = ["gpt-4o-mini"]
targets = [{ provider = "openai" }]
[[consumers]]
id = "app"
keys = ["secret:B"]
routes = ["all"]
[[groups]]
id = "silver"
[[limits]]
id = "gold-day"
on = { groups = ["gold"] }
by = "consumer"
keys = ["app", "web", "*"]
requests = { per = "day", max = 20 }
[[limits]]
id = "by-team"
by = "header:x-team"
requests = { per = "day", max = 20 }
[[limits]]
id = "by-group"
by = "group"
requests = { per = "day", max = 20 }
[[guards]]
id = "pii"
kind = "pii"
overrides = [{ consumers = ["app", "web", "w*"], off = true }, { groups = ["gold"], off = true }]
"#;

    #[test]
    fn part_that_covers_nobody_gets_a_note() {
        let expected = [
            "providers[1]: no route and no guard uses the provider",
            "routes[0].fallback[0].model: the route takes every model (*), and each of them is gpt-4o-mini here",
            "routes[1]: no consumer of the document may use the route",
            "groups[0]: no consumer of the document is in the group",
            "limits[0].on.groups[0]: no consumer of the document is in the group gold: the limit applies to no request by it",
            "limits[0].keys[1]: no caller of the document has this value",
            "limits[1].by: a request without the header x-team is not limited",
            "limits[2].by: no consumer of the document has a group: the limit applies to no request",
            "guards[0].overrides[0].consumers[1]: no consumer of the document has this name",
            "guards[0].overrides[1].groups[0]: no consumer of the document is in the group",
        ];
        assert_eq!(notes_of(notes, DOCUMENT), expected);
    }

    #[test]
    fn tokens_may_name_any_group_and_consumer() {
        let issuer = "[[auth.jwt]]\nissuer = 'i'\nsecret = 'secret:S'\ngroup_claim = 'team'\n";
        let found = notes_of(notes, &format!("{DOCUMENT}{issuer}"));
        assert_eq!(found.len(), 4, "{found:#?}");
    }

    #[test]
    fn worked_example_has_no_notes() {
        let text = include_str!("../../../config/tests/fixtures/worked-example.toml");
        assert_eq!(notes_of(notes, text), [""; 0]);
    }
}
