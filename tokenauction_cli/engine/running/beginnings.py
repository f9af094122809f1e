"""Do the agents of an auction over bytes begin alike? "Enjoy" and " Enjoy" never meet at their first byte.

Over tokens a space belongs to the word behind it, and llama.cpp makes it a matter of how a prompt ends. Over bytes an
agent that begins with a space and one that does not contest the first byte, and the loser writes on after a text that
it would not have begun.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ...experiment.experiment import Experiment
from ...lm.base import LanguageModel, Request
from ...lm.bytes.lexicon import END
from ...system.errors import CellError
from ..loop.token_loop import PromptSet

SPACE = 0x20


def unlike_beginnings(
    experiment: Experiment, prompt_sets: Mapping[str, PromptSet], model: LanguageModel
) -> Iterator[str]:
    """A warning where, in answer to the first query, some agents would begin with a space and others with a letter."""
    if experiment.auction.alphabet == "tokens":
        return
    prompt_set = prompt_sets[experiment.queries[0]]
    (answer,) = model.evaluate([Request(0, prompt_set.prompts, ())])
    if isinstance(answer, CellError):
        return  # the cells will say so
    first = [int(np.argmax(answer[k])) for k in prompt_set.prompt_of_agent]
    named = list(zip((agent.name for agent in experiment.agents), first, strict=True))
    spaced = [name for name, byte in named if byte == SPACE]
    others = [name for name, byte in named if byte not in (SPACE, END)]
    if spaced and others:
        yield (
            f"{' and '.join(spaced)} would begin with a space, {' and '.join(others)} without one, so they part at "
            "the first byte: end the prompts alike, with a space or without"
        )
