"""Market streams of the Aster face, at their real cadence.

A timed stream shows what was true at its tick: changes gather between ticks and leave
together. Book faults act here and on the depth answer.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from slipstream.venues.sim.amounts import to_plain
from slipstream.venues.sim.aster.streams import Fanout, Topic
from slipstream.venues.sim.exchange import Exchange, rows_text
from slipstream.venues.sim.faults import FaultBox, FaultRule
from slipstream.venues.sim.http import Connection
from slipstream.venues.sim.matching import BUY, Change
from slipstream.venues.sim.orders import Fill

Json = dict[str, Any]


@dataclass(slots=True)
class Channel:
    """One market stream with its subscribers and what gathered since the last tick."""

    topic: Topic
    last_sequence: int
    subscribers: set[Connection] = field(default_factory=set)
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    changed_ns: int = 0
    trades: list[Fill] = field(default_factory=list)
    shown: object = None
    """The sequence or best quotes last sent, to send only what is new."""


class MarketStreams:
    """All market channels of the face."""

    def __init__(
        self,
        exchange: Exchange,
        faults: FaultBox,
        send: Callable[[Connection, bytes], None],
    ) -> None:
        """Start without channels; ``send`` writes frames to a connection."""
        self._exchange = exchange
        self._faults = faults
        self._send = send
        self._channels: dict[str, Channel] = {}
        self._by_symbol: dict[str, list[Channel]] = {}
        self._aggregate_id = 5_933_014
        self._ticking: set[int] = set()
        self._frozen: dict[str, Json] = {}

    # -- subscriptions ------------------------------------------------------------

    def subscribe(self, connection: Connection, topic: Topic) -> None:
        """Add a connection to a stream; its first event covers what comes next."""
        channel = self._channels.get(topic.name)
        if channel is None:
            sequence = self._exchange.books[topic.symbol].sequence
            channel = self._channels[topic.name] = Channel(topic, sequence)
            self._by_symbol.setdefault(topic.symbol, []).append(channel)
        channel.subscribers.add(connection)
        if topic.cadence_ms and topic.cadence_ms not in self._ticking:
            self._ticking.add(topic.cadence_ms)
            self._schedule(topic.cadence_ms)

    def unsubscribe(self, connection: Connection, name: str) -> None:
        """Take a connection out; an empty channel disappears."""
        channel = self._channels.get(name)
        if channel is None:
            return
        channel.subscribers.discard(connection)
        if not channel.subscribers:
            del self._channels[name]
            self._by_symbol[channel.topic.symbol].remove(channel)

    def is_watched(self, symbol: str) -> bool:
        """Return whether any socket listens to a stream of a symbol."""
        return bool(self._by_symbol.get(symbol))

    def _schedule(self, cadence_ms: int) -> None:
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + cadence_ms / 1000, self._tick, cadence_ms)

    # -- what happens -------------------------------------------------------------

    def on_change(self, symbol: str, change: Change, now_ns: int) -> None:
        """Gather a book change; real-time streams leave at once."""
        for channel in self._by_symbol.get(symbol, ()):
            topic = channel.topic
            if topic.kind == "depth":
                channel.changed_ns = now_ns
                if topic.levels == 0:
                    channel.bids.update(change.bids)
                    channel.asks.update(change.asks)
            elif topic.kind == "bookTicker":
                self._publish_ticker(channel, now_ns)

    def on_print(self, fill: Fill, makers: tuple[str, str]) -> None:
        """Gather a trade; ``makers`` are the taker and maker to show."""
        for channel in self._by_symbol.get(fill.symbol, ()):
            if channel.topic.kind == "aggTrade":
                channel.trades.append(fill)
            elif channel.topic.kind == "tradepro":
                payload = {
                    "e": "tradepro",
                    "E": self._event_ms(),
                    "T": fill.at_ms,
                    "s": fill.symbol,
                    "t": fill.trade_id,
                    "p": to_plain(fill.px),
                    "q": to_plain(fill.qty),
                    "h": f"0X{fill.trade_id:064X}",
                    "m": list(makers),
                }
                self._publish(channel, payload)

    def _tick(self, cadence_ms: int) -> None:
        alive = False
        now_ns = self._exchange.clock.now_ns()
        for channel in list(self._channels.values()):
            if channel.topic.cadence_ms != cadence_ms:
                continue
            alive = True
            kind = channel.topic.kind
            if kind == "depth":
                self._publish_depth(channel, now_ns)
            elif kind == "aggTrade":
                self._publish_trades(channel)
            elif kind == "markPrice":
                self._publish(channel, self.mark_event(channel.topic.symbol))
        if alive:
            self._schedule(cadence_ms)
        else:
            self._ticking.discard(cadence_ms)

    # -- payloads -----------------------------------------------------------------

    def _event_ms(self) -> int:
        return self._exchange.clock.event_ms(self._exchange.clock.now_ns())

    def _fault(self, kinds: frozenset[str], symbol: str) -> FaultRule | None:
        if not self._faults.rules:
            return None
        now_ns = self._exchange.clock.now_ns()
        rule = self._faults.hit(kinds, {"symbol": symbol}, now_ns)
        if rule is not None:
            fields = {"rule": rule.rule_id, "fault": rule.kind, "symbol": symbol}
            self._exchange.log.append("fault", now_ns, fields)
        return rule

    def _publish_depth(self, channel: Channel, now_ns: int) -> None:
        topic = channel.topic
        book = self._exchange.books[topic.symbol]
        if book.sequence == channel.last_sequence:
            return
        if self._fault(frozenset({"stale_book"}), topic.symbol) is not None:
            return
        if topic.levels:
            bids, asks = book.bids.top(topic.levels), book.asks.top(topic.levels)
        else:
            bids, asks = list(channel.bids.items()), list(channel.asks.items())
            channel.bids, channel.asks = {}, {}
        first, previous = channel.last_sequence + 1, channel.last_sequence
        channel.last_sequence = book.sequence
        if self._fault(frozenset({"gap_book"}), topic.symbol) is not None:
            return
        if self._fault(frozenset({"crossed_book"}), topic.symbol) is not None:
            bids, asks = crossed(book.bids.top(5), book.asks.top(5))
        if self._fault(frozenset({"empty_book"}), topic.symbol) is not None:
            bids, asks = [], []
        clock = self._exchange.clock
        payload = {
            "e": "depthUpdate",
            "E": clock.event_ms(now_ns),
            "T": clock.event_ms(channel.changed_ns),
            "s": topic.symbol,
            "U": first,
            "u": book.sequence,
            "pu": previous,
            "b": rows_text(bids),
            "a": rows_text(asks),
        }
        fields = {"event": "publish", "stream": topic.name, "sequence": book.sequence}
        self._exchange.log.append("stream", now_ns, fields)
        self._publish(channel, payload)

    def _publish_ticker(self, channel: Channel, now_ns: int) -> None:
        payload = self.ticker_row(channel.topic.symbol)
        quotes = (payload["b"], payload["B"], payload["a"], payload["A"])
        if quotes == channel.shown:
            return
        channel.shown = quotes
        if self._fault(frozenset({"stale_book"}), channel.topic.symbol) is not None:
            return
        if self._fault(frozenset({"crossed_book"}), channel.topic.symbol) is not None:
            payload["b"], payload["a"] = payload["a"], payload["b"]
        at_ms = self._exchange.clock.event_ms(now_ns)
        payload["E"] = payload["T"] = at_ms
        self._publish(channel, payload)

    def ticker_row(self, symbol: str) -> Json:
        """Return the best quotes in stream form; an empty side shows zeros."""
        book = self._exchange.books[symbol]
        bid = (book.bids.top(1) or [(0, 0)])[0]
        ask = (book.asks.top(1) or [(0, 0)])[0]
        at_ms = self._event_ms()
        return {
            "e": "bookTicker",
            "u": book.sequence,
            "E": at_ms,
            "T": at_ms,
            "s": symbol,
            "b": to_plain(bid[0]),
            "B": to_plain(bid[1]),
            "a": to_plain(ask[0]),
            "A": to_plain(ask[1]),
        }

    def mark_event(self, symbol: str) -> Json:
        """Return the mark price in stream form."""
        at_ms = self._event_ms()
        mark = to_plain(self._exchange.show_mark(symbol))
        return {
            "e": "markPriceUpdate",
            "E": at_ms,
            "s": symbol,
            "p": mark,
            "i": mark,
            "P": mark,
            "r": "0.00010000",
            "T": (at_ms // 28_800_000 + 1) * 28_800_000,
        }

    def depth_answer(self, symbol: str, limit: int) -> Json:
        """Return the depth snapshot of the REST answer."""
        if self._fault(frozenset({"stale_book"}), symbol) is not None:
            frozen = self._frozen.get(symbol)
            if frozen is not None:
                return frozen
        book = self._exchange.books[symbol]
        bids, asks = book.bids.top(limit), book.asks.top(limit)
        if self._fault(frozenset({"crossed_book"}), symbol) is not None:
            bids, asks = crossed(bids, asks)
        if self._fault(frozenset({"empty_book"}), symbol) is not None:
            bids, asks = [], []
        at_ms = self._event_ms()
        answer = {
            "lastUpdateId": book.sequence,
            "E": at_ms,
            "T": at_ms,
            "bids": rows_text(bids),
            "asks": rows_text(asks),
        }
        self._frozen[symbol] = answer
        return answer

    def _publish_trades(self, channel: Channel) -> None:
        trades, channel.trades = channel.trades, []
        groups: dict[tuple[int, int], list[Fill]] = {}
        for fill in trades:
            groups.setdefault((fill.order_id, fill.px), []).append(fill)
        for fills in groups.values():
            self._aggregate_id += 1
            payload = {
                "e": "aggTrade",
                "E": self._event_ms(),
                "s": channel.topic.symbol,
                "a": self._aggregate_id,
                "p": to_plain(fills[0].px),
                "q": to_plain(sum(fill.qty for fill in fills)),
                "f": fills[0].trade_id,
                "l": fills[-1].trade_id,
                "T": fills[0].at_ms,
                "m": fills[0].side != BUY,
            }
            self._publish(channel, payload)

    def _publish(self, channel: Channel, payload: Json) -> None:
        fanout = Fanout(channel.topic.name, orjson.dumps(payload))
        for connection in channel.subscribers:
            self._send(connection, fanout.frame_for(connection))


def crossed(
    bids: list[tuple[int, int]], asks: list[tuple[int, int]]
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the two halves with their prices exchanged, so that they cross."""
    return asks, bids
