"""The token auction beside mechanisms that sell texts or segments: equal values, truthful bids, cost."""
