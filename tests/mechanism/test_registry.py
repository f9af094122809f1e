"""Rules and mechanisms are found by name; families and a user's own too."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tokenauction_cli.mechanism import registry
from tokenauction_cli.mechanism.alternatives.whole_text import Highest


def test_the_names_are_in_the_order_of_the_documentation() -> None:
    assert registry.names("aggregation") == ("linear", "log_linear", "winner_take_all", "random_dictator", "power_mean")
    assert registry.names("sampling") == ("stable", "inverse_cdf", "gumbel", "greedy")
    payments = ("pay_your_bid", "second_price", "vcg", "myerson_tv", "pay_bid_times_influence")
    assert registry.names("payment") == payments
    mechanisms = ("token_auction", "mosaic", "segment", "lottery", "highest", "text_pool")
    assert registry.names("mechanism") == mechanisms


@pytest.mark.parametrize("kind", ["aggregation", "sampling", "payment", "mechanism"])
def test_every_name_is_found(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert registry.find(kind, name).name == name
        assert registry.is_known(kind, name)


def test_columns_start_with_the_rule() -> None:
    for name in registry.names("payment"):
        assert registry.find("payment", name).columns[0] == name
    columns = ("second_price", "second_price_given_token", "second_price_expected")
    assert registry.find("payment", "second_price").columns == columns
    for name in set(registry.names("mechanism")) - {"token_auction"}:
        assert registry.find("mechanism", name).payments[0] == name
    assert registry.find("mechanism", "mosaic").payments == ("mosaic", "mosaic_realised")
    assert registry.find("mechanism", "token_auction").payments == ()


def test_a_mechanism_is_made_with_its_settings() -> None:
    assert registry.find("mechanism", "mosaic").tau == 2
    assert registry.find("mechanism", "mosaic", {"tau": 0, "score": "mention"}).needs == {"mentions"}
    assert registry.find("mechanism", "segment", {"unit": "token", "segments": 8}).unit == "token"
    with pytest.raises(registry.UnknownRuleError, match="unknown mechanism 'mozaic'"):
        registry.find("mechanism", "mozaic")


def test_a_mechanism_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Third(Highest):
        def __init__(self, place: int = 3) -> None:
            self.place = place

    module = ModuleType("my_mechanisms")
    module.Third, module.Nothing = Third, object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_mechanisms", module)
    mechanism = registry.find("mechanism", "my_mechanisms:Third", {"place": 2})
    assert (mechanism.place, mechanism.payments) == (2, ("my_mechanisms:Third",))
    with pytest.raises(registry.UnknownRuleError, match="mechanism 'my_mechanisms:Nothing' cannot be loaded"):
        registry.find("mechanism", "my_mechanisms:Nothing")


def test_labels_of_mechanisms() -> None:
    said = [registry.label(name) for name in ("mosaic", "mosaic_realised", "text_pool", "segment", "lottery")]
    assert said == ["MOSAIC", "mosaic realised", "text pool", "segment auction", "lottery"]


def test_power_means_are_a_family() -> None:
    assert registry.find("aggregation", "power_mean").exponent == 0.5
    assert registry.find("aggregation", "power_mean_-1").exponent == -1
    assert registry.find("aggregation", "power_mean_0.250").name == "power_mean_0.250"
    for name in ("power_mean_x", "power_mean_", "power_mean_inf", "power_mean_nan", "linear_2", ""):
        assert not registry.is_known("aggregation", name)
        with pytest.raises(registry.UnknownRuleError):
            registry.find("aggregation", name)


def test_a_rule_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class First:
        def __call__(self, profile: object, bids: object) -> None: ...

    module = ModuleType("my_rules")
    module.First = First  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "my_rules", module)
    rule = registry.find("aggregation", "my_rules:First")
    assert rule.name == "my_rules:First"
    assert rule.monotone_in == frozenset()
    assert registry.is_custom("my_rules:First")
    assert not registry.is_known("aggregation", "my_rules:First")
    with pytest.raises(registry.UnknownRuleError, match="cannot be loaded"):
        registry.find("aggregation", "my_rules:Second")
