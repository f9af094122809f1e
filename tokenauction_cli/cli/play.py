"""`tokauction play EXP`: watch one auction, token by token; keys move the bids and begin other texts."""

from __future__ import annotations

import sys
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from ..system.errors import CellError, UsageError
from .keyboard import RIGHT, keyboard
from .options import ExperimentFile, Overrides, Trust

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from ..engine.live import Play, Stage
    from ..experiment.experiment import Experiment

STEP = 0.1
_A_LONG_TIME = 3600.0  # seconds, until the next look at the keys
_KEYS = "space pauses, ← → weight, a rule, p payment, r restart, n next seed, q quits"
T = TypeVar("T")


def play(
    experiment: ExperimentFile,
    overrides: Overrides = None,
    trust: Trust = None,
    weight: Annotated[float, typer.Option("--weight", min=0, max=1, help="The relative weight to begin with.")] = 0.5,
    rule: Annotated[str | None, typer.Option("--rule", help="The aggregation rule; default: the file's first.")] = None,
    payment: Annotated[
        str | None, typer.Option("--payment", help="The payment rule that is shown; default: the file's first.")
    ] = None,
    query: Annotated[int, typer.Option("--query", min=1, help="Which query of the file, from 1.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed.")] = 0,
    delay: Annotated[float, typer.Option("--delay", min=0, help="Seconds between two tokens.")] = 0.2,
) -> None:
    """Play one auction live: keys move the weight, choose rules and seeds, and begin again; q quits."""
    from ..engine.live import staged

    loaded = _traced(experiment, overrides or [], trust or [])
    if not loaded.auction.aggregation:
        raise UsageError(
            f"{experiment}: only the token auction can be played, and it is not one of the mechanisms; "
            "try --set auction.mechanism=token_auction"
        )
    if query > len(loaded.queries):
        raise UsageError(f"--query {query}: this file has {len(loaded.queries)}")
    rules = _beginning_with("--rule", rule, loaded.auction.aggregation)
    payments = _beginning_with("--payment", payment, loaded.auction.payments)
    with staged(loaded, loaded.queries[query - 1]) as stage:
        game = Player(stage, rules, payments, weight, seed)
        if sys.stdout.isatty():
            _on_a_terminal(game, delay)
        else:
            _into_a_pipe(game.live)


def _traced(path: Path, overrides: list[str], trust: list[str]) -> Experiment:
    from ..experiment.experiment import load_experiment

    return load_experiment(path, [*overrides, "auction.trace=chosen"], trust)


def _beginning_with(option: str, wanted: str | None, names: Sequence[str]) -> list[str]:
    """The names in their order, from the one that is wanted."""
    if wanted is None:
        return list(names)
    if wanted not in names:
        raise UsageError(f"{option} {wanted}: this file has {', '.join(names) or 'none'}")
    return list(_turned(names, names.index(wanted)))


def _turned(names: Sequence[T], by: int) -> list[T]:
    return list(islice(cycle(names), by, by + len(names)))


class Player:
    """The text that is played, and what the keys have chosen: of one that has ended, for the next."""

    def __init__(self, stage: Stage, rules: list[str], payments: list[str], weight: float, seed: int) -> None:
        self._stage = stage
        self.rules, self.payments = rules, payments
        self.seed = seed
        self.is_paused = False
        self._begin(weight)

    def _begin(self, weight: float) -> None:
        self.weight = weight
        self.live = self._stage.play(self.rules[0], weight, self.seed)
        self.failure = ""

    @property
    def is_over(self) -> bool:
        return bool(self.failure) or self.live.end_reason is not None

    def step(self) -> None:
        """One token more; where there can be none, the text ends with the reason."""
        try:
            self.live.step()
        except CellError as error:
            self.failure = str(error)

    def press(self, key: str) -> None:
        """Whatever a key means; those that mean nothing do nothing."""
        match key:
            case "left" | "right":
                self._move(STEP if key == RIGHT else -STEP)
            case " ":
                self.is_paused = not self.is_paused
            case "p":
                self.payments = _turned(self.payments, 1)
            case "a":
                self.rules = _turned(self.rules, 1)
                self._begin(self.weight)
            case "n":
                self.seed += 1
                self._begin(self.weight)
            case "r":
                self._begin(self.weight)

    def _move(self, by: float) -> None:
        """The weight of the tokens to come: of this text, or once it has ended of the next."""
        from ..engine.live import moved

        if not self.is_over:
            self.live.move(by)
        self.weight = moved(self.weight, by)


def _into_a_pipe(live: Play) -> None:
    from ..system.environment import visible

    while live.end_reason is None:
        live.step()
    print(visible("".join(token.piece for token in live.tokens)).strip())


def _on_a_terminal(game: Player, delay: float) -> None:
    """Until q; where no key can come, until the text ends."""
    from rich.live import Live

    with keyboard() as keys, Live(_shown(game), auto_refresh=False) as screen:
        try:
            while keys.can_come or not game.is_over:
                waits = game.is_paused or game.is_over
                if not waits:
                    game.step()
                    screen.update(_shown(game), refresh=True)
                key = keys.pressed(_A_LONG_TIME if waits else delay)
                if key == "q":
                    return
                if key is not None:
                    game.press(key)
                    screen.update(_shown(game), refresh=True)
        except KeyboardInterrupt:
            return


def _shown(game: Player) -> RenderableType:
    """The prefix above what was chosen, the agents' bids, payments and log-probabilities, and the keys."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    from ..system.environment import visible

    live = game.live
    chosen = (game.rules[0], f"seed {game.seed}", f"weight {live.weight:.2f}", _state(game), *_next(game))
    below = Text(visible(" · ".join(chosen)))
    return Group(Panel(_text(live), padding=(1, 2)), below, _agents(game), Text(_KEYS, style="dim"))


def _state(game: Player) -> str:
    if game.failure:
        return f"failed: {game.failure}"
    if game.live.end_reason is not None:
        return f"ended ({game.live.end_reason})"
    return "paused" if game.is_paused else "running"


def _next(game: Player) -> list[str]:
    """What the keys have chosen for the text after one that has ended."""
    return [f"next: weight {game.weight:.2f}, r begins"] if game.weight != game.live.weight else []


def _agents(game: Player) -> Table:
    from rich.table import Table
    from rich.text import Text

    live, payment = game.live, game.payments[0] if game.payments else ""
    paid = live.paid(payment) if payment else None
    table = Table(box=None, pad_edge=False)
    for head in ("", "weight", "bid", f"paid by {payment}" if payment else "paid", "log-probability"):
        table.add_column(Text(head), justify="right" if head else "left")
    total = sum(live.bids) or 1.0
    for i, agent in enumerate(live.experiment.agents):
        bar = f"{'█' * round(20 * live.bids[i] / total):<20}"
        amount = f"{paid[i]:.3g}" if paid else "not defined"
        names = Text(agent.name, style=_colour(i)), Text(bar, style=_colour(i))
        table.add_row(*names, f"{live.bids[i]:.3g}", amount, f"{live.log_probs[i]:.1f}")
    return table


def _text(live: Play) -> Text:
    """Every token in the colour of whose model explains it, plain where none stands out."""
    from rich.text import Text

    from ..system.environment import visible

    text = Text()
    even = 1 / len(live.experiment.agents)
    for token in live.tokens:
        leader = max(range(len(token.posterior)), key=token.posterior.__getitem__)
        stands_out = token.posterior[leader] > (1 + even) / 2
        text.append(visible(token.piece), style=_colour(leader) if stands_out else "")
    text.rstrip()
    return text


def _colour(agent: int) -> str:
    from .terminal import COLOURS

    return COLOURS[agent % len(COLOURS)]
