"""Send W&B runs that wait on this disk, by the client's own command."""

import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from spdclust.core.errors import InputError
from spdclust.tracking.notes import Note, load_note

log = logging.getLogger(__name__)

SEND_SECONDS = 600.0
"""How long one run may take to be sent."""

OFFLINE_MODES = ("offline", "dryrun", "disabled")


def send(path: Path) -> Note | None:
    """Send the run that a note is about, if it waits on this disk and W&B is meant to be online.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "run_0.json"
        ...     Note("demo-run_0-1f2e", source="ab", target="me/mine", complete=True).save(path)
        ...     send(path).run_id  # it is online already: nothing to send
        'demo-run_0-1f2e'

    Args:
        path: the note.

    Returns:
        The note as it is then, None where there is none.
    """
    note = load_note(path)
    if note is None or not note.offline or os.environ.get("WANDB_MODE", "") in OFFLINE_MODES:
        return note
    if not Path(note.folder).is_dir():
        return note
    command = [sys.executable, "-m", "wandb", "sync", note.folder]
    try:
        # without a terminal, so that nothing can ask for a login
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SEND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s was not sent (%s); try `wandb sync %s`", note.run_id, error, note.folder)
        return note
    if done.returncode != 0 or "error" in done.stdout.lower():
        last = (done.stdout.strip().splitlines() or ["no answer"])[-1]
        log.warning("%s was not sent (%s); try `wandb sync %s`", note.run_id, last, note.folder)
        return note
    note = replace(note, offline=False)
    try:
        note.save(path)
    except InputError as error:
        log.warning("%s; it would be sent again", error)
    return note
