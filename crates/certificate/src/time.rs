//! UTCTime and GeneralizedTime as Unix seconds.
//!
//! RFC 5280 section 4.1.2.5 requires seconds and `Z`. Programs in the field omit the seconds, write an offset or a
//! fraction, or use GeneralizedTime before 2050 (X.690 section 11.7 allows these in BER). All of these forms name one
//! moment and are read. A text that names no moment is refused.

use crate::der::{Element, tag};

/// Returns the moment, in Unix seconds from the year 1 to 9999; `None` where the element is not a time.
pub(crate) fn unix_seconds(element: Element<'_>) -> Option<i64> {
    let text = element.content;
    let (year, rest) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            // RFC 5280 section 4.1.2.5.1.
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    // GeneralizedTime without seconds would read a UTCTime with the wrong tag as one with a year of four digits.
    let (second, rest) = match number(rest, 2) {
        None if element.tag == tag::UTC_TIME => (0, rest),
        seconds => seconds?,
    };
    let rest = without_fraction(rest)?;
    // A leap second is the last moment of its minute, as POSIX counts.
    let is_time = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let offset = offset_seconds(rest).filter(|_| is_time)?;
    let seconds =
        days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second.min(59) - offset;
    (FIRST..=LAST).contains(&seconds).then_some(seconds)
}

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let value = digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
    Some((value, rest))
}

fn without_fraction(text: &[u8]) -> Option<&[u8]> {
    let Some((b'.' | b',', digits)) = text.split_first() else {
        return Some(text);
    };
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    (end > 0).then(|| &digits[end..])
}

/// Returns the seconds east of UTC of `Z`, `+0900` or `-0330`. Local time, which has neither, names no moment.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.split_first()? {
        (b'Z', []) => return Some(0),
        (b'+', digits) => (1, digits),
        (b'-', digits) => (-1, digits),
        _ => return None,
    };
    let (hours, rest) = number(digits, 2)?;
    let (minutes, rest) = number(rest, 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Returns days of the Gregorian calendar, with years that begin in March so that the leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<i64> {
        unix_seconds(Element { tag, content: text.as_bytes(), whole: &[] })
    }

    #[test]
    fn a_moment_is_read_in_every_form_that_names_one() {
        for (tag, text, seconds) in [
            (tag::UTC_TIME, "700101000000Z", 0),
            (tag::UTC_TIME, "491231235959Z", 2_524_607_999),
            (tag::UTC_TIME, "500101000000Z", -631_152_000),
            (tag::UTC_TIME, "2401020304Z", 1_704_164_640),
            (tag::UTC_TIME, "240102030405+0900", 1_704_164_645 - 9 * 3_600),
            (tag::UTC_TIME, "240102030405-0330", 1_704_164_645 + 12_600),
            (tag::UTC_TIME, "240229235960Z", 1_709_251_199),
            (tag::GENERALIZED_TIME, "20240102030405Z", 1_704_164_645),
            (tag::GENERALIZED_TIME, "20240102030405.25Z", 1_704_164_645),
            (tag::GENERALIZED_TIME, "99991231235959Z", LAST),
            (tag::GENERALIZED_TIME, "00010101000000Z", FIRST),
        ] {
            assert_eq!(read(tag, text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_names_no_moment_is_none() {
        for (tag, text) in [
            (tag::UTC_TIME, ""),
            (tag::UTC_TIME, "240102030405"),
            (tag::UTC_TIME, "241302030405Z"),
            (tag::UTC_TIME, "240230030405Z"),
            (tag::UTC_TIME, "240102240405Z"),
            (tag::UTC_TIME, "240102030405ZZ"),
            (tag::UTC_TIME, "240102030405+09"),
            (tag::UTC_TIME, "2401020304xxZ"),
            (tag::GENERALIZED_TIME, "20240102030405.Z"),
            (tag::GENERALIZED_TIME, "00000101000000Z"),
            (tag::GENERALIZED_TIME, "00010101000000+0100"),
            (tag::GENERALIZED_TIME, "99991231235959-0100"),
            (tag::GENERALIZED_TIME, "240102030405Z"),
            (tag::GENERALIZED_TIME, "202401020304Z"),
            (tag::UTF8_STRING, "240102030405Z"),
        ] {
            assert_eq!(read(tag, text), None, "{text}");
        }
    }
}
