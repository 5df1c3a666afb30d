//! Wire and row formats of the ledger: every kind of operation, reply and row, as hosts serialize them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use civil_time::Timestamp;
use ledger::{Book, LedgerReply, Operation};

use crate::golden::assert_golden;
use crate::show;

/// Milliseconds after [`BEGINNING`], and an operation as hosts send it.
type Step = (u64, &'static str);

/// 2026-01-01T00:00:00Z.
const BEGINNING: u64 = 1_767_225_600_000;

/// Sliding window: reservation, refusal, settlement, expiry, correction.
const SLIDING: &[Step] = &[
    (0, r#"{"read":{"accounts":[["team:tokens:acme",{"max":1000,"window":{"sliding":60000}}]]}}"#),
    (
        10,
        r#"{"reserve":{"id":1,"until":1767225660000,"holds":[{"account":"team:tokens:acme","rule":{"max":1000,"window":{"sliding":60000}},"least":100,"want":600,"slice":null}]}}"#,
    ),
    (
        20,
        r#"{"reserve":{"id":2,"until":1767225660000,"holds":[{"account":"team:tokens:acme","rule":{"max":1000,"window":{"sliding":60000}},"least":500,"want":600,"slice":null}]}}"#,
    ),
    (
        30,
        r#"{"reserve":{"id":3,"until":1767225605000,"holds":[{"account":"team:tokens:acme","rule":{"max":1000,"window":{"sliding":60000}},"least":10,"want":600,"slice":null},{"account":"team:requests:acme","rule":{"max":5,"window":{"sliding":1000}},"least":1,"want":1,"slice":null}]}}"#,
    ),
    (
        40,
        r#"{"settle":{"id":1,"until":1767225660000,"charges":[{"account":"team:tokens:acme","window":{"sliding":60000},"amount":250}]}}"#,
    ),
    (
        50,
        r#"{"settle":{"id":1,"until":1767225660000,"charges":[{"account":"team:tokens:acme","window":{"sliding":60000},"amount":250}]}}"#,
    ),
    (
        7_000,
        r#"{"read":{"accounts":[["team:tokens:acme",{"max":1000,"window":{"sliding":60000}}],["team:requests:acme",{"max":5,"window":{"sliding":1000}}]]}}"#,
    ),
    (
        8_000,
        r#"{"correct":{"id":4,"account":"team:tokens:acme","window":{"sliding":60000},"began":1767225600010,"change":-50}}"#,
    ),
    (
        9_000,
        r#"{"correct":{"id":5,"account":"team:tokens:acme","window":{"sliding":60000},"began":1767225609000,"change":70}}"#,
    ),
];

/// Calendar window: a day and the next one.
const STRETCH: &[Step] = &[
    (
        0,
        r#"{"reserve":{"id":1,"until":1767225660000,"holds":[{"account":"daily:requests:acme","rule":{"max":2,"window":{"stretch":[1767225600000,1767312000000]}},"least":1,"want":1,"slice":null}]}}"#,
    ),
    (
        10,
        r#"{"settle":{"id":1,"until":1767225660000,"charges":[{"account":"daily:requests:acme","window":{"stretch":[1767225600000,1767312000000]},"amount":1}]}}"#,
    ),
    (
        20,
        r#"{"reserve":{"id":2,"until":1767225660000,"holds":[{"account":"daily:requests:acme","rule":{"max":2,"window":{"stretch":[1767225600000,1767312000000]}},"least":2,"want":2,"slice":null}]}}"#,
    ),
    (
        30,
        r#"{"reserve":{"id":3,"until":1767225660000,"holds":[{"account":"daily:requests:acme","rule":{"max":2,"window":{"stretch":[1767225600000,1767312000000]}},"least":1,"want":1,"slice":null}]}}"#,
    ),
    (
        86_400_001,
        r#"{"read":{"accounts":[["daily:requests:acme",{"max":2,"window":{"stretch":[1767312000000,1767398400000]}}]]}}"#,
    ),
];

/// Balance: adjustment, overdraft, refusal.
const TOTAL: &[Step] = &[
    (
        0,
        r#"{"adjust":{"account":"prepaid:cost:acme","rule":{"max":5000000000,"window":"total"},"change":{"by":1500000000}}}"#,
    ),
    (
        10,
        r#"{"reserve":{"id":1,"until":1767225660000,"holds":[{"account":"prepaid:cost:acme","rule":{"max":5000000000,"window":"total"},"least":1,"want":2000000000,"slice":null}]}}"#,
    ),
    (
        20,
        r#"{"settle":{"id":1,"until":1767225660000,"charges":[{"account":"prepaid:cost:acme","window":"total","amount":6600000000}]}}"#,
    ),
    (
        30,
        r#"{"reserve":{"id":2,"until":1767225660000,"holds":[{"account":"prepaid:cost:acme","rule":{"max":5000000000,"window":"total"},"least":1,"want":1,"slice":null}]}}"#,
    ),
    (
        40,
        r#"{"adjust":{"account":"prepaid:cost:acme","rule":{"max":5000000000,"window":"total"},"change":{"left":300}}}"#,
    ),
    (
        50,
        r#"{"adjust":{"account":"prepaid:cost:acme","rule":{"max":5000000000,"window":"total"},"change":{"by":-100}}}"#,
    ),
];

/// Leases: grant, report, close, correction, and one that expires.
const LEASE: &[Step] = &[
    (
        0,
        r#"{"reserve":{"id":9223372036854775809,"until":1767225660000,"holds":[{"account":"big:tokens:acme","rule":{"max":100000,"window":{"sliding":60000}},"least":10,"want":100,"slice":1767225630000}]}}"#,
    ),
    (
        1_000,
        r#"{"report":{"id":9223372036854775809,"account":"big:tokens:acme","window":{"sliding":60000},"used":700,"acknowledged":0,"close":false}}"#,
    ),
    (
        1_100,
        r#"{"report":{"id":9223372036854775809,"account":"big:tokens:acme","window":{"sliding":60000},"used":700,"acknowledged":700,"close":false}}"#,
    ),
    (
        2_000,
        r#"{"reserve":{"id":2,"until":1767225660000,"holds":[{"account":"big:tokens:acme","rule":{"max":100000,"window":{"sliding":60000}},"least":10,"want":100,"slice":1767225630000}]}}"#,
    ),
    (
        3_000,
        r#"{"report":{"id":9223372036854775809,"account":"big:tokens:acme","window":{"sliding":60000},"used":900,"acknowledged":700,"close":true}}"#,
    ),
    (
        3_100,
        r#"{"report":{"id":9223372036854775809,"account":"big:tokens:acme","window":{"sliding":60000},"used":900,"acknowledged":700,"close":true}}"#,
    ),
    (
        3_200,
        r#"{"correct":{"id":3,"account":"big:tokens:acme","window":{"sliding":60000},"began":1767225602000,"change":-25}}"#,
    ),
    (
        31_000,
        r#"{"read":{"accounts":[["big:tokens:acme",{"max":100000,"window":{"sliding":60000}}]]}}"#,
    ),
];

/// Usage rows and counters: every member, addition, label bounds, expiry.
const TALLY: &[Step] = &[
    (
        0,
        r#"{"tally":{"id":1,"rows":[{"key":"00|acme|gold|gpt-4o|openai|chat","until":1775174400000,"tally":{"requests":4,"failed":1,"limited":2,"hits":1,"blocked":1,"estimated":1,"input":100,"cached":40,"output":20,"reasoning":5,"estimated_input":7,"estimated_output":3,"cost":450000,"first_ms":300,"first":2,"total_ms":1250,"firsts":[60,1,75,1],"totals":[90,2,101,2],"statuses":[0,1,200,2,429,1]}}]}}"#,
    ),
    (
        10,
        r#"{"tally":{"id":1,"rows":[{"key":"00|acme|gold|gpt-4o|openai|chat","until":1775174400000,"tally":{"requests":4}}]}}"#,
    ),
    (
        20,
        r#"{"tally":{"id":2,"rows":[{"key":"00|acme|gold|gpt-4o|openai|chat","until":1775174400001,"tally":{"requests":1,"totals":[90,1],"statuses":[200,1]}},{"key":"01|a%7Cb||||","until":1767225700000,"tally":{}}]}}"#,
    ),
    (
        30,
        r#"{"tally":{"id":3,"bounds":{"consumers":1,"values":1,"rows":3},"rows":[{"key":"req|consumer=a|model=x","until":1775174400000,"tally":{"requests":1}},{"key":"req|consumer=b|model=y","until":1775174400000,"tally":{"requests":2}}]}}"#,
    ),
    (40, r#""tallies""#),
];

/// Register: compare-and-swap with a winner and a loser.
const REGISTER: &[Step] = &[
    (0, r#"{"look":{"register":"config"}}"#),
    (10, r#"{"exchange":{"register":"config","after":0,"text":"{\"version\":1}"}}"#),
    (20, r#"{"exchange":{"register":"config","after":0,"text":"{\"version\":2}"}}"#),
    (30, r#"{"exchange":{"register":"config","after":1,"text":"{\"version\":2}"}}"#),
    (40, r#"{"look":{"register":"config"}}"#),
];

/// Change of the kind of window under a reservation.
const CHANGED: &[Step] = &[
    (
        0,
        r#"{"reserve":{"id":1,"until":1767225660000,"holds":[{"account":"a:tokens:b","rule":{"max":100,"window":{"sliding":60000}},"least":1,"want":40,"slice":null}]}}"#,
    ),
    (10, r#"{"read":{"accounts":[["a:tokens:b",{"max":100,"window":"total"}]]}}"#),
    (
        20,
        r#"{"read":{"accounts":[["a:tokens:b",{"max":100,"window":{"stretch":[1767225600000,1767312000000]}}]]}}"#,
    ),
    (
        30,
        r#"{"settle":{"id":1,"until":1767225660000,"charges":[{"account":"a:tokens:b","window":{"sliding":60000},"amount":30}]}}"#,
    ),
];

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(BEGINNING + millis)
}

/// Applies the steps to a book and shows replies, changed rows and the whole book. Then sweeps the book
/// at several times.
fn dump(steps: &[Step]) -> String {
    let mut book = Book::default();
    let mut rows: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut text = String::new();
    for (millis, sent) in steps {
        let operation: Operation = json::from_text(sent).expect("an operation");
        let written = serde_json::to_string(&operation).expect("it serializes");
        assert_eq!(&written, sent, "serialization of an operation is the inverse of its parsing");
        let reply = book.apply(at(*millis), &operation);
        let reply_text = serde_json::to_string(&reply).expect("it serializes");
        let read: LedgerReply = json::from_text(&reply_text).expect("a reply");
        assert_eq!(read, reply, "parsing of a reply is the inverse of its serialization");
        let _ = writeln!(text, "+{millis} ms\n  ask {sent}\n  got {reply_text}");
        note_changes(&mut book, &mut rows, &mut text);
        let whole = book.to_bytes();
        let opened = Book::from_rows(rows.iter().map(|(name, row)| (name.clone(), row.as_slice())));
        assert_eq!(
            opened.expect("rows can be read").to_bytes(),
            whole,
            "rows and the whole book agree"
        );
        assert_eq!(Book::from_bytes(&whole).expect("a book").to_bytes(), whole);
    }
    let _ = writeln!(text, "whole: {}", show::escaped(&book.to_bytes()));
    for minute in [1, 2, 24 * 60, 100 * 24 * 60] {
        let due = book.next_sweep().map(|due| due.as_millis() - BEGINNING);
        let _ = writeln!(text, "due: {due:?}; swept after {minute} min");
        book.sweep(at(minute * 60_000));
        note_changes(&mut book, &mut rows, &mut text);
    }
    text
}

fn note_changes(book: &mut Book, rows: &mut BTreeMap<String, Vec<u8>>, text: &mut String) {
    for (name, row) in book.take_changes() {
        match row {
            Some(row) => {
                let _ = writeln!(text, "  row {name} = {}", show::escaped(&row));
                rows.insert(name, row);
            }
            None => {
                let _ = writeln!(text, "  row {name} is deleted");
                rows.remove(&name);
            }
        }
    }
}

#[test]
fn operations_replies_and_rows_match_golden() {
    for (name, steps) in [
        ("sliding", SLIDING),
        ("stretch", STRETCH),
        ("total", TOTAL),
        ("lease", LEASE),
        ("tally", TALLY),
        ("register", REGISTER),
        ("changed", CHANGED),
    ] {
        assert_golden(&format!("ledger/{name}.txt"), &dump(steps));
    }
}
