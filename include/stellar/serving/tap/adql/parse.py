"""A tree of an ADQL text, by the grammar of queryparser-python3.

Between its lexer and its parser stands a pass over the tokens, for what ADQL 2.1 has and the grammar has not: numbers
such as ``1e5``, `LOWER` and `UPPER` of anything but a literal, `COALESCE`, `NULLIF`, `CAST`, and columns of the name
``e``. The parser takes them as calls of functions; the translator knows what they are.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from antlr4 import CommonTokenStream, InputStream
from antlr4.atn.PredictionMode import PredictionMode
from antlr4.error.ErrorListener import ErrorListener
from antlr4.error.Errors import NoViableAltException, ParseCancellationException
from antlr4.error.ErrorStrategy import BailErrorStrategy
from antlr4.ListTokenSource import ListTokenSource
from antlr4.Token import CommonToken, Token
from queryparser.adql.ADQLLexer import ADQLLexer
from queryparser.adql.ADQLParser import ADQLParser

from stellar.errors import InputError

#: Longest text, characters: a list of some twenty thousand ids.
MOST_CHARACTERS = 400_000
#: Longest that a text may take to be understood, seconds.
PATIENCE_S = 15.0
#: More choices than these are no help to whoever reads an error.
MOST_EXPECTED = 12

_CALLED = (ADQLLexer.LOWER, ADQLLexer.UPPER, ADQLLexer.COALESCE, ADQLLexer.NULLIF, ADQLLexer.CAST)
#: antlr's tables of what was decided before, the lexer's too, are the process's, and written as it goes.
_ONE_AT_A_TIME = threading.Lock()
_EXPONENT = re.compile(r"[eE]\d+")
_REGULAR = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: Tokens up to WITH … ZONE are words; what comes after them in the lexer's list are literals and signs.
_LAST_WORD = ADQLLexer.ZONE
_NAME, _NUMBER = "a name", "a number"
_SHOWN = {
    Token.EOF: "the end",
    ADQLLexer.SEMI: "the end",
    ADQLLexer.ID: _NAME,
    ADQLLexer.DELIMITED_ID: _NAME,
    ADQLLexer.INT: _NUMBER,
    ADQLLexer.REAL: _NUMBER,
    ADQLLexer.HEX_DIGIT: _NUMBER,
    ADQLLexer.CSL: "a text in quotes",
}


def parse(text: str) -> ADQLParser.QueryContext:
    """The tree of one query.

    Raises
    ------
    InputError
        Where the text is no ADQL query: line, column, what stands there, and what could.
    """
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"the query has {len(text)} characters; at most {MOST_CHARACTERS} are read. Upload a table")
    with _ONE_AT_A_TIME:
        return _tree(_tokens(text))


def _tree(tokens: list[Token]) -> ADQLParser.QueryContext:
    give_up = time.monotonic() + PATIENCE_S
    try:
        try:
            # Where this quick way finds a tree it is the one; where it finds a fault, the other way has the last word.
            return _parser(tokens, give_up, PredictionMode.SLL).query()
        except ParseCancellationException:
            return _parser(tokens, give_up, PredictionMode.LL).query()
    except RecursionError:
        raise InputError(
            "the query is nested too deeply; take it apart with WITH, or write fewer parentheses"
        ) from None


def is_regular(name: str) -> bool:
    """Whether a name can be written in ADQL without quotation marks: a letter first, and no reserved word."""
    if not _REGULAR.fullmatch(name):
        return False
    with _ONE_AT_A_TIME:
        found = ADQLLexer(InputStream(name)).nextToken()
    return found.type in (ADQLLexer.ID, ADQLLexer.E_SYM) and found.text == name


class _Patient(CommonTokenStream):
    """Tokens that run out when a parser looks at them for too long."""

    def __init__(self, tokens: list[Token], give_up: float) -> None:
        super().__init__(ListTokenSource(tokens))
        self._give_up = give_up

    def consume(self) -> None:
        if time.monotonic() > self._give_up:
            raise InputError(f"the query was not understood within {PATIENCE_S:.0f} s; write a simpler one")
        super().consume()


class _Faults(ErrorListener):
    def syntaxError(  # noqa: N802  antlr's name
        self,
        recognizer: Any,
        offendingSymbol: Any,
        line: int,
        column: int,
        msg: str,
        e: Any,
    ) -> None:
        found = getattr(e, "offendingToken", None) or offendingSymbol
        raise InputError(_told(recognizer, found, line, column, e))


def _told(parser: ADQLParser, found: Token | None, line: int, column: int, error: Any) -> str:
    if found is None:
        return f"ADQL, line {line}, column {column + 1}: this cannot be read"
    where = f"ADQL, line {found.line}, column {found.column + 1}"
    expected = _expected(parser, error)
    if found.type in (Token.EOF, ADQLLexer.SEMI):
        said = f"{where}: the query ends too early"
    elif found.type <= _LAST_WORD and ADQLLexer.ID in expected:
        said = f'{where}: {found.text} is a reserved word of ADQL; as a name write "{found.text}"'
    else:
        said = f"{where}: {found.text!r} cannot stand here"
    if len(expected) > MOST_EXPECTED and {ADQLLexer.ID, ADQLLexer.LPAREN, ADQLLexer.INT} <= expected:
        return f"{said}; expected an expression: a column, a number, a text in quotes, a function"
    names = sorted({_SHOWN.get(kind) or _name(parser, kind) for kind in expected})
    return f"{said}; expected {' or '.join(names)}" if 0 < len(names) <= MOST_EXPECTED else said


def _expected(parser: ADQLParser, error: Any) -> set[int]:
    """Kinds of tokens that could have stood where a fault was found."""
    if not isinstance(error, NoViableAltException):
        return {kind for span in parser.getExpectedTokens().intervals or [] for kind in span}
    # Where the parser had looked ahead, they are what its last states could have gone on with.
    states = (config.state for config in error.deadEndConfigs or ())
    labels = (edge.label for state in states for edge in state.transitions if not edge.isEpsilon)
    return {kind for label in labels if label is not None for span in label.intervals for kind in span}


def _name(parser: ADQLParser, kind: int) -> str:
    literal = parser.literalNames[kind] if 0 <= kind < len(parser.literalNames) else "<INVALID>"
    return str(literal if literal != "<INVALID>" else parser.symbolicNames[kind])


def _parser(tokens: list[Token], give_up: float, mode: Any) -> ADQLParser:
    parser = ADQLParser(_Patient(tokens, give_up))
    parser.removeErrorListeners()
    parser._interp.predictionMode = mode
    if mode == PredictionMode.SLL:
        parser._errHandler = BailErrorStrategy()
    else:
        parser.addErrorListener(_Faults())
    return parser


def _tokens(text: str) -> list[Token]:
    lexer = ADQLLexer(InputStream(text))
    lexer.removeErrorListeners()
    lexer.addErrorListener(_LexerFaults())
    lexer_tokens = CommonTokenStream(lexer)
    lexer_tokens.fill()
    seen = [token for token in lexer_tokens.tokens if token.channel == Token.DEFAULT_CHANNEL]
    end = seen.pop()
    if seen and seen[-1].type == ADQLLexer.SEMI:
        seen.pop()
    for token in seen:
        if token.type == ADQLLexer.SEMI:
            raise InputError(f"{place(token)}: one query at a time, please")
    if not seen:
        raise InputError("QUERY is empty; give one SELECT")
    if seen[0].type not in (ADQLLexer.SELECT, ADQLLexer.WITH, ADQLLexer.LPAREN):
        raise InputError(
            f"{place(seen[0])}: a query begins with SELECT or WITH, not with {seen[0].text!r}; it only reads"
        )
    tokens = _casts(_called(_numbers(seen)))
    return [*tokens, _made(end, ADQLLexer.SEMI, ";"), end]


class _LexerFaults(ErrorListener):
    def syntaxError(self, recognizer: Any, offendingSymbol: Any, line: int, column: int, msg: str, e: Any) -> None:  # noqa: N802
        raise InputError(f"ADQL, line {line}, column {column + 1}: no word or sign of ADQL begins here")


def place(token: Token) -> str:
    """Where a token stands, for people: lines and columns from 1."""
    return f"ADQL, line {token.line}, column {token.column + 1}"


def _made(at: Token, kind: int, text: str) -> CommonToken:
    made = at.clone()
    made.type, made.text, made.channel = kind, text, Token.DEFAULT_CHANNEL
    return made


def _numbers(tokens: list[Token]) -> list[Token]:
    """`1e5` and `1e-5` as one number; a lone `e` is a name."""
    made: list[Token] = []
    k = 0
    while k < len(tokens):
        token, rest = tokens[k], tokens[k + 1 : k + 4]
        if token.type == ADQLLexer.INT and rest and _touch(token, rest[0]):
            if rest[0].type == ADQLLexer.ID and _EXPONENT.fullmatch(rest[0].text):
                made.append(_made(token, ADQLLexer.REAL, token.text + rest[0].text))
                k += 2
                continue
            signed = len(rest) == 3 and rest[1].type in (ADQLLexer.PLUS, ADQLLexer.MINUS)
            if rest[0].type == ADQLLexer.E_SYM and signed and rest[2].type == ADQLLexer.INT:
                made.append(_made(token, ADQLLexer.REAL, token.text + "".join(part.text for part in rest)))
                k += 4
                continue
        made.append(_made(token, ADQLLexer.ID, token.text) if token.type == ADQLLexer.E_SYM else token)
        k += 1
    return made


def _touch(left: Token, right: Token) -> bool:
    return bool(left.stop + 1 == right.start)


def _called(tokens: list[Token]) -> list[Token]:
    """Words that the grammar reserves without a use for them, as names of functions."""
    return [
        _made(token, ADQLLexer.ID, token.text) if token.type in _CALLED and follower.type == ADQLLexer.LPAREN else token
        for token, follower in zip(tokens, [*tokens[1:], tokens[-1]], strict=True)
    ]


def _casts(tokens: list[Token]) -> list[Token]:
    """`CAST(x AS type)` as `CAST(x, 'type')`, from the inside out."""
    for k in range(len(tokens) - 2, -1, -1):
        if tokens[k].type != ADQLLexer.ID or tokens[k].text.upper() != "CAST" or tokens[k + 1].type != ADQLLexer.LPAREN:
            continue
        depth, split, end = 0, None, None
        for i in range(k + 1, len(tokens)):
            depth += {ADQLLexer.LPAREN: 1, ADQLLexer.RPAREN: -1}.get(tokens[i].type, 0)
            if depth == 1 and tokens[i].type == ADQLLexer.AS:
                split = i
            if depth == 0:
                end = i
                break
        if split is not None and end is not None and split + 1 < end:
            named = " ".join(token.text for token in tokens[split + 1 : end]).replace("'", "''")
            literal = _made(tokens[split + 1], ADQLLexer.CSL, f"'{named}'")
            tokens = [*tokens[:split], _made(tokens[split], ADQLLexer.COMMA, ","), literal, *tokens[end:]]
    return tokens
