"""Writes pages of docs/ from the code: the experiment file, the commands, the columns, the audit, the first words.

    make docs                       write the files
    python docs/generate.py DIR     write them into another folder

A test says when one is stale. What is said of a key, an option, a column or a term stands in the code; only the
examples and the introductions stand here.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from textwrap import fill
from typing import Any

from tokenauction_cli.analysis.columns import columns
from tokenauction_cli.analysis.columns.column import NOTATION
from tokenauction_cli.analysis.columns.glossary import AUDIT_TERMS, WORDS
from tokenauction_cli.cli.command import EXAMPLES as EXAMPLES_OF_COMMANDS
from tokenauction_cli.cli.json_keys import KEYS
from tokenauction_cli.experiment.format.schema import POWER_MEAN, json_schema

NOT_BY_HAND = "<!-- Written by docs/generate.py: run `make docs`. -->"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in (heads, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(heads), *lines[1:]])


def _cell(text: str) -> str:
    """Text as one cell; what is no code is no markup either."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([<*])", r"\\\1", part) for part in parts[::2]]
    return "`".join(parts).replace("|", r"\|")


def code(value: Any) -> str:
    return f"`{value}`"


def page(title: str, about: str, *parts: str) -> str:
    text = "\n\n".join([f"# {title}", NOT_BY_HAND, about, *parts]) + "\n"
    return re.sub(r"`?docs/((?:[\w-]+/)*([\w-]+)\.md)`?", r"[\2](../\1)", text)  # what messages name becomes a link


# The experiment file

ABOUT_EXPERIMENTS = """\
Every key of an experiment file, format 1. `tokauction init` writes a file to begin with, and a schema with which
editors complete and explain these keys; `tokauction check EXP` reports every mistake with `file:line:column`. Any key
can be set on the command line: `-S auction.max_tokens=8`. Keys that are not listed are mistakes. A file has at most 64
agents and 1 000 000 texts. Each example below is a whole file."""

SECTIONS = (
    ("", "The file", "The keys at the top."),
    (
        "Query",
        "queries",
        "A query is a text, or a mapping with columns, as a row of a file has them (`queries: log.csv`). The name of a "
        "column says what it means:\n\n"
        "| column | what it holds |\n|---|---|\n"
        "| `query` | What the user asks. |\n"
        "| `bid.NAME` | The bid of this agent for this query, by name or id. Empty: the agent's own bid. |\n"
        "| `value.NAME` | What a text is worth to this agent in a market. No text depends on it, and no hash. |\n"
        "| `time` | When the query was asked (ISO 8601): a market orders its rounds by it. |\n"
        "| `weight` | How often the query is asked: a market can draw by it. |\n"
        "| any other | A text for prompts: `{{ column }}`. |\n\n"
        "Prompts know `time` and `weight`, too. A query is there once, or several times with another `time` in each "
        "row. Then its texts are written once, its rows must have the same bids and texts, prompts know neither `time` "
        "nor `weight`, and no market can be played. In a sweep of `relative_weight` without a `total_bid` the sum of a "
        "query's bids is shared; `audit`, `play` and benchmarks know the agents' own bids alone.",
    ),
    (
        "QueryFile",
        "queries: file",
        "`queries: log.csv` is short for `queries: {file: log.csv}`. The first row of a CSV file names the columns; "
        "the file is UTF-8, or UTF-16 with a byte order mark. A file of JSON Lines has a mapping in each line, with "
        "the same keys in all of them. Numbers become texts, but for `bid.NAME` and `value.NAME`. A file may have any "
        "length: only the rows that are kept are in memory, at most 1,000,000 of at most 100,000 characters. Mistakes "
        "name the row, as in `log.csv:18204`. A run folder holds the rows that were kept: in `resolved.yaml`, or in "
        "`queries.csv` where they are many.",
    ),
    ("Agent", "agents", ""),
    ("Chat", "agents: chat", ""),
    ("Message", "agents: messages", ""),
    (
        "Adapter",
        "agents: adapter",
        "Also of the reference and of judges, as a mapping or as the file alone; docs/how-to/adapters.md says more.",
    ),
    ("Reference", "reference", ""),
    ("Auction", "auction", ""),
    ("Mosaic", "auction: mosaic", ""),
    ("Segment", "auction: segment", ""),
    ("TextPool", "auction: text_pool", ""),
    ("Covering", "auction: covering", ""),
    (
        "Constraint",
        "auction: constraint",
        "The form of every text, as one of these keys; docs/how-to/form.md says what it does.",
    ),
    ("Sweep", "sweep", ""),
    ("Steps", "sweep: relative_weight", ""),
    ("TextJudge", "judges", ""),
    ("Runtime", "runtime", ""),
    ("Expectation", "expect", ""),
    ("At", "expect: at", ""),
    ("TextTest", "expect: text", ""),
    ("Audit", "audit", ""),
    ("TextAudit", "audit: texts", ""),
    ("Utilities", "audit: texts: value", ""),
    ("Judge", "audit: texts: value: judge", ""),
    ("Reports", "audit: texts: reports", ""),
    ("KeptBids", "audit: texts: at", ""),
    ("Market", "market", ""),
    ("MarketValue", "market: values", ""),
    ("DailyBudget", "market: budgets", ""),
)

EXAMPLES = {
    **dict.fromkeys(
        ("Market", "MarketValue", "DailyBudget"),
        """\
name: market
queries:
  - {query: hotels, value.Ann: 3, time: "2026-05-01", weight: "2"}
  - {query: flights, value.Ann: 1, time: "2026-05-02", weight: "1"}
models: {small: smollm2-135m-instruct}
agents:
  - {name: Ann, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
  - {name: Bob, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
auction: {payments: [pay_your_bid, second_price]}
sweep: {grid: {Ann: [0, 0.1, 0.3, 1, 3], Bob: [0, 0.1, 0.3, 1]}, seeds: 5}
market:
  values: {Ann: {mention: value.Ann}, Bob: {count: 1}}
  policies: {Ann: pacing, Bob: {multiple: 0.5}}
  budgets: {Ann: {per_day: 100}}
  rounds: 5000                             # of each of 10 replications
  replications: 10
  draw: weight                             # hotels twice as often as flights
  payments: second_price
  money: realised
  reserves: [0, 0.5]                       # needs a run with -S auction.reserve=0.5
  seed: 1
""",
    ),
    "Covering": """\
name: two-vocabularies
agents:
  - {name: A, distribution: {Alpha: 0.9, " and": 0.1}}
  - {name: B, distribution: {A: 0.5, lpha: 0.5}}
auction:
  alphabet: bytes                          # the tokens of A and B never meet, their bytes do
  max_bytes: 80
  constraint: {lark: 'start: "Alpha" (" and Alpha")*'}
  covering: {open: 0.0001, merge: 0.005}   # 0, 0: exact
""",
    "": """\
name: hawaii                               # results/hawaii-<hash>/
seed: 7                                    # another seed: other random numbers everywhere
queries: [vacations in Hawaii, a weekend in Paris]
models:
  small: smollm2-135m-instruct
agents:
  - {name: Alpha Airlines, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
  - {name: Beta Resort, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
auction: {aggregation: ["my_rules:Median", linear]}
sweep: {relative_weight: [0, 0.5, 1]}
runtime: {device: cpu}
blends: true                               # count "Alpha Resort"
trust: [my_rules]                          # my_rules.py beside this file, or an installed module
""",
    "Query": """\
name: log
queries:                                   # or a file: queries: log.csv
  - {query: hotels, place: Hawaii, bid.Ann: 2, bid.Bob: 1}
  - {query: flights, place: Paris, bid.Ann: 1}
models: {small: smollm2-135m-instruct}
agents:
  - {name: Ann, model: small, prompt: "{{ agent }} has {{ query }} in {{ place }}:"}
  - {name: Bob, model: small, prompt: "{{ agent }} has {{ query }} in {{ place }}:"}
auction:                                   # or a file: json_schema: slot.json
  constraint: {json_schema: {type: object, properties: {ad: {type: string, maxLength: 90}}, required: [ad]}}
""",
    "QueryFile": """\
name: log
queries: {file: log.csv, sample: 2, seed: 1, by: segment}    # 2 rows, of each segment in proportion to its rows
agents:
  - {name: Ann, distribution: {tea: 1}}
  - {name: Bob, distribution: {milk: 1}}
""",
    "Agent": """\
name: tables                               # agents without models
queries: ["which word comes next?"]
agents:
  - name: Mostly Large
    id: mostly                             # bid.mostly, payment.second_price.mostly, ...
    bid: 2
    budget: 5                              # needs auction.charge
    mentions: [Large, big]
    distribution: {Large: 0.8, Generative: 0.2}
  - name: Generative
    distributions:                         # one per prefix
      "": {Large: 0.1, Generative: 0.9}
      "Generative": {Large: 0.5, <end>: 0.5}
      "*": {<end>: 1}
  - name: Anybody                          # counts with its bid of 0.5, pays nothing
    bid: 0.5
    reference: true
    distribution: {Large: 0.5, Generative: 0.4, <end>: 0.1}
auction: {charge: second_price, payments: [second_price]}
""",
    "Chat": """\
name: chat
queries: [vacations in Hawaii]
agents:
  - name: Beta Resort
    model: hf:HuggingFaceTB/SmolLM2-135M-Instruct-GGUF:Q8_0
    temperature: 0.8
    top_k: 40                              # after the temperature, then top_p, then min_p
    top_p: 0.95
    min_p: 0.05
    chat:
      system: You write one-line ads for {{ agent }}.
      user: "{{ query }}"
auction: {constraint: {gbnf: 'root ::= [A-Z] [a-z ]+ "."'}}   # or a file: gbnf: slot.gbnf
""",
    "Message": """\
name: messages
queries: [vacations in Hawaii]
agents:
  - name: Beta Resort
    model: models/my-model.gguf            # relative to this file
    messages:
      - {role: system, content: "You write one-line ads for {{ agent }}."}
      - {role: user, content: vacations in Greece}
      - {role: assistant, content: "See Greece. Stay at the Beta Resort."}
      - {role: user, content: "{{ query }}"}
""",
    "Adapter": """\
name: adapters
models: {base: smollm2-135m-instruct}
agents:
  - {name: Alpha Airlines, model: base, adapter: alpha.gguf, prompt: "An ad:"}
  - {name: Beta Resort, model: base, adapter: {file: beta.gguf, scale: 0.8}, prompt: "An ad:"}
  - {name: Both, model: base, adapter: [alpha.gguf, {file: beta.gguf, scale: 0.5}], prompt: "An ad:"}
""",
    "Auction": """\
name: auction
agents:
  - {name: Ann, bid: 1, budget: 3, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, bid: 2, distribution: {yes: 0.1, no: 0.9}}
auction:
  aggregation: [linear, random_dictator]   # each writes its own texts
  payments: [second_price, myerson_tv]     # all computed on the same texts
  charge: second_price                     # what budgets pay
  reserve: 0.1                             # a bid below it counts as 0
  sampling: stable
  max_tokens: 16
  separator: " "                           # joins the tokens of tables; "" for Chinese, say
  stop: ["no no"]
  trace: top_k                             # for the token inspector of the report
sweep: {bids: [{Ann: 1}, {Ann: 4, Bob: 1}]}
""",
    "Constraint": """\
name: form
agents:
  - {name: Ann, distribution: {a: 0.45, b: 0.27, c: 0.18, <end>: 0.1}}
  - {name: Bob, distribution: {a: 0.18, b: 0.18, c: 0.54, <end>: 0.1}}
auction:
  separator: ""                            # tables of a form need it
  constraint: {regex: "ab|ac|b"}           # three texts in all
""",
    "Mosaic": """\
name: mosaic
queries: [vacations in Hawaii]
models: {small: smollm2-135m-instruct}
agents:
  - {name: Alpha Airlines, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
  - {name: Beta Resort, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
reference: {model: small, prompt: "A text about {{ query }}:"}   # for log_ratio
auction:
  mechanism: [token_auction, mosaic]       # the same agents, bids and seeds
  mosaic: {candidates: 20, generator: log_linear, tau: 2, score: log_ratio}
""",
    "Segment": """\
name: segment
agents:
  - {name: Ann, bid: 3, distribution: {yes: 0.6, no: 0.3, ".": 0.1}}
  - {name: Bob, bid: 2, distribution: {yes: 0.1, no: 0.8, ".": 0.1}}
auction:
  mechanism: [segment, lottery, highest]   # the last two have no settings
  segment: {unit: sentence, segments: 3, replacement: false, relevance: {Ann: 0.4, Bob: 0.9}}
expect:
  - {figure: revenue.lottery, at: {mechanism: lottery}, max: 3}
""",
    "TextPool": """\
name: text-pool
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, distribution: {yes: 0.1, no: 0.9}}
auction:
  mechanism: text_pool
  text_pool: {candidates: all}             # 2 words, 4 tokens: 16 texts
  max_tokens: 4
""",
    "Sweep": """\
name: grid
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, distribution: {yes: 0.1, no: 0.9}}
sweep:
  agent: Bob                               # whose relative weight the tables show
  grid: {Ann: [0.5, 1, 2], Bob: [1, 2]}    # six points; or a list: bids: [{Ann: 1, Bob: 2}, {Ann: 3}]
  seeds: [11, 12, 13]
""",
    "Steps": """\
name: weights
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, distribution: {yes: 0.1, no: 0.9}}
sweep:
  agent: Ann
  relative_weight: {from: 0, to: 1, step: 0.25}    # the same as [0, 0.25, 0.5, 0.75, 1]
  total_bid: 2                             # at 0.25 Ann bids 0.5 and Bob 1.5
  seeds: 20                                # 0, 1, ..., 19
""",
    "Runtime": """\
name: gpu
models: {small: smollm2-135m-instruct}
agents:
  - {name: Ann, model: small, prompt: "My favourite island is"}
  - {name: Bob, model: small, prompt: "My favourite mountain is"}
runtime:
  device: gpu
  gpu_layers: 12
  threads: 8
  context: 8192
  batch: 64
  kv_cache: f16
  weights: bf16
  rpc: ["10.0.0.7:50052", "10.0.0.8:50052"]
  split_mode: layer
  tensor_split: [3, 1]                     # the first server holds three quarters
  main_gpu: 0
  deterministic: true
""",
    "Expectation": """\
name: expect
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, distribution: {yes: 0.1, no: 0.9}}
auction: {payments: [second_price], max_tokens: 4}
sweep: {relative_weight: [0, 0.5, 1], seeds: 20}
expect:
  - {figure: tv.ann, at: {relative_weight: 1}, max: 0}       # alone, Ann says what she would say
  - {figure: trend.tv.ann, max: -0.9}                        # the more she bids, the nearer she comes
  - {figure: revenue.second_price, min: 0, max: 4}           # of every row
  - {text: {contains: "yes"}, share: 0.5}                    # half of all texts
""",
    "TextJudge": """\
name: judged
agents:
  - {name: Ann, distribution: {buy: 0.7, look: 0.3}}
  - {name: Bob, distribution: {buy: 0.2, look: 0.8}}
judges:
  quality: {model: gemma3-270m, prompt: "{{ text }}\\nIs this a good advertisement? Yes or No:"}
expect:
  - {figure: judge.quality, min: 0.2}
audit: {texts: {value: {Ann: {judge: {quality: 2}}}}}     # Yes is worth 2 to Ann
""",
    "At": """\
name: at
queries: [one, two]
matrix:                                    # four runs
  auction.max_tokens: [2, 4]
  agents.Ann.temperature: [0.5, {value: 1, name: warm}]
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, distribution: {yes: 0.1, no: 0.9}}
auction: {aggregation: [linear, log_linear]}
sweep: {bids: [{Ann: 1, Bob: 1}, {Ann: 2, Bob: 1}]}
expect:
  - {figure: tv.ann, at: {agents.Ann.temperature: warm}, max: 0.6}
  - {figure: tv.ann, at: {query: one, aggregation: linear, point: 1}, max: 0.4}
  - {figure: tv.ann, at: {relative_weight: 0.5}, max: 0.4}
  - {figure: tv.ann, at: {bids: {Ann: 2}}, max: 0.4}
""",
    "TextTest": """\
name: texts
agents:
  - {name: Ann, distribution: {yes: 0.7, no: 0.3}}
auction: {max_tokens: 4}
sweep: {seeds: 20}
expect:
  - {text: {contains: "yes", not_contains: maybe}, share: 0.8}
  - {text: {matches: "^(yes|no)( (yes|no))*$"}}
""",
    "Reference": """\
name: reference
queries: [vacations in Hawaii]
models: {small: smollm2-135m-instruct}
agents:
  - {name: Alpha Airlines, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
  - {name: Beta Resort, model: small, prompt: "An ad for {{ query }} by {{ agent }}:"}
reference: {model: small, prompt: "A text about {{ query }}:"}
""",
    "Audit": """\
name: truth                                # what an agent gains by a bid that is not its value
agents:
  - {name: Ann, bid: 2, distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, bid: 1, distribution: {yes: 0.1, no: 0.9}}
auction: {payments: [second_price], max_tokens: 4}
audit: {texts: {}}                         # a mention is worth 2 to Ann and 1 to Bob
""",
    "TextAudit": """\
name: deviations
agents:
  - {name: Ann, mentions: ["yes"], distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, mentions: ["no"], distribution: {yes: 0.1, no: 0.9}}
auction: {payments: [second_price, vcg], max_tokens: 4}
audit:
  texts:
    value: {Ann: {mention: 2}, Bob: {mention: 2, tv: 1}}   # three audits: Bob's two are apart
    bids: [0, 1, 2, 3]
    reports: {temperature: [0.5]}
    seeds: 400
    at: {bids: {Bob: 2}}                   # while Ann deviates; while Bob does, Ann bids 1
""",
    "Utilities": """\
name: utilities
agents:
  - {name: Ann, mentions: ["yes"], distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, mentions: ["no"], distribution: {yes: 0.1, no: 0.9}}
reference: {distribution: {yes: 0.5, no: 0.5}}             # for log_ratio
auction: {payments: [second_price], max_tokens: 4}
audit: {texts: {value: {Ann: {mention: 2, count: 1, log_ratio: 1}, Bob: {reverse_kl: 1, tv: 1}}}}
""",
    "Judge": """\
name: judge
queries: [vacations in Hawaii]
agents:
  - {name: Alpha Airlines, model: smollm2-135m-instruct, prompt: "An ad for {{ query }} by {{ agent }}:"}
  - {name: Beta Resort, model: smollm2-135m-instruct, prompt: "An ad for {{ query }} by {{ agent }}:"}
audit:
  texts:
    value:
      Alpha Airlines:
        judge:
          model: models/judge.gguf         # of another family, too
          prompt: "Ad: {{ text }}\\nWould who asks for {{ query }} now fly with {{ agent }}? Yes or No:"
          value: 2
""",
    "Reports": """\
name: reports
agents:
  - {name: Ann, mentions: ["yes"], model: smollm2-135m-instruct, prompt: "Say yes:"}
  - {name: Bob, mentions: ["no"], model: smollm2-135m-instruct, prompt: "Say no:"}
audit:
  texts:
    reports:
      temperature: [0.5, 2]                # of Ann and of Bob
      prompts: {Ann: ["Say yes, yes and yes again:"]}      # agents with a distribution have distributions
""",
    "KeptBids": """\
name: others
agents:
  - {name: Ann, mentions: ["yes"], distribution: {yes: 0.7, no: 0.3}}
  - {name: Bob, mentions: ["no"], distribution: {yes: 0.1, no: 0.9}}
audit:
  texts:
    reports: {distributions: {Ann: [{"*": {"yes": 1}}]}}
    at: {relative_weight: 0.25}            # Ann bids 0.5 and Bob 1.5, of 2
""",
}

PATTERNS = {
    r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$": "of A-Z a-z 0-9 . _ - without a leading dot",
    r"^[A-Za-z0-9_]+$": "of A-Z a-z 0-9 _",
    r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$": "such as `package.module`",
    r"^(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$": "such as `host:port`",
}
RULE_PATTERNS = {
    POWER_MEAN: "`power_mean_R` with a number R",
    r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$": "your own `package.module:Name`",
}


def may_be(schema: dict[str, Any], many: bool = False) -> str:
    """What a value of this schema may be, in words; with `many` what the values of a list or mapping may be."""
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _one_of([one for one in schema[key] if one != {"type": "null"}], many)
    if "$ref" in schema:
        return {"Steps": "a mapping (see below)"}.get(
            schema["$ref"].rpartition("/")[2], "sections" if many else "a section"
        )
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    if "const" in schema:
        return code(schema["const"])
    return _of_type(schema, many)


def _one_of(choices: list[dict[str, Any]], many: bool) -> str:
    one, *more = choices
    if more == [{**more[0], "items": one}] if more else False:
        return f"{may_be(one)}; or a list of them"
    return " or ".join(may_be(choice, many) for choice in choices)


def _of_type(schema: dict[str, Any], many: bool) -> str:
    match schema.get("type", "any"):
        case "any":
            return "values" if many else "a value"
        case "boolean":
            return "`true` or `false`"
        case "integer":
            return ("whole numbers" if many else "a whole number") + _bounds(schema)
        case "number":
            return ("numbers" if many else "a number") + _bounds(schema)
        case "array":
            return ("lists of " if many else "a list of ") + may_be(schema["items"], many=True)
        case "object":
            below = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
            if below is True:
                return "mappings" if many else "a mapping"
            return ("mappings to " if many else "a mapping to ") + may_be(below, many=True)
    pattern = schema.get("pattern")
    if pattern in RULE_PATTERNS:
        return RULE_PATTERNS[pattern]
    words = f" {PATTERNS[pattern]}" if pattern else ""  # a pattern without words is a KeyError: add them
    return ("texts" if many else "text") + words


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    if "exclusiveMinimum" in schema:
        return f" above {schema['exclusiveMinimum']}"
    return "" if low is None else f" of at least {low}"


def _default(key: str, field: dict[str, Any], required: Sequence[str]) -> str:
    if key in required:
        return "required"
    default = field.get("default")
    return "" if default is None else code(json.dumps(default, ensure_ascii=False))


def experiment_page() -> str:
    """docs/reference/experiment.md."""
    schema = json_schema()
    parts = []
    for name, heading, about in SECTIONS:
        section = schema["$defs"][name] if name else schema
        required = section.get("required", ())
        rows = [
            (code(key), may_be(field), _default(key, field, required), field["description"])
            for key, field in section["properties"].items()
        ]
        parts += [
            f"## {heading}",
            about or section["description"],
            table(("key", "what it may be", "default", "what it means"), rows),
            f"```yaml\n{EXAMPLES[name]}```",
        ]
    return page("The experiment file", ABOUT_EXPERIMENTS, *parts)


# The commands

ABOUT_COMMANDS = """\
Every command, its arguments and its options, as `--help` shows them. stdout carries the result and nothing else;
progress and notes go to stderr."""


KINDS = {int: "N", float: "NUMBER"}


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """The command and those below it, with the names by which they are called."""
    yield name, command
    for below in getattr(command, "commands", {}).values():
        if not below.hidden:
            yield from commands(below, f"{name} {below.name}")


def cli_page() -> str:
    """docs/reference/cli.md."""
    from typer.main import get_command

    from tokenauction_cli.cli.app import app

    parts = [part for name, command in commands(get_command(app), "tokauction") for part in _command(name, command)]
    return page("The commands", ABOUT_COMMANDS, *parts)


def _command(name: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    below = getattr(command, "commands", {})
    usage = [name, *(["[OPTIONS]"] if options else []), *map(_metavar, arguments), *(["COMMAND ..."] if below else [])]
    parts = [f"## {name}", f"```console\n{' '.join(usage)}\n```", " ".join((command.help or "").split())]
    if below:
        shown = [one for one in below.values() if not one.hidden]
        rows = [(code(f"{name} {one.name}"), one.get_short_help_str(200), one.rich_help_panel) for one in shown]
        is_grouped = any(isinstance(panel, str) for *_, panel in rows)
        parts.append(
            table(("command", "what it does", "group")[: 2 + is_grouped], [row[: 2 + is_grouped] for row in rows])
        )
    if arguments:
        rows = [(code(_metavar(one)), _default_of(one), one.help or "") for one in arguments]
        parts.append(table(("argument", "default", "what it means"), rows))
    if options:
        rows = [(_names(one), _values(one), _default_of(one), one.help or "") for one in options]
        parts.append(table(("option", "value", "default", "what it means"), rows))
    if keys := KEYS.get(name.removeprefix("tokauction ")):
        parts.append(table(("key of `--format json`", "what it is"), [(code(key), what) for key, what in keys.items()]))
    examples = "\n".join(EXAMPLES_OF_COMMANDS[name.removeprefix("tokauction").strip()])
    return [*parts, *([" ".join(command.epilog.split())] if command.epilog else []), f"```console\n{examples}\n```"]


def _metavar(parameter: Any) -> str:
    words: str = parameter.metavar or parameter.name.upper()
    return words + ("..." if parameter.nargs == -1 and "..." not in words else "")


def _names(option: Any) -> str:
    return ", ".join(map(code, (*option.opts, *option.secondary_opts)))


def _values(option: Any) -> str:
    if option.is_flag:
        return ""
    kind = option.type_descriptor.annotation
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(code(choice.value) for choice in kind)
    bounds = [f"at {end} {bound}" for end, bound in (("least", option.min), ("most", option.max)) if bound is not None]
    return ", ".join([code(option.metavar or kind.__name__.upper()), *bounds, *["several times"] * option.multiple])


def _default_of(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):  # in words, where the code works it out
        return code(parameter.show_default)
    default = parameter.default
    if default is None or default is False or callable(default) or default == () or not parameter.show_default:
        return ""
    return code(getattr(default, "value", default))


# The columns

ABOUT_COLUMNS = """\
Every column of every file that a run leaves. The report shows the same words under every chart and
table. An infinite number is `inf`, what does not apply is empty (in records `null`, or not there).

Read them with `tokauction.read_csv(path)`: a text may be `NA` or `007`, which pandas alone takes for a missing value
and for a number. Plain pandas needs
`pd.read_csv(path, keep_default_na=False, na_values=[""], dtype={"cell": str, "query": str, "text": str})`; an empty
text is then missing."""


def columns_page() -> str:
    """docs/reference/columns.md."""
    notation = " ".join((columns.__doc__ or "").split("\n\n")[1].split()).split("In a name, ", 1)[1]
    parts = [fill(f"In a name, {notation} {NOTATION}", 120)]
    for file in columns.FILES:
        rows = [
            (code(one.name), one.meaning, one.unit, one.per, code(one.formula) if one.formula else "")
            for one in file.columns
        ]
        heads = ("column", "what it is", "unit", "per", "formula")
        parts += [f"## {file.name}", file.about, table(heads, rows)]
    return page("The columns", ABOUT_COLUMNS, *parts)


# The audit

ABOUT_AUDITS = """\
`tokauction audit` asks three questions of every aggregation rule and payment rule of a run:

- Does an agent ever lose by raising its bid?
- Does an agent ever gain by bidding something else than its value?
- Does an agent ever gain by reporting a false distribution?

The audit takes the agents' distributions after prefixes (texts so far) and works out what the rules do there. It writes
no text.

- Agents that are tables are audited at every distinct set of distributions that a text can meet, whatever its length.
  Each set counts once, however many prefixes have it, and shares are exact.
- Tables that name more than 10,000 prefixes, and language models, are audited at a sample of the prefixes that the run
  met (`--prefixes`). Shares then have 95 % intervals.

A prefix after which some agent has no distribution is left out, and the audit says how many there were.

The audit prints a verdict of a few lines, and with `--details` a table and one paragraph for each aggregation rule. It
leaves two files in the run folder: `audit.csv` has every finding (`docs/reference/columns.md` explains its columns),
and `audit.txt` has the paragraphs.

A payment rule is audited together with the aggregation rules for which it is defined. Reference agents take part, but
they are not audited. Utilities and payments are means over the random draw, per token."""

ABOUT_TERMS = """\
In a table `never` means that a check failed at none of the prefixes. Otherwise the cell has two numbers. The first is
the share of the prefixes at which the check failed, for the agent for whom it failed most often. The second, in
brackets, is the largest failure of any agent."""


def audit_page() -> str:
    """docs/explanation/audit.md."""
    return page("The audit", ABOUT_AUDITS, "## Words", ABOUT_TERMS, _words(AUDIT_TERMS))


def _words(meanings: dict[str, str]) -> str:
    return table(("word", "what it means"), list(meanings.items()))


# The glossary


ABOUT_WORDS = "Every report explains these too. This table is written by `make docs`; the others are written by hand."


def glossary_page() -> str:
    """docs/reference/glossary.md: the first table stands in the code, the others in the file."""
    text = (Path(__file__).parent / "reference" / "glossary.md").read_text("utf-8")
    head, _, rest = text.partition("## First words\n")
    return f"{head}## First words\n\n{ABOUT_WORDS}\n\n{_words(WORDS)}\n\n{rest[rest.index('## ') :]}"


PAGES = {
    "reference/experiment.md": experiment_page,
    "reference/cli.md": cli_page,
    "reference/columns.md": columns_page,
    "explanation/audit.md": audit_page,
    "reference/glossary.md": glossary_page,
}


def main(folder: Path) -> None:
    for name, make in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
