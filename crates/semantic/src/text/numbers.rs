//! Numbers, dates, and units, in digits and in words.

use super::words::{Word, WordKind};

/// Words of numbers, with their digits. Sorted.
const NUMBER_WORDS: [(&str, &str); 42] = [
    ("dozen", "12"),
    ("eight", "8"),
    ("eighteen", "18"),
    ("eighty", "80"),
    ("eleven", "11"),
    ("fifteen", "15"),
    ("fifth", "5"),
    ("fifty", "50"),
    ("first", "1"),
    ("five", "5"),
    ("forty", "40"),
    ("four", "4"),
    ("fourteen", "14"),
    ("fourth", "4"),
    ("half", "0.5"),
    ("hundred", "100"),
    ("million", "1000000"),
    ("nine", "9"),
    ("nineteen", "19"),
    ("ninety", "90"),
    ("once", "1"),
    ("one", "1"),
    ("second", "2"),
    ("seven", "7"),
    ("seventeen", "17"),
    ("seventy", "70"),
    ("single", "1"),
    ("six", "6"),
    ("sixteen", "16"),
    ("sixth", "6"),
    ("sixty", "60"),
    ("ten", "10"),
    ("third", "3"),
    ("thirteen", "13"),
    ("thirty", "30"),
    ("thousand", "1000"),
    ("three", "3"),
    ("twelve", "12"),
    ("twenty", "20"),
    ("twice", "2"),
    ("two", "2"),
    ("zero", "0"),
];

/// Days and months. Sorted. `may` and `march` count only with a capital inside of a sentence.
const DATES: [(&str, &str); 25] = [
    ("april", "month 4"),
    ("august", "month 8"),
    ("december", "month 12"),
    ("february", "month 2"),
    ("friday", "day 5"),
    ("fridays", "day 5"),
    ("january", "month 1"),
    ("july", "month 7"),
    ("june", "month 6"),
    ("march", "month 3"),
    ("may", "month 5"),
    ("monday", "day 1"),
    ("mondays", "day 1"),
    ("november", "month 11"),
    ("october", "month 10"),
    ("saturday", "day 6"),
    ("saturdays", "day 6"),
    ("september", "month 9"),
    ("sunday", "day 7"),
    ("sundays", "day 7"),
    ("thursday", "day 4"),
    ("thursdays", "day 4"),
    ("tuesday", "day 2"),
    ("wednesday", "day 3"),
    ("wednesdays", "day 3"),
];

/// Units that another one of the list would change: currencies and percent.
const UNITS: [(&str, &str); 28] = [
    ("$", "usd"),
    ("%", "percent"),
    ("aud", "aud"),
    ("cad", "cad"),
    ("chf", "chf"),
    ("cny", "cny"),
    ("dollar", "usd"),
    ("dollars", "usd"),
    ("eur", "eur"),
    ("euro", "eur"),
    ("euros", "eur"),
    ("gbp", "gbp"),
    ("hkd", "hkd"),
    ("inr", "inr"),
    ("jpy", "jpy"),
    ("percent", "percent"),
    ("pound", "gbp"),
    ("pounds", "gbp"),
    ("quid", "gbp"),
    ("rmb", "cny"),
    ("sgd", "sgd"),
    ("usd", "usd"),
    ("yen", "jpy"),
    ("yuan", "cny"),
    ("£", "gbp"),
    ("¥", "cny"),
    ("€", "eur"),
    ("₹", "inr"),
];

/// A number, a date, or a unit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Quantity {
    /// A value with the unit that is attached to it: `10gb`.
    Number(String, String),
    Date(String),
    /// A currency, or a percent sign.
    Unit(String),
}

fn find(table: &[(&'static str, &'static str)], word: &str) -> Option<&'static str> {
    table.binary_search_by_key(&word, |(key, _)| key).ok().map(|at| table[at].1)
}

/// Reads an English word as a quantity.
pub(crate) fn of_word(word: &Word, before: Option<&Word>) -> Option<Quantity> {
    let before = before.map_or("", |word| word.text.as_str());
    match word.kind {
        WordKind::Number => Some(of_digits(&word.text)),
        WordKind::Sign => {
            let unit = find(&UNITS, &word.text).unwrap_or(&word.text);
            Some(Quantity::Unit(unit.to_owned()))
        }
        WordKind::Letters => {
            let text = word.text.as_str();
            if let Some(date) = find(&DATES, text) {
                let is_certain =
                    !matches!(text, "may" | "march") || (word.is_capital && !word.begins_sentence);
                return is_certain.then(|| Quantity::Date(date.to_owned()));
            }
            if let Some(unit) = find(&UNITS, text) {
                return Some(Quantity::Unit(unit.to_owned()));
            }
            // `which one`, `this second`: no numbers.
            let is_pronoun = matches!(text, "one" | "second" | "single" | "first" | "half")
                && matches!(
                    before,
                    "which"
                        | "this"
                        | "that"
                        | "the"
                        | "any"
                        | "each"
                        | "every"
                        | "quick"
                        | "no"
                        | "at"
                );
            let digits = find(&NUMBER_WORDS, text)
                .filter(|_| !(is_pronoun && matches!(text, "one" | "second")))?;
            Some(Quantity::Number(digits.to_owned(), String::new()))
        }
        WordKind::Identifier | WordKind::Han => None,
    }
}

/// Reads digits with letters attached: `10gb`, `3pm`, `5th`, `1,000.50`, `9:15`.
fn of_digits(text: &str) -> Quantity {
    let digits = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (value, unit) = text.split_at(digits);
    let groups = value.split(',').skip(1);
    let is_grouped = value.contains(',')
        && groups.clone().all(|group| group.split('.').next().is_some_and(|g| g.len() == 3));
    let value = if is_grouped { value.replace(',', "") } else { value.to_owned() };
    let value = value.trim_end_matches([',', '.', ':']).to_owned();
    let value = if value.contains('.') && !value.contains(':') && value.matches('.').count() == 1 {
        value.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        value
    };
    let unit = match unit {
        "st" | "nd" | "rd" | "th" => "",
        other => other,
    };
    let value = value.strip_suffix(":00").map_or(value.clone(), str::to_owned);
    match unit {
        "k" => Quantity::Number(format!("{value}000"), String::new()),
        _ => Quantity::Number(value, unit.to_owned()),
    }
}

/// Characters of Chinese numbers, with their values.
fn digit(character: char) -> Option<u64> {
    Some(match character {
        '零' | '〇' => 0,
        '一' => 1,
        '二' | '两' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        _ => return None,
    })
}

fn magnitude(character: char) -> Option<u64> {
    Some(match character {
        '十' => 10,
        '百' => 100,
        '千' => 1_000,
        '万' => 10_000,
        '亿' => 100_000_000,
        _ => return None,
    })
}

/// Reads a Chinese phrase as a unit.
pub(crate) fn of_han_unit(phrase: &str) -> Option<Quantity> {
    let unit = match phrase {
        "元" | "块" | "块钱" | "人民币" => "cny",
        "美元" | "美金" => "usd",
        "欧元" => "eur",
        "英镑" => "gbp",
        "日元" => "jpy",
        "港币" | "港元" => "hkd",
        "韩元" => "krw",
        _ => return None,
    };
    Some(Quantity::Unit(unit.to_owned()))
}

/// Words of measure after a number.
const MEASURES: &str = "个天年月周日号点分秒元块次张件人岁米斤升克吨里度楼层室厅间台部本页章节线路班级期代寸成折倍名位只条家门套份杯碗瓶包箱站";

/// Reads a Chinese number, with a word of measure or an ordinal mark, at the beginning of a run. Returns it
/// with the number of its characters, without those of the measure; without a quantity if it is an article.
pub(crate) fn of_han(run: &[char], before: Option<char>) -> Option<(Option<Quantity>, usize)> {
    let is_ordinal = run[0] == '第';
    if let Some(day) = weekday(run) {
        return Some((Some(day.0), day.1));
    }
    let start = usize::from(is_ordinal);
    let length = run[start..]
        .iter()
        .take_while(|c| digit(**c).is_some() || magnitude(**c).is_some())
        .count();
    if length == 0 {
        return match run[0] {
            '半' if run.get(1).is_some_and(|next| MEASURES.contains(*next) || *next == '小') => {
                Some((Some(Quantity::Number("0.5".to_owned(), String::new())), 1))
            }
            _ => None,
        };
    }
    let number = &run[start..start + length];
    let after = run.get(start + length).copied();
    let is_measured = after.is_some_and(|next| {
        MEASURES.contains(next) || matches!(next, '小' | '分' | '公' | '厘' | '毫')
    });
    let is_long = length > 1 && number.iter().any(|c| digit(*c).is_some() || *c == '十');
    // `一下`, `一起`, `统一`, `三方`: parts of words.
    if !(is_ordinal || is_measured || is_long)
        || (number == ['一'] && matches!(before, Some('统' | '唯' | '万' | '同')))
    {
        return None;
    }
    // `一个`: an article.
    if number == ['一']
        && after == Some('个')
        && !is_ordinal
        && run.get(start + length + 1) != Some(&'月')
    {
        return Some((None, 2));
    }
    Some((Some(Quantity::Number(value(number).to_string(), String::new())), start + length))
}

fn weekday(run: &[char]) -> Option<(Quantity, usize)> {
    let prefix = match run {
        ['星', '期', ..] | ['礼', '拜', ..] => 2,
        ['周', ..] => 1,
        _ => return None,
    };
    let day = match run.get(prefix)? {
        '日' | '天' => 7,
        other => digit(*other).filter(|day| (1..7).contains(day))?,
    };
    Some((Quantity::Date(format!("day {day}")), prefix + 1))
}

/// The value of a Chinese number: by magnitudes, or digit by digit.
fn value(number: &[char]) -> u64 {
    if number.iter().all(|c| digit(*c).is_some()) {
        return number.iter().filter_map(|c| digit(*c)).take(18).fold(0, |sum, d| sum * 10 + d);
    }
    let (mut total, mut section, mut current): (u64, u64, u64) = (0, 0, 0);
    for character in number {
        if let Some(digit) = digit(*character) {
            current = digit;
        } else if let Some(unit) = magnitude(*character) {
            if unit >= 10_000 {
                let sum = total.saturating_add(section).saturating_add(current).max(1);
                total = sum.saturating_mul(unit);
                section = 0;
            } else {
                section = section.saturating_add(current.max(1).saturating_mul(unit));
            }
            current = 0;
        }
    }
    total.saturating_add(section).saturating_add(current)
}
