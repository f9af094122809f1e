"""`tokauction play EXP`: watch one auction, token by token, and move the bids while it runs."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..system.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from ..engine.live import Play
    from ..experiment.experiment import Experiment

SPACE, LEFT, RIGHT, QUIT = " ", "left", "right", "q"
_NAMES = {b" ": SPACE, b"q": QUIT, b"Q": QUIT, b"\x1b[D": LEFT, b"\x1bOD": LEFT, b"\x1b[C": RIGHT, b"\x1bOC": RIGHT}
STEP = 0.1


def play(
    experiment: Annotated[Path, typer.Argument(metavar="EXP", help="The experiment, a YAML file.", show_default=False)],
    overrides: Annotated[list[str] | None, typer.Option("-S", metavar="KEY.PATH=VALUE", help="Override a key.")] = None,
    weight: Annotated[float, typer.Option("--weight", min=0, max=1, help="The relative weight to begin with.")] = 0.5,
    rule: Annotated[str | None, typer.Option("--rule", help="The aggregation rule; default: the file's first.")] = None,
    query: Annotated[int, typer.Option("--query", min=1, help="Which query of the file, from 1.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed.")] = 0,
    delay: Annotated[float, typer.Option("--delay", min=0, help="Seconds between two tokens.")] = 0.2,
) -> None:
    """Play one auction live: space pauses, left and right move the weight, q quits."""
    from ..engine.live import playing
    from ..experiment.experiment import load_experiment

    loaded = load_experiment(experiment, [*(overrides or []), "auction.trace=chosen"])
    if query > len(loaded.queries):
        raise UsageError(f"--query {query}: this file has {len(loaded.queries)}")
    rules = loaded.auction.aggregation
    if rule is not None and rule not in rules:
        raise UsageError(f"--rule {rule}: this file has {', '.join(rules)}")
    with playing(loaded, loaded.queries[query - 1], rule or rules[0], weight, seed) as live:
        if sys.stdout.isatty():
            _on_a_terminal(live, delay)
        else:
            _into_a_pipe(live)


def _into_a_pipe(live: Play) -> None:
    from ..system.environment import visible

    while live.end_reason is None:
        live.step()
    print(visible("".join(token.piece for token in live.tokens)).strip())


def _on_a_terminal(live: Play, delay: float) -> None:
    from rich.live import Live

    is_paused = False
    with keyboard() as keys, Live(_shown(live, False), auto_refresh=False) as screen:
        while True:
            is_over = live.end_reason is not None
            if not (is_paused or is_over):
                live.step()
                screen.update(_shown(live, False), refresh=True)
            key = keys.pressed(3600 if is_paused else delay)
            if key in (LEFT, RIGHT):
                live.move(STEP if key == RIGHT else -STEP)
            elif key == SPACE:
                is_paused = not is_paused
            if key == QUIT or is_over:
                return
            if key:
                screen.update(_shown(live, is_paused), refresh=True)


def _shown(live: Play, is_paused: bool) -> RenderableType:
    """The prefix above the agents' bids, payments and log-probabilities."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    experiment, figures = live.experiment, live.figures()
    agents = Table(box=None, pad_edge=False)
    for head in ("", "weight", "bid", f"paid ({experiment.auction.payments[0]})", "log-probability"):
        agents.add_column(head, justify="right" if head else "left")
    total = sum(live.bids) or 1.0
    for i, agent in enumerate(experiment.agents):
        bar = "█" * round(20 * live.bids[i] / total)
        numbers = (f"{live.bids[i]:.3g}", f"{figures['paid'][i]:.3g}", f"{figures['log_prob'][i]:.1f}")
        agents.add_row(Text(agent.name, style=_colour(i)), Text(f"{bar:<20}", style=_colour(i)), *numbers)
    hint = "space goes on" if is_paused else "space pauses"
    below = Text(f"{hint} · ← → move the weight, now {live.weight:.2f} · q quits", style="dim")
    return Group(Panel(_text(live, experiment), padding=(1, 2)), agents, below)


def _text(live: Play, experiment: Experiment) -> Text:
    """Every token in the colour of whose model explains it, plain where none stands out."""
    from rich.text import Text

    from ..system.environment import visible

    text = Text()
    even = 1 / len(experiment.agents)
    for token in live.tokens:
        leader = max(range(len(token.posterior)), key=token.posterior.__getitem__)
        stands_out = token.posterior[leader] > (1 + even) / 2
        text.append(visible(token.piece), style=_colour(leader) if stands_out else "")
    text.rstrip()
    return text


def _colour(agent: int) -> str:
    from .terminal import COLOURS

    return COLOURS[agent % len(COLOURS)]


class Keyboard:
    """Keys that were pressed; none where stdin is no terminal."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def pressed(self, seconds: float) -> str | None:
        """The next key within this time, or None."""
        if self._descriptor is None:
            select.select([], [], [], seconds)
            return None
        ready, _, _ = select.select([self._descriptor], [], [], seconds)
        return _NAMES.get(os.read(self._descriptor, 8)) if ready else None


@contextmanager
def keyboard() -> Iterator[Keyboard]:
    """Read keys as they are pressed; the terminal is as before afterwards."""
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    import termios
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
