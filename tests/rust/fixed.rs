//! Money against oracles that share no code with it: text arithmetic and plain remainders.

#![allow(
    clippy::expect_used,
    clippy::integer_division,
    reason = "a broken expectation ends the run; operands are small"
)]

use proptest::prelude::*;
use slipstream_kernel::fixed::{FixedError, format_fixed, mul_div, parse_fixed};
use slipstream_kernel::rounding::{Rounding, divide, round_to_step};

fn any_rounding() -> impl Strategy<Value = Rounding> {
    proptest::sample::select(Rounding::ALL.to_vec())
}

/// Tells whether `quotient` is the named rounding of `numerator / denominator`, by definition.
fn is_rounded(numerator: i64, denominator: i64, quotient: i128, rounding: Rounding) -> bool {
    let (n, d) = (i128::from(numerator), i128::from(denominator));
    let sign = d.signum();
    let (n, d) = (n * sign, d * sign);
    let error = n - quotient * d;
    match rounding {
        Rounding::Floor => (0..d).contains(&error),
        Rounding::Ceil => (0..d).contains(&-error),
        Rounding::Down => error.abs() < d && error * n >= 0,
        Rounding::Up => error.abs() < d && error * n <= 0,
        Rounding::HalfEven => 2 * error.abs() < d || (2 * error.abs() == d && quotient % 2 == 0),
    }
}

proptest! {
    #[test]
    fn text_survives_a_round_trip(raw in any::<i64>()) {
        prop_assert_eq!(parse_fixed(&format_fixed(raw)), Ok(raw));
    }

    #[test]
    fn a_number_is_read_as_its_digits(
        whole in 0_i64..92_233_720_367,
        fraction in 0_i64..100_000_000,
        is_negative in any::<bool>(),
        zeros in 0_usize..6,
    ) {
        let sign = if is_negative { "-" } else { "" };
        let text = format!("{sign}{whole}.{fraction:08}{}", "0".repeat(zeros));
        let magnitude = whole * 100_000_000 + fraction;
        let expected = if is_negative { -magnitude } else { magnitude };
        prop_assert_eq!(parse_fixed(&text), Ok(expected));
    }

    #[test]
    fn no_text_panics(text in ".{0,40}") {
        let _ = parse_fixed(&text);
    }

    #[test]
    fn a_ninth_decimal_is_refused(whole in 0_u32.., digit in 1_u8..10) {
        let text = format!("{whole}.00000000{digit}");
        prop_assert!(matches!(parse_fixed(&text), Err(FixedError::TooPrecise(_))));
    }

    #[test]
    fn division_is_rounded_as_named(
        numerator in any::<i64>(),
        denominator in prop_oneof![-9_i64..10, any::<i64>()],
        rounding in any_rounding(),
    ) {
        let found = divide(i128::from(numerator), i128::from(denominator), rounding);
        if denominator == 0 {
            prop_assert_eq!(found, Err(FixedError::ZeroDivisor));
        } else {
            let quotient = found.expect("an i64 quotient fits");
            prop_assert!(is_rounded(numerator, denominator, quotient, rounding));
        }
    }

    #[test]
    fn a_wide_product_rounds_as_a_narrow_one(
        value in any::<i64>(),
        denominator in prop_oneof![1_i64..10, 1..i64::MAX],
        rounding in any_rounding(),
    ) {
        // value * f / (denominator * f) is value / denominator, but needs 256 bits on the way.
        let factor = 1_i128 << 63;
        let wide = mul_div(
            i128::from(value) * factor,
            factor,
            i128::from(denominator) * factor,
            rounding,
        );
        let scaled = divide(i128::from(value) * factor, i128::from(denominator), rounding);
        prop_assert_eq!(wide, scaled);
    }

    #[test]
    fn a_multiple_of_a_step_is_near(
        raw in -1_000_000_000_i64..1_000_000_000,
        step in 1_i64..1_000_000,
        rounding in any_rounding(),
    ) {
        let rounded = round_to_step(raw, step, rounding).expect("small numbers fit");
        prop_assert_eq!(rounded % step, 0);
        prop_assert!(is_rounded(raw, step, i128::from(rounded / step), rounding));
    }
}
