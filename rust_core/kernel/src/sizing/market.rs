//! What a whole cohort shares while it is planned: the intent, the book, the clock.

use crate::book::{BookView, DepthReservation, FillEstimate};
use crate::fixed::{Px, Qty};
use crate::reason::SkipReason;
use crate::rules::InstrumentRules;
use crate::side::Side;
use crate::sizing::bounds::{Band, Bound, Reference, ReferenceKind, bound, tighter};
use crate::sizing::event::LeaderEvent;
use crate::sizing::exact::Exact;
use crate::sizing::lane::Slot;
use crate::sizing::limits::FollowerLimits;

/// The leader's event as a cohort sees it, in the follower venue's units.
#[derive(Debug, Clone)]
pub struct CohortIntent {
    /// Index of the symbol in the lanes of the table.
    pub symbol: u32,
    /// The instrument's rules.
    pub rules: InstrumentRules,
    /// What the leader did.
    pub event: LeaderEvent,
    /// On which of its tracks.
    pub track: Slot,
    /// When the intent was built.
    pub created_ns: i64,
    /// Mid when it was built.
    pub arrival_px: Option<Px>,
    /// Mid now, where a better source than the book is known; else the book's.
    pub mid_px: Option<Px>,
    /// Mark price, when known.
    pub mark_px: Option<Px>,
    /// The venue's price band.
    pub band: Band,
    /// Gates of all rows.
    pub gates: u64,
    /// First row of the fair order.
    pub rotation: u64,
    /// Since when an exit is wanted.
    pub exit_since_ns: Option<i64>,
}

/// The shared inputs of a plan, with what is read from the book once.
#[derive(Debug)]
pub struct Market<'a> {
    /// The intent.
    pub intent: &'a CohortIntent,
    /// Now, on the monotonic clock.
    pub now_ns: i64,
    view: Option<&'a BookView>,
    reservation: Option<&'a mut DepthReservation>,
    table_mark: Option<Px>,
    mid: Option<Px>,
    best_bid: Option<Px>,
    best_ask: Option<Px>,
    open_mask: u64,
    reduction_mask: u64,
}

/// Gates that say the book cannot be used.
const BOOK_MASK: u64 =
    SkipReason::BookMissing.mask() | SkipReason::BookStale.mask() | SkipReason::BookGapped.mask();

fn mask_of(is_in: impl Fn(SkipReason) -> bool) -> u64 {
    let reasons = SkipReason::ALL.iter().filter(|reason| is_in(**reason));
    reasons.fold(0, |mask, reason| mask | reason.mask())
}

/// Returns the first reason of a mask in the order of precedence.
#[must_use]
pub fn first_reason(mask: u64) -> Option<SkipReason> {
    u8::try_from(mask.trailing_zeros())
        .ok()
        .and_then(SkipReason::from_value)
}

impl<'a> Market<'a> {
    /// Reads the book once for all rows.
    #[must_use]
    pub fn new(
        intent: &'a CohortIntent,
        view: Option<&'a BookView>,
        reservation: Option<&'a mut DepthReservation>,
        table_mark: Option<Px>,
        now_ns: i64,
    ) -> Self {
        Self {
            intent,
            now_ns,
            view,
            reservation,
            table_mark,
            mid: intent.mid_px.or_else(|| view.and_then(BookView::mid)),
            best_bid: view.and_then(BookView::best_bid).map(|level| level.px),
            best_ask: view.and_then(BookView::best_ask).map(|level| level.px),
            open_mask: mask_of(SkipReason::stops_open),
            reduction_mask: mask_of(|reason| reason.stops_reduction() || reason.delays_reduction())
                & !BOOK_MASK,
        }
    }

    /// Returns the gates of a mask that stop an opening.
    #[must_use]
    pub fn stops_open(&self, gates: u64) -> u64 {
        gates & self.open_mask
    }

    /// Returns the gates of a mask that stop or delay a reduction. A book that cannot be used
    /// is none of them: an exit finds another reference.
    #[must_use]
    pub fn stops_reduction(&self, gates: u64) -> u64 {
        gates & self.reduction_mask
    }

    /// Returns whether no gate of a mask forbids to use the book.
    #[must_use]
    pub fn is_book_fresh(&self, gates: u64) -> bool {
        gates & BOOK_MASK == 0
    }

    /// Returns the age of the book in nanoseconds.
    #[must_use]
    pub fn book_age_ns(&self) -> Option<i64> {
        self.view
            .map(|view| self.now_ns.saturating_sub(view.ts_ns()))
    }

    /// Returns the gates that the book raises for one follower.
    #[must_use]
    pub fn book_gates(&self, limits: &FollowerLimits) -> u64 {
        match self.book_age_ns() {
            None => SkipReason::BookMissing.mask(),
            Some(age_ns) if age_ns > limits.book_age_ns_max => SkipReason::BookStale.mask(),
            Some(_) => 0,
        }
    }

    /// Returns the sequence of the book.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.view.map(BookView::sequence)
    }

    /// Returns the best price that an order of `side` would take.
    #[must_use]
    pub fn touch(&self, side: Side) -> Option<Px> {
        match side {
            Side::Buy => self.best_ask,
            Side::Sell => self.best_bid,
        }
    }

    /// Returns the bound of an opening; `None` where no mid is known, now or when the intent was
    /// built: the leader's price alone does not say what the market asks.
    ///
    /// # Errors
    /// [`crate::sizing::exact::Overflow`]: a limit does not fit.
    pub fn entry_bound(&self, side: Side, limits: &FollowerLimits) -> Exact<Option<Bound>> {
        let intent = self.intent;
        let Some(px) = intent.arrival_px.or(self.mid) else {
            return Ok(None);
        };
        let arrival = Reference {
            kind: ReferenceKind::ArrivalMid,
            px,
        };
        let leader = Reference {
            kind: ReferenceKind::LeaderPx,
            px: intent.event.px,
        };
        let by_arrival = (arrival, limits.entry_ppm);
        let by_leader = (leader, limits.deviation_ppm);
        tighter(by_arrival, by_leader, side, &intent.rules, intent.band).map(Some)
    }

    /// Returns the bound of an exit; `is_fresh`: the book may be used.
    ///
    /// # Errors
    /// [`crate::sizing::exact::Overflow`]: a limit does not fit.
    pub fn exit_bound(&self, side: Side, limits: &FollowerLimits, is_fresh: bool) -> Exact<Bound> {
        let reference = self.exit_reference(side, is_fresh);
        let waited = self
            .intent
            .exit_since_ns
            .map(|since| self.now_ns.saturating_sub(since));
        let is_emergency = waited.is_some_and(|age| age >= limits.exit_emergency_after_ns);
        let ppm = if is_emergency {
            limits.emergency_ppm
        } else {
            limits.exit_ppm
        };
        bound(reference, ppm, side, &self.intent.rules, self.intent.band)
    }

    fn exit_reference(&self, side: Side, is_fresh: bool) -> Reference {
        let best = self.touch(side).or_else(|| self.touch(side.opposite()));
        let mark = self.intent.mark_px.or(self.table_mark);
        let candidates = [
            (ReferenceKind::Mid, self.mid.filter(|_| is_fresh)),
            (ReferenceKind::Best, best.filter(|_| is_fresh)),
            (ReferenceKind::Mark, mark),
        ];
        let found = candidates
            .into_iter()
            .find_map(|(kind, px)| Some((kind, px?)));
        match found {
            Some((kind, px)) => Reference { kind, px },
            None => Reference {
                kind: ReferenceKind::LeaderPx,
                px: self.intent.event.px,
            },
        }
    }

    /// Estimates an order behind everything that is reserved.
    #[must_use]
    pub fn walk(&self, side: Side, qty: Qty, limit: Px) -> Option<FillEstimate> {
        match (&self.reservation, self.view) {
            (Some(reservation), Some(_)) => Some(reservation.walk(side, qty, Some(limit))),
            (None, Some(view)) => Some(view.walk(side, qty, Some(limit))),
            (_, None) => None,
        }
    }

    /// Puts the depth of an order back that is not sent after all. A token that is not
    /// outstanding has nothing to put back.
    pub fn give_back(&mut self, token: u64) {
        if let Some(reservation) = self.reservation.as_mut() {
            let _unknown = reservation.give_back(token);
        }
    }

    /// Reserves an order's depth.
    pub fn take(&mut self, side: Side, qty: Qty, limit: Px) -> Option<u64> {
        self.reservation
            .as_mut()
            .map(|reservation| reservation.take(side, qty, limit))
    }
}
