"""Check the folder of one iteration against the rules of a pool; see ``checker``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tests.faults import rules
from tests.faults.rules import Key, Table


class Pool(Protocol):
    """The parts of the pool's check that an iteration's check uses."""

    root: Path
    spec: Table
    spec_sha256: str
    newest: int
    kept_losers: float

    def broken(self, path: str, what: str) -> None: ...
    def stray(self, path: str) -> None: ...
    def merged(self, champion: str, iteration: int, timing_dependent: bool) -> None: ...


class Iteration:
    """The folder of one iteration."""

    def __init__(self, pool: Pool, number: int, previous: Table | None) -> None:
        self.pool = pool
        self.spec = pool.spec
        self.number = number
        self.previous = previous
        # The merge before is missing, and reported: nothing here can be compared with it.
        self.unknown_start = number > 0 and previous is None
        self.where = f"iterations/{number:06d}"
        self.folder = pool.root / "iterations" / f"{number:06d}"
        self.names: list[str] = []
        self.merge: Table | None = None
        self.records: dict[Key, Table] = {}
        self.possible: list[Key] = []
        self.shares = False
        if number == 0:
            self.units: list[Key] = [("initial", 0)]
        else:
            sizes = self.spec["pool"]
            later = sizes.get("later_count", 0)
            branches = range(min(later, sizes["count"]) if later and number > 1 else sizes["count"])
            self.units = [*(("branch", index) for index in branches), ("parent", 0)]
            rule = self.spec.get("merge", {})
            factors = rule.get("candidates", ())
            self.possible = [("candidate", index) for index in range(len(factors))]
            if rule.get("rule") == "update":
                self.possible = [("update", 0)]
                self.shares = True

    def run(self) -> Table | None:
        """Return the iteration's merge; ``None`` if it is missing or unusable."""
        self.names = sorted(os.listdir(self.folder))
        for name in self.names:
            self._check_name(name)
        if "merge.json" in self.names:
            self.merge = self._read("merge.json", self._check_merge_itself)
        for (kind, index), record in self.records.items():
            name = f"{kind}-{index:03d}.json"
            self._guarded(name, lambda record=record, name=name: self._check_record(name, record))
        if self.merge is not None:
            self._guarded("merge.json", self._check_decision)
        self._find_orphans()
        return self.merge

    def broken(self, name: str, what: str) -> None:
        self.pool.broken(f"{self.where}/{name}", what)

    def _guarded(self, name: str, call: Callable[[], Any]) -> bool:
        try:
            call()
        except (KeyError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
            self.broken(name, f"has not what it should hold: {type(error).__name__} {error}")
            return False
        return True

    def _check_name(self, name: str) -> None:
        if not stat.S_ISREG(os.lstat(self.folder / name).st_mode):
            self.broken(name, "is no plain file")
        elif rules.STRAY.fullmatch(name):
            self.pool.stray(f"{self.where}/{name}")
        elif match := rules.RECORD.fullmatch(name):
            key = (match[1], int(match[2]))
            if name != f"{key[0]}-{key[1]:03d}.json":
                self.broken(name, "is nothing that a pool has")
            elif key not in [*self.units, *self.possible, ("closing", 0)]:
                self.broken(name, "is a unit that this iteration does not have")
            else:
                record = self._read(name, lambda record: self._belongs(name, record, *key))
                if record is not None:
                    self.records[key] = record
        elif rules.ATTEMPT.fullmatch(name):
            self._read(name, lambda record: record["reason"])
        elif (
            name not in ("merge.json", *(["sources.json"] if self.possible else []))
            and not rules.AGENT.fullmatch(name)
            and not rules.LEASE.fullmatch(name)
        ):
            self.broken(name, "is nothing that a pool has")

    def _read(self, name: str, check: Callable[[Table], Any]) -> Table | None:
        try:
            table = json.loads((self.folder / name).read_bytes(), parse_constant=_refuse)
            if not isinstance(table, dict):
                raise ValueError("it is no table")
        except (ValueError, RecursionError) as error:
            self.broken(name, f"is torn or no record: {error}")
            return None
        return table if self._guarded(name, lambda: check(table)) else None

    # Records

    def _belongs(self, name: str, record: Table, kind: str, index: int) -> None:
        own = {"kind": kind, "index": index, "iteration": self.number}
        own["schema"] = 2 if "info" in (record.get("evaluation") or {}) else 1
        for key, value in own.items():
            if record[key] != value:
                self.broken(name, f"{key} is {record[key]}")
        if record["spec_sha256"] != self.pool.spec_sha256:
            self.broken(name, "is a record of another pool: spec_sha256 is not pool.toml's")

    def _check_record(self, name: str, record: Table) -> None:
        before = self.merge if record["kind"] == "closing" else self.previous
        champion = rules.start_of(record["kind"], before) if before else None
        expected = champion["sha256"] if champion else ""
        if record["kind"] == "closing" and self.merge is None:
            self.broken(name, "a closing evaluation of an iteration without a merge")
        elif not self.unknown_start and record["parent_sha256"] != expected:
            self.broken(
                name,
                f"a follower that chose for itself: parent_sha256 is {record['parent_sha256']}, "
                f"the champion is {expected}",
            )
        if record["status"] not in ("done", "failed", "abandoned"):
            self.broken(name, f"status is {record['status']}")
        rule = self.spec.get("merge", {"rule": "best"})
        uniform = rule["rule"] == "mean" and rule["weights"] == "uniform"
        evaluated = record["kind"] not in ("branch", "update") or not (uniform or self.shares)
        if (record["status"] == "done" and evaluated) != (record["evaluation"] is not None):
            self.broken(name, f"{record['status']}, and evaluation is {record['evaluation']}")
        if record["status"] != "done" and (not record["reason"] or record["agent"] is not None):
            self.broken(name, f"{record['status']}, but with an agent or without a reason")
        if record["status"] == "abandoned":
            self._check_attempts(name, record)
        self._check_evaluation(name, record)
        self._check_training(name, record)
        plays = self.shares and record["kind"] == "branch" and record["status"] == "done"
        if ("rollout_sha256" in record) != plays:
            self.broken(name, "has a rollout against the rule, or none")
        elif plays:
            self._check_file(name, f"rollout-{record['index']:03d}", record["rollout_sha256"])
            if record["agent"] is not None:
                self.broken(name, "has an agent beside its rollout")
        elif record["status"] == "done":
            self._check_agent(name, record, champion)

    def _check_attempts(self, name: str, record: Table) -> None:
        stem = f"{record['kind']}-{record['index']:03d}"
        tries = [m for each in self.names if (m := rules.ATTEMPT.fullmatch(each)) and m[1] == stem]
        if len(tries) < self.spec["pool"]["max_attempts"]:
            self.broken(name, f"abandoned after {len(tries)} attempts")

    def _check_evaluation(self, name: str, record: Table) -> None:
        evaluation = record["evaluation"]
        if evaluation is None:
            return
        returns, lengths = evaluation["returns"], evaluation["lengths"]
        reserved = record["kind"] == "closing"
        episodes = self.spec["pool"]["closing_episodes" if reserved else "evaluate_episodes"]
        if not len(returns) == len(lengths) == episodes:
            self.broken(name, f"{len(returns)} returns, {len(lengths)} lengths of {episodes}")
        for fault in rules.faults_of_info(record, episodes, self.spec["selection"]):
            self.broken(name, fault)
        if not all(isinstance(x, (int, float)) and math.isfinite(x) for x in returns):
            self.broken(name, "returns that are not finite")
        if evaluation["score"] != rules.mean(returns):
            self.broken(
                name,
                f"score {evaluation['score']} is not the mean {rules.mean(returns)} of its returns",
            )
        if not rules.close(evaluation["standard_error"], rules.standard_error(returns)):
            self.broken(name, "standard_error is not that of its returns")
        if evaluation["deterministic"] != self.spec["evaluation"]["deterministic"]:
            self.broken(name, "evaluated otherwise than pool.toml says")

    def _check_training(self, name: str, record: Table) -> None:
        trains = record["kind"] in ("branch", "update")
        if record["training"] is not None and not trains:
            self.broken(name, "has trained")
        if record["training"] is None and trains and record["status"] == "done":
            self.broken(name, "has not trained")
        if record["status"] == "abandoned":
            return
        expected: Table = {}
        if trains:
            chosen = {k: v for k, v in self.spec["branches"].items() if isinstance(v, list)}.items()
            self._check_evolving(name, record)
            expected = self.spec["learner"] | {
                key: values[record["index"] % len(values)] for key, values in chosen
            }
            expected.pop("name")
            for key in [key for key, value in expected.items() if isinstance(value, dict)]:
                inner = expected.pop(key)
                expected |= {f"{key}.{name}": value for name, value in inner.items()}
        evolving = [k for k, v in self.spec["branches"].items() if isinstance(v, dict)]
        expected = {key: value for key, value in expected.items() if key not in evolving}
        own = {key: value for key, value in record["hyperparameters"].items() if key != "name"}
        # Options that a later version added have their defaults where pool.toml has none.
        if {key: own.get(key) for key in expected} != expected or (own and not trains):
            self.broken(name, "hyperparameters are not pool.toml's for this branch")

    def _check_evolving(self, name: str, record: Table) -> None:
        """Values that evolve stay within bounds, and the first branch has the line's."""
        for key, given in self.spec["branches"].items():
            if isinstance(given, list):
                continue
            value, start = record["hyperparameters"][key], self.spec["learner"][key]
            if not 0.999 * start / 10 <= value <= 1.001 * start * 10:
                self.broken(name, f"{key} is {value}, started at {start}")
            line = self.previous["hyperparameters"][key] if self.previous else value
            if record["index"] == 0 and value != line:
                self.broken(name, f"{key} is {value}, that of the line is {line}")

    def _check_agent(self, name: str, record: Table, champion: Table | None) -> None:
        agent = record["agent"]
        if record["kind"] in ("parent", "closing"):
            known = champion is not None or not self.unknown_start
            if known and agent != {k: (champion or {}).get(k) for k in ("path", "sha256")}:
                self.broken(name, "its agent is not the champion")
            return
        stem = f"{record['kind']}-{record['index']:03d}"
        if agent["path"] != f"{self.where}/{stem}-{agent['sha256'][:16]}.safetensors":
            self.broken(name, f"its agent's path is {agent['path']}")
        else:
            self._check_file(name, stem, agent["sha256"])

    def _check_file(self, name: str, stem: str, sha256: str) -> None:
        """The agent or rollout of a record is there, unless it has lost, and whole."""
        file = f"{stem}-{sha256[:16]}.safetensors"
        what = "rollout" if stem.startswith("rollout") else "agent"
        if file not in self.names:
            # By its path: branches that only explore may deposit the same bytes.
            path = f"{self.where}/{file}"
            won = self.merge is not None and self.merge["champion"]["path"] == path
            age = self.pool.newest - self.number
            if self.merge is None or won or age < self.pool.kept_losers:
                self.broken(name, f"its {what} is missing: {file}")
        elif (found := _sha256(self.folder / file)) != sha256:
            self.broken(name, f"its {what} has another hash: {file} is {found}")

    def _find_orphans(self) -> None:
        named = {r["agent"]["path"] for r in self.records.values() if isinstance(r["agent"], dict)}
        named |= {
            f"{self.where}/rollout-{index:03d}-{record['rollout_sha256'][:16]}.safetensors"
            for (_, index), record in self.records.items()
            if "rollout_sha256" in record
        }
        if self.number == 0 and (given := self.spec["initial_agent_sha256"]):
            own = f"initial-000-{given[:16]}.safetensors"
            named.add(f"{self.where}/{own}")
            if own not in self.names:
                self.broken(own, "the agent that the pool was given is missing")
            elif _sha256(self.folder / own) != given:
                self.broken(own, "the agent that the pool was given has another hash")
        if self.merge is not None and self.merge["rule"] == "mean":
            named.add(self.merge["champion"]["path"])
        for name in self.names:
            path = f"{self.where}/{name}"
            match = rules.AGENT.fullmatch(name)
            if match is None or path in named:
                continue
            if not _sha256(self.folder / name).startswith(match[3]):
                self.broken(name, "an agent whose hash is not that of its name")
            self.pool.stray(path)

    # The merge

    def _check_merge_itself(self, merge: Table) -> None:
        if (merge["schema"], merge["iteration"]) != (1, self.number):
            self.broken("merge.json", f"iteration is {merge['iteration']}, or a newer schema")
        if merge["spec_sha256"] != self.pool.spec_sha256:
            self.broken("merge.json", "is a merge of another pool: spec_sha256 is not pool.toml's")
        champion = merge["champion"]
        self.pool.merged(champion["sha256"], self.number, merge["timing_dependent"])
        expected = (
            f"iterations/{champion['iteration']:06d}/{champion['kind']}-{champion['index']:03d}-"
            f"{champion['sha256'][:16]}.safetensors"
        )
        path = self.pool.root / expected
        if champion["path"] != expected:
            self.broken("merge.json", f"its champion's path is {champion['path']}")
        elif not path.exists():
            self.broken("merge.json", f"its champion is gone: {expected}")
        elif _sha256(path) != champion["sha256"]:
            self.broken("merge.json", f"its champion has another hash: {expected}")

    def _check_decision(self) -> None:
        merge = self.merge
        assert merge is not None
        listed = self._listed(merge)
        done = [k for k, r in listed.items() if k[0] == "branch" and r["status"] == "done"]
        if self.possible:
            self._guarded("sources.json", lambda: self._check_sources(merge))
            self.units += self.possible if len(done) > (0 if self.shares else 1) else []
        abandoned = any(record["status"] == "abandoned" for record in listed.values())
        incomplete = len(listed) < len(self.units)
        if (abandoned or incomplete) and not merge["timing_dependent"]:
            self.broken("merge.json", "depends on timing and does not say timing_dependent")
        if merge["timing_dependent"] and not (abandoned or incomplete):
            self.broken("merge.json", "says timing_dependent without a reason")
        for key in self.units:
            if key in self.records and key not in listed and not merge["timing_dependent"]:
                self.broken("merge.json", f"does not list {key[0]}-{key[1]:03d}, which is there")
        if self.unknown_start:
            return
        for name, value in rules.decide(self.previous, listed, self.spec).items():
            own = merge.get(name)
            if value is rules.MEAN:
                own = {key: own[key] for key in value}
            exact = not name.startswith(("to_", "hyperparameters"))
            if not (own == value if exact else rules.close(own, value)):
                what = "a wrong winner" if name == "champion" else f"a wrong {name}"
                self.broken("merge.json", f"{what}: {own}, by the rules {value}")

    def _check_sources(self, merge: Table) -> None:
        """The merge and the candidates are made of what the sources list."""
        if "sources.json" not in self.names:
            self.broken("sources.json", "is missing, though there is a merge")
            return
        data = (self.folder / "sources.json").read_bytes()
        sources = json.loads(data)
        sources_of = ("branch",) if self.shares else ("branch", "parent")
        first_stage = [entry for entry in merge["deposits"] if entry["kind"] in sources_of]
        if sources["deposits"] != first_stage:
            self.broken("sources.json", "does not list what the merge has used")
        own = {"iteration": self.number, "spec_sha256": self.pool.spec_sha256}
        if self.previous is not None:
            own["parent_sha256"] = self.previous["champion"]["sha256"]
        for key, value in own.items():
            if sources[key] != value:
                self.broken("sources.json", f"{key} is {sources[key]}")
        for (kind, index), record in self.records.items():
            sha256 = hashlib.sha256(data).hexdigest()
            if (kind, index) in self.possible and record["sources_sha256"] != sha256:
                self.broken(f"{kind}-{index:03d}.json", "was made of other branches")
            if kind == "update" and record["training"]:
                parts = [
                    self.records["branch", entry["index"]]["training"]
                    for entry in first_stage
                    if entry["status"] == "done"
                ]
                for key in ("episodes", "environment_steps"):
                    if record["training"][key] != sum(part[key] for part in parts):
                        self.broken("update-000.json", f"{key} are not those of its branches")

    def _listed(self, merge: Table) -> dict[Key, Table]:
        """The records that the merge says it used."""
        listed: dict[Key, Table] = {}
        for entry in merge["deposits"]:
            key = (entry["kind"], entry["index"])
            stem = f"{key[0]}-{key[1]:03d}"
            record = self.records.get(key)
            if key in listed or key not in [*self.units, *self.possible]:
                self.broken("merge.json", f"lists {stem} twice, or it has no such unit")
            elif record is None:
                self.broken("merge.json", f"lists {stem}, whose record is not there")
            else:
                listed[key] = record
                own = {
                    "kind": key[0],
                    "index": key[1],
                    "status": record["status"],
                    "score": rules.score_of(record),
                    "sha256": rules.content_of(record),
                }
                if entry != own:
                    self.broken("merge.json", f"lists {stem} as {entry}, its record says {own}")
        return listed


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")
