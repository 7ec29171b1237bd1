//! From text to an expression: a tokenizer and a parser by recursive descent, bounded in depth.

use super::super::limits::MAX_SELECTOR_BYTES;
use super::syntax::{Axis, Expr, Function, Operator, Start, Step, Test};

/// How deep brackets and predicates may nest.
const MAX_DEPTH: usize = 24;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// A name: of an element, an axis, a function or an operator.
    Name(String),
    Text(String),
    Number(f64),
    /// One of `/ // [ ] ( ) @ , | . .. * :: = != < <= > >=`.
    Sign(&'static str),
}

/// Signs, the longer ones first.
const SIGNS: [&str; 19] = [
    "//", "..", "::", "!=", "<=", ">=", "/", "[", "]", "(", ")", "@", ",", "|", ".", "*", "=", "<",
    ">",
];

pub(super) fn expression(text: &str) -> Option<Expr> {
    if text.len() > MAX_SELECTOR_BYTES {
        return None;
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        depth: 0,
    };
    let expression = parser.or()?;
    (parser.at == parser.tokens.len()).then_some(expression)
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if first == '"' || first == '\'' {
            let (inner, _) = rest.get(1..)?.split_once(first)?;
            tokens.push(Token::Text(inner.to_owned()));
            inner.len() + 2
        } else if first.is_ascii_digit() {
            let length = rest
                .find(|c: char| !c.is_ascii_digit() && c != '.')
                .unwrap_or(rest.len());
            tokens.push(Token::Number(rest.get(..length)?.parse().ok()?));
            length
        } else if first.is_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == '.';
            let mut length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            // A prefixed name, but not an axis.
            let tail = rest.get(length..)?;
            if tail.starts_with(':') && !tail.starts_with("::") {
                let name = tail.get(1..)?;
                length += 1 + name.find(|c| !is_part(c)).unwrap_or(name.len());
            }
            tokens.push(Token::Name(rest.get(..length)?.to_owned()));
            length
        } else {
            let sign = SIGNS.into_iter().find(|sign| rest.starts_with(sign))?;
            tokens.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest.get(length..)?.trim_start();
    }
    Some(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn take_sign(&mut self, sign: &str) -> bool {
        let is = self.is_sign(sign);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Option<()> {
        self.take_sign(sign).then_some(())
    }

    fn take_name(&mut self, name: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Name(found)) if found == name);
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Option<Expr> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let mut left = self.and()?;
        while self.take_name("or") {
            left = binary(Operator::Or, left, self.and()?);
        }
        self.depth -= 1;
        Some(left)
    }

    fn and(&mut self) -> Option<Expr> {
        let mut left = self.comparison()?;
        while self.take_name("and") {
            left = binary(Operator::And, left, self.comparison()?);
        }
        Some(left)
    }

    fn comparison(&mut self) -> Option<Expr> {
        const OPERATORS: [(&str, Operator); 6] = [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            ("<=", Operator::LessOrEqual),
            (">", Operator::Greater),
            (">=", Operator::GreaterOrEqual),
        ];
        let mut left = self.union()?;
        while let Some((sign, operator)) =
            OPERATORS.into_iter().find(|(sign, _)| self.is_sign(sign))
        {
            self.expect(sign)?;
            left = binary(operator, left, self.union()?);
        }
        Some(left)
    }

    fn union(&mut self) -> Option<Expr> {
        let mut left = self.operand()?;
        while self.take_sign("|") {
            left = binary(Operator::Union, left, self.operand()?);
        }
        Some(left)
    }

    fn operand(&mut self) -> Option<Expr> {
        let start = match self.peek()?.clone() {
            Token::Text(text) => {
                self.at += 1;
                return Some(Expr::Text(text));
            }
            Token::Number(number) => {
                self.at += 1;
                return Some(Expr::Number(number));
            }
            Token::Sign("(") => {
                self.at += 1;
                let inner = self.or()?;
                self.expect(")")?;
                let predicates = self.predicates()?;
                if predicates.is_empty() && !self.is_sign("/") && !self.is_sign("//") {
                    return Some(inner);
                }
                Start::Nodes(Box::new(inner), predicates)
            }
            Token::Name(name) if self.is_call() => {
                let call = self.call(&name)?;
                if !self.is_sign("/") && !self.is_sign("//") {
                    return Some(call);
                }
                Start::Nodes(Box::new(call), Vec::new())
            }
            Token::Sign("/" | "//") => Start::Root,
            Token::Name(_) | Token::Sign(_) => Start::Here,
        };
        self.path(start)
    }

    /// Whether a name and an open bracket stand here that do not make a node test.
    fn is_call(&self) -> bool {
        let is_open = self.tokens.get(self.at + 1) == Some(&Token::Sign("("));
        is_open
            && !matches!(self.peek(), Some(Token::Name(name)) if name == "text" || name == "node")
    }

    fn call(&mut self, name: &str) -> Option<Expr> {
        let (_, function, least, most) = Function::ALL
            .into_iter()
            .find(|(known, ..)| *known == name)?;
        self.at += 1;
        self.expect("(")?;
        let mut arguments = Vec::new();
        if !self.take_sign(")") {
            loop {
                arguments.push(self.or()?);
                if self.take_sign(")") {
                    break;
                }
                self.expect(",")?;
            }
        }
        (least..=most)
            .contains(&arguments.len())
            .then_some(Expr::Call(function, arguments))
    }

    fn path(&mut self, start: Start) -> Option<Expr> {
        let mut steps = Vec::new();
        if matches!(start, Start::Here) {
            steps.push(self.step()?);
        }
        loop {
            if self.take_sign("//") {
                steps.push(Step {
                    axis: Axis::DescendantOrSelf,
                    test: Test::Node,
                    predicates: Vec::new(),
                });
                steps.push(self.step()?);
            } else if self.take_sign("/") {
                // A single slash is the document itself.
                if steps.is_empty() && matches!(start, Start::Root) && !self.is_step() {
                    break;
                }
                steps.push(self.step()?);
            } else {
                break;
            }
        }
        Some(Expr::Path(start, steps))
    }

    fn is_step(&self) -> bool {
        matches!(
            self.peek(),
            Some(Token::Name(_) | Token::Sign("*" | "@" | "." | ".."))
        )
    }

    fn step(&mut self) -> Option<Step> {
        let short = |axis| Step {
            axis,
            test: Test::Node,
            predicates: Vec::new(),
        };
        if self.take_sign("..") {
            return Some(short(Axis::Parent));
        }
        if self.take_sign(".") {
            return Some(short(Axis::Itself));
        }
        let axis = if self.take_sign("@") {
            Axis::Attribute
        } else {
            self.axis()?
        };
        let test = if self.take_sign("*") {
            Test::Any
        } else {
            let Token::Name(name) = self.peek()?.clone() else {
                return None;
            };
            self.at += 1;
            if self.take_sign("(") {
                self.expect(")")?;
                match name.as_str() {
                    "text" => Test::Text,
                    "node" => Test::Node,
                    _ => return None,
                }
            } else {
                Test::Name(name.to_lowercase())
            }
        };
        Some(Step {
            axis,
            test,
            predicates: self.predicates()?,
        })
    }

    /// A named axis, or the child axis where none is named.
    fn axis(&mut self) -> Option<Axis> {
        if self.tokens.get(self.at + 1) != Some(&Token::Sign("::")) {
            return Some(Axis::Child);
        }
        let Token::Name(name) = self.peek()? else {
            return None;
        };
        let axis = match name.as_str() {
            "child" => Axis::Child,
            "descendant" => Axis::Descendant,
            "descendant-or-self" => Axis::DescendantOrSelf,
            "self" => Axis::Itself,
            "parent" => Axis::Parent,
            "ancestor" => Axis::Ancestor,
            "ancestor-or-self" => Axis::AncestorOrSelf,
            "following" => Axis::Following,
            "preceding" => Axis::Preceding,
            "following-sibling" => Axis::FollowingSibling,
            "preceding-sibling" => Axis::PrecedingSibling,
            "attribute" => Axis::Attribute,
            _ => return None,
        };
        self.at += 2;
        Some(axis)
    }

    fn predicates(&mut self) -> Option<Vec<Expr>> {
        let mut predicates = Vec::new();
        while self.take_sign("[") {
            predicates.push(self.or()?);
            self.expect("]")?;
        }
        Some(predicates)
    }
}

fn binary(operator: Operator, left: Expr, right: Expr) -> Expr {
    Expr::Binary(operator, Box::new(left), Box::new(right))
}
