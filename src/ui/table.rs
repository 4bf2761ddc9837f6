//! Listings: no borders, upper-case headers, two spaces between columns (pure).

use comfy_table::{ColumnConstraint, ContentArrangement, TableStyle, Width};

use crate::text::{columns, cut, sanitize_line};

/// The space between two columns.
const GAP: u16 = 2;
/// A column is not cut below this width.
const LEAST: usize = 8;
/// The same while optional columns can be left out: tags differ at their ends.
const READABLE: usize = 24;

/// A column of a [`Table`].
#[derive(Debug, Clone)]
pub struct Column {
    header: String,
    shrinkable: bool,
    optional: bool,
}

impl Column {
    /// A column that is always shown in full.
    pub fn new(header: &str) -> Self {
        Column {
            header: header.to_uppercase(),
            shrinkable: false,
            optional: false,
        }
    }

    /// The same column, always shown in full.
    #[must_use]
    pub fn whole(self) -> Self {
        Column {
            shrinkable: false,
            optional: false,
            ..self
        }
    }

    /// The same column, left out if the terminal is too narrow otherwise.
    #[must_use]
    pub fn optional(self) -> Self {
        Column {
            optional: true,
            ..self
        }
    }

    /// A column that is cut if the terminal is too narrow.
    pub fn shrinkable(header: &str) -> Self {
        Column {
            shrinkable: true,
            ..Self::new(header)
        }
    }
}

/// Rows with headers.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Table {
            columns: columns.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty, extra cells are dropped.
    pub fn row<Cell: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().map(|cell| sanitize_line(cell.as_ref()));
        let mut row: Vec<String> = cells.collect();
        row.resize(self.columns.len(), String::new());
        self.rows.push(row);
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines of at most `width` columns; in full without a `width`. If it is too wide, first
    /// shrinkable columns are cut, ending in `ellipsis`, then optional ones left out from the last to the
    /// first. If it is still too wide, each row becomes a block with one line for each cell.
    pub fn render(&self, width: Option<usize>, ellipsis: &str) -> String {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        loop {
            let last = shown
                .iter()
                .rposition(|index| self.columns[*index].optional);
            let least = last.map_or(LEAST, |_| READABLE);
            let natural = shown.iter().map(|index| self.natural_width(*index));
            let mut widths: Vec<usize> = natural.collect();
            if width.is_none_or(|width| self.shrink(&shown, &mut widths, width, least)) {
                return self.lines_of(&shown, &widths, ellipsis);
            }
            match last {
                Some(last) => shown.remove(last),
                None => return self.blocks(width),
            };
        }
    }

    /// The columns `shown`, with these widths.
    fn lines_of(&self, shown: &[usize], widths: &[usize], ellipsis: &str) -> String {
        let mut table = borderless();
        table.set_header(shown.iter().map(|index| &self.columns[*index].header));
        for row in &self.rows {
            let cells = shown.iter().zip(widths);
            table.add_row(cells.map(|(index, width)| cut(&row[*index], *width, ellipsis)));
        }
        lines(&mut table)
    }

    fn natural_width(&self, index: usize) -> usize {
        let cells = self.rows.iter().map(|row| columns(&row[index]));
        cells.fold(columns(&self.columns[index].header), usize::max)
    }

    /// Repeatedly narrows the widest shrinkable column among `shown` until all fit in `width`, none
    /// narrower than `least`. Returns false if they cannot.
    fn shrink(&self, shown: &[usize], widths: &mut [usize], width: usize, least: usize) -> bool {
        let gaps = usize::from(GAP) * widths.len().saturating_sub(1);
        let mut excess = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
        while excess > 0 {
            let widest = shown
                .iter()
                .map(|index| &self.columns[*index])
                .zip(widths.iter_mut())
                .filter(|(column, width)| {
                    column.shrinkable && **width > columns(&column.header).max(least)
                })
                .max_by_key(|(_, width)| **width);
            let Some((_, widest)) = widest else {
                return false;
            };
            *widest -= 1;
            excess -= 1;
        }
        true
    }

    /// One block for each row: headers on the left, cells on the right, wrapped at `width`; in full
    /// without one.
    pub fn blocks(&self, width: Option<usize>) -> String {
        let headers = self.columns.iter().map(|column| columns(&column.header));
        let headers = headers.max().unwrap_or(0);
        let taken = headers + usize::from(GAP);
        let cells = width.map_or(usize::MAX, |width| width.saturating_sub(taken).max(1));
        let cells = u16::try_from(cells).unwrap_or(u16::MAX);
        let blocks = self.rows.iter().map(|row| {
            let mut table = borderless();
            for (column, cell) in self.columns.iter().zip(row) {
                table.add_row([&column.header, cell]);
            }
            table.set_content_arrangement(ContentArrangement::Dynamic);
            if let Some(column) = table.column_mut(1) {
                column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(cells)));
            }
            lines(&mut table)
        });
        blocks.collect::<Vec<_>>().join("\n")
    }
}

/// A table without border lines.
fn borderless() -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(TableStyle::default());
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// The text of a borderless table. Columns exist only once it has rows, so they are configured
/// here.
fn lines(table: &mut comfy_table::Table) -> String {
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        let gap = if index < last { GAP } else { 0 };
        column.set_padding((0, gap));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Table {
        let mut table = Table::new([
            Column::shrinkable("tag"),
            Column::shrinkable("branch"),
            Column::new("commit"),
            Column::new("created"),
        ]);
        table.row(["dkr:linux-main", "main", "0a1b2c3", "3 hours ago"]);
        table.row([
            "dkr:linux-feature-a-very-long-name",
            "feature/a-very-long-name",
            "4d5e6f7",
            "2 days ago",
        ]);
        table
    }

    #[test]
    fn a_wide_terminal_and_a_pipe_show_everything() {
        let text = "\
TAG                                 BRANCH                    COMMIT   CREATED
dkr:linux-main                      main                      0a1b2c3  3 hours ago
dkr:linux-feature-a-very-long-name  feature/a-very-long-name  4d5e6f7  2 days ago
";
        assert_eq!(images().render(None, "…"), text);
        assert_eq!(images().render(Some(200), "…"), text);
    }

    #[test]
    fn shrinkable_columns_give_way() {
        assert_eq!(
            images().render(Some(60), "…"),
            "\
TAG                 BRANCH              COMMIT   CREATED
dkr:linux-main      main                0a1b2c3  3 hours ago
dkr:linux-feature…  feature/a-very-lo…  4d5e6f7  2 days ago
"
        );
        assert_eq!(
            images().render(Some(40), "…"),
            "\
TAG       BRANCH    COMMIT   CREATED
dkr:lin…  main      0a1b2c3  3 hours ago
dkr:lin…  feature…  4d5e6f7  2 days ago
"
        );
    }

    #[test]
    fn a_very_narrow_terminal_shows_blocks() {
        assert_eq!(
            images().render(Some(20), "…"),
            "\
TAG      dkr:linux-m
         ain
BRANCH   main
COMMIT   0a1b2c3
CREATED  3 hours ago

TAG      dkr:linux-f
         eature-a-ve
         ry-long-nam
         e
BRANCH   feature/a-v
         ery-long-na
         me
COMMIT   4d5e6f7
CREATED  2 days ago
"
        );
    }

    #[test]
    fn a_narrow_terminal_leaves_optional_columns_out_before_it_shows_blocks() {
        let mut table = Table::new([
            Column::shrinkable("name"),
            Column::new("commit").optional(),
            Column::new("state"),
            Column::shrinkable("runs").optional(),
        ]);
        table.row(["fix-parser", "0a1b2c3d4e", "running", "vim, make"]);
        let header = |width| {
            let text = table.render(Some(width), "…");
            text.lines().next().unwrap_or_default().to_owned()
        };
        assert_eq!(header(80), "NAME        COMMIT      STATE    RUNS");
        assert_eq!(header(42), "NAME        COMMIT      STATE    RUNS");
        assert_eq!(header(41), "NAME        COMMIT      STATE");
        assert_eq!(header(30), "NAME        STATE");
        assert_eq!(header(17), "NAME      STATE");
        // All columns, when even the required ones do not fit.
        let blocks = table.render(Some(16), "…");
        assert!(
            blocks.contains("COMMIT  0a1b2c3d") && blocks.contains("RUNS"),
            "{blocks}"
        );
    }

    #[test]
    fn nothing_is_ever_wider_than_the_terminal() {
        for width in 20..120 {
            let text = images().render(Some(width), "…");
            for line in text.lines() {
                assert!(columns(line) <= width, "{width}: {line}");
                assert_eq!(line, line.trim_end());
            }
        }
    }

    #[test]
    fn cells_from_outside_stay_one_harmless_line() {
        let mut table = Table::new([Column::new("name"), Column::new("x")]);
        table.row(["a\u{1b}[2J\nb"]);
        assert_eq!(
            table.render(None, "…"),
            "NAME           X\na\\u{1b}[2J\\nb\n"
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        let table = Table::new([Column::new("name")]);
        assert_eq!(table.render(Some(80), "…"), "NAME\n");
    }
}
