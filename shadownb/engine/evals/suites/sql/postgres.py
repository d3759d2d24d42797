"""Databases of SQL-Eval in a Postgres of their own: started in a temporary folder, stopped with whoever asks.

It listens on a socket in that folder alone. Queries run as a role that can read and nothing else, for so long and so much. The
server is a child of a shell that waits for this process: after a kill -9, too, it ends and its folder goes.
"""

from __future__ import annotations

import contextlib
import decimal
import os
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shadownb.engine.evals.suites.sql.sqlite import Result
from shadownb.errors import MissingDependencyError, SandboxError

_NOBODY = 65534  # Postgres refuses to run as root
_PATIENCE = 60.0  # seconds until the server answers; 0.3 on an idle machine
_FIX = "apt install postgresql (or pip install pgserver) and pip install 'shadownb[postgres]'; or ask for 'sql', which is SQLite."
# Waits for the pipe to close, whatever ends the other end of it; then stops the server and takes its folder away.
_GUARDED = """
postgres=$1; folder=$2; shift 2
"$postgres" -D "$folder/data" "$@" & read -r _; kill -INT $!; wait; rm -rf "$folder"
"""
_SETTINGS = {
    "listen_addresses": "", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off",
    "temp_file_limit": "100MB", "max_connections": "20", "shared_buffers": "32MB", "logging_collector": "off",
}  # fmt: skip


def programs() -> Path:
    """Return the folder of Postgres' programs.

    Raises
    ------
    MissingDependencyError
        They are not here, or the client library is not.
    """
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingDependencyError("psycopg is not installed, by which Postgres is asked.", fix=_FIX) from None
    needed = ("initdb", "postgres", "psql")
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places += [Path("/usr/local/pgsql/bin"), Path("/opt/homebrew/opt/postgresql/bin")]
    if (found := shutil.which("postgres")) is not None:
        places.append(Path(found).resolve().parent)
    with contextlib.suppress(ImportError):
        import pgserver

        places.append(Path(pgserver.__file__).parent / "pginstall" / "bin")
    for place in places:
        if all((place / name).exists() for name in needed):
            return place
    raise MissingDependencyError("The programs of Postgres are not here.", fix=_FIX)


class Postgres:
    """A server with a database for each dump that was asked about; starts at the first question.

    Attributes
    ----------
    dialect
        What its queries are written in.
    """

    dialect = "PostgreSQL"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._connections: dict[str, Any] = {}

    def ask(self, name: str, dump: Path, query: str, *, seconds: float, most_rows: int) -> Result:
        """Return what a query gives on the database of a dump; see :class:`Result`.

        Raises
        ------
        MissingDependencyError
            Postgres is not here.
        SandboxError
            It does not start.
        """
        import psycopg

        with self._lock:
            connection = self._database(name, dump)
            result = Result(None)
            try:
                with connection.transaction(force_rollback=True), connection.cursor(binary=True) as cursor:
                    cursor.execute(f"SET LOCAL statement_timeout = {int(seconds * 1000)}")
                    cursor.execute(f"EXPLAIN (FORMAT JSON) {query}")
                    told = cursor.fetchone()
                    result.read = set(_relations(told[0] if told else []))
                    cursor.execute(query)
                    rows = cursor.fetchmany(most_rows + 1)
            except psycopg.Error as error:
                said = str(error).splitlines()
                result.error = (
                    "timed out" if isinstance(error, psycopg.errors.QueryCanceled) else said[0] if said else "error"
                )
                if connection.closed:
                    del self._connections[name]
            else:
                if len(rows) > most_rows:
                    result.error = "too many rows"
                else:
                    result.rows = [tuple(map(_plain, row)) for row in rows]
            return result

    def _database(self, name: str, dump: Path) -> Any:
        import psycopg

        if name not in self._connections:
            folder, bin_ = self._started(), programs()
            with psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True) as admin:
                known = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
                if known is None:
                    admin.execute(f'CREATE DATABASE "{name}"')
            if known is None:
                given = ["-h", str(folder), "-U", "postgres", "-d", name, "-q"]
                subprocess.run([str(bin_ / "psql"), *given, "-f", str(dump)], capture_output=True, check=False)
                rights = "GRANT USAGE ON SCHEMA public TO reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
                subprocess.run([str(bin_ / "psql"), *given, "-c", rights], capture_output=True, check=True)
            connection = psycopg.connect(host=str(folder), user="reader", dbname=name, autocommit=True)
            connection.execute("SET default_transaction_read_only = on")
            connection.execute("SET search_path = public")
            self._connections[name] = connection
        return self._connections[name]

    def _started(self) -> Path:
        """Return the folder of the server's socket; the server runs."""
        import psycopg

        if self._folder is not None:
            return self._folder
        bin_ = programs()
        folder = Path(tempfile.mkdtemp(prefix="shadownb-postgres-"))
        other: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        if other:
            os.chown(folder, _NOBODY, _NOBODY)
        init = [
            str(bin_ / "initdb"),
            "-D",
            str(folder / "data"),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        made = subprocess.run([*init, "--locale=C"], capture_output=True, text=True, check=False, cwd="/", **other)
        if made.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise SandboxError(
                "Postgres cannot be set up.", why=(made.stderr.strip().splitlines() or [""])[-1], fix=_FIX
            )
        options = [part for key, value in _SETTINGS.items() for part in ("-c", f"{key}={value}")]
        server = subprocess.Popen(
            ["/bin/sh", "-c", _GUARDED, "sh", str(bin_ / "postgres"), str(folder), "-k", str(folder), *options],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", start_new_session=True, **other,
        )  # fmt: skip
        weakref.finalize(self, _stop, server, self._connections)  # also at the end of the process
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                with psycopg.connect(host=str(folder), user="postgres", dbname="postgres", autocommit=True) as admin:
                    admin.execute("CREATE ROLE reader LOGIN")
                break
            except psycopg.OperationalError as error:
                if time.monotonic() > end or server.poll() is not None:
                    _stop(server, {})
                    raise SandboxError("Postgres does not start.", why=str(error).splitlines()[0], fix=_FIX) from error
                time.sleep(0.05)
        self._folder = folder
        return folder


def _stop(server: subprocess.Popen[bytes], connections: dict[str, Any]) -> None:
    for connection in connections.values():
        with contextlib.suppress(Exception):
            connection.close()
    if server.stdin is not None:
        server.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(timeout=20)


def _relations(plan: Any) -> Iterator[str]:
    """Yield the tables that a plan reads."""
    if isinstance(plan, list):
        for each in plan:
            yield from _relations(each)
    elif isinstance(plan, dict):
        if "Relation Name" in plan:
            yield str(plan["Relation Name"]).lower()
        for each in plan.values():
            yield from _relations(each)


def _plain(value: Any) -> Any:
    """Return a value as SQLite would have it, so that one comparison serves both."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value if isinstance(value, int | float | bytes | None) else str(value)
