"""Signature checks of the simulated venue, by code that is not ours.

Keccak-256 comes from eth-hash, recovery from libsecp256k1 through coincurve; the
product's own extension is never used here. Checks run at once (`inline`) or in another
process at the lowest priority (`deferred`), so that they do not compete with what is
being measured; a bad signature found later fails the run in the summary.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from typing import Final

from coincurve import PublicKey
from eth_hash.auto import keccak

ASTER_MAINNET: Final = 1666
MANAGEMENT_CHAIN: Final = 56
_DOMAIN_TYPE: Final = (
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_MESSAGE_HASH: Final = keccak(b"Message(string msg)")
_SIGNATURE_CHARS: Final = 130
_FLUSH_AT: Final = 4096
IDLE_SECONDS: Final = 0.25


def domain_separator(chain_id: int) -> bytes:
    """Return the EIP-712 domain hash of Aster's signing domain for a chain."""
    return keccak(
        keccak(_DOMAIN_TYPE)
        + keccak(b"AsterSignTransaction")
        + keccak(b"1")
        + chain_id.to_bytes(32, "big")
        + bytes(32)
    )


_SEPARATORS: Final = {
    chain: domain_separator(chain) for chain in (ASTER_MAINNET, 714, MANAGEMENT_CHAIN)
}


def message_digest(signed_text: bytes, chain_id: int) -> bytes:
    """Return the 32 bytes that a client signs for a parameter string."""
    struct_hash = keccak(_MESSAGE_HASH + keccak(signed_text))
    return keccak(b"\x19\x01" + _SEPARATORS[chain_id] + struct_hash)


def recover_signer(digest: bytes, signature: str) -> str | None:
    """Return the lower-case address that signed, None when nothing can be recovered."""
    text = signature.removeprefix("0x").removeprefix("0X")
    if len(text) != _SIGNATURE_CHARS:
        return None
    try:
        raw = bytes.fromhex(text)
        recovery = raw[64] - 27 if raw[64] >= 27 else raw[64]  # noqa: PLR2004 - v is 27/28
        if recovery not in (0, 1):
            return None
        packed = raw[:64] + bytes((recovery,))
        key = PublicKey.from_signature_and_message(packed, digest, hasher=None)
    except ValueError:
        return None
    return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()


def is_signed_by(signed_text: bytes, signature: str, address: str, chain: int) -> bool:
    """Return whether an address (lower case) signed a parameter string."""
    return recover_signer(message_digest(signed_text, chain), signature) == address


class DeferredVerifier:
    """Sends checks to a process at the lowest priority and hears the verdicts.

    Wire: one line a check, ``token chain address signature hex(text)``; one line back,
    ``token 1`` or ``token 0``.
    """

    def __init__(self, on_verdict: Callable[[int, bool], None]) -> None:
        """Start without a process; ``on_verdict`` gets (token, good)."""
        self._on_verdict = on_verdict
        self._waiting: list[bytes] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self.queued = 0
        self.settled = 0

    async def start(self) -> None:
        """Start the checking process."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "slipstream.venues.sim.verify_worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 20,
        )
        self._reader = asyncio.get_running_loop().create_task(self._read())

    def put(self, token: int, text: bytes, signature: str, address: str, chain: int) -> None:
        """Queue one check; it leaves when the venue has been quiet for a moment."""
        self.queued += 1
        line = f"{token} {chain} {address} {signature or '-'} {text.hex()}\n"
        self._waiting.append(line.encode())
        if len(self._waiting) >= _FLUSH_AT:
            self._flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(IDLE_SECONDS, self._flush)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        process = self._process
        if process is not None and process.stdin is not None and self._waiting:
            process.stdin.write(b"".join(self._waiting))
            self._waiting.clear()

    async def _read(self) -> None:
        process = self._process
        if process is None or process.stdout is None:
            return
        async for line in process.stdout:
            token, _, verdict = line.partition(b" ")
            self.settled += 1
            self._on_verdict(int(token), verdict.strip() == b"1")
            if self.settled == self.queued:
                self._idle.set()
        self._idle.set()

    async def drain(self) -> None:
        """Wait until every queued check has its verdict, or the process is gone."""
        self._flush()
        if self.settled < self.queued and not self.is_broken:
            self._idle.clear()
            await self._idle.wait()

    @property
    def is_broken(self) -> bool:
        """Whether the checking process is gone, so that verdicts will not come."""
        return self._process is None or self._process.returncode is not None

    async def stop(self) -> None:
        """Let the process end and wait for it."""
        process = self._process
        if process is None or process.stdin is None:
            return
        self._flush()
        process.stdin.close()
        await process.wait()
        if self._reader is not None:
            await self._reader


def run_worker() -> None:
    """Check what comes in on standard input until it ends."""
    os.nice(19)
    for line in sys.stdin.buffer:
        token, chain, address, signature, text = line.decode().split(" ")
        good = is_signed_by(bytes.fromhex(text), signature, address, int(chain))
        sys.stdout.write(f"{token} {int(good)}\n")
        sys.stdout.flush()
