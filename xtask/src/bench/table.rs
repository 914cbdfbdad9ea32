//! Tables, for a terminal and for Markdown.

/// Cells by rows, below a head.
pub(crate) struct Table {
    pub(crate) title: &'static str,
    pub(crate) head: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
}

// === impl Table ===

impl Table {
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &mut dyn Iterator<Item = &str>| -> String {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![self.title.to_owned(), line(&mut self.head.iter().copied())];
        lines.extend(self.rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
        lines.join("\n") + "\n"
    }

    pub(crate) fn markdown(&self) -> String {
        let mut lines = vec![format!("### {}\n", self.title)];
        lines.push(format!("| {} |", self.head.join(" | ")));
        lines.push(format!("|---|{}", "--:|".repeat(self.head.len() - 1)));
        lines.extend(self.rows.iter().map(|row| format!("| {} |", row.join(" | "))));
        lines.join("\n") + "\n"
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let widest = cells.map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(self.head[column].chars().count())
        };
        (0..self.head.len()).map(width).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["a".into(), "1".into()], vec!["longer".into(), "22".into()]];
        let table = Table { title: "T", head: vec!["x", "y"], rows };
        assert_eq!(table.text(), "T\nx       y\na       1\nlonger  22\n");
        let markdown = "### T\n\n| x | y |\n|---|--:|\n| a | 1 |\n| longer | 22 |\n";
        assert_eq!(table.markdown(), markdown);
    }
}
