use super::*;

fn step(pattern: usize, rows: &[usize]) -> Step {
    Step {
        pattern,
        rows: rows.to_vec(),
    }
}

#[test]
fn rounds_take_each_key_once_and_each_pattern_by_itself() {
    let pattern_of = [0, 1, 0, 0, 1];
    let shared = BTreeMap::from([(0, 0), (3, 0), (4, 0)]);
    assert_eq!(
        rounds(&[0, 1, 2, 3, 4], &pattern_of, &shared),
        [
            step(0, &[0, 2]),
            step(1, &[1]),
            step(0, &[3]),
            step(1, &[4])
        ]
    );
    assert_eq!(rounds(&[2, 3], &pattern_of, &shared), [step(0, &[2, 3])]);
}

#[test]
fn a_key_that_repeats_for_ever_ends_in_segments() {
    let rows: Vec<usize> = (0..20).collect();
    let shared: BTreeMap<usize, usize> = rows.iter().map(|row| (*row, 0)).collect();
    let steps = rounds(&rows, &[0; 20], &shared);
    assert_eq!(steps.len(), 20);
    let order: Vec<usize> = steps.iter().flat_map(|step| step.rows.clone()).collect();
    assert_eq!(order, rows);
}

#[test]
fn segments_keep_the_source_order() {
    let pattern_of = [0, 0, 1, 1, 1, 0];
    let shared = BTreeMap::from([(2, 2), (4, 2), (0, 0), (5, 0)]);
    assert_eq!(
        segments(&[0, 1, 2, 3, 4, 5], &pattern_of, &shared),
        [
            step(0, &[0, 1]),
            step(1, &[2, 3]),
            step(1, &[4]),
            step(0, &[5])
        ]
    );
}
