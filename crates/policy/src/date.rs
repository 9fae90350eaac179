//! Dates in conditions: the W3C profile of ISO 8601, or seconds since 1970.
//!
//! IAM User Guide, "Date condition operators"; W3C note "Date and Time Formats".

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

/// Nanoseconds since 1970-01-01T00:00:00Z, or `None` where `text` is no date.
///
/// Four digits are a year; any other run of digits is seconds since 1970. A date without a time is its midnight in
/// UTC.
pub(crate) fn parse(text: &str) -> Option<i128> {
    if let Some(seconds) = epoch_seconds(text) {
        return Some(i128::from(seconds) * 1_000_000_000);
    }
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let date = calendar_date(date, clock.is_some())?;
    let (time, offset) = match clock {
        Some(clock) => clock_time(clock)?,
        None => (Time::MIDNIGHT, UtcOffset::UTC),
    };
    Some(PrimitiveDateTime::new(date, time).assume_offset(offset).unix_timestamp_nanos())
}

/// `2026-11-24T09:30:00Z` for Unix seconds; a time beyond year 9999 is held at its end.
pub(crate) fn format(seconds: i64) -> String {
    const LAST: i64 = 253_402_300_799;
    let moment =
        OffsetDateTime::from_unix_timestamp(seconds.clamp(0, LAST)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = moment.to_calendar_date();
    let (hour, minute, second) = moment.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z", u8::from(month))
}

fn epoch_seconds(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if (text.len() == 4) || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`; only the last where a time follows.
fn calendar_date(text: &str, has_time: bool) -> Option<Date> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map(|part| number(part, 2));
    let day = parts.next().map(|part| number(part, 2));
    if parts.next().is_some() || (has_time && day.is_none()) {
        return None;
    }
    let month = Month::try_from(u8::try_from(month.unwrap_or(Some(1))?).ok()?).ok()?;
    let day = u8::try_from(day.unwrap_or(Some(1))?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
}

/// `hh:mm`, `hh:mm:ss` or `hh:mm:ss.f…`, then `Z` or `±hh:mm`.
fn clock_time(text: &str) -> Option<(Time, UtcOffset)> {
    let (clock, offset) = match text.strip_suffix('Z') {
        Some(clock) => (clock, UtcOffset::UTC),
        None => {
            let sign_at = text.rfind(['+', '-'])?;
            let (clock, zone) = text.split_at(sign_at);
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone[1..].split_once(':')?;
            let hours = i8::try_from(number(hours, 2)?).ok()?;
            let minutes = i8::try_from(number(minutes, 2)?).ok()?;
            (clock, UtcOffset::from_hms(sign * hours, sign * minutes, 0).ok()?)
        }
    };
    let mut parts = clock.split(':');
    let hour = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let minute = u8::try_from(number(parts.next()?, 2)?).ok()?;
    let (second, nanosecond) = match parts.next() {
        None => (0, 0),
        Some(seconds) => {
            let (whole, fraction) = match seconds.split_once('.') {
                Some((whole, fraction)) => (whole, nanoseconds(fraction)?),
                None => (seconds, 0),
            };
            (u8::try_from(number(whole, 2)?).ok()?, fraction)
        }
    };
    if parts.next().is_some() {
        return None;
    }
    Some((Time::from_hms_nano(hour, minute, second, nanosecond).ok()?, offset))
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let well_formed = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if well_formed { text.parse().ok() } else { None }
}

fn nanoseconds(fraction: &str) -> Option<u32> {
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<9}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i128 = 1_000_000_000;

    #[test]
    fn every_documented_form_is_read() {
        for (text, seconds) in [
            ("1970", 0),
            ("1970-02", 31 * 86_400),
            ("1970-01-02", 86_400),
            ("1970-01-01T01:00Z", 3600),
            ("1970-01-01T00:00:01Z", 1),
            ("1970-01-01T09:00:00+09:00", 0),
            ("1969-12-31T23:30:00-00:30", 0),
            ("1795513800", 1_795_513_800),
            ("-5", -5),
        ] {
            assert_eq!(parse(text), Some(seconds * SECOND), "{text}");
        }
        assert_eq!(parse("1970-01-01T00:00:00.25Z"), Some(SECOND / 4));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "-",
            "yesterday",
            "1970-13",
            "1970-02-30",
            "1970-01-01T25:00Z",
            "1970-01-01T00:00",
            "1970-01T00:00Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00+9:00",
            "1970-01-01-01",
            "99999999999999999999",
            "1970-01-01Tあ+00:00",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_formatted_reads_back() {
        for seconds in [0, 1_795_513_800, 253_402_300_799] {
            assert_eq!(parse(&format(seconds)), Some(i128::from(seconds) * SECOND));
        }
        assert_eq!(format(i64::MAX), "9999-12-31T23:59:59Z");
    }
}
