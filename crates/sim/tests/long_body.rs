//! Responses that are too long to hold: they are streamed, and a break reaches the caller.

use sim::scenario::Scenario;

/// More than the gateway holds (8 MiB), in bytes.
const LENGTH: usize = 9 << 20;

fn scenario(script: &str, expect: &str) -> Scenario {
    scenario_after("", script, expect)
}

/// The scenario of an answer with members before the long one.
fn scenario_after(members: &str, script: &str, expect: &str) -> Scenario {
    let vectors = "0.25,".repeat(LENGTH / 5);
    let text = format!(
        r#"
about = "A long answer."
config = '''
[[providers]]
id       = "openai"
base_url = "UPSTREAM/openai/v1"
keys     = ["secret:OPENAI_API_KEY"]

[[routes]]
id      = "long"
models  = ["long"]
targets = [{{ provider = "openai" }}]

[[consumers]]
id   = "app"
keys = ["secret:APP_KEY"]
'''
secrets = {{ OPENAI_API_KEY = "sk-upstream-openai", APP_KEY = "app-key" }}

[upstreams.openai]
script = [{{ content_type = "application/json", raw = '{{{members}"data":[{vectors}0]}}', split = 65536, {script} }}]

[[requests]]
path    = "/v1/embeddings"
headers = {{ authorization = "Bearer app-key" }}
body    = '{{"model":"long","input":"Hello?"}}'

[requests.expect]
status = 200
{expect}
"#
    );
    Scenario::parse("long", &text).expect("the scenario is valid")
}

#[test]
fn long_response_passes_whole() {
    scenario("", r#"record = { outcome = "answered", "tokens.counted" = "estimated" }"#)
        .run_in_simulator()
        .expect("the scenario passes");
}

#[test]
fn usage_before_a_long_member_is_reported() {
    let usage = r#""usage":{"prompt_tokens":70,"total_tokens":70},"#;
    let expect = r#"record = { outcome = "answered", "tokens.input" = 70, "tokens.output" = 0, "tokens.counted" = "reported" }"#;
    scenario_after(usage, "", expect).run_in_simulator().expect("the scenario passes");
}

#[test]
fn long_response_that_breaks_off_breaks_off_for_the_caller() {
    let expect =
        "may_break = true\nrecord = { outcome = \"truncated\", error = \"upstream_error\" }";
    scenario("cut_at = 9000000", expect).run_in_simulator().expect("the scenario passes");
}
