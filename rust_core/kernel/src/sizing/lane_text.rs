//! A lane as one line of text, for the row it is journalled in.
//!
//! Format: `1` (the version), then per track `mirrored,exact,wanted,peak,frozen_margin` and per
//! side `position,in_flight,unknown,opening_wanted,opening_left` (the last two empty when no
//! opening is out), all joined by commas. What the venue or a control command tells anew after a
//! restart (leverage, foreign quantity, gates) is not kept.

use core::fmt::{Display, Write as _};

use crate::fixed::{Qty, Quote};
use crate::sizing::event::Track;
use crate::sizing::lane::{Lane, LaneSide, Opening, Pair};

const VERSION: &str = "1";
const TEXT_LENGTH: usize = 160;

/// A text that is no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("lane text: expected {expected} at field {index}")]
pub struct LaneTextError {
    /// What would be accepted.
    pub expected: &'static str,
    /// Which field, from 0.
    pub index: usize,
}

/// Returns a lane as text.
#[must_use]
pub fn encode(lane: &Lane) -> String {
    let mut text = String::with_capacity(TEXT_LENGTH);
    text.push_str(VERSION);
    for track in [&lane.tracks.first, &lane.tracks.second] {
        for number in [track.mirrored, track.exact, track.wanted, track.peak] {
            push(&mut text, number);
        }
        push(&mut text, track.frozen_margin.0);
    }
    for side in [&lane.sides.first, &lane.sides.second] {
        for number in [side.position.0, side.in_flight.0, side.unknown.0] {
            push(&mut text, number);
        }
        match side.opening() {
            Some(cut) => {
                push(&mut text, cut.wanted);
                push(&mut text, cut.left);
            }
            None => text.push_str(",,"),
        }
    }
    text
}

fn push(text: &mut String, number: impl Display) {
    // Writing into a String cannot fail.
    let _ = write!(text, ",{number}");
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// [`LaneTextError`]: any other text.
pub fn decode(text: &str) -> Result<Lane, LaneTextError> {
    let mut fields = Fields {
        rest: text.split(','),
        index: 0,
    };
    if fields.next("the version 1")? != VERSION {
        return Err(LaneTextError {
            expected: "the version 1",
            index: 0,
        });
    }
    let tracks = Pair {
        first: fields.track()?,
        second: fields.track()?,
    };
    let sides = Pair {
        first: fields.side()?,
        second: fields.side()?,
    };
    if fields.rest.next().is_some() {
        return Err(LaneTextError {
            expected: "the end",
            index: fields.index,
        });
    }
    Ok(Lane {
        tracks,
        sides,
        leverage: None,
        gates: 0,
    })
}

struct Fields<'a> {
    rest: std::str::Split<'a, char>,
    index: usize,
}

impl<'a> Fields<'a> {
    fn next(&mut self, expected: &'static str) -> Result<&'a str, LaneTextError> {
        let found = self.rest.next().ok_or(LaneTextError {
            expected,
            index: self.index,
        })?;
        self.index = self.index.saturating_add(1);
        Ok(found)
    }

    fn number<T: std::str::FromStr>(&mut self) -> Result<T, LaneTextError> {
        let index = self.index;
        let text = self.next("a whole number")?;
        text.parse().map_err(|_| LaneTextError {
            expected: "a whole number",
            index,
        })
    }

    fn optional(&mut self) -> Result<Option<i128>, LaneTextError> {
        let mut ahead = self.rest.clone();
        if ahead.next() == Some("") {
            self.next("a whole number")?;
            return Ok(None);
        }
        self.number().map(Some)
    }

    fn track(&mut self) -> Result<Track, LaneTextError> {
        Ok(Track {
            mirrored: self.number()?,
            exact: self.number()?,
            wanted: self.number()?,
            peak: self.number()?,
            frozen_margin: Quote(self.number()?),
        })
    }

    fn side(&mut self) -> Result<LaneSide, LaneTextError> {
        let (position, in_flight) = (Qty(self.number()?), Qty(self.number()?));
        let unknown = Qty(self.number()?);
        let side = LaneSide::new(position, in_flight, unknown, Qty(0));
        let index = self.index;
        match (self.optional()?, self.optional()?) {
            (Some(wanted), Some(left)) => Ok(side.with_opening(Opening { wanted, left })),
            (None, None) => Ok(side),
            _ => Err(LaneTextError {
                expected: "both numbers of an opening, or none",
                index,
            }),
        }
    }
}
