//! Dates of the Gregorian calendar as day numbers (Howard Hinnant's `days_from_civil` and `civil_from_days`).

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// A date. Months and days begin at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CivilDate {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

/// Days in 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_OFFSET_DAYS: i64 = 719_468;

// Years begin in March here, which puts the leap day at the end: months begin on the days
// 0, 31, 61, 92 … = (153 × month + 2) / 5.
impl CivilDate {
    /// The date of a day number, counted from 1970-01-01.
    pub(crate) fn from_day_number(number: i64) -> Self {
        let since = number + EPOCH_OFFSET_DAYS;
        let (era, day) = (since.div_euclid(DAYS_PER_ERA), since.rem_euclid(DAYS_PER_ERA));
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * day + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Self {
            year: era * 400 + year + i64::from(month <= 2),
            month,
            day: day - (153 * from_march + 2) / 5 + 1,
        }
    }

    /// The day number, counted from 1970-01-01. A day beyond its month counts into the next.
    pub(crate) fn day_number(self) -> i64 {
        let years = self.year - i64::from(self.month <= 2);
        let (era, year) = (years.div_euclid(400), years.rem_euclid(400));
        let from_march = (self.month + 9) % 12;
        let day = (153 * from_march + 2) / 5 + self.day - 1;
        era * DAYS_PER_ERA + 365 * year + year / 4 - year / 100 + day - EPOCH_OFFSET_DAYS
    }
}

#[cfg(test)]
mod tests {
    use super::CivilDate;

    #[test]
    fn day_numbers_and_dates_agree_for_a_thousand_years() {
        let (mut expected, mut number) = (CivilDate { year: 1_700, month: 1, day: 1 }, -98_615);
        while expected.year < 2_700 {
            assert_eq!(CivilDate::from_day_number(number), expected, "day {number}");
            assert_eq!(expected.day_number(), number, "{expected:?}");
            let CivilDate { year, month, day } = expected;
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = match month {
                2 => 28 + i64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            expected = if day < days {
                CivilDate { day: day + 1, ..expected }
            } else if month < 12 {
                CivilDate { year, month: month + 1, day: 1 }
            } else {
                CivilDate { year: year + 1, month: 1, day: 1 }
            };
            number += 1;
        }
    }

    #[test]
    fn epoch_is_day_zero() {
        assert_eq!(CivilDate::from_day_number(0), CivilDate { year: 1_970, month: 1, day: 1 });
    }
}
