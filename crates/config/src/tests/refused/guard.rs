//! Invalid guards.

use super::{assert_refused, assert_refused_after_base};

/// Asserts the problems of a guard with these fields, after [`BASE`](super::BASE).
#[track_caller]
fn assert_refused_guard(fields: &str, expected: &[(&str, &str, &str)]) {
    assert_refused_after_base(&format!("[[guards]]\nid = \"g\"\n{fields}"), expected);
}

/// The same for `aliyun`, with its keys and these fields.
#[track_caller]
fn assert_refused_aliyun(fields: &str, expected: &[(&str, &str, &str)]) {
    let keys = "access_key_id = \"secret:A\"\naccess_key = \"secret:B\"";
    assert_refused_guard(&format!("kind = \"aliyun\"\n{keys}\n{fields}"), expected);
}

#[test]
fn guard_field_of_another_kind_is_refused() {
    assert_refused_guard(
        "kind = \"aws\"",
        &[("guards[0].kind", "\"aws\"", "aliyun, openai-moderation, llm, words, pii")],
    );
    assert_refused_guard(
        "kind = \"aliyun\"\nregion = \"a b\"\nwords = [\"x\"]",
        &[
            ("guards[0]", "no `access_key_id`", "kind aliyun need it"),
            ("guards[0]", "no `access_key`", "kind aliyun need it"),
            ("guards[0].words", "`words`", "of the kind words"),
            ("guards[0].region", "\"a b\"", "letters"),
        ],
    );
    assert_refused_guard(
        "kind = \"openai-moderation\"\nformat = \"qwen3guard\"\nsecurity_token = \"secret:A\"",
        &[
            ("guards[0].security_token", "`security_token`", "of the kind aliyun"),
            ("guards[0]", "no `provider`", "kind openai-moderation need it"),
            ("guards[0].format", "`format`", "of the kind llm"),
        ],
    );
    assert_refused_guard(
        "kind = \"llm\"\nthresholds = { a = 1 }",
        &[
            ("guards[0]", "no `provider`", "kind llm need it"),
            ("guards[0]", "no `model`", "kind llm need it"),
            ("guards[0].thresholds", "`thresholds`", "of the kind openai-moderation"),
            ("guards[0]", "no `format`", "kind llm need it"),
        ],
    );
    assert_refused_guard(
        r#"
        kind = "words"
        words = ["a"]
        region = "r"
        endpoint = "http://h"
        access_key_id = "secret:A"
        access_key = "secret:B"
        action = "replace"
        services = {}
        bars = {}
        mask = false
        provider = "openai"
        model = "m"
        detect = []
        custom = []
        restore = true
        "#,
        &[
            ("guards[0].region", "`region`", "of the kind aliyun"),
            ("guards[0].endpoint", "`endpoint`", "of the kind aliyun"),
            ("guards[0].access_key_id", "`access_key_id`", "of the kind aliyun"),
            ("guards[0].access_key", "`access_key`", "of the kind aliyun"),
            ("guards[0].action", "`action`", "of the kind aliyun or pii"),
            ("guards[0].services", "`services`", "of the kind aliyun"),
            ("guards[0].bars", "`bars`", "of the kind aliyun"),
            ("guards[0].mask", "`mask`", "of the kind aliyun"),
            ("guards[0].provider", "`provider`", "of the kind openai-moderation or llm"),
            ("guards[0].model", "`model`", "of the kind openai-moderation or llm"),
            ("guards[0].detect", "`detect`", "of the kind pii"),
            ("guards[0].custom", "`custom`", "of the kind pii"),
            ("guards[0].restore", "`restore`", "of the kind pii"),
        ],
    );
    assert_refused_guard(
        "kind = \"pii\"\nlist = \"a\"",
        &[("guards[0].list", "`list`", "of the kind words")],
    );
}

#[test]
fn guard_common_invalid_values_are_refused() {
    assert_refused_guard(
        r#"
        kind = "words"
        words = ["ok", " "]
        check = ["request", "reply"]
        look_at = "first"
        block_at = "severe"
        on_error = "close"
        on_block = { status = 100, message = " ", format = "json" }
        timeout = "0s"
        stream_window = 0
        stream_delay = "25h"
        keep_content = 10001
        "#,
        &[
            ("guards[0].block_at", "\"severe\"", "low, medium, high"),
            ("guards[0].words[1]", "\" \"", "a word"),
            ("guards[0].check[1]", "\"reply\"", "request, response"),
            ("guards[0].look_at", "\"first\"", "last, new, all"),
            ("guards[0].on_block.format", "\"json\"", "message, structured, error"),
            ("guards[0].on_block.status", "100", "200 to 299"),
            ("guards[0].on_block.message", "\" \"", "a message"),
            ("guards[0].on_error", "\"close\"", "did you mean closed?"),
            ("guards[0].timeout", "zero", "above zero"),
            ("guards[0].stream_window", "0", "from 1 to 100000"),
            ("guards[0].stream_delay", "25h", "24h at most"),
            ("guards[0].keep_content", "10001", "from 0 to 10000"),
        ],
    );
    assert_refused_guard(
        "kind = \"pii\"\ncheck = []\nstream_window = 100001",
        &[
            ("guards[0].check", "empty", "request, response"),
            ("guards[0].stream_window", "100001", "from 1 to 100000"),
        ],
    );
    for status in ["200", "600"] {
        assert_refused_guard(
            &format!("kind = \"pii\"\non_block = {{ format = \"error\", status = {status} }}"),
            &[("guards[0].on_block.status", status, "400 to 599")],
        );
    }
    assert_refused_guard(
        "kind = \"pii\"\ntimeout = 2",
        &[("guards[0].timeout", "a number", "\"2s\"")],
    );
    assert_refused_guard(
        "kind = \"pii\"\non_block = { code = 200 }",
        &[("guards[0].on_block.code", "unknown field `code`", "`status`")],
    );
}

#[test]
fn guard_override_invalid_values_are_refused() {
    let of = |overrides: &str| format!("kind = \"pii\"\noverrides = [{overrides}]");
    assert_refused_guard(
        &of("{ off = true }, { consumers = [], groups = [], off = true }"),
        &[
            ("guards[0].overrides[0]", "no consumer and no group", "`consumers`, `groups`"),
            ("guards[0].overrides[1]", "no consumer and no group", "`consumers`, `groups`"),
        ],
    );
    assert_refused_guard(
        &of("{ groups = [\"a\"] }, { groups = [\"a\"], off = false }"),
        &[
            ("guards[0].overrides[0]", "changes nothing", "`off = true`"),
            ("guards[0].overrides[1]", "changes nothing", "`off = true`"),
        ],
    );
    assert_refused_guard(
        &of("{ groups = [\"a\"], off = true, block_at = \"low\" }"),
        &[("guards[0].overrides[0]", "`off` with other settings", "`off` alone")],
    );
    assert_refused_guard(
        &of(
            "{ consumers = [\"a b\", \"\", \"~(\", \"a*b\", \"a b*\"], groups = [\"ü\"], block_at = \"hgh\" }",
        ),
        &[
            ("guards[0].overrides[0].consumers[0]", "\"a b\"", "letters"),
            ("guards[0].overrides[0].consumers[1]", "nothing", "an exact value"),
            ("guards[0].overrides[0].consumers[2]", "open group", "a regular expression"),
            ("guards[0].overrides[0].consumers[3]", "\"a*b\"", "letters"),
            ("guards[0].overrides[0].consumers[4]", "\"a b\"", "letters"),
            ("guards[0].overrides[0].groups[0]", "\"ü\"", "letters"),
            ("guards[0].overrides[0].block_at", "\"hgh\"", "did you mean high?"),
        ],
    );
    assert_refused_guard(
        &of("{ groups = [\"a\"], off = true, services = {} }"),
        &[("guards[0].overrides[0].services", "`services`", "of the kind aliyun")],
    );
    assert_refused_guard(
        &of(
            "{ consumers = [\"*\"], off = true }, { groups = [\"a\"], off = true }, { consumers = [\"*\"], off = true }",
        ),
        &[
            ("guards[0].overrides[1]", "after overrides[0]", "the first match"),
            ("guards[0].overrides[2]", "after overrides[0]", "the first match"),
        ],
    );
    assert_refused_aliyun(
        "region = \"a\"\noverrides = [{ consumers = [\"a\"], services = { request = \"a b\", response = \"\" } }, { consumers = [\"b\"], services = {} }]",
        &[
            ("guards[0].overrides[0].services.request", "\"a b\"", "letters"),
            ("guards[0].overrides[0].services.response", "\"\"", "letters"),
            ("guards[0].overrides[1]", "changes nothing", "`services`"),
        ],
    );
    assert_refused_aliyun(
        "region = \"a\"\noverrides = [{ consumers = [\"a\"], services = { image = \"a\" } }]",
        &[("guards[0].overrides[0].services.image", "unknown field `image`", "`request`")],
    );
}

#[test]
fn aliyun_invalid_values_are_refused() {
    assert_refused_aliyun("", &[("guards[0]", "no `region`", "or its `endpoint`")]);
    for (endpoint, found) in [
        ("green-cip.cn-shanghai.aliyuncs.com", "\"green-cip"),
        ("ftp://h", "\"ftp://h\""),
        ("https://h?key=sk-1", "a query"),
        ("https://sk-1@h", "a user's name"),
    ] {
        assert_refused_aliyun(
            &format!("endpoint = \"{endpoint}\""),
            &[("guards[0].endpoint", found, "an address such as")],
        );
    }
    assert_refused_aliyun(
        "region = \"a\"\naction = \"TextModeration\"\nbars = {}\nmask = true",
        &[("guards[0].action", "\"TextModeration\"", "TextModerationPlus, MultiModalGuard")],
    );
    assert_refused_aliyun(
        "region = \"a\"\naction = \"hash\"",
        &[("guards[0].action", "\"hash\"", "TextModerationPlus, MultiModalGuard")],
    );
    assert_refused_aliyun(
        "region = \"a\"\nbars = { content = \"low\" }\nmask = true\nservices = { image = \"i\" }",
        &[
            ("guards[0].bars", "`bars`", "MultiModalGuard"),
            ("guards[0].mask", "true", "MultiModalGuard"),
            ("guards[0].services.image", "a service for images", "MultiModalGuard"),
        ],
    );
    assert_refused_aliyun(
        r#"
        region = "a"
        action = "MultiModalGuard"
        services = { request = "", response = "a b", image = "a/b" }
        bars = { content = "max", prompt_attack = "S1", sensitive_data = "S4" }
        "#,
        &[
            ("guards[0].services.request", "\"\"", "letters"),
            ("guards[0].services.response", "\"a b\"", "letters"),
            ("guards[0].services.image", "\"a/b\"", "letters"),
            ("guards[0].bars.content", "\"max\"", "low, medium, high, never"),
            ("guards[0].bars.prompt_attack", "\"S1\"", "low, medium, high, never"),
            ("guards[0].bars.sensitive_data", "\"S4\"", "S1, S2, S3"),
        ],
    );
    assert_refused_aliyun(
        "region = \"a\"\naction = \"MultiModalGuard\"\nbars = { contents = \"low\" }",
        &[("guards[0].bars.contents", "unknown field", "did you mean content?")],
    );
}

#[test]
fn moderation_and_judge_invalid_values_are_refused() {
    assert_refused_guard(
        "kind = \"openai-moderation\"\nprovider = \"opnai\"\nmodel = \"\"\nthresholds = { \"\" = 0.5, high = 1.5, small = 0.0004, zero = 0 }",
        &[
            ("guards[0].provider", "\"opnai\"", "did you mean openai?"),
            ("guards[0].model", "\"\"", "the name of a model"),
            ("guards[0].thresholds", "\"\"", "the name of a category"),
            ("guards[0].thresholds.high", "1.5", "from 0.001 to 1"),
            ("guards[0].thresholds.small", "0.0004", "three decimals"),
            ("guards[0].thresholds.zero", "0", "from 0.001 to 1"),
        ],
    );
    assert_refused_guard(
        "kind = \"openai-moderation\"\nprovider = \"openai\"\nthresholds = { a = inf }",
        &[("guards[0].thresholds.a", "inf", "a finite number")],
    );
    assert_refused(
        r#"
        providers = [{ id = "east", kind = "azure", base_url = "https://n.openai.azure.com", keys = ["secret:A"] }]
        guards = [{ id = "g", kind = "openai-moderation", provider = "east" }]
        "#,
        &[("guards[0].provider", "\"east\"", "which azure does not")],
    );
    assert_refused_guard(
        "kind = \"llm\"\nprovider = \"locl\"\nmodel = \" \"\nformat = \"llamaguard\"",
        &[
            ("guards[0].provider", "\"locl\"", "did you mean local?"),
            ("guards[0].model", "\" \"", "the name of a model"),
            ("guards[0].format", "\"llamaguard\"", "did you mean llama-guard?"),
        ],
    );
}

#[test]
fn words_and_pii_invalid_values_are_refused() {
    assert_refused_guard("kind = \"words\"", &[("guards[0]", "no words", "`list`")]);
    assert_refused_guard(
        "kind = \"words\"\nwords = []",
        &[("guards[0].words", "empty", "at least one word")],
    );
    for list in ["", "My-List", "a/b", "ü"] {
        assert_refused_guard(
            &format!("kind = \"words\"\nlist = \"{list}\""),
            &[("guards[0].list", list, "lower-case")],
        );
    }
    assert_refused_guard(
        "kind = \"pii\"\ndetect = [\"mail\"]\naction = \"mask\"",
        &[
            ("guards[0].action", "\"mask\"", "replace, hash, refuse"),
            ("guards[0].detect[0]", "\"mail\"", "did you mean email?"),
        ],
    );
    assert_refused_guard(
        "kind = \"pii\"\ndetect = []",
        &[("guards[0].detect", "empty", "at least one kind")],
    );
    for action in ["hash", "refuse"] {
        assert_refused_guard(
            &format!(
                "kind = \"pii\"\naction = \"{action}\"\nrestore = true\ncustom = [{{ name = \"a\", pattern = \"b\", replace = \"c\" }}]"
            ),
            &[
                ("guards[0].restore", "true", "cannot be restored"),
                ("guards[0].custom[0].replace", "a replacement", "no `replace` with"),
            ],
        );
    }
    assert_refused_guard(
        r#"
        kind = "pii"
        custom = [
          { name = "a b", pattern = "(" },
          { name = "EMAIL", pattern = "x*" },
          { name = "a", pattern = "x" },
          { name = "a", pattern = "y" },
        ]
        "#,
        &[
            ("guards[0].custom[0].name", "\"a b\"", "letters"),
            ("guards[0].custom[0].pattern", "open group", "a regular expression"),
            ("guards[0].custom[1].name", "\"EMAIL\"", "built-in"),
            (
                "guards[0].custom[1].pattern",
                "\"x*\", which matches the empty string",
                "never matches the empty string",
            ),
            ("guards[0].custom[3].name", "\"a\"", "a name of its own"),
        ],
    );
    assert_refused_guard(
        "kind = \"pii\"\ncustom = [{ name = \"a\" }]",
        &[("guards[0].custom[0]", "no field `pattern`", "the field `pattern`")],
    );
}
