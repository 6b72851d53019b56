"""One connection to the vendor's live gateway, within limits of size and time.

What belongs here: the vendor's protocol, spoken through its own package, and every way in which a gateway can fail to keep
to it, told in one sentence. What does not: which records are kept, and whether to connect again (live.py).
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import databento_dbn as dbn

from assets.desk import KEY_VARIABLE
from assets.ticks.dbn import TicksError
from assets.ticks.historical import quoted, vendor_library

vendor_library()

from databento.live.protocol import DatabentoLiveProtocol  # noqa: E402  # after its log has been turned off

CONNECT_SECONDS: Final = 10.0
"""Until a connection stands."""

ANSWER_SECONDS: Final = 10.0
"""Until each step of the greeting is answered: the key, then the header."""

HEARTBEAT_SECONDS: Final = 10
"""How often the gateway is asked to speak when it has nothing to say."""

SILENT_SECONDS: Final = 30.0
"""Without a byte, heartbeats among them, after which the line is taken for dead."""

_LONGEST_GREETING: Final = 1 << 16
"""Bytes until the key is accepted: a gateway's are a hundred."""

_LONGEST_HEADER: Final = 1 << 20
"""Bytes of the header before the first record: a gateway's are some hundreds."""

_BEAT: Final = 0.05
_FLUSH_SECONDS: Final = 1.0

_PASSING: Final = (dbn.ErrorCode.INTERNAL_ERROR, dbn.ErrorCode.CONNECTION_LIMIT_EXCEEDED)
"""What a gateway refuses for a reason of its own, which may pass."""


class LostError(TicksError):
    """The gateway is not to be reached, or no more."""


class GatewayError(TicksError):
    """The gateway does not keep to the protocol."""


class Talk(DatabentoLiveProtocol):  # type: ignore[misc]
    """The vendor's protocol, which hands each record on and remembers why it ended."""

    def __init__(self, key: str, dataset: str, take: Callable[[Any], None]) -> None:
        super().__init__(key, dataset, heartbeat_interval_s=HEARTBEAT_SECONDS)
        self._take = take
        self._greeting, self._head = 0, b""
        self.heard = time.monotonic()
        self.fault: Exception | None = None
        """What the gateway did wrong."""
        self.broken: Exception | None = None
        """What went wrong where a record was taken."""
        self.refusals: list[Any] = []

    def buffer_updated(self, nbytes: int) -> None:
        """What has arrived, as far as it is within the limits."""
        self.heard = time.monotonic()
        if self.fault or self.broken:
            return
        try:
            self._bounded(bytes(memoryview(self.get_buffer(0))[:nbytes]))
            super().buffer_updated(nbytes)
        except Exception as error:
            self.fault = error
            self.transport.abort()

    def _bounded(self, data: bytes) -> None:
        if not self.authenticated.done():
            self._greeting += len(data)
            if self._greeting > _LONGEST_GREETING:
                raise GatewayError(f"sends more than {_LONGEST_GREETING:,} bytes instead of a greeting")
        elif len(self._head) < 8:
            self._head += data[: 8 - len(self._head)]
            if not self._head.startswith(b"DBN"[: len(self._head)]):
                raise GatewayError(f"sends no DBN: its first bytes are {self._head!r}")
            size = int.from_bytes(self._head[4:8], "little")
            if size > _LONGEST_HEADER:
                raise GatewayError(f"claims a header of {size:,} bytes, where {_LONGEST_HEADER:,} are read at most")

    def received_record(self, record: Any) -> None:
        """A record, heartbeats and mappings among them."""
        if isinstance(record, dbn.ErrorMsg) and record.code != dbn.ErrorCode.SKIPPED_RECORDS_AFTER_SLOW_READING:
            self.refusals.append(record)
        if self.broken is None:
            try:
                self._take(record)
            except Exception as error:
                self.broken = error
                self.transport.abort()


class Gateway:
    """Where to connect, and with what.

    Args:
        address: host and port of another gateway; None: the vendor's.
        key: of the vendor.
        dataset, schema, symbols, stype_in: of the subscription.
    """

    def __init__(self, address: tuple[str, int] | None, key: str, dataset: str, schema: str, symbols: Sequence[str], stype_in: str) -> None:
        self._host, self._port = address or (f"{dataset.lower().replace('.', '-')}.lsg.databento.com", 13000)
        self._key, self._dataset, self._schema, self._symbols, self._stype_in = key, dataset, schema, list(symbols), stype_in

    def listen(self, take: Callable[[Any], None], over: Callable[[], bool], flush: Callable[[], None]) -> None:
        """Hand on every record until the gateway closes or it is `over`; `flush` is called about each second.

        Raises:
            LostError: the gateway is not to be reached, or the line broke.
            GatewayError: what it sends is not the protocol, or nothing.
            TicksError: it refuses the key or the subscription.
            Exception: whatever `take` raised.
        """
        asyncio.run(self._listen(take, over, flush))

    async def _listen(self, take: Callable[[Any], None], over: Callable[[], bool], flush: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda *_: None)  # every fault is told by whoever waits for it
        named = f"the live gateway of {self._dataset}"
        try:
            connecting = loop.create_connection(lambda: Talk(self._key, self._dataset, take), self._host, self._port)
            transport, talk = await asyncio.wait_for(connecting, CONNECT_SECONDS)
        except (OSError, UnicodeError) as error:  # a timeout is an OSError, too
            reason = quoted(error) or f"no answer within {CONNECT_SECONDS:.0f} s"
            raise LostError(f"{named} cannot be reached: {reason}; check the network and --gateway") from None
        try:
            await self._greet(named, talk)
            flushed = time.monotonic()
            while not over() and not talk.disconnected.done():
                await asyncio.wait({talk.disconnected}, timeout=_BEAT)
                silent = time.monotonic() - talk.heard
                if silent > SILENT_SECONDS:
                    raise LostError(f"{named} has been silent for {silent:.0f} s")
                if time.monotonic() > flushed + _FLUSH_SECONDS:
                    flush()
                    flushed = time.monotonic()
            if talk.broken or not over():
                self._ended(named, talk)
        finally:
            transport.abort()
            for future in (talk.authenticated, talk.metadata_received, talk.disconnected):
                if future.done() and not future.cancelled():
                    future.exception()

    async def _greet(self, named: str, talk: Talk) -> None:
        await self._answered(named, talk, talk.authenticated, "its greeting and the answer to the key")
        if talk.authenticated.exception():
            told = quoted(talk.authenticated.exception())
            raise TicksError(f"the live gateway refused {self._dataset}: {told}; check {KEY_VARIABLE} and the licence")
        talk.subscribe(self._schema, self._symbols, self._stype_in, snapshot=self._schema == "mbo")
        talk.start()
        await self._answered(named, talk, talk.metadata_received, "its header")

    async def _answered(self, named: str, talk: Talk, answer: "asyncio.Future[Any]", what: str) -> None:
        await asyncio.wait({answer, talk.disconnected}, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return
        if not talk.disconnected.done():
            raise GatewayError(f"{named} did not send {what} within {ANSWER_SECONDS:.0f} s; check --gateway")
        self._ended(named, talk)
        raise LostError(f"{named} closed the connection before {what}")

    def _ended(self, named: str, talk: Talk) -> None:
        """Why a connection ended, where it was not the gateway's own quiet close."""
        if talk.broken is not None:
            raise talk.broken
        if isinstance(talk.fault, GatewayError):
            raise GatewayError(f"{named} {talk.fault}; check --gateway")
        if talk.fault is not None:
            what = "no record" if talk.authenticated.done() else "no greeting"
            raise GatewayError(f"{named} sent what is {what}: {quoted(talk.fault)}; check --gateway")
        if talk.refusals:
            told = ", ".join(quoted(refusal.err) for refusal in talk.refusals)
            if all(refusal.code in _PASSING for refusal in talk.refusals):
                raise GatewayError(f"{named} gave up: {told}")
            asked = f"{self._schema} of {', '.join(self._symbols)} ({self._stype_in}) in {self._dataset}"
            raise TicksError(f"the live gateway refused {asked}: {told}; check the markets' symbols in the desk file")
        if talk.disconnected.done() and talk.disconnected.exception():
            raise LostError(f"{named} was lost: {quoted(talk.disconnected.exception())}")
