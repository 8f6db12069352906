"""The Rust core of Slipstream: money, books, sizing, planning, hashing and signing.

Units. Prices, quantities and quote amounts are ``int`` at one global scale of 10**-8
(``SCALE``); they are named ``px``, ``qty`` and ``notional``. The leader's mirrored position
and the followers' targets are ``int`` at 10**-18 (``TARGET_SCALE``) and are named
``*_target``. Ratios are ``int`` parts per million (``ppm``). Times are ``int`` nanoseconds
of one monotonic clock (``_ns``) handed in by the caller. ``None`` means "no answer", never a
number. No float crosses this boundary and no call keeps a Python callback.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final, Self, final

__version__: Final[str]

SCALE: Final[int]  # 10**8
SCALE_DIGITS: Final[int]  # 8
TARGET_SCALE: Final[int]  # 10**18

def build_info() -> dict[str, str]:
    """Return version, rustc, profile and target of this build."""

# --- errors -----------------------------------------------------------------------------

class SlipstreamError(Exception): ...
class CoreError(SlipstreamError): ...
class FixedError(CoreError): ...
class BookError(CoreError): ...
class BookGapError(BookError): ...
class SchemaError(CoreError): ...
class SignerError(CoreError): ...
class KeystoreError(CoreError): ...

# --- money ------------------------------------------------------------------------------

@final
class Side(Enum):
    BUY = 1
    SELL = -1

@final
class PositionSide(Enum):
    """The lane of a position: one signed net position, or one of two sides (hedge mode)."""

    NET = 0
    LONG = 1
    SHORT = 2

@final
class Rounding(Enum):
    """FLOOR: to minus infinity; CEIL: to plus infinity; DOWN: toward zero; UP: away from zero;
    HALF_EVEN: to nearest, ties to even."""

    FLOOR = 0
    CEIL = 1
    DOWN = 2
    UP = 3
    HALF_EVEN = 4

def parse_fixed(text: str) -> int:
    """Parse decimal text exactly: optional sign, digits, optional fraction of at most 8
    significant decimals (trailing zeros beyond are fine). No exponent, no blank, no NaN.

    Raises:
        FixedError: anything else, or a value outside i64 at 10**-8.
    """

def format_fixed(raw: int) -> str:
    """Return the shortest exact decimal text (no exponent, no trailing zeros)."""

def format_target(raw: int) -> str:
    """Return the shortest exact decimal text of a value at 10**-18."""

def round_to_step(raw: int, step: int, rounding: Rounding) -> int: ...
def quote_value(px: int, qty: int, rounding: Rounding) -> int:
    """Return px x qty in quote, rounded as named."""

def mul_div(value: int, numerator: int, denominator: int, rounding: Rounding) -> int:
    """Return value x numerator / denominator with a 256-bit intermediate."""

@final
class InstrumentRules:
    """What a venue accepts for one instrument. Raises ``CoreError`` naming a step or limit that
    does not fit. ``px_digits_max``: significant digits of a price (Hyperliquid: 5), or ``None``."""

    def __new__(
        cls,
        *,
        px_step: int,
        qty_step: int,
        qty_min: int,
        qty_max: int | None = None,
        notional_min: int = 0,
        px_digits_max: int | None = None,
        is_reduction_exempt: bool = True,
    ) -> Self: ...
    @property
    def px_step(self) -> int: ...
    @property
    def qty_step(self) -> int: ...
    @property
    def qty_min(self) -> int: ...
    @property
    def qty_max(self) -> int | None: ...
    @property
    def notional_min(self) -> int: ...
    @property
    def px_digits_max(self) -> int | None: ...
    @property
    def is_reduction_exempt(self) -> bool:
        """Whether reductions need not reach ``notional_min``."""
    def round_px(self, px: int, side: Side) -> int:
        """Round a limit price inside the bound: a BUY down, a SELL up."""
    def round_qty(self, qty: int, rounding: Rounding) -> int: ...

# --- order book -------------------------------------------------------------------------

@final
class FillEstimate:
    """What taking ``filled_qty + unfilled_qty`` from one side of a book would do."""

    @property
    def filled_qty(self) -> int: ...
    @property
    def unfilled_qty(self) -> int: ...
    @property
    def vwap_px(self) -> int | None:
        """Rounded against the taker (a BUY up, a SELL down); ``None`` when nothing filled."""
    @property
    def worst_px(self) -> int | None: ...
    @property
    def notional(self) -> int: ...
    @property
    def level_count(self) -> int: ...
    def slippage_ppm(self, reference_px: int) -> int:
        """Return the cost against a reference in ppm, positive when worse, rounded up."""

@final
class BookView:
    """An immutable snapshot of one book (cheap: shares storage with the book until it changes)."""

    @property
    def best_bid(self) -> tuple[int, int] | None:
        """(px, qty), or ``None`` when that side is empty."""
    @property
    def best_ask(self) -> tuple[int, int] | None: ...
    @property
    def sequence(self) -> int: ...
    @property
    def ts_ns(self) -> int:
        """When the last update was received, on the monotonic clock."""
    @property
    def venue_ts_ms(self) -> int:
        """The venue's own time of the last update; 0 when it sends none."""
    def mid(self) -> int | None: ...
    def microprice(self) -> int | None: ...
    def walk(self, side: Side, qty: int, limit_px: int | None = None) -> FillEstimate:
        """Estimate an order of ``side``: a BUY takes asks."""
    def depth_to(self, side: Side, limit_px: int) -> int:
        """Return the quantity an order of ``side`` could take at ``limit_px`` or better."""
    def levels(self, side: Side, count: int) -> list[tuple[int, int]]:
        """Return the best levels that an order of ``side`` would take."""

@final
class Book:
    """A price-level book: absolute quantities, zero deletes. Crossed, negative or unsorted input
    raises ``BookError`` and leaves the book without a view until the next ``load``."""

    def __new__(cls, *, depth_max: int = 1000) -> Self: ...
    def load(
        self,
        bids: Sequence[tuple[str, str]],
        asks: Sequence[tuple[str, str]],
        *,
        sequence: int,
        ts_ns: int,
        venue_ts_ms: int = 0,
    ) -> None:
        """Replace the book by a snapshot. Prices and quantities are decimal text (parsed here)."""
    def apply(
        self,
        bids: Sequence[tuple[str, str]],
        asks: Sequence[tuple[str, str]],
        *,
        first_sequence: int,
        sequence: int,
        previous_sequence: int | None,
        ts_ns: int,
        venue_ts_ms: int = 0,
    ) -> bool:
        """Apply a delta; return False when it is older than the book (nothing done).

        The first delta after ``load`` must satisfy first_sequence <= book sequence <= sequence (a
        venue that counts on from the snapshot: first_sequence <= book sequence + 1); after it
        ``previous_sequence`` must equal the book's sequence.

        Raises:
            BookGapError: a sequence is missing; the book has no view until the next ``load``.
        """
    def trim_better_than(self, bid_px: int | None, ask_px: int | None) -> None:
        """Drop bids above ``bid_px`` and asks below ``ask_px`` (a newer best bid/offer)."""
    def confirm(self, sequence: int, ts_ns: int) -> bool:
        """Take the venue's word that ``sequence`` was its newest at ``ts_ns``. Return whether the
        book stands at that sequence; it is as young as that then."""
    def invalidate(self) -> None: ...
    def view(self) -> BookView | None: ...

@final
class DepthReservation:
    """What our own orders have taken, or may still take, from one book.

    One object per (venue, symbol) for ever, across intents and leaders. ``refresh`` hands it a
    newer view: outstanding takes are subtracted from it again, each from the best levels inside
    its limit, until their outcome is known *and* a view of later venue time has come.
    """

    def __new__(cls, view: BookView) -> Self: ...
    def refresh(self, view: BookView) -> None: ...
    def walk(self, side: Side, qty: int, limit_px: int | None = None) -> FillEstimate: ...
    def take(self, side: Side, qty: int, limit_px: int) -> int:
        """Reserve up to ``qty`` inside ``limit_px``; return a token. Never takes more than is there."""
    def taken_qty(self, token: int) -> int: ...
    def give_back(self, token: int) -> None:
        """The order was never sent: put its quantity back at once."""
    def settle(self, token: int, *, filled_qty: int, venue_ts_ms: int) -> None:
        """The order's outcome is known; its fill stays subtracted until a view newer than
        ``venue_ts_ms`` is refreshed, its unfilled rest is put back now."""
    def take_foreign(self, side: Side, qty: int, *, venue_ts_ms: int) -> None:
        """Subtract a leader's own taker fill until a view newer than ``venue_ts_ms`` comes."""
    @property
    def outstanding_qty(self) -> int: ...

# --- reasons, sizing, planning ----------------------------------------------------------

@final
class SkipReason(Enum):
    """Why a leg was not traded, in order of precedence (the first that holds is recorded)."""

    KILL_SWITCH = 0
    FROZEN = 1
    FOLLOWER_PAUSED = 2
    CLOSE_ONLY = 3
    OPEN_ONLY = 4
    BREAKER_OPEN = 5
    DUPLICATE = 6
    SUPERSEDED = 7
    NOT_MIRRORED = 8
    SYMBOL_DENIED = 9
    SYMBOL_HALTED = 10
    STALE_INTENT = 11
    LEADER_STALE = 12
    LEDGER_DOWN = 13
    CLOCK_SKEW = 14
    LEADER_TRADE_TOO_SMALL = 15
    MARGIN_UNCONFIRMED = 16
    FOLLOWER_STATE_STALE = 17
    FOREIGN_POSITION = 18
    LEVERAGE_SYNC_FAILED = 19
    BOOK_MISSING = 20
    BOOK_STALE = 21
    BOOK_GAPPED = 22
    UNKNOWN_PENDING = 23
    NO_CHANGE = 24
    DIRECTION = 25
    BELOW_LOT = 26
    BELOW_MIN_QTY = 27
    BELOW_MIN_NOTIONAL = 28
    MARGIN_BREACH = 29
    LEVERAGE_CAP = 30
    ORDER_CAP = 31
    SYMBOL_CAP = 32
    NOTIONAL_CAP = 33
    POSITION_COUNT_CAP = 34
    DAILY_LOSS = 35
    DRAWDOWN = 36
    DEVIATION_BREACH = 37
    DEPTH_SHORT = 38
    SLIPPAGE_BREACH = 39
    RATE_LIMITED = 40
    OVERFLOW = 41  # arithmetic of this row alone did not fit
    @property
    def code(self) -> str:
        """The reason's name, as journalled."""
    @property
    def mask(self) -> int:
        """``1 << value``: gates are bit masks of reasons."""
    @property
    def stops_open(self) -> bool: ...
    @property
    def stops_reduction(self) -> bool: ...
    @property
    def delays_reduction(self) -> bool:
        """The reduction stays wanted and is planned again."""

@final
class SizingMode(Enum):
    MARGIN = 0
    POSITION = 1
    RATIO = 2
    NOTIONAL = 3

@final
class Missed(Enum):
    GIVE_UP = 0
    CATCH_UP = 1

@final
class BelowMinimum(Enum):
    CARRY = 0
    SKIP = 1
    BUMP = 2

@final
class OnLimit(Enum):
    """What a cap or a thin book does to an order that is too large."""

    CLIP = 0
    SKIP = 1

@final
class ReferenceKind(Enum):
    ARRIVAL_MID = 0
    LEADER_PX = 1
    MID = 2
    BEST = 3
    MARK = 4

@final
class SizingRule:
    """How one follower turns the leader's change into its own (DESIGN, Sizing).

    ``ratio``, ``multiplier``: at 10**-8. ``allocation``: quote; or ``allocation_ppm`` of the
    follower's equity. ``margin_ppm``: fixed share of equity in POSITION mode, ``None`` = the
    leader's own share. Raises ``CoreError`` when a mode lacks what it needs.
    """

    def __new__(
        cls,
        *,
        mode: SizingMode,
        ratio: int | None = None,
        allocation: int | None = None,
        allocation_ppm: int | None = None,
        margin_ppm: int | None = None,
        multiplier: int = ...,
        notional: int | None = None,
        is_reverse: bool = False,
        missed: Missed | None = None,
        below_minimum: BelowMinimum = BelowMinimum.CARRY,
        on_cap: OnLimit = OnLimit.SKIP,
        on_thin_book: OnLimit = OnLimit.SKIP,
        leader_notional_min: int = 0,
    ) -> Self: ...
    @property
    def mode(self) -> SizingMode: ...
    @property
    def needs_leader_margin(self) -> bool:
        """Whether an increase must wait for the leader's confirmed margin."""

@final
class FollowerLimits:
    """A follower's own bounds. ``None`` = no such cap."""

    def __new__(
        cls,
        *,
        entry_ppm: int,
        exit_ppm: int,
        emergency_ppm: int,
        deviation_ppm: int,
        leverage_max: int | None = None,
        order_notional_max: int | None = None,
        symbol_notional_max: int | None = None,
        notional_max: int | None = None,
        position_count_max: int | None = None,
        daily_loss_max: int | None = None,
        drawdown_ppm_max: int | None = None,
        book_age_ns_max: int = 2_000_000_000,
        state_age_ns_max: int = 300_000_000_000,
        intent_age_ns_max: int = 5_000_000_000,
        exit_emergency_after_ns: int = 10_000_000_000,
    ) -> Self: ...

@final
class LaneState:
    """One (follower, symbol): what is wanted and what is held. A value; see ``FollowerTable``.

    Tracks follow the leader's lanes (index 0: net or long, 1: short), sides the follower's
    (index 0: net or long, 1: short). ``*_target`` are at 10**-18, signed, long positive.
    """

    def __new__(
        cls,
        *,
        mirrored_target: tuple[int, int] = ...,
        exact_target: tuple[int, int] = ...,
        wanted_target: tuple[int, int] = ...,
        peak_target: tuple[int, int] = ...,
        frozen_leader_margin: tuple[int, int] = ...,
        position_qty: tuple[int, int] = ...,
        in_flight_qty: tuple[int, int] = ...,
        unknown_qty: tuple[int, int] = ...,
        foreign_qty: tuple[int, int] = ...,
        leverage: int | None = None,
        gates: int = 0,
    ) -> Self: ...
    @property
    def mirrored_target(self) -> tuple[int, int]:
        """P: the leader's position as this follower mirrors it."""
    @property
    def exact_target(self) -> tuple[int, int]:
        """What the mode says, without caps or refusals."""
    @property
    def wanted_target(self) -> tuple[int, int]:
        """What is still wanted: orders go to it."""
    @property
    def peak_target(self) -> tuple[int, int]:
        """The largest P since the leader was flat, where a fixed margin share needs it."""
    @property
    def frozen_leader_margin(self) -> tuple[int, int]:
        """The leader's initial margin at that peak (quote); 0 before there was one."""
    @property
    def position_qty(self) -> tuple[int, int]:
        """What our own orders built (signed, 10**-8)."""
    @property
    def in_flight_qty(self) -> tuple[int, int]:
        """Signed quantity of the order now at the venue; 0 = lane free."""
    @property
    def unknown_qty(self) -> tuple[int, int]:
        """Signed quantity of an order whose fate is unknown: the position is an interval."""
    @property
    def foreign_qty(self) -> tuple[int, int]: ...
    @property
    def leverage(self) -> int | None:
        """The follower's leverage as synced with the venue; ``None`` = not synced."""
    @property
    def gates(self) -> int: ...
    def encode(self) -> str:
        """Return targets, frozen margin, positions and quantities in flight as one short text."""
    @staticmethod
    def decode(text: str) -> LaneState:
        """Read what ``encode`` wrote; leverage, foreign quantity and gates are not kept.

        Raises:
            CoreError: any other text.
        """

@final
class FollowerTable:
    """All followers of one leader on one venue: one row each, lanes per symbol index.

    Mutated one row at a time from the event loop. Every method raises ``CoreError`` for an
    unknown row, and nothing else.
    """

    def __new__(cls) -> Self: ...
    def __len__(self) -> int: ...
    def add(
        self,
        *,
        sizing: SizingRule,
        limits: FollowerLimits,
        is_hedge: bool = False,
        is_dedicated: bool = False,
    ) -> int:
        """Add a follower and return its row."""
    def set_rules(self, row: int, *, sizing: SizingRule, limits: FollowerLimits) -> None: ...
    def set_mode(self, row: int, *, is_hedge: bool) -> None: ...
    def set_account(
        self,
        row: int,
        *,
        equity: int,
        free_margin: int,
        day_pnl: int = 0,
        drawdown_ppm: int = 0,
        ts_ns: int,
    ) -> None:
        """Record account state: quote amounts. Until it is called FOLLOWER_STATE_STALE holds."""
    def set_gates(self, row: int, mask: int) -> None:
        """Replace the row's gates: a mask of ``SkipReason.mask`` values."""
    def set_lane_gates(self, row: int, symbol_index: int, mask: int) -> None: ...
    def set_leverage(self, row: int, symbol_index: int, leverage: int | None) -> None: ...
    def set_foreign(
        self, row: int, symbol_index: int, position_side: PositionSide, qty: int
    ) -> None: ...
    def set_mark(self, symbol_index: int, px: int) -> None:
        """Price used to value positions of that symbol against the caps."""
    def note_reference(self, symbol_index: int, px: int) -> None:
        """Price that values them as long as there is no mark; planning notes one by itself."""
    def lane(self, row: int, symbol_index: int) -> LaneState: ...
    def restore_lane(self, row: int, symbol_index: int, lane: LaneState) -> None: ...
    def settle(
        self,
        row: int,
        symbol_index: int,
        position_side: PositionSide,
        *,
        filled_qty: int,
        is_opening: bool,
        is_new_missed_kept: bool = False,
    ) -> LaneState:
        """The order in flight (or unknown) ended: position += filled_qty (signed), lane free.

        An opening order's unfilled rest is dropped from the wanted target under GIVE_UP (the part
        below one lot stays, and so does what the leader added since); it stays wanted with
        ``is_new_missed_kept``. A reduction's rest stays wanted. Beside an order of unknown fate,
        ``is_opening`` tells which of the two ended.

        Raises:
            CoreError: also when the lane's quantities would not fit; the lane is unchanged then.
        """
    def mark_unknown(self, row: int, symbol_index: int, position_side: PositionSide) -> None:
        """The order in flight has an unknown fate: it blocks increases until settled.

        While another order of the lane is unknown already, this one stays in flight: the lane is
        busy until one of the two is settled.
        """
    def shrink(
        self, row: int, symbol_index: int, position_side: PositionSide, qty: int
    ) -> LaneState:
        """The venue holds only ``qty`` (signed) without an order of ours: position and targets
        shrink to it and are not rebuilt until the leader has been flat. A ``qty`` of the other
        sign counts as 0; one larger than the position changes nothing."""

@final
class CohortIntent:
    """The leader's event as a cohort sees it, in the follower venue's units.

    ``leader_before``/``leader_after`` are signed positions of one leader track at 10**-18;
    equal values plan again without an event (``plan_cohort(..., rows=…)``). ``arrival_px``: mid
    when the intent was built (never renewed), ``None`` when no book stood then. ``mid_px``: the mid
    now, where a real-time best bid and offer is newer than the book; ``None`` = the view's. ``gates``: mask
    that holds for all rows (LEADER_STALE, SYMBOL_HALTED, BOOK_GAPPED, …). ``rotation``: the fair
    order's first row.
    """

    def __new__(
        cls,
        *,
        symbol_index: int,
        rules: InstrumentRules,
        leader_before: int,
        leader_after: int,
        leader_px: int,
        created_ns: int,
        track: int = 0,
        leader_margin: int | None = None,
        leader_initial_margin: int | None = None,
        arrival_px: int | None = None,
        mid_px: int | None = None,
        mark_px: int | None = None,
        band_low_px: int | None = None,
        band_high_px: int | None = None,
        gates: int = 0,
        rotation: int = 0,
        exit_since_ns: int | None = None,
    ) -> Self: ...

@final
class OrderPlan:
    """One order to claim, sign and send: an IOC limit at ``limit_px``."""

    @property
    def row(self) -> int: ...
    @property
    def leg(self) -> int:
        """0, or 1 for the opening leg of a flip."""
    @property
    def position_side(self) -> PositionSide: ...
    @property
    def side(self) -> Side: ...
    @property
    def qty(self) -> int: ...
    @property
    def qty_text(self) -> str: ...
    @property
    def limit_px(self) -> int: ...
    @property
    def limit_px_text(self) -> str: ...
    @property
    def is_opening(self) -> bool: ...
    @property
    def is_full_close(self) -> bool: ...
    @property
    def exact_target(self) -> int:
        """Of this lane, at 10**-18, after the event."""
    @property
    def wanted_target(self) -> int: ...
    @property
    def mirrored_target(self) -> int: ...
    @property
    def position_qty(self) -> int:
        """Attributed position before this order."""
    @property
    def wanted_qty(self) -> int:
        """What would have been ordered without caps, minimums and depth."""
    @property
    def clip_reason(self) -> SkipReason | None:
        """Why ``qty`` is less than ``wanted_qty``."""
    @property
    def reference_kind(self) -> ReferenceKind: ...
    @property
    def reference_px(self) -> int: ...
    @property
    def bound_ppm(self) -> int:
        """The bound around the reference that gave ``limit_px``."""
    @property
    def book_sequence(self) -> int | None: ...
    @property
    def expected_px(self) -> int | None:
        """VWAP expected behind the others of the cohort."""
    @property
    def depth_token(self) -> int | None: ...

@final
class Skip:
    """A decision not to trade."""

    @property
    def row(self) -> int: ...
    @property
    def leg(self) -> int: ...
    @property
    def position_side(self) -> PositionSide: ...
    @property
    def reason(self) -> SkipReason: ...
    @property
    def observed(self) -> int | None:
        """The number compared, in the reason's own unit."""
    @property
    def limit(self) -> int | None: ...
    @property
    def is_opening(self) -> bool: ...
    @property
    def is_delayed(self) -> bool:
        """A reduction that stays wanted and must be planned again."""
    @property
    def wanted_qty(self) -> int:
        """Signed quantity that was wanted and is not ordered now."""
    @property
    def exact_target(self) -> int: ...
    @property
    def wanted_target(self) -> int: ...
    @property
    def mirrored_target(self) -> int: ...
    @property
    def position_qty(self) -> int: ...

@final
class CohortPlan:
    @property
    def orders(self) -> list[OrderPlan]:
        """In the fair order."""
    @property
    def skips(self) -> list[Skip]: ...
    @property
    def pending_open_rows(self) -> list[int]:
        """Rows of a flip whose opening leg waits for the close to end."""
    @property
    def waiting_rows(self) -> list[int]:
        """Rows whose lane has an order in flight: the new target waits for its end."""

@final
class LedgerNames:
    """How a cohort's followers are named in its ledger, by row; makes a plan's rows in one call."""

    def __new__(cls) -> Self: ...
    def __len__(self) -> int: ...
    def add(self, follower: str, *, key: str, claimant: str) -> int:
        """Name the next row. ``key``: at least 11 of ``[0-9a-z]``, part of client order ids;
        ``claimant``: venue and account, part of the claim's fingerprint."""
    def rows(
        self,
        plan: CohortPlan,
        table: FollowerTable,
        *,
        intent_id: str,
        symbol: str,
        symbol_index: int,
        attempts: dict[tuple[int, int], int],
        sequence: int | None = None,
        opening_sequence: int | None = None,
    ) -> list[tuple[object, ...]]:
        """Return the ledger's rows of a plan: its orders, its skips, its waiting rows and the opening
        legs of flips that begin to wait, each in plan order, in the columns of ``domain.cohort.LegRow``. ``attempts`` by (row, leg), 0 when absent.
        An order's reference belongs to book ``sequence``, an opening's to ``opening_sequence``.

        Raises:
            CoreError: a row that was not named.
        """

def plan_cohort(
    intent: CohortIntent,
    table: FollowerTable,
    view: BookView | None,
    reservation: DepthReservation | None,
    *,
    now_ns: int,
    rows: Sequence[int] | None = None,
    leg: int | None = None,
    reductions_only: bool = False,
) -> CohortPlan:
    """Plan one leader event for a whole cohort, or plan lanes again.

    With ``rows=None`` the event is applied to every row's targets first, then each row is planned.
    With ``rows`` the targets stand and only those rows are planned (a lane that became free, the
    opening leg of a flip with ``leg=1``, a delayed reduction); an opening among them is planned
    unless ``reductions_only`` (its skip is NO_CHANGE and gives nothing up). ``leg=1`` while the
    close is not done gives the row back in ``pending_open_rows``, or a skip once a gate stops it.

    Per leg a row ends in one order, one skip or ``waiting_rows``. Of a hedge follower's two sides
    one is ordered per call, reductions first. What is refused, clipped or too large on an opening
    leg leaves the wanted target under GIVE_UP, in whole lots: the part below one lot stays.

    The table is updated at once (targets, quantities in flight) and depth is reserved; the caller
    withdraws an order that could not be claimed or sent with ``FollowerTable.settle(filled_qty=0)``
    and ``DepthReservation.give_back``. Total: a row whose numbers do not fit ends in OVERFLOW and
    changes no other row.
    """

# --- payloads ---------------------------------------------------------------------------

def key_fault(text: bytes) -> str | None:
    """Return what is wrong with the keys of a JSON text, ``None`` when nothing is: a key twice in one
    object (parsers differ in which one they keep), a key written with escapes (it could be another
    one in disguise), or more than 64 levels. Looks at keys only; about 1 us for 500 bytes."""

# --- hashing and signing ----------------------------------------------------------------

def keccak256(data: bytes) -> bytes: ...
def recover_address(digest: bytes, signature: bytes) -> str:
    """Return the EIP-55 address that made a 65-byte signature (v 27/28 or 0/1; low s only)."""

@final
class TypedSchema:
    """An EIP-712 schema: ``types`` maps a struct's name to its (name, type) fields; ``domain`` maps
    EIP712Domain fields to values. Supports address, bool, bytes, bytes1-32, string, uint8-256,
    int8-256, nested structs and arrays."""

    def __new__(
        cls,
        primary_type: str,
        types: dict[str, Sequence[tuple[str, str]]],
        domain: dict[str, object],
    ) -> Self: ...
    @property
    def type_hash(self) -> bytes: ...
    @property
    def domain_separator(self) -> bytes: ...
    def struct_hash(self, *values: object) -> bytes: ...
    def digest(self, *values: object) -> bytes:
        """Return the 32 bytes that are signed; ``values`` in the primary type's field order."""

@final
class SealedKey:
    """A keystore entry as stored (ciphertext and its associated data). Safe to hold and to log."""

    def __new__(
        cls, *, entry_id: str, venue: str, kind: str, address: str, nonce: bytes, ciphertext: bytes
    ) -> Self: ...

@final
class KeyEncryptionKey:
    """The unwrapped master key of a keystore. Opaque; wiped on drop; redacted repr; no pickle."""

    @staticmethod
    def from_passphrase(
        passphrase: bytearray,
        *,
        salt: bytes,
        memory_kib: int,
        passes: int,
        lanes: int,
        wrapped: bytes,
        wrap_nonce: bytes,
    ) -> KeyEncryptionKey:
        """Unwrap with Argon2id; zero ``passphrase`` in place. Releases the GIL (about 0.2 s)."""
    @staticmethod
    def create(
        passphrase: bytearray, *, salt: bytes, memory_kib: int, passes: int, lanes: int
    ) -> tuple[KeyEncryptionKey, bytes, bytes]:
        """Make a new random master key; return it with (wrapped, wrap_nonce)."""
    def new_key(self, *, entry_id: str, venue: str, kind: str) -> SealedKeyRecord:
        """Make a fresh secp256k1 key inside Rust and seal it."""
    def seal_key(
        self, secret: bytearray, *, entry_id: str, venue: str, kind: str
    ) -> SealedKeyRecord:
        """Seal an imported 32-byte secret; zero ``secret`` in place."""

@final
class SealedKeyRecord:
    @property
    def address(self) -> str: ...
    @property
    def nonce(self) -> bytes: ...
    @property
    def ciphertext(self) -> bytes: ...

@final
class Signer:
    """One agent key, opened for one closed list of messages. No call takes a bare digest."""

    @staticmethod
    def open(
        sealed: SealedKey,
        kek: KeyEncryptionKey,
        purpose: str,
        *,
        user: str | None = None,
    ) -> Signer:
        """Open a live signer. ``purpose``: ``"aster-mainnet"`` or ``"aster-testnet"``. ``user``: the
        follower's main account, sent with each request when given."""
    @staticmethod
    def from_secret(secret: bytes, schema: TypedSchema) -> Signer:
        """Tools and tests only: signs any value of ``schema``."""
    @property
    def address(self) -> str: ...
    def sign(self, *values: object) -> bytes:
        """Live: ``sign(operation, parameters)`` with ``parameters`` a sequence of (name, text) pairs,
        nonce included; returns the form-encoded request text, signature appended.
        From a secret: ``sign(*values)`` of its schema; returns 65 bytes r, s, v (27/28).

        Raises:
            SignerError: live: an operation or parameter outside the closed list (of
                ``kernel/src/aster.rs``), a value of another form than its parameter's, a nonce
                that is not the last parameter and 16 digits, or a wrong arity. Values are
                percent-encoded here, once.
            SchemaError: from a secret: a value that does not fit, named by its path.
        """

def sign_many(jobs: Sequence[tuple[Signer, Sequence[object]]]) -> list[bytes | SignerError]:
    """Sign a chunk with the GIL released (16-32 jobs; on the signing thread). Total: a bad job is
    its own ``SignerError`` in the list."""

@final
class SigningQueue:
    """Signs on a thread of its own that never asks for the interpreter lock.

    Jobs are read when they are submitted and results made when they are taken; in between the
    thread and the event loop do not wait for each other.
    """

    def __new__(cls) -> Self:
        """Start the thread.

        Raises:
            SignerError: the system gives no thread, sockets or random bytes.
        """
    def fileno(self) -> int:
        """Return a descriptor that is readable while results wait to be taken."""
    def submit(self, jobs: Sequence[tuple[Signer, Sequence[object]]]) -> int:
        """Hand in a batch and return its number, counted from 0. Takes about 1 us a job.

        Raises:
            SignerError: the queue is closed. A bad job is its own ``SignerError`` in the results.
        """
    def take(self) -> list[tuple[int, int, list[bytes | SignerError]]]:
        """Return what is signed: (batch, index of the first job, results), batches in order."""
    def close(self) -> None:
        """Finish what was submitted and end the thread; safe to repeat."""

# --- histogram --------------------------------------------------------------------------

@final
class LatencyHistogram:
    """HDR histogram of nanoseconds (1 us to 1 h, 3 significant digits)."""

    def __new__(cls) -> Self: ...
    def record(self, value_ns: int) -> None: ...
    def percentile(self, percent: str) -> int | None:
        """Return the value in ns at a percentile given as text ("50", "99.9"); ``None`` when empty."""
    @property
    def count(self) -> int: ...
    @property
    def max(self) -> int | None: ...
    def merge(self, other: LatencyHistogram) -> None: ...
    def encode(self) -> bytes:
        """Return the HDR V2 bytes."""
    @staticmethod
    def decode(blob: bytes) -> LatencyHistogram: ...
