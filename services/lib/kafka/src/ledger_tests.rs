use proptest::prelude::*;

use super::*;

fn topic() -> Arc<str> {
    "in".into()
}

fn tp(partition: i32) -> TopicPartition {
    TopicPartition {
        topic: topic(),
        partition,
    }
}

fn assignment(partition: i32, committed: Option<i64>) -> Assignment {
    Assignment {
        partition: tp(partition),
        committed: committed.map(NextOffset::reported),
    }
}

fn next(offset: i64) -> NextOffset {
    NextOffset::reported(offset)
}

#[test]
fn only_partitions_that_moved_are_committed() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, Some(5)), assignment(1, Some(7))]);
    ledger.record(&topic(), 0, RecordOffset(5)).unwrap();
    assert_eq!(ledger.to_commit(), [(tp(0), next(6))]);
    ledger.committed(&ledger.to_commit());
    assert!(ledger.to_commit().is_empty());
}

#[test]
fn a_gap_is_fine_because_markers_and_compaction_take_offsets() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, Some(5))]);
    ledger.record(&topic(), 0, RecordOffset(900)).unwrap();
    assert_eq!(ledger.to_commit(), [(tp(0), next(901))]);
}

#[test]
fn going_back_is_an_error_that_changes_nothing() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, None)]);
    ledger.record(&topic(), 0, RecordOffset(4)).unwrap();
    let refused = ledger.record(&topic(), 0, RecordOffset(4)).unwrap_err();
    assert_eq!(
        refused,
        OutOfTurn::Backwards {
            partition: tp(0),
            expected: 5,
            got: 4
        }
    );
    assert_eq!(ledger.to_commit(), [(tp(0), next(5))]);
}

#[test]
fn a_record_of_a_partition_that_is_not_assigned_is_refused() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, None)]);
    let refused = ledger.record(&topic(), 1, RecordOffset(0)).unwrap_err();
    assert_eq!(refused, OutOfTurn::NotAssigned(tp(1)));
}

#[test]
fn a_rewind_leads_to_where_the_transaction_began_and_names_only_what_moved() {
    let mut ledger = Ledger::default();
    ledger.assign(&[
        assignment(0, None),
        assignment(1, Some(3)),
        assignment(2, Some(3)),
    ]);
    ledger.record(&topic(), 0, RecordOffset(2)).unwrap();
    ledger.record(&topic(), 1, RecordOffset(3)).unwrap();
    assert_eq!(ledger.rewind(), [(tp(0), None), (tp(1), Some(next(3)))]);
    assert!(ledger.to_commit().is_empty());
    ledger.record(&topic(), 1, RecordOffset(3)).unwrap();
}

#[test]
fn a_revoked_partition_is_neither_committed_nor_rewound() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, Some(0)), assignment(1, Some(0))]);
    ledger.record(&topic(), 0, RecordOffset(0)).unwrap();
    ledger.record(&topic(), 1, RecordOffset(0)).unwrap();
    ledger.revoke(&[tp(0), tp(9)]);
    assert_eq!(ledger.to_commit(), [(tp(1), next(1))]);
    assert_eq!(ledger.rewind(), [(tp(1), Some(next(0)))]);
}

#[test]
fn topics_of_the_same_name_are_the_same_even_when_they_are_two_strings() {
    let mut ledger = Ledger::default();
    ledger.assign(&[assignment(0, Some(0))]);
    let elsewhere: Arc<str> = String::from("in").into();
    ledger.record(&elsewhere, 0, RecordOffset(0)).unwrap();
}

/// What can happen to a ledger, in any order.
#[derive(Clone, Debug)]
enum Op {
    Assign(i32, Option<i64>),
    Revoke(i32),
    Record(i32, i64),
    Begin,
    Rewind,
}

fn op() -> impl Strategy<Value = Op> {
    let partition = 0..4_i32;
    prop_oneof![
        (partition.clone(), prop::option::of(0..50_i64)).prop_map(|(p, o)| Op::Assign(p, o)),
        partition.clone().prop_map(Op::Revoke),
        (partition, 0..60_i64).prop_map(|(p, o)| Op::Record(p, o)),
        Just(Op::Begin),
        Just(Op::Rewind),
    ]
}

proptest! {
    /// Against a model that keeps, for each partition, all records of the transaction in a list.
    #[test]
    fn the_ledger_agrees_with_a_list_of_records(ops in prop::collection::vec(op(), 0..60)) {
        type Model = std::collections::BTreeMap<i32, (Option<i64>, Vec<i64>)>;
        let mut ledger = Ledger::default();
        let mut model = Model::new();
        for op in ops {
            match op {
                Op::Assign(p, committed) => {
                    ledger.assign(&[assignment(p, committed)]);
                    model.insert(p, (committed, Vec::new()));
                }
                Op::Revoke(p) => {
                    ledger.revoke(&[tp(p)]);
                    model.remove(&p);
                }
                Op::Record(p, offset) => {
                    let accepted = ledger.record(&topic(), p, RecordOffset(offset)).is_ok();
                    let expected = match model.get_mut(&p) {
                        None => false,
                        Some((start, records)) => {
                            let floor = records.last().map(|last| last + 1).or(*start);
                            let in_turn = floor.is_none_or(|floor| offset >= floor);
                            if in_turn {
                                records.push(offset);
                            }
                            in_turn
                        }
                    };
                    prop_assert_eq!(accepted, expected);
                }
                Op::Begin => {
                    ledger.committed(&ledger.to_commit());
                    for (start, records) in model.values_mut() {
                        *start = records.last().map(|last| last + 1).or(*start);
                        records.clear();
                    }
                }
                Op::Rewind => {
                    let mut points = ledger.rewind();
                    points.sort();
                    let expected: Vec<Position> = model
                        .iter()
                        .filter(|(_, (_, records))| !records.is_empty())
                        .map(|(p, (start, _))| (tp(*p), start.map(next)))
                        .collect();
                    prop_assert_eq!(points, expected);
                    model.values_mut().for_each(|(_, records)| records.clear());
                }
            }
            let mut committed = ledger.to_commit();
            committed.sort();
            let expected: Vec<_> = model
                .iter()
                .filter_map(|(p, (_, records))| Some((tp(*p), next(records.last()? + 1))))
                .collect();
            prop_assert_eq!(committed, expected);
        }
    }
}
