"""The paper, one idea per file: pure functions on arrays that know no model, file or terminal.

| idea | where |
|---|---|
| distributions at a prefix, bids, who is charged | `distributions`, `cumulative`, `terms`, `outcome` |
| aggregation: bids make one q of the p_i | `aggregation/` |
| sampling: a token from q | `sampling/` |
| payments | `payments/` |
| measures | `divergences`, `welfare`, `measures` |
| mechanisms that auction whole texts or segments instead | `alternatives/` |
| what an agent prefers, and audits of all of it | `audit/` |
| passes over all tokens in C, prefetched | `native/` |

`registry` finds rules and mechanisms by name. Formulas marked (d) were derived for this project, beside the code.
Source: Duetting, Mirrokni, Paes Leme, Xu, Zuo, "Mechanism Design for Large Language Models", arXiv 2310.10826.
"""
