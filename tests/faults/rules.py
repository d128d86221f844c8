"""The rules of a pool, spelled out a second time for the checker: names, hashes, the merge."""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import Any

Table = dict[str, Any]
Key = tuple[str, int]
"""Kind and index of a unit."""

STRAY = re.compile(r"\.tmp-[0-9a-f]{32}|\.nfs[0-9a-f]+|.+\.corrupt-[0-9a-f]{32}")
UNIT = r"(?:initial|branch|candidate|update|parent|closing)"
RECORD = re.compile(rf"({UNIT})-(\d{{3,6}})\.json")
AGENT = re.compile(
    r"(initial|branch|candidate|mean|update|rollout)-(\d{3,6})-([0-9a-f]{16})\.safetensors"
)
"""An agent or a rollout."""
ATTEMPT = re.compile(rf"({UNIT}-\d{{3,6}})\.attempt-[0-9a-f]{{32}}\.json")
LEASE = re.compile(rf"(merge|{UNIT}-\d{{3,6}})(\.copy-\d+)?\.lease(\.[\w.-]+)?")


def decide(previous: Table | None, deposits: dict[Key, Table], spec: Table) -> Table:
    """What a merge must say, given the merge before it and the deposits that it used."""
    said = decide_champion(previous, deposits, spec)
    size = spec["learner"].get("replay_window", 0)
    if size:
        said["replay"] = replay_window(previous, deposits, size)
    evolving = [name for name, given in spec["branches"].items() if isinstance(given, dict)]
    if not evolving:
        return said
    values = line_values(previous, said, deposits, spec, evolving)
    best = said.get("best_ever")
    if best is not None and best["champion"] == said["champion"]:
        said["best_ever"] = best | {"hyperparameters": values}
    return said | {"hyperparameters": values}


def replay_window(previous: Table | None, deposits: dict[Key, Table], size: int) -> list[Table]:
    """The newest chunks that have so many transitions."""
    chunks = list(previous["replay"]) if previous else []
    for (kind, index), record in sorted(deposits.items()):
        if kind == "branch" and record["status"] == "done":
            steps = record["training"]["environment_steps"]
            chunk = {"iteration": record["iteration"], "index": index, "transitions": steps}
            chunks.append(chunk | {"sha256": record["replay_sha256"]})
    newest: list[Table] = []
    for chunk in reversed(chunks):
        if sum(each["transitions"] for each in newest) < size:
            newest.insert(0, chunk)
    return newest


def line_values(
    previous: Table | None,
    said: Table,
    deposits: dict[Key, Table],
    spec: Table,
    evolving: list[str],
) -> Table:
    """The values that evolving hyper-parameters go on from."""
    if previous is None:
        return {name: spec["learner"][name] for name in evolving}
    if said["rule"] in ("mean", "best candidate"):
        made_of = weighted_branches(deposits, spec)
        total = math.fsum(weight for weight, _ in made_of)
        return {
            name: math.exp(
                math.fsum(w * math.log(r["hyperparameters"][name]) for w, r in made_of) / total
            )
            for name in evolving
        }
    if said["rule"] in ("best branch", "patience"):
        own = deposits["branch", said["champion"]["index"]]["hyperparameters"]
        return {name: own[name] for name in evolving}
    source = said["best_ever"] if said["rule"] == "best-ever fallback" else previous
    return dict(source["hyperparameters"])


def weighted_branches(deposits: dict[Key, Table], spec: Table) -> list[tuple[float, Table]]:
    """The branches that a mean or a candidate is made of, each with its weight."""
    done = [
        record
        for key, record in sorted(deposits.items())
        if key[0] == "branch" and record["status"] == "done"
    ]
    if spec["merge"].get("weights", "uniform") == "uniform":
        return [(1.0, record) for record in done]
    with_score = [record for record in done if score_of(record) is not None]
    ranked = sorted(with_score, key=lambda record: merit(record, spec["selection"]), reverse=True)
    middle = (len(ranked) + 1) / 2
    better = [(math.log(middle / rank), r) for rank, r in enumerate(ranked, 1) if rank < middle]
    return better or [(1.0, record) for record in ranked]


def decide_champion(previous: Table | None, deposits: dict[Key, Table], spec: Table) -> Table:
    """The same without evolving hyper-parameters."""
    rule = spec.get("merge", {"rule": "best"})
    if rule["rule"] in ("mean", "update"):
        decide_made = decide_mean if rule["rule"] == "mean" else decide_update
        said = decide_made(previous, deposits, spec["selection"])
        if rule.get("fallback") is None:
            return said
        return measured_later(previous, said, rule, spec["selection"])
    said = choose(previous, deposits, spec["selection"], bool(rule.get("candidates")))
    most = rule.get("fallback")
    if most is None:
        return said
    if previous is None:
        return said | {"best_ever": {"champion": said["champion"], "iterations_since": 0}}
    best = previous["best_ever"]
    won = said["rule"] in ("best branch", "best candidate")
    if won and is_better(said["champion"], best["champion"], spec["selection"]):
        return said | {"best_ever": {"champion": said["champion"], "iterations_since": 0}}
    return said | fall_back(best | {"iterations_since": best["iterations_since"] + 1}, most)


def fall_back(best: Table, most: int) -> Table:
    """What changes in a merge that finds no better champion than the best-ever one."""
    if best["iterations_since"] <= most:
        return {"best_ever": best}
    return {
        "rule": "best-ever fallback",
        "champion": best["champion"] | {"score": None},
        "parent_kept": 0,
        "to_parent": None,
        "to_runner_up": None,
        "best_ever": best | {"iterations_since": 0},
    }


def decide_mean(previous: Table | None, deposits: dict[Key, Table], selection: Table) -> Table:
    """What a merge by the rule mean must say; of its agent, only the kind."""
    said = choose(previous, deposits, selection)
    done = any(k[0] == "branch" and r["status"] == "done" for k, r in deposits.items())
    if previous is not None and done and said["rule"] != "parent kept":
        mean = {"rule": "mean", "parent_kept": 0, "failed_iterations": 0}
        said |= mean | {"champion": MEAN, "to_parent": None, "to_runner_up": None}
    return said


def decide_update(previous: Table | None, deposits: dict[Key, Table], selection: Table) -> Table:
    """What a merge by the rule update must say."""
    said = choose(previous, deposits, selection)
    made = deposits.get(("update", 0))
    if made is None:
        return said
    if made["status"] != "done":
        return said | {"rule": "update failed"}
    new = {"rule": "update", "parent_kept": 0, "failed_iterations": 0}
    return said | new | {"champion": as_champion(made)}


def measured_later(previous: Table | None, said: Table, rule: Table, selection: Table) -> Table:
    """The same with a fallback, where a champion is measured by the next iteration's parent."""
    if previous is None:
        return said | {"best_ever": {"champion": said["champion"], "iterations_since": 0}}
    old = previous["champion"] | {"score": said["parent_score"]}
    best = previous["best_ever"]
    values = {k: v for k, v in previous.items() if k == "hyperparameters"}
    if old["sha256"] == best["champion"]["sha256"]:
        return said | {"best_ever": best}
    if old["score"] is not None and is_better(old, best["champion"], selection):
        return said | {"best_ever": {"champion": old, "iterations_since": 0} | values}
    best = best | {"iterations_since": best["iterations_since"] + 1}
    return said | fall_back(best, rule["fallback"])


MEAN = {"kind": "mean", "index": 0, "score": None}
"""A champion that is a mean: its hash is compared with an undisturbed pool's."""


def start_of(kind: str, merge: Table) -> Table:
    """The agent that a unit starts from after a merge."""
    best: Table | None = merge.get("best_ever") if kind == "closing" else None
    champion: Table = best["champion"] if best else merge["champion"]
    return champion


def choose(
    previous: Table | None, deposits: dict[Key, Table], selection: Table, ties: bool = False
) -> Table:
    """What a merge must say without a fallback; ``ties``: a tie with the parent is a win."""
    best: Table | None = None
    second: Table | None = None
    for _, record in sorted((k, r) for k, r in deposits.items() if k[0] != "parent"):
        score = score_of(record)
        if score is None or record["agent"] is None:
            continue
        if best is None or merit(record, selection) > merit(best, selection):
            best, second = record, best
        elif second is None or merit(record, selection) > merit(second, selection):
            second = record
    trained = [r["training"] for k, r in deposits.items() if k[0] == "branch" and r["training"]]
    parent = deposits.get(("parent", 0))
    measured = parent["evaluation"]["score"] if parent and parent["evaluation"] else None
    if parent is not None and score_of(parent) is None:
        parent = None
    parent_score = score_of(parent) if parent else None
    kept = previous["parent_kept"] if previous else 0
    old = previous["champion"] | {"score": parent_score} if previous else None
    said: Table = {
        "rule": "best branch",
        "champion": as_champion(best) if best else old,
        "parent_score": parent_score,
        "parent_kept": 0,
        "failed_iterations": 0,
        "to_parent": difference(best, parent),
        "to_runner_up": difference(best, second),
        "environment_steps": (previous["environment_steps"] if previous else 0)
        + sum(sum(r["evaluation"]["lengths"]) for r in deposits.values() if r["evaluation"])
        + sum(training["environment_steps"] for training in trained),
        "training_steps": (previous["training_steps"] if previous else 0)
        + sum(training["environment_steps"] for training in trained),
    }
    if selection.get("score", "return") != "return" and measured is not None:
        said["parent_return"] = measured
    if previous is None:
        return said | {"rule": "initial", "to_parent": None, "to_runner_up": None}
    if best is None:
        failed = previous["failed_iterations"] + 1
        return said | {
            "rule": "no branch succeeded",
            "parent_kept": kept + 1,
            "failed_iterations": failed,
        }
    if best["kind"] == "candidate":
        said["rule"] = "best candidate"
    if not selection["keep_parent"] or parent is None:
        return said
    own, theirs = merit(best, selection), merit(parent, selection)
    if own > theirs or (ties and own == theirs):
        return said
    if kept >= selection["patience"]:
        return said | {"rule": "patience"}
    return said | {
        "rule": "parent kept",
        "champion": old,
        "parent_kept": kept + 1,
        "to_parent": {"mean": 0.0, "standard_error": 0.0},
        "to_runner_up": difference(parent, best),
    }


def spec_sha256(table: Table) -> str:
    """A specification's identity: SHA-256 of its sorted JSON, infinities as strings."""

    def spelled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: spelled(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [spelled(inner) for inner in value]
        return str(value) if isinstance(value, float) and math.isinf(value) else value

    text = json.dumps(spelled(table), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def standard_error(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    middle = mean(values)
    squares = math.fsum((value - middle) ** 2 for value in values)
    return math.sqrt(squares / (len(values) - 1) / len(values))


def content_of(record: Table) -> Any:
    """SHA-256 of the rollout or agent that a record names; empty if there is none."""
    return record.get("rollout_sha256") or (record["agent"]["sha256"] if record["agent"] else "")


def score_of(record: Table) -> Any:
    """Of what succeeded with a finite score; else ``None``."""
    evaluation = record["evaluation"]
    if record["status"] != "done" or not evaluation:
        return None
    score = evaluation.get("selection", evaluation)["score"]
    return score if score is not None and math.isfinite(score) else None


def merit(record: Table, selection: Table) -> tuple[float, float]:
    """Of a record with a score: the higher one wins."""
    sign = -1 if selection.get("direction") == "min" else 1
    return sign * score_of(record), record["evaluation"]["score"]


def is_better(champion: Table, other: Table, selection: Table) -> bool:
    """Whether a champion was selected by a better score than another one."""
    if selection.get("direction") == "min":
        champion, other = other, champion
    return bool(champion["score"] > other["score"])


def values_of(record: Table) -> list[float | None]:
    """By episode, what the score is the mean of."""
    evaluation: Table = record["evaluation"]
    if "selection" not in evaluation:
        returns: list[float | None] = evaluation["returns"]
        return returns
    name = evaluation["selection"]["by"].removeprefix("info.")
    values: list[float | None] = evaluation["info"][name]["values"]
    return values


def faults_of_info(record: Table, episodes: int, selection: Table) -> list[str]:
    """What is wrong with the values of info in a record, and with the score that is one of them."""
    evaluation = record["evaluation"]
    faults = [
        f"{len(info['values'])} values of info of {episodes}"
        for info in evaluation.get("info", {}).values()
        if len(info["values"]) != episodes
    ]
    by = evaluation["selection"]["by"] if "selection" in evaluation else "return"
    if by != selection.get("score", "return"):
        faults.append(f"is selected by {by}")
    elif (score := score_of(record)) is not None:
        values = values_of(record)
        known = [value for value in values if value is not None]
        if len(known) < len(values) or not close(score, mean(known)):
            faults.append(f"selected by {score}, not by the mean of its values")
    return faults


def as_champion(record: Table) -> Table:
    return {
        **{key: record["agent"][key] for key in ("path", "sha256")},
        "score": score_of(record),
        **{key: record[key] for key in ("iteration", "kind", "index")},
    }


def difference(a: Table | None, b: Table | None) -> Table | None:
    if a is None or b is None:
        return None
    pairs = list(zip(values_of(a), values_of(b), strict=True))
    differences = [x - y for x, y in pairs if x is not None and y is not None]
    if len(differences) < len(pairs):
        return None
    return {"mean": mean(differences), "standard_error": standard_error(differences)}


def close(a: Any, b: Any) -> bool:
    """Equal, numbers of differences up to rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(close(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return bool(a == b)
