//! The demo's table: what was tried, what was expected, what happened.

use std::fmt::Write as _;

/// One thing that was tried.
pub struct Row {
    /// What was tried.
    pub tried: String,
    /// What should happen.
    pub expected: String,
    /// What did happen.
    pub happened: String,
    /// Whether that is the same.
    pub holds: bool,
}

/// All rows, in the order in which they were tried.
#[derive(Default)]
pub struct Rows(Vec<Row>);

impl Rows {
    /// Adds a row.
    pub fn add(&mut self, tried: &str, expected: &str, happened: impl Into<String>, holds: bool) {
        let row = Row {
            tried: tried.to_owned(),
            expected: expected.to_owned(),
            happened: happened.into(),
            holds,
        };
        self.0.push(row);
    }

    /// How many rows hold, and how many do not.
    pub fn count(&self) -> (usize, usize) {
        let passed = self.0.iter().filter(|row| row.holds).count();
        (passed, self.0.len() - passed)
    }

    /// The table for a terminal of any width; long cells are cut.
    pub fn render(&self) -> String {
        let width = |cell: fn(&Row) -> &str, most: usize, title: &str| {
            self.0
                .iter()
                .map(|row| cell(row).chars().count())
                .max()
                .unwrap_or(0)
                .clamp(title.len(), most)
        };
        let (tried, expected) = (
            width(|row| &row.tried, 44, "tried"),
            width(|row| &row.expected, 36, "expected"),
        );
        let mut table = String::new();
        let _ = writeln!(
            table,
            "     {:tried$}  {:expected$}  happened",
            "tried", "expected"
        );
        for row in &self.0 {
            let mark = if row.holds { "ok" } else { "FAIL" };
            let (first, second, third) = (
                cut(&row.tried, 44),
                cut(&row.expected, 36),
                cut(&row.happened, 80),
            );
            let _ = writeln!(table, "{mark:4} {first:tried$}  {second:expected$}  {third}");
        }
        table
    }
}

fn cut(text: &str, most: usize) -> String {
    let line = text.replace(['\n', '\r'], " ");
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_differs_is_marked_and_counted() {
        let mut rows = Rows::default();
        rows.add("allowed call", "200", "200", true);
        rows.add("other host", "403", "200", false);
        assert_eq!(rows.count(), (1, 1));
        assert!(
            rows.render()
                .lines()
                .any(|line| line.starts_with("FAIL other host"))
        );
    }
}
