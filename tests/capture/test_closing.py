"""A store that one thread closes or deletes while others read it: they go on or are told so, and the process lives.

Each runs in a process of its own, as what goes wrong here is a segmentation fault of SQLite.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shadownb.errors import DataError
from tests.capture.plenty import plenty

CLOSING = """
import json, sys, threading
from pathlib import Path
from shadownb.engine.capture import CaptureStore

store, failed, left = CaptureStore.open("plenty", home=Path(sys.argv[1])), [], threading.Semaphore(0)

def read():
    try:
        for _ in range(400):
            table = store.index.table
            store.index.counts(), store.index.unanswered, store.index.unread, table.page({}), table.facets(), store.count()
    except BaseException as error:
        failed.append(repr(error))
    left.release()

readers = [threading.Thread(target=read) for _ in range(3)]
for reader in readers:
    reader.start()
while any(reader.is_alive() for reader in readers):
    store.close()
print(json.dumps(failed))
"""

DELETING = """
import json, shutil, sys, threading, traceback
from pathlib import Path
from shadownb.engine.capture import CaptureStore
from shadownb.errors import ShadowError

home = Path(sys.argv[1])
store, done, unknown = CaptureStore.open("plenty", home=home), threading.Event(), []
folder = store.files.path
store.close()
kept = shutil.copytree(folder, home / "kept")

def read():
    while not done.is_set():
        try:
            one = CaptureStore.open("plenty", home=home)
            one.index.counts()
            one.close()
        except ShadowError:
            pass
        except BaseException as error:
            unknown.append(traceback.format_exc()[-500:])

readers = [threading.Thread(target=read) for _ in range(2)]
for reader in readers:
    reader.start()
for _ in range(300):
    store.files.delete()
    shutil.copytree(kept, home / "next").rename(folder)
done.set()
for reader in readers:
    reader.join()
print(json.dumps(unknown))
"""


def outcome(script: str, home: Path) -> list[str]:
    plenty(60, home=home).close()
    command = [sys.executable, "-X", "faulthandler", "-c", script, str(home)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return list(json.loads(ran.stdout))


def test_a_store_that_is_closed_while_others_read_is_opened_again_for_them(tmp_path: Path) -> None:
    assert outcome(CLOSING, tmp_path) == []


def test_a_store_that_is_deleted_and_made_anew_while_others_open_it_ends_no_process(tmp_path: Path) -> None:
    assert outcome(DELETING, tmp_path) == []


def test_of_a_deleted_capture_nothing_is_read_and_of_one_made_anew_by_its_name_the_new_one(tmp_path: Path) -> None:
    store = plenty(60, home=tmp_path)
    store.index.catch_up()
    assert store.count() == 60 and store.index.table.page({})[1] > 7
    store.files.delete()
    with pytest.raises(DataError, match="not a capture store"):
        store.count()
    anew = plenty(10, home=tmp_path, seed=5)
    anew.index.catch_up()
    store.index.catch_up()
    assert store.count() == anew.count() == 10
    assert store.index.table.page({}) == anew.index.table.page({})
