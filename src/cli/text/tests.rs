use super::{Grid, count, rows, seconds, short_name, time, value};

#[test]
fn counts_are_grouped_by_thousands() {
    for (number, shown) in [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (-1_234_567, "-1,234,567"),
        (i64::MAX, "9,223,372,036,854,775,807"),
        (i64::MIN, "-9,223,372,036,854,775,808"),
    ] {
        assert_eq!(count(number), shown);
    }
    assert_eq!(rows(1), "1 row");
    assert_eq!(rows(2000), "2,000 rows");
}

#[test]
fn durations_come_in_the_unit_that_suits() {
    for (duration, shown) in [
        (0.0, "0 ms"),
        (0.0456, "46 ms"),
        (1.25, "1.2 s"),
        (125.9, "2 min 05 s"),
        (3600.0, "60 min 00 s"),
    ] {
        assert_eq!(seconds(duration), shown);
    }
}

#[test]
fn values_are_escaped_and_cut() {
    assert_eq!(value(""), "\"\"");
    assert_eq!(value("a\nb"), "\"a\\nb\"");
    let long = "é".repeat(61);
    assert_eq!(value(&long), format!("\"{}…\"", "é".repeat(60)));
}

#[test]
fn names_lose_their_prefix_only() {
    assert_eq!(short_name("STATE_RUNNING", "STATE_"), "RUNNING");
    assert_eq!(short_name("OTHER", "STATE_"), "OTHER");
}

#[test]
fn times_are_iso_8601() {
    assert_eq!(time(0), "1970-01-01T00:00:00Z");
    assert_eq!(time(i64::MAX), "9223372036854775807 s");
}

#[test]
fn a_grid_is_as_wide_as_its_cells() {
    let mut grid = Grid::new(&["a", "long heading", "c"]);
    grid.push(["东京".into(), "x\n".into(), "".into()]);
    let lines: Vec<String> = grid.lines().collect();
    assert_eq!(lines, ["a   long heading  c", "东京  x\\n"]);
}
