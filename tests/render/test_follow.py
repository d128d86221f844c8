"""Which champions become videos while a pool trains; nothing is drawn here."""

from __future__ import annotations

from pathlib import Path

import pytest

from poolrl.errors import Divergence, UsageError
from poolrl.render.agents import ShownAgent
from poolrl.render.follow import follow, has_ended
from tests.helpers.memory_pool import Scene


class Follower:
    """Follows a pool, which goes on to the next of some iterations while it sleeps, and then ends.

    Attributes:
        drawn: the iterations of which a video was made.
        diverges: the iterations whose episode diverges.
    """

    def __init__(self, scene: Scene, *iterations: int) -> None:
        self.scene = scene
        self.iterations = list(iterations)
        self.drawn: list[int | None] = []
        self.diverges: set[int] = set()

    def run(self, every: int) -> list[int | None]:
        follow(
            self.scene.pool,
            every,
            self.render,
            sleep=lambda seconds: self.go_on(),
            is_over=lambda: not self.iterations,
        )
        return self.drawn

    def go_on(self) -> None:
        self.scene.work(self.iterations.pop(0))

    def render(self, shown: ShownAgent, path: Path) -> None:
        if shown.iteration in self.diverges:
            raise Divergence("a return is not finite")
        assert path == self.scene.pool.layout.video(shown.iteration or 0)
        champion = self.scene.deposits.merge(shown.iteration or 0).champion
        assert shown.agent.to_bytes() == self.scene.deposits.champion(champion)
        self.scene.store.replace(path, b"a video")
        self.drawn.append(shown.iteration)


def test_multiples_are_drawn_and_once_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert Follower(scene, 0, 1, 2, 3, 4, 5).run(2) == [0, 2, 4]
    assert Follower(scene).run(2) == []
    assert Follower(scene).run(5) == [5]


def test_of_several_that_are_due_the_newest_alone(tmp_path: Path) -> None:
    assert Follower(Scene(tmp_path), 0, 7).run(2) == [0, 6]


def test_what_diverges_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    follower = Follower(Scene(tmp_path), 0, 2, 4)
    follower.diverges = {2}
    assert follower.run(2) == [0, 4]
    assert caplog.messages == ["iteration 2: no video: a return is not finite"]


def test_a_pool_that_is_no_longer_there_is_not_waited_for(tmp_path: Path) -> None:
    follower = Follower(Scene(tmp_path), 0, 1)

    def remove() -> None:
        follower.iterations.clear()
        follower.scene.store.remove(follower.scene.pool.layout.spec)

    follower.go_on = remove  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="not a pool"):
        follower.run(1)


def test_a_pool_has_ended_with_its_closing_evaluation(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert not has_ended(scene.pool)
    scene.work(1)
    assert has_ended(scene.pool)
    assert Follower(scene).run(1) == [1]
