//! Invalid rollouts.

use super::{assert_refused, assert_refused_in_route};

const TARGETS: &str = "models = [\"m\"]\ntargets = [{ provider = \"openai\", model = \"a\" }, \
                       { provider = \"local\", model = \"b\", weight = 0 }]\n";

#[track_caller]
fn assert_rollout_refused(fields: &str, expected: &[(&str, &str, &str)]) {
    assert_refused_in_route(&format!("{TARGETS}rollout = {{ {fields} }}"), expected);
}

#[test]
fn rollout_target_is_the_last_one() {
    for (target, expected) in [
        ("openai/a", "\"local/b\", or \"openai/a\" moved to the end of `targets`"),
        ("local", "\"local/b\", the last of the route's `targets`"),
    ] {
        assert_rollout_refused(
            &format!("target = {target:?}"),
            &[("routes[0].rollout.target", &format!("{target:?}"), expected)],
        );
    }
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"openai\", weight = 0 }, { provider = \"local\" }]\n\
         rollout = { target = \"local\" }",
        &[("routes[0].rollout.target", "without a target to compare", "above zero, before it")],
    );
    assert_refused_in_route(
        "models = [\"m\"]\ntargets = [{ provider = \"local\" }, { provider = \"local\" }]\n\
         rollout = { target = \"local\" }",
        &[("routes[0].rollout.target", "\"local\"", "only once")],
    );
}

#[test]
fn rollout_steps_rise() {
    for (steps, path, found, expected) in [
        ("[]", "steps", "0 steps", "from 2 to 20"),
        ("[100]", "steps", "1 steps", "the promoted share"),
        ("[5, 5]", "steps[1]", "5", "above 5 and at most 100"),
        ("[5, 1]", "steps[1]", "1", "above 5 and at most 100"),
        ("[0, 5]", "steps[0]", "0", "above 0"),
        ("[50, 101]", "steps[1]", "101", "at most 100"),
    ] {
        assert_rollout_refused(
            &format!("target = \"local/b\", steps = {steps}"),
            &[(&format!("routes[0].rollout.{path}"), found, expected)],
        );
    }
}

#[test]
fn rollout_checks_are_refused_with_a_remedy() {
    for (check, path, found, expected) in [
        ("metric = \"cost\"", "metric", "without the prices", "`[[prices]]` for the models"),
        ("metric = \"eror\"", "metric", "\"eror\"", "did you mean errors?"),
        ("metric = \"judged_bad\"", "metric", "\"judged_bad\"", "judges no answers"),
        ("metric = \"errors\", quantile = 0.9", "quantile", "`quantile` with", "no measurement"),
        ("metric = \"latency\", quantile = 90", "quantile", "90", "from 0.5 to 0.99"),
        ("metric = \"latency\", max_ratio = 1.0", "max_ratio", "1", "from 1.05 to 60"),
    ] {
        assert_rollout_refused(
            &format!("target = \"local/b\", checks = [{{ {check} }}]"),
            &[(&format!("routes[0].rollout.checks[0].{path}"), found, expected)],
        );
    }
    assert_rollout_refused(
        "target = \"local/b\", checks = [{ metric = \"errors\" }, { metric = \"errors\" }]",
        &[("routes[0].rollout.checks[1].metric", "\"errors\"", "each metric once")],
    );
    assert_rollout_refused(
        "target = \"local/b\", checks = []",
        &[("routes[0].rollout.checks", "an empty list", "at least one check")],
    );
}

#[test]
fn rollout_bounds_are_refused() {
    for (field, path, found, expected) in [
        ("alpha = 0.0", "alpha", "0", "above 0"),
        ("alpha = 0.6", "alpha", "0.6", "at most 0.5"),
        ("max_time = \"7d\"", "max_time", "\"7d\"", "168h"),
        ("max_time = \"9000h\"", "max_time", "\"9000h\"", "8760h"),
        ("hold = { requests = 0 }", "hold.requests", "0", "from 1 to 1000000"),
        ("hold = { time = \"0s\" }", "hold.time", "zero", "above zero"),
        ("on_undecided = \"wait\"", "on_undecided", "\"wait\"", "one of hold, promote"),
        (
            "unit = \"session\"",
            "unit",
            "\"session\"",
            "one of request, user, consumer, header:NAME",
        ),
    ] {
        assert_rollout_refused(
            &format!("target = \"local/b\", {field}"),
            &[(&format!("routes[0].rollout.{path}"), found, expected)],
        );
    }
    assert_refused_in_route(
        &format!("{TARGETS}balance = \"latency\"\nrollout = {{ target = \"local/b\" }}"),
        &[("routes[0].rollout", "`balance` other than", "`balance = \"weight\"`")],
    );
}

#[test]
fn rollout_unit_that_no_request_has_is_refused() {
    assert_refused_in_route(
        &format!(
            "{TARGETS}sticky = \"user\"\nrollout = {{ target = \"local/b\", unit = \"request\" }}"
        ),
        &[("routes[0].rollout.unit", "\"request\"", "\"user\", the route's `sticky`")],
    );
    assert_refused(
        &format!(
            "auth = {{ required = false }}\nproviders = [{{ id = \"openai\", keys = [\"secret:K\"] }}, \
             {{ id = \"local\", kind = \"ollama\" }}]\n[[routes]]\nid = \"r\"\n{TARGETS}\
             rollout = {{ target = \"local/b\", unit = \"consumer\" }}"
        ),
        &[("routes[0].rollout.unit", "all callers are anonymous", "`[auth] required = true`")],
    );
    assert_refused(
        &format!(
            "auth = {{ required = false }}\nproviders = [{{ id = \"openai\", keys = [\"secret:K\"] }}, \
             {{ id = \"local\", kind = \"ollama\" }}]\n[[routes]]\nid = \"r\"\n{TARGETS}\
             rollout = {{ target = \"local/b\", checks = [{{ metric = \"disliked\" }}] }}"
        ),
        &[(
            "routes[0].rollout.checks[0].metric",
            "feedback where all callers are anonymous",
            "or no check \"disliked\"",
        )],
    );
}
