"""The paper, one idea per file: pure functions on arrays that know no model, file or terminal.

| idea | files |
|---|---|
| distributions at a prefix, bids, who is charged | `distributions`, `terms`, `outcome` |
| aggregation: bids make one q of the p_i | `aggregation`, `dictatorship`, `power_mean` |
| sampling: a token from q | `randomness`, `sampling`, `stable_sampling`, `goodness_of_fit` |
| payments | `payments`, `second_price`, `myerson_tv` (with `quadrature`), `clarke` |
| passes over all tokens in C, prefetched | `compiled` (`passes.c`, `sources`), `prefetch` |
| measures | `divergences`, `welfare`, `posterior`, `measures` |
| what an agent prefers, and audits of all of it | `preferences`, `audit`, `audit_*`, `universal_stability` |

`registry` finds the rules by name. Formulas marked (d) were derived for this project, beside the code.
Source: Duetting, Mirrokni, Paes Leme, Xu, Zuo, "Mechanism Design for Large Language Models", arXiv 2310.10826.
"""
