//! Filters as people write them: `n >= 5`, `name = 'O''Brien'`, `day in (2026-01-02, 2026-01-03)`.

use std::str::FromStr;

use super::filter::{Comparison, Filter, FilterError, FilterTest};

const OPERATORS: [(&str, Comparison); 8] = [
    ("!=", Comparison::NotEqual),
    ("<>", Comparison::NotEqual),
    ("<=", Comparison::LessOrEqual),
    (">=", Comparison::GreaterOrEqual),
    ("==", Comparison::Equal),
    ("=", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
];

const A_TEST: &str = "one of = != < <= > >=, or `in`, `is null`, `is not null`";
const A_VALUE: &str = "a value, in quotes if it has blanks, commas, brackets or quotes";

impl FromStr for Filter {
    type Err = FilterError;

    /// Reads a column, a comparison and a value. Values with blanks, commas, brackets or quotes stand in
    /// single or double quotes, in which the quote itself is written twice.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        let mut reading = Reading { text, rest: text.trim_start() };
        let column = reading.take(|c| c == '_' || c.is_alphanumeric());
        if column.is_empty() {
            return Err(reading.expected("the name of a column"));
        }
        let test = reading.test()?;
        reading.skip_blanks();
        match reading.word().to_lowercase().as_str() {
            _ if reading.rest.is_empty() => Ok(Self { column: column.to_owned(), test }),
            "or" => Err(reading.expected("the end: there is no `or`, but `column in (a, b)`")),
            "and" => Err(reading.expected("the end: conditions that must all hold are filters of their own")),
            _ => Err(reading.expected("the end: values with blanks, commas, brackets or quotes need quotes")),
        }
    }
}

/// A filter that is read up to `rest`.
#[derive(Clone, Copy)]
struct Reading<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Reading<'a> {
    fn test(&mut self) -> Result<FilterTest, FilterError> {
        self.skip_blanks();
        for (operator, comparison) in OPERATORS {
            if let Some(rest) = self.rest.strip_prefix(operator) {
                self.rest = rest;
                return Ok(FilterTest::Compare(comparison, self.value()?));
            }
        }
        match self.word().to_lowercase().as_str() {
            "in" => {
                self.take(char::is_alphabetic);
                Ok(FilterTest::In(self.list()?))
            }
            "is" => {
                self.take(char::is_alphabetic);
                self.null()
            }
            _ => Err(self.expected(A_TEST)),
        }
    }

    fn null(&mut self) -> Result<FilterTest, FilterError> {
        self.skip_blanks();
        let is_not = self.word().eq_ignore_ascii_case("not");
        if is_not {
            self.take(char::is_alphabetic);
            self.skip_blanks();
        }
        if !self.word().eq_ignore_ascii_case("null") {
            return Err(self.expected(if is_not { "`null`" } else { "`null` or `not null`" }));
        }
        self.take(char::is_alphabetic);
        Ok(if is_not { FilterTest::IsNotNull } else { FilterTest::IsNull })
    }

    fn list(&mut self) -> Result<Vec<String>, FilterError> {
        let mut values = Vec::new();
        self.sign('(', "a list of values: (a, b)")?;
        loop {
            values.push(self.value()?);
            self.skip_blanks();
            if !self.rest.starts_with(',') {
                self.sign(')', "`,` or `)`")?;
                return Ok(values);
            }
            self.sign(',', "`,`")?;
        }
    }

    fn sign(&mut self, sign: char, expected: &'static str) -> Result<(), FilterError> {
        self.skip_blanks();
        self.rest = self.rest.strip_prefix(sign).ok_or_else(|| self.expected(expected))?;
        Ok(())
    }

    fn value(&mut self) -> Result<String, FilterError> {
        self.skip_blanks();
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            return self.quoted(quote);
        }
        let begins_with_sign = self.rest.starts_with(['=', '<', '>', '!']);
        let mut after = *self;
        let value = after.take(|c| !c.is_whitespace() && !matches!(c, ',' | '(' | ')' | '\'' | '"'));
        if value.is_empty() || begins_with_sign {
            return Err(self.expected(A_VALUE));
        }
        if value.eq_ignore_ascii_case("null") {
            return Err(self.expected("a value: rows without one are found by `is null`, the text by 'null'"));
        }
        *self = after;
        Ok(value.to_owned())
    }

    /// The value up to the closing quote; two quotes are one of the value's.
    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        let mut parts = Vec::new();
        while let Some(rest) = self.rest.strip_prefix(quote) {
            let (part, rest) = rest.split_once(quote).ok_or_else(|| self.expected("a closing quote"))?;
            parts.push(part);
            self.rest = rest;
        }
        Ok(parts.join(&quote.to_string()))
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// Takes the characters from here on for which `belongs` holds.
    fn take(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }

    /// The letters that come next.
    fn word(mut self) -> &'a str {
        self.take(char::is_alphabetic)
    }

    fn expected(&self, expected: &'static str) -> FilterError {
        let read = self.text.len() - self.rest.len();
        let found = match self.rest.split_whitespace().next() {
            None => "the end".to_owned(),
            Some(next) => format!("`{}`", next.chars().take(40).collect::<String>()),
        };
        FilterError::Syntax {
            filter: self.text.chars().take(200).collect(),
            position: self.text.get(..read).unwrap_or_default().chars().count() + 1,
            expected,
            found,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(text: &str) -> FilterTest {
        text.parse::<Filter>().unwrap().test
    }

    #[test]
    fn filters_are_read_from_text() {
        let compare = |c, v: &str| FilterTest::Compare(c, v.into());
        let list = |values: &[&str]| FilterTest::In(values.iter().map(|&v| v.into()).collect());
        assert_eq!(test("n>=5"), compare(Comparison::GreaterOrEqual, "5"));
        assert_eq!(test(" p = 'a = b' "), compare(Comparison::Equal, "a = b"));
        assert_eq!(test("p <> a/b-c:d"), compare(Comparison::NotEqual, "a/b-c:d"));
        assert_eq!(test("p = 'O''Brien'"), compare(Comparison::Equal, "O'Brien"));
        assert_eq!(test("p = \"O'Brien, or \"\"\""), compare(Comparison::Equal, "O'Brien, or \""));
        assert_eq!(test("p = ''"), compare(Comparison::Equal, ""));
        assert_eq!(test("p = ''''"), compare(Comparison::Equal, "'"));
        assert_eq!(test("p in (a, 'b c',d)"), list(&["a", "b c", "d"]));
        assert_eq!(test("p IN('x, y')"), list(&["x, y"]));
        assert_eq!(test("p IS NOT NULL"), FilterTest::IsNotNull);
        assert_eq!(test("é is null"), FilterTest::IsNull);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, place, part) in [
            ("", 1, "expected the name of a column, found the end"),
            ("= 5", 1, "expected the name of a column, found `=`"),
            ("n", 2, "found the end"),
            ("n ~ 5", 3, "expected one of = != < <= > >=, or `in`, `is null`, `is not null`, found `~`"),
            ("n like 'x'", 3, "found `like`"),
            ("n >", 4, "expected a value, in quotes"),
            ("n => 5", 4, "expected a value, in quotes"),
            ("n in 5", 6, "expected a list of values: (a, b), found `5`"),
            ("n in ()", 7, "expected a value"),
            ("n in (5", 8, "expected `,` or `)`, found the end"),
            ("n is 5", 6, "expected `null` or `not null`"),
            ("n is not 5", 10, "expected `null`, found `5`"),
            ("n = null", 5, "rows without one are found by `is null`"),
            ("é = 5 or n = 6", 7, "there is no `or`, but `column in (a, b)`"),
            ("n > 5 and n < 7", 7, "filters of their own"),
            ("n > m / 2", 7, "need quotes, found `/`"),
            ("p = New York", 9, "need quotes, found `York`"),
            ("p = O'Brien", 6, "need quotes"),
            ("p = 'O'Brien'", 8, "need quotes"),
            ("p = 'x", 5, "expected a closing quote"),
        ] {
            let error = text.parse::<Filter>().unwrap_err();
            assert!(matches!(error, FilterError::Syntax { position, .. } if position == place), "{error:?}");
            let error = error.to_string();
            assert!(error.starts_with(&format!("filter {text:?}, ")) && error.contains(part), "{error}");
        }
    }
}
