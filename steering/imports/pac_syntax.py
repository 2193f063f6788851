"""A script as a tree, as far as its statements are of the few kinds that PACs are made of.

A statement that is not understood becomes one of kind "unread" and reading goes on behind it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steering.imports.pac_tokens import ScriptProblem, Token, tokens

MAX_DEPTH = 60

# How tight an operator binds (ECMA-262 13).
_BINDING = {"||": 1, "&&": 2, "==": 3, "!=": 3, "===": 3, "!==": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "in": 4,
            "+": 5, "-": 5}  # fmt: skip
_FOREIGN = frozenset(
    ("while", "do", "switch", "case", "default", "break", "continue", "try", "catch", "throw", "new", "with", "delete",
     "typeof", "void", "class", "async", "await", "yield", "import", "export", "instanceof")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Node:
    """kind: of statements function, var, if, return, for, each, block, do, unread; else an expression's.

    value: a name, a text, an operator.  parts: the children.
    """

    kind: str
    line: int
    value: str = ""
    parts: "tuple[Node, ...]" = ()

    def walk(self) -> "Iterator[Node]":
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(node.parts)


def parse_script(text: str) -> tuple[Node, ...]:
    """The statements of a script.  Never raises."""
    return _Parser(list(tokens(text))).script()


class _Parser:
    def __init__(self, words: Sequence[Token]) -> None:
        self._words = words
        self._at = 0
        self._depth = 0

    def script(self) -> tuple[Node, ...]:
        found = []
        while self._now.kind != "end":
            if self._now.text == "}" and self._now.kind == "mark":
                found.append(Node("unread", self._now.line, "}"))
                self._at += 1
            else:
                found.append(self._statement())
        return tuple(found)

    @property
    def _now(self) -> Token:
        return self._words[self._at]

    def _is(self, *texts: str) -> bool:
        return self._now.kind in ("mark", "name") and self._now.text in texts

    def _take(self, *texts: str) -> bool:
        taken = self._is(*texts)
        self._at += taken
        return taken

    def _need(self, text: str) -> None:
        if not self._take(text):
            raise ScriptProblem(self._now.line, f"{self._now.text or 'the end'!r} stands where {text!r} should")

    def _name(self) -> str:
        token = self._now
        if token.kind != "name" or token.text in _FOREIGN:
            raise ScriptProblem(token.line, f"{token.text!r} is not understood here")
        self._at += 1
        return token.text

    # Statements

    def _statement(self) -> Node:
        start = self._at
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise ScriptProblem(self._now.line, "nested too deeply")
            return self._parsed()
        except ScriptProblem:
            self._at = start
            return self._skipped()
        finally:
            self._depth -= 1

    def _skipped(self) -> Node:
        """The whole of a statement that is not understood, its names and marks as ``parts``."""
        first, depth = self._now, 0
        parts: list[Node] = []
        while self._now.kind != "end":
            token = self._now
            if token.kind == "mark" and token.text in ")]}" and depth == 0:
                if token.text == "}" and parts:
                    break
            elif token.kind == "mark" and token.text in ")]}":
                depth -= 1
            elif token.kind == "mark" and token.text in "([{":
                depth += 1
            parts.append(Node("word" if token.kind != "string" else "text", token.line, token.text))
            self._at += 1
            ended = token.kind == "mark" and depth == 0 and token.text in ";}"
            if ended and not self._is("else", "catch", "finally", "while"):
                break
        return Node("unread", first.line, " ".join(part.value for part in parts), tuple(parts))

    def _parsed(self) -> Node:
        line = self._now.line
        if self._take("{"):
            return Node("block", line, "", self._block())
        if self._take(";"):
            return Node("block", line)
        if self._take("function"):
            name = self._name()
            return Node("function", line, name, self._function(line))
        if self._is("var", "let", "const"):
            node = self._declaration()
            self._end()
            return node
        if self._take("if"):
            return self._if(line)
        if self._take("return"):
            value = () if self._is(";", "}") or self._now.kind == "end" else (self._expression(),)
            self._end()
            return Node("return", line, "", value)
        if self._take("for"):
            return self._for(line)
        node = Node("do", line, "", (self._expression(),))
        self._end()
        return node

    def _end(self) -> None:
        if self._take(";") or self._is("}") or self._now.kind == "end":
            return
        # A line break ends a statement too (ECMA-262 12.10); what went on would not have been read so far.
        if self._now.line == self._words[self._at - 1].line:
            raise ScriptProblem(self._now.line, f"{self._now.text!r} is not understood here")

    def _block(self) -> tuple[Node, ...]:
        found = []
        while not self._is("}"):
            if self._now.kind == "end":
                raise ScriptProblem(self._now.line, "a '}' is missing")
            found.append(self._statement())
        self._at += 1
        return tuple(found)

    def _function(self, line: int) -> tuple[Node, ...]:
        """Its parameters as one node, then its statements."""
        self._need("(")
        names = []
        while not self._take(")"):
            names.append(Node("name", self._now.line, self._name()))
            if not self._is(")"):
                self._need(",")
        self._need("{")
        return (Node("parameters", line, "", tuple(names)), *self._block())

    def _declaration(self) -> Node:
        line = self._now.line
        self._at += 1
        parts = []
        while True:
            name, at = self._name(), self._now.line
            parts.append(Node("set", at, name, (self._expression(),) if self._take("=") else ()))
            if not self._take(","):
                return Node("var", line, "", tuple(parts))

    def _if(self, line: int) -> Node:
        self._need("(")
        test = self._expression()
        self._need(")")
        then = self._statement()
        return Node("if", line, "", (test, then, self._statement()) if self._take("else") else (test, then))

    def _for(self, line: int) -> Node:
        self._need("(")
        start = self._at
        self._take("var", "let", "const")
        if self._now.kind == "name" and self._words[self._at + 1].text in ("in", "of"):
            name = self._name()
            kind = self._now.text
            self._at += 1
            over = self._expression()
            self._need(")")
            return Node("each", line, kind, (Node("name", line, name), over, self._statement()))
        self._at = start
        first = self._declaration() if self._is("var", "let", "const") else self._expression()
        self._need(";")
        test = self._expression()
        self._need(";")
        step = self._expression()
        self._need(")")
        return Node("for", line, "", (first, test, step, self._statement()))

    # Expressions

    def _expression(self) -> Node:
        self._depth += 1
        try:
            if self._depth > MAX_DEPTH:
                raise ScriptProblem(self._now.line, "nested too deeply")
            return self._assigned()
        finally:
            self._depth -= 1

    def _assigned(self) -> Node:
        left = self._binary(0)
        line = self._now.line
        if self._take("?"):
            then = self._expression()
            self._need(":")
            return Node("choice", line, "", (left, then, self._expression()))
        for mark in ("=", "+=", "-="):
            if self._take(mark):
                return Node("assign", line, mark, (left, self._expression()))
        return left

    def _binary(self, least: int) -> Node:
        left = self._unary()
        while self._now.kind in ("mark", "name") and _BINDING.get(self._now.text, 0) > least:
            operator = self._now
            self._at += 1
            right = self._binary(_BINDING[operator.text])
            left = Node("binary", operator.line, operator.text, (left, right))
        return left

    def _unary(self) -> Node:
        line = self._now.line
        for mark in ("!", "-", "++", "--"):
            if self._take(mark):
                self._depth += 1
                try:
                    if self._depth > MAX_DEPTH:
                        raise ScriptProblem(line, "nested too deeply")
                    return Node("unary", line, mark, (self._unary(),))
                finally:
                    self._depth -= 1
        return self._postfix()

    def _postfix(self) -> Node:
        node = self._primary()
        while True:
            line = self._now.line
            if self._take("."):
                node = Node("member", line, self._name(), (node,))
            elif self._take("["):
                node = Node("index", line, "", (node, self._expression()))
                self._need("]")
            elif self._take("("):
                node = Node("call", line, "", (node, *self._list(")")))
            elif self._is("++", "--"):
                node = Node("unary", line, self._now.text, (node,))
                self._at += 1
            else:
                return node

    def _primary(self) -> Node:
        token = self._now
        if token.kind in ("string", "number"):
            self._at += 1
            return Node("text" if token.kind == "string" else "number", token.line, token.text)
        if self._take("("):
            node = self._expression()
            self._need(")")
            return node
        if self._take("["):
            return Node("array", token.line, "", self._list("]"))
        if self._take("{"):
            return Node("object", token.line, "", self._keys())
        if self._is("function"):
            raise ScriptProblem(token.line, "a function within an expression")
        return Node("name", token.line, self._name())

    def _list(self, closing: str) -> tuple[Node, ...]:
        found = []
        while not self._take(closing):
            found.append(self._expression())
            if not self._is(closing):
                self._need(",")
        return tuple(found)

    def _keys(self) -> tuple[Node, ...]:
        found = []
        while not self._take("}"):
            key = self._now
            if key.kind not in ("string", "name", "number"):
                raise ScriptProblem(key.line, f"{key.text!r} is no key")
            self._at += 1
            self._need(":")
            found.append(Node("key", key.line, key.text, (self._expression(),)))
            if not self._is("}"):
                self._need(",")
        return tuple(found)
