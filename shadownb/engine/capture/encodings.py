"""What bodies are compressed with on the wire: gzip and deflate in all their dialects, Brotli, Zstandard; bounded, piece by piece.

Only gzip and deflate are asked of an upstream, but some send what nobody asked for, and clients compress what they send.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol

from shadownb.engine.jsontext import MAX_BYTES

Frames = list[tuple[float, bytes]]
_STEP = 256  # bytes at a time of what has no bound of its own: they come to some megabytes at most


class NotDecoded(ValueError):
    """Bytes that are not what their encoding says, or come to more than is read."""


class Decoder(Protocol):
    """Takes compressed pieces and gives what they come to, as far as it is known."""

    def feed(self, data: bytes) -> bytes:
        """Return what the next piece adds. Raises :class:`NotDecoded`."""


class _Zlib:
    """gzip, also of several members, and deflate with or without zlib's head."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._windows = [31] if "gzip" in encoding else [15, -15]
        self._limit = limit
        self._begin()
        self._ended = self._padding = False
        self._seen = b""  # until it is known which kind of deflate it is

    def _begin(self) -> None:
        self._inflate = zlib.decompressobj(self._windows[0])

    def feed(self, data: bytes) -> bytes:
        plain: list[bytes] = []
        rest = data
        while rest and not self._padding:
            try:
                made = self._inflate.decompress(rest, self._limit + 1)
            except zlib.error as error:
                if self._ended:  # what follows a whole one and is none is padding
                    self._padding = True
                    break
                if len(self._windows) == 1:
                    raise NotDecoded(str(error)) from None
                rest, self._windows = self._seen + rest, self._windows[1:]
                self._begin()
                continue
            if made:
                self._windows = self._windows[:1]
            elif len(self._windows) > 1:
                self._seen += rest
            self._limit -= len(made)
            if self._limit < 0:
                raise NotDecoded("it comes to more than is read")
            plain.append(made)
            rest = self._inflate.unconsumed_tail
            if self._inflate.eof:
                rest, self._ended = self._inflate.unused_data, True
                self._begin()
        return b"".join(plain)


class _Brotli:
    def __init__(self, limit: int) -> None:
        import brotli

        self._inflate, self._error, self._limit = brotli.Decompressor(), brotli.error, limit

    def feed(self, data: bytes) -> bytes:
        plain = bytearray()
        try:
            while True:
                plain += self._inflate.process(data, output_buffer_limit=max(1, self._limit - len(plain) + 1))
                if len(plain) > self._limit:
                    raise NotDecoded("it comes to more than is read")
                if self._inflate.can_accept_more_data() or self._inflate.is_finished():
                    break
                data = b""
        except self._error as error:
            raise NotDecoded(str(error)) from None
        self._limit -= len(plain)
        return bytes(plain)


class _Zstandard:
    def __init__(self, limit: int) -> None:
        import zstandard

        self._inflate = zstandard.ZstdDecompressor().decompressobj(read_across_frames=True)
        self._error, self._limit = zstandard.ZstdError, limit

    def feed(self, data: bytes) -> bytes:
        plain = bytearray()
        for begin in range(0, len(data), _STEP):
            try:
                plain += self._inflate.decompress(data[begin : begin + _STEP])
            except self._error as error:
                raise NotDecoded(str(error)) from None
            if len(plain) > self._limit:
                raise NotDecoded("it comes to more than is read")
        self._limit -= len(plain)
        return bytes(plain)


class _Several:
    """One encoding upon another, as in ``content-encoding: gzip, br``; the last one said is the outermost."""

    def __init__(self, inner: list[Decoder]) -> None:
        self._inner = inner

    def feed(self, data: bytes) -> bytes:
        for decoder in self._inner:
            data = decoder.feed(data)
        return data


def decoder(encoding: str, limit: int | None = None) -> Decoder | None:
    """Return what decodes an encoding; None for one that is not known.

    Parameters
    ----------
    encoding
        The header ``content-encoding``.
    limit
        Bytes that are read at most; as many as of any JSON if None.
    """
    inner: list[Decoder] = []
    limit = MAX_BYTES if limit is None else limit
    for given in encoding.lower().split(","):
        name = given.strip().removeprefix("x-")
        if name in ("gzip", "deflate"):
            inner.insert(0, _Zlib(name, limit))
        elif name == "br":
            inner.insert(0, _Brotli(limit))
        elif name == "zstd":
            inner.insert(0, _Zstandard(limit))
        elif name not in ("", "identity"):
            return None
    return inner[0] if len(inner) == 1 else _Several(inner)


def decoded(frames: Iterable[tuple[float, bytes]], encoding: str) -> tuple[Frames, str]:
    """Return frames decompressed and the encoding that is left: empty, unless the bytes are not what they claim, or more than is
    read: a megabyte can claim to be a gigabyte."""
    given = list(frames)
    if not encoding:
        return given, ""
    known = decoder(encoding)
    try:
        return (given, encoding) if known is None else (list(_plain(given, known)), "")
    except NotDecoded:
        return given, encoding


def _plain(frames: Frames, known: Decoder) -> Iterator[tuple[float, bytes]]:
    for at, piece in frames:
        if plain := known.feed(piece):
            yield at, plain
