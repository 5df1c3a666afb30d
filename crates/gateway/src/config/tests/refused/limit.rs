//! Mistakes in what bounds, guards and caches.

use super::refused;

#[test]
fn parameters() {
    refused(
        r#"
        [[consumers]]
        id = "a"
        params = { max_tokens = {}, temperature = { min = 2, max = 1.5 }, top_p = { max = 1 }, forbid = ["top_p", ""] }
        "#,
        &[
            ("consumers[0].params.max_tokens", "no bound", "`min`"),
            ("consumers[0].params.temperature", "min 2 above max 1.5", "min up to max"),
            ("consumers[0].params.top_p", "forbidden", "one or the other"),
            ("consumers[0].params.forbid[1]", "\"\"", "at least one"),
        ],
    );
    refused(
        "[[consumers]]\nid = \"a\"\nparams = { n = { max = nan } }",
        &[("consumers[0].params.n.max", "NaN", "a finite number")],
    );
    refused(
        "[[consumers]]\nid = \"a\"\nparams = { temperatur = { max = 1 } }",
        &[("consumers[0].params.temperatur", "unknown field", "did you mean temperature?")],
    );
}

#[test]
fn limits() {
    let refused = |fields: &str, expected: &[(&str, &str, &str)]| {
        refused(&format!("[[limits]]\nid = \"l\"\n{fields}"), expected);
    };
    let quota = "tokens = { per = \"day\", max = 1 }";
    refused("by = \"all\"", &[("limits[0]", "no quota", "`tokens`, `requests`")]);
    refused(&format!("by = \"user\"\n{quota}"), &[("limits[0].by", "\"user\"", "cookie:NAME")]);
    refused(&format!("by = \"header:a b\"\n{quota}"), &[("limits[0].by", "\"a b\"", "header")]);
    refused(&format!("by = \"cookie:\"\n{quota}"), &[("limits[0].by", "\"\"", "letters")]);
    refused(
        &format!(
            "by = \"ip\"\nkeys = [\"10.0.0.0/8\", \"::1\", \"10.0.0.0/33\", \"here\", \"1.1.1.1/+8\", \"*\", \"~(\"]\n{quota}"
        ),
        &[
            ("limits[0].keys[2]", "10.0.0.0/33", "a block"),
            ("limits[0].keys[3]", "here", "a block"),
            ("limits[0].keys[4]", "1.1.1.1/+8", "a block"),
            ("limits[0].keys[6]", "open group", "a regular expression"),
        ],
    );
    refused(
        &format!("by = \"all\"\nkeys = []\n{quota}"),
        &[("limits[0].keys", "empty", "at least one")],
    );
    refused(
        "by = \"all\"\nrequests = { per = \"week\", max = 0 }",
        &[
            ("limits[0].requests.per", "\"week\"", "second, minute, hour, day, month, total"),
            ("limits[0].requests.max", "0", "above zero"),
        ],
    );
    refused(
        "by = \"all\"\nrequests = { per = \"hour\", max = 1, timezone = \"UTC\" }",
        &[("limits[0].requests.timezone", "per \"hour\"", "day or month")],
    );
    refused(
        "by = \"all\"\nrequests = { per = \"day\", max = 1, timezone = \"Shanghai\" }",
        &[("limits[0].requests.timezone", "\"Shanghai\"", "Asia/Shanghai")],
    );
}

#[test]
fn guards_and_cache() {
    let refused = |text: &str, expected: &[(&str, &str, &str)]| refused(text, expected);
    refused(
        "[[guards]]\nid = \"g\"\nkind = \"aws\"",
        &[("guards[0].kind", "\"aws\"", "aliyun, openai-moderation, words, pii")],
    );
    refused(
        "[[guards]]\nid = \"g\"\nkind = \"aliyun\"\nregion = \"a b\"\nwords = [\"x\"]",
        &[
            ("guards[0]", "no `access_key_id`", "aliyun needs it"),
            ("guards[0]", "no `access_key`", "aliyun needs it"),
            ("guards[0].words", "`words`", "of the kind words"),
            ("guards[0].region", "\"a b\"", "letters"),
        ],
    );
    refused(
        r#"
        [[guards]]
        id = "g"
        kind = "words"
        words = ["ok", " "]
        check = ["request", "reply"]
        block_at = "severe"
        on_error = "close"
        on_block = { status = 100 }
        stream_window = 0
        "#,
        &[
            ("guards[0].words[1]", "\" \"", "a word"),
            ("guards[0].check[1]", "\"reply\"", "request, response"),
            ("guards[0].block_at", "\"severe\"", "low, medium, high"),
            ("guards[0].on_error", "\"close\"", "did you mean closed?"),
            ("guards[0].on_block.status", "100", "200 to 599"),
            ("guards[0].stream_window", "0", "above zero"),
        ],
    );
    refused(
        "[[guards]]\nid = \"g\"\nkind = \"words\"\nwords = []\ncheck = []",
        &[
            ("guards[0].words", "empty", "at least one word"),
            ("guards[0].check", "empty", "request, response"),
        ],
    );
    refused(
        "[cache]\nttl = \"0s\"\nscope = \"everyone\"",
        &[
            ("cache.ttl", "zero", "above zero"),
            ("cache.scope", "\"everyone\"", "consumer, group, all"),
        ],
    );
    refused("[cache]\nttl = \"long\"\nscope = \"all\"", &[("cache.ttl", "\"long\"", "a duration")]);
}
