"""Mechanisms beside the token auction, which auction whole texts or segments instead of tokens.

| mechanism | who writes | what bids decide |
|---|---|---|
| `mosaic`, `text_pool` | one generator, M candidates, free of bids | which candidate is chosen |
| `lottery`, `highest` | every agent, a whole text of its own | whose text is chosen |
| `segment` | the winner of each segment | who writes the next segment |

They know scores, bids and random numbers; they do not know how a text is written or scored. What a docstring marks (d)
was derived for this project and is not the cited paper's.
"""
