//! Hints for values of a wrong type and for names that other gateways use.

/// Names of fields and sections in other gateways' configurations, each with the name here.
const OTHER_NAMES: [(&str, &str); 46] = [
    ("api_base", "base_url"),
    ("api_key", "keys"),
    ("api_keys", "keys"),
    ("apikey", "keys"),
    ("backends", "targets"),
    ("budget", "cost"),
    ("budgets", "limits"),
    ("circuit_breaker", "health"),
    ("clients", "consumers"),
    ("connect", "first_byte"),
    ("cors", "server"),
    ("duration", "per"),
    ("endpoint", "base_url"),
    ("expire", "ttl"),
    ("expiry", "ttl"),
    ("failover", "fallback"),
    ("host", "base_url"),
    ("key", "keys"),
    ("limit", "max"),
    ("match", "models"),
    ("model", "models"),
    ("model_list", "routes"),
    ("models", "routes"),
    ("name", "id"),
    ("origins", "cors"),
    ("period", "per"),
    ("percent", "weight"),
    ("plugins", "guards"),
    ("quotas", "limits"),
    ("rate_limit", "limits"),
    ("rate_limits", "limits"),
    ("ratio", "weight"),
    ("retry", "retries"),
    ("share", "weight"),
    ("teams", "groups"),
    ("time_zone", "timezone"),
    ("tokens_per_minute", "tokens"),
    ("type", "kind"),
    ("tz", "timezone"),
    ("upstreams", "targets"),
    ("url", "base_url"),
    ("users", "consumers"),
    ("vendors", "providers"),
    ("virtual_keys", "consumers"),
    ("window", "per"),
    ("zone", "timezone"),
];

/// The name here of a field that other gateways name otherwise, if it is allowed in this table.
pub(super) fn other_name<'n>(
    found: &str,
    mut allowed: impl Iterator<Item = &'n str>,
) -> Option<&'n str> {
    let (_, name) = OTHER_NAMES.iter().find(|(other, _)| *other == found)?;
    allowed.find(|one| one == name)
}

/// An example of a table, by the name of its type.
fn table_example(name: &str) -> Option<&'static str> {
    Some(match name {
        "WeightedTarget" => "{ provider = \"ID\", weight = 1 }",
        "Target" => "{ provider = \"ID\" }",
        "Quota" => "{ per = \"day\", max = 1000 }",
        "Cost" => "{ per = \"month\", max = 10.0 }",
        "On" => "{ groups = [\"NAME\"] }",
        "Bounds" => "{ max = 1024 }",
        "Addresses" => "{ allow = [\"10.0.0.0/8\"] }",
        "Retries" => "{ attempts = 1 }",
        "Health" => "{ failures = 5, rest = \"10s\" }",
        "Timeouts" => "{ total = \"5m\" }",
        "Hedge" => "{ after = \"2s\" }",
        "Translate" => "{ unknown = \"shed\" }",
        "OnBlock" => "{ message = \"TEXT\" }",
        "Override" => "{ groups = [\"NAME\"], off = true }",
        "CustomPii" => "{ name = \"NAME\", pattern = \"REGEX\" }",
        "PriceTier" => "{ above = 200000, input = 1.0, output = 4.0 }",
        "Ledger" | "Store" => "{ redis = \"secret:REDIS_URL\" }",
        _ => return None,
    })
}

/// An item of a list, by the name of its field.
fn list_item(field: &str) -> &'static str {
    match field {
        "targets" | "fallback" => "{ provider = \"ID\" }",
        "keys" => "\"secret:NAME\"",
        "steps" => "1, 5, 20",
        "providers" | "routes" | "consumers" | "groups" | "limits" | "prices" | "guards"
        | "overrides" | "custom" | "tiers" | "jwt" | "operators" | "content" => "{ … }",
        _ => "\"…\"",
    }
}

/// The expected form of a value of another type. `path` may be a position in a JSON text, and `value` is
/// serde's description of the found one.
pub(super) fn expected_type(path: &str, value: &str, expected: &str) -> Option<String> {
    let kind = value.split([' ', ',']).next().unwrap_or_default();
    let is_toml = !path.is_empty() && !path.starts_with("line ");
    let field = path.rsplit('.').next().and_then(|last| last.split('[').next()).unwrap_or_default();
    let is_number = matches!(expected, "u16" | "u32" | "u64" | "f64");
    let text = match (kind, expected) {
        ("map", "a sequence") if is_toml => {
            let header = without_indices(path);
            format!("a list: `[[{header}]]` instead of `[{header}]`, or `{field} = [{{ … }}]`")
        }
        (_, "a sequence") if is_toml => format!("a list, such as [{}]", list_item(field)),
        ("map", "a sequence") => "a list of tables, in square brackets".to_owned(),
        (_, "a sequence") => "a list, in square brackets".to_owned(),
        ("sequence", _) if is_toml && is_table(expected) && !path.contains(['.', '[']) => {
            format!("a table: `[{path}]`, once, instead of `[[{path}]]`")
        }
        (_, _) if is_table(expected) => {
            let name = expected.strip_prefix("struct ").unwrap_or_default();
            match table_example(name).filter(|_| is_toml) {
                Some(example) => format!("a table, such as {example}"),
                None => "a table".to_owned(),
            }
        }
        ("floating", "u32") if field == "weight" => {
            "a whole number: weights are parts of their sum, such as 80 and 20".to_owned()
        }
        ("string", "a boolean") => "true or false, without quotes".to_owned(),
        ("string", "f64") => "a number, without quotes".to_owned(),
        ("string", _) if is_number => "a whole number, zero or above, without quotes".to_owned(),
        ("integer" | "floating" | "boolean", "a string") => "a string, in quotes".to_owned(),
        ("integer" | "floating", _) if expected.starts_with("a duration") => {
            format!("{expected}, with its unit and in quotes")
        }
        ("integer" | "floating", _) if expected.starts_with("a size") => {
            format!("{expected}, in quotes")
        }
        _ => return None,
    };
    Some(text)
}

fn is_table(expected: &str) -> bool {
    expected.starts_with("struct ") || matches!(expected, "a map" | "a table")
}

/// The header of a section: `routes.targets` for `routes[0].targets`.
fn without_indices(path: &str) -> String {
    let name = |step: &str| step.split('[').next().unwrap_or_default().to_owned();
    path.split('.').map(name).collect::<Vec<_>>().join(".")
}

/// A duration or size with another unit, and its form here: `1d` is `24h`, `4MB` is `4MiB`.
pub(super) fn corrected(text: &str, units: &[(&str, u64, &'static str)]) -> Option<String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    let unit = unit.trim().to_ascii_lowercase();
    let (_, factor, name) = units.iter().find(|(other, _, _)| *other == unit)?;
    Some(format!("{}{name}", number.checked_mul(*factor)?))
}
