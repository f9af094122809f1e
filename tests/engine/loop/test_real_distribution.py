"""The lotteries on the distributions of a real model: 49 152 tokens, two agents who want different next words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tokenauction_cli.experiment.experiment import load_experiment
from tokenauction_cli.lm.llama.native_output import quiet
from tokenauction_cli.mechanism import registry
from tokenauction_cli.mechanism.distributions import Profile
from tokenauction_cli.mechanism.outcome import Outcome
from tokenauction_cli.mechanism.sampling.randomness import DrawKey, Randomness
from tokenauction_cli.mechanism.terms import Terms, relative_bids
from tokenauction_cli.mechanism.testing import chi_square_p_value, marginal_p_value, token_counts

pytestmark = pytest.mark.model
DEMO = Path(__file__).parents[3] / "experiments" / "hawaii-co-marketing.yaml"
TERMS = Terms(ids=("alpha", "beta"), configured=(1, 1))


@pytest.fixture(scope="module")
def profile(model_path: Path) -> Profile:
    """What the demo's agents would say after "Fly with"."""
    from tokenauction_cli.audits.prefixes.prefixes import profile_after
    from tokenauction_cli.engine.models.prepare import prepare
    from tokenauction_cli.lm.llama.gguf import GgufPrompt
    from tokenauction_cli.lm.prompts.prompt_tokens import tokens_of_text

    experiment = load_experiment(DEMO)
    with quiet():
        bidders = prepare(experiment)
        (prompt_set,) = bidders.prompt_sets.values()
        assert all(isinstance(prompt, GgufPrompt) for prompt in prompt_set.prompts)
        with bidders.loaded(1) as model:
            said = tokens_of_text(model.vocabulary, [" Enjoy your vacation in Hawaii. Fly with"])
            found = profile_after(experiment, prompt_set, model, said)
    assert isinstance(found, Profile)
    return found


def outcome_at(rule: str, profile: Profile, weight: float) -> Outcome:
    return Outcome(registry.find("aggregation", rule), profile, relative_bids(TERMS, weight, 2.0), TERMS)


def test_the_agents_disagree(profile: Profile) -> None:
    assert profile.p.shape == (2, 49_152)
    assert outcome_at("linear", profile, 0.5).distance(0) > 0.5


LOTTERIES = [("stable", 0.0), ("stable", 0.3), ("stable", 1.0), ("inverse_cdf", 0.3), ("gumbel", 0.3)]


@pytest.mark.parametrize(("sampling", "weight"), LOTTERIES)
@pytest.mark.parametrize("rule", ["linear", "log_linear", "random_dictator"])
def test_every_lottery_draws_from_q(profile: Profile, rule: str, sampling: str, weight: float) -> None:
    outcome = outcome_at(rule, profile, weight)
    assert marginal_p_value(registry.find("sampling", sampling), outcome, n_draws=2000) > 1e-4


def test_the_test_sees_a_wrong_distribution(profile: Profile) -> None:
    drawn_from, said_to_be = outcome_at("linear", profile, 0.30), outcome_at("linear", profile, 0.45)
    counts = token_counts(registry.find("sampling", "inverse_cdf"), drawn_from, 2000)
    assert chi_square_p_value(counts, 2000 * said_to_be.q.p) < 1e-4


def test_the_token_changes_at_most_once_along_the_weight(profile: Profile) -> None:
    sampling = registry.find("sampling", "stable")
    weights = np.linspace(0, 1, 21)
    outcomes = [outcome_at("linear", profile, weight) for weight in weights]
    changes = []
    for seed in range(300):
        draw_key = DrawKey(Randomness(0, "", seed), 0)
        tokens = [sampling.draw(outcome, draw_key).token for outcome in outcomes]
        changes.append(int(np.count_nonzero(np.diff(tokens))))
    assert max(changes) == 1
    assert 0.4 < np.mean(changes) < 1


def test_realised_prices_average_to_the_expected_price(profile: Profile) -> None:
    sampling, payment = registry.find("sampling", "stable"), registry.find("payment", "second_price")
    outcome = outcome_at("linear", profile, 0.6)
    moments = [DrawKey(Randomness(0, "", seed), 0) for seed in range(4000)]
    charged = [payment.charge(outcome, sampling.draw(outcome, draw_key), draw_key) for draw_key in moments]
    realised = np.array([amounts["second_price"] for amounts in charged])
    expected = charged[0]["second_price_expected"]
    error = realised.std(axis=0) / np.sqrt(len(moments))
    assert (np.abs(realised.mean(axis=0) - expected) < 4.5 * error).all()
    assert (realised <= outcome.bids).all()
