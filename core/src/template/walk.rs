//! Reads a template's syntax tree: which variables it uses, and whether it does only what is allowed. No I/O.
//!
//! These restrictions keep templates small and fast: no calls, no macros, no captured blocks; `*` works only on
//! numbers; and a value made by `set`, `with` or `for` must not be joined into another value (fuel counts instructions,
//! not bytes: thirty lines of `{% set x = x ~ x %}` would be a gigabyte).

use minijinja::machinery::ast::{BinOpKind, CallArg, Expr, ForLoop, Stmt, UnaryOpKind};
use minijinja::machinery::{Token, parse, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::error::{Reason, TemplateError};
use super::filters::{FILTERS, TESTS};

/// Maximum number of tokens in one tag, and of tags that nest or chain. Both limit the depth of the syntax tree.
const TOKENS_IN_A_TAG: usize = 400;
const BRANCHES: usize = 200;

/// One use of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    /// Dotted path, such as `database.password`.
    pub path: String,
    /// Line.
    pub line: usize,
    /// Whether the path begins with a name that the template itself defined.
    pub local: bool,
}

/// All variables that a template uses, in the order of its text.
pub(super) fn uses(name: &str, source: &str, syntax: &SyntaxConfig) -> Result<Vec<Use>, TemplateError> {
    shallow(name, source, syntax)?;
    let tree = parse(source, name, syntax.clone()).map_err(|e| syntax_error(name, &e))?;
    let mut walk = Walk { scopes: vec![Vec::new()], found: Vec::new() };
    match walk.stmt(&tree) {
        Ok(()) => Ok(walk.found),
        Err(Refusal { line, message }) => {
            Err(TemplateError { name: name.into(), line: Some(line), reason: Reason::Refused(message) })
        }
    }
}

/// Refuses a template whose tree would be too deep, before the tree is built: parsing, compiling and dropping a tree
/// recurse.
fn shallow(name: &str, source: &str, syntax: &SyntaxConfig) -> Result<(), TemplateError> {
    let limit = |line: u16, text: String| TemplateError {
        name: name.into(),
        line: Some(line.into()),
        reason: Reason::Limit(text),
    };
    let (mut in_tag, mut branches, mut first) = (0_usize, 0_usize, false);
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|e| syntax_error(name, &e))?;
        match token {
            Token::BlockStart => (in_tag, first) = (0, true),
            Token::VariableStart => (in_tag, first) = (0, false),
            Token::TemplateData(_) | Token::BlockEnd | Token::VariableEnd => first = false,
            token => {
                in_tag += 1;
                if in_tag > TOKENS_IN_A_TAG {
                    let text = format!("one tag has more than {TOKENS_IN_A_TAG} words and signs");
                    return Err(limit(span.start_line, text));
                }
                if first && matches!(token, Token::Ident("elif" | "if" | "for" | "with")) {
                    branches += 1;
                    if branches > BRANCHES {
                        let text = format!("more than {BRANCHES} of `if`, `elif`, `for` and `with`");
                        return Err(limit(span.start_line, text));
                    }
                }
                first = false;
            }
        }
    }
    Ok(())
}

fn syntax_error(name: &str, error: &minijinja::Error) -> TemplateError {
    let said = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    let files = ["include", "import", "from", "extends", "block", "macro", "call"];
    let reason = match said.strip_prefix("unknown statement ") {
        Some(word) if files.contains(&word) => Reason::Refused(format!(
            "{{% {word} %}} does not exist here: a template is one text, without other files or macros"
        )),
        _ => Reason::Syntax(said),
    };
    TemplateError { name: name.into(), line: error.line(), reason }
}

struct Refusal {
    line: usize,
    message: String,
}

fn refuse<T>(line: u16, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { line: line.into(), message: message.into() })
}

struct Walk<'a> {
    scopes: Vec<Vec<&'a str>>,
    found: Vec<Use>,
}

impl<'a> Walk<'a> {
    fn is_local(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains(&name))
    }

    fn scoped(&mut self, body: &[Stmt<'a>]) -> Result<(), Refusal> {
        self.scopes.push(Vec::new());
        let done = body.iter().try_for_each(|s| self.stmt(s));
        self.scopes.pop();
        done
    }

    fn stmt(&mut self, stmt: &Stmt<'a>) -> Result<(), Refusal> {
        match stmt {
            Stmt::Template(t) => t.children.iter().try_for_each(|s| self.stmt(s)),
            Stmt::EmitRaw(_) => Ok(()),
            Stmt::EmitExpr(e) => self.expr(&e.expr),
            Stmt::IfCond(c) => {
                self.expr(&c.expr)?;
                // By Jinja's rules a `set` in a branch also applies after the branch, so branches have no scope of
                // their own.
                c.true_body.iter().chain(&c.false_body).try_for_each(|s| self.stmt(s))
            }
            Stmt::ForLoop(l) => self.for_loop(l, l.span().start_line),
            Stmt::Set(s) => {
                self.assigned(&s.expr)?;
                self.target(&s.target)
            }
            Stmt::WithBlock(w) => {
                self.scopes.push(Vec::new());
                let done = w.assignments.iter().try_for_each(|(target, expr)| {
                    self.assigned(expr)?;
                    self.target(target)
                });
                let done = done.and_then(|()| w.body.iter().try_for_each(|s| self.stmt(s)));
                self.scopes.pop();
                done
            }
            Stmt::SetBlock(s) => refuse(s.span().start_line, "{% set %} takes a value here, not a block"),
            Stmt::AutoEscape(s) => refuse(s.span().start_line, "{% autoescape %} does not exist here: use a filter"),
            Stmt::FilterBlock(s) => refuse(s.span().start_line, "{% filter %} takes no block here: use `value|filter`"),
            Stmt::Do(s) => refuse(s.span().start_line, CALLS),
            // Other statements need features of the engine that are switched off.
            #[allow(unreachable_patterns)]
            _ => refuse(0, "a statement that templates may not use"),
        }
    }

    fn for_loop(&mut self, l: &ForLoop<'a>, line: u16) -> Result<(), Refusal> {
        if l.recursive {
            return refuse(line, "{% for ... recursive %} does not exist here");
        }
        self.assigned(&l.iter)?;
        self.scopes.push(vec!["loop"]);
        let done = self
            .target(&l.target)
            .and_then(|()| l.filter_expr.as_ref().map_or(Ok(()), |e| self.expr(e)))
            .and_then(|()| l.body.iter().try_for_each(|s| self.stmt(s)));
        self.scopes.pop();
        done?;
        self.scoped(&l.else_body)
    }

    /// Remembers the names that an assignment defines.
    fn target(&mut self, target: &Expr<'a>) -> Result<(), Refusal> {
        match target {
            Expr::Var(v) => {
                if let Some(scope) = self.scopes.last_mut() {
                    scope.push(v.id);
                }
                Ok(())
            }
            Expr::Tuple(t) => t.items.iter().try_for_each(|e| self.target(e)),
            Expr::List(l) => l.items.iter().try_for_each(|e| self.target(e)),
            other => refuse(other.span().start_line, "only a name can be assigned"),
        }
    }

    /// Checks an expression whose value gets a name: it must not make a named value larger.
    fn assigned(&mut self, expr: &Expr<'a>) -> Result<(), Refusal> {
        if self.joins_a_local(expr, false) {
            return refuse(
                expr.span().start_line,
                "a value made by set, with or for can be named again, but not joined into the next one",
            );
        }
        self.expr(expr)
    }

    /// Whether a name that the template defined is used below an operator that makes larger values.
    fn joins_a_local(&self, expr: &Expr<'a>, below: bool) -> bool {
        let grows = below
            || match expr {
                Expr::BinOp(b) => matches!(b.op, BinOpKind::Add | BinOpKind::Concat | BinOpKind::Mul | BinOpKind::Pow),
                Expr::List(_) | Expr::Tuple(_) | Expr::Map(_) | Expr::Filter(_) => !is_plain_filter(expr),
                _ => false,
            };
        if let Expr::Var(v) = expr {
            return grows && self.is_local(v.id);
        }
        let mut any = false;
        children(expr, &mut |child| any = any || self.joins_a_local(child, grows));
        any
    }

    fn expr(&mut self, expr: &Expr<'a>) -> Result<(), Refusal> {
        if let Some((root, path, line)) = path(expr) {
            let local = self.is_local(root);
            self.found.push(Use { path, line: line.into(), local });
            return Ok(());
        }
        match expr {
            Expr::Call(c) => return refuse(c.span().start_line, CALLS),
            Expr::BinOp(b) => match b.op {
                BinOpKind::Pow => return refuse(b.span().start_line, "`**` does not exist here"),
                BinOpKind::Mul if !(is_number(&b.left) && is_number(&b.right)) => {
                    return refuse(b.span().start_line, "`*` multiplies numbers only: write `value|int * 2`");
                }
                _ => {}
            },
            // The engine panics on some negative steps and on the smallest possible number.
            Expr::Slice(s) if s.step.is_some() || ![&s.start, &s.stop].into_iter().flatten().all(is_small) => {
                return refuse(s.span().start_line, "a slice is two plain numbers, as in `value[2:8]`");
            }
            Expr::Filter(f) if !FILTERS.contains(&f.name) => {
                return refuse(f.span().start_line, unknown("filter", f.name, &FILTERS));
            }
            Expr::Test(t) if !TESTS.contains(&t.name) => {
                return refuse(t.span().start_line, unknown("test", t.name, &TESTS));
            }
            Expr::Filter(f) if f.args.iter().any(is_splat) => {
                return refuse(f.span().start_line, "a filter's arguments are written out");
            }
            Expr::Test(t) if t.args.iter().any(is_splat) => {
                return refuse(t.span().start_line, "a test's arguments are written out");
            }
            _ => {}
        }
        let mut done = Ok(());
        children(expr, &mut |child| {
            if done.is_ok() {
                done = self.expr(child);
            }
        });
        done
    }
}

const CALLS: &str = "functions and methods do not exist here: use a filter, as in `value|length`";

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    if matches!(name, "default" | "d") {
        return "`default` does not exist here: write {% if x is defined %}".into();
    }
    format!("unknown {kind} {name:?}; known: {}", known.join(", "))
}

fn is_splat(arg: &CallArg<'_>) -> bool {
    matches!(arg, CallArg::PosSplat(_) | CallArg::KwargSplat(_))
}

/// Filters that never make their input larger.
fn is_plain_filter(expr: &Expr<'_>) -> bool {
    let small =
        ["first", "last", "length", "int", "trim", "lower", "upper", "sort", "items", "keys", "lines", "md5", "sha256"];
    matches!(expr, Expr::Filter(f) if small.contains(&f.name))
}

/// A whole number below a million, written out.
fn is_small(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(c) => c.value.as_i64().is_some_and(|n| n.unsigned_abs() < 1_000_000),
        Expr::UnaryOp(u) => matches!(u.op, UnaryOpKind::Neg) && is_small(&u.expr),
        _ => false,
    }
}

fn is_number(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(c) => c.value.is_number(),
        Expr::Filter(f) => matches!(f.name, "int" | "length" | "round" | "abs"),
        Expr::UnaryOp(u) => is_number(&u.expr),
        Expr::BinOp(b) => match b.op {
            BinOpKind::Add | BinOpKind::Mul => is_number(&b.left) && is_number(&b.right),
            BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem => true,
            _ => false,
        },
        _ => false,
    }
}

/// Splits `a.b["c"].0` into root, dotted path and line.
fn path<'a>(expr: &Expr<'a>) -> Option<(&'a str, String, u16)> {
    match expr {
        Expr::Var(v) => Some((v.id, v.id.to_owned(), v.span().start_line)),
        Expr::GetAttr(g) => {
            let (root, base, line) = path(&g.expr)?;
            Some((root, format!("{base}.{}", g.name), line))
        }
        Expr::GetItem(g) => {
            let (root, base, line) = path(&g.expr)?;
            let Expr::Const(key) = &g.subscript_expr else {
                return None;
            };
            Some((root, format!("{base}.{}", key.value), line))
        }
        _ => None,
    }
}

fn children<'e, 'a>(expr: &'e Expr<'a>, each: &mut dyn FnMut(&'e Expr<'a>)) {
    let args = |args: &'e [CallArg<'a>], each: &mut dyn FnMut(&'e Expr<'a>)| {
        for arg in args {
            match arg {
                CallArg::Pos(e) | CallArg::Kwarg(_, e) | CallArg::PosSplat(e) | CallArg::KwargSplat(e) => each(e),
            }
        }
    };
    match expr {
        Expr::Var(_) | Expr::Const(_) => {}
        Expr::Slice(s) => {
            each(&s.expr);
            [&s.start, &s.stop, &s.step].into_iter().flatten().for_each(each);
        }
        Expr::UnaryOp(u) => each(&u.expr),
        Expr::BinOp(b) => {
            each(&b.left);
            each(&b.right);
        }
        Expr::Compare(c) => {
            each(&c.expr);
            c.ops.iter().for_each(|op| each(&op.expr));
        }
        Expr::IfExpr(i) => {
            each(&i.test_expr);
            each(&i.true_expr);
            i.false_expr.iter().for_each(each);
        }
        Expr::Filter(f) => {
            f.expr.iter().for_each(&mut *each);
            args(&f.args, each);
        }
        Expr::Test(t) => {
            each(&t.expr);
            args(&t.args, each);
        }
        Expr::GetAttr(g) => each(&g.expr),
        Expr::GetItem(g) => {
            each(&g.expr);
            each(&g.subscript_expr);
        }
        Expr::Call(c) => {
            each(&c.expr);
            args(&c.args, each);
        }
        Expr::List(l) => l.items.iter().for_each(each),
        Expr::Tuple(t) => t.items.iter().for_each(each),
        Expr::Map(m) => m.keys.iter().chain(&m.values).for_each(each),
    }
}
