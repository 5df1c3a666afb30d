//! Invalid limits and prices.

use super::assert_refused;

#[test]
fn limit_invalid_values_are_refused() {
    let refused = |fields: &str, expected: &[(&str, &str, &str)]| {
        assert_refused(&format!("[[limits]]\nid = \"l\"\n{fields}"), expected);
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
        &format!("by = \"consumer\"\nkeys = []\n{quota}"),
        &[("limits[0].keys", "empty", "at least one")],
    );
    refused(
        &format!("by = \"group\"\nkeys = [\"\"]\n{quota}"),
        &[("limits[0].keys[0]", "nothing", "an exact value")],
    );
    refused(
        &format!("by = \"all\"\nkeys = [\"*\"]\n{quota}"),
        &[("limits[0].keys", "`keys`", "one account for all callers")],
    );
    refused(
        &format!("by = \"all\"\non = {{ groups = [] }}\n{quota}"),
        &[("limits[0].on.groups", "empty", "no `groups`")],
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
    refused(
        "by = \"all\"\nrequests = { per = \"month\", max = 1, timezone = \"Asia/Shanghia\" }",
        &[("limits[0].requests.timezone", "Shanghia", "did you mean Asia/Shanghai?")],
    );
    refused(
        "by = \"all\"\ntokens = { per = \"hour\", max = 9007199254740993 }",
        &[("limits[0].tokens.max", "9007199254740993", "9007199254740992 at most")],
    );
}

#[test]
fn default_output_out_of_range_is_refused() {
    let refused = |fields: &str, expected: &[(&str, &str, &str)]| {
        assert_refused(&format!("[[limits]]\nid = \"l\"\nby = \"all\"\n{fields}"), expected);
    };
    let (requests, tokens) =
        ("requests = { per = \"hour\", max = 1 }", "tokens = { per = \"hour\", max = 1 }");
    refused(
        &format!("{requests}\nhard = true\ndefault_output = 5"),
        &[
            ("limits[0].hard", "true", "`tokens` or `cost`"),
            ("limits[0].default_output", "a reserved length", "requests alone"),
        ],
    );
    for wrong in ["0", "1000001"] {
        refused(
            &format!("{tokens}\ndefault_output = {wrong}"),
            &[("limits[0].default_output", wrong, "from 1 to 1000000")],
        );
    }
    refused(
        &format!("{tokens}\non_error = \"opn\"\nlease = 1"),
        &[("limits[0].lease", "a number", "true or false")],
    );
    refused(
        &format!("{tokens}\non_error = \"opn\""),
        &[("limits[0].on_error", "\"opn\"", "did you mean open?")],
    );
}

#[test]
fn prices_and_costs_invalid_values_are_refused() {
    let price = "[[prices]]\nmodel = \"*\"\ninput = 1\noutput = 1\n";
    let limit = "[[limits]]\nid = \"l\"\nby = \"all\"\n";
    for wrong in ["0", "-1", "0.0000000001", "9007200"] {
        assert_refused(
            &format!("{price}{limit}cost = {{ per = \"day\", max = {wrong} }}"),
            &[("limits[0].cost.max", wrong, "USD: above zero")],
        );
    }
    assert_refused(
        &format!("{price}{limit}cost = {{ per = \"day\", max = inf }}"),
        &[("limits[0].cost.max", "inf", "a finite number")],
    );
    assert_refused(
        &format!("{limit}cost = {{ per = \"week\", max = 1.5 }}"),
        &[
            ("limits[0].cost.per", "\"week\"", "second, minute"),
            ("limits[0].cost", "without prices", "`[[prices]]`"),
        ],
    );
    assert_refused(
        "[[prices]]\nmodel = \"~gpt\"\nprovider = \"opnai\"\ninput = -1\noutput = 100001\ncached_input = 0.00000000001",
        &[
            ("prices[0].model", "\"~gpt\"", "an exact name or prefix*"),
            ("prices[0].provider", "\"opnai\"", "providers"),
        ],
    );
    assert_refused(
        "[[prices]]\nmodel = \"a b\"\ninput = -1\noutput = 100001\ncached_input = 0.00000000001",
        &[
            ("prices[0].model", "\"a b\"", "an exact name or prefix*"),
            ("prices[0].input", "-1", "from 0 to 100000"),
            ("prices[0].output", "100001", "from 0 to 100000"),
            ("prices[0].cached_input", "0.00000000001", "nine decimals"),
        ],
    );
    assert_refused(
        &format!(
            "{price}cache_write = -1\ntiers = [{{ above = 0, input = -1, output = 1, cached = 100001, cache_write = 0.00000000001 }}]"
        ),
        &[
            ("prices[0].cache_write", "-1", "from 0 to 100000"),
            ("prices[0].tiers[0].above", "0", "from 1 to 1000000000"),
            ("prices[0].tiers[0].input", "-1", "from 0 to 100000"),
            ("prices[0].tiers[0].cached", "100001", "from 0 to 100000"),
            ("prices[0].tiers[0].cache_write", "0.00000000001", "nine decimals"),
        ],
    );
    let tier = "{ above = 1, input = 1, output = 1 }";
    assert_refused(
        &format!("{price}tiers = [{tier}, {tier}]"),
        &[("prices[0].tiers[1].above", "1", "tiers[0]")],
    );
    let tiers: Vec<String> =
        (1..=5).map(|at| tier.replace("above = 1", &format!("above = {at}"))).collect();
    assert_refused(
        &format!("{price}tiers = [{}]", tiers.join(", ")),
        &[("prices[0].tiers", "5 tiers", "at most 4 tiers")],
    );
    assert_refused(
        &format!("{price}tiers = [{{ above = 1, input = 1 }}]"),
        &[("prices[0].tiers[0]", "no field `output`", "")],
    );
    assert_refused(&price.repeat(2), &[("prices[1].model", "\"*\"", "prices[0]")]);
    assert_refused(
        "[[prices]]\nmodel = \"*\"\ninput = 1",
        &[("prices[0]", "no field `output`", "")],
    );
}
