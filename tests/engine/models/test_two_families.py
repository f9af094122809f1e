"""Two families of models in one auction: SmolLM2 and Gemma over bytes. `make test-two-models` installs the second.

Batches move Gemma's bits, so texts are evaluated row by row. inverse_cdf draws alike from one agent and from two.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenauction_cli.analysis.run import Run
from tokenauction_cli.api import run_experiment
from tokenauction_cli.engine.run import SilentProgress
from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.lm.bytes.covering import MOST_OFF
from tokenauction_cli.lm.llama.native_output import quiet
from tokenauction_cli.model_files.models import locate, parse_reference
from tokenauction_cli.system.errors import ModelError

SMOL, GEMMA = "smollm2-135m-instruct", "gemma3-270m"
EXPERIMENT = """
name: families
models: {{alpha: {alpha}, beta: {beta}}}
agents:
  - name: Alpha Airlines
    id: alpha
    model: alpha
    temperature: 0.6
    prompt: "Ads.\\n\\nGreece: Fly to Greece with Alpha Airlines.\\nParis: Fly to Paris with Alpha Airlines.\\nHawaii:"
  - name: Beta Resort
    id: beta
    model: beta
    temperature: 0.6
    prompt: "Ads.\\n\\nGreece: Stay at the Beta Resort in Greece.\\nParis: Stay at the Beta Resort in Paris.\\nHawaii:"
auction: {{alphabet: bytes, aggregation: [linear, log_linear], sampling: inverse_cdf, max_bytes: 32}}
sweep: {{agent: alpha, relative_weight: [0, 0.5, 1], seeds: 2}}
runtime: {{deterministic: true}}
"""
ALONE = """
name: alone
agents: [{agent}]
auction: {{alphabet: bytes, sampling: inverse_cdf, max_bytes: 32}}
sweep: {{seeds: 2}}
runtime: {{deterministic: true}}
"""


@pytest.fixture(scope="module")
def _models() -> None:
    for name in (SMOL, GEMMA):
        try:
            locate(parse_reference(name, Path()), offline=True)
        except ModelError as error:
            pytest.skip(str(error))


def written(folder: Path, text: str) -> Run:
    folder.mkdir(exist_ok=True)
    (folder / "e.yaml").write_text(text)
    with quiet():
        return run_experiment(load_experiment(folder / "e.yaml"), folder / "results", SilentProgress())


def texts(run: Run, weight: float | None = None) -> list[str]:
    """Of linear, by seed."""
    cells = run.cells[run.cells["aggregation"] == "linear"]
    chosen = cells if weight is None else cells[cells["relative_weight"] == weight]
    return list(chosen.sort_values("seed")["text"])


def lone_agent(alpha: str, beta: str, which: int) -> str:
    """The experiment of one agent alone, whose model keeps its prompt and temperature."""
    import yaml

    both = yaml.safe_load(EXPERIMENT.format(alpha=alpha, beta=beta))
    agent = both["agents"][which] | {"model": both["models"][both["agents"][which]["model"]]}
    return ALONE.format(agent=json.dumps(agent))


@pytest.mark.two_models
@pytest.mark.usefixtures("_models")
@pytest.mark.parametrize(("alpha", "beta"), [(SMOL, GEMMA), (GEMMA, SMOL)])
def test_two_families_write_one_text(tmp_path: Path, alpha: str, beta: str) -> None:
    run = written(tmp_path / "both", EXPERIMENT.format(alpha=alpha, beta=beta))
    assert run.n_failed == 0
    assert run.what_is_unfollowed == ""
    assert (run.cells[["unfollowed.alpha", "unfollowed.beta"]].mean() < MOST_OFF).all()
    for which, weight in ((0, 1.0), (1, 0.0)):
        alone = written(tmp_path / f"alone {which}", lone_agent(alpha, beta, which))
        assert texts(run, weight) == texts(alone), "the same random numbers and the same law"


@pytest.mark.model
@pytest.mark.slow
def test_one_family_with_itself(tmp_path: Path, model_path: Path) -> None:
    """Over bytes one model with two prompts is an auction like any other."""
    run = written(tmp_path / "both", EXPERIMENT.format(alpha=SMOL, beta=SMOL))
    assert run.n_failed == 0
    assert texts(run, 1.0) == texts(written(tmp_path / "alone", lone_agent(SMOL, SMOL, 0)))
    assert all("Alpha Airlines" not in text for text in texts(run, 0.0))
