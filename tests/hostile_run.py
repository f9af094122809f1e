"""An experiment whose agents say, and are named, what a careless page would run."""

from __future__ import annotations

HOSTILE = "</script><img src=x onerror=alert(1)>\"'`${1}\u202egnp.\u0007🏝️海\u2028"


def quoted(text: str) -> str:
    """Any text as a YAML scalar."""
    return '"' + "".join(f"\\U{ord(sign):08X}" for sign in text) + '"'


SWEEP = f"""
name: hostile
queries: [q, {quoted("r " + HOSTILE)}]
agents:
  - name: 'Alpha "A" <b>'
    id: alpha
    distribution: {{Alpha: 0.6, {quoted(HOSTILE)}: 0.3, <end>: 0.1}}
    mentions: [Alpha]
  - name: Beta Resort
    id: beta
    distribution: {{"Beta Resort": 0.8, x: 0.1, <end>: 0.1}}
auction:
  aggregation: [linear, random_dictator]
  payments: [pay_your_bid, second_price]
  max_tokens: 3
  trace: top_k
  sampling: stable
sweep: {{agent: alpha, relative_weight: [0, 0.5, 1], seeds: 4}}
"""
