"""What stands under the keys of `--format json`, for docs/reference/cli.md; a test holds the commands to it."""

from __future__ import annotations

CHECK = {
    "name": "the experiment's name",
    "agents": "a list: name, id, model (null for a table), bid, bids_of_queries (least and most where queries "
    "have bids of their own, else null), temperature, truncation (such as top_k 40, empty for none), prompt_tokens "
    "(fewest and most)",
    "queries": "how many",
    "aggregation_rules": "how many",
    "other_mechanisms": "how many beside the token auction",
    "sweep_points": "how many",
    "seeds": "how many",
    "cells": "texts to be written, or to be chosen among candidates",
    "candidates": "texts to be written that cells choose among",
    "waves": "parts in which they are written",
    "texts_in_a_batch": "texts that advance together",
    "tokens_at_most": "texts to be written times max_tokens or max_bytes",
    "evaluations_at_most": "of a model after a prefix; cells that share a prefix share it",
    "seconds_at_most": "that these and the prompts take; null where no probe has timed the models",
    "audit_texts": "that an audit of whole texts writes before it looks for best replies; 0 where it enumerates them, "
    "null where the file asks for no audit",
    "market": "rounds, replications and policies (by agent) of `tokauction market`; null where the file has no market",
    "form": "of auction.constraint, null without: kind, text (a short one), draws (that it takes, its end included; "
    "null where none was found), fits (whether it ends within the limit)",
    "judges": "a list: name, model; each is asked about every distinct text, after the last one",
    "payments_left_out": "a list: payment, aggregation (rules for which it is not computed), premise (what it needs)",
    "hardware": "where llama.cpp computes; null for tables",
    "models": "a list: reference, path, size (bytes), weights (file, bf16 or f16), weights_why, weights_size (bytes "
    "that are loaded), sha256, architecture, context_length, quantised (whether a matrix is), adapters (a list: "
    "reference, path, scale, sha256), kv_cells, kv_bytes, rows_per_second (by rows in a batch), crashes, batches "
    "(whether they keep bits)",
    "prompts": "with --prompts, a list: query, agent, prompt (control tokens by their names)",
}
VERIFY = {
    "run": "the run folder; the answer is a list of these",
    "what": "a file, a model, a text, or what else was looked at",
    "is_good": "true, false, or null where it is told only",
    "found": "in words",
}
DOCTOR = {
    "machine": "a mapping: the names of the table and what it says",
    "tests": "a list: name, is_good (null where it was left out), found",
}
KEYS = {"check": CHECK, "verify": VERIFY, "doctor": DOCTOR}
