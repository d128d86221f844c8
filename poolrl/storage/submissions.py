"""The jobs that were submitted to a cluster for a pool."""

from __future__ import annotations

import hashlib
import os
import re

from poolrl.records.codec import NewerSchema, Unreadable, decode, encode
from poolrl.records.worker_records import Submission
from poolrl.storage.layout import Layout
from poolrl.storage.store import Store, UnusableFile


def save_submission(store: Store, submission: Submission) -> None:
    """Write the record of a submission, or replace it.

    Raises:
        StoreError: the file system refused.
    """
    layout = Layout(store.root)
    store.make_folder(layout.jobs)
    store.replace(layout.submission(submission.jobs[0]), encode(submission))


def submissions(store: Store) -> list[Submission]:
    """All submissions, the oldest first; records that cannot be read are skipped.

    Raises:
        StoreError: the file system refused.
    """
    layout, found = Layout(store.root), []
    for name in store.names_in(layout.jobs):
        if not layout.is_submission(name):
            continue
        try:
            data = store.read_if_there(layout.jobs / name)
            if data is not None:
                found.append(decode(data, Submission))
        except (UnusableFile, Unreadable, NewerSchema):
            continue
    return sorted(found, key=lambda each: (each.submitted, each.jobs))


def job_name(layout: Layout) -> str:
    """Name of a pool's jobs: name of its folder, and a hash of its path."""
    path = os.path.realpath(layout.root)
    folder = re.sub(r"[^\w.-]+", "-", os.path.basename(path), flags=re.ASCII)[:40]
    return f"poolrl-{folder}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
