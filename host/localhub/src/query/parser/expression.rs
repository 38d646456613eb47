//! The rules of conditions and values: operators by their precedence, lists, functions.

use serde_json::Value;

use super::Parser;
use crate::fault::Fault;
use crate::query::evaluate::negative;
use crate::query::functions::Function;
use crate::query::lexer::{Kind, wrong};
use crate::query::syntax::{Arithmetic, Comparison, Expression};

impl Parser {
    pub(super) fn expression(&mut self) -> Result<Expression, Fault> {
        self.nested(|parser| {
            let mut any = vec![parser.all()?];
            while parser.skip_keyword("OR") {
                any.push(parser.all()?);
            }
            Ok(alone(any, Expression::Or))
        })
    }

    fn all(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.not()?];
        while self.skip_keyword("AND") {
            all.push(self.not()?);
        }
        Ok(alone(all, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, Fault> {
        if self.skip_keyword("NOT") {
            return self.nested(|parser| Ok(Expression::Not(Box::new(parser.not()?))));
        }
        self.compared()
    }

    fn compared(&mut self) -> Result<Expression, Fault> {
        let value = self.sum()?;
        let negated = self.skip_keyword("NIN");
        if negated || self.skip_keyword("IN") {
            let list = self.list()?;
            return Ok(Expression::In { value: Box::new(value), list, negated });
        }
        let comparison = match self.peek().kind {
            Kind::Symbol("=") => Comparison::Equal,
            Kind::Symbol("!=" | "<>") => Comparison::Unequal,
            Kind::Symbol("<") => Comparison::Less,
            Kind::Symbol("<=") => Comparison::LessOrEqual,
            Kind::Symbol(">") => Comparison::Greater,
            Kind::Symbol(">=") => Comparison::GreaterOrEqual,
            _ => return Ok(value),
        };
        self.next += 1;
        let other = self.sum()?;
        Ok(Expression::Compare(Box::new(value), comparison, Box::new(other)))
    }

    fn list(&mut self) -> Result<Vec<Value>, Fault> {
        self.symbol("[")?;
        let mut list = Vec::new();
        loop {
            if list.is_empty() && self.skip_symbol("]") {
                return Ok(list);
            }
            match self.constant()? {
                Some(value) => list.push(value),
                None => return self.unexpected("a constant in the list"),
            }
            if !self.skip_symbol(",") {
                self.symbol("]")?;
                return Ok(list);
            }
        }
    }

    /// A text, a number with or without its sign, `true`, `false` or `null`.
    fn constant(&mut self) -> Result<Option<Value>, Fault> {
        let minus = self.at_symbol("-")
            && self
                .tokens
                .get(self.next + 1)
                .is_some_and(|token| matches!(token.kind, Kind::Constant(Value::Number(_))));
        self.next += usize::from(minus);
        let value = match &self.peek().kind {
            Kind::Constant(value) => value.clone(),
            Kind::Words(words, false) if !self.is_call() => {
                match words.concat().to_ascii_lowercase().as_str() {
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    "null" => Value::Null,
                    _ => return Ok(None),
                }
            }
            _ => return Ok(None),
        };
        self.next += 1;
        Ok(Some(if minus { negative(&value).unwrap_or(value) } else { value }))
    }

    pub(super) fn sum(&mut self) -> Result<Expression, Fault> {
        let first = self.product()?;
        let mut more = Vec::new();
        loop {
            let operator = match self.peek().kind {
                Kind::Symbol("+") => Arithmetic::Add,
                Kind::Symbol("-") => Arithmetic::Subtract,
                _ => return Ok(chain(first, more)),
            };
            self.next += 1;
            more.push((operator, self.product()?));
        }
    }

    fn product(&mut self) -> Result<Expression, Fault> {
        let first = self.value()?;
        let mut more = Vec::new();
        loop {
            let operator = match self.peek().kind {
                Kind::Symbol("*") => Arithmetic::Multiply,
                Kind::Symbol("/") => Arithmetic::Divide,
                Kind::Symbol("%") => Arithmetic::Remainder,
                _ => return Ok(chain(first, more)),
            };
            self.next += 1;
            more.push((operator, self.value()?));
        }
    }

    fn value(&mut self) -> Result<Expression, Fault> {
        if let Some(value) = self.constant()? {
            return Ok(Expression::Constant(value));
        }
        if self.skip_symbol("-") {
            return self.nested(|parser| Ok(Expression::Negative(Box::new(parser.value()?))));
        }
        if self.skip_symbol("(") {
            let inner = self.expression()?;
            self.symbol(")")?;
            return Ok(inner);
        }
        if self.word().is_some() && self.is_call() {
            return self.call();
        }
        Ok(Expression::Path(self.path()?))
    }

    fn call(&mut self) -> Result<Expression, Fault> {
        let at = self.peek().at;
        let name = self.word().unwrap_or_default().to_owned();
        if self.aggregate().is_some() {
            return Err(wrong(at, &format!("{name} stands after SELECT only")));
        }
        let function = Function::named(&name).ok_or_else(|| {
            wrong(at, &format!("there is no function {name:?}; there are {}", Function::NAMES.join(", ")))
        })?;
        self.next += 2;
        let mut arguments = Vec::new();
        while !self.skip_symbol(")") {
            if !arguments.is_empty() {
                self.symbol(",")?;
            }
            arguments.push(self.expression()?);
        }
        if arguments.len() != function.arguments() {
            let text = format!("{name} takes {} argument(s), not {}", function.arguments(), arguments.len());
            return Err(wrong(at, &text));
        }
        Ok(Expression::Call(function, arguments))
    }
}

fn alone(mut several: Vec<Expression>, many: fn(Vec<Expression>) -> Expression) -> Expression {
    match several.pop() {
        Some(only) if several.is_empty() => only,
        Some(last) => {
            several.push(last);
            many(several)
        }
        None => many(several),
    }
}

fn chain(first: Expression, more: Vec<(Arithmetic, Expression)>) -> Expression {
    if more.is_empty() { first } else { Expression::Chain(Box::new(first), more) }
}
