"""Where a leader's executions are to be read from, held until nothing before waits. No I/O."""

from collections.abc import Callable
from dataclasses import replace

from slipstream.engine.effects import Effect, EmitIntent


class Cursors:
    """By symbol the cursor that no intent carried yet."""

    def __init__(self, is_settled: Callable[[str], bool]) -> None:
        """Ask ``is_settled`` whether nothing of a symbol waits."""
        self._is_settled = is_settled
        self._held: dict[str, str] = {}

    def hold(self, symbol: str, cursor: str) -> None:
        """Take the newest cursor of a symbol."""
        self._held[symbol] = cursor

    def put_on(self, effects: list[Effect]) -> list[Effect]:
        """Put each cursor on the last intent of its symbol once nothing of it waits."""
        if not self._held:
            return effects
        for index in range(len(effects) - 1, -1, -1):
            effect = effects[index]
            if not isinstance(effect, EmitIntent):
                continue
            symbol = effect.intent.symbol
            if symbol in self._held and self._is_settled(symbol):
                effects[index] = replace(effect, cursor=self._held.pop(symbol))
        return effects
