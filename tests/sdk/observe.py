"""Checks the output of `tests/tests/observe.rs` with the official Prometheus and OpenTelemetry packages.

Arguments: a directory and the name of a model that needs escapes. In the directory, `first.txt` and
`second.txt` are pages of metrics; a collector received `traces-N.json` and `metrics-N.json`. Prints one
line per check and exits with 1 at the first failure.
"""

import base64
import json
import pathlib
import re
import sys
from collections import Counter

from google.protobuf import json_format
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_DELTA
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client.parser import text_string_to_metric_families

DIRECTORY, ODD = pathlib.Path(sys.argv[1]), sys.argv[2]
TARGET = ("route", "provider", "model")

# All metrics with their labels.
COUNTERS = {
    "serin_requests_total": {*TARGET, "consumer", "status"},
    "serin_tokens_total": {*TARGET, "consumer", "kind", "counted"},
    "serin_cost_usd_total": {*TARGET, "consumer"},
    "serin_limited_total": {"limit", "consumer"},
    "serin_limit_near_total": {"limit", "consumer"},
    "serin_fallback_total": {"route", "from", "to", "reason"},
    "serin_upstream_calls_total": {*TARGET, "result"},
    "serin_cache_total": {"route", "result"},
    "serin_guard_total": {"guard", "phase", "result", "label", "consumer"},
    "serin_ledger_unavailable_total": {"route"},
}
HISTOGRAMS = {"serin_request_duration_seconds": {*TARGET}, "serin_time_to_first_token_seconds": {*TARGET}}
GAUGES = {
    "serin_build_info": {"version"},
    "serin_config_version": {"state"},
    "serin_rollout_weight": {"route"},
    "serin_rollout_evidence": {"route", "check"},
    "serin_rollout_phase": {"route", "phase"},
}
# Families of things that the test's traffic does not have.
EMPTY = {"serin_ledger_unavailable", "serin_rollout_weight", "serin_rollout_evidence", "serin_rollout_phase"}
# Exact set of values of a label after the test's traffic.
VALUES = {
    ("serin_requests_total", "status"): {"200", "404", "429", "502", "hung_up"},
    ("serin_requests_total", "consumer"): {"app", "small"},
    ("serin_requests_total", "provider"): {"", "openai", "silent", "slow"},
    ("serin_tokens_total", "kind"): {"input", "output", "cached", "reasoning"},
    ("serin_tokens_total", "counted"): {"reported", "estimated"},
    ("serin_limited_total", "limit"): {"one"},
    ("serin_limited_total", "consumer"): {"small"},
    # The only request of the limit leaves nothing of it.
    ("serin_limit_near_total", "limit"): {"one"},
    ("serin_limit_near_total", "consumer"): {"small"},
    ("serin_fallback_total", "from"): {"broken/tried-first"},
    ("serin_fallback_total", "to"): {"openai/gpt-4o"},
    ("serin_fallback_total", "reason"): {"5xx"},
    ("serin_cache_total", "result"): {"hit", "miss"},
    ("serin_guard_total", "guard"): {"terms", "personal"},
    ("serin_guard_total", "result"): {"pass", "block", "mask"},
}


def check(name, condition, actual=None):
    if not condition:
        print(f"failed: {name}: {actual!r}")
        sys.exit(1)
    print(f"ok: {name}")


def no_wrong(name, wrong):
    wrong = list(wrong)
    check(name, not wrong, wrong[:5])


# Prometheus


def key(sample):
    return sample.name, tuple(sorted(sample.labels.items()))


def page(name):
    families = list(text_string_to_metric_families((DIRECTORY / name).read_text()))
    samples = [sample for family in families for sample in family.samples]
    return families, samples


def values(samples):
    return {key(sample): sample.value for sample in samples}


families, samples = page("second.txt")
# The parser takes `_total` off a counter's name.
kinds = Counter((family.name, family.type) for family in families)
expected = {(name.removesuffix("_total"), "counter") for name in COUNTERS}
expected |= {(name, "histogram") for name in HISTOGRAMS}
expected |= {(name, "gauge") for name in GAUGES}
check("metric families are complete and have the right types", set(kinds) == expected, kinds)
no_wrong("each family is contiguous", (kind for kind, times in kinds.items() if times > 1))
no_wrong("each family has a help text", (family.name for family in families if len(family.documentation) < 10))
no_wrong("each family has samples", (it.name for it in families if not it.samples and it.name not in EMPTY))
series = Counter(map(key, samples))
no_wrong("no series is repeated", (it for it, times in series.items() if times > 1))

labels = COUNTERS | GAUGES
for name, own in HISTOGRAMS.items():
    labels |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
no_wrong("each sample has exactly the documented labels", (it for it in samples if set(it.labels) != labels.get(it.name)))
for (name, label), allowed in VALUES.items():
    actual = {sample.labels[label] for sample in samples if sample.name == name}
    check(f"{name} by {label}", actual == allowed, actual)
odd = {sample.name for sample in samples if sample.labels.get("model") == ODD}
check("an escaped model name is read back unchanged", {"serin_requests_total", "serin_tokens_total"} <= odd, odd)
no_wrong("no value is negative, infinite or NaN", (it for it in samples if not it.value >= 0 or it.value == float("inf")))

for name, own in HISTOGRAMS.items():
    rows = {}
    for sample in samples:
        if sample.name.startswith(name):
            row = rows.setdefault(tuple(sample.labels[label] for label in sorted(own)), {"buckets": []})
            if sample.name == f"{name}_bucket":
                row["buckets"].append((float(sample.labels["le"]), sample.value))
            else:
                row[sample.name.removeprefix(f"{name}_")] = sample.value
    wrong = []
    for who, row in rows.items():
        ends, counts = zip(*row["buckets"])
        inside = [count - before for count, before in zip(counts, (0, *counts))]
        least = sum(number * begin for number, begin in zip(inside, (0, *ends)))
        most = sum(number * end for number, end in zip(inside, ends) if number)
        if not (
            list(ends) == sorted(set(ends))
            and ends[-1] == float("inf")
            and min(inside) >= 0
            and counts[-1] == row["count"] > 0
            and least <= row["sum"] <= most
        ):
            wrong.append((who, row))
    check(f"{name}: buckets grow up to +Inf, the last equals the count, and the sum fits them", rows and not wrong, wrong)

before, after = values(page("first.txt")[1]), values(samples)
no_wrong("no counter decreased", (it for it, value in before.items() if not after.get(it, -1) >= value))
grown = {name for (name, own), value in after.items() if value > before.get((name, own), 0)}
# The limit is used up before the first page, and later requests are refused.
ONCE = {"serin_limit_near_total"}
still = {name for name in COUNTERS if name.removesuffix("_total") not in EMPTY} - ONCE - grown
check("every counter increased", not still, still)

# Dashboards and rules


def queries(value):
    if isinstance(value, dict):
        for name, member in value.items():
            if name in ("expr", "query") and isinstance(member, str):
                yield member
            else:
                yield from queries(member)
    elif isinstance(value, list):
        for member in value:
            yield from queries(member)


def unknown_names(query):
    """Yields unknown metrics, and labels that their metric does not have."""
    for name, matchers in re.findall(r"(serin_\w+)(?:\{([^}]*)\})?", query):
        if name not in labels:
            yield name
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in labels.get(name, ()):
                yield f"{name}: {label}"
    known = set().union(*labels.values(), {"job"})
    for group in re.findall(r"\b(?:by|without|on|ignoring) ?\(([^)]*)\)", query):
        yield from (label for label in re.split(r"[,\s]+", group) if label and label not in known)


dashboard = list(queries(json.loads(pathlib.Path("observability/grafana/dashboard.json").read_text())))
no_wrong("the dashboard queries only existing metrics and labels", (it for query in dashboard for it in unknown_names(query)))
rules = pathlib.Path("observability/alerts.yml").read_text()
no_wrong("the alerts query only existing metrics and labels", unknown_names(rules))
asked = {name for text in (*dashboard, rules) for name in re.findall(r"serin_\w+", text)}
check("dashboard and alerts query most metrics", len(asked) > 8, asked)

# OpenTelemetry


def prepared(value):
    """Converts OTLP JSON to Protocol Buffers JSON: identifiers from hexadecimal to base64."""
    if isinstance(value, list):
        return [prepared(member) for member in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for name, member in value.items():
        # The parser also accepts snake_case field names; a collector may not.
        check_spelling.append(name)
        if name in ("traceId", "spanId", "parentSpanId"):
            if not re.fullmatch("[0-9a-f]+", member):
                wrong_ids.append(member)
            member = base64.b64encode(bytes.fromhex(member)).decode()
        out[name] = prepared(member)
    return out


def read(name, message):
    text = (DIRECTORY / name).read_text()
    for word in ("key-of-this-test", "sk-upstream", "the-token-of", "private question", "example.com", "my friend", "phrase"):
        if word in text:
            secrets.append((name, word))
    # Strict: an unknown field is an error.
    return json_format.Parse(json.dumps(prepared(json.loads(text))), message)


def plain(attributes):
    names = [attribute.key for attribute in attributes]
    if len(set(names)) < len(names) or not all(names):
        twice.append(names)
    return {it.key: getattr(it.value, it.value.WhichOneof("value")) for it in attributes}


check_spelling, wrong_ids, secrets, twice = [], [], [], []
traces = [read(path.name, ExportTraceServiceRequest()) for path in sorted(DIRECTORY.glob("traces-*.json"))]
metrics = [read(path.name, ExportMetricsServiceRequest()) for path in sorted(DIRECTORY.glob("metrics-*.json"))]
check("the collector received traces and metrics", traces and metrics, (traces, metrics))
no_wrong("field names are in camelCase", (it for it in check_spelling if "_" in it))
no_wrong("identifiers are lower-case hexadecimal", wrong_ids)
no_wrong("batches contain no secret and no content", secrets)
resources = [it for batch in traces for it in batch.resource_spans]
resources += [it for batch in metrics for it in batch.resource_metrics]
no_wrong("each batch names its service", (it for it in resources if not plain(it.resource.attributes).get("service.name")))

spans = [span for batch in traces for it in batch.resource_spans for scope in it.scope_spans for span in scope.spans]
asked = {span.span_id: span for span in spans if span.kind == Span.SPAN_KIND_SERVER}
tried = [span for span in spans if span.kind == Span.SPAN_KIND_CLIENT]
check("each span is a request or an attempt", len(asked) + len(tried) == len(spans) and tried, len(spans))
check("no span is repeated", len({span.span_id for span in spans}) == len(spans), len(spans))
no_wrong("identifiers have the right length", (it for it in spans if (len(it.trace_id), len(it.span_id)) != (16, 8)))
no_wrong("no span ends before it begins", (it for it in spans if not 0 < it.start_time_unix_nano <= it.end_time_unix_nano))
no_wrong(
    "each attempt is a child of its request",
    (it for it in tried if it.parent_span_id not in asked or asked[it.parent_span_id].trace_id != it.trace_id),
)


def spans_of(all_spans, **wanted):
    found = [(span, plain(span.attributes)) for span in all_spans]
    return [(span, own) for span, own in found if all(own.get(f"serin.{name}") == it for name, it in wanted.items())]


answered = spans_of(asked.values(), route="chat", outcome="answered", consumer="app")
for span, own in answered:
    is_odd = own["gen_ai.request.model"] not in ("gpt-4o", "text-embedding-3-small")
    wrong = {
        "name": span.name != f"{own['gen_ai.operation.name']} {own['gen_ai.request.model']}",
        "operation": own["gen_ai.operation.name"] not in ("chat", "embeddings"),
        "model": is_odd and not own["gen_ai.request.model"].startswith('odd-"quoted" back\\slash'),
        "answered by": own["gen_ai.response.model"] != own["gen_ai.request.model"],
        "provider": own["gen_ai.provider.name"] != "openai",
        "input": own["gen_ai.usage.input_tokens"] != 90,
        "output": own["gen_ai.usage.output_tokens"] not in (0, 40),
        "first token": own.get("serin.stream") and not 0 <= own["gen_ai.server.time_to_first_token"] < 60,
        "status": own["http.response.status_code"] != 200 or span.status.code == Status.STATUS_CODE_ERROR,
    }
    if any(wrong.values()):
        check("an answered request has the right attributes", False, (wrong, own))
check("an answered request has the right attributes", len(answered) == 8, len(answered))
failed = spans_of(asked.values(), route="dead")
check(
    "a failed request is an error span",
    len(failed) == 2
    and all(span.status.code == Status.STATUS_CODE_ERROR and own.get("error.type") for span, own in failed),
    failed,
)
fallen = [own for span, own in spans_of(tried, result="5xx") if span.status.code == Status.STATUS_CODE_ERROR]
check(
    "a failed attempt is an error span",
    len(fallen) == 6 and all(it["error.type"] == "5xx" and it["server.address"] == "127.0.0.1" for it in fallen),
    fallen,
)
models = {own["gen_ai.request.model"] for _, own in spans_of(tried, result="5xx")}
check("a failed attempt has the model of its target", models == {"tried-first", "dead"}, models)
cached = spans_of(asked.values(), cache="hit")
check("a cache hit has no attempt", cached and not [it for it in tried if it.parent_span_id in {s.span_id for s, _ in cached}], cached)

points = {}
for metric in (it for batch in metrics for res in batch.resource_metrics for scope in res.scope_metrics for it in scope.metrics):
    data = getattr(metric, metric.WhichOneof("data"))
    if data.aggregation_temporality != AGGREGATION_TEMPORALITY_DELTA or not metric.unit:
        check("each metric has a unit and is a delta", False, metric)
    for point in data.data_points:
        if not 0 < point.start_time_unix_nano <= point.time_unix_nano:
            check("each point has a time range", False, point)
        points.setdefault((metric.name, metric.WhichOneof("data")), []).append((point, plain(point.attributes)))
check(
    "metrics are complete and have the right types",
    set(points)
    == {
        ("gen_ai.client.token.usage", "histogram"),
        ("gen_ai.client.operation.duration", "histogram"),
        ("gen_ai.server.time_to_first_token", "histogram"),
        ("serin.requests", "sum"),
        ("serin.cost", "sum"),
    },
    set(points),
)
wrong = []
for (name, sort), some in points.items():
    for point, own in some:
        if sort == "histogram":
            bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
            if bounds != sorted(set(bounds)) or len(counts) != len(bounds) + 1 or sum(counts) != point.count:
                wrong.append((name, point))
            if name == "gen_ai.client.token.usage" and not {
                "gen_ai.operation.name",
                "gen_ai.provider.name",
                "gen_ai.request.model",
                "gen_ai.response.model",
                "gen_ai.token.type",
            } <= set(own):
                wrong.append((name, own))
no_wrong("each histogram is consistent and has its attributes", wrong)
no_wrong("no attribute is empty or repeated", twice)


def scraped(name, **wanted):
    found = (it for it in samples if it.name == name and all(it.labels[label] == value for label, value in wanted.items()))
    return sum(sample.value for sample in found)


def exported(name, sort, value, **wanted):
    some = points[name, sort]
    return sum(value(it) for it, own in some if all(own.get(f"gen_ai.token.{a}") == b for a, b in wanted.items()))


requests = exported("serin.requests", "sum", lambda it: it.as_int)
check("requests equal those of /metrics", requests == scraped("serin_requests_total"), requests)
for kind in ("input", "output"):
    tokens = exported("gen_ai.client.token.usage", "histogram", lambda it: it.sum, type=kind)
    check(f"{kind} tokens equal those of /metrics", tokens == scraped("serin_tokens_total", kind=kind) > 0, tokens)
firsts = exported("gen_ai.server.time_to_first_token", "histogram", lambda it: it.count)
check("first tokens equal those of /metrics", firsts == scraped("serin_time_to_first_token_seconds_count") > 0, firsts)
durations = exported("gen_ai.client.operation.duration", "histogram", lambda it: it.sum)
check("durations equal those of /metrics", abs(durations - scraped("serin_request_duration_seconds_sum")) < 1e-6, durations)
cost = exported("serin.cost", "sum", lambda it: it.as_double)
check("cost equals that of /metrics", abs(cost - scraped("serin_cost_usd_total")) < 1e-9 and cost > 0, cost)
