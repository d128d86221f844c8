"""What a user's network may not do, and with which words it is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from poolrl.config.networks import MLPSpec, ModuleSpec
from poolrl.errors import IncompatiblePool, UsageError
from poolrl.networks import module_trial
from poolrl.networks.permissions import permit, permitted

START = """
import time, torch
from torch import Tensor, nn

class Net(nn.Module):
    def __init__(self, observation_size, num_parameters):
        super().__init__()
        self.actor = nn.Linear(observation_size, num_parameters)
        self.critic = nn.Linear(observation_size, 1)
        self.extra()

    def extra(self):
        pass

    def forward(self, x):
        return self.actor(x), self.critic(x).squeeze(-1)

"""

LAST = START.count("\n") + 1


def described(folder: Path, body: str, **options: object) -> ModuleSpec:
    """Try a network whose class ``Net`` is replaced by ``Own``, with this body."""
    file = folder / "net.py"
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    file.write_text(f"{START}class Own(Net):\n{lines}")
    source = f"{file}:Own"
    spec = permit(ModuleSpec(source=source, **options), source)  # type: ignore[arg-type]
    assert isinstance(spec, ModuleSpec)
    return module_trial.describe(spec, 4, 3, np.random.default_rng(0))[0]


def test_what_a_network_has_is_described(tmp_path: Path) -> None:
    spec = described(
        tmp_path,
        """
noise_size = 2
penalties = ("kl",)
def extra(self):
    self.register_buffer("offset", torch.arange(3))
    self.fixed = nn.Parameter(torch.ones(2), requires_grad=False)
def initial_state(self, n):
    return (torch.zeros(n, 5), torch.zeros(n, 1, 2))
def forward(self, x, state, noise):
    y = self.actor(x) + self.fixed.sum() * noise.sum(1, keepdim=True) + self.offset
    return y, self.critic(x)[:, 0], (state[0] + 1, state[1]), {"kl": (y**2).sum(1)}
""",
    )
    assert spec.arrays == {
        "actor.weight": (3, 4),
        "actor.bias": (3,),
        "critic.weight": (1, 4),
        "critic.bias": (1,),
    }
    assert spec.constants == {"fixed": ("float32", (2,)), "offset": ("int64", (3,))}
    assert spec.state == ((5,), (1, 2))
    assert (spec.noise_size, spec.penalties) == (2, ("kl",))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            """
def extra(self):
    self.drop = nn.Dropout(0.5)
def forward(self, x):
    return self.actor(self.drop(x)), self.critic(x)[:, 0]
""",
            ["draws random numbers", "noise_size"],
        ),
        (
            """
def extra(self):
    self.norm = nn.BatchNorm1d(4)
def forward(self, x):
    return self.actor(self.norm(x)), self.critic(x)[:, 0]
""",
            ["changes the buffer norm.running_mean"],
        ),
        (
            """
def forward(self, x):
    self.actor.weight = nn.Parameter(self.actor.weight.detach().clone())
    return self.actor(x), self.critic(x)[:, 0]
""",
            ["replaces the parameter actor.weight"],
        ),
        (
            """
count = 0
def forward(self, x):
    self.count += 1
    return self.actor(x) + self.count, self.critic(x)[:, 0]
""",
            ["something else when it is called again"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x - x.mean(0)), self.critic(x)[:, 0]
""",
            ["depends on the other rows"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x), self.critic(x)
""",
            ["value of shape (6,), got (6, 1)"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x)[:, :2], self.critic(x)[:, 0]
""",
            ["parameters of shape (6, 3), got (6, 2)"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x[:5]), self.critic(x)[:5, 0]
""",
            ["parameters of shape (6, 3), got (5, 3)"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x)
""",
            ["forward must return (parameters, value)"],
        ),
        (
            """
def forward(self, x):
    return torch.log(self.actor(x) * 0 - 1), self.critic(x)[:, 0]
""",
            ["NaN or infinity in parameters"],
        ),
        (
            """
def forward(self, x):
    return torch.sqrt(self.actor(x) * 0), self.critic(x)[:, 0]
""",
            ["the derivative by actor.weight is not finite"],
        ),
        (
            """
def forward(self, x):
    return self.actor(x).double(), self.critic(x)[:, 0]
""",
            ["parameters as torch.float64"],
        ),
        (
            """
def extra(self):
    self.double()
""",
            ["parameter actor.weight is torch.float64"],
        ),
        (
            """
def extra(self):
    self.unused = nn.Linear(2, 2)
""",
            ["no output depends on the parameter unused.weight"],
        ),
        (
            """
def extra(self):
    self.requires_grad_(False)
""",
            ["no parameter that learns"],
        ),
        (
            """
def extra(self):
    self.normalizer = nn.Linear(4, 4)
""",
            ["parameter normalizer.weight: this name is taken"],
        ),
        (
            """
def extra(self):
    import os
    with torch.no_grad():
        self.actor.bias += int.from_bytes(os.urandom(2), "big")
""",
            ["another actor.bias from the same seed"],
        ),
        (
            """
def initial_state(self, n):
    return torch.zeros(n, 3)
""",
            ["initial_state(n) must return a tuple"],
        ),
        (
            """
def initial_state(self, n):
    return (torch.ones(n, 3),)
""",
            ["float32 zeros of shape (n, …)"],
        ),
        (
            """
def initial_state(self, n):
    return (torch.zeros(n, 3),)
def forward(self, x, state):
    return self.actor(x), self.critic(x)[:, 0], (state[0][:, :2],)
""",
            ["state[0] of shape (6, 3), got (6, 2)"],
        ),
        ("noise_size = 0.5", ["noise_size must be a number"]),
        ('penalties = "kl"', ["penalties must be a tuple"]),
        (
            """
penalties = ("kl",)
def forward(self, x):
    return self.actor(x), self.critic(x)[:, 0], {}
""",
            ["a penalty kl"],
        ),
    ],
)
def test_what_a_network_may_not_do(tmp_path: Path, body: str, words: list[str]) -> None:
    state = torch.random.get_rng_state()
    with pytest.raises(UsageError) as error:
        described(tmp_path, body)
    for word in (f"net.py:{LAST}: Own: ", *words):
        assert word in str(error.value)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_a_network_raises_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"net.py:{LAST + 2}: ZeroDivisionError"):
        described(tmp_path, "def forward(self, x):\n    return 1 / 0")
    with pytest.raises(UsageError, match=rf"net.py:{LAST + 1}: KeyError"):
        described(tmp_path, "x = {}['y']")


def test_a_network_that_sleeps_is_told_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_trial, "SECONDS", 0.2)
    with pytest.raises(UsageError, match=rf"net.py:{LAST + 2}: TimeoutError: still not done"):
        described(tmp_path, "def forward(self, x):\n    time.sleep(30)")


def test_nothing_runs_that_was_not_named(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(f"from pathlib import Path\nPath('{tmp_path}/ran').touch()\n{START}")
    spec = ModuleSpec(source=f"{file}:Net")
    with pytest.raises(UsageError, match="must be named on the command line"):
        permit(spec)
    with pytest.raises(UsageError, match="must be named on the command line"):
        permitted(spec)
    with pytest.raises(UsageError, match=r"--network other\.py:Net: the network is"):
        permit(spec, "other.py:Net")
    assert not (tmp_path / "ran").exists()
    made = permit(spec, trust=True)
    assert isinstance(made, ModuleSpec)
    assert (tmp_path / "ran").exists()
    file.write_text(START + "# another file\n")
    with pytest.raises(IncompatiblePool, match=r"network\.source_sha256"):
        permit(made, trust=True)
    with pytest.raises(UsageError, match="the network is of poolrl's own"):
        permit(MLPSpec(), "net.py:Net")


def test_a_moved_file_is_the_same_network(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(START)
    made = permit(ModuleSpec(source=f"{tmp_path}/net.py:Net"), trust=True)
    assert isinstance(made, ModuleSpec)
    (tmp_path / "elsewhere.py").write_text(START)
    assert permit(made, f"{tmp_path}/elsewhere.py:Net") == made
