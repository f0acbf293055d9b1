//! Answers on standard output, errors on standard error; for people or for scripts.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, TableComponent};
use serde::Serialize;
use serde_json::json;

use super::Exit;
use crate::error::{Error, ErrorKind};

const HEADING: Style = Style::new().bold();
const LABEL: Style = Style::new().dimmed();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const ADVICE: Style = AnsiColor::Yellow.on_default();

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Tables for people.
    Table,
    /// One JSON document for scripts.
    Json,
    /// Comma-separated values after a header.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// A Parquet file, without loss.
    Parquet,
    /// An Arrow IPC file, without loss.
    Arrow,
}

impl Format {
    /// The name in arguments.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
            Self::Arrow => "arrow",
        }
    }

    /// Whether only rows can be written so.
    pub(super) fn is_of_rows(self) -> bool {
        !matches!(self, Self::Table | Self::Json)
    }
}

/// Reads any format and offers those that every answer has.
pub(super) fn answer_formats() -> impl TypedValueParser<Value = Format> {
    formats(|format| !format.is_of_rows())
}

/// Reads and offers any format.
pub(super) fn row_formats() -> impl TypedValueParser<Value = Format> {
    formats(|_| true)
}

fn formats(offered: fn(Format) -> bool) -> impl TypedValueParser<Value = Format> {
    let all = Format::value_variants().iter();
    let values = all.filter_map(|format| {
        let value: PossibleValue = format.to_possible_value()?;
        Some(value.hide(!offered(*format)))
    });
    PossibleValuesParser::new(values).try_map(|name| Format::from_str(&name, false))
}

/// An answer.
pub(super) trait Report: Serialize {
    /// Prints it for people.
    fn render(&self, page: &mut Page<'_>) -> io::Result<()>;
}

/// The JSON Schema of a file of settings.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct JsonSchema(pub(super) serde_json::Value);

impl Report for JsonSchema {
    fn render(&self, page: &mut Page<'_>) -> io::Result<()> {
        page.line(&serde_json::to_string_pretty(&self.0).map_err(io::Error::other)?)
    }
}

/// Where answers go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format }
    }

    /// How answers are printed.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Prints an answer. A reader that has gone away is no failure.
    pub(super) fn report(&self, report: &impl Report) -> Result<(), Error> {
        let printed = self.print(report);
        match printed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => {
                Err(Error::new(ErrorKind::Failed, format!("the answer could not be printed: {error}")))
            }
            Ok(()) => Ok(()),
        }
    }

    fn print(&self, report: &impl Report) -> io::Result<()> {
        let mut out = io::BufWriter::new(anstream::AutoStream::auto(io::stdout().lock()));
        match self.format {
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, report)?;
                writeln!(out)?;
            }
            _ => report.render(&mut Page { out: &mut out })?,
        }
        out.flush()
    }

    /// Prints a note on standard error, beside the answer. One that cannot be printed is lost.
    pub(super) fn note(&self, text: &str) {
        let mut err = anstream::AutoStream::auto(io::stderr().lock());
        let _ = match self.format {
            Format::Json => writeln!(err, "{}", json!({ "note": text })),
            _ => writeln!(err, "{ADVICE}note:{ADVICE:#} {text}"),
        };
    }

    /// Prints an error. One that cannot be printed is lost: there is nowhere left to tell.
    pub(super) fn error(&self, error: &Error, exit: Exit) {
        let chain = error.chain();
        let (message, causes) = chain.split_first().map_or(("", &[][..]), |(m, c)| (m.as_str(), c));
        let _ = print_error(self.format, error.kind().as_str(), message, causes, exit);
    }
}

fn print_error(format: Format, kind: &str, message: &str, causes: &[String], exit: Exit) -> io::Result<()> {
    let mut err = anstream::AutoStream::auto(io::stderr().lock());
    if format == Format::Json {
        let error = json!({ "kind": kind, "exit_code": exit.code(), "message": message, "causes": causes });
        return writeln!(err, "{}", json!({ "error": error }));
    }
    write!(err, "{ERROR}error:{ERROR:#} {message}")?;
    for cause in causes {
        write!(err, ": {cause}")?;
    }
    writeln!(err)
}

/// Prints help, or what is wrong with the arguments.
pub(super) fn usage(usage: &clap::Error) -> Exit {
    if !usage.use_stderr() {
        let _ = usage.print();
        return Exit::Done;
    }
    if asked_for_json(std::env::args_os().skip(1)) {
        let text = usage.render().to_string();
        let message = text.trim_end().trim_start_matches("error: ");
        let _ = print_error(Format::Json, ErrorKind::FixInput.as_str(), message, &[], Exit::Usage);
    } else {
        let _ = usage.print();
    }
    Exit::Usage
}

/// Whether arguments that do not parse still say that a script reads the answer.
fn asked_for_json(arguments: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let mut value_follows = false;
    for argument in arguments {
        if argument == "--format=json" || (value_follows && argument == "json") {
            return true;
        }
        value_follows = argument == "--format";
    }
    false
}

/// So many rows of a list that may be long are shown to people.
const ROWS_SHOWN: usize = 40;

/// A page for people.
pub(super) struct Page<'a> {
    out: &'a mut dyn Write,
}

impl Page<'_> {
    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// A line that stands over what follows.
    pub(super) fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{HEADING}{text}{HEADING:#}")
    }

    /// A line that tells what to do.
    pub(super) fn advice(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{ADVICE}note:{ADVICE:#} {text}")
    }

    /// Names and values, one a line; values of several lines are indented.
    pub(super) fn pairs(&mut self, pairs: &[(&str, String)]) -> io::Result<()> {
        let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        for (name, value) in pairs {
            for (i, line) in value.lines().enumerate() {
                let name = if i == 0 { name } else { "" };
                writeln!(self.out, "  {LABEL}{name:<width$}{LABEL:#}  {line}")?;
            }
        }
        Ok(())
    }

    /// The first so many of `rows`, as [`Page::rows`], and how many there are more.
    pub(super) fn first_rows(
        &mut self,
        columns: &[&str],
        rows: impl ExactSizeIterator<Item = Vec<String>>,
    ) -> io::Result<()> {
        let more = rows.len().saturating_sub(ROWS_SHOWN);
        self.rows(columns, rows.take(ROWS_SHOWN).collect())?;
        match more {
            0 => Ok(()),
            more => self.line(&format!("… and {more} more, which --format json lists")),
        }
    }

    /// Rows below a heading of column names. A name that ends in `>` is of a column of numbers.
    pub(super) fn rows(&mut self, columns: &[&str], rows: Vec<Vec<String>>) -> io::Result<()> {
        let mut grid = Grid::new();
        grid.load_preset(comfy_table::presets::NOTHING);
        grid.set_style(TableComponent::VerticalLines, ' ');
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(columns.iter().map(|name| name.trim_end_matches('>')));
        for row in rows {
            grid.add_row(row);
        }
        for (column, name) in grid.column_iter_mut().zip(columns) {
            column.set_padding((0, 1));
            if name.ends_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for (i, line) in grid.lines().enumerate() {
            let line = line.trim_end();
            if i == 0 { self.heading(line)? } else { self.line(line)? }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_line_up_without_trailing_blanks() {
        let mut out = Vec::new();
        let rows = vec![vec!["a".into(), "1".into(), "x".into()], vec!["bcd".into(), "20".into(), "".into()]];
        Page { out: &mut out }.rows(&["NAME", "N>", "NOTE"], rows).unwrap();
        let text = anstream::adapter::strip_bytes(&out).into_vec();
        assert_eq!(String::from_utf8(text).unwrap(), "NAME   N  NOTE\na      1  x\nbcd   20\n");
    }

    #[test]
    fn a_script_is_known_by_its_arguments() {
        let asked = |args: &[&str]| asked_for_json(args.iter().map(Into::into));
        assert!(asked(&["x", "--format", "json"]) && asked(&["--format=json"]));
        assert!(!asked(&["json", "--format", "table"]));
    }
}
