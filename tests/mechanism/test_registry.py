"""Rules are found by name; families and a user's own too."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tokenauction_cli.mechanism import registry


def test_the_names_are_in_the_order_of_the_documentation() -> None:
    assert registry.names("aggregation") == ("linear", "log_linear", "winner_take_all", "random_dictator", "power_mean")
    assert registry.names("sampling") == ("stable", "inverse_cdf", "gumbel", "greedy")
    payments = ("pay_your_bid", "second_price", "vcg", "myerson_tv", "pay_bid_times_influence")
    assert registry.names("payment") == payments


@pytest.mark.parametrize("kind", ["aggregation", "sampling", "payment"])
def test_every_name_is_found(kind: registry.Kind) -> None:
    for name in registry.names(kind):
        assert registry.find(kind, name).name == name
        assert registry.is_known(kind, name)


def test_columns_start_with_the_rule() -> None:
    for name in registry.names("payment"):
        assert registry.find("payment", name).columns[0] == name
    columns = ("second_price", "second_price_given_token", "second_price_expected")
    assert registry.find("payment", "second_price").columns == columns


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
