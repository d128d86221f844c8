"""Which jobs of a cluster were submitted for a pool."""

from __future__ import annotations

import hashlib
import os
import re

from poolrl.records.records import NewerSchema, Submission, Unreadable, decode, encode
from poolrl.storage import store
from poolrl.storage.layout import Layout


def note(layout: Layout, submission: Submission) -> None:
    """Remember a submission, or what has been added to it.

    Raises:
        StoreError: the file system refused.
    """
    store.make_folder(layout.jobs)
    store.replace(layout.submission(submission.jobs[0]), encode(submission))


def submissions(layout: Layout) -> list[Submission]:
    """All of them, the oldest first; what cannot be read is passed over.

    Raises:
        StoreError: the file system refused.
    """
    found = []
    for name in store.names_in(layout.jobs):
        if not layout.is_submission(name):
            continue
        try:
            data = store.read_if_there(layout.jobs / name)
            if data is not None:
                found.append(decode(data, Submission))
        except (store.Strange, Unreadable, NewerSchema):
            continue
    return sorted(found, key=lambda each: (each.submitted, each.jobs))


def job_name(layout: Layout) -> str:
    """The name of a pool's jobs: of its folder, and of where that lies."""
    place = os.path.realpath(layout.root)
    folder = re.sub(r"[^\w.-]+", "-", os.path.basename(place), flags=re.ASCII)[:40]
    return f"poolrl-{folder}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"
