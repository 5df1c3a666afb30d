//! Stored rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{HOUR, NOW, insert, look_up};
use crate::{BadRow, Band, Index, Mode, Operation};

type Rows = BTreeMap<String, Vec<u8>>;

fn store(rows: &mut Rows, index: &mut Index) {
    for (name, row) in index.take_changes() {
        match row {
            Some(row) => drop(rows.insert(name, row)),
            None => drop(rows.remove(&name)),
        }
    }
}

fn read(rows: &Rows, max_error: f64) -> Result<Index, BadRow> {
    Index::from_rows(max_error, rows.iter().map(|(name, row)| (name.as_str(), row.as_slice())))
}

fn filled() -> (Index, Rows) {
    let (mut index, mut rows) = (Index::new(0.05), Rows::new());
    insert(&mut index, "How do I cancel my order?", &[1.0, 0.0]);
    store(&mut rows, &mut index);
    insert(&mut index, "怎么取消订单？", &[0.0, 1.0]);
    insert(&mut index, "Where is my parcel?", &[0.5, 0.5]);
    index.apply(NOW, Operation::Forget { entry: 3 });
    for is_wrong in [false, false, true] {
        let label =
            Operation::Label { entry: 2, band: Band::Near, score: 0.96, is_wrong, max_error: 0.05 };
        index.apply(NOW, label);
    }
    index.apply(NOW, Operation::Account { lookups: vec![(30, 0), (40, 900)] });
    index.apply(NOW + HOUR, Operation::Use { entry: 1 });
    store(&mut rows, &mut index);
    (index, rows)
}

#[test]
fn rows_that_are_read_again_give_the_same_index() {
    let (index, rows) = filled();
    assert_eq!(rows.len(), 3);
    let mut again = read(&rows, 0.05).expect("the rows are right");
    assert_eq!((again.trust(), again.payoff()), (index.trust(), index.payoff()));
    assert_eq!(again.trust().band(Band::Near).labels(), (2, 1));
    for (text, at) in [("how can i cancel an order", [1.0, 0.1]), ("如何取消订单", [0.1, 1.0])]
    {
        assert_eq!(
            look_up(&again, text, &at, Mode::Fixed),
            look_up(&index, text, &at, Mode::Fixed)
        );
    }
    assert!(again.take_changes().is_empty(), "reading changes nothing");
    // A number is never used again, though its entry is gone.
    insert(&mut again, "When are you open?", &[0.7, 0.7]);
    assert_eq!(again.text(4), Some("When are you open?"));
}

#[test]
fn evidence_for_another_tolerance_is_not_used() {
    let (_, rows) = filled();
    let again = read(&rows, 0.01).expect("the rows are right");
    assert_eq!(again.trust().band(Band::Near).labels(), (0, 0));
    assert_eq!(again.len(), 2);
}

#[test]
fn unreadable_row_is_named() {
    let (_, rows) = filled();
    for name in rows.keys() {
        let mut wrong = rows.clone();
        wrong.get_mut(name).expect("it is there").pop();
        assert_eq!(read(&wrong, 0.05).map(|_| ()), Err(BadRow { name: name.clone() }));
        wrong.insert(name.clone(), vec![9]);
        assert_eq!(read(&wrong, 0.05).map(|_| ()), Err(BadRow { name: name.clone() }));
    }
    let mut wrong = rows;
    wrong.insert("entry".to_owned(), vec![1]);
    assert_eq!(read(&wrong, 0.05).map(|_| ()), Err(BadRow { name: "entry".to_owned() }));
}

proptest! {
    #[test]
    fn changed_bytes_never_panic(at in 0_usize..400, byte: u8, name in 0_usize..3) {
        let (_, mut rows) = filled();
        let row = rows.values_mut().nth(name).expect("there are three");
        let place = at % row.len();
        row[place] = byte;
        if let Ok(index) = read(&rows, 0.05) {
            look_up(&index, "how can i cancel an order", &[1.0, 0.1], Mode::Adaptive);
        }
    }
}
