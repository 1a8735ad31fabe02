//! Arithmetic over metrics: `A / B * 100`.
//!
//! ```text
//! sum     = product { ("+" | "-" | "−") product }
//! product = factor { ("*" | "×" | "/" | "÷") factor }
//! factor  = ("-" | "−") factor | number | name | "(" sum ")"
//! ```
//! A formula is parsed once into instructions for a stack machine, checked against the metrics there are, and then
//! evaluated for every bucket of every line. Where an operand has no value, and where a result is not finite (a
//! division by zero), the formula has none.

use cofferdam_model::limits;

/// A formula that can be evaluated: it names existing metrics only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Formula {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Number(f64),
    /// The value of a metric, by index.
    Metric(usize),
    Negate,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Formula {
    /// Errors say what is wrong and at which character, counted from 1.
    pub(crate) fn parse(text: &str, metrics: usize) -> Result<Formula, String> {
        if text.len() > limits::FORMULA_BYTES_MAX {
            return Err(format!("a formula has at most {} bytes", limits::FORMULA_BYTES_MAX));
        }
        let mut parser = Parser { text: text.chars().collect(), at: 0, depth: 0, metrics, steps: Vec::new() };
        parser.sum()?;
        match parser.peek() {
            None => Ok(Formula { steps: parser.steps }),
            Some(')') => parser.fail("there is no \"(\" for this \")\""),
            Some(_) => parser.fail("expected + − * / or the end"),
        }
    }

    /// The formula's value for the values of the metrics. `stack` is working space.
    pub(crate) fn value(&self, metric: impl Fn(usize) -> Option<f64>, stack: &mut Vec<f64>) -> Option<f64> {
        stack.clear();
        for step in &self.steps {
            let result = match *step {
                Step::Number(number) => number,
                Step::Metric(index) => metric(index)?,
                Step::Negate => -stack.pop()?,
                Step::Add | Step::Subtract | Step::Multiply | Step::Divide => {
                    let (right, left) = (stack.pop()?, stack.pop()?);
                    match step {
                        Step::Add => left + right,
                        Step::Subtract => left - right,
                        Step::Multiply => left * right,
                        _ => left / right,
                    }
                }
            };
            if !result.is_finite() {
                return None;
            }
            stack.push(result);
        }
        // Zero has no sign in a report.
        stack.pop().map(|value| value + 0.0)
    }
}

/// The name of a metric by its index: A, B, …, Z, AA, …
pub(crate) fn metric_name(index: usize) -> String {
    let letter = |index: usize| char::from(b'A' + (index % 26) as u8);
    match index.checked_sub(26) {
        None => letter(index).to_string(),
        Some(index) => metric_name(index / 26) + &letter(index).to_string(),
    }
}

struct Parser {
    text: Vec<char>,
    at: usize,
    /// Brackets and signs that are open: each is a call deep.
    depth: usize,
    metrics: usize,
    steps: Vec<Step>,
}

impl Parser {
    fn sum(&mut self) -> Result<(), String> {
        self.product()?;
        loop {
            let step = match self.peek() {
                Some('+') => Step::Add,
                Some('-' | '−') => Step::Subtract,
                _ => return Ok(()),
            };
            self.at += 1;
            self.product()?;
            self.steps.push(step);
        }
    }

    fn product(&mut self) -> Result<(), String> {
        self.factor()?;
        loop {
            let step = match self.peek() {
                Some('*' | '×') => Step::Multiply,
                Some('/' | '÷') => Step::Divide,
                _ => return Ok(()),
            };
            self.at += 1;
            self.factor()?;
            self.steps.push(step);
        }
    }

    fn factor(&mut self) -> Result<(), String> {
        if self.depth >= limits::FORMULA_DEPTH_MAX {
            return self.fail(&format!("more than {} brackets or signs within each other", limits::FORMULA_DEPTH_MAX));
        }
        self.depth += 1;
        match self.peek() {
            Some('-' | '−') => {
                self.at += 1;
                self.factor()?;
                self.steps.push(Step::Negate);
            }
            Some('(') => {
                self.at += 1;
                self.sum()?;
                if self.peek() != Some(')') {
                    return self.fail("expected \")\"");
                }
                self.at += 1;
            }
            Some(letter) if letter.is_ascii_alphabetic() => self.name()?,
            Some(digit) if digit.is_ascii_digit() || digit == '.' => self.number()?,
            _ => return self.fail("expected a metric (A, B, …), a number or \"(\""),
        }
        self.depth -= 1;
        Ok(())
    }

    fn name(&mut self) -> Result<(), String> {
        let from = self.at;
        let name = self.take(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        match (0..self.metrics).find(|index| metric_name(*index) == name) {
            Some(index) => {
                self.steps.push(Step::Metric(index));
                Ok(())
            }
            None => {
                self.at = from;
                let last = metric_name(self.metrics.saturating_sub(1));
                self.fail(&format!("there is no metric {name}: they are named A to {last}"))
            }
        }
    }

    fn number(&mut self) -> Result<(), String> {
        let from = self.at;
        let number = self.take(|digit| digit.is_ascii_digit() || digit == '.');
        match number.parse::<f64>() {
            Ok(number) if number.is_finite() => {
                self.steps.push(Step::Number(number));
                Ok(())
            }
            _ => {
                self.at = from;
                self.fail("this is no number")
            }
        }
    }

    fn take(&mut self, belongs: impl Fn(char) -> bool) -> String {
        let from = self.at;
        while self.text.get(self.at).is_some_and(|letter| belongs(*letter)) {
            self.at += 1;
        }
        self.text[from..self.at].iter().collect()
    }

    /// The next character that is no space.
    fn peek(&mut self) -> Option<char> {
        self.take(char::is_whitespace);
        self.text.get(self.at).copied()
    }

    fn fail<T>(&self, message: &str) -> Result<T, String> {
        Err(format!("formula, character {}: {message}", self.at + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str, metrics: &[Option<f64>]) -> Option<f64> {
        let formula = Formula::parse(text, metrics.len()).unwrap();
        formula.value(|index| metrics[index], &mut Vec::new())
    }

    #[test]
    fn arithmetic_is_that_of_school() {
        let metrics = [Some(6.0), Some(4.0), Some(0.0), None];
        for (text, expected) in [
            ("A", Some(6.0)),
            ("A / B * 100", Some(150.0)),
            ("A - B - 1", Some(1.0)),
            ("A − B × 2", Some(-2.0)),
            ("(A - B) * 2", Some(4.0)),
            ("-A + --B", Some(-2.0)),
            ("2*-(A)", Some(-12.0)),
            (" .5*A+1.25 ", Some(4.25)),
            ("A / B / 2", Some(0.75)),
            ("A / C", None),
            ("C / C", None),
            ("A + D", None),
            ("D * 0", None),
            ("C * -1", Some(0.0)),
        ] {
            assert_eq!(value(text, &metrics), expected, "{text}");
        }
        assert!(value("C * -1", &metrics).unwrap().is_sign_positive());
    }

    #[test]
    fn metrics_are_named_like_columns_of_a_sheet() {
        assert_eq!([0, 25, 26, 27, 39].map(metric_name), ["A", "Z", "AA", "AB", "AN"]);
        let metrics: Vec<_> = (0..40).map(|index| Some(f64::from(index))).collect();
        assert_eq!(value("AN + AA * 100", &metrics), Some(2_639.0));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let deep = "(".repeat(100) + "A" + &")".repeat(100);
        let signs = "-".repeat(400) + "A";
        for (text, expected) in [
            ("", "character 1: expected a metric"),
            ("A +", "character 4: expected a metric"),
            ("A B", "character 3: expected + "),
            ("(A", "character 3: expected \")\""),
            ("A)", "character 2: there is no \"(\""),
            ("A * C", "character 5: there is no metric C: they are named A to B"),
            ("a", "character 1: there is no metric a"),
            ("1.2.3", "character 1: this is no number"),
            ("1e9", "character 2: expected + "),
            (".", "character 1: this is no number"),
            ("A ^ 2", "character 3: expected + "),
            (&deep, "brackets or signs within each other"),
            (&signs, "brackets or signs within each other"),
            (&"A+".repeat(400), "at most 500 bytes"),
        ] {
            let error = Formula::parse(text, 2).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
