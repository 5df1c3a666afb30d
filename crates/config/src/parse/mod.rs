//! From the raw document to a [`Config`], or to every problem in the document.
//!
//! Parsing continues after a problem, so that a person sees all of them at once.

mod admin;
mod aliyun;
mod cache;
mod consumer;
mod diagnostics;
mod doc_path;
mod guard;
mod guard_kinds;
mod guard_override;
mod guard_source;
mod ids;
mod issuer;
mod limit;
mod limit_colocation;
mod observe;
mod permission;
mod price;
mod provider;
mod provider_hint;
mod rollout;
mod route;
mod server;
mod storage;
mod translation;

pub use admin::MIN_TOKEN_BYTES;
pub use ids::expected_id_format;

use diagnostics::Diagnostics;
pub(super) use diagnostics::MissingSecrets;
use doc_path::DocPath;
use ids::IdIndex;

use super::SecretLookup;
use super::consumer::Consumer;
use super::model::Config;
use super::problem::Problems;
use super::raw;
use super::storage::Storage;

/// Parses a whole document.
pub(super) fn parse_document(
    raw: &raw::Document,
    secrets: &SecretLookup<'_>,
    missing_secrets: MissingSecrets,
) -> Result<Config, Problems> {
    let mut collected = Diagnostics::new(secrets, missing_secrets);
    let diagnostics = &mut collected;
    let root = DocPath::ROOT;

    let providers = IdIndex::collect(
        diagnostics,
        &root,
        "providers",
        raw.providers.iter().map(|one| one.id.as_str()),
    );
    let routes = IdIndex::collect(
        diagnostics,
        &root,
        "routes",
        raw.routes.iter().map(|one| one.id.as_str()),
    );
    IdIndex::collect(
        diagnostics,
        &root,
        "consumers",
        raw.consumers.iter().map(|one| one.id.as_str()),
    );
    IdIndex::collect(diagnostics, &root, "groups", raw.groups.iter().map(|one| one.id.as_str()));
    IdIndex::collect(diagnostics, &root, "limits", raw.limits.iter().map(|one| one.id.as_str()));
    IdIndex::collect(diagnostics, &root, "guards", raw.guards.iter().map(|one| one.id.as_str()));

    let server = server::server(diagnostics, &root.field("server"), &raw.server);
    let auth = server::auth(diagnostics, &root.field("auth"), &raw.auth);
    let read_providers = provider::providers(diagnostics, &root.field("providers"), &raw.providers);
    let models = route::models(diagnostics, &root.field("routes"), &raw.routes);
    let read_routes = route::routes(diagnostics, &root.field("routes"), &raw.routes, &providers);
    let consumers =
        consumer::consumers(diagnostics, &root.field("consumers"), &raw.consumers, &routes);
    let groups = consumer::groups(diagnostics, &root.field("groups"), &raw.groups, &routes);
    let has_prices = !raw.prices.is_empty();
    let limits =
        limit::limits(diagnostics, &root.field("limits"), &raw.limits, &routes, has_prices);
    let prices = price::prices(diagnostics, &root.field("prices"), &raw.prices, &providers);
    let has_consumers = auth.required || !raw.consumers.is_empty() || !auth.issuers.is_empty();
    let needs =
        rollout::DocumentParts { prices: &prices, has_consumers, consumers: raw.consumers.len() };
    rollout::check_document(diagnostics, &root.field("routes"), &read_routes, &needs);
    let guards = guard::guards(diagnostics, &root.field("guards"), raw, &providers, &routes);
    let cache = raw.cache.as_ref();
    let cache =
        cache.and_then(|cache| cache::cache(diagnostics, &root.field("cache"), cache, &routes));
    let history = raw.history.as_ref();
    let history = history
        .and_then(|history| cache::history(diagnostics, &root.field("history"), history, &routes));
    let observe = observe::observe(diagnostics, &root.field("observe"), &raw.observe, &routes);
    let admin = root.field("admin");
    let operators =
        admin::operators(diagnostics, &admin.field("operators"), &raw.admin.operators, &consumers);
    let sessions = admin::session_times(diagnostics, &admin.field("session"), &raw.admin.session);
    let addresses = raw.admin.addresses.as_ref();
    let admin_ip_access = permission::addresses(diagnostics, &admin.field("addresses"), addresses);
    let storage = storage::storage(diagnostics, &root, &raw.ledger, &raw.store);

    let warnings = std::mem::take(&mut diagnostics.warnings);
    collected.finish(Config {
        server,
        auth,
        providers: read_providers,
        routes: read_routes,
        models,
        consumers,
        groups,
        limits,
        prices,
        operators,
        sessions,
        admin_ip_access,
        guards,
        cache,
        history,
        observe,
        storage,
        warnings,
        digest: [0; 32],
    })
}

/// Parses a single consumer against the routes of a configuration.
pub(super) fn parse_consumer(raw: &raw::Consumer, config: &Config) -> Result<Consumer, Problems> {
    let mut diagnostics = Diagnostics::new(&|_| None, MissingSecrets::Refuse);
    let routes = IdIndex::from_known("routes", config.routes.iter().map(|one| one.id.as_str()));
    let consumer = consumer::consumer_without_keys(&mut diagnostics, raw, &routes);
    diagnostics.finish(consumer)
}

/// Parses the places of ledger and store alone.
pub(super) fn parse_storage(
    raw: &raw::StorageSections,
    secrets: &SecretLookup<'_>,
) -> Result<Storage, Problems> {
    let mut diagnostics = Diagnostics::new(secrets, MissingSecrets::Refuse);
    let storage = storage::storage(&mut diagnostics, &DocPath::ROOT, &raw.ledger, &raw.store);
    diagnostics.finish(storage)
}
