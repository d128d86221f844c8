"""Structures: values that are refused, with which words, and hyper-parameters by branch."""

from __future__ import annotations

import pytest

from poolrl.config.loading import load
from poolrl.errors import UsageError


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"pool.cuont": 3}, ["pool.cuont", "unknown key", "did you mean count"]),
        ({"pol.count": 3}, ["pol", "unknown key", "did you mean pool"]),
        ({"pool.count": 0}, ["pool.count", ">= 1", "0"]),
        ({"pool.count": "ten"}, ["pool.count", "int", "'ten'"]),
        ({"pool.count": 2.5}, ["pool.count", "int", "2.5"]),
        ({"learner.learning_rate": -1}, ["learner.learning_rate", "> 0", "-1"]),
        ({"learner.learning_rate": float("nan")}, ["learner.learning_rate", "nan"]),
        ({"learner.learning_rate": float("inf")}, ["learner.learning_rate", "inf"]),
        ({"learner.discount": 1.5}, ["learner.discount", "<= 1", "1.5"]),
        ({"learner.penalties.kl": -1}, ["learner.penalties.kl: ", ">= 0", "-1"]),
        (
            {"learner.name": "reinforce", "learner.penalties": {"kl": 0, "x": "much"}},
            ["learner.penalties.x: ", "float", "'much'"],
        ),
        ({"learner.name": "sarsa"}, ["learner.name", "'sarsa'", "ppo"]),
        ({"learner.name": "reinforce", "learner.epochs": 2}, ["learner.epochs", "unknown key"]),
        ({"network.activation": "sine"}, ["network.activation", "'sine'", "tanh"]),
        ({"network.name": "cnn"}, ["network.name", "'cnn'", "mlp", "recurrent"]),
        ({"network.name": "recurrent", "network.cell": "lst"}, ["network.cell", "'lst'", "lstm"]),
        ({"network.cell": "gru"}, ["network.cell", "unknown key", "actor"]),
        ({"network.actor": "broad"}, ["network.actor", "'broad'"]),
        (
            {"network.shared": True, "network.actor": [8], "network.critic": [4]},
            ["network", "critic is [4]", "shares the trunk [8]"],
        ),
        ({"network.actor": [64, 0]}, ["network.actor[1]", ">= 1", "0"]),
        ({"task": 3}, ["task", "object"]),
        ({"branches.learning_rate": [1e-3, -1]}, ["branches.learning_rate", "> 0", "-1"]),
        ({"branches.learning_rate": []}, ["branches.learning_rate", "at least one"]),
        ({"branches.epochs": [1.5]}, ["branches.epochs", "int", "1.5"]),
        ({"branches.actor": [3]}, ["branches.actor", "tensors"]),
        ({"branches.value_loss": ["cubic"]}, ["branches.value_loss", "'cubic'", "squared"]),
        ({"branches.activation": [3]}, ["branches.activation", "tensors"]),
        ({"branches.learning_rat": [3]}, ["branches.learning_rat", "did you mean learning_rate"]),
        ({"run.iterations": -1}, ["run.iterations", ">= 0", "-1"]),
        ({"run.iteration": 1}, ["run.iteration", "unknown key", "iterations"]),
        ({"pool.count.x": 1}, ["pool.count"]),
        ({"task.randomize.body_mass": {}}, ["task.randomize.body_mass", "exactly one of"]),
        (
            {"task.randomize.body_mass": {"scale": [1, 2], "add": [0, 1]}},
            ["task.randomize.body_mass: exactly one of", "got scale and add"],
        ),
        ({"task.randomize.body_mass.scale": 3}, ["task.randomize.body_mass.scale", "array", "3"]),
        ({"task.randomize.body_mass.scale": [2, 1]}, ["task.randomize.body_mass", "in order"]),
        ({"task.randomize.m.scale": [0, float("inf")]}, ["task.randomize.m", "finite"]),
        ({"task.randomize.m.scale": ["a", 1]}, ["task.randomize.m.scale[0]", "float", "'a'"]),
        ({"task.randomize.m.scal": [1, 2]}, ["randomize.m.scal", "did you mean scale"]),
        ({"task.randomize.m": 3}, ["task.randomize.m", "object", "3"]),
    ],
)
def test_what_is_wrong_is_named(overrides: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        load(None, overrides)
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def test_words_may_differ_by_branch() -> None:
    keys = {"branches.gradient_clipping": ["joint", "separate"], "branches.adaptive_kl": [0, 0.01]}
    spec, _ = load(None, {"learner.name": "ppo", **keys})
    first, second = spec.hyperparameters(0), spec.hyperparameters(3)
    assert (first.gradient_clipping, first.adaptive_kl) == ("joint", 0)  # type: ignore[union-attr]
    assert (second.gradient_clipping, second.adaptive_kl) == ("separate", 0.01)  # type: ignore[union-attr]


def test_branch_values_cycle() -> None:
    spec, _ = load(None, {"branches.learning_rate": [1e-4, 1e-3], "branches.epochs": [1, 2, 3]})
    values = [spec.hyperparameters(branch) for branch in range(4)]
    assert [v.learning_rate for v in values] == [1e-4, 1e-3, 1e-4, 1e-3]
    assert [v.epochs for v in values] == [1, 2, 3, 1]  # type: ignore[union-attr]
