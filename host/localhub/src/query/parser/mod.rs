//! From tokens to a tree, by recursive descent: one function for each rule of the language.
//!
//! ```text
//! query      = SELECT [TOP n] ( * | column, … ) FROM collection [WHERE condition] [GROUP BY path, …]
//! column     = ( aggregate | sum ) [AS name]
//! condition  = and { OR and }            and  = not { AND not }        not = { NOT } compared
//! compared   = sum [ = sum | IN [constant, …] | NIN […] ]              (and the other comparisons)
//! sum        = product { + product }     product = value { * value }   value = constant | path | call | ( condition )
//! ```
//!
//! The recursion goes through [`Parser::nested`] wherever it can repeat, which bounds it.

mod expression;

use serde_json::Value;

use crate::fault::Fault;
use crate::query::lexer::{Kind, Token, tokens, wrong};
use crate::query::syntax::{Aggregate, Collection, Column, Expression, Path, Selection, Wanted};

/// How deep brackets, signs, `NOT` and calls may stand in each other.
const DEEPEST: usize = 32;

const END: &Token = &Token { kind: Kind::End, at: 0 };

/// A query as it is written.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    pub(super) top: Option<u64>,
    pub(super) selection: Selection,
    pub(super) from: Collection,
    pub(super) condition: Option<Expression>,
    pub(super) groups: Vec<Path>,
}

/// Reads a whole query.
pub(super) fn statement(text: &str) -> Result<Statement, Fault> {
    let mut parser = Parser::new(text)?;
    parser.keyword("SELECT")?;
    let top = if parser.skip_keyword("TOP") { Some(parser.count()?) } else { None };
    let selection = parser.selection()?;
    parser.keyword("FROM")?;
    let from = parser.collection()?;
    let condition = if parser.skip_keyword("WHERE") { Some(parser.expression()?) } else { None };
    let mut groups = Vec::new();
    if parser.skip_keyword("GROUP") {
        parser.keyword("BY")?;
        groups.push(parser.path()?);
        while parser.skip_symbol(",") {
            groups.push(parser.path()?);
        }
    }
    let wanted = if condition.is_some() { "GROUP BY or the end" } else { "WHERE, GROUP BY or the end" };
    parser.end(wanted)?;
    let statement = Statement { top, selection, from, condition, groups };
    statement.check()?;
    Ok(statement)
}

/// Reads what may stand after `WHERE`.
pub(super) fn condition(text: &str) -> Result<Expression, Fault> {
    let mut parser = Parser::new(text)?;
    let expression = parser.expression()?;
    parser.end("AND, OR or the end")?;
    Ok(expression)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser {
    fn new(text: &str) -> Result<Self, Fault> {
        Ok(Self { tokens: tokens(text)?, next: 0, depth: 0 })
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.next).or(self.tokens.last()).unwrap_or(END)
    }

    fn unexpected<T>(&self, wanted: &str) -> Result<T, Fault> {
        let found = self.peek();
        Err(wrong(found.at, &format!("wanted {wanted}, found {}", found.shown())))
    }

    fn end(&self, wanted: &str) -> Result<(), Fault> {
        if self.peek().kind == Kind::End { Ok(()) } else { self.unexpected(wanted) }
    }

    /// The single unescaped word that stands next, if one does.
    fn word(&self) -> Option<&str> {
        match &self.peek().kind {
            Kind::Words(words, false) if words.len() == 1 => words.first().map(String::as_str),
            _ => None,
        }
    }

    fn skip_keyword(&mut self, keyword: &str) -> bool {
        let found = self.word().is_some_and(|word| word.eq_ignore_ascii_case(keyword));
        self.next += usize::from(found);
        found
    }

    fn keyword(&mut self, keyword: &str) -> Result<(), Fault> {
        if self.skip_keyword(keyword) { Ok(()) } else { self.unexpected(keyword) }
    }

    fn skip_symbol(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek().kind, Kind::Symbol(found) if found == symbol);
        self.next += usize::from(found);
        found
    }

    fn symbol(&mut self, symbol: &str) -> Result<(), Fault> {
        if self.skip_symbol(symbol) { Ok(()) } else { self.unexpected(&format!("{symbol:?}")) }
    }

    /// Runs a rule that may contain itself, no deeper than [`DEEPEST`].
    fn nested<T>(&mut self, rule: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth == DEEPEST {
            return Err(wrong(self.peek().at, &format!("more than {DEEPEST} levels stand in each other")));
        }
        self.depth += 1;
        let given = rule(self);
        self.depth -= 1;
        given
    }

    fn count(&mut self) -> Result<u64, Fault> {
        match &self.peek().kind {
            Kind::Constant(Value::Number(number)) if number.as_u64().is_some_and(|number| number > 0) => {
                let count = number.as_u64().unwrap_or(1);
                self.next += 1;
                Ok(count)
            }
            _ => self.unexpected("a whole number above zero after TOP"),
        }
    }

    fn collection(&mut self) -> Result<Collection, Fault> {
        const WANTED: &str = "devices, devices.modules or devices.jobs";
        let Kind::Words(words, _) = &self.peek().kind else { return self.unexpected(WANTED) };
        let collection = match words.join(".").to_ascii_lowercase().as_str() {
            "devices" => Collection::Devices,
            "devices.modules" => Collection::Modules,
            "devices.jobs" => Collection::Jobs,
            _ => return self.unexpected(WANTED),
        };
        self.next += 1;
        Ok(collection)
    }

    fn selection(&mut self) -> Result<Selection, Fault> {
        if self.skip_symbol("*") {
            return Ok(Selection::Everything);
        }
        let mut columns: Vec<Column> = Vec::new();
        loop {
            let at = self.peek().at;
            let column = self.column(columns.len() + 1)?;
            if columns.iter().any(|other| other.name == column.name) {
                let text = format!("there is another column {:?}; name one of them with AS", column.name);
                return Err(wrong(at, &text));
            }
            columns.push(column);
            if !self.skip_symbol(",") {
                return Ok(Selection::Columns(columns));
            }
        }
    }

    fn column(&mut self, number: usize) -> Result<Column, Fault> {
        let value = match self.aggregate() {
            Some(aggregate) => {
                self.next += 2;
                let any = aggregate == Aggregate::Count && (self.skip_symbol("*") || self.at_symbol(")"));
                let argument = if any { None } else { Some(self.sum()?) };
                self.symbol(")")?;
                Wanted::Aggregate(aggregate, argument)
            }
            None => Wanted::Plain(self.sum()?),
        };
        let unnamed = match &value {
            Wanted::Plain(Expression::Path(Path(words))) => words.last().cloned(),
            _ => None,
        };
        let name = if self.skip_keyword("AS") {
            match &self.peek().kind {
                Kind::Words(words, _) if words.len() == 1 => {
                    let name = words.concat();
                    self.next += 1;
                    name
                }
                _ => return self.unexpected("a name after AS"),
            }
        } else {
            unnamed.unwrap_or_else(|| format!("${number}"))
        };
        Ok(Column { name, value })
    }

    fn at_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, Kind::Symbol(found) if found == symbol)
    }

    /// True if the token after the next is an opening bracket: the next is a function's name.
    fn is_call(&self) -> bool {
        self.tokens.get(self.next + 1).is_some_and(|token| token.kind == Kind::Symbol("("))
    }

    fn aggregate(&self) -> Option<Aggregate> {
        let name = self.word().filter(|_| self.is_call())?;
        match name.to_ascii_uppercase().as_str() {
            "COUNT" => Some(Aggregate::Count),
            "SUM" => Some(Aggregate::Sum),
            "AVG" => Some(Aggregate::Average),
            "MIN" => Some(Aggregate::Least),
            "MAX" => Some(Aggregate::Greatest),
            _ => None,
        }
    }

    fn path(&mut self) -> Result<Path, Fault> {
        const RESERVED: [&str; 12] =
            ["SELECT", "FROM", "WHERE", "GROUP", "BY", "AND", "OR", "NOT", "IN", "NIN", "AS", "TOP"];
        let reserved = |word: &str| RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word));
        match &self.peek().kind {
            Kind::Words(words, escaped)
                if *escaped || words.len() > 1 || !self.word().is_some_and(reserved) =>
            {
                let path = crate::query::names::path(words);
                self.next += 1;
                Ok(path)
            }
            _ => self.unexpected("a value: a path, a constant, a function or a bracket"),
        }
    }
}

impl Statement {
    /// True if it gives groups and not rows.
    pub(super) fn is_aggregated(&self) -> bool {
        let is_aggregate = |column: &Column| matches!(column.value, Wanted::Aggregate(..));
        let aggregates =
            matches!(&self.selection, Selection::Columns(columns) if columns.iter().any(is_aggregate));
        aggregates || !self.groups.is_empty()
    }

    /// What the grammar alone does not say about grouping and jobs.
    fn check(&self) -> Result<(), Fault> {
        let refuse = |text: &str| Err(Fault::ArgumentInvalid(format!("the query: {text}")));
        let Selection::Columns(columns) = &self.selection else {
            return if self.groups.is_empty() {
                Ok(())
            } else {
                refuse("SELECT * cannot be grouped; name its columns")
            };
        };
        if self.from == Collection::Jobs {
            return refuse("devices.jobs is read with SELECT * only");
        }
        let aggregates = columns.iter().any(|column| matches!(column.value, Wanted::Aggregate(..)));
        if !aggregates && self.groups.is_empty() {
            return Ok(());
        }
        for column in columns {
            let grouped = match &column.value {
                Wanted::Aggregate(..) => true,
                Wanted::Plain(Expression::Path(path)) => self.groups.contains(path),
                Wanted::Plain(_) => false,
            };
            if !grouped {
                return refuse(&format!(
                    "column {:?} is neither an aggregate nor named after GROUP BY",
                    column.name
                ));
            }
        }
        Ok(())
    }
}
