"""Trial of a user's module: what it has, and whether it keeps its contract."""

from __future__ import annotations

import inspect
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from torch import Tensor, nn

from poolrl.config.networks import ModuleSpec
from poolrl.errors import UsageError
from poolrl.networks.module_network import (
    FREE,
    NotReturned,
    UserSteps,
    constants,
    make_module,
    trained,
)
from poolrl.networks.parameters import CONSTANT_PREFIX
from poolrl.networks.permissions import blamed, permitted

ROWS = 6
SECONDS = 20.0
"""After so long in a constructor or a forward pass of a few rows, a module is refused."""

RESERVED = ("normalizer.", "value_normalizer.")


def describe(
    spec: ModuleSpec, observation_size: int, outputs: int, generator: np.random.Generator
) -> tuple[ModuleSpec, dict[str, NDArray[Any]]]:
    """Construct a user's module, check it, and say what it has.

    Args:
        spec: names the module, which must have been permitted.
        observation_size: number of observed values.
        outputs: number of parameters of the distribution that it is to compute.
        generator: draws the seed of its constructor.

    Returns:
        The specification with the shapes of arrays and memory, the size of its noise and its
        penalties; and the initial arrays, without the distribution's free ones.

    Raises:
        UsageError: one line with the user's file that says what is wrong.
    """
    seed = int(generator.integers(2**63))
    with blamed(spec), _time_limit():
        trial = _Trial(make_module(spec, observation_size, outputs, seed), spec)
        described = trial.describe()
        trial.check(described, observation_size, outputs)
        again = make_module(spec, observation_size, outputs, seed)
        trial.check_seed(again)
    arrays: dict[str, NDArray[Any]] = {}
    for name, parameter in trained(again).items():
        arrays[name] = parameter.detach().numpy().copy()
    for name, tensor in constants(again).items():
        arrays[CONSTANT_PREFIX + name] = tensor.numpy().copy()
    return described, arrays


class _Trial:
    def __init__(self, module: nn.Module, spec: ModuleSpec) -> None:
        self._module, self._spec = module, spec
        self._file = permitted(spec).file

    def describe(self) -> ModuleSpec:
        """The specification with what the module says of itself."""
        module: Any = self._module
        for name, parameter in module.named_parameters():
            if parameter.dtype != torch.float32:
                self._refuse(f"parameter {name} is {parameter.dtype}, not torch.float32")
            if name == FREE or name.startswith(RESERVED) or "/" in name:
                self._refuse(f"parameter {name}: this name is taken; use another one")
        if not trained(module):
            self._refuse("it has no parameter that learns")
        state: tuple[tuple[int, ...], ...] = ()
        if hasattr(module, "initial_state"):
            made = module.initial_state(ROWS)
            if not isinstance(made, tuple) or not all(isinstance(each, Tensor) for each in made):
                self._refuse("initial_state(n) must return a tuple of tensors (n, …)")
            for each in made:
                if each.shape[:1] != (ROWS,) or each.dtype != torch.float32 or bool(each.any()):
                    self._refuse("initial_state(n) must return float32 zeros of shape (n, …)")
            state = tuple(tuple(each.shape[1:]) for each in made)
        noise_size = getattr(module, "noise_size", 0)
        if not isinstance(noise_size, int) or noise_size < 0:
            self._refuse(f"noise_size must be a number of values, got {noise_size!r}")
        penalties = getattr(module, "penalties", ())
        if not isinstance(penalties, tuple) or not all(isinstance(p, str) for p in penalties):
            self._refuse(f"penalties must be a tuple of names, got {penalties!r}")
        return replace(
            self._spec,
            arrays={name: tuple(each.shape) for name, each in trained(module).items()},
            constants={
                name: (str(each.numpy().dtype), tuple(each.shape))
                for name, each in constants(module).items()
            },
            state=state,
            noise_size=noise_size,
            penalties=penalties,
        )

    def check(self, spec: ModuleSpec, observation_size: int, outputs: int) -> None:
        """Run the module in training mode, and check what it returns and what it leaves."""
        rng = np.random.default_rng(0)

        def drawn(*shape: int) -> Tensor:
            return torch.from_numpy(rng.normal(size=shape).astype(np.float32))

        observation, noise = drawn(ROWS, observation_size), drawn(ROWS, spec.noise_size)
        state = tuple(drawn(ROWS, *shape) for shape in spec.state)
        steps = UserSteps(self._module, spec, None)
        kept = {name: each.clone() for name, each in constants(self._module).items()}
        places = {name: each.data_ptr() for name, each in self._module.named_parameters()}
        random_state = torch.random.get_rng_state()
        first = self._outputs(steps, spec, outputs, observation, state, noise)
        if not torch.equal(random_state, torch.random.get_rng_state()):
            torch.random.set_rng_state(random_state)
            self._refuse(
                "forward draws random numbers (dropout?): what acting drew could not be drawn "
                "again in training; take them as noise_size"
            )
        for name, each in constants(self._module).items():
            if name not in kept or not torch.equal(kept[name], each):
                self._refuse(f"forward changes the buffer {name} (batch normalisation?)")
        for name, each in self._module.named_parameters():
            if places.get(name) != each.data_ptr():
                self._refuse(f"forward replaces the parameter {name}")
        again = self._outputs(steps, spec, outputs, observation, state, noise)
        if any(not torch.equal(a, b) for a, b in zip(first, again, strict=True)):
            self._refuse("forward returns something else when it is called again")
        part = slice(0, ROWS // 2)
        halves = self._outputs(
            *(steps, spec, outputs, observation[part]),
            *(tuple(each[part] for each in state), noise[part]),
        )
        for whole, half in zip(first, halves, strict=True):
            if not torch.allclose(whole[part], half, rtol=1e-4, atol=1e-5):
                self._refuse("forward of a row depends on the other rows of the batch")
        self._check_gradient(first)

    def check_seed(self, again: nn.Module) -> None:
        """The same seed must construct the same parameters."""
        for (name, one), other in zip(
            self._module.named_parameters(), again.parameters(), strict=True
        ):
            if not torch.equal(one, other):
                self._refuse(
                    f"the constructor makes another {name} from the same seed of torch; draw from "
                    "torch alone"
                )

    def _outputs(
        self,
        steps: UserSteps,
        spec: ModuleSpec,
        outputs: int,
        observation: Tensor,
        state: tuple[Tensor, ...],
        noise: Tensor,
    ) -> list[Tensor]:
        n = len(observation)
        try:
            output, after = steps.step(observation, state, noise)
        except NotReturned as error:
            self._refuse(str(error))
        expected = {"parameters": (output.parameters, (n, outputs)), "value": (output.value, (n,))}
        if len(after) != len(state):
            self._refuse(f"forward must return a state of {len(state)} tensors, got {len(after)}")
        for number, (new, old) in enumerate(zip(after, state, strict=True)):
            expected[f"state[{number}]"] = new, tuple(old.shape)
        for name in spec.penalties:
            if name not in output.penalties:
                self._refuse(f"forward must return a penalty {name}")
            expected[f"penalty {name}"] = output.penalties[name], (n,)
        for name, (tensor, shape) in expected.items():
            if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shape:
                got = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                self._refuse(f"forward must return {name} of shape {shape}, got {got}")
            if tensor.dtype != torch.float32:
                self._refuse(f"forward returns {name} as {tensor.dtype}, not torch.float32")
            if not bool(torch.isfinite(tensor).all()):
                self._refuse(f"forward returns NaN or infinity in {name}")
        return [tensor for tensor, _ in expected.values()]

    def _check_gradient(self, outputs: list[Tensor]) -> None:
        whole = [output.sum() for output in outputs if output.requires_grad]
        if not whole:
            self._refuse("no output depends on a parameter that learns")
        parameters = trained(self._module)
        gradients = torch.autograd.grad(
            whole, list(parameters.values()), [torch.tensor(1.0)] * len(whole), allow_unused=True
        )
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                self._refuse(f"no output depends on the parameter {name}")
            if not math.isfinite(float(gradient.sum())):
                self._refuse(f"the derivative by {name} is not finite")

    def _refuse(self, reason: str) -> NoReturn:
        line = inspect.getsourcelines(type(self._module))[1]
        raise UsageError(f"{self._file}:{line}: {type(self._module).__name__}: {reason}")


@contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt the user's code after ``SECONDS``, where it runs in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: Any) -> NoReturn:
        raise TimeoutError(f"still not done after {SECONDS:g} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
